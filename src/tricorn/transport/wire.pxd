from tricorn.transport.system cimport iovec

# What a call came to that moved no byte.
cdef enum:
    WIRE_AGAIN = -1     # nothing can be moved now: wait until the descriptor is ready
    WIRE_LOST = -2      # the peer is gone, or cannot be served any more

# What is known of a peer without reading.
cdef enum:
    PEER_STAYS
    PEER_ENDED          # it will send no more than what is here; perhaps it still reads
    PEER_LEFT           # it is gone

# What may stand between a descriptor and the bytes that a protocol sees. None stands there: they are the same.
cdef class Layer:
    # As the functions below.
    cdef ssize_t recv(self, int fd, void* place, size_t size) noexcept
    cdef ssize_t sendv(self, int fd, const iovec* parts, int count, size_t total) noexcept
    cdef ssize_t send_file(self, int fd, int source, long long offset, size_t size) noexcept
    # No more will be sent. 1; WIRE_AGAIN: it is behind with saying so, flush() and ask again; WIRE_LOST.
    cdef int end(self, int fd) noexcept
    # Bytes that were read from the descriptor and not taken yet: a poller does not see them.
    cdef bint has_buffered(self) noexcept
    # Whether something was taken to be sent that is not out yet, and sending it: 1: all of it is, WIRE_AGAIN, WIRE_LOST.
    cdef bint is_behind(self) noexcept
    cdef int flush(self) noexcept
    # Whether nothing is read before some of that is out: whoever watched for input would look in vain, again and again.
    cdef bint is_stalled(self) noexcept
    # The descriptor is about to be closed: when this returns, nobody uses it.
    cdef void detach(self) noexcept

# All of these return how many bytes were moved, WIRE_AGAIN or WIRE_LOST; wire_recv returns 0 at the end of what the peer sends.
# The GIL is needed. Large sends give it away: what the parts lie in must be held.
cdef ssize_t wire_recv(int fd, Layer layer, void* place, size_t size) noexcept
cdef ssize_t wire_send(int fd, Layer layer, const void* data, size_t size) noexcept
cdef ssize_t wire_sendv(int fd, Layer layer, const iovec* parts, int count, size_t total) noexcept
# A stretch of the file `source`; 0: it ends before `offset`.
cdef ssize_t wire_send_file(int fd, Layer layer, int source, long long offset, size_t size) noexcept
# … that goes into memory, to be sent with more than itself.
cdef ssize_t wire_pread(int source, void* place, size_t size, long long offset) noexcept
# Our side is over: what was sent is the whole. As Layer.end.
cdef int wire_end(int fd, Layer layer) noexcept
# Neither side gets through any more; who is in a system call with the descriptor comes back.
cdef void wire_cut(int fd) noexcept
# Closing it will be a reset: what the peer has is not the whole.
cdef void wire_make_abrupt(int fd) noexcept
# Whether the peer has sent what nobody has read yet, or the end of it.
cdef bint wire_has_input(int fd) noexcept
# Give the GIL away until the descriptor is readable or writable, at most `timeout_ms`.
cdef void wire_await_input(int fd, int timeout_ms) noexcept
cdef void wire_await_output(int fd, int timeout_ms) noexcept
# Whether the peer is still there, also where bytes of its own hide its end: a PEER_….
cdef int wire_peer(int fd) noexcept
# Count bytes here from now on: those that came, then those that were taken. As protocols see them: with TLS before it is put on, and after it
# is taken off. NULL: nowhere.
cdef void wire_count_at(long long* place) noexcept
