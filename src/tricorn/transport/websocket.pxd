from tricorn.gateway.websocket cimport WebSocketCall
from tricorn.http.buffer cimport Buffer
from tricorn.http.websocket cimport Deflate, FrameReader
from tricorn.transport.asgi_request cimport ASGIRequest, LoopRunner, Socket
from tricorn.transport.channel cimport Channel, Protocol
from tricorn.transport.loop_context cimport LoopContext
from tricorn.transport.thread_context cimport ThreadContext
from tricorn.transport.worker_context cimport WorkerContext

cdef enum WebSocketPhase:
    OPENING             # the application has not accepted
    OPEN
    CLOSING             # our close frame is out, the client's is awaited
    ENDED

cdef class WebSocketProtocol(Protocol):
    cdef WebSocketSession session
    cdef bint gives_way             # it goes on with what is pending in a turn of its own

cdef class WebSocketSession(Socket):
    cdef ASGIRequest request        # None: it is over
    cdef LoopRunner runner
    cdef Channel channel
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

    # What the channel brings.
    cdef int on_readable(self, ThreadContext thread) except -1
    cdef bint wants_frames(self) noexcept
    cdef int go_on(self, ThreadContext thread) except -1
    cdef int flushed(self) except -1
    cdef int lost(self) except -1
    cdef bint overdue(self, long long now) noexcept
    cdef int expire(self, ThreadContext thread, long long now) except -1
    cdef int go_away(self, int code) except -1

    cdef Py_ssize_t _frames(self, ThreadContext thread, const unsigned char* data, Py_ssize_t size) except -1
    cdef int _control(self, ThreadContext thread, int event) except -1
    cdef int _ping(self, ThreadContext thread, bytes payload) except -1
    cdef int _give(self, ThreadContext thread, int event) except -1
    cdef bint _end(self) noexcept
    cdef int _leave(self) except -1
    cdef int _tell(self, int code, str reason) except -1
    cdef int _send(self, Buffer out, bytes piece) except -1
    cdef int _say_close(self, int code, str reason) except -1
    cdef int _hang_up(self, ThreadContext thread, int code, str reason) except -1
    cdef bint _is_full(self) noexcept
    cdef int _look_again(self) except -1
