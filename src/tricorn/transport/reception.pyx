"""The clients of one worker: how they come in, how they are found again, and when they have to go.

Knows: listeners, connections as such, deadlines. Must not know: who calls the application (threads, an event loop).
"""

import os
import sys

from tricorn.gateway.translator cimport Peer, Translator
from tricorn.scoreboard cimport monotonic
from tricorn.transport.connection cimport CLOSED, IDLE, Connection
from tricorn.transport.service cimport Lane, Service
from tricorn.transport.system cimport (
    AF_INET, AF_INET6, ECONNABORTED, EINTR, EMFILE, ENFILE, ENOBUFS, ENOMEM, IPPROTO_TCP, SOCK_CLOEXEC, SOCK_NONBLOCK,
    TCP_NODELAY, accept4, close, errno, inet_ntop, ntohs, setsockopt, sockaddr, sockaddr_in, sockaddr_in6, sockaddr_storage,
    socklen_t, tricorn_pending_error, tricorn_return_memory,
)

from tricorn.transport.failures import report

cdef enum:
    ACCEPT_RUN = 32         # connections accepted in a row, before others get their turn
    BURST = 16777216        # bytes that were queued for slow clients: their memory is worth giving back

WAKER_TOKEN = 0xFFFFFFFF
LISTENER_TOKENS = 0x80000000
cdef long long SECOND = 1000000000
# Of a lack of descriptors the log speaks no more often than this, and calls it over when it was not felt for so long.
cdef long long REMINDER = 10 * SECOND
cdef long long CALM = 2 * SECOND


# As in gateway/wsgi.pyx: what may fail is called unchecked, and `try` stands where its error is dealt with.
ctypedef int (*Unchecked)(Connection, Lane) noexcept


cdef int _on_event(Connection connection, Lane lane) except -1:
    return connection.on_event(lane)


