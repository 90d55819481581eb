from tricorn.gateway.request_builder cimport Peer
from tricorn.transport.system cimport sockaddr_storage

# Put a client's descriptor, and who the client is, into the queue of its listener. False: it stays where it is.
cdef bint put_descriptor(int queue, int fd, Peer peer) noexcept
# Take one out: the descriptor, and the address in the form that accept4() gives. -1: none, by errno.
cdef int take_descriptor(int queue, sockaddr_storage* address) noexcept
