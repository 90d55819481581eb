cimport cython

from tricorn.gateway.environ cimport EnvironBuilder
from tricorn.gateway.input cimport StreamInput
from tricorn.gateway.translator cimport Peer
from tricorn.gateway.wsgi cimport WSGICall
from tricorn.http.h1 cimport BodyDecoder
from tricorn.http.request cimport RequestHead
from tricorn.transport.body cimport BodyStore
from tricorn.transport.connection cimport Connection
from tricorn.transport.service cimport Lane, Service

cdef class EarlyHints:
    cdef list lanes

@cython.final
cdef class ThreadedConnection(Connection):
    cdef EnvironBuilder builder
    cdef long long body_since       # when the body began to be read
    cdef bint wants_turn            # its owner puts it into the queue for application threads
    cdef int cut_status             # why reading the body failed: the status to answer
    cdef dict environ
    cdef BodyStore store
    cdef WSGICall call
    cdef StreamInput stream         # what the application reads an unbuffered body from
    cdef object body_file           # what a large body is read from: it is closed when the request is over

    # What the reactor calls besides.
    cdef int proceed(self, Lane lane) except -1

    cdef Lane _own_lane(self)
    cdef bint _is_read(self, BodyDecoder decoder) noexcept
    cdef int _handle_expiry(self, Lane lane) except -1
    cdef bint _trickles(self, long long now) noexcept
    cdef int _abandon(self, Lane lane) except -1
    cdef int _enter(self, Lane lane, long long now) except -1
    cdef int _return_control(self, Lane lane) except -1
    cdef int _let_go(self) except -1
    cdef int _settle(self, Lane lane) except -1
    cdef int _help(self, Lane lane) except -1
    cdef int _handle_event(self, Lane lane) except -1
    cdef int _handle_turn(self, Lane lane) except -1
    cdef Py_ssize_t _begin_body(
        self, Lane lane, RequestHead head, const unsigned char* data, Py_ssize_t size) except -1
    cdef int _await_body(self, Lane lane) except -1
    cdef int _complete(self, Lane lane, bint more_is_here) except -1
    cdef bint _fits(self, RequestHead head) noexcept
    cdef Py_ssize_t _body_is_here(
        self, Lane lane, RequestHead head, const unsigned char* data, Py_ssize_t size) except -1
    cdef int _ready(self, Lane lane) except -1
    cdef int _queue_up(self) except -1
    cdef int _start(self, Lane lane) except -1
    cdef int _run(self, Lane lane, bint resumed) except -1
    cdef int _leave(self, Lane lane, int outcome, str status, list headers) except -1
    cdef int _wait_readable(self, BodyDecoder decoder) except -1
    cdef int _check_body_rate(self) except -1

cdef Connection new_threaded(
    Service service, EnvironBuilder builder, int fd, unsigned int serial, Peer peer, long long now)
