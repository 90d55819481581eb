"""The request side of the engine for Python code: bytes in, events out, no socket.

For tests, fuzzing, and whoever wants to see what the engine makes of some bytes. Servers do not come this way:
a Python object for each field is what the engine exists to avoid.

Knows: how a connection drives the machine. Must not know: any rule of HTTP. What is accepted and refused is decided in
h1.pyx, what may follow what in machine.pyx.
"""

from typing import NamedTuple

from cpython.bytes cimport PyBytes_AS_STRING

from tricorn.http.h1 cimport CUT_BODY, CUT_PACKET, DONE, REFUSED, BodyDecoder, refusal
from tricorn.http.machine cimport BODY, HEAD, OVER, ServerMachine
from tricorn.http.packet cimport parse_packet
from tricorn.http.request cimport BODY_LENGTH, NO_BODY, Limits, RequestHead

cdef tuple FRAMINGS = ("none", "length", "chunked")


class Head(NamedTuple):
    """A request head. `query`: None without a '?'. `authority`: None unless the target brings one.

    Of a packet: `spoken`, the version that the client speaks with the gateway; `script`, where the application is mounted; `address`,
    `port` and `is_secure` of the client; `variables`, those that are no fields.
    """

    method: bytes
    target: bytes
    path: bytes
    query: object
    authority: object
    version: int
    fields: tuple
    keep_alive: bool
    expect_continue: bool
    framing: str
    content_length: int
    spoken: int = 0
    script: bytes = b""
    address: bytes = b""
    port: int = -1
    is_secure: bool = False
    variables: tuple = ()


class Data(NamedTuple):
    """Some content of the body, never empty. Where one piece ends says nothing but how the bytes arrived."""

    content: bytes


class End(NamedTuple):
    """The message is complete. After one without keep-alive nothing is read any more."""

    trailers: tuple


class Refused(NamedTuple):
    """What the client would be told. Nothing is read any more."""

    status: int
    rule: str
    reason: str


Event = Head | Data | End | Refused


cdef tuple _fields(RequestHead head, int start, int end):
    return tuple([(head.raw(head.fields[i].name), head.raw(head.fields[i].value)) for i in range(start, end)])


cdef tuple _said(RequestHead head):
    """By a gateway."""
    if head.spoken == 0:
        return ()
    return (
        head.spoken, head.raw(head.script), head.raw(head.address), head.port, head.is_secure,
        _fields(head, head.count, head.count + head.params),
    )


cdef object _head(RequestHead head):
    return Head(
        head.raw(head.method),
        head.raw(head.target),
        head.raw(head.path),
        head.raw(head.query) if head.has_query else None,
        head.raw(head.authority) if head.authority.length else None,
        head.version,
        _fields(head, 0, head.count),
        head.keep_alive,
        head.expect_continue,
        FRAMINGS[<int>head.framing],
        head.content_length if head.framing == BODY_LENGTH else 0,
        *_said(head),
    )


cdef class RequestReader:
    """Reads the requests of one connection.

    `feed` takes the bytes as they come, in pieces of any size, and returns the events that they complete.
    `finish` says that no more will come. `is_closed`: a request was refused or was the last one; what is fed
    now is ignored, as a server that has closed the connection ignores it. Each request counts as answered when it is complete.

    packets: what comes are packets of the uwsgi protocol, of which a connection carries one.
    """

    def __init__(self, Limits limits=None, *, bint packets=False):
        self.limits = Limits() if limits is None else limits
        self.machine = ServerMachine.__new__(ServerMachine)
        self.machine.limits = self.limits
        self.machine.offers_more = True
        self.packets = packets
        if packets:
            self.machine.parse = parse_packet

    @property
    def is_closed(self):
        return self.machine.state == OVER

    def feed(self, bytes data not None):
        cdef list events = []
        cdef const unsigned char* p = <const unsigned char*>PyBytes_AS_STRING(data)
        cdef Py_ssize_t left = len(data)
        cdef Py_ssize_t used
        while left and self.machine.state != OVER:
            used = self._body(events, p, left) if self.machine.state == BODY else self._head(events, p, left)
            p += used
            left -= used
        return events

    def finish(self):
        """The connection has ended: an event if that cuts a body, or a packet."""
        cdef bint is_in_packet = self.packets and self.machine.state == HEAD
        if self.machine.state == OVER:
            return []
        if self.machine.end_input():
            return [_refused(CUT_BODY)]
        return [_refused(CUT_PACKET)] if is_in_packet else []

    cdef Py_ssize_t _head(self, list events, const unsigned char* data, Py_ssize_t size) except -1:
        """Read on in a head. Returns how much of `data` is done with."""
        cdef ServerMachine machine = self.machine
        cdef Py_ssize_t used = size
        cdef RequestHead head = RequestHead.__new__(RequestHead)
        cdef int progress = machine.read_head(head, data, size, &used)
        if progress == REFUSED:
            events.append(_refused(machine.error))
        elif progress == DONE:
            head = machine.take_head(head)
            events.append(_head(head))
            if head.framing == NO_BODY:
                self._end(events, ())
            else:
                machine.begin_body(head)
        return used

    cdef Py_ssize_t _body(self, list events, const unsigned char* data, Py_ssize_t size) except -1:
        """Take one step in a body. Returns how much of `data` is done with."""
        cdef ServerMachine machine = self.machine
        cdef BodyDecoder decoder = machine.decoder
        cdef const unsigned char* content = NULL
        cdef Py_ssize_t length = 0
        cdef Py_ssize_t used = 0
        cdef int progress = machine.read_body(data, size, &used, &content, &length)
        if length:
            events.append(Data((<const char*>content)[:length]))
        if progress == REFUSED:
            events.append(_refused(machine.error))
        elif progress == DONE:
            self._end(events, () if decoder.trailers is None else _fields(decoder.trailers, 0, decoder.trailers.count))
        return used

    cdef int _end(self, list events, tuple trailers) except -1:
        events.append(End(trailers))
        self.machine.after_response(False, 0)
        return 0


cdef object _refused(int error):
    error_of_client = refusal(error)
    return Refused(error_of_client.status, error_of_client.rule, error_of_client.reason)
