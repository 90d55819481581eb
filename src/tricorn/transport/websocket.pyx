"""A WebSocket: frames in, messages to the application and back, until one side closes.

The plan. A session begins with the request for it. When the application accepts, a carrier brings its frames. Over HTTP/1 that is the channel: a
WebSocketProtocol takes the place of the protocol that has carried the request, and leads what happens on the channel here. Over HTTP/2 (RFC 8441) it is the
request's stream, which stays one among others. Whatever the client sends in order, it is given to the application in order, and while the application is behind, the client
is not read. Closing is a state of its own: after our close frame nothing more is sent, and the client has a while to answer.

Guarantees: every end is told to the application, once, with a code; a client that pings without end, never reads, never
answers or never closes is cut.

Knows: frames (the engine's reader and writer), close codes, deadlines. Must not know: descriptors, the loop; beyond its carrier, how its
bytes come.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_GET_LENGTH

from tricorn.gateway.websocket cimport WebSocketCall
from tricorn.http.buffer cimport Buffer
from tricorn.http.websocket cimport (
    FRAME_BINARY, FRAME_FAILED, FRAME_MORE, FRAME_PING, FRAME_PONG, FRAME_TEXT, OP_BINARY, OP_PING, OP_PONG,
    OP_TEXT, FrameReader, is_close_code, write_close, write_frame, write_frame_head, write_message, write_text,
)
from tricorn.metrics.figures cimport WEBSOCKETS
from tricorn.scoreboard cimport count_request, monotonic
from tricorn.transport.asgi_request cimport ASGIRequest, LoopRunner, Socket
from tricorn.transport.channel cimport Channel, Protocol
from tricorn.transport.loop_context cimport LoopContext
from tricorn.transport.thread_context cimport THREAD_BUFFER, ThreadContext
from tricorn.transport.poller cimport READ, WRITE
from tricorn.transport.request cimport RequestProtocol, drop_trace
from tricorn.transport.wire cimport WIRE_AGAIN

from tricorn.http.websocket_handshake import accept_fields, accept_head, negotiate
from tricorn.transport.request import SWITCHED

cdef enum:
    # Beyond this a payload is handed to the kernel from where it lies, not copied behind its head.
    INLINE = 16384
    # Reads in a row, before others get their turn.
    READS = 4
    # Of a client's pings in ten seconds: more than any honest one sends, few enough to cost nothing.
    MOST_PINGS = 1000
    MOST_OWED = 4096        # of queued bytes, behind which each ping gets its pong
    # Of messages that the application has not taken, however few they are.
    MOST_WAITING = 1 << 20
    GOING_AWAY = 1001
    NO_CODE = 1005
    ABNORMAL = 1006
    POLICY = 1008
    INTERNAL_ERROR = 1011

cdef long long SECOND = 1000000000


def new_socket(ASGIRequest request, object handshake):
    """The session that a request asks for. handshake: as read_handshake() returns it."""
    cdef WebSocketSession session = WebSocketSession.__new__(WebSocketSession)
    session.request = request
    session.loop_context = request.loop_context
    session.worker = request.loop_context.worker
    session.call = request.call
    session.runner = request.runner
    session.handshake = handshake
    session.carrier = new_carrier(request, session)
    return session


cdef Carrier new_carrier(ASGIRequest request, WebSocketSession session):
    cdef RequestProtocol protocol = request.protocol
    cdef ChannelCarrier alone
    cdef StreamCarrier among_others
    if protocol.version_of(request) < 20:
        alone = ChannelCarrier.__new__(ChannelCarrier)
        alone.session = session
        alone.channel = protocol.channel
        return alone
    among_others = StreamCarrier.__new__(StreamCarrier)
    among_others.session = session
    among_others.protocol = protocol
    among_others.request = request
    return among_others


cdef WebSocketProtocol new_protocol(Channel channel, WebSocketSession session):
    cdef WebSocketProtocol self = WebSocketProtocol.__new__(WebSocketProtocol)
    self.channel = channel
    self.session = session
    return self


cdef class Carrier:
    cdef object answer(self, object handshake, str subprotocol, object headers, object negotiated):
        raise NotImplementedError

    cdef int accept(self, object answer) except -1:
        raise NotImplementedError

    cdef int send(self, Buffer out, bytes piece) except -1:
        raise NotImplementedError

    cdef bint has_queued(self) noexcept:
        return False

    cdef bint is_congested(self, Py_ssize_t most) noexcept:
        return False

    cdef bint is_behind(self) noexcept:
        return False

    cdef int leave(self, ASGIRequest request, ThreadContext thread, bint orderly) except -1:
        raise NotImplementedError

    cdef int end(self, ThreadContext thread) except -1:
        raise NotImplementedError

    cdef int drop(self) except -1:
        raise NotImplementedError

    cdef int look_again(self) except -1:
        raise NotImplementedError


cdef class ChannelCarrier(Carrier):
    """A channel of its own."""

    cdef object answer(self, object handshake, str subprotocol, object headers, object negotiated):
        return accept_head(handshake, subprotocol, headers, negotiated)

    cdef int accept(self, object answer) except -1:
        cdef Channel channel = self.channel
        cdef WebSocketSession session = self.session
        cdef ASGIRequest request = session.request
        cdef RequestProtocol before = request.protocol
        request.call.status = "101 Switching Protocols"
        session.pending = before.hand_over(request)
        channel.protocol = new_protocol(channel, session)
        self.send(None, <bytes>answer)
        return channel.close() if channel.gone else 0

    cdef int send(self, Buffer out, bytes piece) except -1:
        cdef LoopRunner runner = self.session.runner
        return runner.send(self.channel, None, out, piece, NULL, 0, False)

    cdef bint has_queued(self) noexcept:
        return self.channel.has_queued()

    cdef bint is_congested(self, Py_ssize_t most) noexcept:
        return self.channel.is_congested(most)

    cdef bint is_behind(self) noexcept:
        return self.channel.has_queued() and self.channel.table.write_timeout != 0

    cdef int leave(self, ASGIRequest request, ThreadContext thread, bint orderly) except -1:
        cdef LoopRunner runner = request.runner
        runner.ends(request, thread)
        drop_trace(request, thread.now)
        request.call = None         # it goes on, for as long as the application likes
        return request.let_go(thread)

    cdef int end(self, ThreadContext thread) except -1:
        cdef Channel channel = self.channel
        channel.linger(thread, 0)
        return channel.watch() if not channel.owned else 0

    cdef int drop(self) except -1:
        cdef Channel channel = self.channel
        return channel.close()

    cdef int look_again(self) except -1:
        """A fault of ours must not look like one of the application's, which calls us."""
        cdef Channel channel = self.channel
        cdef Protocol protocol = channel.protocol
        cdef LoopRunner runner = self.session.runner
        cdef int outcome
        if channel.owned or channel.closed:
            return 0
        channel.owned = True
        try:
            outcome = protocol.settle(self.session.loop_context.thread)
        except BaseException as error:
            outcome = runner.give_up(channel, error)
        return outcome


