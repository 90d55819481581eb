"""Where a request body waits until it is complete: in memory, or in an unlinked temporary file.

The plan. Each body may have a little memory unasked (`small`). One that outgrows it takes from the budget that all bodies of a
worker share: its whole length if that is known, else twice what it has, again and again. When the budget does not
allow that, the body moves to a file, and its memory collects what comes into large writes.

Guarantees: the bodies of a worker together never hold more than the budget and `small` for each of them; memory is taken for
bytes that have come, or belong to a body of which more than `small` has come; a store that goes, for whatever reason, gives
back what it took.

Everything here needs the GIL but the system call that writes to a file, and a store has one owner at a time.

Knows: bytes, memory, temporary files. Must not know: HTTP, connections.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, _PyBytes_Resize
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.string cimport memcpy

from tricorn.transport.system cimport EINTR, errno, write

import io
import os
import tempfile

cdef enum:
    # The first allocation for a body of unknown length.
    FIRST = 1024
    # What is collected before it is written to a file: at least, since `small` may be nothing, and at most.
    LEAST_WRITE = 16384
    MOST_WRITE = 262144


cdef class Budget:
    def __cinit__(self, Py_ssize_t size):
        self.left = size


cdef BodyStore new_store(Budget budget, Py_ssize_t small, long long expected):
    """A store for `expected` bytes (-1: unknown) that may hold `small` of them without asking the budget."""
    cdef BodyStore store = BodyStore.__new__(BodyStore)
    store.budget = budget
    store.small = small
    store.expected = expected
    if 0 <= expected <= small:
        store._resize(<Py_ssize_t>expected)
    return store


cdef class BodyStore:
    def __cinit__(self):
        self.file_fd = -1

    def __dealloc__(self):
        Py_XDECREF(self.content)
        if self.budget is not None:
            self.budget.left += self.taken
        if self.file is not None:
            self.file.close()

    cdef int add(self, const unsigned char* data, Py_ssize_t size) except -1:
        """Raises OSError when the temporary file cannot take it (a full disk)."""
        if self.size + size > self.capacity and not self._grow(self.size + size):
            self._flush()
            if size >= self.capacity:
                return self._write(data, size)
        memcpy(PyBytes_AS_STRING(<object>self.content) + self.size, data, size)
        self.size += size
        return 0

    cdef unsigned char* room(self, Py_ssize_t* size) except? NULL:
        """Where the next bytes of a body of known length can be put; whoever does so adds to `self.size`.

        Nowhere (size 0) while there is too little memory for that: then they are to be added. Raises OSError as add() does.
        """
        size[0] = 0
        if self.file is not None:
            if self.size == self.capacity:
                self._flush()
        elif self.expected < 0 or self.capacity != self.expected:
            return NULL
        size[0] = self.capacity - self.size
        return <unsigned char*>PyBytes_AS_STRING(<object>self.content) + self.size

    cdef object finish(self):
        """The complete body as a binary file, at its start. Raises OSError as add() does."""
        cdef bytes body
        if self.file is not None:
            self._flush()
            file = self.file
            self.file = None
            file.seek(0)
            return io.BufferedReader(file)
        if self.content == NULL:
            return io.BytesIO()
        if self.size != self.capacity:
            self._resize(self.size)
        body = <bytes>self.content
        Py_XDECREF(self.content)
        self.content = NULL
        return io.BytesIO(body)     # shares the object, unless somebody writes to it

    cdef bint is_large(self) noexcept:
        """Whether its body should be closed when the request is over, not whenever its last reference goes."""
        return self.taken != 0 or self.file_fd >= 0

    cdef bint _grow(self, Py_ssize_t needed) except -1:
        """Have memory for `needed` bytes. False: they belong into the file, which is open."""
        cdef Py_ssize_t capacity = max(self.capacity * 2, needed, <Py_ssize_t>FIRST)
        if self.file is not None:
            return False
        if needed <= self.small:
            self._resize(min(capacity, self.small))
            return True
        if self.expected >= 0:
            capacity = <Py_ssize_t>self.expected
        if capacity - self.taken > self.budget.left:
            self._spill()
            return False
        self.budget.left -= capacity - self.taken
        self.taken = capacity
        self._resize(capacity)
        return True

    cdef int _resize(self, Py_ssize_t capacity) except -1:
        cdef bytes fresh
        if self.content == NULL:
            fresh = PyBytes_FromStringAndSize(NULL, capacity)
            Py_INCREF(fresh)
            self.content = <PyObject*>fresh
        else:
            self.capacity = 0       # when this fails, nothing is left
            _PyBytes_Resize(&self.content, capacity)
        self.capacity = capacity
        return 0

    cdef int _spill(self) except -1:
        """Go on in a file; what is in memory goes there, and what was taken is given back."""
        self.file = tempfile.TemporaryFile(buffering=0)
        self.file_fd = self.file.fileno()
        self._flush()
        self._resize(max(min(self.small, <Py_ssize_t>MOST_WRITE), <Py_ssize_t>LEAST_WRITE))
        self.budget.left += self.taken
        self.taken = 0
        return 0

    cdef int _flush(self) except -1:
        """Write what was collected."""
        cdef Py_ssize_t size = self.size
        if size == 0:
            return 0
        self.size = 0
        return self._write(<const unsigned char*>PyBytes_AS_STRING(<object>self.content), size)

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
