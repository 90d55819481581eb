from cpython.object cimport PyObject

from tricorn.http.buffer cimport Buffer
from tricorn.transport.connection cimport Connection

cdef enum:
    BATCH_ROOM = 64         # responses

cdef struct Held:
    PyObject* connection    # strong
    Py_ssize_t end          # of its bytes in the arena, which begin where those of the one before end
    PyObject* piece         # strong: bytes that follow them; NULL: none

# Responses that are complete and leave together.
cdef class Batch:
    cdef Buffer arena
    cdef Buffer spare
    cdef Held held[BATCH_ROOM]
    cdef int count
    cdef long long since            # CLOCK_MONOTONIC, ns: when the first of them was complete

    cdef bint has_room(self) noexcept
    cdef int hold(self, Connection connection, Buffer out, bytes piece, long long now) except -1
    cdef int release(self) except -1
