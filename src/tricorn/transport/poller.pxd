cdef enum:
    READ = 1
    WRITE = 2

# A descriptor that is ready. The token is what it was registered with.
cdef struct Event:
    unsigned long long token

cdef class Poller:
    cdef readonly int fd        # of the epoll itself
    cdef readonly int gate      # readable while there are events: to wait without fetching any

    cdef int _control(self, int operation, int fd, unsigned int events, unsigned long long token) except -1
    cdef int add(self, int fd, int interest, unsigned long long token) except -1
    cdef int add_listener(self, int fd, unsigned long long token) except -1
    cdef int modify(self, int fd, int interest, unsigned long long token) except -1
    cdef void remove(self, int fd) noexcept
    cdef int fetch(self, Event* events, int room, int timeout_ms) noexcept nogil
    cdef int wait(self, int timeout_ms) noexcept nogil
    cdef void forsake(self) noexcept
