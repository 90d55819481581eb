from cpython.object cimport PyObject

# Memory for the large bodies of one worker.
cdef class Budget:
    cdef Py_ssize_t left

cdef class BodyStore:
    cdef Budget budget
    cdef Py_ssize_t taken           # bytes of the budget
    cdef Py_ssize_t small           # bytes that need no budget
    cdef long long expected         # the length of the body; -1: unknown
    cdef PyObject* content          # a bytes object that nobody else has, or NULL
    cdef Py_ssize_t capacity        # its size
    cdef Py_ssize_t size            # how much of it is filled
    cdef object file                # raw, unlinked; all of a body that comes before `content`
    cdef int file_fd

    cdef int add(self, const unsigned char* data, Py_ssize_t size) except -1
    cdef unsigned char* room(self, Py_ssize_t* size) except? NULL
    cdef object finish(self)
    cdef bint is_large(self) noexcept
    cdef bint _grow(self, Py_ssize_t needed) except -1
    cdef int _resize(self, Py_ssize_t capacity) except -1
    cdef int _spill(self) except -1
    cdef int _flush(self) except -1
    cdef int _write(self, const unsigned char* data, Py_ssize_t size) except -1

cdef BodyStore new_store(Budget budget, Py_ssize_t small, long long expected)
