"""A request whose application is Tornado's: handlers, routers, whatever is an HTTPServerConnectionDelegate.

The plan. Tornado's applications know two things of their server: a delegate that they give for each request, which hears of head, body and
end, and an HTTPConnection, on which they write. Here both lead straight to the request, and Tornado's own HTTP, streams and
server are left out. Everything happens in the thread of the loop, as with ASGI: what is ended while an event is dealt with is dealt
with by whoever owns the channel. What the application awaits is a future of asyncio's. The task of a handler is the first one that is made
while the delegate is told that the request is complete (with a streamed body: that there is a head); it begins at once, where the interpreter can do that, so
a handler that waits for nothing has answered before the event is over.

Guarantees: a delegate hears of finish() or of on_connection_close(), once; the connection leads nowhere when the request is over; nobody is
called from the middle of a call of his own. A detached connection is an IOStream over a socket of the application's (client_socket.pyx); its request
lasts as long as the handler's task.

Knows: the interfaces of tornado.httputil, tasks. Must not know: framing, how the loop is told about descriptors and timers.
"""

cimport cython

from tricorn.gateway.request_builder cimport method_of
from tricorn.gateway.scope cimport ScopeBuilder
from tricorn.gateway.waiting cimport TaskRunner, call_within, failure_of
from tricorn.http.h1 cimport LONG_BODY, refusal
from tricorn.http.request cimport BODY_LENGTH, NO_BODY, RequestHead
from tricorn.log.access cimport AccessLog
from tricorn.metrics.figures cimport APPLICATION_FAILED, BAD_REQUEST, REQUEST_TIMEOUT, note_error, status_class
from tricorn.scoreboard cimport count_request, monotonic
from tricorn.transport.admission cimport Admission
from tricorn.transport.asgi_request cimport Line, LoopRequest, LoopRunner
from tricorn.transport.client_socket cimport TakenOver, take_over
from tricorn.transport.loop_context cimport LoopContext
from tricorn.transport.request cimport Request, RequestProtocol, Runner, give_terms
from tricorn.transport.thread_context cimport ThreadContext
from tricorn.transport.worker_context cimport WorkerContext

import sys
from asyncio import Future, Task, ensure_future
from functools import partial
from http import HTTPStatus

from tricorn.gateway.errors import GatewayError
from tricorn.log.request_id import REQUEST_ID
from tricorn.transport.admission import CLIENT_GONE
from tricorn.transport.failures import is_a, report
from tricorn.transport.loop_server import LoopServer
from tricorn.transport.stacks import awaiting_stack

cdef extern from "Python.h":
    object PyContext_Copy(object)
    int PyContext_Enter(object) except -1
    int PyContext_Exit(object) except -1

cdef enum:
    # Names of fields that are kept as Tornado writes them.
    MOST_NAMES = 1024
    # Delegates in delegates: routers in routers.
    DEEPEST = 16

cdef bint EAGER = sys.version_info >= (3, 12)
cdef object NOTHING = object()
# The coroutine that is a handler's task.
cdef str EXECUTE = "_execute"
# What Tornado's own server allows a body where nothing is said: a handler that does not stream it has all of it in memory.
cdef long long MOST_BODY = 104857600
cdef dict PROTOCOLS = {10: "HTTP/1.0", 11: "HTTP/1.1", 20: "HTTP/2.0", 30: "HTTP/3.0"}


def new_tornado_server(LoopContext loop_context, list entrances, on_turn):
    """A LoopServer whose application is loop_context.application, an HTTPServerConnectionDelegate of Tornado's."""
    return LoopServer(loop_context, entrances, on_turn, new_tornado_runner(loop_context))


cdef TornadoRequest new_tornado_request(TornadoRunner runner):
    cdef TornadoRequest request = TornadoRequest.__new__(TornadoRequest)
    request.runner = runner
    request.loop_context = runner.loop_context
    return request


cdef TornadoRunner new_tornado_runner(LoopContext loop_context):
    from tornado import httputil, iostream

    cdef TornadoRunner runner = TornadoRunner(loop_context.worker)
    runner.loop_context = loop_context
    runner.application = loop_context.application
    runner.loop = loop_context.task_runner.loop
    runner.headers_class = httputil.HTTPHeaders
    runner.start_line_class = httputil.RequestStartLine
    runner.input_error = httputil.HTTPInputError
    runner.stream_class = iostream.IOStream
    runner.closed_error = iostream.StreamClosedError
    runner.most_body = MOST_BODY
    runner.names = {}
    runner.done = Future(loop=runner.loop)
    runner.done.set_result(None)
    runner.divide()
    return runner


