"""A request whose application runs as a task of an event loop: ASGI.

The plan. Everything happens in one thread, but not in one order: the application's code is called from here (it is started, it is
woken) and calls back (it sends, it ends its response), also at times when nothing has happened on its connection. What it ends
is dealt with by whoever owns the channel, which its protocol sees to.

The body is read when there is room for it (back-pressure), and on the spot when the application asks for more.

Guarantees: a call that its client has left gets its grace period and is then cancelled; background work after a response
holds nothing up.

Knows: calls of the ASGI gateway. Must not know: framing, how the loop is told about descriptors and timers.
"""

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE

from tricorn.gateway.asgi cimport HTTPCall
from tricorn.gateway.exchange cimport MessageExchange
from tricorn.gateway.scope cimport ScopeBuilder, header_of
from tricorn.gateway.request_builder cimport method_of
from tricorn.gateway.waiting cimport PENDING, TaskRunner, call_within, context_of, failure_of, outcome_of
from tricorn.gateway.websocket cimport WebSocketCall
from tricorn.http.buffer cimport Buffer
from tricorn.http.h1 cimport SLOW_BODY, refusal
from tricorn.http.request cimport NO_BODY, RequestHead
from tricorn.log.access cimport AccessLog
from tricorn.metrics.figures cimport APPLICATION_FAILED, REQUEST_TIMEOUT, WRITE_TIMEOUT, note_error, status_class
from tricorn.scoreboard cimport count_request, monotonic
from tricorn.transport.admission cimport Admission
from tricorn.transport.channel cimport Channel, Protocol
from tricorn.transport.hold cimport Batch
from tricorn.transport.loop_context cimport LoopContext
from tricorn.transport.thread_context cimport ThreadContext
from tricorn.transport.poller cimport READ
from tricorn.transport.request cimport (
    STREAMED, Afterwards, Compartment, Delivery, Request, RequestProtocol, Runner, give_terms, new_afterwards, owe,
)
from tricorn.transport.routes cimport NOT_ITS_OWN, Route
from tricorn.transport.send_queue cimport FileSpan, adopt_span
from tricorn.transport.worker_context cimport WorkerContext
from tricorn.transport.task_deadline cimport offered_of_call
from tricorn.transport.wire cimport wire_cut

from asyncio import CancelledError
from contextvars import copy_context
from functools import partial
from http import HTTPStatus

from tricorn.gateway.errors import ClientDisconnected, GatewayError
from tricorn.http.websocket_handshake import is_upgrade, read_handshake
from tricorn.log.exceptions import members_of, previous_of
from tricorn.log.request_id import REQUEST_ID
from tricorn.transport.admission import CLIENT_GONE
from tricorn.transport.failures import is_a, report
from tricorn.transport.files import open_path, open_stretch
from tricorn.transport.stacks import awaiting_stack

cdef enum:
    # Reads of a body on the spot, before others get their turn.
    BODY_READS = 16
    # What is longer, in one piece or in several, is not copied.
    COLLECTED_SIZE = 16384
    # So much is queued before the socket is asked.
    CORKED = 524288
    # Requests that begin in a row when others have ended, before clients get their turn.
    LINE_RUN = 64
    # Exceptions of one failure that are looked at for a reason not to log it.
    MOST_LINKS = 64

cdef long long SECOND = 1000000000
cdef str REQUEST_ID_KEY = "tricorn.request_id"
cdef str DEADLINE = "tricorn.deadline"
cdef dict PROTOCOLS = {10: "HTTP/1.0", 11: "HTTP/1.1", 20: "HTTP/2.0", 30: "HTTP/3.0"}


cdef LoopRunner new_loop_runner(LoopContext loop_context, object open_socket):
    cdef LoopRunner runner = LoopRunner(loop_context.worker)
    runner.octets = runner.has_websockets = True
    runner.loop_context = loop_context
    runner.open_socket = open_socket
    runner.divide()
    return runner


cdef ASGIRequest new_asgi_request(LoopRunner runner):
    cdef ASGIRequest request = ASGIRequest.__new__(ASGIRequest)
    request.runner = runner
    request.loop_context = runner.loop_context
    return request


