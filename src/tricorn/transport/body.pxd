cdef class BodyStore:
    cdef Py_ssize_t threshold       # bytes kept in memory
    cdef bytes whole                # for a body of known, small length: allocated once
    cdef unsigned char* memory
    cdef Py_ssize_t capacity
    cdef Py_ssize_t size            # bytes in memory
    cdef object file                # raw, unlinked; the rest of a large body and all before it
    cdef int file_fd

    cdef int add(self, const unsigned char* data, Py_ssize_t size) except -1
    cdef object finish(self)
    cdef int _spill(self) except -1
    cdef int _write(self, const unsigned char* data, Py_ssize_t size) except -1

cdef BodyStore new_store(Py_ssize_t threshold, long long expected)