cdef class StreamCarrier(Carrier):
    """The stream of its request (RFC 8441), as the protocol of that carries any: what is sent is its response, what comes its body."""

    cdef object answer(self, object handshake, str subprotocol, object headers, object negotiated):
        return accept_fields(handshake, subprotocol, headers, negotiated)

    cdef int accept(self, object answer) except -1:
        cdef WebSocketSession session = self.session
        cdef RequestProtocol protocol = self.protocol
        cdef ASGIRequest request = self.request
        request.call.status = "200 OK"
        if request.body:
            session.pending = b"".join(request.body)    # what a client has sent that did not wait
            request.body = []
            request.body_size = 0
        protocol.respond(request, "200 OK", answer, b"", -1)
        if session.pending is None and not protocol.body_is_open(request):
            return session.on_end(session.loop_context.thread)      # its client has nothing to say, not even a close frame
        return 0

    cdef int send(self, Buffer out, bytes piece) except -1:
        cdef RequestProtocol protocol = self.protocol
        cdef ASGIRequest request = self.request
        cdef bytes frame
        if request is None:
            return 0
        if out is not None and out.size:
            frame = (<const char*>out.data)[:out.size]
            request.body_sent -= out.size       # the session counts messages, the protocol all
            protocol.send_piece(request, frame)
        if piece is not None:
            request.body_sent -= PyBytes_GET_SIZE(piece)
            protocol.send_piece(request, piece)
        return 0

    cdef bint has_queued(self) noexcept:
        return self.request is not None and self.protocol.is_congested(self.request, 0)

    cdef bint is_congested(self, Py_ssize_t most) noexcept:
        return self.request is not None and self.protocol.is_congested(self.request, most)

    cdef bint is_behind(self) noexcept:
        return self.has_queued() and self.protocol.channel.table.write_timeout != 0

    cdef int leave(self, ASGIRequest request, ThreadContext thread, bint orderly) except -1:
        cdef RequestProtocol protocol = self.protocol
        self.request = None
        if orderly:
            protocol.finish(request, None)
        request.call.exchange = None        # the call goes on, for as long as the application likes
        return protocol.request_over(request, thread)

    cdef int end(self, ThreadContext thread) except -1:
        return 0        # its last word was the end of the response

    cdef int drop(self) except -1:
        cdef RequestProtocol protocol = self.protocol
        cdef ASGIRequest request = self.request
        return protocol.break_off(request) if request is not None else 0

    cdef int look_again(self) except -1:
        cdef WebSocketSession session = self.session
        cdef RequestProtocol protocol = self.protocol
        cdef ASGIRequest request = self.request
        cdef LoopContext loop_context = session.loop_context
        if request is None or session.reading or session.pending is None or not session.wants_frames():
            return 0
        if loop_context.task_runner.open:
            session.go_on(loop_context.thread)
            return protocol.took_some(request)
        if self.turns:
            return 0
        self.turns = True                   # application code is on the stack
        return loop_context.later(new_turn(self, protocol.channel))