@cython.final
cdef class TornadoRunner(LoopRunner):
    cdef Request new_request(self, RequestProtocol protocol, RequestHead head):
        cdef TornadoRequest request = self._again()
        cdef ScopeBuilder builder = <ScopeBuilder>protocol.builder
        cdef bint takes_trailers
        request.protocol = protocol
        request.builder = builder
        request.method = method_of(head)
        request.uri = request.target = head.text(head.target)
        request.scope = builder.build(head, protocol.peer, request.method, request.uri, &takes_trailers)
        if head.authority.length and not head.is_connect:
            request.target = _without_authority(head)
        request.is_upgrade = head.wants_upgrade and head.framing == NO_BODY
        request.length = head.content_length if head.framing == BODY_LENGTH else -1
        give_terms(request, self.worker, head)
        return request

    cdef TornadoRequest _again(self):
        """One that was used before, if there is any."""
        cdef TornadoRequest request = <TornadoRequest>self.spares.take()
        if request is None:
            return new_tornado_request(self)
        request.awaits = request.input_ended = request.is_detached = False
        request.body_size = 0
        request.gone_ns = 0
        request.status = None
        request.fields = None
        return request

    cdef object _headers_of(self, dict scope):
        """What came, as Tornado has it. (Tornado would check each field again.)"""
        headers = self.headers_class()
        for name, value in scope["headers"]:
            key = self._name(name)
            text = (<bytes>value).decode("latin-1")
            if key in headers:
                headers.add(key, text)
            else:
                headers[key] = text
        return headers

    cdef object _name(self, bytes name):
        found = self.names.get(name)
        if found is None:
            found = "-".join([part.capitalize() for part in name.decode("latin-1").split("-")])
            if len(self.names) < MOST_NAMES:
                self.names[name] = found
        return found

    cdef int tell_slow(self, object call, long long now) except -1:
        cdef TornadoConnection connection = <TornadoConnection?>call
        cdef TornadoRequest request = connection.request
        if request is None or request.is_detached or request.gone or not request.is_slow(now):
            return 0
        stack = awaiting_stack(connection.task)
        if not request.note_slow(now, stack):
            return 0
        return request.log_within(partial(
            self.worker.logger.warning, "A request takes longer than slow_request_time: %s %s; its task is at",
            request.method, request.uri, extra={"block": stack},
        ))

    # ---- the task of a handler -------------------------------------------------------------------------

    cdef int _expect_task(self, TornadoConnection connection) except -1:
        """From here on a task that is made may be that of this connection's handler. (Tornado makes it, and keeps it to itself.)"""
        self.starting = connection
        self.before_starting = self.loop.get_task_factory()
        self.is_starting = True
        self.loop.set_task_factory(self)
        return 0

    cdef int _expect_none(self) except -1:
        if self.is_starting:
            self.is_starting = False
            self.loop.set_task_factory(self.before_starting)
        self.starting = self.before_starting = None
        return 0

    def __call__(self, loop, coroutine, **options):
        """As a task factory."""
        cdef TornadoConnection connection = self.starting
        factory = self.before_starting
        if getattr(coroutine, "__name__", None) != EXECUTE or not self.is_starting:
            if factory is not None:
                return factory(loop, coroutine, **options)
            return Task(coroutine, loop=loop, **options)
        self.is_starting = False
        loop.set_task_factory(factory)
        if factory is not None:
            task = factory(loop, coroutine, **options)
        elif EAGER:
            task = Task(coroutine, loop=loop, eager_start=True, **options)
        else:
            task = Task(coroutine, loop=loop, **options)
        connection.task = task
        return task


cdef str _without_authority(RequestHead head):
    """Of a target in absolute form (RFC 9112 §3.2.2)."""
    path = head.text(head.path) if head.path.length else "/"
    return f"{path}?{head.text(head.query)}" if head.has_query else path


