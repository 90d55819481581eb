# Whoever calls what all applications of a worker have been given once. Subclasses say how that is found out.
cdef class Caller:
    cdef str kind           # what it is, for people
    # The WSGICall of the request that it serves; None: it serves none.
    cdef object call(self)

# For threads. threads: ThreadContexts of the worker.
cdef Caller thread_caller(list threads)
