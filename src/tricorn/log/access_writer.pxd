# The writer of lines for compiled callers; access_writer.pyx says what it does and promises.

from tricorn.log.line_buffer cimport LineBuffer

cdef class LineWriter:
    cdef LineBuffer buffer      # appended to between `make_room` and `report`
    cdef int fd
    cdef long long dropped      # lines that are lost
    cdef bint _in_pieces
    cdef bint _mid_line
    cdef bint _torn
    cdef int _last_errno
    cdef long long _reported
    cdef double _reported_at

    cdef bint make_room(self) noexcept
    cdef void take_back(self, Py_ssize_t start) noexcept
    cdef int report(self) except -1
    cdef int flush(self) except -1
    cdef int forget(self) except -1
    cdef int reopen(self, int fd) except -1

    cdef void _write_out(self) noexcept
    cdef void _shrink(self) noexcept
    cdef Py_ssize_t _piece(self, Py_ssize_t begin) noexcept
    cdef bint _writable(self) noexcept
    cdef void _drop(self, Py_ssize_t begin, int reason) noexcept
    cdef void _look_at_fd(self) noexcept
