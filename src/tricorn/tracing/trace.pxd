# What becomes of one request, for whoever traces it (tracing/): instants, and how it ended.

cdef class Trace:
    # Instants, ns as of CLOCK_MONOTONIC; 0: that has not happened
    cdef readonly long long head_ns         # its head was complete
    cdef readonly long long queued_ns       # it began to wait for a thread or a task
    cdef readonly long long begun_ns        # its application was called
    cdef readonly long long first_ns        # the head of its response was given to its connection
    cdef readonly long long ended_ns        # the application was done with it, or somebody answered in its place
    cdef readonly long long sent_ns         # the response was out, or was known not to come out
    cdef readonly str status                # "200 OK"; None: nothing was answered
    cdef readonly bint left                 # its client was gone before it had all of it
    cdef readonly bint lasts                # it became what lasts as long as its connection does: a WebSocket, say
    cdef object over                        # called with it when it is over: append() of a deque, which runs nobody's code

# It is over. left: its client has not got all of it.
cdef void end_trace(Trace trace, long long now, bint left) noexcept
