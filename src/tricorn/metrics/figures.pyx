"""Where each figure of a worker lies (figures.pxd), for those who read them, and what is told of the garbage collector.

Knows: the layout. Must not know: what a figure is called, who writes or reads, whose memory it is.
"""

from cpython.unicode cimport PyUnicode_READ_CHAR

from tricorn.scoreboard cimport monotonic

# By name, as table.py says them.
PLACES = {
    "bytes_in": BYTES_IN,
    "bytes_out": BYTES_OUT,
    "connections": CONNECTIONS,
    "idle_connections": IDLE_CONNECTIONS,
    "websockets": WEBSOCKETS,
    "http2_connections": HTTP2_CONNECTIONS,
    "http2_streams": HTTP2_STREAMS,
    "handshakes": HANDSHAKES,
    "errors": ERROR_KINDS,
    "cpu": CPU,
    "collections": COLLECTIONS,
    "pauses": PAUSES,
    "loop_lag": LOOP_LAG,
}
GROUP_PLACES = {
    "begun": BEGUN,
    "ended": ENDED,
    "requests": REQUESTS,
    "waiting": WAITING,
    "application": APPLICATION,
    "sending": SENDING,
    "whole": WHOLE,
    "queue": QUEUE,
}
COMMON_WORDS = COMMON
GROUP_WORDS = GROUP
HISTOGRAM_WORDS = HISTOGRAM
GROUPS_MAX = MOST_GROUPS
# The histograms of a group that have exemplars, in their order; those of a group are so many.
EXEMPLIFIED_PLACES = tuple([WAITING + k * HISTOGRAM for k in range(EXEMPLIFIED)])
EXEMPLAR_COUNT = EXEMPLARS
BUCKET_COUNT = BUCKETS
# Of the buckets of a histogram, the upper bounds but for the last one's, which has none; seconds.
BOUNDS = tuple([(1 << (FINE + k)) / 1e6 for k in range(BUCKETS - 1)])

# Interned, as all names of methods are that requests have: so they are compared by identity.
cdef str GET = "GET"
cdef str HEAD = "HEAD"
cdef str POST = "POST"
cdef str PUT = "PUT"
cdef str PATCH = "PATCH"
cdef str DELETE = "DELETE"
cdef str OPTIONS = "OPTIONS"


cdef int method_class(str method) noexcept:
    if method is GET:
        return 0
    if method is POST:
        return 2
    if method is HEAD:
        return 1
    if method is PUT:
        return 3
    if method is PATCH:
        return 4
    if method is DELETE:
        return 5
    return 6 if method is OPTIONS else 7


cdef int status_class(str status) noexcept:
    cdef int digit
    if status is None or len(status) == 0:
        return 0
    digit = <int>PyUnicode_READ_CHAR(status, 0) - c'0'
    return digit if 1 <= digit <= 5 else 0


cdef Collections new_collections(long long* figures):
    cdef Collections self = Collections.__new__(Collections)
    self.figures = figures
    return self


cdef class Collections:
    """Counts collections, and for how long each has stopped all Python code of the worker."""

    def __call__(self, str phase, dict info):
        cdef int generation
        if phase == "start":
            self.since = monotonic()
        elif self.since:
            generation = info.get("generation", 0)
            add(self.figures, COLLECTIONS + min(max(generation, 0), GENERATIONS - 1), 1)
            observe(self.figures + PAUSES, monotonic() - self.since)
            self.since = 0


def observed(*durations_ns):
    """A histogram of these durations, as it lies in a block: for tests."""
    cdef long long[HISTOGRAM] histogram
    cdef int i
    for i in range(HISTOGRAM):
        histogram[i] = 0
    for duration in durations_ns:
        observe(histogram, duration)
    return [histogram[i] for i in range(HISTOGRAM)]


def classes(str method, str status):
    """As they are counted: for tests."""
    return method_class(method), status_class(status)
