"""The threads that some requests have: those of one route for itself, or those for all that comes.

The plan. The threads for all that comes read what they serve (thread_server.pyx has the rules). Those of a route read nothing, and know no
poller: whoever has read a request of theirs puts it into their queue and wakes one, the one that has slept for the shortest time. It
gives the client back to the poller when its response is out. So a route whose threads are all taken takes nothing from
others but the memory of those who wait.

Guarantees: a request that waits is taken up by the first thread of its pool that is free, in the order in which they came.

Knows: threads as such, the queue. Must not know: what a request is, who reads it.
"""

from tricorn.transport.request cimport Compartment, Runner
from tricorn.transport.routes cimport Route
from tricorn.transport.thread_context cimport ThreadContext

cdef extern from "pythread.h" nogil:
    PyThread_type_lock PyThread_allocate_lock()
    void PyThread_free_lock(PyThread_type_lock)
    int PyThread_acquire_lock(PyThread_type_lock, int)
    void PyThread_release_lock(PyThread_type_lock)


cdef class Parking:
    def __cinit__(self):
        self.lock = PyThread_allocate_lock()
        PyThread_acquire_lock(self.lock, 1)

    def __dealloc__(self):
        PyThread_free_lock(self.lock)

    cdef void sleep(self) noexcept nogil:
        PyThread_acquire_lock(self.lock, 1)

    cdef void wake(self) noexcept nogil:
        PyThread_release_lock(self.lock)


cdef class ThreadPool(Compartment):
    def __init__(self, Runner runner, Route route):
        Compartment.__init__(self, runner, route)
        self.worker = runner.worker
        self.prefix = None if route is None else route.name()
        self.threads = []
        self.parked = []

    cdef int free(self) noexcept:
        cdef ThreadContext thread
        cdef int free = 0
        for thread in self.threads:
            free += thread.cell.busy_since_ns == 0
        return free

    cdef int call_one(self) except -1:
        if self.prefix is None:
            self.worker.channels.wake()
        elif self.parked:
            (<Parking>self.parked.pop()).wake()
        return 0

    cdef int call_all(self) except -1:
        while self.parked:
            (<Parking>self.parked.pop()).wake()
        return 0
