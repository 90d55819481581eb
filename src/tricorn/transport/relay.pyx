"""Bytes carried both ways between a client's channel and a socket that an application has.

The plan. An application that takes a connection over wants a socket. Where the bytes on the client's descriptor are not those that the client
means (TLS), or some of them were read already, it gets one end of a pair of sockets, and the server carries what goes through the
other end. Both ends are channels of the server's, so any thread, the monitor or a loop carries for them; one thread at a time does, for both
directions. What one side does not take stops the reading of the other, so what waits is bounded.

Guarantees: every byte arrives, in order, and then the end behind them; either side may end first. A client that does not
read is no concern of ours while the application is there, as with any socket; from then on it has what every client has.

Knows: channels. Must not know: HTTP, what the bytes are, who the application is.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize

from tricorn.scoreboard cimport monotonic
from tricorn.transport.channel cimport Channel, ChannelTable, Protocol, channel_of
from tricorn.transport.poller cimport READ, WRITE
from tricorn.transport.thread_context cimport ThreadContext
from tricorn.transport.wire cimport PEER_LEFT, WIRE_AGAIN, wire_end, wire_peer

cdef enum:
    STEP = 16384        # bytes of one read: what a TLS record holds
    RUN = 16            # reads in a row from one end, before others get their turn

cdef long long LINGER = 2000000000


cdef RelayEnd new_end(Relay relay, Channel channel):
    cdef RelayEnd end = RelayEnd.__new__(RelayEnd)
    end.relay = relay
    end.channel = channel
    return end


cdef int begin_relay(Channel client, int fd, bytes first, str label, Protocol behind) except -1:
    cdef ChannelTable table = client.table
    # It counts as a connection. Another descriptor with the client's number: no earlier channel had both.
    cdef Channel application = channel_of(table, fd, client.serial)
    cdef Relay relay = Relay.__new__(Relay)
    relay.label = label
    relay.behind = behind
    relay.client = new_end(relay, client)
    relay.application = new_end(relay, application)
    relay.client.other = relay.application
    relay.application.other = relay.client
    application.protocol = relay.application
    client.protocol = relay.client
    client.owned = False
    client.deadline = 0
    table.channels[fd] = application
    table.count += 1
    table.row.data.connections = table.count
    if first is not None:
        application.send(None, first, NULL, 0)
    return relay._watch()


@cython.final
cdef class Relay:
    cdef int end_soon(self, long long now) except -1:
        self.ends_at = now + LINGER
        return 0

    cdef int serve(self, ThreadContext thread) except -1:
        """Something has happened at one of the ends."""
        cdef RelayEnd client = self.client
        cdef RelayEnd application = self.application
        cdef Channel channel = client.channel
        cdef Channel socket = application.channel
        self.busy = True
        if channel.has_queued():
            channel.flush(thread)
        if socket.has_queued():
            socket.flush(thread)
        client._carry()
        application._carry()
        self.busy = False
        if self.ends_at and not application.is_still:
            self.ends_at = monotonic() + LINGER
        if channel.closed or socket.closed:
            return 0
        if channel.gone:
            channel.abort()             # and with it the other end
            return 0
        if application.at_end and ((client.at_end and not socket.has_queued()) or wire_peer(socket.fd) == PEER_LEFT):
            return self._finish(thread)
        return self._watch()

    cdef int _finish(self, ThreadContext thread) except -1:
        """The application has closed its socket, or both have said all. What is queued for the client is still sent."""
        cdef Channel channel = self.client.channel
        cdef Channel socket = self.application.channel
        self._part()
        thread.now = monotonic()
        channel.deadline = 0
        if channel.has_queued():
            channel.take_time_to_write()
        channel.linger(thread, 0)
        channel.watch()
        return socket.close()

    cdef void _part(self) noexcept:
        """Neither end leads to the other any more."""
        if self.client is not None:
            self.client.other = self.application.other = None
            self.client = self.application = self.behind = None

    cdef int _watch(self) except -1:
        cdef Channel channel = self.client.channel
        cdef Channel socket = self.application.channel
        channel.watch()
        return socket.watch()


@cython.final
cdef class RelayEnd(Protocol):
    cdef int on_event(self, ThreadContext thread) except -1:
        cdef Relay relay = self.relay
        cdef Channel channel = self.channel
        return channel.arm(0) if relay.busy else relay.serve(thread)    # who carries has it watched again

    cdef int settle(self, ThreadContext thread) except -1:
        """Whoever dealt with the client's channel before has found out that it is ours."""
        return 0

    cdef int _carry(self) except -1:
        """From this end to the other."""
        cdef Channel source = self.channel
        cdef Channel target = self.other.channel
        cdef bytes data
        cdef ssize_t n
        cdef int step
        self.is_still = True
        for step in range(RUN):
            if self.at_end or source.closed or target.closed or target.has_queued():
                break
            data = PyBytes_FromStringAndSize(NULL, STEP)
            n = source.read(PyBytes_AS_STRING(data), STEP)
            if n == WIRE_AGAIN:
                break
            self.is_still = False
            self.at_end = n <= 0
            if n < 0:
                source.lose()
            elif n > 0:
                target.send(None, data[:n], NULL, 0)
        return self._tell() if self.at_end and not self.other.is_told else 0

    cdef int _tell(self) except -1:
        """The other end that nothing follows, behind all that was sent."""
        cdef RelayEnd other = self.other
        cdef Channel target = other.channel
        if not (target.closed or target.gone or target.has_queued()):
            other.is_told = wire_end(target.fd, target.layer) != WIRE_AGAIN
        return 0

    cdef int interest(self) noexcept:
        cdef Channel channel = self.channel
        cdef bint reads = not self.at_end and not self.other.channel.has_queued()
        cdef int interest = READ if reads else 0
        # What a layer has read already shows in no poller: a socket that may be written to shows at once.
        if (channel.has_queued() and not channel.gone) or (reads and channel.has_buffered()):
            interest |= WRITE
        return interest

    cdef bint overdue(self, long long now) noexcept:
        """Once the application's socket says no more nothing tells whether it still reads, but a look at it."""
        if self.relay.busy:
            return False
        if self is self.relay.client:
            if self.channel.has_queued() and (self.channel.deadline == 0 or self.channel.deadline > now):
                return False
            return self.relay.ends_at != 0 and self.relay.ends_at <= now
        return self.at_end and wire_peer(self.channel.fd) == PEER_LEFT

    cdef int expire(self, ThreadContext thread) except -1:
        cdef Relay relay = self.relay
        cdef Channel channel = self.channel
        if self is relay.application:
            return relay.serve(thread)
        return channel.abort() if channel.has_queued() else relay._finish(thread)

    cdef int begin_drain(self, long long soon, int code) except -1:
        cdef Relay relay = self.relay
        cdef Protocol behind = relay.behind
        return behind.begin_drain(soon, code) if self is relay.client else 0

    cdef str cut_stream(self, ThreadContext thread, bint events_only):
        """It goes on by itself, as an event stream does."""
        cdef Relay relay = self.relay
        cdef Channel channel = self.channel
        if self is not relay.client or relay.busy:
            return None
        channel.close()
        return relay.label

    cdef int on_flushed(self, ThreadContext thread) except -1:
        cdef Channel channel = self.channel
        if not channel.has_queued():
            channel.deadline = 0
        return 0

    cdef int on_lost(self) except -1:
        return 0                # who carries sees it

    cdef int on_closed(self) except -1:
        """The client is gone, or was cut: its application finds the end."""
        cdef Relay relay = self.relay
        cdef Channel other
        if self.other is None:
            return 0
        other = self.other.channel
        relay._part()
        return other.close()
