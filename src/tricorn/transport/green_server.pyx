"""Green threads: one thread, one hub (gevent's, eventlet's, another), and a greenlet for each request that runs.

The plan. The connections keep the poller that they have in every worker, and the hub watches one descriptor: the poller's own, as an event
loop does (loop_server.pyx). So an idle connection costs the hub nothing, and no greenlet. Three kinds of greenlet take part:

1. The hub is the library's. It calls `_look` when there is something to do, which has the reader read what has come, and starts what is
   complete. Nothing that runs in the hub may wait, so no foreign code is called there.
2. The reader is the main greenlet, inside watch(); its context is `monitor`. It reads for everybody, sweeps the deadlines, beats on the
   scoreboard. It never calls the application; but log handlers are foreign code too, and may wait for others there.
3. Each request that the application has runs in a greenlet of its own, which ends with it. It is started in the hub, as all greenlets are, and
   so comes back there whenever the application waits. While the application's iterator waits for a slow client the greenlet is parked:
   what was kept for it (greenlet-local) is there when it goes on.

To the rest of the transport a greenlet is a thread that can only lose control where it waits: it has a ThreadContext, and owns the channels that
it deals with. The application waits by itself, through the library; where it waits for its client (write(), an unbuffered wsgi.input), the
runner has the greenlet wait. One thing is otherwise: a greenlet that waits is moved off the C stack, so nothing may be left there that
others look at. So responses that are held back (hold.pyx) leave from the hub, where nothing waits. They are held back only
while the hub starts many requests in a row.

RequestTimeout is thrown into a greenlet that waits inside the application: by the hub, at the reader's word. One that computes cannot be reached,
nor can any other meanwhile: such a worker shows no sign of life, and is aborted.

Guarantees: no client, however slow, keeps another from being served; as many requests run as may, and the others wait in order.

Knows: greenlets, what a hub offers, deadlines, listeners. Must not know: which library it is, signals, settings, HTTP.
"""

cimport cython

import os
from collections import deque

from greenlet import getcurrent, greenlet

from tricorn.gateway.wsgi cimport WSGICall
from tricorn.http.buffer cimport Buffer
from tricorn.scoreboard cimport count_request, monotonic, set_label
from tricorn.transport.caller cimport Caller
from tricorn.transport.channel cimport Channel, Protocol
from tricorn.transport.frame_chunks cimport keep_frame_chunks
from tricorn.transport.hold cimport Batch, new_batch
from tricorn.transport.poller cimport READ, Event
from tricorn.transport.queues cimport LOOK_NS
from tricorn.transport.request cimport Afterwards, Compartment, Request, Runner, count_begin
from tricorn.transport.routes cimport NOT_ITS_OWN, Route
from tricorn.transport.server cimport BATCH, LISTENER_TOKENS, WAKER_TOKEN, Server
from tricorn.transport.system cimport read
from tricorn.transport.thread_context cimport ThreadContext
from tricorn.transport.wire cimport Layer
from tricorn.transport.worker_context cimport WorkerContext
from tricorn.transport.wsgi_request cimport STAGE_PAUSED, STAGE_QUEUED, WSGIRequest, WSGIRunner, provide

from tricorn.transport.errors import RequestTimeout
from tricorn.transport.failures import report
from tricorn.transport.stacks import thread_stack

cdef extern from "pythread.h":
    unsigned long PyThread_get_thread_ident()

cdef enum:
    # Greenlets that are started in a row, before those that wait for the hub get their turn.
    START_RUN = 64
    SPARE = 64
    # Exceptions that reach the main greenlet in a row: the hub has none to call it.
    MOST_THROWN = 100
    ANY_NUMBER = 1 << 30
    # What is held back for others to go with it: at most so much that is copied, and so much that is not.
    HELD_HEAD = 8192
    HELD_PIECE = 16384
    # So many requests have to wait for holding back to begin.
    HOLD_FOR = 8

cdef long long SECOND = 1000000000
# How long a complete response may be held back for others to go with it, if none of late takes longer.
cdef long long HOLD_NS = 1000000
# A greenlet that has not answered to its exception for this long is stuck.
cdef long long STUCK_NS = 5000000000

