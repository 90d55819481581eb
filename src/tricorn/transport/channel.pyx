"""One client's descriptor, whatever is spoken on it: reading, sending, what is queued or held back, watching, closing.

The plan. A channel has a protocol, which says what its bytes mean and may put another in its own place (an opening the protocol
that it opens, HTTP/1 a WebSocket, each of them the end). While somebody deals with a channel it is `owned`: others may then only send
what is queued. (Holding the GIL is not enough: logging, temporary files, large sends and the application give it away.)

Guarantees: what is sent leaves in order, or the protocol hears that the client is lost; a descriptor is closed once, and not while
a thread is in a system call with it; our last words are not lost to a reset.

Knows: descriptors, the poller, deadlines. Must not know: HTTP, applications, threads, event loops.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

import os

from tricorn.http.buffer cimport Buffer
from tricorn.scoreboard cimport Row, monotonic
from tricorn.transport.thread_context cimport THREAD_BUFFER, ThreadContext
from tricorn.transport.poller cimport READ, WRITE, Poller
from tricorn.transport.send_queue cimport FLOW_BLOCKED, FLOW_EMPTY, FLOW_LOST, FileSpan, SendQueue
from tricorn.transport.system cimport EFD_CLOEXEC, EFD_NONBLOCK, close as close_fd, errno, eventfd, iovec, write
from tricorn.transport.wire cimport (
    WIRE_AGAIN, WIRE_LOST, Layer, wire_await_input, wire_await_output, wire_end, wire_has_input, wire_make_abrupt, wire_recv, wire_send,
    wire_sendv,
)

cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX

cdef long long SECOND = 1000000000
# How long a closed connection is read on, so that our last words are not lost to a reset (RFC 9112 §9.6).
cdef long long LINGER_TIME = 2 * SECOND


@cython.no_gc
cdef class Protocol:
    cdef int on_event(self, ThreadContext thread) except -1:
        raise NotImplementedError

    cdef int settle(self, ThreadContext thread) except -1:
        cdef Channel channel = self.channel
        channel.owned = False
        return channel.watch()

    cdef int proceed(self, ThreadContext thread) except -1:
        return 0

    cdef bint overdue(self, long long now) noexcept:
        return False

    def postpone(self, long long late):
        """For so long nobody has looked at any client: those who waited for us could not go on, so their time limits leave it
        out. Rarely called, and so by its name."""
        cdef Channel channel = self.channel
        if channel.deadline:
            channel.deadline += late

    def told(self):
        """What goes on here, for people who look: a list of whatever its protocol has to say of each thing. Only looks, calls no foreign
        code. As rarely called."""
        return []

    cdef int expire(self, ThreadContext thread) except -1:
        raise NotImplementedError

    cdef int begin_drain(self, long long soon, int code) except -1:
        return 0

    cdef str cut_stream(self, ThreadContext thread, bint events_only):
        return None

    cdef bint is_cut(self) noexcept:
        return False

    cdef bint is_idle(self) noexcept:
        return False

    cdef bint has_come(self) noexcept:
        return wire_has_input(self.channel.fd)

    cdef int interest(self) noexcept:
        return READ

    cdef int on_queued(self) except -1:
        return 0

    cdef int on_behind(self) except -1:
        return 0

    cdef int on_flushed(self, ThreadContext thread) except -1:
        return 0

    cdef int on_buffered(self) except -1:
        return 0

    cdef int on_lost(self) except -1:
        raise NotImplementedError

    cdef int on_closed(self) except -1:
        return 0


cdef class Holder:
    cdef int release_one(self, Channel channel) except -1:
        raise NotImplementedError


@cython.final
cdef class ChannelTable:
    """most: channels at a time. write_timeout: nanoseconds; 0: none."""

    def __init__(self, object logger, Row row, long long most, long long write_timeout):
        self.poller = Poller()
        self.row = row
        self.logger = logger
        self.channels = []
        self.most = most
        self.write_timeout = write_timeout

    def __cinit__(self, *args, **kwargs):
        self.waker = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)
        if self.waker < 0:
            raise OSError(errno, os.strerror(errno))

    def __dealloc__(self):
        if self.waker >= 0:
            close_fd(self.waker)

    def told(self, int most):
        """As Protocol.told(), of all channels; of more than `most` things that many, or a few more."""
        cdef Channel channel
        cdef Protocol protocol
        cdef list found = []
        for each in list(self.channels):
            if each is None:
                continue
            channel = <Channel>each
            protocol = channel.protocol
            if protocol is not None:
                found += protocol.told()
            if len(found) >= most:
                break
        return found

    cdef int wake(self) noexcept nogil:
        cdef unsigned long long one = 1
        return <int>write(self.waker, &one, sizeof(one))

    cdef int make_place(self, int fd) except -1:
        while len(self.channels) <= fd:
            self.channels.append(None)
        return 0

    cdef int add(self, Channel channel) except -1:
        self.channels[channel.fd] = channel
        self.count += 1
        self.row.data.connections = self.count
        self.row.data.accepted += 1
        return 0

    cdef int remove(self, Channel channel) except -1:
        self.channels[channel.fd] = None
        self.count -= 1
        self.row.data.connections = self.count
        if self.full or (self.draining and self.count == 0):
            self.full = False
            self.wake()
        return 0

    cdef void forsake(self) noexcept:
        """In a process that the application made. The epoll set is shared with the one that we come from: closed, never changed."""
        self.poller.forsake()
        if self.waker >= 0:
            close_fd(self.waker)
            self.waker = -1


cdef Channel new_channel(ChannelTable table, int fd, unsigned int serial):
    cdef Channel channel = Channel.__new__(Channel)
    channel.table = table
    channel.serial = serial
    channel.fd = fd
    return channel


cdef Channel channel_of(ChannelTable table, int fd, unsigned int serial):
    try:
        table.make_place(fd)
        return new_channel(table, fd, serial)
    except MemoryError:
        close_fd(fd)
        raise


@cython.final
@cython.no_gc
cdef class Channel:
    def __cinit__(self):
        self.fd = -1

    def __dealloc__(self):
        if self.fd >= 0:
            close_fd(self.fd)

    # ---- bytes ---------------------------------------------------------------------------------------

    cdef ssize_t read(self, void* place, size_t size) noexcept:
        return wire_recv(self.fd, self.layer, place, size)

    cdef void await_input(self, int timeout_ms) noexcept:
        """Have this thread wait for something to read, or for room where the layer reads nothing before."""
        cdef Layer layer = self.layer
        if layer is None or not layer.is_stalled():
            wire_await_input(self.fd, timeout_ms)
        else:
            wire_await_output(self.fd, timeout_ms)
            layer.flush()

    cdef int send(self, Buffer out, bytes piece, const char* tail, Py_ssize_t tail_size) except -1:
        cdef iovec parts[3]
        cdef Py_ssize_t total = tail_size
        cdef ssize_t n
        if self.gone:
            return 0
        if self.queue is not None and (self.queue.sending or not self.queue.is_empty()):
            return self.enqueue(out, piece, tail, tail_size, 0)
        if piece is None and tail_size == 0:
            total = out.size
            n = wire_send(self.fd, self.layer, out.data, total)
        else:
            parts[0] = iovec(NULL, 0)
            parts[1] = iovec(NULL, 0)
            if out is not None:
                parts[0] = iovec(out.data, out.size)
                total += out.size
            if piece is not None:
                parts[1] = iovec(PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece))
                total += PyBytes_GET_SIZE(piece)
            parts[2] = iovec(<void*>tail, tail_size)
            n = wire_sendv(self.fd, self.layer, parts, 3, total)
        if n == total:
            return self._fall_behind() if self.layer is not None and self.layer.is_behind() else 0
        if n == WIRE_LOST:
            return self.lose()
        return self.enqueue(out, piece, tail, tail_size, max(n, <ssize_t>0))

    cdef int send_held(self, const void* data, Py_ssize_t size, bytes piece) except -1:
        """What was held back goes out now: `data`, then `piece`."""
        cdef iovec parts[2]
        cdef bytes rest = None
        cdef Protocol protocol = self.protocol
        cdef Py_ssize_t total = size
        cdef ssize_t n
        if self.gone or self.closed:
            return 0
        if piece is None:
            n = wire_send(self.fd, self.layer, data, size)
        else:
            total += PyBytes_GET_SIZE(piece)
            parts[0] = iovec(<void*>data, size)
            parts[1] = iovec(PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece))
            n = wire_sendv(self.fd, self.layer, parts, 2, total)
        if n == total:
            if self.layer is not None and self.layer.is_behind():
                protocol.on_behind()
                return self._fall_behind()
            return 0
        if n == WIRE_LOST:
            return self.lose()
        n = max(n, <ssize_t>0)
        if n < size:
            rest = (<const char*>data)[n:size]      # first of all: what follows may run code that has `data` moved
            n = size
        protocol.on_behind()
        if rest is not None:
            self.enqueue(None, rest, NULL, 0, 0)
        return self.enqueue(None, piece, NULL, 0, n - size) if piece is not None else 0

    cdef int enqueue(
        self, Buffer out, bytes piece, const char* tail, Py_ssize_t tail_size, Py_ssize_t sent
    ) except -1:
        """Keep what comes behind the first `sent` bytes of out + piece + tail until the socket takes it."""
        cdef Py_ssize_t size
        cdef SendQueue queue = self._queue()
        cdef Protocol protocol = self.protocol
        cdef long long before = queue.pending
        if out is not None:
            size = out.size
            if sent < size:
                queue.add_raw(out.data + sent, size - sent)
            sent = max(sent - size, 0)
        if piece is not None:
            size = PyBytes_GET_SIZE(piece)
            if sent < size:
                queue.add(piece, sent)
            sent = max(sent - size, 0)
        if sent < tail_size:
            queue.add_raw(tail + sent, tail_size - sent)
        self.table.queued += queue.pending - before
        self.take_time_to_write()
        return protocol.on_queued() if not queue.sending else 0

    cdef int send_parts(self, const iovec* parts, int count, Py_ssize_t total) except -1:
        """What the socket does not take is copied: a client that is behind costs that, one that keeps up nothing."""
        cdef SendQueue queue = self.queue
        cdef Protocol protocol
        cdef Py_ssize_t size
        cdef ssize_t n = 0
        cdef int i
        if self.gone:
            return 0
        if queue is None or not (queue.sending or not queue.is_empty()):
            n = wire_sendv(self.fd, self.layer, parts, count, total)
            if n == total:
                return self._fall_behind() if self.layer is not None and self.layer.is_behind() else 0
            if n == WIRE_LOST:
                return self.lose()
            n = max(n, <ssize_t>0)
        queue = self._queue()
        for i in range(count):
            size = <Py_ssize_t>parts[i].iov_len
            if n < size:
                queue.add_raw(<const char*>parts[i].iov_base + n, size - n)
            n = max(n - size, <ssize_t>0)
        self.table.queued += total
        self.take_time_to_write()
        protocol = self.protocol
        return protocol.on_queued() if not queue.sending else 0

    cdef int _fall_behind(self) except -1:
        """All is taken, but not all of it is out: the rest waits in the layer."""
        cdef Protocol protocol = self.protocol
        self.take_time_to_write()
        return protocol.on_queued()

    cdef int send_span(self, ThreadContext thread, FileSpan span) except -1:
        cdef SendQueue queue
        cdef Protocol protocol
        self.release()
        if self.gone:
            return 0        # found by what was held back, which must come first
        queue = self._queue()
        queue.add_span(span)
        self.flush(thread)
        if not self.gone and self.has_queued():
            self.take_time_to_write()
            protocol = self.protocol
            protocol.on_queued()
        return 0

    cdef void take_time_to_write(self) noexcept:
        """Unless a deadline runs already, the client has `write_timeout` to take something."""
        if self.table.write_timeout and self.deadline == 0:
            self.deadline = monotonic() + self.table.write_timeout

    cdef SendQueue _queue(self):
        cdef SendQueue made
        if self.queue is None:
            made = SendQueue()      # it may run the garbage collector, and that a destructor which sends something
            if self.queue is None:
                self.queue = made
        return self.queue

    cdef int release(self) except -1:
        cdef Holder holder = self.holder
        return holder.release_one(self) if holder is not None else 0

    cdef int uncork(self, ThreadContext thread) except -1:
        """What is queued is offered to the socket now."""
        cdef Protocol protocol
        self.corked = False
        if self.owned:
            return self.flush(thread)
        self.owned = True
        self.flush(thread)
        if self.closed:
            return 0
        protocol = self.protocol
        return protocol.settle(thread)

    cdef int flush(self, ThreadContext thread) except -1:
        cdef Protocol protocol
        cdef bint progress = False
        cdef int flow
        if self.queue is not None and self.queue.sending:
            return 0
        flow = self.flush_queue(&progress)
        if self.closed:
            return 0
        if flow == FLOW_LOST:
            return self.lose()
        if progress and self.table.write_timeout:
            thread.now = monotonic()
            self.deadline = thread.now + self.table.write_timeout
        protocol = self.protocol
        return protocol.on_flushed(thread) if flow == FLOW_EMPTY or progress else 0

    cdef int flush_queue(self, bint* progress) except -2:
        """Send what is queued. Returns a Flow."""
        cdef SendQueue queue = self.queue
        cdef Layer layer = self.layer
        cdef int flow = FLOW_EMPTY
        if layer is not None and layer.is_behind():
            flow = layer.flush()
            if flow != FLOW_EMPTY:
                return FLOW_BLOCKED if flow == WIRE_AGAIN else FLOW_LOST
            progress[0] = True
        if queue is not None and not queue.is_empty():
            if queue.sending:
                return FLOW_BLOCKED     # another thread has come first, while this one waited for the layer
            flow = queue.flush(self.fd, layer, progress)
        return FLOW_BLOCKED if flow == FLOW_EMPTY and layer is not None and layer.is_behind() else flow

    cdef bint has_queued(self) noexcept:
        if self.queue is not None and not self.queue.is_empty():
            return True
        return self.layer is not None and not self.gone and self.layer.is_behind()

    cdef bint has_buffered(self) noexcept:
        return self.layer is not None and not self.closed and self.layer.has_buffered()

    cdef bint is_congested(self, Py_ssize_t most) noexcept:
        """Whether more than `most` bytes in memory, or any file, wait for the client."""
        return self.queue is not None and not self.gone and (self.queue.pending > most or self.queue.files)

    # ---- what is waited for ----------------------------------------------------------------------------

    cdef int watch(self) except -1:
        """Nobody deals with the channel any more: have the poller watch for what its protocol waits for."""
        cdef Protocol protocol
        cdef int interest
        if self.closed:
            return 0
        interest = self.protocol.interest()
        if interest != AS_IT_IS and interest & READ and self.has_buffered():
            protocol = self.protocol
            protocol.on_buffered()
        if interest != AS_IT_IS and interest & READ and self.layer is not None and self.layer.is_stalled():
            interest &= ~READ
        return self.arm(interest) if interest != self.armed and interest != AS_IT_IS else 0

    cdef int arm(self, int interest) except -1:
        cdef Poller poller = self.table.poller
        cdef unsigned long long token
        cdef bint failed = False
        if interest == self.armed:
            return 0
        token = (<unsigned long long>self.serial << 32) | <unsigned int>self.fd
        if interest == 0:
            poller.remove(self.fd)
        else:
            try:
                if self.armed == 0:
                    poller.add(self.fd, interest, token)
                else:
                    poller.modify(self.fd, interest, token)
            except OSError as error:        # ENOMEM, ENOSPC (epoll_ctl(2)): nobody would ever look at it again
                self.table.logger.error("Cannot watch a connection; closing it: %s", error)
                failed = True
            if failed:
                return self.lose()
        self.armed = interest
        return 0

    # ---- the end ---------------------------------------------------------------------------------------

    cdef int lose(self) except -1:
        """The client is gone, or cannot be served any more (no memory for its socket, say): it has to see that."""
        cdef Protocol protocol = self.protocol
        self.gone = True
        if self.queue is not None:
            self.queue.clear()
        return protocol.on_lost() if protocol is not None else 0

    cdef int abort(self) except -1:
        """Close with a reset: the client cannot take what it has for the whole."""
        if self.closed:
            return 0
        wire_make_abrupt(self.fd)
        self.gone = True        # also for a layer, which would say goodbye
        return self.close()

    cdef bint says_goodbye(self) noexcept:
        cdef Layer layer = self.layer
        return self.gone or layer is None or layer.end(self.fd) != WIRE_AGAIN

    cdef int close(self) except -1:
        cdef Layer layer = self.layer
        cdef Protocol protocol
        cdef bint is_used
        cdef int fd
        if self.closed:
            return 0
        self.release()
        if self.closed:
            return 0
        self.arm(0)
        if layer is not None and not self.gone:
            layer.end(self.fd)
        self.closed = self.gone = True
        self.deadline = 0
        self.table.remove(self)
        fd = self.fd
        self.fd = -1            # the number may belong to another client from now on
        is_used = self.queue is not None and self.queue.sending
        if is_used:
            self.queue.orphan(fd)       # a thread is in a system call with it
        if layer is not None:
            layer.detach()
        if not is_used:
            close_fd(fd)
        self.queue = None
        self.layer = None
        protocol = self.protocol
        self.protocol = None
        return protocol.on_closed()

    cdef bint leave(self) except -1:
        if self.says_goodbye():
            self.close()
            return True
        self.linger(None, 0)    # nothing is finished yet, for which it would want a thread
        self.deadline = 0
        self.take_time_to_write()
        self.watch()
        return False

    cdef int forsake(self) noexcept:
        """In a process that the application made: the client stays with the process that we come from."""
        if self.closed:
            return 0
        self.closed = self.gone = True
        close_fd(self.fd)
        self.fd = -1
        return 0

    cdef int linger(self, ThreadContext thread, Py_ssize_t most) except -1:
        cdef Lingering end
        self.release()
        if self.closed:
            return 0
        end = new_lingering(self, most)
        self.protocol = end
        if self.has_queued() and not self.gone:
            return 0        # whoever deals with the channel has it watched
        return end.finish(thread)


cdef Lingering new_lingering(Channel channel, Py_ssize_t most):
    cdef Lingering self = Lingering.__new__(Lingering)
    self.channel = channel
    self.left = most if most > 0 else PY_SSIZE_T_MAX
    return self


@cython.final
cdef class Lingering(Protocol):
    """The end of a channel: what is queued is sent, then our side closes, and what still comes is thrown away: a reset now
    could overtake what was sent last."""

    cdef bint finished              # our side is closed
    cdef Py_ssize_t left            # how much more is thrown away, bytes

    cdef int finish(self, ThreadContext thread) except -1:
        cdef Channel channel = self.channel
        if wire_end(channel.fd, channel.layer) == WIRE_AGAIN:
            channel.deadline = 0
            channel.take_time_to_write()
            return channel.arm(WRITE)
        self.finished = True
        channel.deadline = thread.now + LINGER_TIME
        return channel.arm(READ)    # at once: whoever deals with the channel may be in the middle of something long

    cdef int on_event(self, ThreadContext thread) except -1:
        cdef Channel channel = self.channel
        if channel.owned:
            return channel.arm(0)
        channel.owned = True
        if not self.finished:
            channel.flush(thread)
        else:
            self._discard_input(thread)
        return self.settle(thread)

    cdef int _discard_input(self, ThreadContext thread) except -1:
        cdef Channel channel = self.channel
        cdef ssize_t n = channel.read(thread.buffer, THREAD_BUFFER)
        if n > 0:
            self.left -= n
        return channel.close() if n == 0 or n == WIRE_LOST or self.left < 0 else 0

    cdef int on_flushed(self, ThreadContext thread) except -1:
        if self.finished or self.channel.has_queued():
            return 0
        thread.now = monotonic()
        return self.finish(thread)

    cdef bint overdue(self, long long now) noexcept:
        return self.channel.deadline != 0 and self.channel.deadline <= now

    cdef int expire(self, ThreadContext thread) except -1:
        cdef Channel channel = self.channel
        return channel.close() if self.finished else channel.abort()

    cdef int interest(self) noexcept:
        return READ if self.finished else WRITE

    cdef int on_lost(self) except -1:
        cdef Channel channel = self.channel
        return channel.abort()
