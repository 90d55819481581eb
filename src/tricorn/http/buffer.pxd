cdef class Buffer:
    cdef unsigned char* data
    cdef Py_ssize_t size
    cdef Py_ssize_t capacity

    # Make room for `more` bytes behind `size`.
    cdef int reserve(self, Py_ssize_t more) except -1
    cdef int add(self, const void* data, Py_ssize_t size) except -1
