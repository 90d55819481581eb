cimport cython
from tricorn.transport.wire cimport Layer

# What a flush came to.
cdef enum Flow:
    FLOW_LOST = -1      # the peer is gone
    FLOW_BLOCKED = 0    # the peer has to read first
    FLOW_EMPTY = 1      # all is sent

# A stretch of a file. Its descriptor is its own, and is closed with it; unless it shares that of another, which it keeps for that. What is not
# sent by the system but read may have none (-1): then it is opened when its turn comes.
@cython.final
@cython.no_gc
cdef class FileSpan:
    cdef int fd
    cdef long long offset
    cdef long long left
    cdef bint shares
    cdef FileSpan owner
    cdef object source      # … by whoever knows what this is

# … of the file `source`, by another descriptor. Raises OSError.
cdef FileSpan new_span(int source, long long offset, long long size)
# … by `fd`, which it takes over, also where this fails.
cdef FileSpan adopt_span(int fd, long long offset, long long size)
# Another stretch of the same file.
cdef FileSpan share_span(FileSpan owner, long long offset, long long size)
# One without a descriptor.
cdef FileSpan late_span(object source, long long offset, long long size)
# Whether one more may be kept open until it is sent: a quarter of the descriptors that this process may have is for files that wait.
cdef bint may_keep_open() noexcept

@cython.final
cdef class SendQueue:
    cdef list items             # bytes, FileSpan
    cdef Py_ssize_t offset      # sent bytes of the first item
    cdef readonly long long pending     # bytes in memory that are not sent
    cdef int files              # spans of files that are not sent
    cdef bint sending           # a thread is in a system call for this queue

    cdef ssize_t _send_pieces(self, int fd, Layer layer) except -3
    cdef ssize_t _send_file(self, int fd, Layer layer, FileSpan span) except -3
    cdef int _sent(self, ssize_t n) except -1

    cdef int orphaned           # a descriptor to close when the system call is over, else -1

    cdef bint _was_cleared(self, object item) noexcept
    cdef void orphan(self, int fd) noexcept
    cdef int add(self, bytes data, Py_ssize_t offset) except -1
    cdef int add_raw(self, const void* data, Py_ssize_t size) except -1
    cdef int add_span(self, FileSpan span) except -1
    cdef bint is_empty(self) noexcept
    cdef int flush(self, int fd, Layer layer, bint* progress) except -2
    cdef void clear(self) noexcept
