# Bytes of lines in memory, as the format fills them and the writer empties them.

from libc.stdlib cimport realloc
from libc.string cimport memcpy

cdef struct LineBuffer:
    char* data
    Py_ssize_t capacity
    Py_ssize_t used

# Where the next `size` bytes go, or NULL if there is no memory. The buffer grows for a long line only.
cdef inline char* room(LineBuffer* buffer, Py_ssize_t size) noexcept:
    cdef char* larger
    cdef Py_ssize_t wanted
    if buffer.capacity - buffer.used < size:
        wanted = 2 * (buffer.used + size)
        larger = <char*>realloc(buffer.data, wanted)
        if larger == NULL:
            return NULL
        buffer.data = larger
        buffer.capacity = wanted
    return buffer.data + buffer.used

# Append `text`. Returns -1 if there is no memory for it.
cdef inline int put(LineBuffer* buffer, const char* text, Py_ssize_t length) noexcept:
    cdef char* out = room(buffer, length)
    if out == NULL:
        return -1
    memcpy(out, text, length)
    buffer.used += length
    return 0