cdef class LoopRunner(Runner):
    """Requests run as tasks of one event loop.

    While a batch of events is gone through (`thread.collecting`), small sends are copied into one arena and larger ones queued where
    they lie; they leave together, so that a client is woken once for all of them.
    """

    cdef Compartment new_compartment(self, Route route):
        cdef Line line
        if route is not None and route.max_concurrency == NOT_ITS_OWN:
            return None
        line = Line(self, route)
        line.runner = self
        line.loop_context = self.loop_context
        line.most = self.worker.max_concurrency if route is None else route.max_concurrency
        return line

    cdef Request new_request(self, RequestProtocol protocol, RequestHead head):
        cdef ASGIRequest request = self._fresh()
        cdef ScopeBuilder builder = <ScopeBuilder>protocol.builder
        request.protocol = protocol
        request.builder = builder
        request.method = method_of(head)
        request.uri = head.text(head.target)
        request.scope = builder.build(head, protocol.peer, request.method, request.uri, &request.takes_trailers)
        give_terms(request, self.worker, head)
        # With a body it is no handshake: nobody would read that, and it must not become frames, or a request.
        if head.is_websocket:
            return self._for_socket(request, builder, protocol)
        if head.wants_upgrade and head.framing == NO_BODY and is_upgrade(header_of(request.scope, b"upgrade") or b""):
            return self._for_socket(request, builder, protocol)
        _tell_tls(request, protocol)
        request.call = HTTPCall.__new__(HTTPCall)
        request.call.exchange = request
        request.call.method = request.method
        request.call.uri = request.uri
        if self.worker.shortest_timeout:
            request.scope["extensions"] = {**request.scope["extensions"], DEADLINE: offered_of_call(request.call)}
        return request

    def _for_socket(self, ASGIRequest request, ScopeBuilder builder, RequestProtocol protocol):
        """Until the application accepts, it is a request without a body. Raises ProtocolError."""
        cdef WebSocketCall call = WebSocketCall.__new__(WebSocketCall)
        handshake = read_handshake(request.method, protocol.version_of(request), request.scope["headers"])
        builder.make_websocket(request.scope, list(handshake.subprotocols))
        if request.request_id is not None:
            request.offer_id()
        _tell_tls(request, protocol)
        call.exchange = request
        call.method = request.method
        call.uri = request.uri
        request.call = call
        request.socket = call.line = self.open_socket(request, handshake)
        return request

    cdef int tell_slow(self, object call, long long now) except -1:
        cdef ASGIRequest request = <ASGIRequest>(<HTTPCall?>call).exchange
        # What runs behind a complete response is nobody's wait, and a WebSocket may be silent.
        if request is None or request.socket is not None or request.gone or (<HTTPCall>call).task is None:
            return 0
        return request.say_slow(now) if request.is_slow(now) else 0

    cdef ASGIRequest _fresh(self):
        """One that was used before, if there is any."""
        cdef ASGIRequest request = <ASGIRequest>self.spares.take()
        if request is None:
            return new_asgi_request(self)
        request.input_ended = False
        request.body_size = request.body_reads = request.joined = 0
        return request

    cdef bint may_call(self) noexcept:
        return self.loop_context.task_runner.open

    cdef int queue_up(self, object waiting) except -1:
        cdef LoopContext loop_context = self.loop_context
        return loop_context.later(waiting)

    cdef int send(
        self, Channel channel, ThreadContext _, Buffer out, bytes piece, const char* tail, Py_ssize_t tail_size, bint is_last,
    ) except -1:
        cdef LoopContext loop_context = self.loop_context
        cdef Batch batch = loop_context.batch
        cdef Py_ssize_t size = tail_size
        if out is not None:
            size += out.size
        if piece is not None:
            size += PyBytes_GET_SIZE(piece)
        if not loop_context.thread.collecting or channel.gone or (channel.has_queued() and not channel.corked):
            channel.release()
            return channel.send(out, piece, tail, tail_size)
        if channel.corked or batch.size_of(channel) + size > COLLECTED_SIZE:
            return self._cork(channel, out, piece, tail, tail_size)
        if not batch.takes(channel):
            self._make_room(channel)
            if channel.gone or channel.has_queued() or not batch.takes(channel):
                channel.release()       # of what was sent while room was made
                return channel.send(out, piece, tail, tail_size)
        return batch.copy(channel, out, piece, tail, tail_size, monotonic() if batch.count == 0 else 0)

    cdef int _cork(
        self, Channel channel, Buffer out, bytes piece, const char* tail, Py_ssize_t tail_size
    ) except -1:
        """Larger pieces are queued where they lie, and offered to the socket together."""
        cdef Batch batch = self.loop_context.batch
        if not channel.corked:
            channel.release()
            if not batch.takes(channel):
                self._make_room(channel)
            if channel.gone or channel.has_queued() or channel.holder is not None:
                channel.release()
                return channel.send(out, piece, tail, tail_size)
            batch.cork(channel, monotonic() if batch.count == 0 else 0)
        channel.enqueue(out, piece, tail, tail_size, 0)
        # Only a client that is behind makes the application wait: before it is told so, the socket is asked.
        if channel.queue.pending >= CORKED or channel.is_congested(self.loop_context.worker.response_buffer):
            return channel.release()
        return 0

    cdef bint holds(self, Channel channel, ThreadContext thread, bint more) except -1:
        cdef Batch batch = self.loop_context.batch
        if not self.loop_context.thread.collecting or channel.gone or (channel.has_queued() and not channel.corked):
            return False
        if channel.corked:
            return True
        if channel.holder is not None or not batch.takes(channel):
            self._make_room(channel)
            if channel.gone or channel.has_queued() or channel.holder is not None or not batch.takes(channel):
                return False
        batch.cork(channel, monotonic() if batch.count == 0 else 0)
        return True

    def _make_room(self, Channel channel):
        """The batch takes nothing more of this channel: others have come behind it, or it is full."""
        cdef Batch batch = self.loop_context.batch
        if channel.holder is not None:
            channel.release()
        if not batch.takes(channel):
            batch.release()


