"""What becomes of one request, for whoever traces it, and for the record of slow ones.

The plan. While a request is served its instants are written down here, which is all that happens on its way. When it is over the trace is put
where somebody fetches it later, so no code but ours runs between a response and the next request. Of one that was slow the instants are
copied: a trace may hold things of OpenTelemetry's, and what is thrown away there to make room must be plain.

Knows: instants, W3C Trace Context. Must not know: spans, who reads them.
"""

cimport cython


cdef long long _slow_ones = 0


@cython.final
@cython.no_gc
cdef class SlowRequest:
    """A request that took long; see trace.pxd."""


@cython.freelist(64)
cdef class Trace:
    """over: called with it when it is over; it must run no foreign code, and must not give the GIL away. Subclasses add what they want to
    know."""

    def __init__(self, over):
        self.over = over

    def keep(self, trace_id, span_id):
        """Somebody keeps it, by these numbers."""
        self.ids[0] = trace_id >> 64
        self.ids[1] = trace_id & 0xffffffffffffffff
        self.ids[2] = span_id
        self.is_kept = True


cdef void end_trace(Trace trace, long long now, bint left) noexcept:
    """Without memory for the list nobody hears of it: then there are other worries."""
    trace.sent_ns = now
    trace.left = trace.left or left
    try:
        if trace.over is not None:
            trace.over(trace)
        if trace.slow_ns and (trace.slow is not None or _was_slow(trace)):
            _record(trace, 0)
    except MemoryError:
        trace.left = True


cdef bint _was_slow(Trace trace) noexcept:
    """In one of its phases. What goes on sending for long is not: its application and its client keep up with each other."""
    cdef long long slow = trace.slow_ns
    cdef long long begun = trace.begun_ns if trace.begun_ns else trace.ended_ns
    cdef long long ready = trace.queued_ns if trace.queued_ns else begun
    if begun - ready >= slow or ready - trace.head_ns >= slow:
        return True
    if trace.first_ns and trace.first_ns - begun >= slow:
        return True
    return trace.client_sends_ns >= slow or trace.sent_ns - trace.ended_ns + trace.client_reads_ns >= slow


cdef int sample(Trace trace, long long now, long long silent_ns, str stack) except -1:
    cdef SlowRequest slow
    cdef list stacks
    if trace.slow_ns == 0:
        return 0
    if trace.slow is not None and len(trace.slow.stacks) >= SAMPLES_MOST:
        return 0
    _record(trace, now)
    slow = trace.slow
    stacks = slow.stacks
    stacks.append((silent_ns, stack if len(stack) <= STACK_MOST else "…" + stack[len(stack) - STACK_MOST:]))
    return 0


cdef int _record(Trace trace, long long now) except -1:
    """now: it is not over."""
    global _slow_ones
    cdef SlowRequest slow = trace.slow
    cdef object kept = trace.kept
    if slow is None:
        slow = trace.slow = SlowRequest.__new__(SlowRequest)
        _slow_ones += 1
        slow.number = _slow_ones
        slow.stacks = []
    slow.method = trace.method
    slow.uri = trace.uri
    slow.request_id = trace.request_id
    slow.status = trace.status
    slow.group = trace.group
    slow.version = trace.version
    slow.body_sent = trace.body_sent
    slow.head_ns = trace.head_ns
    slow.queued_ns = trace.queued_ns
    slow.begun_ns = trace.begun_ns
    slow.ended_ns = trace.ended_ns
    slow.sent_ns = trace.sent_ns
    slow.asked_ns = now
    slow.client_sends_ns = trace.client_sends_ns
    slow.client_reads_ns = trace.client_reads_ns
    if now and trace.behind_ns:
        slow.client_reads_ns += now - trace.behind_ns
    slow.left = trace.left
    kept.append(slow)
    return 0


# ---- traceparent: VERSION-TRACE-SPAN-FLAGS, each in small hexadecimal digits --------------------------------

cdef enum:
    VERSION_AT = 0
    TRACE_AT = 3
    SPAN_AT = 36
    FLAGS_AT = 53
    PARENT_SIZE = 55
    SAMPLED = 1


cdef bint read_parent(const unsigned char* text, Py_ssize_t size, unsigned long long* ids) noexcept nogil:
    """§3.2.2.1, §4.3: of a later version the beginning is as here, and more may follow; ff is none."""
    cdef unsigned long long version, flags
    if size < PARENT_SIZE or text[TRACE_AT - 1] != c'-' or text[SPAN_AT - 1] != c'-' or text[FLAGS_AT - 1] != c'-':
        return False
    if not _number(text + VERSION_AT, 2, &version) or version == 0xff:
        return False
    if size > PARENT_SIZE and (version == 0 or text[PARENT_SIZE] != c'-'):
        return False
    if not _number(text + TRACE_AT, 16, &ids[0]) or not _number(text + TRACE_AT + 16, 16, &ids[1]):
        return False
    if not _number(text + SPAN_AT, 16, &ids[2]) or not _number(text + FLAGS_AT, 2, &flags):
        return False
    return (ids[0] != 0 or ids[1] != 0) and ids[2] != 0 and (flags & SAMPLED) != 0


cdef bint _number(const unsigned char* text, int digits, unsigned long long* into) noexcept nogil:
    cdef unsigned long long found = 0
    cdef unsigned char each
    cdef int i
    for i in range(digits):
        each = text[i]
        if c'0' <= each <= c'9':
            found = found << 4 | (each - c'0')
        elif c'a' <= each <= c'f':
            found = found << 4 | (each - c'a' + 10)
        else:
            return False
    into[0] = found
    return True


def parent_of(bytes field):
    """For tests: the ids as three numbers; None: there are none, or the trace is not kept."""
    cdef unsigned long long[3] ids
    if not read_parent(field, len(field), ids):
        return None
    return ids[0], ids[1], ids[2]
