"""What a new channel begins with, before a request can come: a PROXY header, where proxies send one, and a TLS handshake.

The plan. An opening reads what it is for, one step after the other, and then puts the protocol in its own place, with what was read
behind it. Where nothing has to come first, there is no opening. All of it together has `header_timeout`, as the head of a
request, and no application thread is ever inside it.

Knows: the PROXY protocol and who may speak it, handshakes. Must not know: HTTP (but for one answer in plain text), applications.
"""

from tricorn.gateway.request_builder cimport Peer
from tricorn.metrics.figures cimport FAILED, FULL, HANDSHAKES, RESUMED
from tricorn.transport.channel cimport Channel, Protocol
from tricorn.transport.http1 cimport HTTP1, expect_packet, new_http1
from tricorn.transport.thread_context cimport THREAD_BUFFER, ThreadContext
from tricorn.transport.poller cimport READ
from tricorn.transport.request cimport ProtocolMaker, Runner
from tricorn.transport.worker_context cimport WorkerContext
from tricorn.transport.tls cimport WIRE_BLOCKED, WIRE_BROKEN, WIRE_DONE, TLSWire, new_wire
from tricorn.transport.tls_layer cimport new_tls_layer
from tricorn.transport.wire cimport WIRE_AGAIN

from tricorn.http.errors import ProtocolError
from tricorn.http.proxy_protocol import parse as parse_proxy
from tricorn.transport.failures import report

# What a handshake has more in a drain than a connection that is idle, ns: a few round trips and a lost packet. A stop may wait for it.
cdef long long FAR_AWAY = 2_000_000_000

cdef bytes EXPLANATION = b"This port speaks HTTPS. Write https:// in the address.\n"
cdef bytes PLAIN_HTTP = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"
    b"Connection: close\r\n\r\n%b" % (len(EXPLANATION), EXPLANATION)
)


cdef class Entrance:
    """tls: how connections are secured, an object with `context`, an ssl.SSLContext of which a new connection takes the present
    one, and `facts(wire)`, what applications are told of a connection when its handshake is done. None: they are plain.

    http2: makes the protocol of connections that speak HTTP/2; None: none may. cleartext: who may without TLS, by prior knowledge
    (RFC 9113 §3.3), an object with `trusts(host)`; None: nobody.

    gateways: here no HTTP comes but packets of the uwsgi protocol, and from these peers only, an object with `trusts(host)`; None: HTTP.

    outlet: it is where connections come in that another worker has passed on, by this descriptor (passing.pyx).

    owners: whose own queue it is (queues.pyx)."""

    def __init__(
        self, int fd, object builder, object tls, int outlet=-1, unsigned long long owners=0, *, ProtocolMaker http2=None,
        object cleartext=None, object gateways=None,
    ):
        self.outlet = outlet
        self.owners = owners
        self.wanted = True
        self.http2 = http2
        self.cleartext = cleartext
        self.gateways = gateways
        self.fd = fd
        self.builder = builder
        self.tls = tls

    cdef Protocol protocol_for(self, Channel channel, Runner runner, Peer peer, bytes rest, dict tls):
        cdef HTTP1 protocol = new_http1(channel, runner, self.builder, peer)
        protocol.pending = rest
        if self.gateways is not None:
            expect_packet(protocol)     # the TLS is the gateway's, and says nothing of its client
            return protocol
        protocol.tls = tls
        if self.http2 is not None and self.tls is None and self.cleartext is not None and self.cleartext.trusts(peer.host):
            protocol.maker = <ProtocolMaker>self.http2
        return protocol


cdef bint open_channel(Channel channel, Runner runner, Entrance entrance, Peer peer, long long now) except -1:
    cdef WorkerContext worker = runner.worker
    cdef Opening opening
    # Who its client is says each packet; gateways send no PROXY header.
    cdef bint is_proxied = worker.proxy_mode is not None and entrance.gateways is None
    channel.deadline = now + worker.header_timeout if worker.header_timeout else 0
    if entrance.gateways is not None and entrance.outlet < 0 and not entrance.gateways.trusts(peer.host):
        return False
    if entrance.outlet >= 0 or not (is_proxied or entrance.tls is not None):
        channel.protocol = entrance.protocol_for(channel, runner, peer, None, None)
        return True
    if is_proxied and not worker.proxy_peers.trusts(peer.host):
        return False
    opening = new_opening(channel, runner, entrance, peer)
    if not is_proxied:
        opening.tls = new_wire(entrance.tls.context, channel.fd, True, None)
    channel.protocol = opening      # last: a channel that comes to nothing must lead to nothing that leads to it
    return True


cdef Opening new_opening(Channel channel, Runner runner, Entrance entrance, Peer peer):
    cdef Opening self = Opening.__new__(Opening)
    self.channel = channel
    self.runner = runner
    self.entrance = entrance
    self.peer = peer
    return self


