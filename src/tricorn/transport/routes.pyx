"""Routes: which of several path prefixes a path is below.

The longest prefix wins. It has to end where a segment of the path does: `/report` is not the prefix of `/reports`.

Knows: paths as bytes, the terms that a route may have. Must not know: requests, what the terms are used for, settings.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memcmp

from tricorn.metrics.figures cimport MOST_GROUPS


cdef class Route:
    """values: by attribute. usual: has those attributes that are not among them, and that all may share."""

    def __init__(self, bytes prefix, values, usual):
        self.prefix = prefix
        self.request_timeout = usual.request_timeout
        self.slow_request_time = usual.slow_request_time
        self.max_queue = usual.max_queue
        self.max_queue_time = usual.max_queue_time
        self.threads = self.max_concurrency = NOT_ITS_OWN
        for name, value in values.items():
            setattr(self, name, value)

    cdef str name(self):
        return self.prefix.decode("utf-8", "surrogateescape") or "/"


cdef class Routes:
    """written: (prefix, values) each, the longest prefix first. usual: as for Route."""

    def __init__(self, written, usual):
        cdef Route route
        self.all = tuple([Route(prefix, values, usual) for prefix, values in written])
        for number, route in enumerate(self.all, 1):
            route.group = min(number, MOST_GROUPS - 1)

    def of(self, bytes path):
        """The Route of this path, or None."""
        return self.find(<const unsigned char*>PyBytes_AS_STRING(path), PyBytes_GET_SIZE(path))

    cdef Route find(self, const unsigned char* path, Py_ssize_t size):
        cdef Route route
        for route in self.all:
            if _is_below(path, size, route.prefix):
                return route
        return None

    cdef long long shortest(self, str term, long long usual) except -1:
        limits = [usual, *[getattr(route, term) for route in self.all]]
        return min([limit for limit in limits if limit] or [0])


cdef bint _is_below(const unsigned char* path, Py_ssize_t size, bytes prefix) noexcept:
    cdef Py_ssize_t length = PyBytes_GET_SIZE(prefix)
    if size < length or memcmp(path, PyBytes_AS_STRING(prefix), length) != 0:
        return False
    return size == length or path[length] == c'/'