cdef StreamTurn new_turn(StreamCarrier carrier, Channel channel):
    cdef StreamTurn self = StreamTurn.__new__(StreamTurn)
    self.carrier = carrier
    self.channel = channel
    return self


cdef class StreamTurn(Protocol):
    cdef int proceed(self, ThreadContext thread) except -1:
        cdef StreamCarrier carrier = self.carrier
        carrier.turns = False
        return carrier.look_again()


cdef class WebSocketProtocol(Protocol):
    """The channel of an accepted WebSocket."""

    cdef int on_event(self, ThreadContext thread) except -1:
        cdef Channel channel = self.channel
        cdef WebSocketSession session = self.session
        channel.owned = True
        if channel.has_queued():
            channel.flush(thread)
        if not channel.closed and session.pending is None and not self.gives_way:
            self._read(thread)
        return self.settle(thread)

    def told(self):
        """As Protocol.told(), of its request."""
        cdef ASGIRequest request = self.session.request
        return [] if request is None else [request.told(SWITCHED, request.started_ns)]

    cdef int _read(self, ThreadContext thread) except -1:
        cdef Channel channel = self.channel
        cdef WebSocketSession session = self.session
        cdef ssize_t n = THREAD_BUFFER
        cdef int reads = 0
        while (n == THREAD_BUFFER or channel.has_buffered()) and reads < READS and session.wants_frames():
            n = channel.read(thread.buffer, THREAD_BUFFER)
            if n == 0:
                return session.on_end(thread)
            if n < 0:
                return 0 if n == WIRE_AGAIN else channel.lose()
            reads += 1
            session.take(thread, thread.buffer, n)
        return 0

    cdef int settle(self, ThreadContext thread) except -1:
        """Go on with what is already here, then watch."""
        cdef Channel channel = self.channel
        cdef WebSocketSession session = self.session
        cdef LoopContext loop_context = session.loop_context
        cdef Protocol other
        while session.wants_frames() and not self.gives_way:
            if session.pending is None and not channel.has_buffered():
                break
            if not loop_context.task_runner.open:
                self.on_buffered()          # application code is on the stack
                break
            if session.pending is not None:
                session.go_on(thread)
            else:
                self._read(thread)
        if channel.closed:
            return 0
        if channel.protocol is not self:
            other = channel.protocol
            return other.settle(thread)
        channel.owned = False
        return channel.watch()

    cdef int proceed(self, ThreadContext thread) except -1:
        cdef Channel channel = self.channel
        self.gives_way = False
        if channel.closed or channel.owned or channel.protocol is not self:
            return 0
        channel.owned = True
        return self.settle(thread)

    cdef int on_buffered(self) except -1:
        cdef LoopContext loop_context = self.session.loop_context
        if self.gives_way:
            return 0
        self.gives_way = True
        return loop_context.later(self)

    cdef int interest(self) noexcept:
        cdef Channel channel = self.channel
        cdef int interest = 0 if self.gives_way or self.session.paused else READ
        if channel.has_queued() and not channel.gone and not channel.corked:
            interest |= WRITE
        return interest

    cdef bint overdue(self, long long now) noexcept:
        return (self.channel.deadline != 0 and self.channel.deadline <= now) or self.session.overdue(now)

    cdef int expire(self, ThreadContext thread) except -1:
        cdef Channel channel = self.channel
        cdef WebSocketSession session = self.session
        thread.now = monotonic()      # applications may have run since the sweep began
        if channel.deadline and channel.deadline <= thread.now:
            return channel.abort()
        channel.owned = True
        session.expire(thread, thread.now)
        return self.settle(thread)

    cdef int begin_drain(self, long long soon, int code) except -1:
        cdef WebSocketSession session = self.session
        return session.go_away(code)

    cdef int on_queued(self) except -1:
        cdef Channel channel = self.channel
        return 0 if channel.owned or channel.corked else channel.watch()

    cdef int on_flushed(self, ThreadContext thread) except -1:
        cdef Channel channel = self.channel
        cdef WebSocketSession session = self.session
        if not channel.has_queued():
            channel.deadline = 0
        return session.flushed()

    cdef int on_lost(self) except -1:
        cdef Channel channel = self.channel
        return channel.close()

    cdef int on_closed(self) except -1:
        cdef WebSocketSession session = self.session
        return session.lost()


