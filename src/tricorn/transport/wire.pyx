"""How bytes come from a client and go to it: the only place where a client's descriptor is read or written.

Knows: descriptors, system calls. Must not know: what the bytes mean, who sends them.
"""

from libc.string cimport memset

from tricorn.transport.system cimport (
    EAGAIN, EINTR, MSG_NOSIGNAL, POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP, SHUT_RDWR, SHUT_WR, SO_LINGER, SOL_SOCKET, errno,
    iovec, linger, msghdr, off_t, poll, pollfd, pread, recv, send, sendfile, sendmsg, setsockopt, shutdown,
)

cdef enum:
    # A system call that moves less than this costs less than giving the GIL away and taking it back.
    SMALL = 32768

# Where bytes are counted that came, and that were taken: always somewhere, because an addition is cheaper than to ask. A process is one worker.
cdef long long[2] nowhere
cdef long long* counts = nowhere


cdef void wire_count_at(long long* place) noexcept:
    global counts
    counts = place if place != NULL else nowhere


# Of what a layer returns.
cdef inline ssize_t _came(ssize_t n) noexcept:
    if n > 0:
        counts[0] += n
    return n


cdef inline ssize_t _taken(ssize_t n) noexcept:
    if n > 0:
        counts[1] += n
    return n


cdef class Layer:
    cdef ssize_t recv(self, int fd, void* place, size_t size) noexcept:
        return WIRE_LOST

    cdef ssize_t sendv(self, int fd, const iovec* parts, int count, size_t total) noexcept:
        return WIRE_LOST

    cdef ssize_t send_file(self, int fd, int source, long long offset, size_t size) noexcept:
        return WIRE_LOST

    cdef int end(self, int fd) noexcept:
        shutdown(fd, SHUT_WR)

    cdef bint has_buffered(self) noexcept:
        return False

    cdef bint is_behind(self) noexcept:
        return False

    cdef int flush(self) noexcept:
        return 1

    cdef bint is_stalled(self) noexcept:
        return False

    cdef void detach(self) noexcept:
        return


cdef ssize_t wire_recv(int fd, Layer layer, void* place, size_t size) noexcept:
    cdef ssize_t n
    if layer is not None:
        return _came(layer.recv(fd, place, size))
    n = recv(fd, place, size, 0)
    if n < 0:
        return _failed(errno)
    counts[0] += n
    return n


cdef ssize_t wire_send(int fd, Layer layer, const void* data, size_t size) noexcept:
    cdef iovec part
    cdef ssize_t n
    if layer is not None or size >= SMALL:
        part = iovec(<void*>data, size)
        return wire_sendv(fd, layer, &part, 1, size)
    n = send(fd, data, size, MSG_NOSIGNAL)
    if n < 0:
        return _failed(errno)
    counts[1] += n
    return n


cdef ssize_t wire_sendv(int fd, Layer layer, const iovec* parts, int count, size_t total) noexcept:
    cdef msghdr message
    cdef ssize_t n
    cdef int error
    if layer is not None:
        return _taken(layer.sendv(fd, parts, count, total))
    memset(&message, 0, sizeof(message))
    message.msg_iov = <iovec*>parts
    message.msg_iovlen = count
    if total < SMALL:
        n = sendmsg(fd, &message, MSG_NOSIGNAL)
        error = errno
    else:
        with nogil:
            n = sendmsg(fd, &message, MSG_NOSIGNAL)
            error = errno
    if n < 0:
        return _failed(error)
    counts[1] += n
    return n


cdef ssize_t wire_send_file(int fd, Layer layer, int source, long long offset, size_t size) noexcept:
    cdef off_t position = offset
    cdef ssize_t n
    cdef int error
    if layer is not None:
        return _taken(layer.send_file(fd, source, offset, size))
    with nogil:
        n = sendfile(fd, source, &position, size)       # may wait for a disk
        error = errno
    if n < 0:
        return _failed(error)
    counts[1] += n
    return n


cdef ssize_t wire_pread(int source, void* place, size_t size, long long offset) noexcept:
    cdef ssize_t n
    cdef int error
    with nogil:
        n = pread(source, place, size, offset)      # may wait for a disk
        error = errno
    return n if n >= 0 else _failed(error)


cdef ssize_t _failed(int error) noexcept:
    return WIRE_AGAIN if error == EAGAIN or error == EINTR else WIRE_LOST


cdef int wire_end(int fd, Layer layer) noexcept:
    if layer is not None:
        return layer.end(fd)
    shutdown(fd, SHUT_WR)
    return 1


cdef void wire_cut(int fd) noexcept:
    shutdown(fd, SHUT_RDWR)


cdef void wire_make_abrupt(int fd) noexcept:
    cdef linger option
    option.l_onoff = 1
    option.l_linger = 0
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &option, sizeof(option))


cdef bint wire_has_input(int fd) noexcept:
    cdef pollfd waiting = pollfd(fd, POLLIN, 0)
    return poll(&waiting, 1, 0) > 0 and waiting.revents & POLLIN != 0


cdef void wire_await_input(int fd, int timeout_ms) noexcept:
    cdef pollfd waiting = pollfd(fd, POLLIN, 0)
    with nogil:
        poll(&waiting, 1, timeout_ms)


cdef void wire_await_output(int fd, int timeout_ms) noexcept:
    cdef pollfd waiting = pollfd(fd, POLLOUT, 0)
    with nogil:
        poll(&waiting, 1, timeout_ms)


cdef int wire_peer(int fd) noexcept:
    cdef pollfd peer = pollfd(fd, POLLRDHUP, 0)
    if poll(&peer, 1, 0) <= 0:
        return PEER_STAYS
    return PEER_LEFT if peer.revents & (POLLHUP | POLLERR) else PEER_ENDED
