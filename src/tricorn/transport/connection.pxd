from tricorn.gateway.exchange cimport AsyncExchange
from tricorn.gateway.translator cimport Peer
from tricorn.http.buffer cimport Buffer
from tricorn.http.h1 cimport BodyDecoder
from tricorn.http.request cimport RequestHead
from tricorn.http.response cimport Reply
from tricorn.transport.batch cimport Batch
from tricorn.transport.outflow cimport FileSpan, Outflow
from tricorn.transport.service cimport Lane, Service

cdef enum State:
    CLOSED = 0
    PROXY           # a PROXY header has to come first
    IDLE            # no byte of a request is there
    HEAD            # part of a head is
    BODY            # the body is being collected
    QUEUED          # waits for a thread that may call the application
    RUNNING         # the application is at it
    PAUSED          # the application's iterator waits until the client has read more
    FLUSHING        # the application is done, the client is still reading
    DISCARD         # a body that nobody read is skipped
    LINGER          # our side is closed; what still comes is thrown away
    UPGRADED        # it speaks WebSocket from here on

cdef class Connection(AsyncExchange):
    cdef Service service
    cdef Peer peer
    cdef int fd
    cdef unsigned int serial        # tells this connection from earlier ones with the same descriptor
    cdef State state
    cdef int armed                  # what the poller watches for
    cdef long long deadline         # CLOCK_MONOTONIC, ns; 0: none
    cdef bint owned                 # somebody deals with it
    cdef bint broke_off             # the response cannot be completed: make sure that the client can tell
    cdef bint owes_continue         # 100 Continue, when the body is first wanted
    cdef bint head_sent

    # Bytes that were read but belong to what comes next.
    cdef bytes pending
    # While a head is incomplete.
    cdef RequestHead head
    # While a request is read or answered.
    cdef BodyDecoder decoder
    cdef str method, uri            # as they came: the application may change what it is given
    cdef bint client_stays          # the client may send more after this response
    cdef bint more_is_here          # and has done so
    cdef Reply reply
    cdef long long body_left        # of the declared length; -1: none declared
    cdef long long body_sent
    cdef long long started_ns
    cdef Lane lane
    # While the client is behind.
    cdef Outflow outflow
    cdef Batch batch                # which holds the end of a response back

    # What is called from outside.
    cdef int on_event(self, Lane lane) except -1
    cdef int expire(self, Lane lane) except -1
    cdef bint overdue(self, long long now) noexcept
    cdef int begin_drain(self, long long soon, int code) except -1
    cdef int close(self) except -1
    cdef int abort(self) except -1
    cdef int send_held(self, const void* data, Py_ssize_t size, bytes piece) except -1
    cdef int forsake(self) noexcept

    # What a kind of connection fills in.
    cdef int _translate(self, RequestHead head) except -1
    cdef Py_ssize_t _open_request(
        self, Lane lane, RequestHead head, const unsigned char* data, Py_ssize_t size) except -1
    cdef Py_ssize_t _read_body(self, Lane lane, const unsigned char* data, Py_ssize_t size) except -1
    cdef bint _place_body(self, Lane lane, unsigned char** place, Py_ssize_t* size) except -1
    cdef int _placed(self, Lane lane, Py_ssize_t size) except -1
    cdef int _give_way(self) except -1
    cdef int _drop_request(self) except -1
    cdef int _touch(self) except -1
    cdef int _arm_writing(self) except -1
    cdef int _release(self) except -1
    cdef Buffer _out(self)
    # … or adds to.
    cdef int _flushed(self, Lane lane) except -1
    cdef int _lost(self) except -1

    cdef bint _has_queued(self) noexcept
    cdef long long _idle_time(self) noexcept
    cdef int _arm(self, int interest) except -1
    cdef int _read(self, Lane lane) except -1
    cdef int _received(self, Lane lane, const unsigned char* data, Py_ssize_t size) except -1
    cdef int _read_proxy(self, Lane lane, bytes data) except -1
    cdef int _read_head(self, Lane lane, const unsigned char* data, Py_ssize_t size) except -1
    cdef int _requests(self, Lane lane, RequestHead head, const unsigned char* data, Py_ssize_t size) except -1
    cdef int _await_request(self, Lane lane) except -1
    cdef Py_ssize_t _begin(self, Lane lane, RequestHead head, const unsigned char* data, Py_ssize_t size) except -1
    cdef Py_ssize_t _untranslatable(self, Lane lane) except -1
    cdef Py_ssize_t _skip_body(self, Lane lane, const unsigned char* data, Py_ssize_t size) except -1
    cdef int _end_of_input(self, Lane lane) except -1
    cdef int _response_done(self, Lane lane) except -1
    cdef bint _is_too_much_unread(self) noexcept
    cdef int _finish_off(self, Lane lane) except -1
    cdef int _refuse(self, Lane lane, object error) except -1
    cdef int _error_response(self, Lane lane, int status, bytes fields=*) except -1
    cdef int _linger(self, Lane lane) except -1
    cdef int _discard_input(self, Lane lane) except -1
    cdef int _flush(self, Lane lane) except -1
    cdef int _send_continue(self) except -1
    cdef Outflow _outflow(self)
    cdef int _transmit(self, Buffer out, bytes piece, const char* tail, Py_ssize_t tail_size) except -1
    cdef int _transmit_last(self, Buffer out, bytes piece) except -1
    cdef int _queue(self, Buffer out, bytes piece, const char* tail, Py_ssize_t tail_size, Py_ssize_t sent) except -1
    cdef int _send_piece(self, Buffer out, bytes piece) except -1
    cdef int _push_file(self, int source, long long offset, long long size) except -1
    cdef int _push_span(self, FileSpan span) except -1

cdef bint welcome(Connection self, Service service, int fd, unsigned int serial, Peer peer, long long now)
