"""Who may wait for the application, and for how long; what those hear who may not.

The plan. A request waits when it is complete (all that the application would begin with is here) and nobody can take it up: no
thread, or as many tasks run as may. `Request.start` is where it is admitted, turned away or served; whatever the transport
answers by itself is answered before. There is one Admission for a worker, and one for each route whose requests wait apart from the others:
the limits, the count, and one voice in the log.

Guarantees: as many lines in the log as there are bursts, and one each ten seconds of them, however many are refused.

Knows: limits, numbers. Must not know: the clock, threads, event loops, framing, descriptors.
"""

cimport cython

from tricorn.scoreboard cimport Row

from http import HTTPStatus

# In the access log, where a client did not wait for its response. No client ever sees it; nginx began with it.
CLIENT_GONE = "499 Client Closed Request"

cdef long long SECOND = 1000000000
# Of a burst the log speaks no more often than this, and calls it over when nobody was refused for so long.
cdef long long REMINDER = 10 * SECOND
cdef long long CALM = 2 * SECOND
# A client that ends its side this soon after its request has just said all that it had to say, as netcat does, and reads on.
cdef long long HABIT = SECOND // 10


@cython.final
cdef class Admission:
    """most: that may wait. longest: ns that each may. 0: no limit. prefix: of the route whose requests these are; None: it has none."""

    def __init__(self, Row row, long long most, long long longest, str prefix=None):
        self.row = row
        self.shown = &row.data.waiting if prefix is None else &row.data.waiting_apart
        self.requests = "requests" if prefix is None else f"requests below {prefix!a}"
        self.most = most
        self.longest = longest
        self.status = f"{HTTPStatus.SERVICE_UNAVAILABLE:d} {HTTPStatus.SERVICE_UNAVAILABLE.phrase}"
        self.body = f"{self.status}\n".encode()
        # Those who wait now are gone by then, served or refused (RFC 9110 §10.2.3).
        retry_after = str(max(1, (longest + SECOND - 1) // SECOND))
        self.fields = [("Content-Type", "text/plain; charset=utf-8"), ("Retry-After", retry_after)]
        self.octet_fields = [(name.lower().encode(), value.encode()) for name, value in self.fields]

    cdef bint has_limits(self) noexcept:
        return self.most != 0 or self.longest != 0

    cpdef bint is_full(self, long long spare) noexcept:
        return self.most != 0 and self.waiting >= self.most + spare

    cpdef bint is_late(self, long long since, long long now) noexcept:
        return self.longest != 0 and now - since > self.longest

    cpdef void enter(self) noexcept:
        self.waiting += 1
        self.shown[0] += 1

    cpdef void leave(self) noexcept:
        self.waiting -= 1
        self.shown[0] -= 1

    cpdef bint is_farewell(self, long long since, long long now) noexcept:
        return now - since > HABIT

    cpdef str refuse(self, bint late, long long now):
        cdef long long times = self.unsaid
        cdef long long said = self.said
        cdef bint is_first = self.refused_at == 0
        self.row.data.refused += 1
        self.refused_at = now
        self.count += 1
        if is_first:
            self.began = self.said = now
            why = "max_queue_time is over" if late else "max_queue is reached"
            return f"Overloaded: {self.requests} are refused with 503, because {why}"
        self.unsaid = times + 1
        if now - said < REMINDER:
            return None
        self.said = now
        self.unsaid = 0
        return f"Overloaded: {times + 1} more {self.requests} were refused in {(now - said) / <double>SECOND:.0f} s"

    cpdef str look(self, long long now):
        cdef long long times = self.count
        cdef double lasted = (self.refused_at - self.began) / <double>SECOND
        if self.refused_at == 0 or now - self.refused_at < CALM:
            return None
        self.refused_at = self.count = self.unsaid = 0
        return f"No longer overloaded: {self.requests} refused in {lasted:.1f} s: {times}"
