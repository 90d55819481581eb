"""Where a request body waits until it is complete: in memory, then in an unlinked temporary file.

Knows: bytes, memory, temporary files. Must not know: HTTP, connections.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.string cimport memcpy

from tricorn.transport.system cimport EINTR, errno, write

import io
import os
import tempfile


cdef BodyStore new_store(Py_ssize_t threshold, long long expected):
    """A store for `expected` bytes (-1: unknown) that keeps up to `threshold` of them in memory."""
    cdef BodyStore store = BodyStore.__new__(BodyStore)
    store.threshold = threshold
    if 0 <= expected <= threshold:
        store.whole = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>expected)
    return store


cdef class BodyStore:
    def __cinit__(self):
        self.file_fd = -1

    def __dealloc__(self):
        PyMem_Free(self.memory)
        if self.file is not None:
            self.file.close()

    cdef int add(self, const unsigned char* data, Py_ssize_t size) except -1:
        """Raises OSError when the temporary file cannot take it (a full disk)."""
        cdef Py_ssize_t capacity
        cdef unsigned char* grown
        if self.file is None and self.size + size > self.threshold and self.whole is None:
            self._spill()
        if self.file is not None:
            return self._write(data, size)
        if self.whole is not None:
            memcpy(PyBytes_AS_STRING(self.whole) + self.size, data, size)
        else:
            if self.size + size > self.capacity:
                capacity = max(self.capacity * 2, self.size + size, <Py_ssize_t>1024)
                grown = <unsigned char*>PyMem_Realloc(self.memory, capacity)
                if grown == NULL:
                    raise MemoryError()
                self.memory = grown
                self.capacity = capacity
            memcpy(self.memory + self.size, data, size)
        self.size += size
        return 0

    cdef object finish(self):
        """The complete body as a binary file, at its start."""
        if self.file is not None:
            file = self.file
            self.file = None
            file.seek(0)
            return io.BufferedReader(file)
        if self.whole is not None:
            return io.BytesIO(self.whole)
        return io.BytesIO((<char*>self.memory)[:self.size])

    cdef int _spill(self) except -1:
        self.file = tempfile.TemporaryFile(buffering=0)
        self.file_fd = self.file.fileno()
        if self.size:
            self._write(self.memory, self.size)
            PyMem_Free(self.memory)
            self.memory = NULL
            self.size = 0
        return 0

    cdef int _write(self, const unsigned char* data, Py_ssize_t size) except -1:
        cdef ssize_t n
        cdef int error
        while size:
            with nogil:
                n = write(self.file_fd, data, size)
                error = errno
            if n < 0:
                if error == EINTR:
                    continue
                raise OSError(error, os.strerror(error))
            data += n
            size -= n
        return 0
