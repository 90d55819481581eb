"""A growing stretch of bytes that is reused from response to response.

Knows: memory. Must not know: what the bytes mean.
"""

from cpython.mem cimport PyMem_Free, PyMem_Realloc

cimport cython


@cython.final
cdef class Buffer:
    def __dealloc__(self):
        PyMem_Free(self.data)

    cdef int grow(self, Py_ssize_t more) except -1:
        cdef Py_ssize_t capacity = max(self.capacity * 2, self.size + more, <Py_ssize_t>4096)
        cdef unsigned char* grown = <unsigned char*>PyMem_Realloc(self.data, capacity)
        if grown == NULL:
            raise MemoryError()
        self.data = grown
        self.capacity = capacity
        return 0
