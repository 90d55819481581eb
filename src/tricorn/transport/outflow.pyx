"""Bytes and files that wait for a socket to take them.

It exists only while a client is behind; most responses never need one. Memory is shared with the pieces
that the application gave, nothing is copied.

Knows: descriptors. Must not know: HTTP, who waits, for how long.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memset

import os

from tricorn.transport.system cimport (
    EAGAIN, EINTR, MSG_NOSIGNAL, SHUT_RDWR, close, dup, errno, iovec, msghdr, off_t, sendfile, sendmsg, shutdown,
)

cdef enum:
    # A non-blocking send of less than this costs less than giving the GIL away and taking it back.
    SMALL = 32768
    # What sendfile is asked for at a time, so that one fast client cannot keep a thread for a whole file.
    FILE_STEP = 1 << 20
    FILE_STEPS = 4
    MOST_PARTS = 64         # that one system call takes from memory


cdef class FileSpan:
    def __cinit__(self):
        self.fd = -1

    def __dealloc__(self):
        if self.fd >= 0:
            close(self.fd)


cdef FileSpan new_span(int source, long long offset, long long size):
    cdef FileSpan span = FileSpan.__new__(FileSpan)
    span.offset = offset
    span.left = size
    span.fd = dup(source)
    if span.fd < 0:
        raise OSError(errno, os.strerror(errno))
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
    return span


cdef class Outflow:
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

    cdef int flush(self, int fd, bint* progress) except -2:
        """Send until the socket is full or nothing is left. Only one thread at a time may be in here."""
        cdef ssize_t n
        cdef int error
        cdef int steps = 0
        cdef FileSpan span
        self.sending = True
        try:
            while self.items:
                item = (<list>self.items)[0]
                if type(item) is not FileSpan:
                    n = self._send_pieces(fd, &error)
                    if self._was_cleared(item):
                        return FLOW_LOST
                    if n > 0:
                        progress[0] = True
                        self._sent(n)
                        continue
                else:
                    span = <FileSpan>item
                    n = _send_file(fd, span, &error)
                    if self._was_cleared(item):
                        return FLOW_LOST
                    if n > 0:
                        progress[0] = True
                        steps += 1
                        if span.left == 0:
                            del self.items[0]
                            self.files -= 1
                        elif steps == FILE_STEPS:
                            return FLOW_BLOCKED     # by courtesy: it is writable, and will be served again
                        continue
                    if n == 0:
                        return FLOW_LOST        # the file is shorter than it was: nothing can mend the length
                if n < 0 and error == EINTR:
                    continue
                return FLOW_BLOCKED if n < 0 and error == EAGAIN else FLOW_LOST
            return FLOW_EMPTY
        finally:
            self.sending = False
            if self.orphaned >= 0:
                close(self.orphaned)
                self.orphaned = -1

    cdef ssize_t _send_pieces(self, int fd, int* error) except -2:
        """Offer the socket what lies in memory in front of the next file. What send() would return."""
        cdef iovec parts[MOST_PARTS]
        cdef msghdr message
        cdef list kept = []         # the connection may clear its queue while we are in the system call
        cdef Py_ssize_t offset = self.offset
        cdef Py_ssize_t total = 0
        cdef int count = 0
        cdef ssize_t n
        for item in self.items:
            if type(item) is FileSpan or count == MOST_PARTS:
                break
            kept.append(item)
            parts[count] = iovec(PyBytes_AS_STRING(item) + offset, PyBytes_GET_SIZE(item) - offset)
            total += <Py_ssize_t>parts[count].iov_len
            count += 1
            offset = 0
        memset(&message, 0, sizeof(message))
        message.msg_iov = parts
        message.msg_iovlen = count
        if total < SMALL:
            n = sendmsg(fd, &message, MSG_NOSIGNAL)
            error[0] = errno
        else:
            with nogil:
                n = sendmsg(fd, &message, MSG_NOSIGNAL)
                error[0] = errno
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
        """The connection closes while a thread sends: the descriptor is closed when that thread is back."""
        self.orphaned = fd
        shutdown(fd, SHUT_RDWR)


cdef ssize_t _send_file(int fd, FileSpan span, int* error) noexcept:
    cdef off_t offset = span.offset
    cdef size_t step = <size_t>min(span.left, <long long>FILE_STEP)
    cdef ssize_t n
    with nogil:
        n = sendfile(fd, span.fd, &offset, step)    # may wait for a disk
        error[0] = errno
    if n > 0:
        span.offset += n
        span.left -= n
    return n