cdef class Opening(Protocol):
    cdef int on_event(self, ThreadContext thread) except -1:
        cdef Channel channel = self.channel
        cdef Protocol protocol
        if channel.owned:
            return channel.arm(0)
        channel.owned = True
        if self.tls is not None:
            self._shake_hands(thread)
        else:
            self._read_header(thread)
        if channel.closed:
            return 0
        protocol = channel.protocol
        return Protocol.settle(self, thread) if protocol is self else protocol.settle(thread)

    cdef int interest(self) noexcept:
        return self.tls.wants() if self.tls is not None else READ

    # ---- a PROXY header --------------------------------------------------------------------------------

    cdef int _read_header(self, ThreadContext thread) except -1:
        cdef Channel channel = self.channel
        cdef WorkerContext worker = self.runner.worker
        cdef ssize_t n = channel.read(thread.buffer, THREAD_BUFFER)
        cdef bytes data
        cdef bint refused = False
        if n == WIRE_AGAIN:
            return 0
        if n <= 0:
            return channel.close() if n == 0 else channel.lose()
        data = (<const char*>thread.buffer)[:n]
        if self.pending is not None:
            data = self.pending + data
        try:
            header = parse_proxy(data, worker.proxy_mode)
        except ProtocolError as error:
            self.runner.worker.log_refusal(self.peer.host, error)
            refused = True
        if refused:
            return channel.close()      # it is no HTTP client: there is nobody to answer
        if header is None:
            self.pending = data
            return 0
        if header.source is not None:
            host, port = header.source
            self.peer = Peer(host, port, worker.trusted.trusts(host))
            self.peer.destination = header.destination
        return self._go_on(thread, data[header.consumed:])

    cdef int _go_on(self, ThreadContext thread, bytes rest) except -1:
        """`rest` was read behind the header."""
        if self.entrance.tls is None:
            return self._open(rest if rest else None, None)
        self.tls = new_wire(self.entrance.tls.context, self.channel.fd, True, rest if rest else None)
        return self._shake_hands(thread)

    # ---- a TLS handshake -------------------------------------------------------------------------------

    cdef int _shake_hands(self, ThreadContext thread) except -1:
        cdef Channel channel = self.channel
        cdef TLSWire tls = self.tls
        cdef int outcome = WIRE_BROKEN
        try:
            outcome = tls.handshake_step()
        except BaseException as error:      # of a callback that the application has put into its SSLContext
            report(self.runner.worker.logger, "A TLS handshake failed", error=error)
        if channel.closed:
            return 0
        if outcome == WIRE_BLOCKED:
            return 0
        if outcome == WIRE_DONE:
            return self._secured()
        self._count(FAILED)
        return self._fail(thread) if outcome == WIRE_BROKEN else channel.close()

    cdef int _count(self, int outcome) except -1:
        cdef long long* figures = self.runner.worker.figures
        if figures != NULL:
            figures[HANDSHAKES + outcome] += 1
        return 0

    cdef int _secured(self) except -1:
        cdef Channel channel = self.channel
        cdef TLSWire tls = self.tls
        cdef bint failed = False
        try:
            facts = self.entrance.tls.facts(tls)
        except Exception as error:
            report(self.runner.worker.logger, "What a TLS connection says of itself cannot be read", error=error)
            tls.detach()
            failed = True
        if failed:
            return channel.abort()
        channel.layer = new_tls_layer(tls, self.runner.worker.logger)
        if self.runner.worker.figures != NULL:
            self._count(RESUMED if tls.is_resumed else FULL)
        return self._open(None, facts)

    cdef int _fail(self, ThreadContext thread) except -1:
        """What came is not TLS, or none that we accept. The client is told why, as far as that can be said."""
        cdef Channel channel = self.channel
        cdef TLSWire tls = self.tls
        cdef bint is_text = tls.line.is_text
        reason = "it speaks plain HTTP" if is_text else tls.reason or "no reason is known"
        self.runner.worker.log_refusal(self.peer.host, f"its TLS handshake failed: {reason}")
        tls.flush()
        tls.detach()
        if is_text:
            channel.send(None, PLAIN_HTTP, NULL, 0)
        return channel.linger(thread, 0) if not channel.closed else 0

    cdef int _open(self, bytes rest, dict tls) except -1:
        """What has to come first has come."""
        cdef Entrance entrance = self.entrance
        cdef ProtocolMaker maker
        if entrance.http2 is not None and self.tls is not None and self.tls.alpn == "h2":
            maker = <ProtocolMaker>entrance.http2
            self.channel.protocol = maker.make(self.channel, self.runner, entrance.builder, self.peer, rest, tls)
            return 0
        self.channel.protocol = entrance.protocol_for(self.channel, self.runner, self.peer, rest, tls)
        return 0

    cdef bint overdue(self, long long now) noexcept:
        return self.channel.deadline != 0 and self.channel.deadline <= now

    cdef int expire(self, ThreadContext thread) except -1:
        """What has come by now counts, although a busy worker has not come to it."""
        cdef Channel channel = self.channel
        if channel.owned:
            return 0
        if self.has_come():
            self.on_event(thread)
        return channel.close() if channel.protocol is self and not channel.owned else 0

    cdef int begin_drain(self, long long soon, int code) except -1:
        """Whoever has said nothing by now is held to the time of an idle connection. A handshake that has begun has more: its client has
        been let in, and may be far away."""
        cdef Channel channel = self.channel
        cdef long long limit = soon + FAR_AWAY if self.tls is not None and self.tls.line.begun else soon
        if channel.deadline == 0 or channel.deadline > limit:
            channel.deadline = limit
        return 0

    cdef int on_lost(self) except -1:
        cdef Channel channel = self.channel
        return channel.abort()

    cdef int on_closed(self) except -1:
        cdef TLSWire tls = self.tls
        # One that is in its handshake is not the layer of its channel yet.
        return tls.detach() if tls is not None else 0
