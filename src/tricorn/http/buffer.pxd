cimport cython
from libc.string cimport memcpy

@cython.final
cdef class Buffer:
    cdef unsigned char* data
    cdef Py_ssize_t size
    cdef Py_ssize_t capacity

    cdef int grow(self, Py_ssize_t more) except -1

    # Make room for `more` bytes behind `size`.
    cdef inline int reserve(self, Py_ssize_t more) except -1:
        return self.grow(more) if self.size + more > self.capacity else 0

    cdef inline int add(self, const void* data, Py_ssize_t size) except -1:
        self.reserve(size)
        memcpy(self.data + self.size, data, size)
        self.size += size
        return 0
