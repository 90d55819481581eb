from tricorn.gateway.request_builder cimport Peer
from tricorn.transport.system cimport sockaddr_storage

# Whose a connection is: of the client, and where it had connected, by the PROXY protocol (AF_UNSPEC: nobody says).
cdef struct Ends:
    sockaddr_storage source
    sockaddr_storage destination

# Put a client's descriptor, and whose it is, into the queue of its listener. False: it stays where it is.
cdef bint put_descriptor(int queue, int fd, Peer peer) noexcept
# Take one out: the descriptor, and whose it is, in the form that accept4() gives. -1: none, by errno.
cdef int take_descriptor(int queue, Ends* ends) noexcept
