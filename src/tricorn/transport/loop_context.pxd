from tricorn.gateway.asgi cimport HTTPCall
from tricorn.gateway.waiting cimport TaskRunner
from tricorn.tracing.trace cimport Trace
from tricorn.transport.hold cimport Batch
from tricorn.transport.thread_context cimport ThreadContext
from tricorn.transport.worker_context cimport WorkerContext

# What the requests of one event loop share.
cdef class LoopContext:
    cdef readonly WorkerContext worker
    cdef readonly TaskRunner task_runner
    cdef readonly ThreadContext thread
    cdef ThreadContext aside        # for what is read while the other one's buffer is being gone through
    cdef Batch batch                # what is held back while events are gone through
    cdef object application         # a coroutine function of (scope, receive, send)
    cdef object compression         # DeflatePolicy, of WebSockets
    cdef readonly set calls         # HTTPCalls whose tasks run, or else what has `task`, `method` and `uri`
    cdef bint starting              # the request that the cell's label tells is in its first step
    cdef Trace beginning            # … and what becomes of it; None: nobody wants to know
    cdef int drain_code             # what WebSockets are closed with; 0: the worker does not end
    cdef list abandoned             # of these, those that are cancelled when their time is up
    cdef object waiting             # deque of protocols that go on in a turn of their own
    cdef object schedule            # has `waiting` looked at

    cdef int later(self, object protocol) except -1
    cdef int started(self, HTTPCall call) except -1
    cdef int finished(self, object call) except -1
    cdef int abandon(self, HTTPCall call, long long now) except -1
    cdef int cancel(self, object task, str method, str uri) except -1
    cdef int cancel_overdue(self, long long now) except -1