# Once: they are looked up for each request otherwise.
cdef object new_greenlet = greenlet
cdef object switch_to = greenlet.switch
cdef object throw_into = greenlet.throw
cdef object current_greenlet = getcurrent


@cython.final
cdef class GreenPool(Compartment):
    def __init__(self, Runner runner, Route route):
        cdef WorkerContext worker = runner.worker
        Compartment.__init__(self, runner, route)
        if route is not None:
            self.most = route.max_concurrency
        elif worker.green_requests and worker.max_concurrency:
            self.most = min(worker.green_requests, worker.max_concurrency)
        else:
            self.most = worker.green_requests or worker.max_concurrency

    cdef bint has_room(self) noexcept:
        return self.most == 0 or self.running < self.most

    cdef int free(self) noexcept:
        return <int>min(self.most - self.running, <long long>ANY_NUMBER) if self.most else ANY_NUMBER


@cython.final
cdef class GreenContext(ThreadContext):
    def __cinit__(self):
        self.cell = &self.own
        self.ident = PyThread_get_thread_ident()

    def __call__(self):
        """What its greenlet does. (A bound method would be made for each request.)"""
        cdef GreenServer server = self.server
        server._live(self)


@cython.final
cdef class GreenRunner(WSGIRunner):
    """Requests run in greenlets, as many at once as their GreenPool allows."""

    cdef Compartment new_compartment(self, Route route):
        return None if route is not None and route.max_concurrency == NOT_ITS_OWN else GreenPool(self, route)

    cdef int queue_up(self, object waiting) except -1:
        cdef GreenServer server = self.server
        if isinstance(waiting, Request):
            (<Request>waiting).compartment.waiting.append(waiting)
        elif isinstance(waiting, Afterwards):
            (<Afterwards>waiting).compartment.waiting.append(waiting)
        else:
            self.gave_way.append(waiting)
        return server.nudge_hub()

    cdef int enter(self, Channel channel, ThreadContext thread) except -1:
        return channel.release() if channel.holder is not None else 0

    cdef int send(
        self, Channel channel, ThreadContext thread, Buffer out, bytes piece, const char* tail, Py_ssize_t tail_size, bint is_last,
    ) except -1:
        cdef GreenServer server = self.server
        cdef Batch batch = server.batch
        if is_last and server.collecting and out.size <= HELD_HEAD and not channel.gone and not channel.has_queued():
            if channel.holder is None and batch.takes(channel) and (piece is None or len(piece) <= HELD_PIECE):
                return batch.hold(channel, out, piece, thread.now)
        channel.release()       # of a pipelined request before
        return channel.send(out, piece, tail, tail_size)

    cdef int begins(self, Request request, ThreadContext thread) except -1:
        if self.worker.counts and request.begun_ns == 0:
            count_begin(self.worker.figures, request)
        return set_label(self.cell, request.method, request.uri)

    cdef int ends(self, Request request, ThreadContext thread) except -1:
        count_request(self.cell, thread.now - request.started_ns)
        return Runner.ends(self, request, thread)

    cdef int await_input(self, Channel channel, int timeout_ms) except -1:
        """As Channel.await_input()."""
        cdef Layer layer = channel.layer
        if layer is None or not layer.is_stalled():
            self.hub.wait(channel.fd, False, timeout_ms / 1000.0)
            return 0
        self.hub.wait(channel.fd, True, timeout_ms / 1000.0)
        layer.flush()
        return 0

    cdef int await_output(self, Channel channel, int timeout_ms) except -1:
        self.hub.wait(channel.fd, True, timeout_ms / 1000.0)
        return 0

    cdef bint await_either(self, int waker, Channel channel, int timeout_ms) except -1:
        self.hub.wait(waker, False, timeout_ms / 1000.0)
        return False


@cython.final
cdef class GreenCaller(Caller):
    cdef GreenServer server

    cdef object call(self):
        cdef GreenServer server = self.server
        cdef GreenContext context = server.current()
        return None if context is None else context.call


