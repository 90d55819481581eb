"""What becomes of one request, for whoever traces it.

The plan. While a request is served its instants are written down here, which is all that happens on its way. When it is over the trace is put
where somebody fetches it later, so no code but ours runs between a response and the next request.

Knows: instants. Must not know: spans, who reads them.
"""


cdef class Trace:
    """over: called with it when it is over; it must run no foreign code, and must not give the GIL away. Subclasses add what they want to
    know."""

    def __init__(self, over):
        self.over = over


cdef void end_trace(Trace trace, long long now, bint left) noexcept:
    """Without memory for the list nobody hears of it: then there are other worries."""
    trace.sent_ns = now
    trace.left = trace.left or left
    try:
        trace.over(trace)
    except MemoryError:
        trace.left = True
