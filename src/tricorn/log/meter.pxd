# What is counted of requests, for compiled callers; meter.pyx says how.

from cpython.object cimport PyObject

cdef enum:
    PACKET = 8192       # the longest that is sent
    STATUSES = 1000

cdef class Meter:
    cdef object _send               # called with each packet; raises nothing
    cdef Py_ssize_t _limit          # of a packet
    cdef bytes _head, _tail         # of the line of a duration
    cdef bytes _prefix, _tags       # of every line: before its name, behind its type
    cdef long long _requests        # that are not in a packet yet
    cdef unsigned int[STATUSES] _statuses
    cdef int _lowest, _highest      # of those that were seen since the last packet
    cdef char[PACKET] _packet
    cdef Py_ssize_t _used

    # A request is over. status: a str that begins with three digits, or None.
    cdef int count(self, PyObject* status, long long duration_ns) except -1
    cpdef int flush(self) except -1
    cpdef int forget(self) except -1

    cdef int _put(self, bytes line) except -1
    cdef int _leave(self) except -1
