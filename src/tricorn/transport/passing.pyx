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
    cdef sockaddr_storage address
    return _write_address(&address, peer) and tricorn_send_fd(queue, fd, &address, sizeof(address)) == 0


cdef int take_descriptor(int queue, sockaddr_storage* address) noexcept:
    # Where no descriptor is free the kernel would drop the one that comes.
    cdef int spare = dup(queue)
    if spare < 0:
        return -1
    close(spare)
    return tricorn_receive_fd(queue, address, sizeof(sockaddr_storage))


cdef bint _write_address(sockaddr_storage* address, Peer peer) noexcept:
    cdef sockaddr_in* v4 = <sockaddr_in*>address
    cdef sockaddr_in6* v6 = <sockaddr_in6*>address
    cdef bytes text
    memset(address, 0, sizeof(sockaddr_storage))
    if peer.host is None:
        address.ss_family = AF_UNIX
        return True
    text = peer.host.encode()
    if inet_pton(AF_INET, text, &v4.sin_addr) == 1:
        address.ss_family = AF_INET
        v4.sin_port = htons(<unsigned short>peer.number)
        return True
    if inet_pton(AF_INET6, text, &v6.sin6_addr) == 1:
        address.ss_family = AF_INET6
        v6.sin6_port = htons(<unsigned short>peer.number)
        return True
    return False
