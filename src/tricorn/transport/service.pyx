"""What all connections of one worker share, and what each of its threads has for itself.

Knows: limits and times as numbers. Must not know: settings, signals.
"""

from cpython.mem cimport PyMem_Free, PyMem_Malloc

from collections import deque
from contextvars import Context
from types import GetSetDescriptorType

from tricorn.transport.system cimport (
    CLOCK_REALTIME_COARSE, EFD_CLOEXEC, EFD_NONBLOCK, clock_gettime, close, errno, eventfd, timespec, write,
)

import os


cdef class Terms:
    """terms: a mapping with a value for each of the attributes. Raises TypeError where one is missing or unknown."""

    def __init__(self, terms):
        known = {name for name, member in vars(Terms).items() if isinstance(member, GetSetDescriptorType)}
        if wrong := known ^ terms.keys():
            raise TypeError(f"terms of the transport are missing or unknown: {', '.join(sorted(wrong))}")
        for name, value in terms.items():
            setattr(self, name, value)


cdef class Service(Terms):
    """terms: as Terms. context: a copy of it is what each request runs in; None: an empty one."""

    def __init__(
        self, terms, *, application, logger, Limits limits, Row row, AccessLog access_log, trusted, proxy_peers,
        context=None,
    ):
        Terms.__init__(self, terms)
        self.application = application
        self.context = Context() if context is None else context
        self.logger = logger
        self.limits = limits
        self.defaults = Defaults(self.server_header)
        self.poller = Poller()
        self.row = row
        self.access_log = access_log
        self.trusted = trusted
        self.proxy_peers = proxy_peers
        self.runnable = deque()
        self.table = []
        self.body_memory = Budget(self.request_memory)

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
