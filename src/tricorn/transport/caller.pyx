"""Which request it is that the caller serves.

The plan. What hardly any application uses (early hints, trailers, the deadline) is one object for all requests, which stands in the environ that
each copies, so it costs those nothing that do not use it. It speaks for whatever request the calling thread, or greenlet, serves.

Knows: threads by their numbers. Must not know: what is asked of the request.
"""

cimport cython

from tricorn.transport.thread_context cimport ThreadContext

cdef extern from "pythread.h":
    unsigned long PyThread_get_thread_ident()


cdef class Caller:
    cdef object call(self):
        raise NotImplementedError


@cython.final
cdef class ThreadCaller(Caller):
    cdef list threads

    cdef object call(self):
        cdef ThreadContext thread
        cdef unsigned long ident = PyThread_get_thread_ident()
        for thread in self.threads:
            if thread.ident == ident and thread.call is not None:
                return thread.call
        return None


cdef Caller thread_caller(list threads):
    cdef ThreadCaller self = ThreadCaller.__new__(ThreadCaller)
    self.kind = "thread"
    self.threads = threads
    return self
