"""What each thread of a worker has for itself: its buffers, its clock, what it is at.

Knows: memory. Must not know: who reads or writes what is here.
"""

from cpython.mem cimport PyMem_Free, PyMem_Malloc

from tricorn.http.buffer cimport Buffer
from tricorn.http.request cimport RequestHead


cdef class ThreadContext:
    def __cinit__(self):
        self.buffer = <unsigned char*>PyMem_Malloc(THREAD_BUFFER)
        if self.buffer == NULL:
            raise MemoryError()
        self.out = Buffer.__new__(Buffer)
        self.head = RequestHead.__new__(RequestHead)

    def __dealloc__(self):
        PyMem_Free(self.buffer)
