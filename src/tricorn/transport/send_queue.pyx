"""Bytes and files that wait for a socket to take them.

It exists only while a client is behind; most responses never need one. Memory is shared with the pieces
that the application gave, nothing is copied.

Knows: descriptors. Must not know: HTTP, who waits, for how long.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE

import os

from tricorn.transport.system cimport close, dup, errno, iovec
from tricorn.transport.wire cimport WIRE_AGAIN, Layer, wire_cut, wire_send_file, wire_sendv

cdef extern from "<sys/resource.h>" nogil:
    int RLIMIT_NOFILE
    struct rlimit:
        unsigned long long rlim_cur
    int getrlimit(int, rlimit*)

cdef enum:
    # What the system is asked to send of a file at a time, so that one fast client cannot keep a thread for a whole file.
    FILE_STEP = 1 << 20
    FILE_STEPS = 4
    MOST_PARTS = 64         # that one system call takes from memory
    # So many files may wait in any case; it saves asking how many may.
    FEW = 16


@cython.final
@cython.no_gc       # its owner has none
cdef class FileSpan:
    def __cinit__(self):
        self.fd = -1

    def __dealloc__(self):
        if self.fd >= 0 and not self.shares:
            close(self.fd)
            _note_open(-1)


# Descriptors of files that wait.
cdef long long open_files = 0


cdef void _note_open(int change) noexcept:
    global open_files
    open_files += change


cdef bint may_keep_open() noexcept:
    cdef rlimit limit
    if open_files < FEW or getrlimit(RLIMIT_NOFILE, &limit) < 0:
        return True
    return <unsigned long long>open_files < limit.rlim_cur // 4


cdef FileSpan new_span(int source, long long offset, long long size):
    cdef FileSpan span = FileSpan.__new__(FileSpan)
    span.offset = offset
    span.left = size
    span.fd = dup(source)
    if span.fd < 0:
        raise OSError(errno, os.strerror(errno))
    _note_open(1)
    return span


cdef FileSpan adopt_span(int fd, long long offset, long long size):
    cdef FileSpan span
    try:
        span = FileSpan.__new__(FileSpan)
    except MemoryError:
        close(fd)
        raise
    span.fd = fd
    span.offset = offset
    span.left = size
    _note_open(1)
    return span


cdef FileSpan share_span(FileSpan owner, long long offset, long long size):
    cdef FileSpan span = FileSpan.__new__(FileSpan)
    span.shares = True
    span.owner = owner
    span.fd = owner.fd
    span.offset = offset
    span.left = size
    return span


cdef FileSpan late_span(object source, long long offset, long long size):
    cdef FileSpan span = FileSpan.__new__(FileSpan)
    span.source = source
    span.offset = offset
    span.left = size
    return span


@cython.final
cdef class SendQueue:
    def __cinit__(self):
        self.items = []
        self.orphaned = -1

    cdef int add(self, bytes data, Py_ssize_t offset) except -1:
        """Queue data[offset:]."""
        if not self.items:
            self.offset = offset
        elif offset:
            data = data[offset:]
            offset = 0
        self.items.append(data)
        self.pending += PyBytes_GET_SIZE(data) - offset
        return 0

    cdef int add_raw(self, const void* data, Py_ssize_t size) except -1:
        return self.add(PyBytes_FromStringAndSize(<const char*>data, size), 0)

    cdef int add_span(self, FileSpan span) except -1:
        self.items.append(span)
        self.files += 1
        return 0

    cdef bint is_empty(self) noexcept:
        return len(self.items) == 0

    cdef void clear(self) noexcept:
        self.items = []
        self.offset = 0
        self.pending = 0
        self.files = 0

    cdef int flush(self, int fd, Layer layer, bint* progress) except -2:
        """Send until the socket is full or nothing is left. Only one thread at a time may be in here."""
        cdef ssize_t n
        cdef int steps = 0
        cdef bint is_file
        self.sending = True
        try:
            while self.items:
                item = (<list>self.items)[0]
                is_file = type(item) is FileSpan
                n = self._send_file(fd, layer, <FileSpan>item) if is_file else self._send_pieces(fd, layer)
                if self._was_cleared(item):
                    return FLOW_LOST
                if n <= 0:
                    # A file that is shorter than it was: nothing can mend the length.
                    return FLOW_BLOCKED if n == WIRE_AGAIN else FLOW_LOST
                progress[0] = True
                if not is_file:
                    self._sent(n)
                    continue
                steps += 1
                if (<FileSpan>item).left == 0:
                    del self.items[0]
                    self.files -= 1
                elif steps == FILE_STEPS:
                    return FLOW_BLOCKED     # by courtesy: it is writable, and will be served again
            # What a layer has taken may not be out, although nothing waits here any more.
            return FLOW_EMPTY
        finally:
            self.sending = False
            if self.orphaned >= 0:
                close(self.orphaned)
                self.orphaned = -1

    cdef ssize_t _send_pieces(self, int fd, Layer layer) except -3:
        """Offer the socket what lies in memory in front of the next file. As wire_sendv."""
        cdef iovec parts[MOST_PARTS]
        cdef list kept = []         # the connection may clear its queue while we are in the system call
        cdef Py_ssize_t offset = self.offset
        cdef Py_ssize_t total = 0
        cdef int count = 0
        for item in self.items:
            if type(item) is FileSpan or count == MOST_PARTS:
                break
            kept.append(item)
            parts[count] = iovec(PyBytes_AS_STRING(item) + offset, PyBytes_GET_SIZE(item) - offset)
            total += <Py_ssize_t>parts[count].iov_len
            count += 1
            offset = 0
        return wire_sendv(fd, layer, parts, count, total)

    cdef ssize_t _send_file(self, int fd, Layer layer, FileSpan span) except -3:
        cdef ssize_t n = wire_send_file(fd, layer, span.fd, span.offset, <size_t>min(span.left, <long long>FILE_STEP))
        if n > 0:
            span.offset += n
            span.left -= n
        return n

    cdef int _sent(self, ssize_t n) except -1:
        """Forget the first n bytes. (Deleting needs no memory; pop() may, and what was sent must not be sent again.)"""
        cdef Py_ssize_t left
        self.pending -= n
        while n:
            left = PyBytes_GET_SIZE((<list>self.items)[0]) - self.offset
            if n < left:
                self.offset += n
                return 0
            n -= left
            self.offset = 0
            del self.items[0]
        return 0

    cdef bint _was_cleared(self, object item) noexcept:
        """Whether, while we were in a system call, the connection gave up what it had queued."""
        return len(self.items) == 0 or (<list>self.items)[0] is not item

    cdef void orphan(self, int fd) noexcept:
        """The channel closes while a thread sends: the descriptor is closed when that thread is back."""
        self.orphaned = fd
        wire_cut(fd)
