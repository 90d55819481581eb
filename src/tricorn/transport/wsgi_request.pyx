"""A request whose application may block: WSGI, on the threads of a worker, or on green threads (green_server.pyx).

The plan. A request of which all is here (or whose body the application reads itself) takes the thread that has read it, or waits in a queue
for one that may call the application. When its client is behind by more than `response_buffer_size`, the iterator is left as it is, and any
thread resumes it later. While the application is inside, only the thread that serves the request writes to its client.

Guarantees: no client, however slow, keeps a thread; the application gets a request when all of it is here (unless
request_buffering is off), and none that was given up or refused while it waited for a thread.

Knows: threads, the WSGI gateway. Must not know: framing, signals, settings, other requests.
"""

import io

cimport cython

from tricorn.gateway.environ cimport EnvironBuilder
from tricorn.gateway.input cimport StreamInput
from tricorn.gateway.request_builder cimport method_of
from tricorn.gateway.wsgi cimport COMPLETE, PAUSED as CALL_PAUSED, WSGICall
from tricorn.http.buffer cimport Buffer
from tricorn.http.h1 cimport SLOW_BODY, refusal
from tricorn.http.request cimport RequestHead
from tricorn.log.access cimport AccessLog
from tricorn.metrics.figures cimport APPLICATION_FAILED, CLIENT_TIMEOUT, BAD_REQUEST, REQUEST_TIMEOUT, WRITE_TIMEOUT, note_error, status_class
from tricorn.scoreboard cimport RowData, finish, monotonic, set_label
from tricorn.transport.admission cimport Admission
from tricorn.transport.body cimport BodyStore, new_store
from tricorn.transport.caller cimport Caller
from tricorn.transport.channel cimport AS_IT_IS, Channel
from tricorn.transport.client_socket cimport SWITCHED, TakenOver, new_client_socket
from tricorn.transport.deadline cimport deadline_of_caller
from tricorn.transport.hold cimport Batch
from tricorn.transport.thread_context cimport ThreadContext
from tricorn.transport.poller cimport READ, WRITE
from tricorn.transport.request cimport (
    COLLECTED, PULLED, Afterwards, Compartment, Delivery, Request, RequestProtocol, Runner, give_terms, new_afterwards, owe,
)
from tricorn.transport.routes cimport NOT_ITS_OWN, Route
from tricorn.transport.thread_pool cimport ThreadPool
from tricorn.transport.worker_context cimport WorkerContext
from tricorn.transport.system cimport PyThreadState_SetAsyncExc, tricorn_take_error
from tricorn.transport.wire cimport PEER_ENDED, PEER_LEFT, PEER_STAYS, WIRE_AGAIN

cdef extern from "pythread.h":
    unsigned long PyThread_get_thread_ident()

from functools import partial
from http import HTTPStatus

from tricorn.gateway.errors import GatewayError, RequestCut
from tricorn.http.errors import ProtocolError
from tricorn.log.request_id import context_with
from tricorn.transport.errors import ClientLeft, RequestTimeout
from tricorn.transport.failures import is_a, report

cdef enum:
    # What is held back for others to go with it: at most so much that is copied, and so much that is not.
    HELD_HEAD = 8192
    HELD_PIECE = 16384
    SLICE_MS = 1000     # of a wait for one client, in a thread that others may have to hear from
    # While one read goes on, nobody else has the GIL: this much takes some 40 µs.
    LARGEST_READ = 262144

cdef long long SECOND = 1000000000
# Who takes longer for a request does not hold back others' responses.
cdef long long LONG_NS = 500000

# As in gateway/wsgi.pyx: what may fail is called unchecked, and `try` stands where its error is dealt with.
ctypedef int (*Unchecked)(WSGIRequest, WSGICall, bint) noexcept

cdef str WSGI_INPUT = "wsgi.input"
cdef str REQUEST_ID_KEY = "tricorn.request_id"
cdef str EARLY_HINTS = "wsgi.early_hints"
cdef str SOCKET = "tricorn.socket"
cdef str GUNICORN_SOCKET = "gunicorn.socket"
cdef object BytesIO = io.BytesIO
# Of errors that are counted, by the status that is answered.
cdef dict KINDS = {500: APPLICATION_FAILED, 504: REQUEST_TIMEOUT, 408: CLIENT_TIMEOUT}


