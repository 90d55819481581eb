from tricorn.gateway.environ cimport EnvironBuilder, Peer
from tricorn.gateway.exchange cimport Exchange
from tricorn.gateway.input cimport StreamInput
from tricorn.gateway.wsgi cimport WSGICall
from tricorn.http.buffer cimport Buffer
from tricorn.http.h1 cimport BodyDecoder
from tricorn.http.request cimport RequestHead
from tricorn.http.response cimport Reply
from tricorn.transport.body cimport BodyStore
from tricorn.transport.outflow cimport Outflow
from tricorn.transport.service cimport Lane, Service

cdef enum State:
    CLOSED = 0
    PROXY           # a PROXY header has to come first
    IDLE            # no byte of a request is there
    HEAD            # part of a head is
    BODY            # the body is being collected
    QUEUED          # waits for a thread that may call the application
    RUNNING         # a thread is in the application for it
    PAUSED          # the application's iterator waits until the client has read more
    FLUSHING        # the application is done, the client is still reading
    DISCARD         # a body that nobody read is skipped
    LINGER          # our side is closed; what still comes is thrown away

cdef class Connection(Exchange):
    cdef Service service
    cdef EnvironBuilder builder
    cdef Peer peer
    cdef int fd
    cdef unsigned int serial        # tells this connection from earlier ones with the same descriptor
    cdef State state
    cdef int armed                  # what the poller watches for
    cdef long long deadline         # CLOCK_MONOTONIC, ns; 0: none
    cdef long long body_since       # when the body began to be read
    cdef bint owned                 # a thread deals with it
    cdef bint wants_turn            # its owner puts it into the queue for application threads
    cdef bint broke_off             # the response cannot be completed: make sure that the client can tell
    cdef bint owes_continue         # 100 Continue, when the body is first wanted
    cdef bint head_sent
    cdef int cut_status             # why reading the body failed: the status to answer

    # Bytes that were read but belong to what comes next.
    cdef bytes pending
    # While a head is incomplete.
    cdef RequestHead head
    # While a request is read or answered.
    cdef dict environ
    cdef BodyDecoder decoder
    cdef BodyStore store
    cdef WSGICall call
    cdef StreamInput stream         # what the application reads an unbuffered body from
    cdef object body_file           # the temporary file of a large body
    cdef str method, uri            # as they came: the application may change its environ
    cdef bint client_stays          # the client may send more after this response
    cdef bint more_is_here          # and has done so
    cdef Reply reply
    cdef long long body_left        # of the declared length; -1: none declared
    cdef long long body_sent
    cdef long long started_ns
    cdef Lane lane
    # While the client is behind.
    cdef Outflow outflow

    # What the reactor calls.
    cdef int on_event(self, Lane lane) except -1
    cdef int proceed(self, Lane lane) except -1
    cdef int expire(self, Lane lane) except -1
    cdef int close(self) except -1
    cdef int abort(self) except -1

    cdef int _handle_expiry(self, Lane lane) except -1
    cdef bint _has_queued(self) noexcept
    cdef long long _idle_time(self) noexcept
    cdef int _abandon(self, Lane lane) except -1
    cdef int _enter(self, Lane lane, long long now) except -1
    cdef int _return_control(self, Lane lane) except -1
    cdef int _let_go(self) except -1
    cdef Buffer _out(self)
    cdef int _settle(self, Lane lane) except -1
    cdef int _help(self, Lane lane) except -1
    cdef int _handle_event(self, Lane lane) except -1
    cdef int _handle_turn(self, Lane lane) except -1
    cdef int _arm(self, int interest) except -1
    cdef int _read(self, Lane lane) except -1
    cdef int _received(self, Lane lane, const unsigned char* data, Py_ssize_t size) except -1
    cdef int _read_proxy(self, Lane lane, bytes data) except -1
    cdef int _read_head(self, Lane lane, const unsigned char* data, Py_ssize_t size) except -1
    cdef int _requests(self, Lane lane, RequestHead head, const unsigned char* data, Py_ssize_t size) except -1
    cdef int _await_request(self, Lane lane) except -1
    cdef Py_ssize_t _begin(self, Lane lane, RequestHead head, const unsigned char* data, Py_ssize_t size) except -1
    cdef Py_ssize_t _begin_body(
        self, Lane lane, RequestHead head, const unsigned char* data, Py_ssize_t size) except -1
    cdef Py_ssize_t _read_body(self, Lane lane, const unsigned char* data, Py_ssize_t size) except -1
    cdef Py_ssize_t _skip_body(self, Lane lane, const unsigned char* data, Py_ssize_t size) except -1
    cdef int _end_of_input(self, Lane lane) except -1
    cdef int _ready(self, Lane lane) except -1
    cdef int _queue_up(self) except -1
    cdef int _start(self, Lane lane) except -1
    cdef int _run(self, Lane lane, bint resumed) except -1
    cdef int _leave(self, Lane lane, int outcome, str status, list headers) except -1
    cdef int _response_done(self, Lane lane) except -1
    cdef int _refuse(self, Lane lane, object error) except -1
    cdef int _error_response(self, Lane lane, int status) except -1
    cdef bint _is_too_much_unread(self) noexcept
    cdef int _finish_off(self, Lane lane) except -1
    cdef int _linger(self, Lane lane) except -1
    cdef int _discard_input(self, Lane lane) except -1
    cdef int _flush(self, Lane lane) except -1
    cdef int _flushed(self, Lane lane) except -1
    cdef int _lost(self) except -1
    cdef int _send_continue(self) except -1
    cdef int _transmit(self, Buffer out, bytes piece, const char* tail, Py_ssize_t tail_size) except -1
    cdef int _queue(self, Buffer out, bytes piece, const char* tail, Py_ssize_t tail_size, Py_ssize_t sent) except -1
    cdef int _send_piece(self, Buffer out, bytes piece) except -1
    cdef int _wait_readable(self) except -1
    cdef int _check_body_rate(self) except -1

cdef Connection new_connection(
    Service service, EnvironBuilder builder, int fd, unsigned int serial, Peer peer, long long now)
