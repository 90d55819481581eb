"""What a new channel begins with, before a request can come: a PROXY header, where proxies send one.

The plan. An opening reads what it is for, and then puts the protocol in its own place, with what was read behind it. Where nothing has
to come first, there is no opening. All of it has `header_timeout`, as the head of a request.

Knows: the PROXY protocol, who may speak it. Must not know: HTTP, applications.
"""

from tricorn.gateway.translator cimport Peer
from tricorn.transport.channel cimport Channel, Protocol
from tricorn.transport.http1 cimport HTTP1, new_http1
from tricorn.transport.lane cimport LANE_BUFFER, Lane
from tricorn.transport.request cimport Runner
from tricorn.transport.service cimport Service
from tricorn.transport.wire cimport WIRE_AGAIN

from tricorn.http.errors import ProtocolError
from tricorn.http.proxy_protocol import parse as parse_proxy


cdef bint open_channel(Channel channel, Runner runner, object builder, Peer peer, long long now) except -1:
    cdef Service service = runner.service
    if service.proxy_mode is None:
        channel.protocol = new_http1(channel, runner, builder, peer)
    elif service.proxy_peers.trusts(peer.host):
        channel.protocol = new_opening(channel, runner, builder, peer)
    else:
        return False
    channel.deadline = now + service.header_timeout if service.header_timeout else 0
    return True


cdef Opening new_opening(Channel channel, Runner runner, object builder, Peer peer):
    cdef Opening self = Opening.__new__(Opening)
    self.channel = channel
    self.runner = runner
    self.builder = builder
    self.peer = peer
    return self


cdef class Opening(Protocol):
    cdef int on_event(self, Lane lane) except -1:
        cdef Channel channel = self.channel
        cdef Protocol protocol
        if channel.owned:
            return channel.arm(0)
        channel.owned = True
        self._read(lane)
        if channel.closed:
            return 0
        protocol = channel.protocol
        return Protocol.settle(self, lane) if protocol is self else protocol.settle(lane)

    cdef int _read(self, Lane lane) except -1:
        cdef Channel channel = self.channel
        cdef Service service = self.runner.service
        cdef ssize_t n = channel.read(lane.buffer, LANE_BUFFER)
        cdef bytes data
        if n == WIRE_AGAIN:
            return 0
        if n <= 0:
            return channel.close() if n == 0 else channel.lose()
        data = (<const char*>lane.buffer)[:n]
        if self.pending is not None:
            data = self.pending + data
        try:
            header = parse_proxy(data, service.proxy_mode)
        except ProtocolError as error:
            self._log_refusal(error)
            return channel.close()      # it is no HTTP client: there is nobody to answer
        if header is None:
            self.pending = data
            return 0
        if header.source is not None:
            host, port = header.source
            self.peer = Peer(host, str(port), service.trusted.trusts(host))
        return self._open(lane, data[header.consumed:])

    cdef int _open(self, Lane lane, bytes rest) except -1:
        """What has to come first has come; `rest` was read behind it."""
        cdef Channel channel = self.channel
        cdef HTTP1 protocol = new_http1(channel, self.runner, self.builder, self.peer)
        protocol.pending = rest if rest else None
        channel.protocol = protocol
        return 0

    def _log_refusal(self, error):
        cdef Service service = self.runner.service
        service.row.data.errors += 1
        service.logger.info("Refused a request from %s: %s", self.peer.host or "a unix socket", error)

    cdef bint overdue(self, long long now) noexcept:
        return self.channel.deadline != 0 and self.channel.deadline <= now

    cdef int expire(self, Lane lane) except -1:
        cdef Channel channel = self.channel
        return channel.close() if not channel.owned else 0

    cdef int on_lost(self) except -1:
        cdef Channel channel = self.channel
        return channel.abort()