@cython.final
cdef class Line(Compartment):
    cdef bint has_room(self) noexcept:
        return self.most == 0 or self.running < self.most

    cdef int has_ended(self) except -1:
        """A task that was counted."""
        self.running -= 1
        return self._move() if self.waiting else 0

    cdef int _move(self) except -1:
        """Have those who wait looked at, in a turn of its own."""
        cdef LoopContext loop_context = self.loop_context
        cdef Turn turn
        if self.moves:
            return 0
        self.moves = True
        turn = Turn.__new__(Turn)
        turn.line = self
        return loop_context.later(turn)

    cdef int _let_in_all(self, ThreadContext thread) except -1:
        """As many as may run now."""
        cdef Request request
        cdef int served = 0
        self.moves = False
        while self.waiting and self.has_room():
            if served == LINE_RUN:
                return self._move()
            request = <Request>self.waiting.popleft()
            if request.waits:
                served += 1
                self._let_in(request, thread)
        return 0

    cdef int _let_in(self, Request request, ThreadContext thread) except -1:
        cdef Channel channel = request.protocol.channel
        cdef LoopRunner runner = self.runner
        try:
            request.proceed(thread)
        except BaseException as error:      # a fault of ours: the others need not suffer
            runner.give_up(channel, error)
        return 0


@cython.final
cdef class Turn(Protocol):
    cdef int proceed(self, ThreadContext thread) except -1:
        cdef Line line = self.line
        return line._let_in_all(thread)


cdef class Socket(MessageExchange):
    cdef int conclude(self, object failure) except -1:
        raise NotImplementedError

    cdef int take(self, ThreadContext thread, const unsigned char* data, Py_ssize_t size) except -1:
        raise NotImplementedError

    cdef int on_end(self, ThreadContext thread) except -1:
        raise NotImplementedError

    cdef int lost(self) except -1:
        raise NotImplementedError

    cdef long long untaken(self) noexcept:
        return 0

    cdef int flushed(self) except -1:
        raise NotImplementedError

    cdef bint overdue(self, long long now) noexcept:
        return False

    cdef int expire(self, ThreadContext thread, long long now) except -1:
        raise NotImplementedError

    cdef int go_away(self, int code) except -1:
        raise NotImplementedError

    cdef int forget(self) except -1:
        raise NotImplementedError


cdef class Ending:
    """Told when a task is over."""

    cdef ASGIRequest request
    cdef HTTPCall call

    def __call__(self, task):
        cdef ASGIRequest request = self.request
        cdef Line line = <Line>request.compartment
        request.loop_context.finished(self.call)
        if type(self.call) is HTTPCall:
            line.has_ended()
        request.conclude(self.call, failure_of(task))


