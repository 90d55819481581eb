from tricorn.gateway.asgi cimport HTTPCall
from tricorn.gateway.scope cimport ScopeBuilder
from tricorn.gateway.translator cimport Peer
from tricorn.http.buffer cimport Buffer
from tricorn.http.request cimport RequestHead
from tricorn.transport.connection cimport Connection
from tricorn.transport.house cimport House
from tricorn.transport.service cimport Lane, Service

cdef class LoopConnection(Connection):
    cdef House house
    cdef ScopeBuilder builder
    cdef dict scope
    cdef HTTPCall call
    cdef list body                  # pieces that have arrived and that the application has not taken
    cdef Py_ssize_t body_size
    cdef int body_reads             # in a row, for an application that takes what it gets at once
    cdef long long body_deadline    # for the next piece; 0: none is waited for
    cdef long long body_since       # since when the client is waited for
    cdef long long body_waited      # and how long it was before
    cdef long long active_ns        # when the application last gave something to the client
    cdef object line                # WebSocketLine, from the handshake on
    cdef Py_ssize_t held_start      # what is held back of this connection lies there in the house's arena
    cdef Py_ssize_t held_size
    cdef bint is_held               # it is on the house's list of those that hold something back
    cdef LoopConnection next_held
    cdef bint corked                # what is queued has not been offered to the socket yet
    cdef bint is_over               # the response is handed over; to be dealt with by whoever owns the connection
    cdef bint ended                 # the client will send no more
    cdef bint takes_trailers        # the client of the running request does
    cdef bint gives_way             # it goes on with `pending` in a turn of its own

    cdef int proceed(self, Lane lane) except -1
    cdef int conclude(self, HTTPCall call, object failure) except -1
    # What a WebSocket calls.
    cdef int become_socket(self) except -1
    cdef int end_socket(self, Lane lane) except -1
    cdef int look_again(self) except -1

    cdef int uncollect(self) except -1
    cdef int _pass_on(self, Buffer out, bytes piece, const char* tail, Py_ssize_t tail_size) except -1
    cdef int _collect(self, Buffer out, bytes piece, const char* tail, Py_ssize_t tail_size) except -1
    cdef int _settle(self, Lane lane) except -1
    cdef int _resume(self) except -1
    cdef bint _has_frames(self)
    cdef int _interest(self) except -1
    cdef bint _wants_body(self) noexcept
    cdef int _read_running(self, Lane lane) except -1
    cdef Py_ssize_t _take(self, Lane lane, const unsigned char* data, Py_ssize_t size) except -1
    cdef int _wait_for_body(self, bint wanted) noexcept
    cdef bint _trickles(self, long long now) noexcept
    cdef int _client_ended(self, Lane lane) except -1
    cdef int _cut(self, Lane lane, object error) except -1
    cdef Py_ssize_t _open_socket(self, Lane lane, const unsigned char* data, Py_ssize_t size) except -1
    cdef int _start(self, Lane lane) except -1
    cdef int _fail(self, HTTPCall call, object failure) except -1
    cdef int _log(self, HTTPCall call, object record) except -1
    cdef int _leave(self, Lane lane) except -1
    cdef int _record(self, Lane lane) except -1
    cdef int _detach(self) except -1
    cdef int _answer(self, Lane lane, int status) except -1
    cdef int _time_out(self, Lane lane) except -1

cdef Connection new_looped(
    House house, ScopeBuilder builder, int fd, unsigned int serial, Peer peer, long long now)
