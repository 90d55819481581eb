from tricorn.http.buffer cimport Buffer
from tricorn.http.request cimport Limits, RequestHead
from tricorn.http.response cimport Defaults
from tricorn.log.access cimport AccessLog
from tricorn.scoreboard cimport CellData, Row
from tricorn.transport.body cimport Budget
from tricorn.transport.poller cimport Poller

from cpython.object cimport PyObject

cdef extern from "Python.h":
    int PyThreadState_SetAsyncExc(unsigned long, PyObject*)

cdef enum:
    LANE_BUFFER = 65536

# What the settings say to the transport. Each attribute is one of them, which says so where it is declared
# (`fills` in config/settings.py); this is the only other place where it stands.
cdef class Terms:
    # nanoseconds; 0 switches a limit off
    cdef public long long header_timeout, keepalive, body_timeout, write_timeout, request_timeout
    # bytes a second
    cdef public long long min_body_rate
    # bytes
    cdef public long long body_drain
    cdef public Py_ssize_t request_buffer, request_memory, response_buffer
    cdef public bint buffering, sendfile
    cdef public long long max_connections, max_requests
    cdef public str proxy_mode          # "v1", "v2", "auto" or None
    cdef public str server_header

# What all connections of a worker share.
cdef class Service(Terms):
    cdef readonly object application
    cdef readonly object context        # a copy of it is what each request runs in
    cdef readonly object logger
    cdef readonly Limits limits
    cdef readonly Defaults defaults
    cdef readonly Poller poller
    cdef readonly Row row
    cdef readonly AccessLog access_log
    cdef readonly object trusted        # TrustedPeers
    cdef readonly object proxy_peers    # TrustedPeers
    cdef object runnable                # deque of connections that need an application thread
    cdef list table                     # connections by descriptor

    cdef Budget body_memory             # request_memory: for request bodies beyond request_buffer

    cdef readonly int connections
    cdef readonly long long requests
    cdef public bint draining
    cdef long long queued               # bytes that waited for slow clients since memory was last given back
    cdef bint full                      # the connection limit is reached: who closes one wakes a listener
    cdef int waker                      # eventfd: written to when the keeper should look

    cdef bint forsaken                  # a process that the application made: nothing here is its own

    cdef int wake(self) noexcept nogil
    cdef int forsake(self) except -1
    cdef int end_stranger(self) except -1
    cdef void refresh_date(self) noexcept

# What a thread of a worker has for itself.
cdef class Lane:
    cdef unsigned char* buffer
    cdef Buffer out
    cdef RequestHead head
    cdef CellData* cell
    cdef bint may_call                  # it may run the application
    cdef object batch                   # Batch: complete responses that leave together
    cdef int number                     # among the worker's threads
    cdef bint collecting                # others wait to be served: a complete response may be held back
    cdef long long longest_ns           # of recent requests; fades
    cdef long long now                  # when it last looked at the clock
    cdef long long active_ns            # when the running request last gave a sign of life
    cdef unsigned long thread
    cdef object call                    # WSGICall of the request that it serves
    cdef bint calling                   # the application has control of it
    cdef bint interrupted               # an exception was raised in it from outside
    cdef long long interrupted_ns       # when
    cdef object parking                 # a lock it sleeps on while it is not needed