cdef class Reception:
    """service: what its connections share. listeners: pairs of a listening, non-blocking socket's descriptor and the
    Translator for what comes in there.
    """

    def __init__(self, Service service, list listeners):
        self.service = service
        self.listeners = listeners
        self.sweep_interval = self._shortest_limit() // 8
        self.sweep_interval = max(min(self.sweep_interval, SECOND // 2), SECOND // 50)

    def _shortest_limit(self):
        service = self.service
        limits = [service.header_timeout, service.keepalive, service.body_timeout, service.write_timeout]
        return min([limit for limit in limits if limit] or [SECOND])

    # ---- what a transport fills in -----------------------------------------------------------------

    cdef Connection admit(self, Translator builder, int fd, unsigned int serial, Peer peer, long long now):
        """A connection for a new client; None: this peer may not connect."""
        raise NotImplementedError

    cdef int own_event(self, Lane lane, unsigned long long token) except -1:
        """An event of no connection."""
        raise NotImplementedError

    cdef int give_up(self, Lane lane, Connection connection) except -1:
        """Serving it failed through a fault of ours. The others need not suffer."""
        report(self.service.logger, "Internal error; the connection is closed", error=sys.exception())
        return connection.abort()

    # ---- coming in ---------------------------------------------------------------------------------

    cdef int listen(self, bint on) except -1:
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

    cdef bint may_listen(self, long long now) except -1:
        """Whether there is room, now that the listeners were taken out of the poller."""
        if self.service.draining or now < self.accept_after:
            return False
        self.service.full = self.service.connections >= self.service.max_connections and not self.make_room()
        return not self.service.full

    cdef int accept(self, Lane lane, int index, bint last=False) except -1:
        """last: although no new connections are wanted any more."""
        cdef Service service = self.service
        cdef sockaddr_storage address
        cdef socklen_t size
        cdef int fd
        cdef int listener
        cdef int _
        listener, translator = self.listeners[index]
        for _ in range(ACCEPT_RUN):
            if service.draining and not last:
                return self.listen(False)   # also where it began meanwhile: what was accepted may have run for long
            if service.connections >= service.max_connections and not self.make_room():
                service.full = True     # the next connection that closes wakes somebody who listens again
                return self.listen(False)
            size = sizeof(address)
            fd = accept4(listener, <sockaddr*>&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC)
            if fd < 0:
                if errno == EMFILE or errno == ENFILE or errno == ENOBUFS or errno == ENOMEM:
                    return self._exhausted(errno)
                if errno == ECONNABORTED or errno == EINTR:
                    continue
                return 0
            self._welcome(lane, fd, &address, translator)
        return 0

    cdef int _welcome(self, Lane lane, int fd, sockaddr_storage* address, Translator translator) except -1:
        cdef Service service = self.service
        cdef Connection connection
        try:
            connection = self._admitted(lane, fd, _peer(address, service.trusted), translator)
        except BaseException:   # no memory, most likely; nobody owns the descriptor yet
            service.logger.error("Internal error; a new connection is closed", exc_info=True)
            close(fd)
            return 0
        if connection is None:
            close(fd)
            return 0
        service.table[fd] = connection
        service.connections += 1
        service.row.data.connections = service.connections
        service.row.data.accepted += 1
        # Most clients have sent their request by now: reading at once spares a round through the poller.
        try:
            connection.on_event(lane)
        except BaseException:
            self.give_up(lane, connection)
        return 0

    cdef Connection _admitted(self, Lane lane, int fd, Peer peer, Translator translator):
        cdef Service service = self.service
        cdef Connection connection
        cdef int one = 1
        if peer.host is not None:
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one))
        while len(service.table) <= fd:
            service.table.append(None)
        self.serial += 1
        if self.serial == 0:
            self.serial = 1
        lane.now = monotonic()
        connection = self.admit(translator, fd, self.serial, peer, lane.now)
        if connection is None:
            service.logger.info("Refused %s: proxy_protocol is on, and the peer is not in proxy_allow_ips", peer.host)
        return connection

    cdef int _exhausted(self, int error) except -1:
        """The machine has nothing left for another connection. It is said at once, and then every few seconds how often."""
        cdef long long now = monotonic()
        self.accept_after = now + SECOND // 4
        self.shortages += 1
        if self.short_at == 0:
            self.short_said = now
            self.service.logger.error("Cannot accept connections: %s", os.strerror(error))
            self.shortages = 0
        elif now - self.short_said >= REMINDER:
            self.service.logger.error(
                "Cannot accept connections: %s (%d more times in %.0f s)", os.strerror(error), self.shortages,
                (now - self.short_said) / <double>SECOND,
            )
            self.short_said = now
            self.shortages = 0
        self.short_at = now
        self.make_room()
        return self.listen(False)

    cdef int _end_shortage(self, long long now) except -1:
        if self.short_at and now - self.short_at > CALM:
            self.short_at = 0
            self.service.logger.warning(
                "Accepting connections again (%d more failures in the meantime)", self.shortages
            )
            self.shortages = 0
        return 0

    cdef bint make_room(self):
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

    # ---- being there -------------------------------------------------------------------------------

    cdef int dispatch(self, Lane lane, unsigned long long token) except -1:
        cdef Connection connection
        cdef unsigned int fd
        if token >> 32 == 0:
            return self.own_event(lane, token)
        fd = <unsigned int>token
        found = self.service.table[fd]
        if found is None:
            return 0
        connection = <Connection>found
        if connection.serial != <unsigned int>(token >> 32):
            return 0        # an event of an earlier connection
        self.started_ns = lane.now
        if (<Unchecked>_on_event)(connection, lane) < 0:
            self._failed(lane, connection)
        return 0

    cdef int _failed(self, Lane lane, Connection connection) except -1:
        try:
            tricorn_pending_error()
        except BaseException:
            self.give_up(lane, connection)
        return 0

    cdef int expire_overdue(self, Lane lane, long long now) except -1:
        """Close what has passed its deadline, and see what else has passed."""
        cdef Connection connection
        cdef long long pending = 0
        self._end_shortage(now)
        for found in list(self.service.table):
            if found is None:
                continue
            connection = <Connection>found
            if connection.state != CLOSED and connection.overdue(now):
                try:
                    connection.expire(lane)
                except BaseException:
                    self.give_up(lane, connection)
            if connection.outflow is not None:
                pending += connection.outflow.pending
        return self._return_memory(now, pending)

    cdef int _return_memory(self, long long now, long long pending) except -1:
        """Behind a burst of slow readers: what their responses took lies between things that stay, where the C library would
        keep it for ever. Looking for it takes milliseconds, so that is done when it is worth it, and not often."""
        if self.service.queued < BURST or pending > BURST // 16 or now - self.returned_at < SECOND:
            return 0
        self.service.queued = pending
        self.returned_at = now
        with nogil:
            tricorn_return_memory()
        return 0

    cdef int flush_log(self) except -1:
        if self.service.access_log is not None:
            self.service.access_log.flush()
        return 0

    def forsake(self):
        """In a process that the application has made by copying this one: let go of all descriptors, and tell nobody.

        What is left is memory that leads nowhere. The poller's set belongs to both processes, so nothing is removed from it.
        """
        cdef Connection connection
        for found in self.service.table:
            if found is not None:
                connection = <Connection>found
                connection.forsake()
        self.service.forsake()

    cdef int close_down(self, Lane lane, bint backlog, int code=0) except -1:
        """Take no new connections; idle ones close soon, the others after their request.

        backlog: serve those who were let into the backlog. Not needed where another worker will. code: what WebSockets are closed with.
        """
        cdef Connection connection
        cdef long long soon = monotonic() + SECOND
        cdef int i
        self.listen(False)
        for i in range(len(self.listeners) if backlog else 0):
            self.accept(lane, i, True)
        self.service.draining = True
        for found in list(self.service.table):
            if found is not None:
                connection = <Connection>found
                connection.begin_drain(soon, code)
        return 0


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
    name = sys.intern((<bytes>host).decode("ascii"))     # many connections come from one proxy
    return Peer(name, str(port), trusted.trusts(name))