cdef ThreadRunner new_thread_runner(object worker):
    cdef ThreadRunner runner = ThreadRunner(worker)
    runner.divide()
    return runner


cdef WSGIRequest new_wsgi_request(WSGIRunner runner):
    cdef WSGIRequest request = WSGIRequest.__new__(WSGIRequest)
    request.runner = runner
    return request


cdef class WSGIRunner(Runner):
    cdef Request new_request(self, RequestProtocol protocol, RequestHead head):
        cdef WSGIRequest request = self._fresh()
        request.method = method_of(head)
        request.uri = head.text(head.target)
        request.environ = (<EnvironBuilder>protocol.builder).build(head, protocol.peer, request.method, request.uri)
        if protocol.tls is not None:
            request.environ.update(protocol.tls)
        request.protocol = protocol
        give_terms(request, self.worker, head)
        return request

    cdef WSGIRequest _fresh(self):
        """One that was used before, if there is any."""
        cdef WSGIRequest request = <WSGIRequest>self.spares.take()
        if request is None:
            return new_wsgi_request(self)
        request.stage = STAGE_READ
        request.cut_status = 0
        return request


@cython.final
cdef class ThreadRunner(WSGIRunner):
    """Requests run on whichever thread of their ThreadPool is free."""

    cdef Compartment new_compartment(self, Route route):
        cdef ThreadPool pool
        if route is not None and route.threads == NOT_ITS_OWN:
            return None
        pool = ThreadPool(self, route)
        pool.size = self.worker.threads if route is None else <int>route.threads
        return pool

    cdef int enter(self, Channel channel, ThreadContext thread) except -1:
        # What another thread holds back must not come behind what we send.
        return channel.release() if channel.holder is not None and channel.holder is not thread.batch else 0

    cdef int queue_up(self, object waiting) except -1:
        cdef ThreadPool pool = <ThreadPool>self.compartment
        if type(waiting) is WSGIRequest:
            pool = <ThreadPool>(<WSGIRequest>waiting).compartment
        elif type(waiting) is ThreadAfterwards:
            pool = <ThreadPool>(<Afterwards>waiting).compartment
        pool.waiting.append(waiting)
        return 0 if self.gathers and pool is self.compartment else pool.call_one()

    cdef int start_all(self, list requests, ThreadContext thread) except -1:
        """One is served by this thread, at once. Several wait for threads, in their order: for this one too, if it serves such, which
        looks at the queue next. So of the others one is called for all of them."""
        cdef ThreadPool pool = <ThreadPool>self.compartment
        cdef object serves = thread.serves
        cdef Request request
        if len(requests) == 1:
            request = requests[0]
            return request.start(thread)
        thread.serves = None
        self.gathers = True
        try:
            for request in requests:
                request.start(thread)
        finally:
            thread.serves = serves
            self.gathers = False
        return pool.call_one() if pool.waiting and (serves is not pool or pool.size > 1) else 0

    cdef bint holds(self, Channel channel, ThreadContext thread, bint more) except -1:
        """While others wait, and nothing takes long; as send() does."""
        cdef Batch batch = <Batch>thread.batch
        if batch is None or channel.gone or channel.has_queued():
            return False
        if channel.corked and channel.holder is batch:
            return True
        if not (thread.collecting or more) or thread.longest_ns >= LONG_NS:
            return False
        if channel.holder is not None or not batch.takes(channel):
            return False
        if thread.held_since[0] == 0:
            thread.held_since[0] = thread.now
        batch.cork(channel, thread.now)
        return True

    cdef int send(
        self, Channel channel, ThreadContext thread, Buffer out, bytes piece, const char* tail, Py_ssize_t tail_size, bint is_last,
    ) except -1:
        cdef Batch batch
        if is_last and thread.collecting and out.size <= HELD_HEAD and not channel.gone and not channel.has_queued():
            batch = <Batch>thread.batch
            if channel.holder is None and batch.takes(channel) and (piece is None or len(piece) <= HELD_PIECE):
                # At once: what this thread does next, in the same turn perhaps, may take long.
                if thread.held_since[0] == 0:
                    thread.held_since[0] = thread.now
                return batch.hold(channel, out, piece, thread.now)
        channel.release()       # of a pipelined request before
        return channel.send(out, piece, tail, tail_size)


