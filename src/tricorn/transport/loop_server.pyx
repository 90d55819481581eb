"""Where the sockets of a worker meet its event loop, whichever that is.

The plan. The connections keep the poller that they have in every worker, and the loop watches one descriptor: the poller's own,
which is readable when something is ready in it. So a turn of the loop fetches up to 64 events with one system call and
serves them without a Python call for each, and a connection costs the loop nothing: no transport, no protocol, no
handle, no buffer. One timer for the whole worker sweeps the deadlines.

Any loop with add_reader() will do: uvloop, asyncio's, another.

Knows: the loop's interface (add_reader, call_soon, call_later). Must not know: signals, settings, HTTP.
"""

from tricorn.scoreboard cimport monotonic
from tricorn.transport.asgi_request cimport LoopRunner, new_loop_runner
from tricorn.transport.channel cimport Channel, Protocol
from tricorn.transport.hold cimport Batch
from tricorn.transport.loop_context cimport LoopContext
from tricorn.transport.loop_watch cimport LoopWatch
from tricorn.transport.queues cimport LOOK_NS
from tricorn.transport.thread_context cimport ThreadContext
from tricorn.transport.poller cimport READ, Event
from tricorn.transport.server cimport BATCH, LISTENER_TOKENS, WAKER_TOKEN, Server
from tricorn.transport.system cimport read
from tricorn.transport.websocket import new_socket

cdef long long SECOND = 1000000000
# How long a small send may be held back for others to go with it: in a batch of so many events, and of fewer.
cdef long long HOLD_NS = 1000000
cdef long long HOLD_BRIEFLY_NS = 100000
cdef int HOLD_FOR = 8


