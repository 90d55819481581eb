from tricorn.scoreboard cimport RowData
from tricorn.tracing.trace cimport Trace
from tricorn.transport.loop_context cimport LoopContext

# Watches over an event loop from a thread of its own.
cdef class LoopWatch:
    cdef LoopContext loop_context
    cdef unsigned long ident        # of the loop's thread
    cdef long long note_after       # the loop has not turned for this long: the row says by what it is blocked, ns
    cdef long long tell_after       # and the log does; 0: it does not
    cdef long long noted            # heartbeats after which that was done
    cdef long long told
    cdef long long turned           # since when the loop would have turned, had it not been blocked
    cdef bint stopped

    cdef void _wait(self, RowData* row) noexcept nogil
    cdef int _look(self, RowData* row) except -1
    cdef Trace _blocked(self)
