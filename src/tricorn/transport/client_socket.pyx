"""A connection that its application takes over: environ["tricorn.socket"], and what becomes of the request.

The plan. A request that asks for another protocol (Connection: upgrade) is offered a ClientSocket; others have none, and pay nothing. Its
first use takes the connection over, in whichever thread, while the request runs and nothing of its response has left: what was queued before is
sent, then the channel leaves HTTP, and the application has a socket with a descriptor of its own. What it still says as a response goes
nowhere. Where the client's bytes do not lie on its descriptor (TLS), or some of them were read already, the socket is one end of a pair, and a relay
stands behind the other. The connection ends with the request, as in Gunicorn: an application that fails, or lets its framework answer, has
nobody else who would end it. Whoever wants to keep it says so, by dup() or detach().

Guarantees: no byte of the client is lost, none of ours comes in between; limits of ours do not hold any more, but for one: a worker that drains
cuts what its applications still have when it would cut an event stream. While the request runs the channel keeps a descriptor for that, and
for being counted; it closes that with the application's.

Knows: channels, requests as such, Python's sockets. Must not know: application interfaces, threads, event loops.
"""

cimport cython

import errno
import os
import socket as sockets
from _socket import socket as new_socket        # Python's own, whatever is put in its place

from tricorn.transport.channel cimport Channel
from tricorn.transport.relay cimport Relay, RelayEnd, begin_relay
from tricorn.transport.request cimport Request, RequestProtocol, Runner, drop_trace
from tricorn.transport.send_queue cimport FileSpan
from tricorn.transport.thread_context cimport ThreadContext
from tricorn.transport.wire cimport wire_cut

from tricorn.gateway.errors import GatewayError

cdef enum:
    SLICE_MS = 100      # of a wait for what was sent before; others may send it meanwhile

# How long the application may still read when its request is over, and the client may still send.
cdef long long LINGER = 2000000000

SWITCHED = "101 Switching Protocols"


cdef ClientSocket new_client_socket(Request request):
    cdef ClientSocket client = ClientSocket.__new__(ClientSocket)
    client.request = request
    return client


cdef object take_over(Request request, bint waits):
    cdef RequestProtocol protocol = request.protocol
    cdef Channel channel = protocol.channel
    cdef TakenOver taken = _leave_http(request, waits)
    cdef bytes first = protocol.hand_over(request)
    try:
        taken.socket = taken._socket_of(first)
    except BaseException:
        channel.abort()
        raise
    return taken


cdef TakenOver _leave_http(Request request, bint waits):
    """From here on the channel belongs to the application, and there is no socket for it yet. Raises GatewayError, OSError."""
    cdef RequestProtocol protocol = request.protocol
    cdef Channel channel = protocol.channel
    cdef TakenOver taken
    if waits:
        _send_out(channel, protocol.runner)
    channel.release()
    # From here on nothing gives the GIL away.
    if request.protocol is not protocol or channel.closed or channel.gone:
        raise ConnectionResetError(errno.ECONNRESET, "the connection is closed")
    if not protocol.is_unanswered(request):
        raise GatewayError("the connection cannot be taken over: the response has begun")
    taken = new_taken(request, protocol)
    request.leave_to_application()
    request.limit_ns = request.slow_ns = 0
    request.protocol = channel.protocol = taken
    channel.deadline = 0
    channel.arm(0)
    return taken


cdef TakenOver new_taken(Request request, RequestProtocol protocol):
    cdef TakenOver self = TakenOver.__new__(TakenOver)
    self.worker = protocol.worker
    self.runner = protocol.runner
    self.peer = protocol.peer
    self.builder = protocol.builder
    self.channel = protocol.channel
    self.request = request
    self.version = protocol.version_of(request)
    self.label = f"{request.method} {request.uri}"
    return self


cdef int _send_out(Channel channel, Runner runner) except -1:
    """What was sent before the request, and waits for the client."""
    cdef bint progress = False
    channel.release()
    while channel.has_queued() and not channel.closed:
        runner.await_output(channel, SLICE_MS)
        if not channel.closed and channel.flush_queue(&progress) < 0:
            channel.lose()
    return 0


