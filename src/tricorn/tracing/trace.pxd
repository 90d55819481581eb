cimport cython

# What becomes of one request, for whoever traces it (tracing/), and of a slow one, for people who look: instants, and how it ended.

cdef enum:
    # Of a slow request: stacks, each after twice the silence of the one before. And so many characters of one.
    SAMPLES_MOST = 4
    STACK_MOST = 3000

# A request that took long (slow_request_time), as plain values: whoever throws it away runs nobody's code. It has no cycles, and is made where no
# garbage may be collected.
@cython.final
@cython.no_gc
cdef class SlowRequest:
    cdef readonly long long number          # of this process, from 1
    cdef readonly str method, uri, request_id, status
    cdef readonly int group                 # of routes
    cdef readonly int version               # of HTTP: 10, 11, 20
    cdef readonly long long body_sent
    # As in Trace. asked_ns: when this was known, where it is not over
    cdef readonly long long head_ns, queued_ns, begun_ns, ended_ns, sent_ns, asked_ns
    cdef readonly long long client_sends_ns, client_reads_ns
    cdef readonly bint left
    cdef readonly list stacks               # (how long its application had been silent, ns; the text)

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
    cdef object over                        # called with it when it is over: append() of a deque, which runs nobody's code; None: nobody is told
    # Whether somebody keeps it (by W3C Trace Context: it is sampled); then its ids: sixteen bytes, and eight of the span
    cdef bint is_kept
    cdef unsigned long long[3] ids
    cdef long long counted_ns               # when its application was called, as it is counted
    # Where it may have been slow
    cdef long long slow_ns                  # what is slow; 0: that is not recorded
    cdef object kept                        # deque of SlowRequests: where it goes then
    cdef SlowRequest slow                   # what there is of it; None: it has not been slow yet
    cdef str method, uri, request_id
    cdef int group, version
    cdef long long body_sent
    # While its application ran, ns: for how long the client was waited for, to send more of its body, and to read
    cdef long long client_sends_ns, client_reads_ns
    cdef long long sends_seen_ns            # of what the request knows of that, so much is not to be counted, or was
    cdef long long behind_ns                # since when the client is behind with reading; 0: it is not

# It is over. left: its client has not got all of it.
cdef void end_trace(Trace trace, long long now, bint left) noexcept
# Its application has been silent for so long, and is there. What has become of it by now is recorded; a longer stack loses its beginning.
cdef int sample(Trace trace, long long now, long long silent_ns, str stack) except -1

# The ids that a field `traceparent` says (W3C Trace Context §3.2), three words of them. Whether it is one, and the trace is kept.
cdef bint read_parent(const unsigned char* text, Py_ssize_t size, unsigned long long* ids) noexcept nogil

cdef inline void keep_as(Trace trace, unsigned long long* ids) noexcept:
    trace.ids[0] = ids[0]
    trace.ids[1] = ids[1]
    trace.ids[2] = ids[2]
    trace.is_kept = True

# Whether its client is behind with reading, so that its application has to wait.
cdef inline void note_behind(Trace trace, bint is_behind, long long now) noexcept:
    if is_behind:
        if trace.behind_ns == 0:
            trace.behind_ns = now
    elif trace.behind_ns:
        trace.client_reads_ns += now - trace.behind_ns
        trace.behind_ns = 0