cdef class LoopRequest(Request):
    def client(self):
        cdef dict scope = self.scope
        cdef object client = scope.get("client") if scope is not None else None
        return client[0] if type(client) in (list, tuple) and len(client) else None

    cdef bint wants_body(self) noexcept:
        return False

    cdef int begin(self, ThreadContext thread) except -1:
        raise NotImplementedError

    cdef int turn_away(self, ThreadContext thread, bint late) except -1:
        raise NotImplementedError

    cdef int time_out(self, ThreadContext thread) except -1:
        raise NotImplementedError

    # ---- its body ------------------------------------------------------------------------------------

    cdef Delivery open_body(self, ThreadContext thread, long long length) except *:
        self.body = []
        return STREAMED

    cdef int take_body_part(self, ThreadContext thread, const unsigned char* data, Py_ssize_t size) except -1:
        self.body.append((<const char*>data)[:size])
        self.body_size += size
        return 0

    cdef long long untaken(self) noexcept:
        return self.body_size

    # ---- what its protocol tells ---------------------------------------------------------------------

    cdef int on_queued(self) except -1:
        cdef RequestProtocol protocol = self.protocol
        return protocol.look_again(self)

    cdef int interest(self) noexcept:
        if self.input_ended or self.gone or (self.protocol.body_is_open(self) and not self.wants_body()):
            return 0
        return READ

    cdef bint overdue(self, long long now) noexcept:
        cdef Admission admission = self.compartment.admission
        if self.body_is_late(now):
            return True
        if self.waits:
            return admission.is_late(self.started_ns, now)
        return self.limit_ns != 0 and not self.gone and now > self.due(now)

    cdef int expire(self, ThreadContext thread, long long now) except -1:
        cdef RequestProtocol protocol = self.protocol
        cdef Channel channel = protocol.channel
        if channel.deadline and channel.deadline <= now:
            note_error(protocol.worker.figures, WRITE_TIMEOUT)
            wire_cut(channel.fd)        # it reads nothing
            return channel.lose()
        if self.body_is_late(now):
            return protocol.cut_body(self, thread, refusal(SLOW_BODY))
        return self.turn_away(thread, True) if self.waits else self.time_out(thread)

    cdef long long silent_since(self, long long now) noexcept:
        return self.active_ns

    cdef ThreadContext writing_thread(self):
        return self.loop_context.thread

    cdef int touch(self) except -1:
        if self.runner.worker.shortest_timeout or self.runner.worker.shortest_slow:
            self.active_ns = monotonic()
        return 0

    # ---- its turn ------------------------------------------------------------------------------------

    cdef int start(self, ThreadContext thread) except -1:
        """Begin, unless as many run as may."""
        return self.begin_or_wait(thread) if (<Line>self.compartment).most else self.begin(thread)

    cdef int begin_or_wait(self, ThreadContext thread) except -1:
        cdef Line line = <Line>self.compartment
        cdef Admission admission = line.admission
        if line.has_room() and not admission.waiting:
            return self.begin(thread)
        self.started_ns = self.came_ns = thread.now
        if admission.is_full(0):
            return self.turn_away(thread, False)
        self.waits = True
        admission.enter()
        line.waiting.append(self)
        return 0

    cdef int proceed(self, ThreadContext thread) except -1:
        """Its turn has come to begin."""
        cdef RequestProtocol protocol = self.protocol
        cdef Admission admission = self.compartment.admission
        if not protocol.take_up(self):
            return 0
        thread.now = monotonic()
        if admission.is_late(self.started_ns, thread.now):
            self.turn_away(thread, True)
        else:
            self.leave_queue()
            self.begin(thread)
            if self.input_ended and self.protocol is protocol:
                self.on_input_end(thread)       # its client had ended before
        return protocol.done_with(self, thread)


