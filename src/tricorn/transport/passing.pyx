"""Connections that a busy worker passes on to an idle one.

The plan. Beside each plain listener lies a second queue, a pair of connected sockets, which all its workers share as they share the
listener, and the master holds as well. A worker whose threads are all in the application puts a connection there when its
next request arrives, with nothing of that read; whoever takes new connections takes these in the same way. So a worker that is
just leaving has nothing to refuse: what it does not take another one takes, the one that has put it there among them.

Guarantees: a connection is in one worker or in the queue; the queue outlives every worker.

Knows: descriptors that travel. Must not know: who is busy, protocols.
"""

from libc.string cimport memset

from tricorn.gateway.request_builder cimport Peer
from tricorn.transport.system cimport (
    AF_INET, AF_INET6, AF_UNIX, close, dup, htons, inet_pton, sockaddr_in, sockaddr_in6, sockaddr_storage,
    tricorn_receive_fd, tricorn_send_fd,
)


cdef bint put_descriptor(int queue, int fd, Peer peer) noexcept:
    cdef Ends ends
    memset(&ends, 0, sizeof(ends))
    if peer.host is None:
        ends.source.ss_family = AF_UNIX
    elif not _write_address(&ends.source, peer.host, peer.number):
        return False
    if peer.destination is not None and not _write_address(&ends.destination, peer.destination[0], peer.destination[1]):
        return False
    return tricorn_send_fd(queue, fd, &ends, sizeof(ends)) == 0


cdef int take_descriptor(int queue, Ends* ends) noexcept:
    # Where no descriptor is free the kernel would drop the one that comes.
    cdef int spare = dup(queue)
    if spare < 0:
        return -1
    close(spare)
    return tricorn_receive_fd(queue, ends, sizeof(Ends))


cdef bint _write_address(sockaddr_storage* address, str host, int port) noexcept:
    cdef sockaddr_in* v4 = <sockaddr_in*>address
    cdef sockaddr_in6* v6 = <sockaddr_in6*>address
    cdef bytes text = host.encode()
    if inet_pton(AF_INET, text, &v4.sin_addr) == 1:
        address.ss_family = AF_INET
        v4.sin_port = htons(<unsigned short>port)
        return True
    if inet_pton(AF_INET6, text, &v6.sin6_addr) == 1:
        address.ss_family = AF_INET6
        v6.sin6_port = htons(<unsigned short>port)
        return True
    return False
