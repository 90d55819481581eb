"""Where the lines of the access log go: a buffer of whole lines, and the descriptor that takes them.

Knows: memory, write(2), poll(2), what kinds of files do with a write. Must not know: what a line says, which file
the descriptor belongs to, settings.

What it promises:

- Serving never fails or waits for it. Lines are appended in memory; a pipe, terminal or socket is written only when
  poll(2) says it takes bytes; what cannot be written is counted in `dropped` and reported once a minute.
- Lines are written whole. A regular file gets one write(2) for each flush (with O_APPEND: lines of several
  workers never mix); a pipe gets pieces of whole lines up to PIPE_BUF, which the kernel does not mix either.
  If a failure tears a line all the same, the next successful write starts on a new line.
"""

cimport cython
from libc.errno cimport EAGAIN, EINTR, EIO, ENOMEM, errno
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memchr, memmove
from posix.stat cimport S_ISREG, fstat, struct_stat
from posix.unistd cimport write

import logging
import os
import time

cdef extern from "<poll.h>":
    struct pollfd:
        int fd
        short events
        short revents
    int poll(pollfd* fds, unsigned long count, int timeout) nogil
    const short POLLOUT

cdef enum:
    # Some 400 lines of the combined format. nginx suggests the same size for its buffered logs.
    CAPACITY = 65536
    # A line that starts with less room than this flushes first: most lines then fit without growing the buffer.
    RESERVE = 8192
    # PIPE_BUF of Linux: a write to a pipe up to this size is atomic, and does not block after POLLOUT.
    PIPE_PIECE = 4096

cdef double REPORT_INTERVAL = 60.0


@cython.no_gc
@cython.final
cdef class LineWriter:
    """Writes lines to `fd`, which stays the caller's."""

    def __cinit__(self, int fd):
        self.buffer.data = <char*>malloc(CAPACITY)
        if self.buffer.data == NULL:
            raise MemoryError()
        self.buffer.capacity = CAPACITY
        self.buffer.used = 1  # byte 0 is kept for the line break that a torn line needs
        self._reported_at = -REPORT_INTERVAL
        self.fd = fd
        self._look_at_fd()

    def __dealloc__(self):
        free(self.buffer.data)

    cdef bint make_room(self) noexcept:
        """Called before a line is appended. If it returns True, it has written, and `report` is due after the line."""
        if self.buffer.used <= CAPACITY - RESERVE:
            return False
        self._write_out()
        if self.buffer.used > CAPACITY - RESERVE:
            self._drop(1, EAGAIN)  # nobody reads the pipe: the oldest lines go, memory stays bounded
        return True

    cdef void take_back(self, Py_ssize_t start) noexcept:
        """There was no memory for the whole of the line that begins at `start`."""
        self.buffer.used = start
        self.dropped += 1
        self._last_errno = ENOMEM

    cdef int flush(self) except -1:
        """Write what can be written without waiting. Raises nothing; counts and reports what is lost."""
        if self.buffer.used > 1:
            self._write_out()
        return self.report()

    cdef int forget(self) except -1:
        """Drop what is buffered: in a copy of the process that it belongs to, which writes it itself."""
        self.buffer.used = min(self.buffer.used, <Py_ssize_t>1)
        self._mid_line = self._torn = False
        return 0

    cdef int reopen(self, int fd) except -1:
        """Write what is buffered to the old descriptor and use `fd` from now on. The caller closes the old one."""
        cdef char* end
        self.flush()
        if self._mid_line and self.buffer.used > 1:
            # The old file has the first half of this line; the second half alone says nothing in the new one.
            end = <char*>memchr(self.buffer.data + 1, c'\n', self.buffer.used - 1)
            self.buffer.used -= end - self.buffer.data
            memmove(self.buffer.data + 1, end + 1, self.buffer.used - 1)
            self.dropped += 1
        self.fd = fd
        self._mid_line = self._torn = False
        self._look_at_fd()
        return 0

    cdef int report(self) except -1:
        """Say in the error log, once a minute, how many lines were lost, if any. Called between two lines only."""
        if self.dropped == self._reported:
            return 0
        now = time.monotonic()
        if now - self._reported_at < REPORT_INTERVAL:
            return 0
        lost = self.dropped - self._reported
        self._reported = self.dropped
        self._reported_at = now
        logger = logging.getLogger("tricorn.error")
        try:
            logger.warning("Access log: %d lines lost: %s", lost, os.strerror(self._last_errno))
        except Exception:
            # A foreign handler or filter failed. Serving goes on; the lines stay counted for the next report.
            self._reported -= lost
        return 0

    cdef void _look_at_fd(self) noexcept:
        cdef struct_stat status
        self._in_pieces = fstat(self.fd, &status) < 0 or not S_ISREG(status.st_mode)

    cdef void _write_out(self) noexcept:
        """Write the buffer, which holds whole lines but perhaps for the rest of a first one; keep what must wait.

        The GIL is held: a regular file takes 64 KiB into the page cache in some 20 µs, others are asked by poll.
        """
        cdef Py_ssize_t begin = 0 if self._torn else 1
        cdef Py_ssize_t written
        self.buffer.data[0] = c'\n'
        while begin < self.buffer.used:
            if self._in_pieces and not self._writable():
                break
            written = write(self.fd, self.buffer.data + begin, self._piece(begin))
            if written > 0:
                begin += written
                self._torn = False
                self._mid_line = self.buffer.data[begin - 1] != c'\n'
            elif written < 0 and errno == EINTR:
                continue
            elif written < 0 and errno == EAGAIN:
                break
            else:
                self._drop(max(begin, 1), errno if written < 0 else EIO)
                return
        begin = max(begin, 1)
        memmove(self.buffer.data + 1, self.buffer.data + begin, self.buffer.used - begin)
        self.buffer.used -= begin - 1
        self._shrink()

    cdef void _shrink(self) noexcept:
        """Give back what one long line took, once it is written."""
        cdef char* smaller
        if self.buffer.capacity > CAPACITY and self.buffer.used <= CAPACITY - RESERVE:
            smaller = <char*>realloc(self.buffer.data, CAPACITY)
            if smaller != NULL:
                self.buffer.data = smaller
                self.buffer.capacity = CAPACITY

    cdef Py_ssize_t _piece(self, Py_ssize_t begin) noexcept:
        """How much of the buffer the next write takes."""
        cdef Py_ssize_t length = self.buffer.used - begin, end
        if not self._in_pieces or length <= PIPE_PIECE:
            return length
        end = PIPE_PIECE
        while end > 1 and self.buffer.data[begin + end - 1] != c'\n':
            end -= 1
        return end if end > 1 else <Py_ssize_t>PIPE_PIECE

    cdef bint _writable(self) noexcept:
        cdef pollfd waiting
        waiting.fd = self.fd
        waiting.events = POLLOUT
        waiting.revents = 0
        # A closed reader or descriptor counts as writable: write(2) then names the failure.
        return poll(&waiting, 1, 0) != 0

    cdef void _drop(self, Py_ssize_t begin, int reason) noexcept:
        """Give up the lines from `begin` on."""
        cdef Py_ssize_t at
        for at in range(begin, self.buffer.used):
            self.dropped += self.buffer.data[at] == c'\n'
        self.buffer.used = 1
        self._torn = self._torn or self._mid_line
        self._mid_line = False
        self._last_errno = reason
        self._shrink()
