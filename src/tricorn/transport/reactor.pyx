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

What was fetched but not yet served lies in `ready`, where every thread (and the keeper) finds it; since the poller is
level-triggered, it also still shows as ready to those who wait.

The keeper is one more thread, the worker's main thread, that never calls the application. It sweeps the deadlines, and
when every application thread has been inside the application for a while it does their reading and writing.
Complete requests then wait in `Service.runnable` for the first free thread.

Knows: threads, deadlines, listeners. Must not know: signals, settings, HTTP.
"""

from cpython.object cimport PyObject

import os
import sys
import threading
import traceback

from tricorn.gateway.environ cimport EnvironBuilder, Peer
from tricorn.scoreboard cimport CellData, monotonic
from tricorn.transport.connection cimport BODY, CLOSED, IDLE, Connection, new_connection
from tricorn.transport.poller cimport READ, Event
from tricorn.transport.service cimport Lane, PyThreadState_SetAsyncExc, Service
from tricorn.transport.system cimport (
    AF_INET, AF_INET6, ECONNABORTED, EINTR, EMFILE, ENFILE, ENOBUFS, ENOMEM, IPPROTO_TCP,
    POLLIN, SOCK_CLOEXEC, SOCK_NONBLOCK, TCP_NODELAY, accept4, close, errno, inet_ntop, ntohs, poll, pollfd, read,
    setsockopt, sockaddr, sockaddr_in, sockaddr_in6, sockaddr_storage, socklen_t, usleep,
)

from tricorn.transport.errors import RequestTimeout

cdef extern from "pythread.h" nogil:
    ctypedef void* PyThread_type_lock
    PyThread_type_lock PyThread_allocate_lock()
    void PyThread_free_lock(PyThread_type_lock)
    int PyThread_acquire_lock(PyThread_type_lock, int)
    void PyThread_release_lock(PyThread_type_lock)

cdef enum:
    READY_ROOM = 64
    MOST_STANDBY = 2
    ACCEPT_RUN = 32         # connections accepted in a row, before others get their turn

# Tokens that are no connections (whose serial numbers begin at 1).
cdef unsigned long long WAKER_TOKEN = 0xFFFFFFFF
cdef unsigned long long LISTENER_TOKENS = 0x80000000

# CPython's switch interval is 5 ms: who waited this long was given the GIL by force.
cdef long long FORCED_NS = 4000000
# A request that runs for longer than this no longer has the others wait for its end.
cdef long long OLD_NS = 30000000
# Every application thread busy for this long: the keeper takes over.
cdef long long TAKE_OVER_NS = 10000000
# A thread that has not answered to its exception for this long is stuck in foreign code: only the end of the process
# can free it.
cdef long long STUCK_NS = 5000000000
cdef int TICK_MS = 20
cdef long long SECOND = 1000000000


cdef class Parking:
    """Where a thread sleeps while it is not needed."""
    cdef PyThread_type_lock lock

    def __cinit__(self):
        self.lock = PyThread_allocate_lock()
        PyThread_acquire_lock(self.lock, 1)

    def __dealloc__(self):
        PyThread_free_lock(self.lock)

    cdef void sleep(self) noexcept nogil:
        PyThread_acquire_lock(self.lock, 1)

    cdef void wake(self) noexcept nogil:
        PyThread_release_lock(self.lock)


cdef class Reactor:
    """The transport of one worker.

    service: what its connections share. listeners: pairs of a listening, non-blocking socket's descriptor and
    the EnvironBuilder for what comes in there. threads: how many call the application.
    """

    cdef readonly Service service
    cdef list listeners         # (descriptor, builder)
    cdef list lanes
    cdef Lane keeper
    cdef Event ready[READY_ROOM]
    cdef int ready_at
    cdef int ready_count
    cdef int standby
    cdef int leaders
    cdef list parked
    cdef int threads
    cdef int alive              # threads that run
    cdef bint stopping
    cdef readonly bint stuck    # a request does not end although it was told to
    cdef bint taken_over
    cdef bint listening         # the listeners are in the poller
    cdef unsigned int serial
    cdef long long started_ns   # when the youngest request started
    cdef long long next_sweep
    cdef long long sweep_interval
    cdef long long accept_after     # the machine was out of descriptors: wait this long
    cdef long long leave_until      # taken over: new connections are left to other workers for this long

    def __init__(self, Service service, list listeners, int threads):
        cdef Lane lane
        self.service = service
        self.listeners = listeners
        self.threads = threads
        self.parked = []
        self.lanes = []
        for i in range(threads):
            lane = Lane()
            lane.may_call = True
            lane.cell = service.row.cell(i)
            self.lanes.append(lane)
        self.keeper = Lane()
        self.keeper.cell = service.row.cell(0)      # it never marks itself busy
        self.sweep_interval = self._shortest_limit() // 8
        self.sweep_interval = max(min(self.sweep_interval, SECOND // 2), SECOND // 50)
        service.poller.add(service.waker, READ, WAKER_TOKEN)
        self._listen(True)

    cdef long long _shortest_limit(self):
        service = self.service
        limits = [service.header_timeout, service.keepalive, service.body_timeout, service.write_timeout]
        return min([limit for limit in limits if limit] or [SECOND])

    cdef int _listen(self, bint on) except -1:
        cdef int i
        if on == self.listening:
            return 0
        for i in range(len(self.listeners)):
            if on:
                self.service.poller.add_listener(self.listeners[i][0], LISTENER_TOKENS + <unsigned int>i)
            else:
                self.service.poller.remove(self.listeners[i][0])
        self.listening = on
        return 0

    # ---- the application's threads -----------------------------------------------------------------

    def start(self):
        """Start the threads that call the application."""
        for number, lane in enumerate(self.lanes, 1):
            threading.Thread(target=self._serve, args=(lane,), name=f"tricorn-{number}", daemon=True).start()

    def _serve(self, Lane lane):
        self.alive += 1
        lane.thread = threading.get_ident()
        lane.parking = Parking()
        try:
            while not self.stopping:
                if self.threads == 1:
                    self._alone(lane)
                else:
                    self._stand_by(lane)
        except BaseException:
            # Neither an application's exception nor a connection's ends here: it is a fault of ours, and the
            # worker cannot be trusted any more.
            self.service.logger.critical("a thread of the worker failed", exc_info=True)
            os.abort()
        finally:
            self.alive -= 1

    cdef int _alone(self, Lane lane) except -1:
        """One thread: it may block in the poller itself."""
        cdef Event found[READY_ROOM]
        cdef int n
        self._lead(lane)
        self._flush_log()
        if self.stopping:
            return 0
        with nogil:
            n = self.service.poller.fetch(found, READY_ROOM, -1)
        if self.ready_at == self.ready_count:       # else the keeper has fetched meanwhile: the poller keeps ours
            self.ready_at = 0
            self.ready_count = n
            for i in range(n):
                self.ready[i] = found[i]
        return 0

    cdef int _stand_by(self, Lane lane) except -1:
        cdef long long woken
        cdef long long now
        cdef bint there
        cdef bint forced = False
        if self.standby >= MOST_STANDBY and not self.service.runnable:
            self.parked.append(lane.parking)
            with nogil:
                (<Parking>lane.parking).sleep()
            # Whoever woke us has counted us as standing by.
        else:
            self.standby += 1
        while not self.stopping:
            with nogil:
                if forced:
                    usleep(1000)
                there = self.service.poller.wait(-1)
                woken = monotonic()
            now = monotonic()
            forced = now - woken > FORCED_NS and now - self.started_ns < OLD_NS
            # What is in `ready` is looked at only here: it also shows as ready in the poller.
            if not forced and there and (
                self.service.runnable or self.ready_at < self.ready_count or self._fetch()
            ):
                break
        self.standby -= 1
        if self.standby == 0 and self.parked:
            self.standby += 1
            (<Parking>self.parked.pop()).wake()
        self._lead(lane)
        if self.leaders == 0:
            self._flush_log()
        return 0

    cdef bint _fetch(self):
        """Fetch events into `ready`, which is empty. Needs the GIL, keeps it. Whether there are any."""
        self.ready_at = 0
        self.ready_count = self.service.poller.fetch(self.ready, READY_ROOM, 0)
        return self.ready_count > 0

    cdef int _lead(self, Lane lane) except -1:
        """Serve while there is something to serve."""
        self.leaders += 1
        try:
            while not self.stopping:
                if self.service.runnable:
                    self._proceed(lane)
                    if self.leaders > 1:
                        break
                if self.ready_at == self.ready_count and not self._fetch():
                    if self.service.runnable:
                        continue
                    break
                self.ready_at += 1
                self._dispatch(lane, self.ready[self.ready_at - 1].token)
                if self.leaders > 1:
                    break
        finally:
            self.leaders -= 1
        return 0

    cdef int _proceed(self, Lane lane) except -1:
        cdef Connection connection = self.service.runnable.popleft()
        if self.service.runnable:
            self.service.wake()     # this one may take long, and nothing else tells who waits in the poller
        self.started_ns = monotonic()
        try:
            connection.proceed(lane)
        except Exception:
            self._give_up(lane, connection)
        return 0

    cdef int _dispatch(self, Lane lane, unsigned long long token) except -1:
        cdef Connection connection
        cdef unsigned int fd
        if token >> 32 == 0:
            return self._own_event(lane, token)
        fd = <unsigned int>(token & 0xFFFFFFFF)
        found = self.service.table[fd]
        if found is None:
            return 0
        connection = <Connection>found
        if connection.serial != <unsigned int>(token >> 32):
            return 0        # an event of an earlier connection
        self.started_ns = lane.now
        try:
            connection.on_event(lane)
        except Exception:
            self._give_up(lane, connection)
        return 0

    cdef int _own_event(self, Lane lane, unsigned long long token) except -1:
        cdef unsigned long long count
        if token == WAKER_TOKEN:
            if self.stopping:
                return 0        # it stays ready, so that every thread sees it
            read(self.service.waker, &count, sizeof(count))
            return self._restore_listening(monotonic()) if not self.listening else 0
        return self._accept(lane, <int>(token - LISTENER_TOKENS))

    cdef int _give_up(self, Lane lane, Connection connection) except -1:
        """Serving it failed through a fault of ours. The others need not suffer."""
        if lane is not self.keeper:
            lane.calling = False
            lane.cell.busy_since_ns = 0
        self.service.logger.error("internal error, the connection is closed", exc_info=True)
        connection.abort()
        return 0

    cdef int _flush_log(self) except -1:
        if self.service.access_log is not None:
            self.service.access_log.flush()
        return 0

    # ---- accepting ---------------------------------------------------------------------------------

    cdef int _accept(self, Lane lane, int index) except -1:
        cdef Service service = self.service
        cdef sockaddr_storage address
        cdef socklen_t size
        cdef int fd
        cdef int listener
        cdef int _
        cdef EnvironBuilder builder
        listener, builder = self.listeners[index]
        if service.draining and lane is not self.keeper:
            return self._listen(False)
        for _ in range(ACCEPT_RUN):
            if service.connections >= service.max_connections and not self._make_room():
                service.full = True     # the next connection that closes wakes somebody who listens again
                return self._listen(False)
            size = sizeof(address)
            fd = accept4(listener, <sockaddr*>&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC)
            if fd < 0:
                if errno == EMFILE or errno == ENFILE or errno == ENOBUFS or errno == ENOMEM:
                    self._exhausted()
                if errno == ECONNABORTED or errno == EINTR:
                    continue
                return 0
            self._admit(lane, fd, &address, builder)
        return 0

    cdef int _exhausted(self) except -1:
        self.service.logger.error("cannot accept connections: %s", os.strerror(errno))
        self._make_room()
        self._listen(False)
        self.accept_after = monotonic() + SECOND // 4
        return 0

    cdef int _admit(self, Lane lane, int fd, sockaddr_storage* address, EnvironBuilder builder) except -1:
        cdef Service service = self.service
        cdef Connection connection
        cdef int one = 1
        peer = _peer(address, service.trusted)
        if address.ss_family == AF_INET or address.ss_family == AF_INET6:
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one))
        while len(service.table) <= fd:
            service.table.append(None)
        self.serial += 1
        if self.serial == 0:
            self.serial = 1
        lane.now = monotonic()
        connection = new_connection(service, builder, fd, self.serial, peer, lane.now)
        if connection is None:
            service.logger.info("refused %s: proxy_protocol is on, and it is not in proxy_allow_ips", peer.host)
            close(fd)
            return 0
        service.table[fd] = connection
        service.connections += 1
        service.row.data.connections = service.connections
        service.row.data.accepted += 1
        # Most clients have sent their request by now: reading at once spares a round through the poller.
        try:
            connection.on_event(lane)
        except Exception:
            self._give_up(lane, connection)
        return 0

    cdef bint _make_room(self):
        """Close the longest idle keep-alive connections. False if there is none."""
        cdef Connection connection
        idle = []
        for found in self.service.table:
            if found is not None:
                connection = <Connection>found
                if connection.state == IDLE and connection.head_sent and not connection.owned:
                    idle.append((connection.deadline, connection.serial, connection))
        idle.sort()
        for _, _, connection in idle[:max(1, len(idle) // 64)]:
            connection.close()
        return len(idle) > 0

    # ---- the keeper --------------------------------------------------------------------------------

    def watch(self, int interrupt, int lifeline, double timeout):
        """Keep house for at most `timeout` seconds, or until one of two descriptors is readable (-1: none).

        Returns early too when `service.draining` was set or the last connection of a drain has gone.
        """
        cdef long long end = monotonic() + <long long>(timeout * SECOND)
        cdef long long now = 0
        cdef bint draining = self.service.draining
        cdef bint* now_draining = &self.service.draining
        cdef pollfd watched[3]
        cdef int n
        watched[0].fd = interrupt
        watched[0].events = POLLIN
        watched[1].fd = lifeline
        watched[1].events = POLLIN
        watched[2].fd = self.service.poller.fd
        watched[2].events = POLLIN
        while now < end:
            n = 3 if self.taken_over else 2
            with nogil:
                poll(watched, n, TICK_MS)
                now = monotonic()
                # Without the GIL until there is something to do: most ticks end here.
                while not (watched[0].revents or watched[1].revents or now >= self.next_sweep or now >= end):
                    if self.taken_over or draining or now_draining[0] or self._all_busy(now):
                        break
                    poll(watched, 2, TICK_MS)
                    now = monotonic()
            if watched[0].revents or watched[1].revents:
                return
            self._keep(now)
            if self.service.draining != draining or (draining and self.service.connections == 0):
                return
            if self.stuck and not draining:
                return

    cdef bint _all_busy(self, long long now) noexcept nogil:
        """Whether every application thread has been in the application for a while."""
        cdef CellData* cell = self.keeper.cell
        cdef int i
        for i in range(self.threads):
            if cell[i].busy_since_ns == 0 or now - cell[i].busy_since_ns < TAKE_OVER_NS:
                return False
        return True

    cdef int _keep(self, long long now) except -1:
        self.service.row.data.heartbeat_ns = now
        self.keeper.now = now
        if self._all_busy(now):
            if not self.taken_over:
                # New connections are left to idle workers; what is still there at the next tick is ours.
                self._listen(False)
                self.taken_over = True
                self.leave_until = now + TICK_MS * 1000000
            self._stand_in()
        elif self.taken_over:
            self.taken_over = False
            if self.service.runnable:
                self.service.wake()
        if now >= self.next_sweep:
            self.next_sweep = now + self.sweep_interval
            self._sweep(now)
            self._flush_log()
        return self._restore_listening(now)

    cdef int _restore_listening(self, long long now) except -1:
        cdef int i
        if self.listening or self.service.draining or now < self.accept_after:
            return 0
        self.service.full = False
        if self.service.connections >= self.service.max_connections and not self._make_room():
            self.service.full = True
            return 0
        if not self.taken_over:
            return self._listen(True)
        if now < self.leave_until:
            return 0
        for i in range(len(self.listeners)):
            self._accept(self.keeper, i)
        return 0

    cdef int _stand_in(self) except -1:
        """Do the reading and writing of the application's threads."""
        cdef int rounds = 0
        while rounds < READY_ROOM * 4 and self._all_busy(monotonic()):
            if self.ready_at == self.ready_count and not self._fetch():
                break
            self.ready_at += 1
            self._dispatch(self.keeper, self.ready[self.ready_at - 1].token)
            rounds += 1
        return 0

    cdef int _sweep(self, long long now) except -1:
        """Close what has passed its deadline."""
        cdef Connection connection
        for found in list(self.service.table):
            if found is None:
                continue
            connection = <Connection>found
            if connection.state == BODY and _too_slow(connection, now):
                connection.deadline = now
            if connection.deadline and connection.deadline <= now and connection.state != CLOSED:
                try:
                    connection.expire(self.keeper)
                except Exception:
                    self._give_up(self.keeper, connection)
        if self.service.request_timeout:
            self._interrupt_overdue(now)
        return 0

    cdef int _interrupt_overdue(self, long long now) except -1:
        """Raise RequestTimeout in threads whose request has been silent for too long."""
        cdef Lane lane
        cdef long long active
        for lane in self.lanes:
            if lane.interrupted and now - lane.interrupted_ns > STUCK_NS:
                self.stuck = True
            if lane.interrupted or not lane.calling or now - lane.active_ns < self.service.request_timeout:
                continue
            active = lane.active_ns
            frame = sys._current_frames().get(lane.thread)
            stack = "".join(traceback.format_stack(frame)) if frame is not None else "  (not in Python code)\n"
            label = (<bytes>lane.cell.request).decode("latin-1")
            del frame
            # From this test to the exception nothing gives the GIL away: it hits this request or none.
            if not lane.calling or lane.active_ns != active:
                continue
            lane.interrupted = True
            lane.interrupted_ns = now
            PyThreadState_SetAsyncExc(lane.thread, <PyObject*>RequestTimeout)
            self.service.logger.error(
                "a request takes longer than request_timeout: %s; its thread is at", label,
                extra={"block": stack},
            )
        return 0

    # ---- the end -----------------------------------------------------------------------------------

    def drain(self, bint backlog):
        """Take no new connections; idle ones close soon, the others after their request.

        backlog: serve those who were let into the backlog. Not needed where another worker will.
        """
        cdef Connection connection
        cdef long long soon = monotonic() + SECOND
        cdef int i
        self._listen(False)
        for i in range(len(self.listeners) if backlog else 0):
            self._accept(self.keeper, i)
        self.service.draining = True
        for found in self.service.table:
            if found is not None:
                connection = <Connection>found
                if connection.state == IDLE and (connection.deadline == 0 or connection.deadline > soon):
                    connection.deadline = soon
        if self.service.runnable:
            self.service.wake()

    def stop(self):
        """Ask the threads to end after what they are doing."""
        self.stopping = True
        self.service.wake()
        while self.parked:
            self.standby += 1
            (<Parking>self.parked.pop()).wake()
        self._flush_log()

    @property
    def running(self):
        """How many application threads have not ended."""
        return self.alive


cdef bint _too_slow(Connection connection, long long now) noexcept:
    """A body that trickles: below the minimum rate once it has had the time of one stall."""
    cdef Service service = connection.service
    cdef long long elapsed = now - connection.body_since
    if connection.owned or service.min_body_rate == 0 or service.body_timeout == 0:
        return False
    if elapsed <= service.body_timeout:
        return False
    return connection.decoder.received < service.min_body_rate * (elapsed // 1000000) // 1000


cdef Peer _peer(sockaddr_storage* address, object trusted):
    cdef char text[64]
    cdef const char* host
    cdef int port
    if address.ss_family == AF_INET:
        host = inet_ntop(AF_INET, &(<sockaddr_in*>address).sin_addr, text, sizeof(text))
        port = ntohs((<sockaddr_in*>address).sin_port)
    elif address.ss_family == AF_INET6:
        host = inet_ntop(AF_INET6, &(<sockaddr_in6*>address).sin6_addr, text, sizeof(text))
        port = ntohs((<sockaddr_in6*>address).sin6_port)
    else:
        return Peer(None, "", trusted.trusts(None))
    name = (<bytes>host).decode("ascii")
    return Peer(name, str(port), trusted.trusts(name))
