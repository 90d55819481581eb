from tricorn.transport.request cimport Compartment
from tricorn.transport.worker_context cimport WorkerContext

cdef extern from "pythread.h" nogil:
    ctypedef void* PyThread_type_lock

# Where a thread sleeps while it is not needed.
cdef class Parking:
    cdef PyThread_type_lock lock

    cdef void sleep(self) noexcept nogil
    cdef void wake(self) noexcept nogil

# The threads on which the requests of one compartment run.
cdef class ThreadPool(Compartment):
    cdef int size
    cdef list threads               # ThreadContexts
    cdef WorkerContext worker
    cdef object prefix              # of the route that has them for itself; None: they serve whatever comes, and read it
    cdef list parked                # the Parkings of those of a route that have nothing to do

    # Something waits for one of them.
    cdef int call_one(self) except -1
    # It is over: those of a route that sleep should look.
    cdef int call_all(self) except -1
