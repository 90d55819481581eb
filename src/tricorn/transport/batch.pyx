"""Responses of one thread that leave together.

The plan. On the loopback, a response that is sent while its client sleeps also wakes the client, and the sender pays for
that: some 10 µs each. A thread that has other requests waiting therefore keeps small complete responses for a moment and
sends them in a row, so that a client with many connections (a proxy on the same machine) is woken once for all of them. How
long a moment is, and when it is worth it, is the reactor's affair.

Knows: bytes, connections as such. Must not know: HTTP, threads, clocks.
"""

from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_XDECREF
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
            Py_XDECREF(self.held[i].piece)

    cdef bint has_room(self) noexcept:
        return self.count < BATCH_ROOM

    cdef int hold(self, Connection connection, Buffer out, bytes piece, long long now) except -1:
        """Keep what is in `out`, and `piece` behind it, until the release. Only if there is room."""
        cdef Held* held = &self.held[self.count]
        cdef Buffer arena = self.arena
        arena.add(out.data, out.size)
        if self.count == 0:
            self.since = now
        Py_INCREF(connection)
        held.connection = <PyObject*>connection
        held.end = arena.size
        held.piece = NULL
        if piece is not None:
            Py_INCREF(piece)
            held.piece = <PyObject*>piece
        self.count += 1
        connection.batch = self
        return 0

    cdef int release(self) except -1:
        """Send all of it. What a socket does not take is queued with its connection."""
        cdef Held held[BATCH_ROOM]
        cdef Buffer arena = self.arena
        cdef int count = self.count
        cdef Py_ssize_t start = 0
        cdef int i
        # A connection that turns out to be lost closes, and what closes releases: there must be nothing left for it.
        memcpy(held, self.held, count * sizeof(Held))
        self.count = 0
        self.arena = self.spare
        for i in range(count):
            (<Connection>held[i].connection).batch = None
        for i in range(count):
            _send(&held[i], arena.data + start, held[i].end - start)
            start = held[i].end
        arena.size = 0
        self.spare = arena
        return 0


cdef int _send(Held* held, const void* data, Py_ssize_t size) except -1:
    """Send what is held of one connection, and let go of it."""
    cdef Connection connection = <Connection>held.connection
    cdef bytes piece = None
    Py_DECREF(connection)
    if held.piece != NULL:
        piece = <bytes>held.piece
        Py_DECREF(piece)
    try:
        connection.send_held(data, size, piece)
    except Exception:
        connection.service.logger.error("Internal error; the connection is closed", exc_info=True)
        connection.abort()
    return 0
