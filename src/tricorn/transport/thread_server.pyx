"""N threads, one poller, one GIL: which thread reads, calls the application, waits or sleeps.

The plan. Whoever sees a request also serves it: no queue, no hand-over. The obvious way to do that, all threads in
epoll_wait, binds events to threads that have no GIL and gives a tail of tens of milliseconds. So:

1. Readiness is awaited without the GIL and without fetching; events are fetched only by a thread that holds it.
2. At most two threads stand by; the others are parked on a lock of their own. A standby that becomes a leader
   unparks another if no standby is left.
3. A leader goes on while there is work, and never gives the GIL away for it.
4. A standby that got the GIL only after a full switch interval was given it by force, from a leader that computes:
   it gives it back, unless the running request is old already.
5. A leader that has finished a request and sees another leader steps down. So computing settles on one thread,
   and waiting spreads over as many threads as wait.

What was fetched but not yet served lies in `ready`, where every thread (and the monitor) finds it; since the poller is
level-triggered, it also still shows as ready to those who wait.

The monitor is one more thread, and never calls the application. It sweeps the deadlines, and when every application
thread has been inside the application for a while it does their reading and writing. Of one application thread and the
monitor, the former is the main thread; of several and the monitor, the monitor is (workers/threaded.py says why).
Complete requests then wait in the queue of their pool for its first free thread.

All that is about the threads that serve whatever comes. A route may have threads of its own (thread_pool.pyx): they see no poller, take
no part in these rules, and the monitor does not count them.

Knows: threads and the GIL, deadlines, listeners, which other workers have room (the scoreboard), how a thread is got out of foreign
code. Must not know: what signals mean, settings, HTTP, how requests are read and answered.
"""

from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.object cimport PyObject

cimport cython

import os
import sys

from tricorn.gateway.wsgi cimport WSGICall
from tricorn.scoreboard cimport CellData, Row, RowData, monotonic
from tricorn.transport.caller cimport thread_caller
from tricorn.transport.channel cimport Channel, Protocol
from tricorn.transport.hold cimport Batch, new_batch
from tricorn.transport.opening cimport Entrance
from tricorn.transport.thread_context cimport ThreadContext
from tricorn.transport.passing cimport put_descriptor
from tricorn.transport.poller cimport READ, Event
from tricorn.transport.request cimport RequestProtocol
from tricorn.transport.server cimport LISTENER_TOKENS, WAKER_TOKEN, Server
from tricorn.transport.worker_context cimport WorkerContext
from tricorn.transport.system cimport POLLIN, PyThreadState_SetAsyncExc, poll, pollfd, read, usleep
from tricorn.transport.wire cimport PEER_STAYS, wire_peer
from tricorn.transport.thread_pool cimport Parking, ThreadPool
from tricorn.transport.wsgi_request cimport WSGIRequest, new_thread_runner, provide

from tricorn.transport.errors import RequestTimeout
from tricorn.transport.stacks import thread_stack

# Bound here: the application may put others in their place.
from threading import Thread, get_ident

cdef extern from "Python.h":
    int PyErr_CheckSignals() except -1

cdef enum:
    READY_ROOM = 64
    MOST_ROUNDS = 256       # events that are dealt with for others in a row
    MOST_STANDBY = 2

# CPython's switch interval is 5 ms: who waited this long was given the GIL by force.
cdef long long FORCED_NS = 4000000
# A request that runs for longer than this no longer has the others wait for its end.
cdef long long OLD_NS = 30000000
# Every application thread busy for this long: the monitor takes over.
cdef long long TAKE_OVER_NS = 10000000
# Where it matters, it is seen this often who waits.
cdef long long READ_ALL_NS = 2000000
# A thread that has not answered to its exception for this long is stuck in foreign code: only the end of the process
# can free it.
cdef long long STUCK_NS = 5000000000
cdef int TICK_MS = 20
# A new connection is left to others for a tick more with each request that waits here and not there, up to so many.
cdef long long MOST_TICKS = 10
# How long a complete response may be held back for others to go with it. A request that takes longer than that by surprise
# holds them up further, at most until the monitor's next tick, which is shorter while responses are held back.
cdef long long HOLD_NS = 1000000
cdef long long OVERHELD_NS = 2000000
cdef int HOLDING_TICK_MS = 2
cdef long long HOLDING_FADES_NS = 50000000
# So many requests have to wait for holding back to begin. At 70 % of what a worker can do that is rare, and nobody waits for
# others there: with 2, and eight threads, p99 rose.
cdef int HOLD_FOR = 8
cdef long long SECOND = 1000000000