@cython.final
cdef class EarlyHints:
    """`wsgi.early_hints`, for the request of whoever calls it."""

    cdef Caller caller

    def __call__(self, headers):
        """Send 103 Early Hints (RFC 8297). headers: as for start_response. Raises GatewayError, ResponseError."""
        cdef Caller caller = self.caller
        cdef WSGICall call = <WSGICall>caller.call()
        if call is None:
            raise GatewayError(f"early hints were sent from a {caller.kind} that serves no request")
        call.early_hints(headers)


@cython.final
cdef class Trailers:
    """`tricorn.trailers`, for the request of whoever calls it."""

    cdef Caller caller

    def __call__(self, headers):
        """Have these fields follow the body, where the client takes them (RFC 9110 §6.5). headers: as for start_response. Before
        the last piece of the body. Raises GatewayError, ResponseError."""
        cdef Caller caller = self.caller
        cdef WSGICall call = <WSGICall>caller.call()
        if call is None:
            raise GatewayError(f"trailers were given by a {caller.kind} that serves no request")
        call.add_trailers(headers)


cdef int provide(object builder, Caller caller) except -1:
    cdef EarlyHints hints = EarlyHints.__new__(EarlyHints)
    cdef Trailers trailers = Trailers.__new__(Trailers)
    hints.caller = trailers.caller = caller
    builder.provide("wsgi.early_hints", hints)
    builder.provide("tricorn.trailers", trailers)
    builder.provide("tricorn.deadline", deadline_of_caller(caller))
    return 0


