from tricorn.transport.request cimport Request

# What an application is given to ask about the time limit of its request, and to move it.
cdef class Deadline:
    cdef object __weakref__
    # The request that it speaks for; None: it is over, or there never was one.
    cdef Request request(self)

cdef Deadline deadline_of_call(object call)
# Of whatever request the calling thread serves.
cdef Deadline deadline_of_threads(list threads)
# The same for the extensions of a scope; of a request without a limit.
cdef object offered_of_call(object call)
cdef object OFFERED_TO_ALL