@cython.final
cdef class ThreadServer(Server):
    """The transport of one worker.

    worker: what its connections share. entrances: where clients come in; their builders are EnvironBuilders.
    """

    cdef list threads           # ThreadContexts of those that serve whatever comes
    cdef list all_threads       # these, then those of routes
    cdef ThreadPool pool        # of the former; its queue
    cdef list reserved          # (ThreadPool, ThreadContext) of the latter
    cdef Event ready[READY_ROOM]
    cdef int ready_at
    cdef int ready_count
    cdef int standby
    cdef int leaders
    cdef list parked
    cdef int thread_count
    cdef int alive              # of all threads, those that run
    cdef bint stopping
    cdef readonly bint stuck    # a request does not end although it was told to
    cdef bint taken_over
    cdef bint counts_queue      # it matters how many requests wait, and for how long
    cdef long long read_all_ns  # when it was last seen who waits
    cdef long long* held_since  # of each thread: when the first response that it holds back was complete; 0: none is
    cdef long long held_at      # when responses were held back last
    cdef long long next_sweep
    cdef long long left_since       # taken over: how long somebody waits at the listeners
    cdef long long leave_until      # taken over: new connections are left to other workers for this long at least

    def __cinit__(self, WorkerContext worker, list entrances):
        self.held_since = <long long*>PyMem_Calloc(worker.threads, sizeof(long long))
        if self.held_since == NULL:
            raise MemoryError()

    def __dealloc__(self):
        PyMem_Free(self.held_since)

    def __init__(self, WorkerContext worker, list entrances):
        Server.__init__(self, new_thread_runner(worker), entrances)
        self.thread_count = worker.threads
        self.counts_queue = worker.max_queue != 0 or worker.max_queue_time != 0
        self.parked = []
        self._make_threads()
        for builder in {id(entrance.builder): entrance.builder for entrance in entrances}.values():
            provide(builder, thread_caller(self.all_threads))       # once: what follows copies its environ
        self.monitor = ThreadContext()
        self.monitor.cell = worker.row.cell(0)      # it never marks itself busy
        worker.channels.poller.add(worker.channels.waker, READ, WAKER_TOKEN)
        self.listen(True)

    def _make_threads(self):
        """The cells of the scoreboard are in the same order. Raises ValueError where there are too few."""
        cdef Row row = self.worker.row
        cdef ThreadContext thread
        cdef ThreadPool pool
        self.all_threads = []
        self.reserved = []
        self.pool = <ThreadPool>self.runner.compartment
        for pool in self.runner.compartments:
            if len(self.all_threads) + pool.size > row.cell_count:
                raise ValueError("the scoreboard has fewer cells than the worker has threads")
            for _ in range(pool.size):
                thread = ThreadContext()
                thread.cell = row.cell(len(self.all_threads))
                self.all_threads.append(thread)
                pool.threads.append(thread)
                if pool is not self.pool:
                    self.reserved.append((pool, thread))
        self.threads = self.pool.threads
        for number, thread in enumerate(self.threads):
            thread.serves = self.pool
            thread.batch = new_batch(thread)
            thread.number = number
            thread.held_since = &self.held_since[number]

    # ---- the application's threads -----------------------------------------------------------------

    def serve(self):
        """Call the application in this thread until `stop`, as the only one but for those of routes. Another thread runs watch()."""
        self._start_reserved()
        self._serve(self.threads[0])

    def start(self):
        """Start the threads that call the application; whoever calls this then runs watch()."""
        for number, thread in enumerate(self.threads, 1):
            Thread(target=self._serve, args=(thread,), name=f"tricorn-{number}", daemon=True).start()
        self._start_reserved()

    def _start_reserved(self):
        cdef ThreadPool pool
        for number, (pool, thread) in enumerate(self.reserved, self.thread_count + 1):
            Thread(target=self._serve, args=(thread, pool), name=f"tricorn-{number} {pool.prefix}", daemon=True).start()

    def _serve(self, ThreadContext thread, ThreadPool reserved=None):
        """reserved: of a route, whose requests alone it is there for."""
        self.alive += 1
        thread.ident = get_ident()
        thread.parking = Parking()
        try:
            while not self.stopping:
                if reserved is not None:
                    self._wait_for_one(thread, reserved)
                elif self.thread_count == 1:
                    self._alone(thread)
                else:
                    self._stand_by(thread)
        except BaseException:
            # Neither an application's exception nor a connection's ends here: it is a fault of ours, and the
            # worker cannot be trusted any more.
            self.worker.logger.critical("A thread of the worker failed", exc_info=True)
            os.abort()
        finally:
            self.alive -= 1

    cdef int _wait_for_one(self, ThreadContext thread, ThreadPool pool) except -1:
        """As a thread of a route. (Between a look at the queue and being parked nothing may give the GIL away.)"""
        cdef Parking parking = <Parking>thread.parking
        if not pool.waiting and self.leaders == 0:
            self.flush_log()
        if pool.waiting:
            return self._go_on(thread, pool.waiting.popleft())
        if self.stopping:
            return 0
        pool.parked.append(parking)
        with nogil:
            parking.sleep()
        return 0

    cdef int _alone(self, ThreadContext thread) except -1:
        """One thread: it may block in the poller itself."""
        cdef Event found[READY_ROOM]
        cdef int n
        self._lead(thread)
        self.flush_log()
        if self.stopping:
            return 0
        with nogil:
            n = self.worker.channels.poller.fetch(found, READY_ROOM, -1)
        self._run_signal_handlers()
        if self.ready_at == self.ready_count:       # else the monitor has fetched meanwhile: the poller keeps ours
            self.ready_at = 0
            self.ready_count = n
            for i in range(n):
                self.ready[i] = found[i]
        return 0

    cdef int _run_signal_handlers(self) except -1:
        """Those of the application, in the main thread: between two requests no bytecode runs that would call them."""
        try:
            PyErr_CheckSignals()
        except BaseException:
            self.worker.logger.error("a signal handler of the application raised", exc_info=True)
        return 0

    cdef int _stand_by(self, ThreadContext thread) except -1:
        cdef long long woken
        cdef long long now
        cdef bint there
        cdef bint forced = False
        if self.standby >= MOST_STANDBY and not self.pool.waiting:
            self.parked.append(thread.parking)
            with nogil:
                (<Parking>thread.parking).sleep()
            # Whoever woke us has counted us as standing by.
        else:
            self.standby += 1
        while not self.stopping:
            with nogil:
                if forced:
                    usleep(1000)
                there = self.worker.channels.poller.wait(-1)
                woken = monotonic()
            now = monotonic()
            forced = now - woken > FORCED_NS and now - self.started_ns < OLD_NS
            # What is in `ready` is looked at only here: it also shows as ready in the poller.
            if not forced and there and (
                self.pool.waiting or self.ready_at < self.ready_count or self._fetch()
            ):
                break
        self.standby -= 1
        if self.standby == 0 and self.parked:
            self.standby += 1
            (<Parking>self.parked.pop()).wake()
        self._lead(thread)
        if self.leaders == 0:
            self.flush_log()
        return 0

    cdef bint _fetch(self):
        """Fetch events into `ready`, which is empty. Needs the GIL, keeps it. Whether there are any."""
        self.ready_at = 0
        self.ready_count = self.worker.channels.poller.fetch(self.ready, READY_ROOM, 0)
        return self.ready_count > 0

    cdef int _lead(self, ThreadContext thread) except -1:
        """Serve while there is something to serve."""
        cdef Batch batch = <Batch>thread.batch
        if self.thread_count > 1:
            thread.now = monotonic()      # it may have slept, and rule 4 asks how old the running request is
        self.leaders += 1
        if self.leaders > 1:
            self._release_of_others(thread)
        try:
            while not self.stopping:
                if self.pool.waiting:
                    if self.counts_queue and monotonic() - self.read_all_ns > READ_ALL_NS:
                        self._read_all(thread)
                        if not self.pool.waiting:
                            continue    # whoever waited has gone, or another thread is at it
                    self._proceed(thread)
                    if batch.count or thread.held_since[0]:
                        self._look_after_held(thread, batch)
                    if self.leaders > 1:
                        break
                    if self.counts_queue:
                        if batch.count:
                            self._release(thread)
                        continue        # first come, first served
                if self.ready_at == self.ready_count and not self._fetch():
                    if self.pool.waiting:
                        continue
                    break
                if self.counts_queue and self._are_several():
                    self._read_all(thread)
                    continue
                self.ready_at += 1
                thread.collecting = self._may_collect(thread)
                self.dispatch(thread, self.ready[self.ready_at - 1].token)
                thread.collecting = False
                self._look_after_held(thread, batch)
                if self.leaders > 1:
                    break
        finally:
            thread.collecting = False
            if batch.count:
                self._release(thread)
            self.leaders -= 1
        return 0

    cdef int _look_after_held(self, ThreadContext thread, Batch batch) except -1:
        """Send it, if it cannot wait for one more. (A connection that closes releases too: then there is nothing left.)"""
        thread.held_since[0] = batch.since if batch.count else 0
        if batch.count and thread.now - batch.since + thread.longest_ns > HOLD_NS:
            return self._release(thread)
        return 0

    cdef bint _are_several(self) noexcept:
        """Whether others may wait besides the one whose turn it is. At a listener there may be any number."""
        cdef unsigned long long token = self.ready[self.ready_at].token
        return self.ready_count - self.ready_at > 1 or (token >> 32 == 0 and token != WAKER_TOKEN)

    cdef int _read_all(self, ThreadContext thread) except -1:
        """So that it is known how many wait, and since when: what is complete goes into the queue."""
        cdef int rounds = 0
        self.read_all_ns = monotonic()
        thread.serves = None
        try:
            while rounds < MOST_ROUNDS and not self.stopping and (self.ready_at < self.ready_count or self._fetch()):
                self.ready_at += 1
                self.dispatch(thread, self.ready[self.ready_at - 1].token)
                rounds += 1
        finally:
            thread.serves = self.pool
        return 0

    cdef bint _may_collect(self, ThreadContext thread) noexcept:
        """Whether others wait, and none of the recent requests took so long that they should not wait for it."""
        cdef int waiting = self.ready_count - self.ready_at
        return thread.longest_ns < HOLD_NS // 2 and (waiting >= HOLD_FOR or (<Batch>thread.batch).count > 0)

    cdef int _release(self, ThreadContext thread) except -1:
        """Send what the thread has held back."""
        self.held_at = self.held_since[thread.number]
        self.held_since[thread.number] = 0
        return (<Batch>thread.batch).release()

    cdef int _release_of_others(self, ThreadContext me) except -1:
        """What other threads hold back does not wait for the end of what they are doing."""
        cdef ThreadContext thread
        for thread in self.threads:
            if thread is not me and ((<Batch>thread.batch).count or self.held_since[thread.number]):
                self._release(thread)
        return 0

    cdef int _proceed(self, ThreadContext thread) except -1:
        cdef object waiting = self.pool.waiting.popleft()
        if self.pool.waiting and self.thread_count > 1:
            self.worker.channels.wake()    # this one may take long, and nothing else tells who waits in the poller
        self.started_ns = monotonic()
        return self._go_on(thread, waiting)

    cdef int _go_on(self, ThreadContext thread, object waiting) except -1:
        cdef Channel channel
        channel = (<WSGIRequest>waiting).protocol.channel if type(waiting) is WSGIRequest else (<Protocol>waiting).channel
        try:
            if type(waiting) is WSGIRequest:
                (<WSGIRequest>waiting).proceed(thread)
            else:
                (<Protocol>waiting).proceed(thread)
        except BaseException:       # a fault of ours, or an application's that found a gap
            self.give_up(thread, channel)
        return 0

    cdef int give_up(self, ThreadContext thread, Channel channel) except -1:
        if thread is not self.monitor:
            thread.calling = False
            thread.cell.busy_since_ns = 0
        return Server.give_up(self, thread, channel)

    cdef int own_event(self, ThreadContext thread, unsigned long long token) except -1:
        cdef unsigned long long count
        if token == WAKER_TOKEN:
            if self.stopping:
                return 0        # it stays ready, so that every thread sees it
            read(self.worker.channels.waker, &count, sizeof(count))
            return self._restore_listening(monotonic()) if not self.listening else 0
        return self.accept(thread, <int>(token - LISTENER_TOKENS))

    cdef bint may_be_woken_alone(self) noexcept:
        return self.thread_count == 1 and self.monitor.cell.busy_since_ns == 0

    # ---- the monitor --------------------------------------------------------------------------------

    def watch(self, int interrupt, int lifeline, double timeout):
        """Do the housekeeping for at most `timeout` seconds, or until one of two descriptors is readable (-1: none).

        Returns early too when the worker has become worn or stuck, or the last connection of a drain has gone.
        """
        cdef long long end = monotonic() + <long long>(timeout * SECOND)
        cdef long long now = 0
        cdef bint draining = self.worker.channels.draining
        cdef bint worn = self.worker.worn
        cdef bint stuck = self.stuck
        cdef bint* now_worn = &self.worker.worn
        cdef RowData* row = self.worker.row.data
        cdef pollfd watched[3]
        cdef int n
        watched[0].fd = interrupt
        watched[0].events = POLLIN
        watched[1].fd = lifeline
        watched[1].events = POLLIN
        watched[2].fd = self.worker.channels.poller.fd
        watched[2].events = POLLIN
        while now < end:
            n = 3 if self.taken_over else 2
            with nogil:
                poll(watched, n, self._tick_ms(now))
                now = row.tick_ns = monotonic()
                # Without the GIL until there is something to do: most ticks end here.
                while not (watched[0].revents or watched[1].revents or now >= self.next_sweep or now >= end):
                    if self.taken_over or draining or now_worn[0] != worn or self._all_busy(now) or self._is_overheld(now):
                        break
                    if self.queues is not None and self.listening and self.queues.look(now):
                        break
                    poll(watched, 2, self._tick_ms(now))
                    now = row.tick_ns = monotonic()
                row.awaits_gil_ns = now
            row.awaits_gil_ns = 0
            if watched[0].revents or watched[1].revents:
                return
            try:
                self._keep(now)
            except MemoryError:     # the next tick will do it; what the threads serve must not end for that
                self.worker.logger.error("Not enough memory for the housekeeping of the worker", exc_info=True)
            if self.worker.worn != worn or self.stuck != stuck or (draining and self.worker.channels.count == 0):
                return

    cdef int _tick_ms(self, long long now) noexcept nogil:
        return HOLDING_TICK_MS if now - self.held_at < HOLDING_FADES_NS else TICK_MS

    cdef bint _is_overheld(self, long long now) noexcept nogil:
        """Whether responses wait although the request behind them takes longer than any before."""
        cdef int i
        for i in range(self.thread_count):
            if self.held_since[i] != 0 and now - self.held_since[i] > OVERHELD_NS:
                return True
        return False

    cdef bint _all_busy(self, long long now) noexcept nogil:
        """Whether every application thread has been in the application for a while."""
        cdef CellData* cell = self.monitor.cell
        cdef int i
        for i in range(self.thread_count):
            if cell[i].busy_since_ns == 0 or now - cell[i].busy_since_ns < TAKE_OVER_NS:
                return False
        return True

    cdef int _keep(self, long long now) except -1:
        self.worker.row.data.heartbeat_ns = now
        self.monitor.now = now
        if self._is_overheld(now):
            self._release_of_others(self.monitor)
        if self._all_busy(now):
            if not self.taken_over:
                # New connections are left to idle workers; what is still there at the next tick is ours.
                self.listen(False)
                self.taken_over = True
                self.leave_until = now + TICK_MS * 1000000
            self._stand_in()
        elif self.taken_over:
            self.taken_over = False
            if self.pool.waiting:
                self.worker.channels.wake()
        if self.queues is not None and self.queues.changed:
            self.settle()
        if now >= self.next_sweep:
            self.next_sweep = now + self.sweep_interval
            self._sweep(now)
            self.flush_log()
        return self._restore_listening(now)

    cdef int _restore_listening(self, long long now) except -1:
        cdef int i
        if self.listening or not self.may_listen(now):
            return 0
        if not self.taken_over:
            return self._try_to_listen()
        # What we took would wait behind what runs here, and end with it if that outlives `graceful_timeout`.
        if now < self.leave_until or self.worker.row.another_is_free():
            return 0
        return self._take_left(now)

    cdef int _take_left(self, long long now) except -1:
        """Nobody is free. Take who has come, at once or, where more wait here than at another worker, after that one."""
        cdef long long least = self.worker.row.least_waiting_elsewhere()
        cdef long long excess = self.worker.row.data.waiting - least if least >= 0 else 0
        cdef int i
        if not self._is_somebody_there():
            self.left_since = 0
            return 0
        if self.left_since == 0:
            self.left_since = now
        if now - self.left_since < min(excess, MOST_TICKS) * TICK_MS * 1000000:
            return 0
        self.left_since = 0
        for i in range(len(self.entrances)):
            self.accept(self.monitor, i)
        return 0

    cdef bint _is_somebody_there(self) noexcept:
        cdef Entrance entrance
        for entrance in self.entrances:
            if _is_waited_at(entrance):
                return True
        return False

    cdef int _pass_on(self, unsigned long long token) except -1:
        """Give a connection on which a request arrives to a worker that has a thread for it. Returns whether it is gone."""
        cdef Channel channel
        cdef RequestProtocol protocol
        cdef int outlet
        found = self.worker.channels.channels[<unsigned int>token] if token >> 32 else None
        if found is None:
            return False
        channel = <Channel>found
        if channel.serial != <unsigned int>(token >> 32) or not isinstance(channel.protocol, RequestProtocol):
            return False
        protocol = <RequestProtocol>channel.protocol
        outlet = self._outlet_for(protocol.builder)
        if outlet < 0 or not protocol.is_passable() or wire_peer(channel.fd) != PEER_STAYS:
            return False
        if not put_descriptor(outlet, channel.fd, protocol.peer):
            return False
        self.worker.row.data.passed += 1
        channel.close()     # this worker's descriptor of it
        return True

    cdef int _outlet_for(self, object builder) noexcept:
        """Of the listener that a connection has come in at; -1: it has none."""
        cdef Entrance entrance
        for entrance in self.entrances:
            if entrance.outlet >= 0 and entrance.builder is builder:
                return entrance.outlet
        return -1

    cdef int _stand_in(self) except -1:
        """Do the reading and writing of the application's threads; requests that begin may find one elsewhere."""
        cdef int rounds = 0
        cdef int free = self.worker.row.free_elsewhere() if not self.worker.channels.draining else 0
        cdef unsigned long long token
        while rounds < MOST_ROUNDS and self._all_busy(monotonic()):
            if self.ready_at == self.ready_count and not self._fetch():
                break
            self.ready_at += 1
            rounds += 1
            token = self.ready[self.ready_at - 1].token
            if free > 0 and self._pass_on(token):
                free -= 1
            else:
                self.dispatch(self.monitor, token)
        return 0

    cdef int _sweep(self, long long now) except -1:
        cdef long long late = self.lateness(now)
        if late > self.sweep_interval:
            self.postpone_all(late)
        self.swept_ns = now
        self.expire_overdue(self.monitor, now)
        if self.listening and self.may_be_woken_alone():
            self._take_forgotten()
        if self.worker.shortest_timeout:
            self._interrupt_overdue(now)
        if self.worker.shortest_slow:
            self._tell_slow(now)
        return 0

    cdef int _take_forgotten(self) except -1:
        """A worker that was woken for a connection and had no room for it has told nobody."""
        cdef int i
        for i in range(len(self.entrances)):
            if _is_waited_at(<Entrance>self.entrances[i]):
                self.accept(self.monitor, i, False, 1)
        return 0

    cdef int _interrupt_overdue(self, long long now) except -1:
        """Raise RequestTimeout in threads whose request has been silent for too long."""
        cdef ThreadContext thread
        cdef WSGIRequest request
        cdef int stuck = 0
        for thread in self.all_threads:
            if thread.interrupted and now - thread.interrupted_ns > STUCK_NS:
                self.stuck = True
                stuck += 1
            request = _served_by(thread)
            if thread.interrupted or request is None or request.due(now) > now:
                continue
            label, stack = _at(thread)
            visit = request.visit
            # From this test to the exception nothing gives the GIL away: it hits this request or none.
            if _served_by(thread) is not request or request.due(now) > now:
                continue
            thread.interrupted = True
            thread.interrupted_ns = now
            PyThreadState_SetAsyncExc(thread.ident, <PyObject*>RequestTimeout)
            if visit is not None:
                visit._timed_out()
            self.worker.logger.error(
                "A request takes longer than request_timeout: %s; its thread is at", label,
                extra={"block": stack, "request_id": request.request_id},
            )
        return self._leave_backlog(now) if stuck and stuck == len(self.all_threads) else 0

    cdef int _leave_backlog(self, long long now) except -1:
        """No thread is left that could serve who comes now, and soon this process ends. Who comes in its place takes them."""
        self.accept_after = now + SECOND
        return self.listen(False)

    cdef int _tell_slow(self, long long now) except -1:
        """Record where threads are whose request has been silent for slow_request_time, and log it, once for each request."""
        cdef ThreadContext thread
        cdef WSGIRequest request
        for thread in self.all_threads:
            request = _served_by(thread)
            if thread.interrupted or request is None or not request.is_slow(now):
                continue
            label, stack = _at(thread)
            if _served_by(thread) is request and request.note_slow(now, stack):
                self.worker.logger.warning(
                    "A request takes longer than slow_request_time: %s; its thread is at", label,
                    extra={"block": stack, "request_id": request.request_id},
                )
        return 0

    # ---- the end -----------------------------------------------------------------------------------

    def drain(self, bint backlog):
        Server.drain(self, backlog)
        if self.pool.waiting:
            self.worker.channels.wake()

    def stop(self):
        """Ask the threads to end after what they are doing."""
        self.stopping = True
        self.worker.row.data.tick_ns = 0
        self.worker.channels.wake()
        for pool, _ in self.reserved:
            (<ThreadPool>pool).call_all()
        while self.parked:
            self.standby += 1
            (<Parking>self.parked.pop()).wake()
        self.flush_log()

    def nudge(self):
        """A signal has arrived. The main thread may sleep in the poller, and its handler runs nowhere else."""
        if self.thread_count == 1:
            self.worker.channels.wake()

    def forsake(self):
        Server.forsake(self)
        self.stopping = True

    @property
    def running(self):
        """How many application threads have not ended."""
        return self.alive


cdef bint _is_waited_at(Entrance entrance) noexcept:
    cdef pollfd waiting = pollfd(entrance.fd, POLLIN, 0)
    return poll(&waiting, 1, 0) > 0


cdef WSGIRequest _served_by(ThreadContext thread):
    """The request whose application has control of the thread; None: there is none."""
    cdef object call = thread.call
    if not thread.calling or call is None:
        return None
    return <WSGIRequest>(<WSGICall>call).exchange


cdef tuple _at(ThreadContext thread):
    """What the thread is at, for the log: the request's label, and the text of its stack."""
    frame = sys._current_frames().get(thread.ident)
    stack = thread_stack(frame)
    return (<bytes>thread.cell.request).decode("latin-1"), stack