@cython.final
cdef class WSGIRequest(Request):
    # ---- its body ------------------------------------------------------------------------------------

    cdef bint take_whole(self, const unsigned char* data, Py_ssize_t size) except -1:
        """A small body came together with its head: nothing has to be decoded or collected."""
        cdef WorkerContext worker = self.runner.worker
        if not worker.buffering or size > worker.request_buffer:
            return False
        self.environ[WSGI_INPUT] = BytesIO((<const char*>data)[:size])
        return True

    cdef Delivery open_body(self, ThreadContext thread, long long length) except *:
        cdef WorkerContext worker = self.runner.worker
        if not worker.buffering:
            self.stream = StreamInput(self)
            self.environ[WSGI_INPUT] = self.stream
            return PULLED
        self.store = new_store(worker.body_memory, worker.request_buffer, length)
        return COLLECTED

    cdef int take_body_part(self, ThreadContext thread, const unsigned char* data, Py_ssize_t size) except -1:
        cdef BodyStore store = self.store
        return store.add(data, size)

    cdef int place_body(self, unsigned char** place, Py_ssize_t* size, unsigned long long remaining) except -1:
        """Straight to where it stays, or to where it is written to a file from."""
        cdef BodyStore store = self.store       # writing to its file gives the GIL away
        cdef Py_ssize_t free
        cdef unsigned char* room = store.room(&free)
        if free:
            place[0] = room
            size[0] = <Py_ssize_t>min(<unsigned long long>min(free, <Py_ssize_t>LARGEST_READ), remaining)
        return 0

    cdef int placed(self, Py_ssize_t size) except -1:
        self.store.size += size
        return 0

    cdef int took_body(self, ThreadContext thread, bint is_over, bint was_chunked, long long received) except -1:
        cdef BodyStore store = self.store
        self.wait_for_body(not is_over)
        if not is_over:
            return 0
        body = store.finish()
        # The store is kept: it gives back its memory when the request is over.
        self.body_file = body if store.is_large() else None
        self.environ[WSGI_INPUT] = body
        if was_chunked:
            # The length is known now, and Django, say, reads nothing of a body without one.
            self.environ["CONTENT_LENGTH"] = str(received)
            self.environ.pop("HTTP_TRANSFER_ENCODING", None)
        return 0

    # ---- what its protocol tells ---------------------------------------------------------------------

    cdef int on_event(self, ThreadContext thread) except -1:
        cdef Channel channel = self.protocol.channel
        if self.waits:
            thread.now = monotonic()
            if self._was_left(thread.now):
                return self.give_up(thread)
            self.has_heard = True
        if self.stage == STAGE_QUEUED:
            return channel.arm(WRITE if channel.has_queued() else 0)
        return self.on_flushed(thread) if self.stage == STAGE_PAUSED else 0

    cdef int on_flushed(self, ThreadContext thread) except -1:
        cdef RequestProtocol protocol = self.protocol
        protocol.rest(self)
        # What is still queued goes on being sent while the application produces more.
        if self.stage == STAGE_PAUSED and not protocol.is_congested(self, self.runner.worker.response_buffer // 2):
            self.note_congestion(False)
            return self._queue_up()
        return 0

    cdef int on_queued(self) except -1:
        cdef Channel channel = self.protocol.channel
        return channel.arm(WRITE)

    cdef int on_lost(self) except -1:
        cdef RequestProtocol protocol = self.protocol
        protocol.rest(self)     # one that waits is given up when its turn comes
        # A paused application's iterable has to be closed by its own kind of thread.
        return self._queue_up() if self.stage == STAGE_PAUSED else 0

    cdef int on_input_end(self, ThreadContext thread) except -1:
        return 0

    cdef bint on_cut(self, ThreadContext thread, object error) except -1:
        return False

    cdef int interest(self) noexcept:
        if self.waits and not self.has_heard:
            return READ
        return WRITE if self.stage == STAGE_PAUSED else AS_IT_IS

    cdef bint overdue(self, long long now) noexcept:
        cdef Admission admission = self.compartment.admission
        if self.protocol.channel.owned:
            return False
        if self.waits:
            return admission.is_late(self.started_ns, now)
        return self.stage == STAGE_READ and self.body_is_late(now)

    cdef int expire(self, ThreadContext thread, long long now) except -1:
        cdef RequestProtocol protocol = self.protocol
        cdef Channel channel = protocol.channel
        cdef Admission admission = self.compartment.admission
        if self.waits and admission.is_late(self.started_ns, now):
            return self._decline(thread, True)
        if self.stage == STAGE_READ:
            return protocol.cut_body(self, thread, refusal(SLOW_BODY))
        note_error(self.runner.worker.figures, WRITE_TIMEOUT)
        return channel.lose()

    cdef long long silent_since(self, long long now) noexcept:
        return self.thread.active_ns if self.thread is not None else now

    cdef object produces(self):
        cdef WSGICall call = self.call
        return call.headers if call is not None and not call.ended else None

    cdef int cut(self, ThreadContext thread) except -1:
        cdef RequestProtocol protocol = self.protocol
        return protocol.break_off(self)

    # ---- serving -------------------------------------------------------------------------------------

    cdef int start(self, ThreadContext thread) except -1:
        """Serve it here, or let a thread that may call the application do it."""
        return self._begin(thread) if thread.serves is self.compartment else self._wait(thread)

    cdef int _wait(self, ThreadContext thread) except -1:
        """For a thread, if as many may."""
        cdef Compartment compartment = self.compartment
        cdef Admission admission = compartment.admission
        cdef RequestProtocol protocol = self.protocol
        cdef int free = compartment.free()
        self.started_ns = self.came_ns = thread.now = monotonic()
        if admission.is_full(free):
            return self._decline(thread, False)
        self.waits = True
        self.has_heard = False
        self.is_expected = admission.waiting < free
        self.has_ended = self.is_expected or protocol.peer_of(self) == PEER_ENDED
        admission.enter()
        return self._queue_up()

    cdef int _take_turn(self, ThreadContext thread) except -1:
        """A thread is there. Its client may not be any more."""
        cdef Admission admission = self.compartment.admission
        thread.now = monotonic()
        if self.compartment is self.runner.compartment:
            self._note_wait(thread.now)
        if self.gone or self._is_left(thread.now):
            return self.give_up(thread)
        if admission.is_late(self.started_ns, thread.now):
            return self._decline(thread, True)
        self.leave_queue()
        return self._begin(thread)

    cdef bint _is_left(self, long long now) noexcept:
        """Whether its client has gone by now, when its turn has come. (In a queue without limits most do not wait for long, and would
        pay a system call for it; of those who do the poller tells first.)"""
        cdef Admission admission = self.compartment.admission
        return (admission.has_limits() or admission.is_farewell(self.started_ns, now)) and self._was_left(now)

    cdef bint _was_left(self, long long now) noexcept:
        """Whether its client has gone while it waited. (Of one that has hardly waited that is not asked, as of one that has not.)"""
        cdef Admission admission = self.compartment.admission
        cdef RequestProtocol protocol = self.protocol
        cdef int peer
        if self.is_expected and not admission.is_farewell(self.started_ns, now):
            return False
        peer = protocol.peer_of(self)
        if peer == PEER_STAYS or peer == PEER_LEFT or self.has_ended:
            return peer == PEER_LEFT
        self.has_ended = not admission.is_farewell(self.started_ns, now)
        return not self.has_ended

    cdef int _decline(self, ThreadContext thread, bint late) except -1:
        cdef WorkerContext worker = self.runner.worker
        cdef str news = self.decline(thread, late)
        if news is not None:
            worker.logger.warning(news)
        return 0

    cdef int outcome(self) noexcept:
        return status_class(self.status)

    cdef str answered(self):
        return self.status

    cdef dict source(self):
        return self.environ

    cdef void note_status(self, str status) noexcept:
        self.status = status
        if self.call is not None:
            self.call.status = status       # a file that the application has named has another one

    cdef int _queue_up(self) except -1:
        """Wait for a thread that may call the application."""
        cdef RequestProtocol protocol = self.protocol
        self.stage = STAGE_QUEUED
        return protocol.queue_up(self)

    cdef int proceed(self, ThreadContext thread) except -1:
        """Its turn has come in the queue for application threads."""
        cdef RequestProtocol protocol = self.protocol
        if not protocol.take_up(self):
            return 0
        if self.waits:
            self._take_turn(thread)
        elif self.call is None:
            self._begin(thread)
        elif self.gone:
            self._abandon(thread)
        else:
            self._run(thread, True)
        return protocol.done_with(self, thread)

    cdef void _note_wait(self, long long now) noexcept:
        cdef RowData* row = self.runner.worker.row.data
        row.waits += 1
        row.waited_ns += now - self.started_ns

    cdef int _begin(self, ThreadContext thread) except -1:
        cdef WSGICall call = WSGICall.__new__(WSGICall)
        call.exchange = self
        self.call = call
        if self.protocol.version_of(self) == 10 and EARLY_HINTS in self.environ:
            del self.environ[EARLY_HINTS]       # RFC 9110 §15.2: the client does not expect a 1xx
        if self.runner.worker.visitors is not None:
            self.receive(self.environ)
        self.started_ns = thread.now = monotonic()
        return self._run(thread, False)

    cdef int _run(self, ThreadContext thread, bint resumed) except -1:
        cdef WSGICall call = self.call
        cdef int outcome
        cdef object failure = None
        self._enter(thread, monotonic() if resumed else self.started_ns)
        outcome = (<Unchecked>_call)(self, call, resumed)
        if outcome < 0:
            failure = tricorn_take_error()
            outcome = COMPLETE
        self._return_control(thread)
        return self._leave(thread, outcome, call.status if failure is None else self._failed(call, failure))

    cdef int _abandon(self, ThreadContext thread) except -1:
        """Its client is gone: have the iterable closed, by the kind of thread that ran it."""
        cdef WSGICall call = self.call
        cdef object failure = None
        self._enter(thread, monotonic())
        try:
            call.abandon()
        except BaseException as error:
            failure = error
        self._return_control(thread)
        if failure is not None:
            self._log_failure(call, failure)
        return self._leave(thread, COMPLETE, call.status)

    cdef int _enter(self, ThreadContext thread, long long now) except -1:
        """The application has control from here on. `thread.calling` says when an exception may be raised in it."""
        cdef Runner runner = self.runner
        self.stage = STAGE_RUNNING
        self.thread = thread
        thread.call = self.call
        thread.active_ns = now
        runner.begins(self, thread)
        thread.cell.busy_since_ns = now
        thread.calling = True
        return 0

    cdef int _return_control(self, ThreadContext thread) except -1:
        cdef WorkerContext worker = self.runner.worker
        thread.calling = False
        thread.call = None
        if worker.forsaken:
            worker.end_stranger()
        if thread.interrupted:
            # Too late for this request, and not meant for the next one.
            PyThreadState_SetAsyncExc(thread.ident, NULL)
            thread.interrupted = False
        return 0

    cdef int _leave(self, ThreadContext thread, int outcome, str status) except -1:
        """The application has returned control: for good, or until the client has caught up."""
        cdef RequestProtocol protocol = self.protocol
        if self.visit is not None and outcome != CALL_PAUSED:
            self._part(thread, status)
        thread.now = monotonic()
        thread.longest_ns = max(thread.now - thread.cell.busy_since_ns, thread.longest_ns - (thread.longest_ns >> 4))
        self.thread = None
        if outcome == CALL_PAUSED:
            thread.cell.busy_ns += thread.now - thread.cell.busy_since_ns
            thread.cell.busy_since_ns = 0
            self.stage = STAGE_PAUSED
            if self.gone:
                return self.on_lost()
            return self.on_flushed(thread) if not self.congested() else 0
        finish(thread.cell, thread.cell.busy_since_ns, thread.now)
        self.stage = STAGE_OVER
        self.status = status
        if self.visit is not None and self.runner.worker.looks_back:
            return self._be_over(thread)
        return protocol.request_over(self, thread)

    cdef int _part(self, ThreadContext thread, str status) except -1:
        """Hooks hear of the response, as the application would: in its context, and no longer than that may take."""
        cdef WSGICall call = self.call
        cdef object context = call.context
        cdef object visit = self.visit
        cdef object failure = None
        if type(self.protocol) is TakenOver:
            status = SWITCHED
        thread.call = call
        thread.active_ns = monotonic()
        thread.calling = True
        try:
            context.run(visit._finish, self.environ, status, call.headers if status is call.status else None, self.body_sent)
        except BaseException as error:      # a hook's own are dealt with there
            failure = error
        self._return_control(thread)
        if failure is not None:
            report(self.runner.worker.logger, "The hook post_request was left (%s %s)", self.method, self.uri, error=failure)
        return 0

    cdef int _be_over(self, ThreadContext thread) except -1:
        """There is a hook for when its client is served."""
        cdef WSGICall call = self.call
        cdef RequestProtocol protocol = self.protocol
        cdef WSGIRunner runner = self.runner
        cdef object context = call.context
        cdef object visit = self.visit
        cdef Compartment compartment = self.compartment
        protocol.request_over(self, thread)
        return owe(
            new_afterwards(ThreadAfterwards.__new__(ThreadAfterwards), runner, compartment, context, visit), runner
        )

    def client(self):
        cdef dict environ = self.environ
        return environ.get("REMOTE_ADDR") if environ is not None else None

    cdef int log_access(self, object log, long long elapsed, double wall) except -1:
        cdef WSGICall call = self.call
        cdef object headers = call.headers if call is not None else ()
        cdef long long queued = self.queued(elapsed)
        cdef object recorder = (<AccessLog>log).recorder
        (<AccessLog>log).record(self.environ, self.status, headers, self.body_sent, elapsed, wall, queued, self.request_id)
        if recorder is not None:
            context = call.context if call is not None and call.context is not None else self.runner.worker.context
            context.copy().run(
                recorder.wsgi, self.environ, self.method, self.uri, self.status, headers, self.body_sent, elapsed,
            )
        return 0

    cdef int offer_id(self) except -1:
        self.environ[REQUEST_ID_KEY] = self.request_id
        return 0

    cdef int offer_socket(self) except -1:
        self.environ[SOCKET] = self.environ[GUNICORN_SOCKET] = new_client_socket(self)
        return 0

    cdef int leave_to_application(self) except -1:
        cdef WSGICall call = self.call
        if self.thread is None or call is None or call.ended:
            raise GatewayError("the connection cannot be taken over: no thread is serving the request")
        if call.busy:
            raise GatewayError("the connection cannot be taken over: the response is being written")
        call.sent = True        # so nothing has to come any more
        return 0

    cdef int let_go(self, ThreadContext thread) except -1:
        cdef WSGICall call = self.call
        cdef StreamInput stream = None
        cdef object body_file = None
        if self.waits:
            self.leave_queue()
        self.call = None
        if self.visit is not None:
            self.visit = None
        if self.thread is not None:
            self.thread = None
        if self.stream is not None:
            stream = self.stream
            self.stream = None
            stream.exchange = None
        if self.body_file is not None:
            body_file = self.body_file
            self.body_file = None
        if call is not None:
            call.ended = True
            call.exchange = None
            call.context = None     # from here on destructors of the application's may run
        self.environ = None
        if self.store is not None:
            self.store = None
        if body_file is not None:
            _close_quietly(body_file)
        self.protocol = self.runner.nowhere
        self.runner.spares.put(self)
        return 0

    def _failed(self, WSGICall call, error):
        """The application raised. Returns the status that the client got, for the access log."""
        cdef RequestProtocol protocol = self.protocol
        cdef WorkerContext worker = self.runner.worker
        if type(protocol) is TakenOver and is_a(error, (StopIteration, ConnectionError)):
            return call.status      # so applications of Gunicorn's leave; or it only says that the client is gone
        cut = type(error) is RequestCut and self.cut_status
        if cut:
            worker.logger.info("A request body was cut off (%s %s): %s", self.method, self.uri, error)
        else:
            self._log_failure(call, error)
        worker.row.data.errors += 1
        status = self.cut_status if cut else (504 if is_a(error, RequestTimeout) else 500)
        note_error(worker.figures, KINDS.get(status, BAD_REQUEST))
        if not protocol.answer(self, status):
            return call.status
        return f"{status} {HTTPStatus(status).phrase}"

    def _log_failure(self, WSGICall call, error):
        if self.gone and is_a(error, (OSError, GeneratorExit)):
            return      # it only says what we know: the client is gone
        if is_a(error, ClientLeft):
            return
        if self.runner.worker.on_failure is not None:
            self.runner.worker.on_failure(error)
        if self.trace is not None and self.trace.over is not None:
            self.trace.failed(error)
        # In the context of the request, where the application's filters and handlers find its variables.
        call.context.copy().run(partial(
            report, self.runner.worker.logger, "Error in the application (%s %s)", self.method, self.uri, error=error
        ))

    cdef ThreadContext writing_thread(self):
        """The context of this thread, if it is the one that is in the application for this request.

        Another must not write: a large send gives the GIL away, and meanwhile the response may end and its thread may be
        at another request.
        """
        cdef ThreadContext thread = self.thread
        if thread is None:
            raise GatewayError("the response was written to while no thread was serving the request")
        if thread.ident != PyThread_get_thread_ident():
            raise GatewayError("the response was written to by a thread that does not serve the request")
        return thread

    cdef int touch(self) except -1:
        if self.thread is not None:
            self.thread.active_ns = monotonic()
        return 0

    # ---- what the gateway calls where it may block (gateway/exchange.pxd) ------------------------------

    cdef bint has_trailers(self) noexcept:
        return self.call is not None and self.call.trailers is not None

    cdef int finish_with(self, list trailers) except -1:
        cdef RequestProtocol protocol = self.protocol
        if self.replaced:
            return 0
        # Over HTTP/1 without the client's word they are not sent (RFC 9110 §6.5.1).
        if protocol.version_of(self) != 20 and "trailers" not in str(self.environ.get("HTTP_TE", "")).lower():
            trailers = None
        return protocol.finish(self, trailers)

    cdef int wait_uncongested(self) except -1:
        cdef ThreadContext thread = self.writing_thread()
        cdef RequestProtocol protocol = self.protocol
        while self.congested():
            protocol.await_room(self, thread, SLICE_MS)
        return 0

    cdef bytes read_body(self, Py_ssize_t size):
        """Blocks the application's thread: that is what an unbuffered request body means.

        It may be another thread than the one that serves the request (StreamInput lets in one at a time), so the request may end and
        the connection go on, or close, whenever the GIL is given away.
        """
        cdef RequestProtocol protocol = self.protocol
        cdef bytes data = None
        cdef long long waits_since = 0
        if not protocol.body_is_open(self):
            return b""
        if self.body_since == 0:
            self.body_since = monotonic()
        while data is None:
            if self.trace is not None:
                waits_since = monotonic()
            try:
                data = protocol.pull_body(self, size)
            except ProtocolError as error:
                self.cut_status = error.status
                raise RequestCut(str(error)) from None
            if data is None:
                try:
                    self._wait_readable()
                finally:
                    if self.trace is not None:
                        self.trace.client_sends_ns += monotonic() - waits_since
        return data

    cdef int _wait_readable(self) except -1:
        """Get bytes from the client. Raises RequestCut."""
        cdef RequestProtocol protocol = self.protocol
        cdef Channel channel = protocol.channel
        cdef WSGIRunner runner = self.runner
        cdef WorkerContext worker = runner.worker
        cdef ssize_t n
        cdef long long give_up_at = 0
        protocol.ask_for_body(self)
        if worker.body_timeout:
            give_up_at = monotonic() + worker.body_timeout
        while True:
            if not protocol.body_is_open(self) or channel.closed or self.stream is None:
                raise RequestCut("the request has ended")
            n = protocol.fetch(self)
            if n > 0:
                self.touch()
                return self._check_body_rate()
            if n != WIRE_AGAIN or self.gone:
                self._cut(400, "the client went away before the request body was complete")
            if give_up_at and monotonic() >= give_up_at:
                self._cut(408, "the client stopped sending the request body")
            protocol.await_body(self, _slice(give_up_at))

    def _cut(self, int status, text):
        cdef RequestProtocol protocol = self.protocol
        self.cut_status = status
        protocol.end_after(self)
        raise RequestCut(text)

    cdef int _check_body_rate(self) except -1:
        cdef WorkerContext worker = self.runner.worker
        cdef long long elapsed = monotonic() - self.body_since
        cdef RequestProtocol protocol = self.protocol
        if worker.min_body_rate and worker.body_timeout and elapsed > worker.body_timeout:
            if protocol.body_received(self) * SECOND < worker.min_body_rate * elapsed:
                self._cut(408, "the client sends the request body too slowly")
        return 0


cdef int _call(WSGIRequest request, WSGICall call, bint resumed) except -1:
    """Have the application produce the response, or go on with it."""
    cdef WorkerContext worker = request.runner.worker
    if resumed:
        return call.resume()
    context = worker.context if request.request_id is None else context_with(worker.context, request.request_id)
    if request.trace is not None and request.trace.over is not None:
        context = context.copy()
        context.run(request.trace.enter)
    application = request.visit._application if worker.greets else worker.application
    if request.runner.for_upgrades is not None and SOCKET in request.environ:
        application = partial(request.runner.for_upgrades, application)
    return call.run(application, request.environ, context)


@cython.final
cdef class ThreadAfterwards(Afterwards):
    cdef int proceed(self, ThreadContext thread) except -1:
        cdef Batch batch = <Batch>thread.batch
        if batch is not None and batch.count:
            batch.release()         # nobody waits for a hook
        set_label(thread.cell, "after_response", None)
        thread.cell.busy_since_ns = monotonic()
        self._call()
        thread.now = monotonic()
        thread.cell.busy_ns += thread.now - thread.cell.busy_since_ns
        thread.cell.busy_since_ns = 0
        return 0


cdef int _slice(long long deadline) noexcept:
    """How long a thread may wait in poll(), ms: a descriptor that it waits on stays open, though the connection closes it."""
    if deadline == 0:
        return SLICE_MS
    return <int>min(<long long>SLICE_MS, max((deadline - monotonic()) // 1000000 + 1, <long long>0))


cdef int _close_quietly(object file) except -1:
    """Disk and memory of a large body are free again here, not whenever its last reference goes."""
    try:
        file.close()
    except (OSError, ValueError, BufferError):
        file = None     # the application has closed or detached it, or holds a view of it
    return 0
