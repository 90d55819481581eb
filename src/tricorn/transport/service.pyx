"""What all connections of one worker share, and what each of its threads has for itself.

Knows: limits and times as numbers. Must not know: settings, signals.
"""

from cpython.mem cimport PyMem_Free, PyMem_Malloc

from collections import deque
from contextvars import Context

from tricorn.transport.system cimport (
    CLOCK_REALTIME_COARSE, EFD_CLOEXEC, EFD_NONBLOCK, clock_gettime, close, errno, eventfd, timespec, write,
)

import os

cdef long long SECOND = 1000000000


cdef class Service:
    """Times are seconds, 0 switches a limit off; sizes are bytes, 0 means no bound."""

    def __init__(
        self, *, application, logger, Limits limits, str server_header, Row row, AccessLog access_log, trusted,
        proxy_mode=None, proxy_peers=None, double header_timeout=10, double keepalive=5, double body_timeout=30,
        double write_timeout=30, double request_timeout=0, long long min_body_rate=240,
        long long body_drain=65536, Py_ssize_t request_buffer=65536, Py_ssize_t response_buffer=262144,
        Py_ssize_t request_memory=67108864,
        bint buffering=True, bint sendfile=True, int max_connections=1000, long long max_requests=0, context=None,
    ):
        self.application = application
        self.context = Context() if context is None else context
        self.logger = logger
        self.limits = limits
        self.defaults = Defaults(server_header)
        self.poller = Poller()
        self.row = row
        self.access_log = access_log
        self.trusted = trusted
        self.proxy_mode = proxy_mode
        self.proxy_peers = proxy_peers
        self.runnable = deque()
        self.table = []
        self.header_timeout = <long long>(header_timeout * SECOND)
        self.keepalive = <long long>(keepalive * SECOND)
        self.body_timeout = <long long>(body_timeout * SECOND)
        self.write_timeout = <long long>(write_timeout * SECOND)
        self.request_timeout = <long long>(request_timeout * SECOND)
        self.min_body_rate = min_body_rate
        self.body_drain = body_drain
        self.request_buffer = request_buffer
        self.body_memory = Budget(request_memory)
        self.response_buffer = response_buffer
        self.buffering = buffering
        self.sendfile = sendfile
        self.max_connections = max_connections
        self.max_requests = max_requests

    def __cinit__(self, *args, **kwargs):
        self.waker = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)
        if self.waker < 0:
            raise OSError(errno, os.strerror(errno))

    def __dealloc__(self):
        if self.waker >= 0:
            close(self.waker)

    cdef int wake(self) noexcept nogil:
        cdef unsigned long long one = 1
        return <int>write(self.waker, &one, sizeof(one))

    cdef int forsake(self) except -1:
        """As Reception.forsake. The epoll set is shared with the process that we come from: closed, never changed."""
        self.forsaken = True
        self.poller.forsake()
        if self.waker >= 0:
            close(self.waker)
            self.waker = -1
        if self.access_log is not None:
            self.access_log.forget()
        return 0

    cdef int end_stranger(self) except -1:
        """The application came back in a process that it had made itself. There is nobody to serve here."""
        self.logger.error(
            "a process that the application forked while it served a request came back to the server, and is ended; "
            "such a process must end by itself, with os._exit()"
        )
        os._exit(1)

    cdef void refresh_date(self) noexcept:
        cdef timespec wall
        clock_gettime(CLOCK_REALTIME_COARSE, &wall)
        self.defaults.refresh(wall.tv_sec)


cdef class Lane:
    def __cinit__(self):
        self.buffer = <unsigned char*>PyMem_Malloc(LANE_BUFFER)
        if self.buffer == NULL:
            raise MemoryError()
        self.out = Buffer.__new__(Buffer)
        self.head = RequestHead.__new__(RequestHead)

    def __dealloc__(self):
        PyMem_Free(self.buffer)
