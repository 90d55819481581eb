from tricorn.transport.loop_context cimport LoopContext
from tricorn.transport.loop_watch cimport LoopWatch
from tricorn.transport.server cimport Server
from tricorn.transport.thread_context cimport ThreadContext

cdef class LoopServer(Server):
    cdef readonly LoopContext loop_context
    cdef object on_turn             # called when the worker should look: now and then, when it is worn, or a drain is over
    cdef bint stopped
    cdef LoopWatch loop_watch       # None: nobody watches

    cdef bint _is_held_long(self, ThreadContext thread, int events) noexcept
    cdef int _beat(self, long long now) except -1
    cdef int _tell_slow(self, long long now) except -1