@cython.final
cdef class ASGIRequest(LoopRequest):
    # ---- its body ------------------------------------------------------------------------------------

    cdef int take_body_part(self, ThreadContext thread, const unsigned char* data, Py_ssize_t size) except -1:
        cdef Socket socket = self.socket
        if socket is not None and socket.accepted:
            return socket.take(thread, data, size)
        return LoopRequest.take_body_part(self, thread, data, size)

    cdef int took_body(self, ThreadContext thread, bint is_over, bint was_chunked, long long received) except -1:
        cdef list body = self.body
        cdef Socket socket = self.socket
        if socket is not None:
            return socket.on_end(thread) if is_over and socket.accepted else 0
        if was_chunked and len(body) - self.joined > 1:
            body[self.joined:] = [b"".join(body[self.joined:])]     # many small chunks that came together are one piece
        self.joined = len(body)
        self.wait_for_body(not is_over and self.wants_body())
        return 0

    cdef int on_body(self, ThreadContext thread) except -1:
        cdef HTTPCall call = self.call
        return call.arrived() if call is not None else 0

    cdef long long untaken(self) noexcept:
        cdef Socket socket = self.socket
        return self.body_size if socket is None else self.body_size + socket.untaken()

    cdef bint wants_body(self) noexcept:
        return self.body_size < self.runner.worker.request_buffer and not self.protocol.owes_continue(self)

    # ---- what its protocol tells ---------------------------------------------------------------------

    cdef int on_event(self, ThreadContext thread) except -1:
        """The client of a running request has sent more, or has ended."""
        cdef RequestProtocol protocol = self.protocol
        cdef HTTPCall call
        self.body_reads = 0
        if not protocol.read_now(self, thread):
            return 0
        call = self.call
        return call.arrived() if call is not None else 0

    cdef int on_input_end(self, ThreadContext thread) except -1:
        """It has closed its side. It may still read: an answer that comes soon is sent."""
        cdef HTTPCall call = self.call
        cdef Admission admission = self.compartment.admission
        if self.waits:
            thread.now = monotonic()
            if admission.is_farewell(self.started_ns, thread.now):
                return self.give_up(thread)
        self.input_ended = True
        if self.waits:
            return 0        # the application hears of it when it has begun
        self.loop_context.abandon(call, monotonic())
        return call.disconnect()

    cdef bint on_cut(self, ThreadContext thread, object error) except -1:
        cdef RequestProtocol protocol = self.protocol
        cdef HTTPCall call = self.call
        self.log_within(call, partial(protocol.worker.log_refusal, protocol.peer.host, error))
        self.input_ended = True
        self.wait_for_body(False)
        if protocol.is_unanswered(self):
            return True
        self.loop_context.abandon(call, monotonic())
        call.disconnect()
        return False

    cdef int on_lost(self) except -1:
        cdef RequestProtocol protocol = self.protocol
        cdef HTTPCall call = self.call
        cdef Socket socket = self.socket
        protocol.rest(self)
        if socket is not None and socket.accepted:
            return socket.lost()
        self.wait_for_body(False)
        if self.waits:
            return self.give_up(self.loop_context.thread)
        protocol.look_again(self)
        self.loop_context.abandon(call, monotonic())
        return call.disconnect()

    cdef int on_flushed(self, ThreadContext thread) except -1:
        cdef HTTPCall call = self.call
        cdef Socket socket = self.socket
        if call is None or self.protocol.is_congested(self, self.runner.worker.response_buffer // 2):
            return 0
        self.note_congestion(False)
        return socket.flushed() if socket is not None and socket.accepted else call.flushed()

    cdef bint overdue(self, long long now) noexcept:
        cdef Socket socket = self.socket
        return socket.overdue(now) if socket is not None and socket.accepted else LoopRequest.overdue(self, now)

    cdef int expire(self, ThreadContext thread, long long now) except -1:
        cdef Socket socket = self.socket
        return socket.expire(thread, now) if socket is not None and socket.accepted else LoopRequest.expire(self, thread, now)

    cdef int say_slow(self, long long now) except -1:
        """Its application has given nothing to the client for slow_request_time."""
        cdef HTTPCall call = self.call
        cdef str stack = awaiting_stack(call.task)
        if not self.note_slow(now, stack):
            return 0
        return self.log_within(call, partial(
            self.runner.worker.logger.warning, "A request takes longer than slow_request_time: %s %s; its task is at",
            self.method, self.uri, extra={"block": stack},
        ))

    cdef int go_away(self, int code) except -1:
        cdef Socket socket = self.socket
        return socket.go_away(code) if socket is not None and socket.accepted else 0

    cdef object produces(self):
        cdef HTTPCall call = self.call
        if self.socket is not None and self.socket.accepted:
            return None
        return call.headers if call is not None and call.exchange is not None and not call.body_over else None

    cdef int cut(self, ThreadContext thread) except -1:
        """The client sees an incomplete response, the application `http.disconnect`; then it has its grace period."""
        cdef LoopContext loop_context = self.loop_context
        cdef HTTPCall call = self.call
        call.cut = True
        self.answer_without(thread, 503)
        self.end(thread)
        loop_context.abandon(call, monotonic())
        return call.let_go()

    cdef int let_go(self, ThreadContext thread) except -1:
        cdef LoopContext loop_context = self.loop_context
        cdef HTTPCall call = self.call
        cdef Socket socket
        if self.waits:
            self.leave_queue()
        if self.visit is not None:
            self._part(call)
        self.call = None
        if self.scope is not None:
            self.scope = None
            self.builder.take_back()
        if self.socket is not None:
            socket = self.socket
            self.socket = None
            if socket.accepted:
                socket.forget()
        if self.body is not None:
            self.body = None
            self.body_size = 0
            self.body_since = self.body_deadline = 0
        if call is not None and call.exchange is not None:
            loop_context.abandon(call, monotonic())
            call.let_go()
        self.protocol = self.runner.nowhere
        self.runner.spares.put(self)
        return 0

    # ---- serving -------------------------------------------------------------------------------------

    cdef int start(self, ThreadContext thread) except -1:
        """Of WebSockets there may be any number."""
        return self.begin(thread) if self.socket is not None else LoopRequest.start(self, thread)

    cdef int turn_away(self, ThreadContext thread, bint late) except -1:
        cdef WorkerContext worker = self.runner.worker
        cdef RequestProtocol protocol = self.protocol
        cdef HTTPCall call = self.call
        cdef str news
        if self.input_ended:
            protocol.end_after(self)
        news = self.decline(thread, late)
        return self.log_within(call, partial(worker.logger.warning, news)) if news is not None else 0

    cdef int outcome(self) noexcept:
        if self.socket is not None and self.socket.accepted:
            return 1                    # on every wire: over HTTP/2 its status is 200 (RFC 8441 §5)
        return status_class(self.call.status) if self.call is not None else 0

    cdef str answered(self):
        return self.call.status if self.call is not None else None

    cdef dict source(self):
        return self.scope

    cdef void note_status(self, str status) noexcept:
        self.call.status = status
        self.call.headers = ()

    cdef int begin(self, ThreadContext thread) except -1:
        cdef HTTPCall call = self.call
        cdef LoopContext loop_context = self.loop_context
        cdef Runner runner = self.runner
        cdef Ending ending
        cdef object failure = None
        if runner.worker.visitors is not None and self.socket is None:
            self.receive(self.scope)
        call.starting = True
        self.started_ns = self.active_ns = thread.now      # nothing has run since the clock was read
        runner.begins(self, thread)
        loop_context.starting = True
        if self.request_id is not None:
            loop_context.task_runner.before = partial(REQUEST_ID.set, self.request_id)
        if self.trace is not None:
            loop_context.beginning = self.trace
            if self.trace.over is not None:
                loop_context.task_runner.before = partial(_enter, self.trace, loop_context.task_runner.before)
        try:
            if self.visit is not None and runner.worker.greets:
                call.run(loop_context.task_runner, self.visit._application, self.scope)
            else:
                call.run(loop_context.task_runner, loop_context.application, self.scope)
        except BaseException as error:      # the application's: sys.exit() and the like end no worker
            failure = error
        call.starting = loop_context.starting = False
        if loop_context.beginning is not None:
            loop_context.beginning = None
        if failure is None:
            failure = outcome_of(call.task, call.ended)
        if failure is PENDING:
            loop_context.calls.add(call)
            (<Line>self.compartment).running += type(call) is HTTPCall
            loop_context.started(call)
            ending = Ending.__new__(Ending)
            ending.request = self
            ending.call = call
            call.task.add_done_callback(ending, context=loop_context.task_runner.context)
            return call.flush_head()
        return self.conclude(call, failure)

    cdef int conclude(self, HTTPCall call, object failure) except -1:
        """The application's task is over."""
        cdef ThreadContext thread = self.loop_context.thread
        cdef Socket socket = self.socket
        cdef bint is_socket = socket is not None and socket.accepted
        if call.context is None and call.task is not None and (failure is not None or not call.ended):
            call.context = context_of(call.task)
        # Its exception leads to frames, and these to the call: left alone, that would be a cycle.
        call.task = None
        if failure is None and call is self.call and not is_socket and not call.ended:
            failure = GatewayError("the application returned before its response was complete")
            if call.disconnected:
                failure.__cause__ = ClientDisconnected()        # nobody was there to be answered
        if failure is not None and not _is_farewell(call, failure):
            self.fail(call, failure)
        call.context = None
        if call is not self.call:       # its client has gone, or was answered without it
            return 0
        if is_socket:
            return socket.conclude(failure)
        if call.ended:
            return 0
        if not self.answer_without(thread, 500) and call.disconnected:
            call.status = CLIENT_GONE
            self.body_sent = 0
        call.let_go()       # other tasks of the application's may still wait
        return self.end(thread)

    cdef bint answer_without(self, ThreadContext thread, int status) except -1:
        """In place of the application, which cannot or must not any more. Whether the response is cut for that."""
        cdef RequestProtocol protocol = self.protocol
        cdef HTTPCall call = self.call
        call.exchange = None
        if not protocol.answer(self, status):
            return True
        call.status = f"{status} {HTTPStatus(status).phrase}"
        call.headers = ()
        return False

    cdef int end(self, ThreadContext thread) except -1:
        """The response is complete, as far as the application goes."""
        cdef RequestProtocol protocol = self.protocol
        if self.visit is not None:
            self._part(self.call)
        thread.now = monotonic()
        count_request(thread.cell, thread.now - self.started_ns)
        if self.input_ended:
            protocol.end_after(self)
        return protocol.request_over(self, thread)

    cdef int _part(self, HTTPCall call) except -1:
        """Hooks hear of the response, in a copy of the request's context."""
        cdef LoopRunner runner = self.runner
        cdef object visit = self.visit
        cdef object context = _context_of(call)
        cdef str status = call.status
        self.visit = None
        if context is None:
            context = copy_context()
        if status is None:
            status = CLIENT_GONE
        _closed(runner.worker, self.loop_context.task_runner, context, partial(
            visit._finish, self.scope, status, call.headers, self.body_sent
        ))
        if runner.worker.looks_back:
            return owe(
                new_afterwards(new_loop_afterwards(self.loop_context), runner, self.compartment, context.copy(), visit), runner
            )
        return 0

    cdef int log_access(self, object log, long long elapsed, double wall) except -1:
        cdef long long queued = self.queued(elapsed)
        cdef HTTPCall call = self.call
        cdef object recorder = (<AccessLog>log).recorder
        cdef str protocol = PROTOCOLS[self.protocol.version_of(self)]
        (<AccessLog>log).record_scope(
            self.scope, self.uri, protocol, call.status, call.headers, self.body_sent, elapsed, wall, queued, self.request_id,
        )
        if recorder is not None:
            self.log_within(call, partial(
                recorder.asgi, self.scope, self.method, self.uri, protocol, call.status, call.headers, self.body_sent, elapsed,
            ))
        return 0

    cdef int offer_id(self) except -1:
        self.scope["extensions"] = {**self.scope["extensions"], REQUEST_ID_KEY: {"value": self.request_id}}
        return 0

    cdef int fail(self, HTTPCall call, object failure) except -1:
        """It is counted, and logged in the context of its request, where the application's filters and handlers find its variables."""
        cdef WorkerContext worker = self.runner.worker
        worker.row.data.errors += 1
        note_error(worker.figures, APPLICATION_FAILED)
        if worker.on_failure is not None:
            worker.on_failure(failure)
        if self.trace is not None and self.trace.over is not None:
            self.trace.failed(failure)
        text = "The application's task was cancelled" if is_a(failure, CancelledError) else "Error in the application"
        return self.log_within(call, partial(
            report, worker.logger, f"{text} (%s %s)", call.method, call.uri, error=failure,
        ))

    cdef int log_within(self, HTTPCall call, object record) except -1:
        """Handlers are the application's code as well: they may start tasks and wake others."""
        cdef TaskRunner task_runner = self.loop_context.task_runner
        cdef bint was_open = task_runner.open
        task_runner.open = False
        try:
            call_within(_context_of(call), record)
        except BaseException as error:      # whatever becomes of the request does not depend on it
            report(
                self.runner.worker.logger, "a log handler or filter failed (%s %s)", call.method, call.uri, error=error
            )
        finally:
            task_runner.open = was_open
        return 0

    cdef int time_out(self, ThreadContext thread) except -1:
        """request_timeout is over: the task is cancelled, its client is answered without it."""
        cdef WorkerContext worker = self.runner.worker
        cdef LoopContext loop_context = self.loop_context
        cdef HTTPCall call = self.call
        cdef object visit = self.visit
        worker.row.data.errors += 1
        note_error(worker.figures, REQUEST_TIMEOUT)
        if visit is not None:
            visit._timed_out()
        self.log_within(call, partial(
            worker.logger.error, "A request takes longer than request_timeout: %s %s; its task is at", self.method,
            self.uri, extra={"block": awaiting_stack(call.task)},
        ))
        self.answer_without(thread, 504)
        self.end(thread)
        loop_context.cancel(call.task, call.method, call.uri)
        return call.let_go()

    # ---- what the gateway calls (gateway/exchange.pxd) ---------------------------------------------

    cdef bytes take_body(self, bint* more):
        cdef RequestProtocol protocol = self.protocol
        cdef bytes data = b""
        if not self.body and protocol.body_is_open(self) and not self.input_ended and not self.gone:
            self._ask_for_body()
            if self.protocol is not protocol:
                more[0] = True      # the client is gone, or was refused: the rest will never come
                return data
        if self.body:
            data = <bytes>self.body[0] if len(self.body) == 1 else b"".join(self.body)
            self.body = []
            self.body_size = self.joined = 0
            protocol.took_some(self)
        more[0] = protocol.body_is_open(self)
        if more[0] and not self.input_ended and not self.gone:
            if self.body_since == 0:
                self.wait_for_body(True)
            # Also where it is waited for already: since a part was read here, while the socket was not watched.
            protocol.look_again(self)
        return data

    def _ask_for_body(self):
        """The application wants more, and perhaps it has come by now."""
        cdef RequestProtocol protocol = self.protocol
        protocol.ask_for_body(self)
        self.body_reads += 1
        if self.body_reads <= BODY_READS:
            protocol.read_now(self, self.loop_context.aside)

    cdef object open_path(self, str path, long long* size):
        descriptor, length = open_path(path)
        size[0] = length
        return adopt_span(descriptor, 0, length)

    cdef object open_span(self, object file, long long offset, long long count, long long* size):
        descriptor, start, length = open_stretch(file, offset, count)
        size[0] = length
        return adopt_span(descriptor, start, length)

    cdef int send_span(self, object piece) except -1:
        cdef RequestProtocol protocol = self.protocol
        self.touch()
        return 0 if self.replaced else protocol.send_span(self, <FileSpan>piece)

    cdef bint has_trailers(self) noexcept:
        return self.call is not None and self.call.trailing

    cdef int finish_with(self, list trailers) except -1:
        cdef RequestProtocol protocol = self.protocol
        if self.replaced:
            return 0
        # Without the client's word they are not sent (RFC 9110 §6.5.1).
        return protocol.finish(self, trailers if self.takes_trailers else None)

    cdef int over(self) except -1:
        return self.end(self.loop_context.thread)


cdef class LoopAfterwards(Afterwards):
    cdef LoopContext loop_context

    cdef int proceed(self, ThreadContext thread) except -1:
        cdef TaskRunner task_runner = self.loop_context.task_runner
        cdef bint was_open = task_runner.open
        task_runner.open = False        # hooks may start tasks and wake others
        try:
            return self._call()
        finally:
            task_runner.open = was_open


cdef LoopAfterwards new_loop_afterwards(LoopContext loop_context):
    cdef LoopAfterwards afterwards = LoopAfterwards.__new__(LoopAfterwards)
    afterwards.loop_context = loop_context
    return afterwards


cdef int _closed(WorkerContext worker, TaskRunner task_runner, object context, object function) except -1:
    """Call foreign code that may start tasks and wake others."""
    cdef bint was_open = task_runner.open
    task_runner.open = False
    try:
        call_within(context, function)
    except BaseException as error:      # a hook's own are dealt with there
        report(worker.logger, "The hook post_request was left", error=error)
    finally:
        task_runner.open = was_open
    return 0


cdef int _tell_tls(ASGIRequest request, RequestProtocol protocol) except -1:
    """In extensions of the request's own: those in the scope may be everybody's."""
    if protocol.tls is not None:
        request.scope["extensions"] = {**request.scope["extensions"], "tls": dict(protocol.tls)}
    return 0


cdef object _context_of(HTTPCall call):
    """None: that of its first step, which is the present one."""
    return call.context if call.context is not None or call.task is None else context_of(call.task)


def _enter(trace, before):
    """In the context of the request, before its task. before: what else is to be called there, or None."""
    if before is not None:
        before()
    trace.enter()


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
