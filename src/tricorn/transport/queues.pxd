from tricorn.scoreboard cimport Row
from tricorn.transport.system cimport pollfd

# How often it is looked around, ns.
cdef long long LOOK_NS

# One queue of one address.
cdef struct Place:
    unsigned long long owners       # whose it is, as bits by their numbers
    bint wanted                     # this worker takes what is in it
    bint waited                     # at the last look somebody waited there
    long long help_until            # and had waited at the one before: for so long this worker takes what comes

cdef class Queues:
    cdef Row row
    cdef list entrances             # in the order of `places`
    cdef Place* places
    cdef pollfd* sockets            # those that are not watched; the complement of its number stands for one that is
    cdef int count
    cdef unsigned long long own
    cdef long long looked_ns
    cdef bint changed               # since settle()

    # See who is there. Whether this worker should take from other queues than before: then settle() is due.
    cdef bint look(self, long long now) noexcept nogil
    # Say so at the entrances.
    cdef int settle(self) except -1

# None: every entrance is for all workers.
cdef Queues maybe_queues(Row row, list entrances)
