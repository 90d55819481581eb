"""What is sent on several channels and leaves together.

The plan. On the loopback, bytes that are sent while their client sleeps also wake the client, and the sender pays for
that: some 10 µs each. Who has other events waiting therefore keeps what it sends for a moment and sends it in a row, so that a client
with many connections (a proxy on the same machine) is woken once for all of them. How long a moment is, and when it is
worth it, is the server's affair.

Knows: bytes, channels as such. Must not know: HTTP, threads, clocks.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_XDECREF
from libc.string cimport memcpy

from tricorn.http.buffer cimport Buffer
from tricorn.transport.channel cimport Channel, Holder
from tricorn.transport.thread_context cimport ThreadContext


cdef Batch new_batch(ThreadContext thread):
    cdef Batch batch = Batch.__new__(Batch)
    batch.thread = thread
    return batch


@cython.final
cdef class Batch(Holder):
    def __cinit__(self):
        self.arena = Buffer.__new__(Buffer)
        self.spare = Buffer.__new__(Buffer)

    def __dealloc__(self):
        cdef int i
        for i in range(self.count):
            Py_XDECREF(self.held[i].whose)
            Py_XDECREF(self.held[i].piece)

    cdef bint takes(self, Channel channel) noexcept:
        if channel.holder is None:
            return self.count < BATCH_ROOM
        return channel.holder is self and not channel.corked and self._is_last(channel)

    cdef bint _is_last(self, Channel channel) noexcept:
        cdef Held* held = &self.held[self.count - 1]
        return self.count > 0 and held.whose == <PyObject*>channel and held.piece == NULL

    cdef Py_ssize_t size_of(self, Channel channel) noexcept:
        """Bytes in the arena of the channel that was held last."""
        if self.count == 0 or self.held[self.count - 1].whose != <PyObject*>channel:
            return 0
        return self.held[self.count - 1].end - (self.held[self.count - 2].end if self.count > 1 else 0)

    cdef Held* _place(self, Channel channel, long long now) noexcept:
        cdef Held* held
        if channel.holder is None:
            if self.count == 0:
                self.since = now
            held = &self.held[self.count]
            Py_INCREF(channel)
            held.whose = <PyObject*>channel
            held.piece = NULL
            held.end = self.arena.size
            self.count += 1
            channel.holder = self
        return &self.held[self.count - 1]

    cdef int copy(
        self, Channel channel, Buffer out, bytes piece, const char* tail, Py_ssize_t tail_size, long long now
    ) except -1:
        cdef Buffer arena = self.arena
        cdef Held* held
        cdef Py_ssize_t before = arena.size
        try:
            if out is not None:
                arena.add(out.data, out.size)
            if piece is not None:
                arena.add(PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece))
            if tail_size:
                arena.add(tail, tail_size)
        except MemoryError:
            arena.size = before
            raise
        held = self._place(channel, now)
        held.end = arena.size
        return 0

    cdef int hold(self, Channel channel, Buffer out, bytes piece, long long now) except -1:
        cdef Held* held
        self.copy(channel, out, None, NULL, 0, now)
        if piece is not None:
            held = &self.held[self.count - 1]
            Py_INCREF(piece)
            held.piece = <PyObject*>piece
        return 0

    cdef int cork(self, Channel channel, long long now) except -1:
        self._place(channel, now)
        channel.corked = True
        return 0

    cdef int release(self) except -1:
        """Send all of it. What a socket does not take is queued with its channel.

        Sending may run an application, which sends more, and may give the GIL away. So what is on its way lies where nothing can be
        added, and is still found by `release_one`: whatever comes behind it waits for it.
        """
        cdef Flight flight
        cdef Buffer arena = self.arena
        cdef Buffer next = self.spare
        cdef int i
        if self.count == 0:
            return 0
        if next is None:
            next = Buffer.__new__(Buffer)
        memcpy(flight.held, self.held, self.count * sizeof(Held))
        flight.count = self.count
        flight.arena = <PyObject*>arena
        flight.other = self.flight
        self.flight = &flight
        self.count = 0
        self.arena = next
        self.spare = None
        try:
            for i in range(flight.count):
                self._send_quietly(flight.held, i, arena)
        finally:
            self._land(&flight)
            arena.size = 0
            self.spare = arena
        return 0

    cdef void _land(self, Flight* flight) noexcept:
        """It is over; of two threads' flights the first one may be so before the second."""
        cdef Flight** link = &self.flight
        while link[0] != flight:
            link = &link[0].other
        link[0] = flight.other

    cdef int release_one(self, Channel channel) except -1:
        cdef Flight* flight = self.flight
        cdef int i
        for i in range(self.count):
            if self.held[i].whose == <PyObject*>channel:
                return self._send_one(self.held, i, self.arena)
        while flight != NULL:
            for i in range(flight.count):
                if flight.held[i].whose == <PyObject*>channel:
                    return self._send_one(flight.held, i, <Buffer>flight.arena)
            flight = flight.other
        channel.holder = None
        return 0

    cdef int _send_one(self, Held* held, int i, Buffer arena) except -1:
        """If that has not been done. A channel that turns out to be lost closes, and what closes releases: nothing must be left for it."""
        cdef Held one = held[i]
        cdef Py_ssize_t start = held[i - 1].end if i else 0
        cdef bytes copied = None
        if one.whose == NULL:
            return 0
        if (<Channel>one.whose).layer is not None:
            # Who waits for a layer has given the GIL away, and the arena may be moved.
            copied = (<const char*>arena.data + start)[:one.end - start]
        held[i].whose = held[i].piece = NULL
        (<Channel>one.whose).holder = None
        if copied is not None:
            return self._send(&one, PyBytes_AS_STRING(copied), one.end - start)
        return self._send(&one, arena.data + start, one.end - start)

    cdef int _send(self, Held* held, const void* data, Py_ssize_t size) except -1:
        """Send what is held of one channel, and let go of it."""
        cdef Channel channel = <Channel>held.whose
        cdef bytes piece = None
        Py_DECREF(channel)
        if held.piece != NULL:
            piece = <bytes>held.piece
            Py_DECREF(piece)
        return channel.uncork(self.thread) if channel.corked else channel.send_held(data, size, piece)

    cdef int _send_quietly(self, Held* held, int i, Buffer arena) except -1:
        """As _send_one(). If it fails, through a fault of ours, the others must not suffer."""
        cdef Channel channel
        if held[i].whose == NULL:
            return 0
        channel = <Channel>held[i].whose
        try:
            self._send_one(held, i, arena)
        except BaseException:
            channel.table.logger.error("Internal error; the connection is closed", exc_info=True)
            channel.abort()
        return 0