@cython.final
cdef class GreenServer(Server):
    """The transport of one worker.

    worker: what its connections share. entrances: where clients come in; their builders are EnvironBuilders. hub: what the library
    offers. for_upgrades: called with the application and its arguments for requests that ask for another protocol. To be made in
    the main greenlet.
    """

    def __init__(self, WorkerContext worker, list entrances, hub, for_upgrades=None):
        cdef GreenRunner runner = GreenRunner(worker)
        cdef GreenCaller caller = GreenCaller.__new__(GreenCaller)
        keep_frame_chunks()
        runner.reads_apart = True
        runner.for_upgrades = for_upgrades
        runner.divide()
        Server.__init__(self, runner, entrances)
        self.green = runner
        self.hub = runner.hub = hub
        runner.server = caller.server = self
        caller.kind = "greenlet"
        runner.cell = worker.row.cell(0)
        runner.gave_way = deque()
        self.serving = {}
        self.parked = {}
        self.watches = {}
        self.spare = []
        self.overdue = []
        self.main = current_greenlet()
        self.monitor = ThreadContext()
        self.monitor.cell = worker.row.cell(0)
        self.monitor.ident = PyThread_get_thread_ident()
        self.batch = new_batch(self.monitor)
        for builder in {id(entrance.builder): entrance.builder for entrance in entrances}.values():
            provide(builder, caller)
        # A worker of this kind beats in its sweep.
        self.sweep_interval = min(self.sweep_interval, SECOND // 4)
        self.swept_ns = monotonic()
        worker.row.data.is_loop = 1
        worker.channels.poller.add(worker.channels.waker, READ, WAKER_TOKEN)
        self.listen(True)
        self.reading = hub.watch(worker.channels.poller.fd, self._on_ready)
        self.reading.start()
        self._tick()
        if self.queues is not None:
            self._look_around()

    # ---- the hub ---------------------------------------------------------------------------------------

    def _on_ready(self):
        self.wanted = True
        self._look()

    def _on_told(self):
        self.wanted = self.told = True
        self._look()

    def _tick(self):
        if self.stopped:
            return
        self.hub.call_later(self.sweep_interval / <double>SECOND, self._tick)
        self.wanted = self.tick_due = True
        self.nudge_hub()

    def _look_around(self):
        """A worker that does not come to it is one of those whose queues others take from."""
        if self.stopped or self.worker.channels.draining:
            return
        self.hub.call_later(LOOK_NS / <double>SECOND, self._look_around)
        if self.listening and self.queues.look(monotonic()):
            self.wanted = True
            self.nudge_hub()

    def _listen_again(self):
        self.wanted = self.listens_again = True
        self.nudge_hub()

    cdef int listen_later(self, double seconds) except -1:
        self.hub.call_later(seconds, self._listen_again)
        return 0

    cdef int nudge_hub(self) except -1:
        if self.looking or self.scheduled or self.stopped:
            return 0
        if PyThread_get_thread_ident() != self.monitor.ident:
            return self.worker.channels.wake()      # of no other thread the hub is to be called
        self.scheduled = True
        self.hub.call_soon(self._look)
        return 0

    def _look(self):
        """Have read what has come, and start what is complete."""
        cdef long long began = monotonic()
        self.scheduled = False
        if self.stopped or self.looking:
            return
        self.looking = True
        self.monitor.cell.busy_since_ns = began
        try:
            self._resume_reader()
            self._interrupt()
            self._start_waiting()
        except BaseException:
            # Neither an application's exception nor a connection's ends here.
            self.worker.logger.critical("The hub of the worker failed", exc_info=True)
            os.abort()
        self.looking = False
        self.monitor.cell.busy_ns += monotonic() - began
        if not self.serving:
            self.monitor.cell.busy_since_ns = 0      # else the hub may turn to them, and one may block it
        if self._is_left():
            self.nudge_hub()

    cdef int _resume_reader(self) except -1:
        if not (self.wanted or self.green.gave_way):
            return 0
        if self.at_rest:
            self.at_rest = False
            switch_to(self.main)
        else:
            self.reading.stop()         # the reader waits for something: it starts again when it is back
        return 0

    cdef bint _is_left(self) except -1:
        cdef GreenPool pool
        if self.at_rest and (self.wanted or self.green.gave_way):
            return True
        for pool in self.runner.compartments:
            if pool.waiting and pool.has_room():
                return True
        return False

    cdef int _interrupt(self) except -1:
        cdef GreenContext context
        while self.overdue:
            context, call = self.overdue.pop()
            # It may have come back meanwhile, and be at another request.
            if context.interrupted and context.calling and context.call is call:
                throw_into(context.greenlet, RequestTimeout)
        return 0

    cdef int _start_waiting(self) except -1:
        cdef GreenPool pool
        cdef Batch batch = self.batch
        cdef long long now = monotonic()
        cdef long long before
        cdef int left = START_RUN
        for pool in self.runner.compartments:
            while pool.waiting and pool.has_room() and left:
                left -= 1
                before = now
                self.collecting = self.longest_ns < HOLD_NS // 2 and (len(pool.waiting) >= HOLD_FOR or batch.count > 0)
                self._start(pool, pool.waiting.popleft())
                self.collecting = False
                now = monotonic()
                self.longest_ns = max(now - before, self.longest_ns - (self.longest_ns >> 4))
                if batch.count and now - batch.since + self.longest_ns > HOLD_NS:
                    batch.release()
        return batch.release()

    cdef int _start(self, GreenPool pool, object waiting) except -1:
        cdef GreenContext context = None
        if isinstance(waiting, Request) and (<Request>waiting).protocol is self.runner.nowhere:
            return 0        # it was given up
        if self.parked:
            context = self.parked.pop(waiting, None)
        if context is None:
            context = self._fresh(pool, waiting)
        context.goes_on = True
        self.serving[context.greenlet] = context
        pool.running += 1
        self.worker.row.data.running = len(self.serving)
        switch_to(context.greenlet)
        return 0

    cdef GreenContext _fresh(self, GreenPool pool, object waiting):
        cdef GreenContext context = self.spare.pop() if self.spare else GreenContext()
        context.server = self
        context.pool = pool
        context.waiting = waiting
        context.greenlet = new_greenlet(context)
        return context

    # ---- the greenlet of a request -----------------------------------------------------------------------

    cdef int _live(self, GreenContext context) except -1:
        cdef object waiting = context.waiting
        cdef list spare = self.spare
        cdef bint goes_on = True
        while goes_on:
            self._go_on(context)
            self._left_application(context)
            goes_on = _is_paused(waiting) and self._wait_for_client(context, <WSGIRequest>waiting)
        context.waiting = context.greenlet = context.call = None
        context.interrupted = False
        if len(spare) < SPARE:
            spare.append(context)
        return 0

    cdef int _go_on(self, GreenContext context) except -1:
        cdef object waiting = context.waiting
        cdef Channel channel
        channel = (<Request>waiting).protocol.channel if isinstance(waiting, Request) else (<Protocol>waiting).channel
        try:
            if isinstance(waiting, Request):
                (<Request>waiting).proceed(context)
            else:
                (<Protocol>waiting).proceed(context)
        except BaseException:       # a fault of ours, or an application's that found a gap
            context.calling = False
            context.call = None
            self.give_up(context, channel)
        return 0

    cdef int _left_application(self, GreenContext context) except -1:
        cdef GreenPool pool = context.pool
        del self.serving[context.greenlet]
        pool.running -= 1
        self.worker.row.data.running = len(self.serving)
        if not self.looking and not self.serving:
            self.monitor.cell.busy_since_ns = 0
        if pool.waiting:
            self.nudge_hub()
        return 0

    cdef bint _wait_for_client(self, GreenContext context, WSGIRequest request) except -1:
        """Park. False: whoever wakes it, it is to end."""
        context.goes_on = False
        self.parked[request] = context
        try:
            self.hub.switch()
        except BaseException:       # an application that ends all greenlets that it can find: another one goes on for this
            self.parked.pop(request, None)
        return context.goes_on

    cdef GreenContext current(self):
        return <GreenContext>self.serving.get(current_greenlet())

    # ---- the reader --------------------------------------------------------------------------------------

    def watch(self, int interrupt, int lifeline, double timeout):
        """Do the housekeeping for about `timeout` seconds, or until one of two descriptors is readable (-1: none).

        Returns early too when the worker has become worn or stuck, or the last connection of a drain has gone.
        """
        cdef long long end = monotonic() + <long long>(timeout * SECOND)
        cdef bint draining = self.worker.channels.draining
        cdef bint worn = self.worker.worn
        cdef bint stuck = self.stuck
        self._forget_others(interrupt, lifeline)
        self._attend(interrupt)
        self._attend(lifeline)
        while True:
            self._rest()
            self._turn()
            if self.told or self.worker.worn != worn or self.stuck != stuck or monotonic() >= end:
                break
            if draining and self.worker.channels.count == 0:
                break
        self.told = False

    cdef int _attend(self, int fd) except -1:
        if fd >= 0 and fd not in self.watches:
            self.watches[fd] = self.hub.watch(fd, self._on_told)
            self.watches[fd].start()
        return 0

    cdef int _forget_others(self, int interrupt, int lifeline) except -1:
        for fd in [fd for fd in self.watches if fd != interrupt and fd != lifeline]:
            self.watches.pop(fd).stop()
        return 0

    cdef int _rest(self) except -1:
        """Until there is something to do."""
        self.reading.start()
        self.at_rest = True
        if self.wanted or self.green.gave_way:
            self.nudge_hub()        # it came while the reader waited for something else
        try:
            self.hub.switch()
            self.thrown = 0
        except BaseException as error:
            # What a greenlet of the application's own raises to end the process: the libraries bring it to the main one.
            if self.worker.forsaken:
                _end_copy(error)
            self.thrown += 1
            if self.thrown == MOST_THROWN:
                raise
            report(self.worker.logger, "The application tried to end the worker", error=error)
        self.at_rest = False
        return 0

    cdef int _turn(self) except -1:
        cdef long long now = monotonic()
        self.monitor.now = now
        self.wanted = False
        if self.tick_due:
            self.tick_due = False
            self._sweep(now)
        self.serve_batch()
        self._let_proceed()
        if self.queues is not None and self.queues.changed:
            self.settle()
        if self.listens_again:
            self.listens_again = False
            self.listen_again(monotonic())
        return 0

    cdef int serve_batch(self) except -1:
        cdef Event events[BATCH]
        cdef ThreadContext monitor = self.monitor
        cdef int n = self.worker.channels.poller.fetch(events, BATCH, 0)
        cdef int i
        for i in range(n):
            self.dispatch(monitor, events[i].token)
            monitor.now = monotonic()
        return n

    cdef int _let_proceed(self) except -1:
        """Let those go on that gave way. Each gets one turn."""
        cdef Protocol protocol
        cdef object gave_way = self.green.gave_way
        cdef int i
        for i in range(len(gave_way)):
            protocol = gave_way.popleft()
            self.monitor.now = monotonic()
            try:
                protocol.proceed(self.monitor)
            except BaseException:
                self.give_up(self.monitor, protocol.channel)
        return 0

    cdef int own_event(self, ThreadContext thread, unsigned long long token) except -1:
        cdef unsigned long long count
        if token != WAKER_TOKEN:
            return self.meet(thread, <int>(token - LISTENER_TOKENS))
        read(self.worker.channels.waker, &count, sizeof(count))
        self.listen_again(monotonic())
        return 0

    # ---- the sweep ---------------------------------------------------------------------------------------

    cdef int _sweep(self, long long now) except -1:
        self.monitor.now = now = self.begin_sweep(now)
        self.worker.row.data.heartbeat_ns = now
        self.expire_overdue(self.monitor, now)
        if self.worker.shortest_timeout:
            self._interrupt_overdue(now)
        if self.worker.shortest_slow:
            self._tell_slow(now)
        if self.parked:
            self._end_dropped()
        self.flush_log()
        self.listen_again(now)
        return 0

    cdef int _interrupt_overdue(self, long long now) except -1:
        """Have RequestTimeout raised in greenlets whose request has been silent for too long."""
        cdef GreenContext context
        cdef WSGIRequest request
        for context in list(self.serving.values()):
            if context.interrupted and now - context.interrupted_ns > STUCK_NS:
                self.stuck = True
            request = _served_by(context)
            if context.interrupted or request is None or request.due(now) > now:
                continue
            label, stack = _at(context, request)
            visit = request.visit
            context.interrupted = True
            context.interrupted_ns = now
            self.overdue.append((context, context.call))
            if visit is not None:
                visit._timed_out()
            self.worker.logger.error(
                "A request takes longer than request_timeout: %s; its greenlet is at", label,
                extra={"block": stack, "request_id": request.request_id},
            )
        return 0

    cdef int _tell_slow(self, long long now) except -1:
        """Record where greenlets are whose request has been silent for slow_request_time, and log it, once for each request."""
        cdef GreenContext context
        cdef WSGIRequest request
        for context in list(self.serving.values()):
            request = _served_by(context)
            if context.interrupted or request is None or not request.is_slow(now):
                continue
            label, stack = _at(context, request)
            if request.note_slow(now, stack):
                self.worker.logger.warning(
                    "A request takes longer than slow_request_time: %s; its greenlet is at", label,
                    extra={"block": stack, "request_id": request.request_id},
                )
        return 0

    cdef int _end_dropped(self) except -1:
        """A request may be dropped while its greenlet is parked (its connection failed through a fault of ours): nobody else wakes that."""
        cdef WSGIRequest request
        cdef GreenContext context
        for request in [request for request in self.parked if (<WSGIRequest>request).call is None]:
            context = self.parked.pop(request)
            self.hub.call_soon(context.greenlet.switch)
        return 0

    # ---- the end -----------------------------------------------------------------------------------------

    def stop(self):
        """Begin with nothing more; what runs may go on for as long as the hub does."""
        self.stopped = True
        self.reading.stop()
        for watch in self.watches.values():
            watch.stop()
        self.flush_log()

    def nudge(self):
        """A signal has arrived: the hub has seen it."""

    def forsake(self):
        """As in Server. A copy of the process has all greenlets, and with gevent they go on in it when the copy waits."""
        Server.forsake(self)
        self.stopped = True
        self.forker = current_greenlet()
        self.worker.stay_away = self._stay_away
        self.hub.forsake([self.reading, *self.watches.values()])

    def _stay_away(self):
        """Called in a copy by a greenlet that comes back from its application. The worker goes on with that request, so the copy must not; the
        one that has made the copy comes back from here.
        """
        cdef object thrown = None
        while current_greenlet() is not self.forker:
            try:
                self.hub.switch()
            except BaseException as error:      # by an application that ends all greenlets that it can find
                thrown = error

    @property
    def running(self):
        """How many requests the application has."""
        return len(self.serving)


cdef bint _is_paused(object waiting) noexcept:
    """Whether it is a request whose iterator waits for its client. (One that is over, or is another one by now, has no call.)"""
    if type(waiting) is not WSGIRequest or (<WSGIRequest>waiting).call is None:
        return False
    return (<WSGIRequest>waiting).stage == STAGE_PAUSED or (<WSGIRequest>waiting).stage == STAGE_QUEUED


cdef WSGIRequest _served_by(GreenContext context):
    """The request whose application has control of the greenlet; None: there is none."""
    cdef object call = context.call
    if not context.calling or call is None:
        return None
    return <WSGIRequest>(<WSGICall>call).exchange


cdef int _end_copy(object error) except -1:
    """This is a process that the application has made, so it is the application's to end, as the interpreter would."""
    code = error.code if isinstance(error, SystemExit) else 1
    os._exit(code if isinstance(code, int) else int(code is not None))


cdef tuple _at(GreenContext context, WSGIRequest request):
    """What a greenlet is at that does not run, for the log: the request, and the text of its stack."""
    return f"{request.method} {request.uri}"[:80], thread_stack(context.greenlet.gr_frame)
