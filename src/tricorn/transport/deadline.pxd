from tricorn.transport.request cimport Request

# What an application is given to ask about the time limit of its request, and to move it.
cdef class Deadline:
    cdef object __weakref__
    # The request that it speaks for; None: it is over, or there never was one.
    cdef Request request(self)

# Of whatever request the caller serves. Subclasses say which.
cdef class CallersDeadline(Deadline):
    # Its WSGICall; None: it serves none.
    cdef object call(self)

# Of whatever request the calling thread serves.
cdef Deadline deadline_of_threads(list threads)
