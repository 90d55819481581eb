from tricorn.transport.caller cimport Caller
from tricorn.transport.request cimport Request

# What an application is given to ask about the time limit of its request, and to move it.
cdef class Deadline:
    cdef object __weakref__
    # The request that it speaks for; None: it is over, or there never was one.
    cdef Request request(self)

# Of whatever request the caller serves.
cdef Deadline deadline_of_caller(Caller caller)