cdef class Resumption:
    """Told when what the application wanted to have done before it hears more is done."""

    cdef TornadoRequest request
    cdef TornadoConnection connection

    def __call__(self, future):
        cdef TornadoRequest request = self.request
        cdef RequestProtocol protocol = request.protocol
        cdef ThreadContext thread = request.loop_context.thread
        failure = failure_of(future)
        if request.connection is not self.connection or not protocol.take_up(request):
            return          # it is over
        thread.now = monotonic()
        request.awaits = False
        if failure is not None:
            request._failed(failure)
        else:
            request._deliver()
        protocol.done_with(request, thread)


@cython.final
cdef class TornadoRequest(LoopRequest):
    # ---- its body --------------------------------------------------------------------------------------

    cdef int took_body(self, ThreadContext thread, bint is_over, bint was_chunked, long long received) except -1:
        self.wait_for_body(not is_over and self.wants_body())
        return 0

    cdef bint wants_body(self) noexcept:
        if self.awaits or self.body_size >= self.runner.worker.request_buffer:
            return False
        return not self.protocol.owes_continue(self)

    # ---- what its protocol tells -----------------------------------------------------------------------

    cdef int on_event(self, ThreadContext thread) except -1:
        cdef RequestProtocol protocol = self.protocol
        return self._deliver() if protocol.read_now(self, thread) else 0

    cdef int on_input_end(self, ThreadContext thread) except -1:
        """It has closed its side. It may still read: an answer that comes soon is sent."""
        cdef Admission admission = self.compartment.admission
        cdef TornadoConnection connection = self.connection
        thread.now = monotonic()
        if self.waits and admission.is_farewell(self.started_ns, thread.now):
            return self.give_up(thread)
        self.input_ended = True
        self.gone_ns = thread.now
        return connection.tell_end() if connection is not None else 0

    cdef bint on_cut(self, ThreadContext thread, object error) except -1:
        cdef RequestProtocol protocol = self.protocol
        self.log_within(partial(protocol.worker.log_refusal, protocol.peer.host, error))
        self.input_ended = True
        self.wait_for_body(False)
        if protocol.is_unanswered(self):
            return True
        self._leave()
        return False

    cdef int on_lost(self) except -1:
        cdef RequestProtocol protocol = self.protocol
        protocol.rest(self)
        self.wait_for_body(False)
        return self.give_up(self.loop_context.thread) if self.waits else self._leave()

    cdef int on_body(self, ThreadContext thread) except -1:
        return self._deliver()

    cdef int on_flushed(self, ThreadContext thread) except -1:
        cdef TornadoConnection connection = self.connection
        if connection is None or self.protocol.is_congested(self, self.runner.worker.response_buffer // 2):
            return 0
        self.note_congestion(False)
        return connection.flushed()

    cdef bint overdue(self, long long now) noexcept:
        if self.gone_ns and not self.waits and now > self.gone_ns + self.runner.worker.disconnect_grace:
            return True
        return LoopRequest.overdue(self, now)

    cdef object produces(self):
        cdef TornadoConnection connection = self.connection
        return self.fields if connection is not None and not connection.is_finished else None

    cdef int cut(self, ThreadContext thread) except -1:
        self._answer(503)
        return self._end()

    cdef int let_go(self, ThreadContext thread) except -1:
        cdef TornadoConnection connection = self.connection
        cdef ScopeBuilder builder
        cdef Line line
        if self.waits:
            self.leave_queue()
        if self.visit is not None:
            self._part()
        self.connection = None
        if self.scope is not None:
            self.scope = None
            builder = self.builder
            builder.take_back()
        if self.body is not None:
            self.body = None
            self.body_since = self.body_deadline = 0
        if connection is not None:
            connection.part(self.delegate)
            if not self.is_detached:
                line = <Line>self.compartment
                line.has_ended()
        self.delegate = None
        self.context = None
        self.protocol = self.runner.nowhere
        self.runner.spares.put(self)
        return 0

    # ---- serving ---------------------------------------------------------------------------------------

    cdef int turn_away(self, ThreadContext thread, bint late) except -1:
        cdef WorkerContext worker = self.runner.worker
        cdef RequestProtocol protocol = self.protocol
        cdef str news
        if self.input_ended:
            protocol.end_after(self)
        news = self.decline(thread, late)
        if news is not None:
            worker.logger.warning(news)
        return 0

    cdef int outcome(self) noexcept:
        return status_class(self.status)

    cdef str answered(self):
        return self.status

    cdef dict source(self):
        return self.scope

    cdef void note_status(self, str status) noexcept:
        self.status = status
        if self.fields is None:
            self.fields = ()

    cdef int begin(self, ThreadContext thread) except -1:
        cdef Runner runner = self.runner
        cdef LoopContext loop_context = self.loop_context
        cdef TornadoConnection connection = new_connection(self)
        self.connection = connection
        self.context = PyContext_Copy(loop_context.task_runner.context)
        if self.request_id is not None:
            self.context.run(REQUEST_ID.set, self.request_id)
        if runner.worker.visitors is not None:
            self.receive(self.scope)
        self.started_ns = self.active_ns = thread.now
        (<Line>self.compartment).running += 1
        runner.begins(self, thread)
        loop_context.starting = True
        loop_context.beginning = self.trace
        self._open(connection)
        loop_context.starting = False
        loop_context.beginning = None
        return self._leave() if self.gone else 0

    def _open(self, TornadoConnection connection):
        """Give the application the head."""
        cdef TornadoRunner runner = <TornadoRunner>self.runner
        cdef object failure = None
        cdef object awaited = None
        runner._expect_task(connection)
        try:
            awaited = self._within(self._received, connection)
        except BaseException as error:      # the application's: sys.exit() and the like end no worker
            failure = error
        runner._expect_none()
        connection.note_task()
        if self.connection is not connection:
            return
        if failure is not None:
            self._failed(failure)
        elif awaited is not None:
            self._await(awaited)
        else:
            self._deliver()

    def _received(self, TornadoConnection connection):
        cdef TornadoRunner runner = <TornadoRunner>self.runner
        cdef object visit = self.visit
        cdef object trace = self.trace
        if trace is not None and self.trace.over is not None:
            trace.enter()
        if visit is not None and runner.worker.greets:
            visit._before(self.scope)
        self.delegate = delegate = runner.application.start_request(object(), connection)
        version = PROTOCOLS[self.protocol.version_of(self)]
        return delegate.headers_received(
            runner.start_line_class(self.scope["method"], self.target, version), runner._headers_of(self.scope)
        )

    cdef int _await(self, object awaitable) except -1:
        """Tell nothing more, and read nothing more of the body, until that is done."""
        cdef Resumption resumption
        cdef TaskRunner task_runner = self.loop_context.task_runner
        cdef object failure = None
        cdef object future = None
        try:
            future = self._within(ensure_future, awaitable)
        except BaseException as error:
            failure = error
        if failure is not None:
            return self._failed(failure)
        self.awaits = True
        resumption = Resumption.__new__(Resumption)
        resumption.request = self
        resumption.connection = self.connection
        future.add_done_callback(resumption, context=task_runner.context)
        return 0

    cdef int _deliver(self) except -1:
        """Tell what has come of the body, then its end."""
        cdef RequestProtocol protocol = self.protocol
        cdef TornadoConnection connection = self.connection
        cdef object failure = None
        cdef object awaited
        cdef bytes piece
        if connection is None or self.delegate is None or self.awaits:
            return 0
        if max(self.length, protocol.body_received(self)) > connection.most_body:
            self.log_within(partial(protocol.worker.log_refusal, protocol.peer.host, refusal(LONG_BODY)))
            self._answer(413)
            return self._end()
        if self.body:
            piece = <bytes>self.body[0] if len(self.body) == 1 else b"".join(self.body)
            self.body = []
            self.body_size = 0
            protocol.took_some(self)
            awaited = None
            try:
                awaited = self._within(self.delegate.data_received, piece)
            except BaseException as error:
                failure = error
            if self.connection is not connection or connection.is_finished:
                return 0
            if failure is not None:
                return self._failed(failure)
            if awaited is not None:
                return self._await(awaited)
        if protocol.body_is_open(self):
            protocol.ask_for_body(self)
            self.wait_for_body(not self.input_ended)
            return protocol.look_again(self)
        return self._finish_delivery(connection)

    def _finish_delivery(self, TornadoConnection connection):
        cdef TornadoRunner runner = <TornadoRunner>self.runner
        cdef object failure = None
        cdef object delegate = self.delegate
        self.delegate = None
        connection.delegate = delegate
        runner._expect_task(connection)
        try:
            self._within(delegate.finish, NOTHING)
        except BaseException as error:
            failure = error
        runner._expect_none()
        connection.note_task()
        if failure is not None and self.connection is connection:
            self._failed(failure)
        return 0

    cdef object _within(self, object function, object argument):
        """Call the application, in its context. It may call back, start tasks, wake others. Its exceptions come through."""
        cdef TaskRunner task_runner = self.loop_context.task_runner
        cdef object context = self.context
        cdef bint was_open = task_runner.open
        task_runner.open = False
        PyContext_Enter(context)
        try:
            return function() if argument is NOTHING else function(argument)
        finally:
            PyContext_Exit(context)
            task_runner.open = was_open

    cdef int _failed(self, object error) except -1:
        """A delegate, or a task that it wanted to have done, raised. (What a handler raises Tornado answers by itself.)"""
        cdef WorkerContext worker = self.runner.worker
        cdef RequestProtocol protocol = self.protocol
        cdef TornadoConnection connection = self.connection
        self.delegate = None
        if is_a(error, (<TornadoRunner>self.runner).input_error) and not connection.is_finished:
            note_error(worker.figures, BAD_REQUEST)
            self.log_within(partial(worker.log_refusal, protocol.peer.host, error))
            self._answer(400)
            return self._end()
        worker.row.data.errors += 1
        note_error(worker.figures, APPLICATION_FAILED)
        if worker.on_failure is not None:
            worker.on_failure(error)
        if self.trace is not None and self.trace.over is not None:
            self.trace.failed(error)
        self.log_within(partial(report, worker.logger, "Error in the application (%s %s)", self.method, self.uri, error=error))
        if connection.is_finished:
            return 0
        self._answer(500)
        return self._end()

    cdef bint _answer(self, int status) except -1:
        """In place of the application."""
        cdef RequestProtocol protocol = self.protocol
        if not protocol.answer(self, status):
            return False
        self.status = f"{status} {HTTPStatus(status).phrase}"
        self.fields = ()
        return True

    cdef int _leave(self) except -1:
        """Its client is gone: nobody waits for what the application still does."""
        if self.connection is None or self.connection.is_finished:
            return 0
        if self.status is None:
            self.note_status(CLIENT_GONE)
        return self._end()

    cdef int _end(self) except -1:
        """The response is complete, as far as the application goes."""
        cdef RequestProtocol protocol = self.protocol
        cdef ThreadContext thread = self.loop_context.thread
        if self.visit is not None:
            self._part()
        thread.now = monotonic()
        count_request(thread.cell, thread.now - self.started_ns)
        if self.input_ended:
            protocol.end_after(self)
        return protocol.request_over(self, thread)

    cdef int _part(self) except -1:
        """The hook post_request."""
        cdef object visit = self.visit
        self.visit = None
        return self.log_within(partial(visit._finish, self.scope, self.status or CLIENT_GONE, self.fields or (), self.body_sent))

    cdef int time_out(self, ThreadContext thread) except -1:
        """request_timeout is over: the task is cancelled, the client is answered without it. One that has gone is not."""
        cdef WorkerContext worker = self.runner.worker
        cdef LoopContext loop_context = self.loop_context
        cdef TornadoConnection connection = self.connection
        cdef RequestProtocol protocol = self.protocol
        cdef object visit = self.visit
        cdef object task = connection.task
        if self.gone_ns:
            return protocol.break_off(self)
        worker.row.data.errors += 1
        note_error(worker.figures, REQUEST_TIMEOUT)
        if visit is not None:
            visit._timed_out()
        self.log_within(partial(
            worker.logger.error, "A request takes longer than request_timeout: %s %s; its task is at", self.method,
            self.uri, extra={"block": awaiting_stack(task) if task is not None else "  (it has no task)\n"},
        ))
        self._answer(504)
        self._end()
        return loop_context.cancel(task, self.method, self.uri) if task is not None else 0

    cdef int log_within(self, object record) except -1:
        """Handlers of logs, and hooks, are the application's code as well: they may start tasks and wake others."""
        cdef TaskRunner task_runner = self.loop_context.task_runner
        cdef bint was_open = task_runner.open
        task_runner.open = False
        try:
            call_within(self.context if self.context is not None else task_runner.context, record)
        except BaseException as error:
            report(self.runner.worker.logger, "a log handler or filter failed (%s %s)", self.method, self.uri, error=error)
        finally:
            task_runner.open = was_open
        return 0

    cdef int log_access(self, object log, long long elapsed, double wall) except -1:
        cdef long long queued = self.queued(elapsed)
        cdef object recorder = (<AccessLog>log).recorder
        cdef str protocol = PROTOCOLS[self.protocol.version_of(self)]
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.fields or ()]
        (<AccessLog>log).record_scope(
            self.scope, self.uri, protocol, self.status, headers, self.body_sent, elapsed, wall, queued, self.request_id,
        )
        if recorder is not None:
            self.log_within(partial(
                recorder.asgi, self.scope, self.method, self.uri, protocol, self.status, headers, self.body_sent, elapsed,
            ))
        return 0

    cdef int leave_to_application(self) except -1:
        cdef Line line = <Line>self.compartment
        self.is_detached = True
        return line.has_ended()

    cdef int on_drain(self, int code) except -1:
        """A WebSocket of Tornado's says goodbye."""
        cdef TornadoConnection connection = self.connection
        handler = _handler_of(connection.delegate) if connection is not None else None
        if getattr(handler, "ws_connection", None) is not None:
            (<TornadoRunner>self.runner).loop.call_soon(handler.close, code, context=self.context)
        return 0


