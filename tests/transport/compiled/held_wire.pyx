# cython: language_level=3
"""HTTP/1 on a wire that the test has in its hand, a protocol that lets go of its request too early, and how old a server takes what it
serves to be: see test_held_wire.py."""


from tricorn.gateway.request_builder cimport Peer
from tricorn.http.h1 cimport DONE, parse_head
from tricorn.http.request cimport RequestHead
from tricorn.transport.channel cimport Channel, Protocol
from tricorn.transport.thread_context cimport THREAD_BUFFER, ThreadContext
from tricorn.transport.opening cimport Entrance
from tricorn.transport.request cimport Request, RequestProtocol, Runner
from tricorn.transport.server cimport Server
from tricorn.transport.system cimport iovec
from tricorn.transport.wire cimport WIRE_AGAIN, Layer, wire_end, wire_recv, wire_sendv


cdef class HeldLayer(Layer):
    cdef object before      # called before something is sent; False: the socket takes nothing

    cdef ssize_t recv(self, int fd, void* place, size_t size) noexcept:
        return wire_recv(fd, None, place, size)

    cdef ssize_t sendv(self, int fd, const iovec* parts, int count, size_t total) noexcept:
        try:
            if not self.before():
                return WIRE_AGAIN
        except BaseException:
            return WIRE_AGAIN
        return wire_sendv(fd, None, parts, count, total)

    cdef int end(self, int fd) noexcept:
        return wire_end(fd, None)


cdef class HeldEntrance(Entrance):
    cdef public object before

    cdef Protocol protocol_for(self, Channel channel, Runner runner, Peer peer, bytes rest, dict tls):
        cdef HeldLayer layer = HeldLayer.__new__(HeldLayer)
        layer.before = self.before
        channel.layer = layer
        return Entrance.protocol_for(self, channel, runner, peer, rest, tls)


cdef class EarlyEntrance(Entrance):
    cdef Protocol protocol_for(self, Channel channel, Runner runner, Peer peer, bytes rest, dict tls):
        cdef Early protocol = Early.__new__(Early)
        protocol.channel = channel
        protocol.runner = runner
        protocol.worker = runner.worker
        protocol.builder = self.builder
        protocol.peer = peer
        return protocol


cdef class Early(RequestProtocol):
    """A request waits for its turn, and when that comes its channel is closed."""

    cdef int on_event(self, ThreadContext thread) except -1:
        cdef ssize_t n = self.channel.read(thread.buffer, THREAD_BUFFER)
        cdef RequestHead head = thread.head
        cdef Request request
        if n <= 0:
            return self.settle(thread)
        head.borrow(thread.buffer, <unsigned int>n)
        assert parse_head(head, self.worker.limits) == DONE
        request = self.runner.new_request(self, head)
        self.runner.queue_up(request)
        request.let_go(thread)
        return self.channel.close()


def started_ns(Server server):
    """When the youngest event began to be served, on the monotonic clock."""
    return server.started_ns