@cython.final
cdef class ClientSocket:
    """`environ["tricorn.socket"]`, and Gunicorn's `environ["gunicorn.socket"]`.

    Whatever is asked of it, but for the addresses, takes the connection over, and is done by a `socket.socket`. Raises GatewayError where it
    is too late for that, OSError.
    """

    def __getattr__(self, name):
        # What is only looked for (by a debugger's page, by copy()) takes nothing over.
        if self.socket is None and (name.startswith("_") or not hasattr(sockets.socket, name)):
            raise AttributeError(f"a socket of a client has no attribute {name!r}")
        return getattr(self._real(), name)

    def __repr__(self):
        return "<ClientSocket: not taken over>" if self.socket is None else f"<ClientSocket: {self.socket!r}>"

    def getpeername(self):
        """The address of who is connected to us, though the socket is one of a pair."""
        self._look()
        return self.names[0]

    def getsockname(self):
        self._look()
        return self.names[1]

    def close(self):
        cdef TakenOver taken
        self._real().close()
        taken = self.taken
        if self.socket.fileno() < 0:        # else a file that was made of it keeps it open
            taken.let_go()

    def detach(self):
        """Its descriptor, which is the caller's from here on."""
        cdef TakenOver taken
        descriptor = self._real().detach()
        taken = self.taken
        taken.is_kept = True
        taken.let_go()
        return descriptor

    def dup(self):
        """Another socket for the connection, which may be kept."""
        copy = self._real().dup()
        self.taken.is_kept = True
        return copy

    def __enter__(self):
        self._real()
        return self

    def __exit__(self, *_):
        self.close()

    cdef object _real(self):
        if self.socket is None:
            self._look()
            self.taken = <TakenOver>take_over(self.request, True)
            self.socket = self.taken.socket
        return self.socket

    cdef int _look(self) except -1:
        """Learn the addresses, while the channel is there."""
        cdef Channel channel = self.request.protocol.channel
        if self.names is not None:
            return 0
        if channel.closed:
            raise OSError(errno.ENOTCONN, "the connection is closed")
        copy = _copy_of(channel.fd)
        try:
            self.names = copy.getpeername(), copy.getsockname()
        finally:
            copy.close()
        return 0


def _copy_of(int descriptor):
    """A socket with another descriptor. Raises OSError."""
    number = os.dup(descriptor)
    try:
        found = new_socket(fileno=number)
        # Not every class that may be there by now finds out by itself what it is given.
        return sockets.socket(found.family, found.type, found.proto, found.detach())
    except BaseException:
        os.close(number)
        raise


@cython.final
@cython.no_gc
cdef class TakenOver(RequestProtocol):
    # ---- the socket ------------------------------------------------------------------------------------

    cdef object _socket_of(self, bytes first):
        """first: what was read of the client behind its request. (socket.socket as it is now: it may be one of green threads.)"""
        cdef Channel channel = self.channel
        if channel.layer is None and first is None and not channel.has_queued():
            copy = _copy_of(channel.fd)
            copy.setblocking(True)
            return copy
        ours, theirs = sockets.socketpair()
        ours.setblocking(False)
        self.is_relayed = True
        begin_relay(channel, ours.detach(), first, self.label, self)
        return theirs

    cdef int let_go(self) except -1:
        """Nothing holds the connection but what the application has."""
        cdef Channel channel = self.channel
        return 0 if self.is_relayed or channel.closed else channel.close()

    cdef int _finish(self, ThreadContext thread) except -1:
        """The request is over. Nothing more is sent; a thread of the application's may read on for a while (a close frame, say)."""
        cdef Channel channel = self.channel
        cdef Relay relay
        if channel.closed:
            return 0
        self.is_ending = True
        if not self.is_relayed:
            channel.deadline = thread.now + LINGER
        elif type(channel.protocol) is RelayEnd:
            relay = (<RelayEnd>channel.protocol).relay
            relay.end_soon(thread.now)
        socket = self.socket
        try:
            socket.shutdown(sockets.SHUT_WR)
        except OSError:
            socket = None           # the application has closed it, or the client is gone
        return 0

    # ---- what its request asks: nothing of it is sent ----------------------------------------------------

    cdef int respond(self, Request request, str status, object headers, bytes piece, long long length) except -1:
        return 0

    cdef int send_piece(self, Request request, bytes piece) except -1:
        return 0

    cdef int send_span(self, Request request, FileSpan span) except -1:
        return 0

    cdef int finish(self, Request request, list trailers) except -1:
        return 0

    cdef bint is_unanswered(self, Request request) noexcept:
        return False

    cdef bint answer(self, Request request, int status) except -1:
        return False

    cdef int version_of(self, Request request) noexcept:
        return self.version

    cdef int request_over(self, Request request, ThreadContext thread) except -1:
        cdef Runner runner = self.runner
        self.request = None
        request.note_status(SWITCHED)
        runner.ends(request, thread)
        drop_trace(request, thread.now)
        request.let_go(thread)
        if self.is_kept:
            self.let_go()
        else:
            self._finish(thread)
        self.socket = None
        return 0

    # ---- what the channel asks, while the request lasts --------------------------------------------------

    cdef int on_event(self, ThreadContext thread) except -1:
        return 0                    # that was fetched before

    cdef int settle(self, ThreadContext thread) except -1:
        return 0

    cdef int interest(self) noexcept:
        return 0

    cdef bint overdue(self, long long now) noexcept:
        return self.is_ending and self.channel.deadline <= now

    cdef int expire(self, ThreadContext thread) except -1:
        """Whoever still waits for something to read sees the end."""
        cdef Channel channel = self.channel
        wire_cut(channel.fd)
        return channel.close()

    cdef int begin_drain(self, long long soon, int code) except -1:
        cdef Request request = self.request
        if self.is_ending and not self.is_relayed:
            self.channel.deadline = min(self.channel.deadline, soon)
        return request.on_drain(code) if request is not None else 0

    cdef str cut_stream(self, ThreadContext thread, bint events_only):
        if self.was_cut or self.is_ending:
            return None
        self.was_cut = True
        wire_cut(self.channel.fd)
        return self.label

    cdef bint is_cut(self) noexcept:
        return self.was_cut

    cdef int on_lost(self) except -1:
        return 0
