"""The HTTP/2 session's face for Python: bytes in, events out; responses in, bytes out.

It drives the session that the server drives, so what tests and the fuzzer find here holds there. The server does not go through it.

Knows: the session. Must not know: sockets, applications.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from tricorn.http.frame_meter cimport Offence
from tricorn.http.h1 cimport refusal
from tricorn.http.h2_head cimport FieldList, give_back, list_head, list_trailers
from tricorn.http.h2_session cimport (
    STREAM_DATA, STREAM_HEAD, Event, EventList, Outgoing, Stream, new_session, put_events, put_outgoing,
    take_events, take_outgoing,
)
from tricorn.http.priority cimport Priority, read_priority, say_nothing
from tricorn.http.request cimport Limits, RequestHead
from tricorn.http.response cimport Defaults

from tricorn.http.frame_meter import OFFENCES


cdef class SessionReader:
    """limits: of each request; None: the defaults. discardable: bytes of a body that may come although nobody wants them. The others are
    what a client is told."""

    def __init__(
        self, Limits limits=None, *, int streams=100, int window=65535, int frame=16384, unsigned int head_list=65536,
        long long discardable=0, bint connects=False,
    ):
        self.session = new_session(limits if limits is not None else Limits())
        self.session.offer(streams, window, frame, head_list, connects)
        self.session.discardable = discardable
        self.defaults = Defaults("")

    def feed(self, bytes data):
        """What it tells, in order. Each is a tuple of a word and a stream's number, and

        "head": method, target, fields as they were written, whether the request is complete. "refused": the ProtocolError. "data": bytes.
        "end": nothing: the request is complete. "closed": the error code (RFC 9113 §7) with which the stream ended.

        None: the client cannot be served any more.
        """
        cdef EventList events = take_events()
        cdef Event* event
        cdef int i
        found = []
        try:
            if not self.session.receive(<const unsigned char*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), events):
                return None
            for i in range(events.count):
                event = &events.events[i]
                found.append(self._told(<Stream>event.stream, event))
        finally:
            put_events(events)
        return found + self._ended()

    cdef object _told(self, Stream stream, Event* event):
        if event.kind == STREAM_HEAD:
            return _head(stream)
        if event.kind == STREAM_DATA:
            return "data", stream.id, (<const char*>event.data)[:event.size]
        return "end", stream.id

    cdef list _ended(self):
        cdef Stream stream = self.session.take_ended()
        cdef list found = []
        while stream is not None:
            found.append(("closed", stream.id, stream.error))
            stream = self.session.take_ended()
        return found

    cdef Stream _stream(self, int number):
        cdef Stream stream = self.session.first
        while stream is not None and stream.id != number:
            stream = stream.next
        if stream is None:
            raise KeyError(number)
        return stream

    def judge(self, long long now):
        """What the client does too much of, in words; None: nothing. now: ns."""
        cdef Offence offence = self.session.meter.judge(now)
        return OFFENCES[<int>offence] if offence else None

    def credit(self, int number, long long size):
        """So many bytes of a body were taken."""
        self.session.credit(self._stream(number), size)

    def respond(self, int number, str status, headers=(), bytes body=b"", *, trailers=None, bint more=False):
        """A response, its names and values bytes. more: other pieces of its body follow. Raises ResponseError, KeyError."""
        cdef Stream stream = self._stream(number)
        cdef FieldList fields = FieldList.__new__(FieldList)
        cdef bint has_body
        self.defaults.refresh(0)
        stream.reply.octets = True
        stream.reply.length = -1 if more or trailers else PyBytes_GET_SIZE(body)
        list_head(fields, self.defaults, status, headers, &stream.reply)
        has_body = not stream.reply.bodyless and stream.reply.length != 0
        self.session.respond(stream, fields, has_body)
        if has_body:
            self.go_on(number, body, trailers=trailers, more=more)

    def go_on(self, int number, bytes body, *, trailers=None, bint more=False):
        """The next piece of a body."""
        cdef Stream stream = self._stream(number)
        cdef FieldList fields = None
        self.session.add_piece(stream, body)
        if more:
            return
        if trailers:
            fields = FieldList.__new__(FieldList)
            list_trailers(fields, trailers, True)
        self.session.finish(stream, fields)

    def reset(self, int number, unsigned int error):
        self.session.reset(self._stream(number), error)

    def leave(self):
        """The first of the two GOAWAYs."""
        self.session.say_leaving()

    def say_last(self, unsigned int error=0):
        """The second one."""
        self.session.say_last(error)

    def take(self):
        """What is to be sent."""
        cdef Outgoing out = take_outgoing(1 << 20)
        cdef bint more = True
        cdef int i
        pieces = []
        self.session.out = out
        while more:
            more = self.session.collect()
            for i in range(out.count):
                if out.parts[i].whole != NULL:
                    pieces.append((<const char*>out.parts[i].data)[:out.parts[i].size])
                else:
                    pieces.append((<const char*>out.text.data + out.parts[i].start)[:out.parts[i].size])
            out.clear()
        self.session.out = None
        put_outgoing(out)
        return b"".join(pieces)

    @property
    def streams(self):
        """How many are open."""
        return self.session.count

    @property
    def is_over(self):
        """Whether nothing follows in either direction."""
        return self.session.is_over()


cdef object _head(Stream stream):
    cdef RequestHead head = stream.head
    cdef int i
    stream.head = None
    if stream.refusal:
        return "refused", stream.id, refusal(stream.refusal)
    fields = [(head.raw(head.fields[i].name), head.raw(head.fields[i].value)) for i in range(head.count)]
    told = "head", stream.id, head.raw(head.method), head.raw(head.target), fields, stream.got_all
    give_back(head)
    return told


def priority_of(*fields: bytes):
    """What a message with these Priority fields says (RFC 9218 §4): its urgency, and whether it is incremental; None where it says nothing."""
    cdef Priority said
    say_nothing(&said)
    for field in fields:
        read_priority(<const unsigned char*>PyBytes_AS_STRING(field), PyBytes_GET_SIZE(field), &said)
    return (
        None if said.urgency < 0 else said.urgency,
        None if said.incremental < 0 else bool(said.incremental),
    )
