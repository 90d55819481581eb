"""The clients of one worker: how they come in, how they are found again, and when they have to go.

Knows: listeners, connections as such, deadlines. Must not know: who calls the application (threads, an event loop).
"""

import os
import sys

from tricorn.gateway.request_builder cimport Peer
from tricorn.log.access cimport AccessLog
from tricorn.metrics.figures cimport CONNECTIONS, CPU, IDLE_CONNECTIONS, LOOP_LAG, observe
from tricorn.scoreboard cimport monotonic
from tricorn.transport.channel cimport Channel, ChannelTable, Protocol, channel_of
from tricorn.transport.thread_context cimport ThreadContext
from tricorn.transport.http1 cimport new_http1
from tricorn.transport.opening cimport Entrance, open_channel
from tricorn.transport.passing cimport Ends, take_descriptor
from tricorn.transport.poller cimport READ
from tricorn.transport.queues cimport maybe_queues
from tricorn.transport.request cimport Compartment, Runner
from tricorn.transport.worker_context cimport WorkerContext
from tricorn.transport.system cimport (
    AF_INET, AF_INET6, ECONNABORTED, EINTR, EMFILE, ENFILE, ENOBUFS, ENOMEM, IPPROTO_TCP, SOCK_CLOEXEC, SOCK_NONBLOCK,
    CLOCK_PROCESS_CPUTIME_ID, TCP_NODELAY, accept4, clock_gettime, errno, inet_ntop, ntohs, setsockopt, sockaddr, sockaddr_in,
    sockaddr_in6, sockaddr_storage, socklen_t, timespec, tricorn_pending_error, tricorn_return_memory,
)
from tricorn.transport.wire cimport wire_has_input

cdef enum:
    ACCEPT_RUN = 32         # connections accepted in a row, before others get their turn
    BACKLOG_RUN = 65536     # at the end, where nobody else will: all that a kernel may have let in
    BURST = 16777216        # bytes that were queued for slow clients: their memory is worth giving back
    SHARED_RUN = 4          # new connections that a loop takes in a row where other workers want some too

WAKER_TOKEN = 0xFFFFFFFF
LISTENER_TOKENS = 0x80000000
cdef long long SECOND = 1000000000
# Of a lack of descriptors the log speaks no more often than this, and calls it over when it was not felt for so long.
cdef long long REMINDER = 10 * SECOND
cdef long long CALM = 2 * SECOND
cdef long long NEVER = 0x7FFFFFFFFFFFFFFF
# Of new connections of a loop: so many more than another worker has make no difference; beyond that, each makes it wait so long. The
# others need some 0.1 ms, if they are free.
cdef long long SLACK = 2
cdef long long LEAVE_NS = 500000
cdef long long MOST_EXCESS = 10


# As in gateway/wsgi.pyx: what may fail is called unchecked, and `try` stands where its error is dealt with.
ctypedef int (*Unchecked)(Protocol, ThreadContext) noexcept


cdef int _on_event(Protocol protocol, ThreadContext thread) except -1:
    return protocol.on_event(thread)


