from tricorn.gateway.asgi cimport HTTPCall
from tricorn.gateway.waiting cimport Gate
from tricorn.transport.hold cimport Batch
from tricorn.transport.lane cimport Lane
from tricorn.transport.service cimport Service

# What WebSockets may ask of us, and we of their clients. Times in ns, sizes in bytes; 0 switches a limit off.
cdef class WebSocketTerms:
    cdef object compression         # DeflatePolicy
    cdef Py_ssize_t max_message
    cdef int max_queue
    cdef long long ping_interval, ping_timeout, close_timeout

# What the requests of one event loop share.
cdef class House:
    cdef readonly Service service
    cdef readonly Gate gate
    cdef readonly Lane lane
    cdef Lane aside                 # for what is read while the other one's buffer is being gone through
    cdef Batch batch                # what is held back while events are gone through
    cdef object application         # a coroutine function of (scope, receive, send)
    cdef long long grace            # ns that a call gets when its client has gone
    cdef readonly WebSocketTerms websockets
    cdef readonly set calls         # whose tasks run
    cdef int drain_code             # what WebSockets are closed with; 0: the worker does not end
    cdef list leaving               # of these, those that are cancelled when their time is up
    cdef object waiting             # deque of protocols that go on in a turn of their own
    cdef object schedule            # has `waiting` looked at

    cdef int later(self, object protocol) except -1
    cdef int started(self, HTTPCall call) except -1
    cdef int ended(self, HTTPCall call) except -1
    cdef int leave(self, HTTPCall call, long long now) except -1
    cdef int cancel(self, HTTPCall call) except -1
    cdef int cancel_overdue(self, long long now) except -1
