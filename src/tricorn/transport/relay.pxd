cimport cython
from tricorn.transport.channel cimport Channel, Protocol
from tricorn.transport.thread_context cimport ThreadContext

@cython.final
cdef class Relay:
    cdef RelayEnd client, application
    cdef Protocol behind            # whose the client's channel was before, which hears of a drain
    cdef str label                  # what it is, for the log
    cdef bint busy                  # a thread carries bytes for it
    cdef long long ends_at          # CLOCK_MONOTONIC, ns, if nothing comes of the application meanwhile; 0: when that ends it

    # The application has said all that it had to say, and may read on for a while.
    cdef int end_soon(self, long long now) except -1
    cdef int serve(self, ThreadContext thread) except -1
    cdef int _finish(self, ThreadContext thread) except -1
    cdef int _watch(self) except -1
    cdef void _part(self) noexcept

# One of the two channels.
@cython.final
cdef class RelayEnd(Protocol):
    cdef Relay relay
    cdef RelayEnd other
    cdef bint at_end                # nothing more comes from it
    cdef bint is_told               # that nothing more comes from the other one
    cdef bint is_still              # nothing came from it when it was last looked at

    cdef int _carry(self) except -1
    cdef int _tell(self) except -1

# From here on `client` and the descriptor `fd`, which becomes a channel, say what the other one does, `first` before all else. Nobody deals
# with the client's channel, or the thread that does leaves it alone from here on.
cdef int begin_relay(Channel client, int fd, bytes first, str label, Protocol behind) except -1
