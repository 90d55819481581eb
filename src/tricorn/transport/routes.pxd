cdef enum:
    NOT_ITS_OWN = -1

# What requests below one path prefix have of their own. The attributes are those of Terms (worker_context.pxd) whose settings
# say that they may stand in a route; what a route does not set is as everywhere.
cdef class Route:
    cdef readonly bytes prefix      # without a '/' at its end
    # nanoseconds; 0 switches a limit off
    cdef public long long request_timeout, slow_request_time, max_queue_time
    cdef public long long max_queue
    # What its requests have apart from all others; NOT_ITS_OWN: they share what there is.
    cdef public long long threads, max_concurrency
    cdef readonly int group         # of what is counted (metrics/figures.pxd), from 1: 0 is all that are on no route
    cdef object compartment         # where they run: the Compartment (request.pxd)

    # Its prefix, for people.
    cdef str name(self)

cdef class Routes:
    cdef readonly tuple all         # Route, the longest prefix first

    # The route of a percent-decoded path; None: it has none.
    cdef Route find(self, const unsigned char* path, Py_ssize_t size)
    # The shortest of the limits that a term has in any of them, and of `usual`; 0: there is none.
    cdef long long shortest(self, str term, long long usual) except -1
