# cython: language_level=3
"""A protocol that carries two requests at once, as no protocol of the server does yet: see test_two_at_once.py.

Both heads are those of HTTP/1, one behind the other. What the requests send comes in lines: "0 200 OK", "0 5:hello" and "0 ." are
of the first. When both are over, so is the channel.
"""

from tricorn.gateway.request_builder cimport Peer
from tricorn.http.h1 cimport DONE, parse_head
from tricorn.http.request cimport RequestHead
from tricorn.transport.channel cimport Channel, Protocol
from tricorn.transport.thread_context cimport THREAD_BUFFER, ThreadContext
from tricorn.transport.opening cimport Entrance
from tricorn.transport.request cimport Request, RequestProtocol, Runner


cdef class TwoEntrance(Entrance):
    cdef Protocol protocol_for(self, Channel channel, Runner runner, Peer peer, bytes rest, dict tls):
        cdef Two protocol = Two.__new__(Two)
        protocol.channel = channel
        protocol.runner = runner
        protocol.worker = runner.worker
        protocol.builder = self.builder
        protocol.peer = peer
        protocol.numbers = {}
        protocol.unread = b""
        return protocol


cdef class Two(RequestProtocol):
    cdef dict numbers               # by request, while it runs
    cdef bytes unread
    cdef list heads                 # whose bytes they borrow is kept here too

    cdef int on_event(self, ThreadContext thread) except -1:
        cdef ssize_t n = self.channel.read(thread.buffer, THREAD_BUFFER)
        if n == 0:
            return self.channel.close()
        if n > 0:
            self.unread += (<const char*>thread.buffer)[:n]
        if self.unread.count(b"\r\n\r\n") == 2:
            self._begin(thread)
        return self.settle(thread)

    def _begin(self, ThreadContext thread):
        cdef RequestHead head
        cdef Request request
        first, _, second = self.unread.partition(b"\r\n\r\n")
        self.heads = [first + b"\r\n\r\n", second]
        self.unread = b""
        started = []
        for number, text in enumerate(self.heads):
            head = RequestHead.__new__(RequestHead)
            head.borrow(<const unsigned char*>(<bytes>text), <unsigned int>len(text))
            assert parse_head(head, self.worker.limits) == DONE
            request = self.runner.new_request(self, head)
            self.numbers[request] = number
            started.append(request)
        for request in started:
            # On threads neither may keep this one from the other.
            if self.runner.octets:
                request.start(thread)
            else:
                self.runner.queue_up(request)

    cdef int _say(self, Request request, bytes what) except -1:
        return self.channel.send(None, b"%d %b\n" % (self.numbers[request], what), NULL, 0)

    cdef int respond(self, Request request, str status, object headers, bytes piece, long long length) except -1:
        self._say(request, status.encode())
        return self.send_piece(request, piece) if piece else 0

    cdef int send_piece(self, Request request, bytes piece) except -1:
        request.body_sent += len(piece)
        return self._say(request, b"%d:%b" % (len(piece), piece))

    cdef int finish(self, Request request, list trailers) except -1:
        return self._say(request, b".")

    cdef bint answer(self, Request request, int status) except -1:
        self._say(request, b"%d" % status)
        return True

    cdef bint take_up(self, Request request) except -1:
        return request in self.numbers

    cdef int queue_up(self, Request request) except -1:
        return self.runner.queue_up(request)

    cdef int request_over(self, Request request, ThreadContext thread) except -1:
        self.runner.ends(request, thread)
        del self.numbers[request]
        request.let_go(thread)
        return self.channel.linger(thread, 0) if not self.numbers else 0

    cdef int on_lost(self) except -1:
        return self.channel.abort()