cdef class Server:
    """runner: who answers requests. entrances: where clients come in."""

    def __init__(self, Runner runner, list entrances):
        self.runner = runner
        self.worker = runner.worker
        self.entrances = entrances
        self.queues = maybe_queues(self.worker.row, entrances)
        self.sweep_interval = self._shortest_limit() // 8
        self.sweep_interval = max(min(self.sweep_interval, SECOND // 2), SECOND // 50)

    def _shortest_limit(self):
        worker = self.worker
        limits = [worker.header_timeout, worker.keepalive, worker.body_timeout, worker.channels.write_timeout]
        limits += [worker.shortest_timeout, worker.shortest_slow, worker.shortest_wait]
        return min([limit for limit in limits if limit] or [SECOND])

    # ---- what a transport fills in -----------------------------------------------------------------

    cdef int own_event(self, ThreadContext thread, unsigned long long token) except -1:
        """An event of no connection."""
        raise NotImplementedError

    cdef int give_up(self, ThreadContext thread, Channel channel) except -1:
        """Serving it failed through a fault of ours. The others need not suffer."""
        cdef Runner runner = self.runner
        return runner.give_up(channel, sys.exception())

    cdef int listen_later(self, double seconds) except -1:
        raise NotImplementedError

    cdef int serve_batch(self) except -1:
        raise NotImplementedError

    cdef bint may_be_woken_alone(self) noexcept:
        """Whether for a new connection perhaps nobody but us was woken, and we are free to serve it.

        The kernel wakes one of those that wait in epoll_wait() on a listener with EPOLLEXCLUSIVE, and those that wait for the
        poller's own descriptor all.
        """
        return False

    # ---- coming in ---------------------------------------------------------------------------------

    cdef int listen(self, bint on) except -1:
        if on == self.listening:
            return 0
        self._watch(on)
        self.listening = on
        return 0

    cdef int listen_again(self, long long now) except -1:
        """If there is room now."""
        return self._try_to_listen() if not self.listening and self.may_listen(now) else 0

    cdef int settle(self) except -1:
        """This worker should take from other queues than before."""
        cdef Queues queues = self.queues
        queues.settle()
        return self._try_to_listen() if self.listening else self._watch(False)

    cdef int _try_to_listen(self) except -1:
        """Where the kernel has no memory to watch the listeners with (ENOMEM, ENOSPC: epoll_ctl(2)), a little later: those who come
        wait meanwhile, and those who are here are served."""
        cdef int error = 0
        try:
            self._watch(True)
        except OSError as refused:
            error = refused.errno
        self.listening = error == 0
        if error == 0:
            return 0
        self._watch(False)
        return self._exhausted(error)

    cdef int _watch(self, bint on) except -1:
        cdef Entrance entrance
        cdef bint wanted
        cdef int i
        for i in range(len(self.entrances)):
            entrance = self.entrances[i]
            wanted = on and entrance.wanted
            if wanted == entrance.watched:
                continue
            if wanted:
                self.worker.channels.poller.add_listener(entrance.fd, LISTENER_TOKENS + <unsigned int>i)
            else:
                self.worker.channels.poller.remove(entrance.fd)
            entrance.watched = wanted
        return 0

    cdef bint may_listen(self, long long now) except -1:
        """Whether there is room, now that the listeners were taken out of the poller."""
        cdef ChannelTable channels = self.worker.channels
        if channels.draining or now < self.accept_after:
            return False
        channels.full = channels.count >= channels.most and not self.make_room()
        return not channels.full

    cdef int accept(self, ThreadContext thread, int index, bint last=False, int run=ACCEPT_RUN) except -1:
        """last: although no new connections are wanted any more, nor is there room for them: what stays behind is reset. run: so
        many at most."""
        cdef ChannelTable channels = self.worker.channels
        cdef Ends ends
        cdef socklen_t size
        cdef Entrance entrance = self.entrances[index]
        cdef int fd
        cdef int step
        if channels.draining and not last:
            # A drain that has begun since the event was fetched. Perhaps nobody else was woken for the connection.
            self.listen(False)
            last = True
            run = 1
        ends.destination.ss_family = 0
        for step in range(run):
            if channels.draining and not last:
                return self.listen(False)   # it began meanwhile: what was accepted may have run for long
            if channels.count >= channels.most and not last and step and not wire_has_input(entrance.fd):
                return 0                    # room for nobody would cost an idle connection
            if channels.count >= channels.most and not last and not self.make_room():
                channels.full = True     # the next connection that closes wakes somebody who listens again
                return self.listen(False)
            if entrance.outlet >= 0:
                fd = take_descriptor(entrance.fd, &ends)
            else:
                size = sizeof(ends.source)
                fd = accept4(entrance.fd, <sockaddr*>&ends.source, &size, SOCK_NONBLOCK | SOCK_CLOEXEC)
            if fd < 0:
                if errno == EMFILE or errno == ENFILE or errno == ENOBUFS or errno == ENOMEM:
                    return self._exhausted(errno)
                if errno == ECONNABORTED or errno == EINTR:
                    continue
                return 0
            self._welcome(thread, fd, &ends, entrance)
        return 0

    cdef int meet(self, ThreadContext thread, int index) except -1:
        """Somebody wants to connect, and all loops of the server that have nothing else to do have heard of it. Those with the
        fewest connections take it at once, the others the later the more they have."""
        cdef long long fewest = self.worker.row.fewest_connections_elsewhere()
        cdef long long excess = self.worker.channels.count - fewest
        # Where each loop has a queue of its own, the kernel has chosen.
        if fewest < 0 or self.worker.channels.draining or (<Entrance>self.entrances[index]).owners:
            return self.accept(thread, index)
        if self.has_left or excess <= SLACK:
            self.has_left = False
            return self.accept(thread, index, False, SHARED_RUN)
        self.has_left = True
        self.listen(False)
        return self.listen_later(min(excess, MOST_EXCESS) * LEAVE_NS / <double>SECOND)

    cdef int _welcome(self, ThreadContext thread, int fd, Ends* ends, Entrance entrance) except -1:
        cdef WorkerContext worker = self.worker
        cdef ChannelTable channels = worker.channels
        cdef Channel channel
        cdef Protocol protocol
        try:
            channel = self._admitted(thread, fd, _peer(ends, worker.trusted), entrance)
        except BaseException:   # no memory, most likely, or an SSLContext of the application's
            worker.logger.error("Internal error; a new connection is closed", exc_info=True)
            channel = None
        if channel is None:
            return 0
        if worker.figures != NULL and entrance.outlet < 0:      # else it was counted by whoever has passed it on
            worker.figures[CONNECTIONS] += 1
        channels.add(channel)
        # Most clients have sent their request by now: reading at once spares a round through the poller.
        protocol = channel.protocol
        try:
            protocol.on_event(thread)
        except BaseException:
            self.give_up(thread, channel)
        return 0

    cdef Channel _admitted(self, ThreadContext thread, int fd, Peer peer, Entrance entrance):
        """None: this peer may not connect. What does not come to be a channel is closed with the object that it was to be."""
        cdef WorkerContext worker = self.worker
        cdef Channel channel = self._channel_of(fd)
        cdef int one = 1
        if peer.host is not None:
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one))
        thread.now = monotonic()
        if open_channel(channel, self.runner, entrance, peer, thread.now):
            return channel
        if entrance.gateways is not None:
            worker.logger.info("Refused %s: the uwsgi protocol is spoken there, and the peer is not in uwsgi_allow_ips", _shown(peer))
        else:
            worker.logger.info("Refused %s: proxy_protocol is on, and the peer is not in proxy_allow_ips", _shown(peer))
        return None

    cdef Channel _channel_of(self, int fd):
        """Whose the descriptor is from here on, whatever happens."""
        self.serial += 1
        if self.serial == 0:
            self.serial = 1
        return channel_of(self.worker.channels, fd, self.serial)

    cdef int _exhausted(self, int error) except -1:
        """The machine has nothing left for another connection. It is said at once, and then every few seconds how often.

        The log may give the GIL away, and another thread then comes here as well: what it has to know is set before.
        """
        cdef long long now = monotonic()
        cdef long long said = self.short_said
        cdef bint first = self.short_at == 0
        cdef int times = 0
        self.accept_after = now + SECOND // 4
        self.short_at = now
        self.listen(False)
        if first:
            self.short_said = now
            self.worker.logger.error("Cannot accept connections: %s", os.strerror(error))
        else:
            self.shortages += 1
            if now - said >= REMINDER:
                self.short_said = now
                times = self.shortages
                self.shortages = 0
                self.worker.logger.error(
                    "Cannot accept connections: %s (%d more times in %.0f s)", os.strerror(error), times,
                    (now - said) / <double>SECOND,
                )
        self.make_room()
        return 0

    cdef int _end_shortage(self, long long now) except -1:
        cdef int times
        if self.short_at and now - self.short_at > CALM:
            times = self.shortages
            self.short_at = 0
            self.shortages = 0
            self.worker.logger.warning("Accepting connections again (%d more failures in the meantime)", times)
        return 0

    cdef int _end_burst(self, long long now) except -1:
        cdef Compartment compartment
        cdef str news
        for compartment in self.runner.compartments:
            news = compartment.admission.look(now)
            if news is not None:
                self.worker.logger.warning(news)
        return 0

    cdef bint make_room(self):
        """Close the longest idle keep-alive connections, but for those whose next request is here. False if there is none."""
        cdef Channel channel
        cdef Protocol protocol
        cdef int most
        cdef int closed = 0
        idle = []
        for found in self.worker.channels.channels:
            if found is not None:
                channel = <Channel>found
                if channel.protocol.is_idle():
                    idle.append((channel.deadline, channel.serial, channel))
        idle.sort()
        most = max(1, len(idle) // 64)
        for _, _, channel in idle:
            protocol = channel.protocol
            if closed < most and not channel.closed and not protocol.has_come():
                closed += channel.leave()
        return closed > 0

    # ---- being there -------------------------------------------------------------------------------

    cdef long long lateness(self, long long now) noexcept:
        """How much later than it should this sweep begins, ns: nobody has looked at clients for so long. The first one is in time."""
        return max(now - self.swept_ns - self.sweep_interval, <long long>0) if self.swept_ns else 0

    cdef long long begin_sweep(self, long long now) except -1:
        """Of a loop. Requests that have come since the last sweep have found it as late as this one does. If it was blocked, what
        clients have sent meanwhile counts, all of it, before their deadlines do. Returns the time."""
        cdef long long late = self.lateness(now)
        cdef long long requests = max(self.worker.requests, <long long>0)       # of its own it does not count
        cdef int batches = self.worker.channels.count // BATCH + 1
        if self.worker.figures != NULL:
            observe(self.worker.figures + LOOP_LAG, late)
        self.worker.row.data.waited_ns += late * max(requests - self.swept_requests, <long long>1)
        self.swept_requests = requests
        if late > self.sweep_interval:
            self.postpone_all(late)
            while self.serve_batch() == BATCH and batches > 0:
                batches -= 1
            now = monotonic()
        self.swept_ns = now
        return now

    cdef int postpone_all(self, long long late) except -1:
        """A sweep comes so much later than it should. A client that was waiting for us (in its handshake, for credit, for 100 Continue)
        has no fault in that."""
        cdef Channel channel
        for found in list(self.worker.channels.channels):
            if found is not None:
                channel = <Channel>found
                if channel.protocol is not None:
                    channel.protocol.postpone(late)
        return 0

    cdef int dispatch(self, ThreadContext thread, unsigned long long token) except -1:
        cdef Channel channel
        if token >> 32 == 0:
            return self.own_event(thread, token)
        found = self.worker.channels.channels[<unsigned int>token]
        if found is None:
            return 0
        channel = <Channel>found
        if channel.serial != <unsigned int>(token >> 32):
            return 0        # an event of an earlier channel
        self.started_ns = thread.now
        if (<Unchecked>_on_event)(channel.protocol, thread) < 0:
            self._failed(thread, channel)
        return 0

    cdef int _failed(self, ThreadContext thread, Channel channel) except -1:
        try:
            tricorn_pending_error()
        except BaseException:
            self.give_up(thread, channel)
        return 0

    cdef int expire_overdue(self, ThreadContext thread, long long now) except -1:
        """Close what has passed its deadline, and see what else has passed."""
        cdef Channel channel
        cdef Protocol protocol
        cdef long long pending = 0
        cdef int idle = 0
        self._end_shortage(now)
        self._end_burst(now)
        if self.has_rest and now >= self.accept_after:
            self.take_rest(thread)
        for found in list(self.worker.channels.channels):
            if found is None:
                continue
            channel = <Channel>found
            protocol = channel.protocol
            if not channel.closed and protocol.overdue(now):
                try:
                    protocol.expire(thread)
                except BaseException:
                    self.give_up(thread, channel)
            if channel.queue is not None:
                pending += channel.queue.pending
            if self.worker.figures != NULL and not channel.closed and channel.protocol.is_idle():
                idle += 1
        if self.worker.figures != NULL:
            self._look_at_itself(idle)
        return self._return_memory(now, pending)

    cdef void _look_at_itself(self, int idle) noexcept:
        """What is looked at now and then."""
        cdef timespec used
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used)
        self.worker.figures[IDLE_CONNECTIONS] = idle
        self.worker.figures[CPU] = <long long>used.tv_sec * SECOND + used.tv_nsec

    cdef int _return_memory(self, long long now, long long pending) except -1:
        """Behind a burst of slow readers: what their responses took lies between things that stay, where the C library would
        keep it for ever. Looking for it takes milliseconds, so that is done when it is worth it, and not often."""
        if self.worker.channels.queued < BURST or pending > BURST // 16 or now - self.returned_at < SECOND:
            return 0
        self.worker.channels.queued = pending
        self.returned_at = now
        with nogil:
            tricorn_return_memory()
        return 0

    cdef int flush_log(self) except -1:
        cdef AccessLog access_log = self.worker.access_log
        if access_log is not None:
            access_log.flush()
        return 0

    # ---- before anybody may come ---------------------------------------------------------------------

    def hold_back(self):
        """Take no connections until let_in(). Requests meanwhile are the worker's own: they are not logged, nor counted."""
        self.accept_after = NEVER
        self.listen(False)
        self.worker.mute()

    def let_in(self):
        self.worker.unmute()
        self.accept_after = 0
        self.listen(True)

    def admit(self, int fd):
        """A client of our own, that has come through no listener and has nothing to say before its first request. It is trusted.

        The descriptor is the server's from here on, whatever happens. Not before hold_back().
        """
        cdef ChannelTable channels = self.worker.channels
        cdef Entrance entrance = self.entrances[0]
        cdef Channel channel = self._channel_of(fd)
        if entrance.gateways is None:
            channel.protocol = entrance.protocol_for(channel, self.runner, Peer(None, -1, True), None, None)
        else:
            channel.protocol = new_http1(channel, self.runner, entrance.builder, Peer(None, -1, True))
        channels.add(channel)
        channel.arm(READ)

    def forsake(self):
        """In a process that the application has made by copying this one: let go of all descriptors, and tell nobody.

        What is left is memory that leads nowhere. The poller's set belongs to both processes, so nothing is removed from it.
        """
        cdef Channel channel
        for found in self.worker.channels.channels:
            if found is not None:
                channel = <Channel>found
                channel.forsake()
        self.worker.forsake()

    def drain(self, bint backlog):
        """As close_down()."""
        self.close_down(self.monitor, backlog)

    def take_remaining(self):
        """As take_rest(), when nobody is left. Whether somebody has come."""
        if self.has_rest:
            self.take_rest(self.monitor)
        return self.worker.channels.count > 0

    def cut_streams(self, bint events_only):
        """As end_streams()."""
        return self.end_streams(self.monitor, events_only)

    cdef int close_down(self, ThreadContext thread, bint backlog, int code=0) except -1:
        """Take no new connections; idle ones close soon, the others after their request.

        backlog: serve those who were let into the backlog. Not needed where another worker will. code: what WebSockets are closed with.
        """
        cdef Entrance entrance
        cdef int i
        self.listen(False)
        self.drain_code = code
        self.takes_backlog = backlog
        self._take_last(thread)
        for i in range(len(self.entrances)):
            entrance = self.entrances[i]
            if not backlog and entrance.wanted and entrance.outlet < 0 and self.may_be_woken_alone():
                self.accept(thread, i, True, 1)
        self.worker.channels.draining = True
        return self._begin_drains(0)

    cdef int _take_last(self, ThreadContext thread) except -1:
        """Who waits, and waits for this worker alone."""
        cdef int i
        for i in range(len(self.entrances)):
            # What busy workers have passed on lies in a queue that a newer master does not know.
            if self.takes_backlog or (<Entrance>self.entrances[i]).outlet >= 0:
                self.accept(thread, i, True, BACKLOG_RUN)
        self.has_rest = self.accept_after > monotonic()
        return 0

    cdef int take_rest(self, ThreadContext thread) except -1:
        """When the drain began there were not enough descriptors. Connections have ended since."""
        cdef unsigned int before = self.serial
        self._take_last(thread)
        return self._begin_drains(before)

    cdef int _begin_drains(self, unsigned int after) except -1:
        """Tell the channels whose serial numbers come after this one."""
        cdef Channel channel
        cdef Protocol protocol
        cdef long long soon = monotonic() + SECOND
        for found in list(self.worker.channels.channels):
            if found is None:
                continue
            channel = <Channel>found
            protocol = channel.protocol
            if not channel.closed and channel.serial > after:
                protocol.begin_drain(soon, self.drain_code)
        return 0

    cdef list end_streams(self, ThreadContext thread, bint events_only):
        """Cut the responses that go on by themselves. Returns what they were, as "GET /path"."""
        cdef Channel channel
        cdef Protocol protocol
        cdef list cut = []
        for found in list(self.worker.channels.channels):
            if found is None:
                continue
            channel = <Channel>found
            protocol = channel.protocol
            if channel.closed:
                continue
            try:
                label = protocol.cut_stream(thread, events_only)
                while label is not None:        # there may be several
                    cut.append(label)
                    label = protocol.cut_stream(thread, events_only) if not channel.closed else None
            except BaseException:
                self.give_up(thread, channel)
        return cut

    @property
    def unfinished(self):
        """How many connections there are, but for those whose response was cut while a thread was in the application for it."""
        return sum([not (<Channel>found).protocol.is_cut() for found in self.worker.channels.channels if found is not None])


cdef str _shown(Peer peer):
    return "a client on a Unix socket" if peer.host is None else peer.host


cdef Peer _peer(Ends* ends, object trusted):
    cdef int port = -1
    cdef Peer peer
    name = _read_address(&ends.source, &port)
    if name is not None:
        name = sys.intern(name)     # many connections come from one proxy
    peer = Peer(name, port, trusted.trusts(name))
    if ends.destination.ss_family:
        name = _read_address(&ends.destination, &port)
        peer.destination = (name, port)
    return peer


cdef str _read_address(sockaddr_storage* address, int* port):
    """The host, and its port; None: it is no address of a network, and has no port."""
    cdef char text[64]
    cdef const char* host
    if address.ss_family == AF_INET:
        host = inet_ntop(AF_INET, &(<sockaddr_in*>address).sin_addr, text, sizeof(text))
        port[0] = ntohs((<sockaddr_in*>address).sin_port)
    elif address.ss_family == AF_INET6:
        host = inet_ntop(AF_INET6, &(<sockaddr_in6*>address).sin6_addr, text, sizeof(text))
        port[0] = ntohs((<sockaddr_in6*>address).sin6_port)
    else:
        return None
    return (<bytes>host).decode("ascii")
