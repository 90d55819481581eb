from tricorn.transport.kernel_tls cimport KernelTLS
from tricorn.transport.system cimport iovec, off_t

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass

# What an operation comes to where it is not a number of bytes.
cdef enum Outcome:
    WIRE_DONE = 1
    WIRE_END = 0        # the peer has said that nothing follows (close_notify)
    WIRE_BLOCKED = -1   # not now: wants() says what to wait for
    WIRE_CUT = -2       # the socket ended without close_notify, or is broken
    WIRE_BROKEN = -3    # what came is not TLS, or not acceptable: `reason` says why
    WIRE_RAISED = -9    # never returned: an exception

# Ciphertext between a descriptor and an engine. Nothing in it needs the GIL.
cdef struct Line:
    int fd                  # not ours; -1: given up
    int error               # errno of what broke the socket
    size_t left             # bytes that this operation may still read
    bint dry                # the last read took all that was there
    bint starved            # there was nothing for a further one
    bint at_end             # the peer has closed its side
    bint corked             # what is written waits for the next flush
    bint begun              # something was received …
    bint is_text            # … and it is no TLS, in which no record begins with a letter
    char* first             # bytes that were read before TLS began …
    size_t first_at
    size_t first_end        # … of which these are left
    char* staged            # where what is written is put together, to leave with one call; NULL: nowhere …
    size_t staged_end       # … and how much of that is taken
    char* unsent            # what the socket did not take …
    size_t unsent_at
    size_t unsent_end       # … of which these are left
    size_t unsent_room
    KernelTLS* kernel       # which encrypts what is sent; NULL: the engine does
    bint refused            # the peer wants other keys than the kernel has

cdef class TLSWire:
    cdef Line line
    cdef pthread_mutex_t lock
    cdef object tls             # ssl.SSLObject
    cdef bint established       # the handshake is done
    cdef bint closing           # close_notify is on its way
    cdef bint more
    cdef bint kept              # the goodbye is with the kernel, which has not got rid of it
    cdef int failed             # WIRE_CUT, WIRE_BROKEN: how it ended, for good

    cdef int handshake_step(self) except -9
    cdef Py_ssize_t recv(self, char* into, Py_ssize_t size) except -9
    cdef Py_ssize_t sendv(self, const iovec* parts, int count) except -9
    cdef Py_ssize_t sendfile(self, int source, off_t* offset, size_t size) except -9
    cdef int flush(self) except -9
    cdef int shutdown(self) except -9
    cdef int detach(self) except -9
    cdef bint has_buffered(self) noexcept
    cdef bint has_unsent(self) noexcept
    cdef bint is_stalled(self) noexcept
    cdef int wants(self) noexcept

    # What an engine fills in. The lock is held.
    cdef int _shake(self) except -9
    cdef Py_ssize_t _open(self, char* into, Py_ssize_t size) except -9
    cdef Py_ssize_t _seal(self, const iovec* parts, int count, size_t total) except -9
    cdef int _say_goodbye(self) except -9
    cdef bint _owes_keys(self) noexcept

    cdef int _enter(self) noexcept
    cdef int _leave(self) noexcept
    cdef Py_ssize_t _hand_over(self, const iovec* parts, int count, size_t total) noexcept
    cdef Py_ssize_t _hand_over_file(self, int source, off_t* offset, size_t size) noexcept
    cdef int _end_for_keys(self) noexcept
    cdef Py_ssize_t _sort_kernel(self, Py_ssize_t n, int error) noexcept
    cdef int _sort(self) noexcept
    cdef int _flush_line(self) noexcept

# `first`: bytes of the peer that were read from the descriptor before.
# Raises what SSLContext.wrap_bio() raises, OSError, MemoryError.
cdef TLSWire new_wire(object context, int fd, bint server_side, bytes first)
