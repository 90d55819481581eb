# What Cache-Control says of a path: by the patterns that were given, else by what its name looks like.
cdef class Caching:
    cdef tuple patterns             # (pattern, value): the first one that fits counts
    cdef bytes value_of(self, const unsigned char* path, Py_ssize_t size)

# Whether a name has the hash of its content in it.
cdef bint has_hash(const unsigned char* path, Py_ssize_t size) noexcept nogil
cdef bint fits(const unsigned char* pattern, Py_ssize_t length, const unsigned char* path, Py_ssize_t size) noexcept nogil
