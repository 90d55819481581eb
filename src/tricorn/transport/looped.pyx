"""A connection whose application runs as a task of an event loop: ASGI.

The plan. Everything happens in one thread, but not in one order: the application's code is called from here (it is started, it is
woken) and calls back (it sends, it ends its response), also at times when nothing has happened on this connection. So:
while an event of this connection is dealt with it is `owned`, and what the application ends meanwhile is only noted and dealt
with by the owner; otherwise it is dealt with on the spot, and whatever would call an application again is left to
the next turn of the loop.

While a request is served the descriptor stays watched, so that the end of its client is seen at once. Its body is read
when there is room for it (back-pressure), and on the spot when the application asks for more.

Guarantees: a call that its client has left gets its grace period and is then cancelled; background work after a response
holds nothing up; a client that trickles, stalls or does not read is ended by the sweep.

Knows: calls of the ASGI gateway. Must not know: how the loop is told about descriptors and timers.
"""

from tricorn.gateway.asgi cimport HTTPCall
from tricorn.gateway.scope cimport ScopeBuilder, header_of
from tricorn.gateway.translator cimport Peer, method_of
from tricorn.gateway.waiting cimport PENDING, Gate, call_within, context_of, failure_of, outcome_of
from tricorn.gateway.websocket cimport WebSocketCall
from tricorn.http.buffer cimport Buffer
from tricorn.http.h1 cimport CUT_BODY, MORE, REFUSED, SLOW_BODY, SLOW_HEAD, BodyDecoder, refusal
from tricorn.http.request cimport BODY_CHUNKED, NO_BODY, RequestHead
from tricorn.http.response cimport write_error, write_trailers
from tricorn.scoreboard cimport count_request, monotonic, set_label
from tricorn.transport.connection cimport (
    CLOSED, DISCARD, FLUSHING, HEAD, IDLE, LINGER, PROXY, RUNNING, UPGRADED, Connection, welcome,
)
from tricorn.transport.house cimport House
from tricorn.transport.outflow cimport FileSpan, adopt_span
from tricorn.transport.poller cimport READ, WRITE
from tricorn.transport.service cimport LANE_BUFFER, Lane, Service
from tricorn.transport.system cimport (
    CLOCK_REALTIME_COARSE, EAGAIN, EINTR, SHUT_RDWR, clock_gettime, errno, recv, shutdown, timespec,
)
from tricorn.transport.websocket cimport ENDED, OPENING, WebSocketLine, new_line

from asyncio import CancelledError
from functools import partial
from http import HTTPStatus

from tricorn.gateway.errors import ClientDisconnected, GatewayError
from tricorn.http.errors import ProtocolError
from tricorn.http.websocket_handshake import is_upgrade, read_handshake
from tricorn.log.exceptions import members_of, previous_of
from tricorn.transport.failures import is_a, report
from tricorn.transport.files import open_path, open_stretch
from tricorn.transport.stacks import awaiting_stack

cdef enum:
    # Reads of a body on the spot, before others get their turn.
    BODY_READS = 16
    # What is longer, in one piece or in several, is not copied.
    COLLECTED = 16384
    # So much is queued before the socket is asked.
    CORKED = 524288
    # Exceptions of one failure that are looked at for a reason not to log it.
    MOST_LINKS = 64

cdef long long SECOND = 1000000000
# In the access log, where a client did not wait for its response. No client ever sees it; nginx began with it.
cdef str CLIENT_GONE = "499 Client Closed Request"


cdef Connection new_looped(
    House house, ScopeBuilder builder, int fd, unsigned int serial, Peer peer, long long now
):
    """None: this peer may not connect."""
    cdef LoopConnection self = LoopConnection.__new__(LoopConnection)
    if not welcome(self, house.service, fd, serial, peer, now):
        return None
    self.house = house
    self.builder = builder
    self.lane = house.lane
    self.reply.octets = True
    return self


cdef class Ending:
    """Told when a task is over."""

    cdef LoopConnection connection
    cdef HTTPCall call

    def __call__(self, task):
        cdef LoopConnection connection = self.connection
        connection.house.ended(self.call)
        connection.conclude(self.call, failure_of(task))