cdef class WebSocketSession(Socket):
    # ---- what the channel brings -------------------------------------------------------------------

    cdef int take(self, ThreadContext thread, const unsigned char* data, Py_ssize_t size) except -1:
        cdef Py_ssize_t used = 0
        # Whatever a client sends shows that it is there.
        self.ping_deadline = 0
        self.next_ping = thread.now + self.worker.websocket_ping_interval
        if self.pending is not None:
            self.pending += (<const char*>data)[:size]
            return 0
        used = self._frames(thread, data, size)
        if used < size and self.phase != ENDED:
            self.pending = (<const char*>data)[used:size]
        return 0

    cdef int on_end(self, ThreadContext thread) except -1:
        return self._hang_up(thread, ABNORMAL, "")

    cdef long long untaken(self) noexcept:
        return PyBytes_GET_SIZE(self.pending) if self.pending is not None else 0

    cdef bint wants_frames(self) noexcept:
        """Whether it can go on with more."""
        return not self.paused and self.phase != ENDED

    cdef int go_on(self, ThreadContext thread) except -1:
        """With what was read before the application fell behind, or accepted."""
        cdef bytes data = self.pending
        cdef Py_ssize_t used
        self.pending = None
        used = self._frames(thread, <const unsigned char*>PyBytes_AS_STRING(data), len(data))
        if used < len(data) and self.phase != ENDED:
            self.pending = data[used:]
        return 0

    cdef int flushed(self) except -1:
        """The client has read. Much was queued, perhaps."""
        cdef WebSocketCall call = self.call
        cdef bytes payload = self.owed_pong
        if payload is not None and not self.carrier.has_queued():
            self.owed_pong = None
            self._send_control(OP_PONG, payload)
        return call.flushed()

    cdef int lost(self) except -1:
        """Its carrier is gone."""
        if self.request is None:
            return 0
        self._leave(False)
        return self._tell(ABNORMAL, "") if self._end() else 0

    cdef int forget(self) except -1:
        if self.request is None:
            return 0
        self.request = None
        return self._tell(ABNORMAL, "") if self._end() else 0

    cdef int _leave(self, bint orderly) except -1:
        """The request, which has lasted until now, is over."""
        cdef ASGIRequest request = self.request
        cdef Carrier carrier = self.carrier
        cdef ThreadContext thread = self.loop_context.thread
        self.request = None
        thread.now = monotonic()
        count_request(thread.cell, thread.now - request.started_ns)
        return carrier.leave(request, thread, orderly)

    cdef bint _end(self) noexcept:
        """Whether it had not ended before."""
        if self.phase == ENDED:
            return False
        self.phase = ENDED
        self.gone = True
        self.worker.row.data.websockets -= 1
        self.call.line = None
        return True

    cdef int _tell(self, int code, str reason) except -1:
        """The application hears how it ended, and has its grace period."""
        cdef WebSocketCall call = self.call
        call.close(code, reason)
        return self.loop_context.abandon(call, monotonic())

    cdef bint overdue(self, long long now) noexcept:
        if self.phase == CLOSING:
            return self.close_deadline != 0 and self.close_deadline <= now
        if self.phase != OPEN or self.worker.websocket_ping_interval == 0:
            return False
        return (self.ping_deadline or self.next_ping) <= now

    cdef int expire(self, ThreadContext thread, long long now) except -1:
        cdef Carrier carrier = self.carrier
        if self.phase == CLOSING:
            if carrier.is_behind():
                # It has not been sent all of our close frame, or of what comes before; that has a limit of its own.
                self.close_deadline = now + (self.worker.websocket_close_timeout or SECOND)
                return 0
            return carrier.drop()
        if self.ping_deadline and not self.paused:
            self._say_close(INTERNAL_ERROR, "keepalive ping timeout")
            return self._hang_up(thread, ABNORMAL, "keepalive ping timeout")
        # A client whose answer we would not read is only shown that we are there.
        self.ping_deadline = now + self.worker.websocket_ping_timeout if self.worker.websocket_ping_timeout and not self.paused else 0
        self.next_ping = now + self.worker.websocket_ping_interval
        self._send_control(OP_PING, b"")
        return 0

    cdef int conclude(self, object failure) except -1:
        """The application's task is over."""
        cdef WebSocketCall call = self.call
        if self.phase == OPEN:
            self.close_with(1000 if failure is None else INTERNAL_ERROR, "")
            call.close(1000, "")
        return 0

    cdef int go_away(self, int code) except -1:
        """This worker ends."""
        if self.phase == OPEN:
            self.close_with(code, "")
            return self._tell(code, "")
        return 0

    # ---- from the client ---------------------------------------------------------------------------

    cdef Py_ssize_t _frames(self, ThreadContext thread, const unsigned char* data, Py_ssize_t size) except -1:
        """Go through what has come, until the application is behind. Returns how much is used."""
        cdef FrameReader reader = self.reader
        cdef Py_ssize_t used = 0
        cdef Py_ssize_t step
        cdef int event = FRAME_TEXT
        self.reading = True
        try:
            while used < size and not self.paused and self.phase != ENDED and event != FRAME_MORE:
                event = reader.feed(data + used, size - used, &step)
                used += step
                if event == FRAME_TEXT or event == FRAME_BINARY:
                    self._give(thread, event)
                elif event != FRAME_MORE:
                    self._control(thread, event)
        finally:
            self.reading = False
        return used

    cdef int _give(self, ThreadContext thread, int event) except -1:
        cdef FrameReader reader = self.reader
        cdef WebSocketCall call = self.call
        cdef object message = reader.take_message()
        if self.phase != OPEN:
            return 0        # we have closed: nobody takes it
        if event == FRAME_TEXT:
            call.deliver("text", message, PyUnicode_GET_LENGTH(message))
        else:
            call.deliver("bytes", message, PyBytes_GET_SIZE(message))
        self.paused = self._is_full()
        return 0

    cdef bint _is_full(self) noexcept:
        return len(self.call.messages) >= self.worker.websocket_max_queue > 0 or self.call.size >= MOST_WAITING

    cdef int _control(self, ThreadContext thread, int event) except -1:
        cdef FrameReader reader = self.reader
        if event == FRAME_PING:
            return self._ping(thread, <bytes>reader.take_message())
        if event == FRAME_PONG:
            reader.take_message()
            return 0
        if self.phase == OPEN:
            # RFC 6455 §5.5.1: a close is answered with the code that it has.
            self._say_close(reader.close_code, reader.close_reason if event == FRAME_FAILED else "")
        return self._hang_up(thread, reader.close_code, reader.close_reason)

    cdef int _ping(self, ThreadContext thread, bytes payload) except -1:
        if thread.now >= self.window_ends:
            self.window_ends = thread.now + 10 * SECOND
            self.pings = 0
        self.pings += 1
        if self.pings > MOST_PINGS:
            self._say_close(POLICY, "too many pings")
            return self._hang_up(thread, POLICY, "too many pings")
        if self.phase != OPEN:
            return 0
        if self.carrier.is_congested(MOST_OWED):
            self.owed_pong = payload    # RFC 6455 §5.5.3: the last one will do
            return 0
        self._send_control(OP_PONG, payload)
        return 0

    def _send_control(self, int opcode, bytes payload):
        cdef Buffer out = self.loop_context.thread.out
        out.size = 0
        write_frame(out, opcode, PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload))
        self._send(out, None)

    cdef int _send(self, Buffer out, bytes piece) except -1:
        cdef Carrier carrier = self.carrier
        return carrier.send(out, piece)

    cdef int _say_close(self, int code, str reason) except -1:
        cdef Buffer out = self.loop_context.thread.out
        out.size = 0
        write_close(out, code, reason)
        self.owed_pong = None
        return self._send(out, None)

    cdef int _hang_up(self, ThreadContext thread, int code, str reason) except -1:
        """Nothing more is to be said by either side: the application is told, the connection ends."""
        cdef Carrier carrier = self.carrier
        if not self._end():
            return 0
        self._leave(True)
        self.pending = None
        carrier.end(thread)
        return self._tell(code, reason)

    # ---- from the application ----------------------------------------------------------------------

    cdef int accept(self, str subprotocol, object headers) except -1:
        cdef Carrier carrier = self.carrier
        negotiated = negotiate(self.handshake.offers, self.loop_context.compression)
        answer = carrier.answer(self.handshake, subprotocol, headers, negotiated)
        if negotiated is not None:
            self.deflate = negotiated.deflate
        self.reader = FrameReader(self.worker.websocket_max_message, self.deflate)
        self.handshake = None
        self.phase = OPEN
        self.accepted = True
        self.next_ping = monotonic() + self.worker.websocket_ping_interval
        self.worker.row.data.websockets += 1
        if self.worker.figures != NULL:
            self.worker.figures[WEBSOCKETS] += 1
        carrier.accept(answer)
        if self.phase != OPEN:
            return 0            # its client has gone meanwhile
        carrier.look_again()
        return self.go_away(self.loop_context.drain_code) if self.loop_context.drain_code else 0

    cdef int _look_again(self) except -1:
        cdef Carrier carrier = self.carrier
        return carrier.look_again()

    cdef int send_text(self, str text) except -1:
        cdef Buffer out = self.loop_context.thread.out
        if PyUnicode_GET_LENGTH(text) > INLINE and self.deflate is None:
            return self._send_large(OP_TEXT, text.encode("utf-8"))
        out.size = 0
        write_text(out, text, self.deflate)
        self.request.body_sent += out.size
        return self._send(out, None)

    cdef int send_bytes(self, bytes data) except -1:
        cdef Buffer out = self.loop_context.thread.out
        if PyBytes_GET_SIZE(data) > INLINE and self.deflate is None:
            return self._send_large(OP_BINARY, data)
        out.size = 0
        write_message(out, OP_BINARY, data, self.deflate)
        self.request.body_sent += out.size
        return self._send(out, None)

    def _send_large(self, int opcode, bytes data):
        cdef Buffer out = self.loop_context.thread.out
        out.size = 0
        write_frame_head(out, opcode, PyBytes_GET_SIZE(data), False)
        self.request.body_sent += out.size + PyBytes_GET_SIZE(data)
        return self._send(out, data)

    cdef int close_with(self, int code, str reason) except -1:
        if code != NO_CODE and not is_close_code(code):
            raise ValueError(f"{code} is not a close code that may be sent")
        self._say_close(code, reason)
        if self.phase != OPEN:
            return 0
        self.phase = CLOSING
        self.paused = False
        self.close_deadline = monotonic() + (self.worker.websocket_close_timeout or SECOND)
        return self._look_again()

    cdef bint congested(self) noexcept:
        return self.carrier.is_congested(self.worker.response_buffer)

    cdef int taken(self) except -1:
        """The application has taken a message; its size is not known any more, so the sum begins anew when all are taken."""
        if not self.call.messages:
            self.call.size = 0
        if self.paused and self.phase == OPEN and len(self.call.messages) <= self.worker.websocket_max_queue // 2:
            if self.call.size < MOST_WAITING:
                self.paused = False
                self.ping_deadline = 0      # its answer may be among what was not read
                if not self.reading:
                    return self._look_again()
        return 0
