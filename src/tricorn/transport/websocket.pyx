"""A WebSocket on a connection: frames in, messages to the application and back, until one side closes.

The plan. The connection stays the owner of the descriptor and of what is queued for it; from the handshake on it hands over
what it reads. Whatever the client sends in order, it is given to the application in order, and while the application is behind, the client
is not read. Closing is a state of its own: after our close frame nothing more is sent, and the client has a while to answer.

Guarantees: every end is told to the application, once, with a code; a client that pings without end, never reads, never
answers or never closes is cut.

Knows: frames (the engine's reader and writer), close codes, deadlines. Must not know: descriptors, the loop.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_GET_LENGTH

from tricorn.gateway.websocket cimport WebSocketCall
from tricorn.http.buffer cimport Buffer
from tricorn.http.websocket cimport (
    FRAME_BINARY, FRAME_FAILED, FRAME_MORE, FRAME_PING, FRAME_PONG, FRAME_TEXT, OP_BINARY, OP_PING, OP_PONG,
    OP_TEXT, FrameReader, is_close_code, write_close, write_frame, write_frame_head, write_message, write_text,
)
from tricorn.scoreboard cimport monotonic
from tricorn.transport.connection cimport UPGRADED, Connection
from tricorn.transport.house cimport House
from tricorn.transport.looped cimport LoopConnection
from tricorn.transport.service cimport LANE_BUFFER, Lane
from tricorn.transport.system cimport EAGAIN, EINTR, errno, recv

from tricorn.http.websocket_handshake import accept_head, negotiate

cdef enum:
    # Beyond this a payload is handed to the kernel from where it lies, not copied behind its head.
    INLINE = 16384
    # Reads in a row, before others get their turn.
    READS = 4
    # Of a client's pings in ten seconds: more than any honest one sends, few enough to cost nothing.
    MOST_PINGS = 1000
    # Of messages that the application has not taken, however few they are.
    MOST_WAITING = 1 << 20
    GOING_AWAY = 1001
    NO_CODE = 1005
    ABNORMAL = 1006
    POLICY = 1008
    INTERNAL_ERROR = 1011

cdef long long SECOND = 1000000000


cdef WebSocketLine new_line(Connection connection, House house, WebSocketCall call, object handshake):
    cdef WebSocketLine self = WebSocketLine.__new__(WebSocketLine)
    self.connection = connection
    self.house = house
    self.terms = house.websockets
    self.call = call
    self.handshake = handshake
    return self


cdef class WebSocketLine(MessageExchange):
    # ---- what the connection calls -----------------------------------------------------------------

    cdef int on_readable(self, Lane lane) except -1:
        cdef Connection connection = self.connection
        cdef ssize_t n = LANE_BUFFER
        cdef Py_ssize_t used
        cdef int reads = 0
        while n == LANE_BUFFER and reads < READS and not self.paused and connection.state == UPGRADED:
            n = recv(connection.fd, lane.buffer, LANE_BUFFER, 0)
            if n == 0:
                return self._hang_up(lane, ABNORMAL, "")
            if n < 0:
                return 0 if errno == EAGAIN or errno == EINTR else connection._lost()
            # Whatever a client sends shows that it is there.
            self.ping_deadline = 0
            self.next_ping = lane.now + self.terms.ping_interval
            reads += 1
            used = self._frames(lane, lane.buffer, n)
            if used < n and connection.state == UPGRADED:
                connection.pending = (<const char*>lane.buffer)[used:n]
        return 0

    cdef int go_on(self, Lane lane) except -1:
        """With what was read before the application fell behind, or accepted."""
        cdef Connection connection = self.connection
        cdef bytes data = connection.pending
        cdef Py_ssize_t used
        if data is None or self.paused or self.phase == OPENING or self.phase == ENDED:
            return 0
        connection.pending = None
        used = self._frames(lane, <const unsigned char*>PyBytes_AS_STRING(data), len(data))
        if used < len(data) and connection.state == UPGRADED:
            connection.pending = data[used:]
        return 0

    cdef int flushed(self) except -1:
        """The client has read. Much was queued, perhaps."""
        cdef WebSocketCall call = self.call
        cdef bytes payload = self.owed_pong
        if payload is not None and not self.connection._has_queued():
            self.owed_pong = None
            self._send_control(OP_PONG, payload)
        return call.drained()

    cdef int lost(self) except -1:
        """The descriptor is closed, or as good as that."""
        return self._tell(ABNORMAL, "") if self._end() else 0

    cdef bint _end(self) noexcept:
        """Whether it had not ended before."""
        if self.phase == ENDED:
            return False
        self.phase = ENDED
        self.gone = True
        self.house.service.row.data.websockets -= 1
        self.call.line = None
        return True

    cdef int _tell(self, int code, str reason) except -1:
        """The application hears how it ended, and has its grace period."""
        cdef WebSocketCall call = self.call
        call.close(code, reason)
        return self.house.leave(call, monotonic())

    cdef bint overdue(self, long long now) noexcept:
        if self.phase == CLOSING:
            return self.close_deadline != 0 and self.close_deadline <= now
        if self.phase != OPEN or self.terms.ping_interval == 0:
            return False
        return (self.ping_deadline or self.next_ping) <= now

    cdef int expire(self, Lane lane, long long now) except -1:
        cdef Connection connection = self.connection
        if self.phase == CLOSING:
            if connection._has_queued() and self.house.service.write_timeout:
                # It has not been sent all of our close frame, or of what comes before; that has a limit of its own.
                self.close_deadline = now + (self.terms.close_timeout or SECOND)
                return 0
            return connection.close()
        if self.ping_deadline and not self.paused:
            self._say_close(INTERNAL_ERROR, "keepalive ping timeout")
            return self._hang_up(lane, ABNORMAL, "keepalive ping timeout")
        # A client whose answer we would not read is only shown that we are there.
        self.ping_deadline = now + self.terms.ping_timeout if self.terms.ping_timeout and not self.paused else 0
        self.next_ping = now + self.terms.ping_interval
        self._send_control(OP_PING, b"")
        return 0

    cdef int conclude(self, object failure) except -1:
        """The application's task is over."""
        cdef WebSocketCall call = self.call
        if self.phase == OPEN:
            self.close_with(1000 if failure is None else INTERNAL_ERROR, "")
            call.close(1000, "")
        return 0

    cdef int drain(self, int code) except -1:
        """This worker ends."""
        if self.phase == OPEN:
            self.close_with(code, "")
            return self._tell(code, "")
        return 0

    # ---- from the client ---------------------------------------------------------------------------

    cdef Py_ssize_t _frames(self, Lane lane, const unsigned char* data, Py_ssize_t size) except -1:
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
                    self._give(lane, event)
                elif event != FRAME_MORE:
                    self._control(lane, event)
        finally:
            self.reading = False
        return used

    cdef int _give(self, Lane lane, int event) except -1:
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
        return len(self.call.messages) >= self.terms.max_queue > 0 or self.call.size >= MOST_WAITING

    cdef int _control(self, Lane lane, int event) except -1:
        cdef FrameReader reader = self.reader
        if event == FRAME_PING:
            return self._ping(lane, <bytes>reader.take_message())
        if event == FRAME_PONG:
            reader.take_message()
            return 0
        if self.phase == OPEN:
            # RFC 6455 §5.5.1: a close is answered with the code that it has.
            self._say_close(reader.close_code, reader.close_reason if event == FRAME_FAILED else "")
        return self._hang_up(lane, reader.close_code, reader.close_reason)

    cdef int _ping(self, Lane lane, bytes payload) except -1:
        if lane.now >= self.window_ends:
            self.window_ends = lane.now + 10 * SECOND
            self.pings = 0
        self.pings += 1
        if self.pings > MOST_PINGS:
            self._say_close(POLICY, "too many pings")
            return self._hang_up(lane, POLICY, "too many pings")
        if self.phase != OPEN:
            return 0
        if self.connection._has_queued():
            self.owed_pong = payload    # RFC 6455 §5.5.3: the last one will do
            return 0
        self._send_control(OP_PONG, payload)
        return 0

    def _send_control(self, int opcode, bytes payload):
        cdef Connection connection = self.connection
        cdef Buffer out = connection.lane.out
        out.size = 0
        write_frame(out, opcode, PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload))
        connection._transmit(out, None, NULL, 0)

    cdef int _say_close(self, int code, str reason) except -1:
        cdef Connection connection = self.connection
        cdef Buffer out = connection.lane.out
        out.size = 0
        write_close(out, code, reason)
        self.owed_pong = None
        return connection._transmit(out, None, NULL, 0)

    cdef int _hang_up(self, Lane lane, int code, str reason) except -1:
        """Nothing more is to be said by either side: the application is told, the connection ends."""
        cdef LoopConnection connection = <LoopConnection>self.connection
        if not self._end():
            return 0
        connection.end_socket(lane)
        return self._tell(code, reason)

    # ---- from the application ----------------------------------------------------------------------

    cdef int accept(self, str subprotocol, object headers) except -1:
        cdef LoopConnection connection = <LoopConnection>self.connection
        negotiated = negotiate(self.handshake.offers, self.terms.compression)
        head = accept_head(self.handshake, subprotocol, headers, negotiated)
        if negotiated is not None:
            self.deflate = negotiated.deflate
        self.reader = FrameReader(self.terms.max_message, self.deflate)
        self.handshake = None
        self.phase = OPEN
        self.next_ping = monotonic() + self.terms.ping_interval
        self.house.service.row.data.websockets += 1
        connection._transmit(None, head, NULL, 0)
        connection.become_socket()
        return self.drain(self.house.drain_code) if self.house.drain_code else 0

    cdef int send_text(self, str text) except -1:
        cdef Connection connection = self.connection
        cdef Buffer out = connection.lane.out
        if PyUnicode_GET_LENGTH(text) > INLINE and self.deflate is None:
            return self._send_large(OP_TEXT, text.encode("utf-8"))
        out.size = 0
        write_text(out, text, self.deflate)
        connection.body_sent += out.size
        return connection._transmit(out, None, NULL, 0)

    cdef int send_bytes(self, bytes data) except -1:
        cdef Connection connection = self.connection
        cdef Buffer out = connection.lane.out
        if PyBytes_GET_SIZE(data) > INLINE and self.deflate is None:
            return self._send_large(OP_BINARY, data)
        out.size = 0
        write_message(out, OP_BINARY, data, self.deflate)
        connection.body_sent += out.size
        return connection._transmit(out, None, NULL, 0)

    def _send_large(self, int opcode, bytes data):
        cdef Connection connection = self.connection
        cdef Buffer out = connection.lane.out
        out.size = 0
        write_frame_head(out, opcode, PyBytes_GET_SIZE(data), False)
        connection.body_sent += out.size + PyBytes_GET_SIZE(data)
        connection._transmit(out, data, NULL, 0)
        return 0

    cdef int close_with(self, int code, str reason) except -1:
        if code != NO_CODE and not is_close_code(code):
            raise ValueError(f"{code} is not a close code that may be sent")
        self._say_close(code, reason)
        if self.phase != OPEN:
            return 0
        self.phase = CLOSING
        self.paused = False
        self.close_deadline = monotonic() + (self.terms.close_timeout or SECOND)
        return (<LoopConnection>self.connection).look_again()

    cdef bint congested(self) noexcept:
        return self.connection.congested()

    cdef int taken(self) except -1:
        """The application has taken a message; its size is not known any more, so the sum begins anew when all are taken."""
        if not self.call.messages:
            self.call.size = 0
        if self.paused and self.phase == OPEN and len(self.call.messages) <= self.terms.max_queue // 2:
            if self.call.size < MOST_WAITING:
                self.paused = False
                self.ping_deadline = 0      # its answer may be among what was not read
                if not self.reading:
                    return (<LoopConnection>self.connection).look_again()
        return 0
