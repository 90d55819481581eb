"""The request side of the engine for Python code: bytes in, events out, no socket.

For tests, fuzzing, and whoever wants to see what the engine makes of some bytes. Servers do not come this way:
a Python object for each field is what the engine exists to avoid.

Knows: how a connection drives the engine (a head borrows its bytes, keeps a copy only while it is incomplete).
Must not know: any rule of HTTP. What is accepted and refused is decided in h1.pyx alone.
"""

from typing import NamedTuple

from cpython.bytes cimport PyBytes_AS_STRING

from tricorn.http.h1 cimport CUT_BODY, DONE, LONG_BODY, MORE, REFUSED, BodyDecoder, parse_head, refusal
from tricorn.http.request cimport BODY_LENGTH, NO_BODY, Limits, RequestHead

cdef tuple FRAMINGS = ("none", "length", "chunked")


class Head(NamedTuple):
    """A request head. `query`: None without a '?'. `authority`: None unless the target brings one."""

    method: bytes
    target: bytes
    path: bytes
    query: object
    authority: object
    minor: int
    fields: tuple
    keep_alive: bool
    expect_continue: bool
    framing: str
    content_length: int


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


cdef tuple _fields(RequestHead head):
    return tuple([(head.raw(head.fields[i].name), head.raw(head.fields[i].value)) for i in range(head.count)])


cdef object _head(RequestHead head):
    return Head(
        head.raw(head.method),
        head.raw(head.target),
        head.raw(head.path),
        head.raw(head.query) if head.has_query else None,
        head.raw(head.authority) if head.authority.length else None,
        head.minor,
        _fields(head),
        head.keep_alive,
        head.expect_continue,
        FRAMINGS[<int>head.framing],
        head.content_length if head.framing == BODY_LENGTH else 0,
    )


cdef class RequestReader:
    """Reads the requests of one connection.

    `feed` takes the bytes as they come, in pieces of any size, and returns the events that they complete.
    `finish` says that no more will come. `is_closed`: a request was refused or was the last one; what is fed
    now is ignored, as a server that has closed the connection ignores it.
    """

    def __init__(self, Limits limits=None):
        self.limits = Limits() if limits is None else limits

    def feed(self, bytes data not None):
        cdef list events = []
        cdef const unsigned char* p = <const unsigned char*>PyBytes_AS_STRING(data)
        cdef Py_ssize_t left = len(data)
        cdef RequestHead head
        cdef RequestHead kept = None    # the head that waited for `data`: `p` points into its bytes now
        cdef Py_ssize_t used
        while left and not self.is_closed:
            if self.decoder is not None:
                used = self._body(events, p, left)
                p += used
                left -= used
                continue
            if self.head is not None:
                head = kept = self.head
                self.head = None
                head.append(p, <unsigned int>left)
            else:
                head = RequestHead.__new__(RequestHead)
                head.borrow(p, <unsigned int>left)
            if not self._parsed(events, head):
                break
            p = head.data + head.end
            left = head.size - head.end
        return events

    def finish(self):
        """The connection has ended: an event if that cuts a body."""
        cut = self.decoder is not None and not self.is_closed
        self.is_closed = True
        self.head = None
        self.decoder = None
        return [_refused(CUT_BODY)] if cut else []

    cdef bint _parsed(self, list events, RequestHead head) except -1:
        """Read on in a head. True: it is complete, what stands behind it comes next."""
        cdef int progress = parse_head(head, self.limits)
        if progress == MORE:
            head.keep()
            self.head = head
            return False
        if progress == REFUSED:
            self._refuse(events, head.error)
            return False
        # The one rule that a connection applies itself, since the head is right and only its body is not wanted.
        if head.framing == BODY_LENGTH and self.limits.body and head.content_length > self.limits.body:
            self._refuse(events, LONG_BODY)
            return False
        events.append(_head(head))
        self.last = not head.keep_alive
        if head.framing == NO_BODY:
            self._end(events, ())
        else:
            self.decoder = BodyDecoder.__new__(BodyDecoder)
            self.decoder.begin(head)
        return True

    cdef Py_ssize_t _body(self, list events, const unsigned char* data, Py_ssize_t size) except -1:
        """Take one step in a body. Returns how much of `data` is done with."""
        cdef const unsigned char* content = NULL
        cdef Py_ssize_t length = 0
        cdef Py_ssize_t used = 0
        cdef int progress = self.decoder.decode(data, size, &used, &content, &length, self.limits)
        if length:
            events.append(Data((<const char*>content)[:length]))
        if progress == REFUSED:
            self._refuse(events, self.decoder.error)
        elif progress == DONE:
            self._end(events, () if self.decoder.trailers is None else _fields(self.decoder.trailers))
        return used

    cdef int _end(self, list events, tuple trailers) except -1:
        events.append(End(trailers))
        self.decoder = None
        self.is_closed = self.last
        return 0

    cdef int _refuse(self, list events, int error) except -1:
        events.append(_refused(error))
        self.is_closed = True
        return 0


cdef object _refused(int error):
    error_of_client = refusal(error)
    return Refused(error_of_client.status, error_of_client.rule, error_of_client.reason)
