"""Which descriptors are ready: epoll behind the interface that another poller would have to offer.

Level-triggered: a descriptor stays ready until what made it ready is dealt with, so an event that one
thread has fetched but not yet served is still there for the others to see.

Knows: epoll. Must not know: connections.
"""

from tricorn.transport.system cimport (
    EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLEXCLUSIVE, EPOLLIN, EPOLLOUT,
    close, epoll_create1, epoll_ctl, epoll_event, epoll_wait, errno,
)

import os

cdef enum:
    BATCH = 64


cdef class Poller:
    def __cinit__(self):
        cdef epoll_event event
        self.gate = -1
        self.fd = epoll_create1(EPOLL_CLOEXEC)
        if self.fd < 0:
            raise OSError(errno, os.strerror(errno))
        self.gate = epoll_create1(EPOLL_CLOEXEC)
        event.events = EPOLLIN
        event.data.u64 = 0
        if self.gate < 0 or epoll_ctl(self.gate, EPOLL_CTL_ADD, self.fd, &event) < 0:
            raise OSError(errno, os.strerror(errno))

    def __dealloc__(self):
        self.forsake()

    cdef void forsake(self) noexcept:
        """Give up this process's descriptors of it. Who shares it notices nothing; here, changes have no effect any more."""
        if self.gate >= 0:
            close(self.gate)
        if self.fd >= 0:
            close(self.fd)
        self.gate = self.fd = -1

    cdef int _control(self, int operation, int fd, unsigned int events, unsigned long long token) except -1:
        cdef epoll_event event
        event.events = events
        event.data.u64 = token
        if epoll_ctl(self.fd, operation, fd, &event) < 0 and self.fd >= 0:
            raise OSError(errno, os.strerror(errno))
        return 0

    cdef int add(self, int fd, int interest, unsigned long long token) except -1:
        return self._control(EPOLL_CTL_ADD, fd, _mask(interest), token)

    cdef int add_listener(self, int fd, unsigned long long token) except -1:
        """As `add`, for a socket that other processes wait on too: not all of them are woken."""
        return self._control(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLEXCLUSIVE, token)

    cdef int modify(self, int fd, int interest, unsigned long long token) except -1:
        return self._control(EPOLL_CTL_MOD, fd, _mask(interest), token)

    cdef void remove(self, int fd) noexcept:
        """Cannot fail for a descriptor that is watched, and whoever closes one must not be held up."""
        cdef epoll_event event
        epoll_ctl(self.fd, EPOLL_CTL_DEL, fd, &event)

    cdef int fetch(self, Event* events, int room, int timeout_ms) noexcept nogil:
        """Fetch ready descriptors, at most `room`. Timeout -1: for ever. Returns how many; 0 if interrupted."""
        cdef epoll_event found[BATCH]
        cdef int n = epoll_wait(self.fd, found, min(room, <int>BATCH), timeout_ms)
        cdef int i
        for i in range(n):
            events[i].token = found[i].data.u64
        return n if n > 0 else 0

    cdef int wait(self, int timeout_ms) noexcept nogil:
        """Wait until there is something to fetch, without fetching it. Returns whether there is."""
        cdef epoll_event found
        return epoll_wait(self.gate, &found, 1, timeout_ms) > 0


cdef inline unsigned int _mask(int interest) noexcept:
    cdef unsigned int mask = 0
    if interest & READ:
        mask |= EPOLLIN
    if interest & WRITE:
        mask |= EPOLLOUT
    return mask