cdef class LoopConnection(Connection):
    # ---- what the hub calls ------------------------------------------------------------------------

    cdef int on_event(self, Lane lane) except -1:
        cdef WebSocketLine line
        self.owned = True
        self.body_reads = 0
        if self._has_queued():
            self._flush(lane)
        if self.state == RUNNING:
            self._read_running(lane)
        elif self.state == LINGER:
            self._discard_input(lane)
        elif self.pending is not None and self.state != PROXY:
            pass                # it goes on with that, now that it may; what comes later is read later
        elif self.state == UPGRADED:
            line = self.line    # which the connection may let go of meanwhile
            line.on_readable(lane)
        elif self.state != FLUSHING and self.state != CLOSED and not self.gives_way:
            self._read(lane)
        return self._settle(lane)

    cdef int proceed(self, Lane lane) except -1:
        """Its turn has come to go on with what is already here."""
        self.gives_way = False
        if self.state == CLOSED or self.owned:
            return 0
        self.owned = True
        return self._settle(lane)

    cdef int _settle(self, Lane lane) except -1:
        """Go on with what is already here, then watch for what the state waits for."""
        cdef WebSocketLine line
        cdef bytes data
        while True:
            if self.is_over:
                self._leave(lane)
            if self.pending is None or not (self.state == IDLE or self.state == DISCARD or self._has_frames()):
                break
            if not self.house.gate.open:
                self._give_way()            # application code is on the stack
            if self.gives_way:
                break
            if self.state == UPGRADED:
                line = self.line
                line.go_on(lane)
                continue
            data = self.pending
            self.pending = None
            self._received(lane, <const unsigned char*>data, len(data))
        self.owned = False
        return 0 if self.state == CLOSED else self._interest()

    cdef bint _has_frames(self):
        """Whether the WebSocket can go on with what is pending."""
        cdef WebSocketLine line
        if self.state != UPGRADED:
            return False
        line = self.line
        return not line.paused and line.phase != ENDED

    cdef int _interest(self) except -1:
        """Watch for what the state waits for."""
        cdef int interest = READ
        if self.state == RUNNING:
            if self.decoder is not None and not self.decoder.is_finished():
                interest = READ if self._wants_body() else 0
            elif self.pending is not None and len(self.pending) >= LANE_BUFFER:
                interest = 0
            if self.ended or self.gone:
                interest = 0
        elif self.gives_way or self.state == FLUSHING or (self.state == UPGRADED and (<WebSocketLine>self.line).paused):
            interest = 0
        if self._has_queued() and not self.gone and not self.corked:
            interest |= WRITE
        return self._arm(interest) if interest != self.armed else 0

    cdef int expire(self, Lane lane) except -1:
        cdef long long now = monotonic()        # applications may have run since the sweep began
        cdef WebSocketLine line
        lane.now = now
        self.owned = True
        if self.state == HEAD:
            self._refuse(lane, refusal(SLOW_HEAD))
        elif self.state == RUNNING:
            if self.deadline and self.deadline <= now:
                shutdown(self.fd, SHUT_RDWR)        # it reads nothing
                self._lost()
            elif (self.body_deadline and self.body_deadline <= now) or self._trickles(now):
                self._cut(lane, refusal(SLOW_BODY))
            else:
                self._time_out(lane)
        elif self.state == UPGRADED and not (self.deadline and self.deadline <= now):
            line = self.line
            line.expire(lane, now)
        elif self.state == FLUSHING or self.state == UPGRADED:
            self.abort()
        else:
            self.close()
        return self._settle(lane)

    cdef bint overdue(self, long long now) noexcept:
        if self.deadline and self.deadline <= now:
            return True
        if self.state == UPGRADED:
            return (<WebSocketLine>self.line).overdue(now)
        if self.state != RUNNING:
            return False
        if (self.body_deadline and self.body_deadline <= now) or self._trickles(now):
            return True
        return self.service.request_timeout and not self.gone and now - self.active_ns > self.service.request_timeout

    cdef int begin_drain(self, long long soon, int code) except -1:
        cdef WebSocketLine line
        if self.state == UPGRADED:
            line = self.line
            return line.drain(code)
        return Connection.begin_drain(self, soon, code)

    # ---- reading -----------------------------------------------------------------------------------

    cdef int _translate(self, RequestHead head) except -1:
        self.method = method_of(head)
        self.uri = head.text(head.target)
        self.scope = self.builder.build(head, self.peer, self.method, self.uri, &self.takes_trailers)
        return 0

    cdef Py_ssize_t _open_request(
        self, Lane lane, RequestHead head, const unsigned char* data, Py_ssize_t size
    ) except -1:
        cdef Py_ssize_t used = 0
        cdef HTTPCall call
        # With a body it is no handshake: nobody would read that, and it must not become frames, or a request.
        if head.wants_upgrade and head.framing == NO_BODY and is_upgrade(header_of(self.scope, b"upgrade") or b""):
            return self._open_socket(lane, data, size)
        call = HTTPCall.__new__(HTTPCall)
        call.exchange = self
        call.method = self.method
        call.uri = self.uri
        self.call = call
        self.gone = self.torn = self.broke_off = self.ended = self.is_over = False
        self.body_sent = 0
        self.body_left = -1
        self.state = RUNNING
        if head.framing != NO_BODY:
            self.decoder = BodyDecoder.__new__(BodyDecoder)
            self.decoder.begin(head)
            self.owes_continue = head.expect_continue
            self.body = []
            self.body_size = 0
            self.body_waited = self.body_since = self.body_deadline = 0
            used = self._take(lane, data, size)
            if self.state != RUNNING:
                return used
            if self.owes_continue and self.decoder.received:
                self.owes_continue = False      # it has not waited for it
        self.more_is_here = used < size
        self._start(lane)
        if self.is_over:
            self._leave(lane)
        return used

    cdef Py_ssize_t _open_socket(self, Lane lane, const unsigned char* data, Py_ssize_t size) except -1:
        """A request for a WebSocket. Until the application accepts, it is a request without a body."""
        cdef WebSocketCall call = WebSocketCall.__new__(WebSocketCall)
        try:
            handshake = read_handshake(self.method, self.reply.minor, self.scope["headers"])
        except ProtocolError as error:
            self._refuse(lane, error)
            return 0
        self.builder.make_websocket(self.scope, list(handshake.subprotocols))
        call.exchange = self
        call.method = self.method
        call.uri = self.uri
        self.call = call
        self.line = call.line = new_line(self, self.house, call, handshake)
        self.gone = self.torn = self.broke_off = self.ended = self.is_over = False
        self.body_sent = 0
        self.body_left = -1
        self.state = RUNNING
        self.decoder = None
        self.pending = (<const char*>data)[:size] if size else None
        self.more_is_here = size > 0
        self._start(lane)
        if self.is_over:
            self._leave(lane)
        return size

    # ---- what a WebSocket calls --------------------------------------------------------------------

    cdef int become_socket(self) except -1:
        """It is accepted: what the client sends from here on are frames."""
        self.state = UPGRADED
        self.head_sent = True
        self.call.status = "101 Switching Protocols"
        return self.close() if self.gone else self.look_again()

    cdef int end_socket(self, Lane lane) except -1:
        """The closing handshake is over, or cannot be had. What is queued is still sent."""
        self._record(lane)
        self.call = None
        self.line = None
        self._detach()
        self.reply.keep_alive = False
        self.body_left = 0
        self._release()
        if self.state == CLOSED:
            return 0
        if self._has_queued() and not self.gone:
            self.state = FLUSHING
            self.broke_off = True       # and then linger
            return 0 if self.owned else self._interest()
        return self._linger(lane)

    cdef int look_again(self) except -1:
        """There may be something to go on with."""
        return 0 if self.owned else self._resume()

    cdef int _resume(self) except -1:
        """Go on from a call of the application's, to whom a fault of ours must not look like one of its own."""
        self.owned = True
        try:
            return self._settle(self.lane)
        except BaseException as error:
            return self.house.give_up(self, error)

    cdef bint _wants_body(self) noexcept:
        return self.body_size < self.service.request_buffer and not self.owes_continue

    cdef int _read_running(self, Lane lane) except -1:
        """The client of a running request has sent more, or has ended."""
        cdef ssize_t n = recv(self.fd, lane.buffer, LANE_BUFFER, 0)
        cdef Py_ssize_t used = 0
        cdef HTTPCall call
        if n == 0:
            return self._client_ended(lane)
        if n < 0:
            if errno == EAGAIN or errno == EINTR:
                return 0
            return self._lost()
        if self.decoder is not None and not self.decoder.is_finished():
            used = self._take(lane, lane.buffer, n)
            if self.state != RUNNING:
                return 0
        if used < n:
            self.more_is_here = True
            data = (<const char*>lane.buffer)[used:n]
            self.pending = data if self.pending is None else self.pending + data
        call = self.call
        return call.arrived() if used and call is not None else 0

    cdef Py_ssize_t _take(self, Lane lane, const unsigned char* data, Py_ssize_t size) except -1:
        """Decode what has come of a body. Returns how much of `data` is used."""
        cdef const unsigned char* content
        cdef Py_ssize_t length
        cdef Py_ssize_t step
        cdef Py_ssize_t used = 0
        cdef int progress = MORE
        cdef BodyDecoder decoder = self.decoder
        cdef bint chunked = decoder.framing == BODY_CHUNKED
        lane.out.size = 0
        while progress == MORE and used < size:
            progress = decoder.decode(data + used, size - used, &step, &content, &length, self.service.limits)
            used += step
            if progress == REFUSED:
                self._cut(lane, refusal(decoder.error))
                return used
            if length and chunked:
                lane.out.add(content, length)       # many small chunks are one piece
            elif length:
                self.body.append((<const char*>content)[:length])
                self.body_size += length
        if lane.out.size:
            self.body.append((<const char*>lane.out.data)[:lane.out.size])
            self.body_size += lane.out.size
        self._wait_for_body(not decoder.is_finished() and self._wants_body())
        return used

    cdef int _wait_for_body(self, bint wanted) noexcept:
        """The client has sent something, or has been asked for more: its time begins anew."""
        cdef long long now
        if not self.service.body_timeout:
            return 0
        if not wanted and self.body_since == 0:
            return 0
        now = monotonic()
        if self.body_since:
            self.body_waited += now - self.body_since
        self.body_since = now if wanted else 0
        self.body_deadline = now + self.service.body_timeout if wanted else 0
        return 0

    cdef bint _trickles(self, long long now) noexcept:
        """A body below the minimum rate, once the client has had the time of one stall."""
        cdef Service service = self.service
        cdef long long waited
        if self.body_since == 0 or service.min_body_rate == 0:
            return False
        waited = self.body_waited + now - self.body_since
        if waited <= service.body_timeout:
            return False
        return self.decoder.received < service.min_body_rate * (waited // 1000000) // 1000

    cdef int _client_ended(self, Lane lane) except -1:
        """It has closed its side. It may still read: an answer that comes soon is sent."""
        cdef HTTPCall call = self.call
        if self.decoder is not None and not self.decoder.is_finished():
            return self._cut(lane, refusal(CUT_BODY))
        self.ended = True
        self.house.leave(call, monotonic())
        return call.disconnect()

    cdef int _cut(self, Lane lane, object error) except -1:
        """The body of a running request cannot be read on: refuse the request if that is still possible."""
        cdef HTTPCall call = self.call
        self._log(call, partial(self._log_refusal, error))
        self.ended = True
        self.pending = None
        self._wait_for_body(False)
        self.reply.keep_alive = False
        if self.head_sent:
            self.decoder = None
            self.house.leave(call, monotonic())
            return call.disconnect()
        self._detach()
        return self._error_response(lane, error.status)

    cdef int _lost(self) except -1:
        cdef HTTPCall call = self.call
        if self.state == UPGRADED:
            self.gone = True
            return self.close()
        if self.state != RUNNING or call is None:       # or its response was handed over just now
            return Connection._lost(self)
        self.gone = True
        if self.outflow is not None:
            self.outflow.clear()
        self.deadline = 0
        self._wait_for_body(False)
        if not self.owned:
            self._interest()
        self.house.leave(call, monotonic())
        return call.disconnect()

    # ---- serving -----------------------------------------------------------------------------------

    cdef int _start(self, Lane lane) except -1:
        cdef HTTPCall call = self.call
        cdef House house = self.house
        cdef Ending ending
        cdef object failure = None
        call.starting = True
        self.started_ns = self.active_ns = lane.now      # nothing has run since the clock was read
        set_label(lane.cell, self.method, self.uri)
        try:
            call.run(house.gate, house.application, self.scope)
        except BaseException as error:      # the application's: sys.exit() and the like end no worker
            failure = error
        call.starting = False
        if failure is None:
            failure = outcome_of(call.task, call.ended)
        if failure is PENDING:
            house.calls.add(call)
            house.started(call)
            ending = Ending.__new__(Ending)
            ending.connection = self
            ending.call = call
            call.task.add_done_callback(ending, context=house.gate.context)
            return call.flush_head()
        return self.conclude(call, failure)

    cdef int conclude(self, HTTPCall call, object failure) except -1:
        """The application's task is over."""
        cdef Lane lane = self.lane
        cdef bint owned = self.owned
        cdef WebSocketLine line = self.line
        if call.context is None and call.task is not None and (failure is not None or not call.ended):
            call.context = context_of(call.task)
        # Its exception leads to frames, and these to the call: left alone, that would be a cycle.
        call.task = None
        if failure is None and call is self.call and self.state != UPGRADED and not call.ended:
            failure = GatewayError("the application returned before its response was complete")
            if call.disconnected:
                failure.__cause__ = ClientDisconnected()        # nobody was there to be answered
        if failure is not None and not _is_farewell(call, failure):
            self._fail(call, failure)
        call.context = None
        if call is not self.call:       # its client has gone, or was answered without it
            return 0
        if self.state == UPGRADED:
            return line.conclude(failure)
        if call.ended:
            return 0
        self.owned = True
        self._answer(lane, 500)
        if call.disconnected and not self.broke_off:
            call.status = CLIENT_GONE
        self.is_over = True
        call.let_go()       # other tasks of the application's may still wait
        return 0 if owned else self._settle(lane)

    cdef int _answer(self, Lane lane, int status) except -1:
        """In place of the application, which cannot or must not any more."""
        cdef HTTPCall call = self.call
        cdef Buffer out = lane.out
        call.exchange = None
        self.reply.keep_alive = False
        if self.head_sent or self.torn:
            self.broke_off = True
            return 0
        call.status = f"{status} {HTTPStatus(status).phrase}"
        call.headers = ()
        if self.gone:
            return 0
        out.size = 0
        self.service.refresh_date()
        write_error(out, self.service.defaults, status, self.reply.is_head)
        self.head_sent = True
        self.body_left = 0
        return self._transmit(out, None, NULL, 0)

    cdef int _fail(self, HTTPCall call, object failure) except -1:
        """It is counted, and logged in the context of its request, where the application's filters and handlers find its variables."""
        self.service.row.data.errors += 1
        text = "The application's task was cancelled" if is_a(failure, CancelledError) else "Error in the application"
        return self._log(call, partial(
            report, self.service.logger, f"{text} (%s %s)", call.method, call.uri, error=failure,
        ))

    cdef int _log(self, HTTPCall call, object record) except -1:
        """Handlers are the application's code as well: they may start tasks and wake others."""
        cdef Gate gate = self.house.gate
        cdef bint was_open = gate.open
        gate.open = False
        try:
            return call_within(_context_of(call), record)
        except BaseException as error:      # whatever becomes of the request does not depend on it
            report(self.service.logger, "a log handler or filter failed (%s %s)", call.method, call.uri, error=error)
            return 0
        finally:
            gate.open = was_open

    cdef int _leave(self, Lane lane) except -1:
        """The response is complete, as far as the application goes."""
        self.is_over = False
        self._record(lane)
        self._detach()
        if self.torn:
            return self.abort()     # what is queued, or not, is anybody's guess
        if self.ended:
            self.reply.keep_alive = False
        if self.corked or not self.reply.keep_alive:
            self._release()     # it must be known whether all of it is out
        if self.outflow is not None and not self.outflow.is_empty() and not self.gone:
            self.state = FLUSHING
            return 0
        return self._response_done(lane)

    cdef int _record(self, Lane lane) except -1:
        cdef Service service = self.service
        cdef HTTPCall call = self.call
        cdef timespec wall
        lane.now = monotonic()
        service.requests += 1
        if service.requests == service.max_requests:
            service.draining = True
            service.wake()
        count_request(lane.cell, lane.now - self.started_ns)
        if service.access_log is not None:
            clock_gettime(CLOCK_REALTIME_COARSE, &wall)
            service.access_log.record_scope(
                self.scope, self.uri, "HTTP/1.1" if self.reply.minor else "HTTP/1.0", call.status, call.headers,
                self.body_sent, lane.now - self.started_ns, <double>wall.tv_sec + wall.tv_nsec * 1e-9,
            )
        return 0

    cdef int _detach(self) except -1:
        """Let go of the request. What the application still does for it leads nowhere."""
        cdef HTTPCall call = self.call
        cdef WebSocketLine line = self.line
        if line is not None and line.phase != OPENING and self.state == CLOSED:
            self._record(self.lane)
            line.lost()
            call = None
        self.line = None
        self.call = None
        if self.scope is not None:
            self.scope = None
            self.builder.take_back()
        self.body = None
        self.body_size = 0
        self.body_since = self.body_deadline = 0
        self.method = self.uri = None
        if call is None or call.exchange is None:
            return 0
        self.house.leave(call, monotonic())
        return call.let_go()

    cdef int _time_out(self, Lane lane) except -1:
        """request_timeout is over: the task is cancelled, its client is answered without it."""
        cdef HTTPCall call = self.call
        self.service.row.data.errors += 1
        self._log(call, partial(
            self.service.logger.error, "A request takes longer than request_timeout: %s %s; its task is at", self.method,
            self.uri, extra={"block": awaiting_stack(call.task)},
        ))
        self._answer(lane, 504)
        self.is_over = True
        self.house.cancel(call)
        return call.let_go()

    # ---- what a kind of connection fills in ----------------------------------------------------------

    cdef Buffer _out(self):
        return self.lane.out

    cdef int _touch(self) except -1:
        if self.service.request_timeout:
            self.active_ns = monotonic()
        return 0

    cdef int _arm_writing(self) except -1:
        return 0 if self.owned or self.corked else self._interest()

    cdef int _transmit(self, Buffer out, bytes piece, const char* tail, Py_ssize_t tail_size) except -1:
        cdef bint passed = False
        try:
            self._pass_on(out, piece, tail, tail_size)
            passed = True
        finally:
            self.torn |= not passed
        return 0

    cdef int _push_span(self, FileSpan span) except -1:
        cdef bint passed = False
        try:
            Connection._push_span(self, span)
            passed = True
        finally:
            self.torn |= not passed
        return 0

    cdef int _pass_on(self, Buffer out, bytes piece, const char* tail, Py_ssize_t tail_size) except -1:
        """While events are gone through, small sends are collected: a client is woken once for all of them."""
        cdef House house = self.house
        cdef Buffer arena = house.arena
        cdef Py_ssize_t size = tail_size
        if out is not None:
            size += out.size
        if piece is not None:
            size += len(piece)
        if not house.collecting or self.gone or (self._has_queued() and not self.corked):
            self._release()
            return Connection._transmit(self, out, piece, tail, tail_size)
        if self.corked or self.held_size + size > COLLECTED:
            return self._collect(out, piece, tail, tail_size)
        if self.held_size and self.held_start + self.held_size != arena.size:
            self._release()
            if self.gone or self._has_queued():
                return Connection._transmit(self, out, piece, tail, tail_size)
        if self.held_size == 0:
            self.held_start = arena.size
            house.hold(self)
        if out is not None:
            arena.add(out.data, out.size)
        if piece is not None:
            arena.add(<const char*>piece, len(piece))
        if tail_size:
            arena.add(tail, tail_size)
        self.held_size += size
        return 0

    cdef int _collect(self, Buffer out, bytes piece, const char* tail, Py_ssize_t tail_size) except -1:
        """Larger pieces are queued where they lie, and offered to the socket together."""
        cdef House house = self.house
        if not self.corked:
            self._release()
            if self.gone or self._has_queued():
                return Connection._transmit(self, out, piece, tail, tail_size)
            self.corked = True
            house.hold(self)
        self._queue(out, piece, tail, tail_size, 0)
        # Beyond this it has to run into the socket's limit, so that the application is told to wait.
        return self._release() if self.outflow.pending >= CORKED else 0

    cdef int uncollect(self) except -1:
        """Send what was held back, from outside of an event of this connection."""
        if self.owned or not self.corked:
            return self._release()
        self.owned = True
        self._release()
        return self._settle(self.lane)

    cdef int _release(self) except -1:
        cdef const char* data = <const char*>self.house.arena.data + self.held_start
        cdef Py_ssize_t size = self.held_size
        if self.corked:
            self.corked = False
            return self._flush(self.lane)
        if size == 0:
            return 0
        self.held_size = 0
        return self.send_held(data, size, None)

    cdef int _give_way(self) except -1:
        if self.gives_way:
            return 0
        self.gives_way = True
        return self.house.later(self)

    cdef int _drop_request(self) except -1:
        return self._detach()

    cdef int _flushed(self, Lane lane) except -1:
        cdef bint empty = self.outflow is None or self.outflow.is_empty()
        cdef HTTPCall call = self.call
        cdef WebSocketLine line = self.line
        if self.state != RUNNING and self.state != UPGRADED:
            return Connection._flushed(self, lane)
        if empty:
            self.deadline = 0
        if self.state == UPGRADED:
            return line.flushed() if line is not None else 0
        if empty or (self.outflow.pending <= self.service.response_buffer // 2 and not self.outflow.files):
            return call.drained() if call is not None else 0
        return 0

    # ---- what the gateway calls (gateway/exchange.pxd) ---------------------------------------------

    cdef bytes take_body(self, bint* more):
        cdef bytes data = b""
        if self.decoder is None:
            more[0] = False
            return data
        if not self.body and not self.decoder.is_finished() and not self.ended and not self.gone:
            self._ask_for_body()
        if self.body:
            data = <bytes>self.body[0] if len(self.body) == 1 else b"".join(self.body)
            self.body = []
            self.body_size = 0
        more[0] = self.decoder is None or not self.decoder.is_finished()
        if more[0] and self.body_since == 0 and not self.ended and not self.gone:
            self._wait_for_body(True)
            if not self.owned:
                self._interest()
        return data

    def _ask_for_body(self):
        """The application wants more, and perhaps it has come by now."""
        cdef ssize_t n
        cdef Py_ssize_t used
        cdef Lane lane = self.house.aside
        if self.owes_continue and not self.head_sent:
            self._send_continue()
        self.owes_continue = False
        self.body_reads += 1
        if self.body_reads > BODY_READS:
            return
        n = recv(self.fd, lane.buffer, LANE_BUFFER, 0)
        if n == 0:
            self._client_ended(lane)
        elif n > 0:
            used = self._take(lane, lane.buffer, n)
            if used < n and self.state == RUNNING:
                self.more_is_here = True
                self.pending = (<const char*>lane.buffer)[used:n]
        elif errno != EAGAIN and errno != EINTR:
            self._lost()

    cdef object open_path(self, str path, long long* size):
        descriptor, length = open_path(path)
        size[0] = length
        return adopt_span(descriptor, 0, length)

    cdef object open_span(self, object file, long long offset, long long count, long long* size):
        descriptor, start, length = open_stretch(file, offset, count)
        size[0] = length
        return adopt_span(descriptor, start, length)

    cdef int send_span(self, object piece) except -1:
        cdef FileSpan span = piece
        self._touch()
        if span.left == 0 or self.reply.bodyless:
            return 0
        if self.body_left >= 0 and span.left > self.body_left:
            self._log_length("more")
            span.left = self.body_left
        if span.left == 0:
            return 0
        if self.reply.chunked:
            self._chunk_head(span.left)
        self._push_span(span)
        if self.reply.chunked:
            self._transmit(None, b"\r\n", NULL, 0)
        return 0

    def _chunk_head(self, long long size):
        self._transmit(None, b"%x\r\n" % size, NULL, 0)

    cdef int finish_with(self, list trailers) except -1:
        cdef Buffer out = self.lane.out
        if self.reply.bodyless or not self.reply.chunked:
            return self.finish()
        out.size = 0
        if self.takes_trailers:
            write_trailers(out, trailers)
        else:
            out.add(b"0\r\n\r\n", 5)      # the client did not ask for them (RFC 9110 §6.5.1)
        return self._transmit(out, None, NULL, 0)

    cdef int over(self) except -1:
        self.is_over = True
        return 0 if self.owned else self._resume()


cdef object _context_of(HTTPCall call):
    """None: that of its first step, which is the present one."""
    return call.context if call.context is not None or call.task is None else context_of(call.task)


cdef bint _is_farewell(HTTPCall call, object failure) except -1:
    """It only says what we know: the client is gone, or we have cancelled the task for that."""
    cdef int left
    if not call.disconnected:
        return False
    waiting = [failure]
    for left in range(MOST_LINKS, 0, -1):
        failure = waiting.pop()
        if not is_a(failure, (CancelledError, ClientDisconnected)):
            causes = members_of(failure) or (previous_of(failure),)
            if causes[0] is None or len(causes) > left:
                return False
            waiting += causes       # each of them has to be one
        if not waiting:
            return True
    return False
