from tricorn.gateway.websocket cimport WebSocketCall
from tricorn.http.buffer cimport Buffer
from tricorn.http.websocket cimport Deflate, FrameReader
from tricorn.transport.asgi_request cimport ASGIRequest, LoopRunner, Socket
from tricorn.transport.channel cimport Channel, Protocol
from tricorn.transport.loop_context cimport LoopContext
from tricorn.transport.request cimport RequestProtocol
from tricorn.transport.thread_context cimport ThreadContext
from tricorn.transport.worker_context cimport WorkerContext

cdef enum WebSocketPhase:
    OPENING             # the application has not accepted
    OPEN
    CLOSING             # our close frame is out, the client's is awaited
    ENDED

cdef class WebSocketSession

# What carries the frames of a session: a channel that becomes its own, or a stream among others.
cdef class Carrier:
    cdef WebSocketSession session

    # What accepts it, for accept(). Raises ResponseError.
    cdef object answer(self, object handshake, str subprotocol, object headers, object negotiated)
    cdef int accept(self, object answer) except -1
    cdef int send(self, Buffer out, bytes piece) except -1
    cdef bint has_queued(self) noexcept
    cdef bint is_congested(self, Py_ssize_t most) noexcept
    # Whether bytes wait for the client, for which that has a limit of its own.
    cdef bint is_behind(self) noexcept
    # The request is over. orderly: nothing is missing.
    cdef int leave(self, ASGIRequest request, ThreadContext thread, bint orderly) except -1
    # Nothing more is said by either side, what is queued is still sent; or not even that.
    cdef int end(self, ThreadContext thread) except -1
    cdef int drop(self) except -1
    # There may be something to go on with.
    cdef int look_again(self) except -1

cdef class ChannelCarrier(Carrier):
    cdef Channel channel

cdef class StreamCarrier(Carrier):
    cdef RequestProtocol protocol
    cdef ASGIRequest request
    cdef bint turns                 # it goes on in a turn of its own

# That turn. (A Protocol, since it is given turns as those are.)
cdef class StreamTurn(Protocol):
    cdef StreamCarrier carrier

cdef class WebSocketProtocol(Protocol):
    cdef WebSocketSession session
    cdef bint gives_way             # it goes on with what is pending in a turn of its own

    cdef int _read(self, ThreadContext thread) except -1

cdef class WebSocketSession(Socket):
    cdef ASGIRequest request        # None: it is over
    cdef LoopRunner runner
    cdef Carrier carrier
    cdef LoopContext loop_context
    cdef WorkerContext worker
    cdef WebSocketCall call
    cdef object handshake
    cdef FrameReader reader
    cdef Deflate deflate
    cdef bytes pending              # what was read and not gone through
    cdef WebSocketPhase phase
    cdef bint paused                # the application is behind: the client is not read
    cdef bint reading               # frames are being gone through
    cdef bytes owed_pong            # of the last ping, while the client does not read
    cdef int pings                  # of the client, in the window that ends at
    cdef long long window_ends
    cdef long long next_ping        # ours; 0: none
    cdef long long ping_deadline    # for any sign of life; 0: none is awaited
    cdef long long close_deadline

    cdef bint wants_frames(self) noexcept
    cdef int go_on(self, ThreadContext thread) except -1

    cdef Py_ssize_t _frames(self, ThreadContext thread, const unsigned char* data, Py_ssize_t size) except -1
    cdef int _control(self, ThreadContext thread, int event) except -1
    cdef int _ping(self, ThreadContext thread, bytes payload) except -1
    cdef int _give(self, ThreadContext thread, int event) except -1
    cdef bint _end(self) noexcept
    cdef int _leave(self, bint orderly) except -1
    cdef int _tell(self, int code, str reason) except -1
    cdef int _send(self, Buffer out, bytes piece) except -1
    cdef int _say_close(self, int code, str reason) except -1
    cdef int _hang_up(self, ThreadContext thread, int code, str reason) except -1
    cdef bint _is_full(self) noexcept
    cdef int _look_again(self) except -1
