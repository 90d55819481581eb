cimport cython

from tricorn.gateway.translator cimport Peer
from tricorn.http.buffer cimport Buffer
from tricorn.http.machine cimport ServerMachine
from tricorn.http.request cimport RequestHead
from tricorn.transport.channel cimport Channel
from tricorn.transport.lane cimport Lane
from tricorn.transport.request cimport Request, RequestProtocol, Runner

# What is done with the connection at present.
cdef enum Phase:
    READING = 0         # a request is awaited or read
    SERVING             # the application has it
    FLUSHING            # it is answered, the client is still reading
    ENDED               # nothing any more; the channel is closed, or has another protocol

@cython.final
@cython.no_gc
cdef class HTTP1(RequestProtocol):
    cdef ServerMachine machine
    cdef Request request            # that is read or answered; None: none is
    cdef bytes pending              # what was read but belongs to what comes next
    cdef unsigned char phase # a Phase
    cdef unsigned char has_served   # a request, so that it may be closed to make room
    cdef unsigned char is_over      # the response is handed over; to be dealt with by whoever owns the channel
    cdef unsigned char gives_way    # it goes on with `pending` in a turn of its own
    cdef object turn                # what its owner puts into the queue when it settles

    cdef int _handle_event(self, Lane lane) except -1
    cdef int _give_way(self) except -1
    cdef bint _wants_more(self) noexcept
    cdef void _mark_gone(self) noexcept
    cdef bint _place_body(self, Lane lane, unsigned char** place, Py_ssize_t* size) except -1
    cdef int _help(self, Lane lane) except -1
    cdef int _read(self, Lane lane) except -1
    cdef int _received(self, Lane lane, const unsigned char* data, Py_ssize_t size) except -1
    cdef int _keep(self, const unsigned char* data, Py_ssize_t size) except -1
    cdef int _requests(self, Lane lane, const unsigned char* data, Py_ssize_t size) except -1
    cdef int _await_head(self, Lane lane) except -1
    cdef int _await_request(self, Lane lane) except -1
    cdef long long _idle_time(self) noexcept
    cdef Py_ssize_t _begin(self, Lane lane, RequestHead head, const unsigned char* data, Py_ssize_t size) except -1
    cdef Py_ssize_t _begin_body(
        self, Lane lane, RequestHead head, const unsigned char* data, Py_ssize_t size) except -1
    cdef Py_ssize_t _untranslatable(self, Lane lane) except -1
    cdef int _start(self, Lane lane, bint more_is_here) except -1
    cdef Py_ssize_t _read_body(self, Lane lane, const unsigned char* data, Py_ssize_t size) except -1
    cdef int _placed(self, Lane lane, Py_ssize_t size) except -1
    cdef Py_ssize_t _skip_body(self, Lane lane, const unsigned char* data, Py_ssize_t size) except -1
    cdef int _end_of_input(self, Lane lane) except -1
    cdef int _leave(self, Lane lane) except -1
    cdef int _response_done(self, Lane lane) except -1
    cdef int _await_next(self, Lane lane) except -1
    cdef int _drop_request(self, Lane lane) except -1
    cdef int _refuse(self, Lane lane, object error) except -1
    cdef int _error_response(self, Lane lane, int status, bytes fields=*) except -1
    cdef int _end(self, Lane lane) except -1
    cdef int _send(self, Lane lane, Buffer out, bytes piece, const char* tail, Py_ssize_t tail_size, bint is_last) except -1
    cdef int _send_piece(self, Request request, Lane lane, bytes piece) except -1

cdef HTTP1 new_http1(Channel channel, Runner runner, object builder, Peer peer)