cdef class LoopServer(Server):
    """The transport of one worker with an event loop.

    loop_context: what its connections share. entrances: where clients come in; their builders are ScopeBuilders. on_turn: called in each sweep, and when the worker is worn or the last
    connection of a drain has gone.
    runner: the LoopRunner; None: that for ASGI.
    """

    def __init__(self, LoopContext loop_context, list entrances, on_turn, LoopRunner runner=None):
        Server.__init__(self, new_loop_runner(loop_context, new_socket) if runner is None else runner, entrances)
        self.loop_context = loop_context
        self.monitor = loop_context.thread
        self.on_turn = on_turn
        loop_context.schedule = self._schedule
        # A worker of this kind beats in its sweep.
        self.sweep_interval = min(self.sweep_interval, SECOND // 4)
        self.worker.channels.poller.add(self.worker.channels.waker, READ, WAKER_TOKEN)

    def open(self):
        """Begin to serve. The loop need not run yet."""
        self.listen(True)
        self.swept_ns = monotonic()
        self.worker.row.data.is_loop = 1
        self.loop_context.task_runner.loop.add_reader(self.worker.channels.poller.fd, self._on_ready)
        self._tick()
        if self.queues is not None:
            self._look_around()

    def _look_around(self):
        """A loop that does not come to it is one of those whose queues others take from."""
        if self.stopped or self.worker.channels.draining:
            return
        self.loop_context.task_runner.loop.call_later(LOOK_NS / <double>SECOND, self._look_around)
        if self.listening and self.queues.look(monotonic()):
            self.settle()

    def drain(self, bint backlog, int code):
        """As Server.close_down."""
        self.loop_context.drain_code = code
        self.loop_context.task_runner.open = True
        try:
            self.close_down(self.monitor, backlog, code)
        finally:
            self.loop_context.task_runner.open = False

    def take_remaining(self):
        if not self.has_rest:
            return self.worker.channels.count > 0
        self.loop_context.task_runner.open = True
        try:
            return Server.take_remaining(self)
        finally:
            self.loop_context.task_runner.open = False

    def cut_streams(self, bint events_only):
        self.loop_context.task_runner.open = True
        try:
            return Server.cut_streams(self, events_only)
        finally:
            self.loop_context.task_runner.open = False

    def close(self):
        """End what is left at once: tasks are cancelled, connections closed."""
        cdef LoopContext loop_context
        cdef Channel channel
        self.stopped = True
        if self.loop_watch is not None:
            self.loop_watch.stop()
        self.loop_context.task_runner.loop.remove_reader(self.worker.channels.poller.fd)
        self.listen(False)
        loop_context = self.loop_context
        for call in [call for call in loop_context.calls if call.task is not None]:
            loop_context.cancel(call.task, call.method, call.uri)
        for found in list(self.worker.channels.channels):
            if found is not None:
                channel = <Channel>found
                channel.close()
        self.flush_log()

    def forsake(self):
        Server.forsake(self)
        self.stopped = True

    def watch(self, unsigned long ident, double patience):
        """See whether the loop turns, until `close`: what a thread beside it does.

        ident: of the loop's thread. patience: for so many seconds a block is nothing that the master should know of.
        """
        cdef LoopWatch watch = LoopWatch(self.loop_context, ident, self.sweep_interval, <long long>(patience * SECOND))
        self.loop_watch = watch
        watch.run()

    def _on_ready(self):
        self.serve_batch()

    cdef int serve_batch(self) except -1:
        cdef Event events[BATCH]
        cdef ThreadContext thread = self.loop_context.thread
        cdef Batch batch = self.loop_context.batch
        cdef int n = self.worker.channels.poller.fetch(events, BATCH, 0)
        cdef long long began
        cdef int i
        thread.cell.busy_since_ns = thread.now = monotonic()
        self.loop_context.task_runner.open = thread.collecting = True
        try:
            for i in range(n):
                began = thread.now
                self.dispatch(thread, events[i].token)
                thread.now = monotonic()      # the application may have taken its time
                thread.longest_ns = max(thread.now - began, thread.longest_ns - (thread.longest_ns >> 4))
                if batch.count and self._is_held_long(thread, n):
                    batch.release()
        finally:
            thread.collecting = False
            batch.release()
            self.loop_context.task_runner.open = False
        thread.cell.busy_ns += monotonic() - thread.cell.busy_since_ns
        if not self.loop_context.calls:
            thread.cell.busy_since_ns = 0     # else the loop may turn to them, and one may block it
        return n

    cdef bint _is_held_long(self, ThreadContext thread, int events) noexcept:
        """Whether what is held back cannot wait for the next event, which may take as long as any of late. events: of this batch.

        (Asking how many still wait would send the last ones of a large batch one by one.)
        """
        cdef long long held = thread.now - self.loop_context.batch.since
        return held + thread.longest_ns > (HOLD_NS if events >= HOLD_FOR else HOLD_BRIEFLY_NS)

    def _schedule(self):
        self.loop_context.task_runner.call_soon(self._proceed, context=self.loop_context.task_runner.context)

    def _proceed(self):
        """Let those go on that gave way. Each gets one turn."""
        cdef Protocol protocol
        cdef LoopContext loop_context = self.loop_context
        cdef int i
        cdef int n = len(loop_context.waiting)
        loop_context.task_runner.open = True
        try:
            for i in range(n):
                protocol = loop_context.waiting.popleft()
                loop_context.thread.now = monotonic()
                try:
                    protocol.proceed(loop_context.thread)
                except BaseException:
                    self.give_up(loop_context.thread, protocol.channel)
        finally:
            loop_context.task_runner.open = False
            if loop_context.waiting:
                self._schedule()

    def _tick(self):
        cdef long long now = monotonic()
        if self.stopped:
            return
        self.loop_context.task_runner.loop.call_later(self.sweep_interval / <double>SECOND, self._tick)
        self.worker.row.data.waits += 1
        self._beat(self.begin_sweep(now))

    cdef int _beat(self, long long now) except -1:
        cdef LoopContext loop_context = self.loop_context
        loop_context.thread.now = now
        self.worker.row.data.heartbeat_ns = now
        self.worker.row.data.running = len(loop_context.calls)
        loop_context.task_runner.open = True
        try:
            self.expire_overdue(loop_context.thread, now)
            loop_context.cancel_overdue(now)
            if self.worker.shortest_slow:
                self._tell_slow(now)
        finally:
            loop_context.task_runner.open = False
        self.flush_log()
        self.listen_again(now)
        self.on_turn()
        return 0

    cdef int _tell_slow(self, long long now) except -1:
        """Log where tasks wait whose request has been silent for slow_request_time, once for each request."""
        cdef LoopRunner runner = <LoopRunner>self.runner
        for call in list(self.loop_context.calls):
            runner.tell_slow(call, now)
        return 0

    cdef int own_event(self, ThreadContext thread, unsigned long long token) except -1:
        cdef unsigned long long count
        if token != WAKER_TOKEN:
            return self.meet(thread, <int>(token - LISTENER_TOKENS))
        read(self.worker.channels.waker, &count, sizeof(count))
        if self.worker.channels.draining or self.worker.worn:
            self.on_turn()
        self.listen_again(monotonic())
        return 0

    cdef int listen_later(self, double seconds) except -1:
        self.loop_context.task_runner.loop.call_later(seconds, self._listen_again)
        return 0

    def _listen_again(self):
        if not self.stopped:
            self.listen_again(monotonic())