cdef TornadoConnection new_connection(TornadoRequest request):
    cdef TornadoConnection self = TornadoConnection.__new__(TornadoConnection)
    self.request = request
    self.runner = <TornadoRunner>request.runner
    self.method = request.method
    self.uri = request.uri
    self.most_body = self.runner.most_body
    return self


cdef object _handler_of(object delegate):
    """What a delegate of Tornado's applications has made; None: it is another one's."""
    cdef int depth
    for depth in range(DEEPEST):
        handler = getattr(delegate, "handler", None)
        if handler is not None:
            return handler
        delegate = getattr(delegate, "delegate", None)
    return None


@cython.final
cdef class ConnectionContext:
    """`request.connection.context`: whose connection it is."""

    cdef public object remote_ip, protocol, address, address_family


@cython.freelist(16)
cdef class TornadoConnection:
    """What handlers have as `request.connection`: tornado.httputil.HTTPConnection."""

    # ---- what the application calls --------------------------------------------------------------------

    @property
    def context(self):
        cdef TornadoRequest request = self.request
        if self.facts is None and request is not None:
            self.facts = _context_of(request.scope)
        return self.facts

    @property
    def tls(self):
        """What is known of the client's TLS, as the ASGI extension `tls` has it; None: the connection is plain."""
        cdef TornadoRequest request = self.request
        return dict(request.protocol.tls) if request is not None and request.protocol.tls is not None else None

    def set_close_callback(self, callback):
        self.on_close = callback

    def set_max_body_size(self, size):
        self.most_body = size

    def set_body_timeout(self, _):
        """The server's own body_timeout holds."""

    def write_headers(self, start_line, headers, chunk=None):
        """The head, and what there is of the body. Returns a future that is done when the client has caught up.

        Raises ResponseError for what must not be sent.
        """
        cdef TornadoRequest request = self.request
        if request is None or self.is_finished:
            return self._closed()
        _, code, reason = start_line
        fields = [(name, value) for name, value in headers.get_all()]
        if code == 101:
            self.switching = _head_of(code, reason, fields)
            request.fields = fields
            return self.runner.done
        if self.no_keep_alive:
            request.protocol.end_after(request)
        status = f"{code} {reason}"
        request.respond(status, fields, _bytes(chunk), -1)
        request.status = status
        request.fields = fields
        return self._written()

    def write(self, chunk):
        cdef TornadoRequest request = self.request
        if request is None or self.is_finished or request.gone:
            return self._closed()
        if request.fields is None:
            return self.runner.done         # of a head that could not be sent
        request.send(_bytes(chunk))
        return self._written()

    def finish(self):
        cdef TornadoRequest request = self.request
        if request is None or self.is_finished or self.switching is not None:
            return          # what comes behind a 101 is detach()
        self.is_finished = True
        if request.fields is None:
            request._answer(500)            # its head could not be sent, which Tornado has logged
        else:
            request.finish()
        request._end()

    def detach(self):
        """The connection as an IOStream. HTTP ends here."""
        cdef TornadoRequest request = self.request
        cdef TakenOver taken
        if request is None or self.is_finished:
            raise self.runner.closed_error()
        if not request.is_upgrade:
            self.is_finished = True
            request._answer(500)            # Tornado takes the request for one that is over
            request._end()
            raise GatewayError("only the connection of a request that asks for another protocol can be detached")
        taken = <TakenOver>take_over(request, False)
        stream = self.runner.stream_class(taken.socket)
        if self.switching is not None:
            stream.write(self.switching)
        if self.task is None and self.runner.starting is not self:
            self.is_finished = True
            request._end()
        return stream

    def close(self):
        cdef TornadoRequest request = self.request
        cdef RequestProtocol protocol
        if request is not None and not request.is_detached:
            protocol = request.protocol
            protocol.cut_client(request)

    # ---- what its request tells ------------------------------------------------------------------------

    cdef object _written(self):
        cdef TornadoRequest request = self.request
        if request is None or request.gone:
            return self._closed()
        if not request.congested():
            return self.runner.done
        future = Future(loop=self.runner.loop)
        self.writers = [future] if self.writers is None else [*self.writers, future]
        return future

    cdef object _closed(self):
        future = Future(loop=self.runner.loop)
        future.set_exception(self.runner.closed_error())
        future.exception()          # nobody has to look at it
        return future

    cdef int flushed(self) except -1:
        writers = self.writers
        self.writers = None
        for future in writers or ():
            if not future.done():
                future.set_result(None)
        return 0

    cdef int tell_end(self) except -1:
        """The client is gone: the application hears of it in a turn of its own."""
        callback = self.on_close
        self.on_close = None
        if callback is not None:
            self.runner.loop.call_soon(callback)
        return 0

    cdef int part(self, object delegate) except -1:
        self.request = None
        self.delegate = None
        if delegate is not None:
            self.runner.loop.call_soon(delegate.on_connection_close)
        if self.is_finished:
            self.on_close = None
            return self.flushed()
        self.tell_end()
        writers = self.writers
        self.writers = None
        for future in writers or ():
            if not future.done():
                future.set_exception(self.runner.closed_error())
                future.exception()
        return 0

    # ---- the task --------------------------------------------------------------------------------------

    cdef int note_task(self) except -1:
        """The application was called, and has made one perhaps."""
        cdef LoopContext loop_context = self.runner.loop_context
        cdef TornadoRequest request = self.request
        task = self.task
        if task is None or self.is_running:
            return 0
        if not task.done():
            self.is_running = True
            loop_context.calls.add(self)
            task.add_done_callback(self._task_over, context=loop_context.task_runner.context)
        elif request is not None and not self.is_finished:
            self._task_over(task)
        return 0

    def _task_over(self, task):
        cdef LoopContext loop_context = self.runner.loop_context
        cdef TornadoRequest request = self.request
        cdef bint has_failed = failure_of(task) is not None
        self.task = None
        if self.is_running:
            self.is_running = False
            loop_context.finished(self)
        if request is None or self.is_finished:
            return
        if request.is_detached:
            self.is_finished = True
            request._end()
        elif has_failed or self.switching is not None:
            request._answer(500)        # it was cancelled, or worse (Tornado deals with all else); or nothing followed a 101
            request._end()


cdef bytes _bytes(object chunk):
    return b"" if chunk is None else <bytes>chunk if type(chunk) is bytes else bytes(chunk)


cdef bytes _head_of(int code, str reason, list fields):
    text = f"HTTP/1.1 {code} {reason}\r\n" + "".join([f"{name}: {value}\r\n" for name, value in fields]) + "\r\n"
    if text.count("\r") + text.count("\n") != 2 * (len(fields) + 2) or "\0" in text:
        raise ValueError("a line of a response's head contains a line break")
    return text.encode("latin-1")


cdef object _context_of(dict scope):
    cdef ConnectionContext context = ConnectionContext.__new__(ConnectionContext)
    client = scope["client"]
    context.address = client
    context.remote_ip = client[0] if client is not None else "0.0.0.0"
    context.protocol = scope["scheme"]
    return context
