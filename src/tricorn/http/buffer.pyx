"""A growing stretch of bytes that is reused from response to response.

Knows: memory. Must not know: what the bytes mean.
"""

from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.string cimport memcpy


cdef class Buffer:
    def __dealloc__(self):
        PyMem_Free(self.data)

    cdef int reserve(self, Py_ssize_t more) except -1:
        cdef Py_ssize_t capacity
        cdef unsigned char* grown
        if self.size + more <= self.capacity:
            return 0
        capacity = max(self.capacity * 2, self.size + more, <Py_ssize_t>4096)
        grown = <unsigned char*>PyMem_Realloc(self.data, capacity)
        if grown == NULL:
            raise MemoryError()
        self.data = grown
        self.capacity = capacity
        return 0

    cdef int add(self, const void* data, Py_ssize_t size) except -1:
        self.reserve(size)
        memcpy(self.data + self.size, data, size)
        self.size += size
        return 0
