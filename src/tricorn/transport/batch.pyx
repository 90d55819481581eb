"""Responses of one thread that leave together.

The plan. On the loopback, a response that is sent while its client sleeps also wakes the client, and the sender pays for
that: some 10 µs each. A thread that has other requests waiting therefore keeps small complete responses for a moment and
sends them in a row, so that a client with many connections (a proxy on the same machine) is woken once for all of them. How
long a moment is, and when it is worth it, is the reactor's affair.

Knows: bytes, connections as such. Must not know: HTTP, threads, clocks.
"""

from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.string cimport memcpy

from tricorn.http.buffer cimport Buffer
from tricorn.transport.connection cimport Connection


cdef class Batch:
    def __cinit__(self):
        self.arena = Buffer.__new__(Buffer)
        self.spare = Buffer.__new__(Buffer)

    def __dealloc__(self):
        cdef int i
        for i in range(self.count):
            Py_DECREF(<object>self.held[i].connection)

    cdef bint has_room(self, Py_ssize_t size) noexcept:
        return self.count < BATCH_ROOM and self.arena.size + size <= BATCH_BYTES

    cdef int hold(self, Connection connection, const void* data, Py_ssize_t size, long long now) except -1:
        """Keep a copy of the bytes until the release. Only if there is room."""
        self.arena.add(data, size)
        if self.count and self.held[self.count - 1].connection == <PyObject*>connection:
            self.held[self.count - 1].end = self.arena.size     # pipelined: it follows the one before
            return 0
        if self.count == 0:
            self.since = now
        Py_INCREF(connection)
        self.held[self.count].connection = <PyObject*>connection
        self.held[self.count].end = self.arena.size
        self.count += 1
        connection.batch = self
        return 0

    cdef int release(self) except -1:
        """Send all of it. What a socket does not take is queued with its connection."""
        cdef Held held[BATCH_ROOM]
        cdef Connection connection
        cdef Buffer arena = self.arena
        cdef int count = self.count
        cdef Py_ssize_t start = 0
        cdef int i
        # A connection that turns out to be lost closes, and what closes releases: there must be nothing left for it.
        memcpy(held, self.held, count * sizeof(Held))
        self.count = 0
        self.arena = self.spare
        for i in range(count):
            connection = <Connection>held[i].connection
            Py_DECREF(connection)
            connection.batch = None
            connection.send_held(arena.data + start, held[i].end - start)
            start = held[i].end
        arena.size = 0
        self.spare = arena
        return 0
