"""`tricorn.deadline`: how an application asks when the time limit of its request is, and moves it.

The plan. Where requests run as tasks and may have limits each one gets a Deadline of its own (task_deadline.pyx). Where they run on threads nearly all of
them have one, and hardly any asks: so there all share one Deadline, which speaks for the request that the calling thread serves,
and makes another one (`bound`) for who wants to use it elsewhere.

Guarantees: it may be kept, and used from any thread at any time; when its request is over there is no limit, and what is asked for
changes nothing.

Knows: calls of the WSGI gateway, what a request says of its limit. Must not know: who watches over it, settings.
"""

cimport cython

from tricorn.gateway.wsgi cimport WSGICall
from tricorn.scoreboard cimport monotonic
from tricorn.transport.caller cimport Caller
from tricorn.transport.request cimport NEVER, Request, RequestProtocol
from tricorn.transport.wire cimport PEER_STAYS

cdef double SECOND = 1e9


cdef class Deadline:
    """By itself: of a request that has no time limit."""

    cdef Request request(self):
        return None

    def remaining(self):
        """Seconds until the server ends the request, unless something is sent to its client before; None: it has no limit."""
        cdef Request request = self.request()
        cdef long long due
        cdef long long now
        if request is None:
            return None
        now = monotonic()
        due = request.due(now)
        return None if due >= NEVER else max(due - now, 0) / SECOND

    def extend(self, seconds):
        """Let the request go on for so many seconds longer than it could otherwise. Raises ValueError, TypeError."""
        cdef double wanted = seconds
        cdef long long more
        cdef long long now
        cdef Request request
        if not wanted >= 0:
            raise ValueError(f"a deadline can only be extended, not by {wanted} s")
        more = <long long>min(wanted * SECOND, <double>NEVER)
        request = self.request()
        if request is not None:
            now = monotonic()
            request.granted_ns = min(max(request.due(now), now), NEVER) + more

    def clear(self):
        """Let the request go on without a limit."""
        cdef Request request = self.request()
        if request is not None:
            request.granted_ns = NEVER

    def client_has_left(self):
        """Whether the client of the request has closed its connection. (One that has only said that it sends nothing more looks the same.)"""
        cdef Request request = self.request()
        cdef RequestProtocol protocol
        if request is None:
            return False
        protocol = request.protocol
        return request.gone or protocol.peer_of(request) != PEER_STAYS

    def bound(self):
        """The same for any thread: where requests run on threads, this one speaks only for the one that the calling thread serves."""
        return self


@cython.final
cdef class CallDeadline(Deadline):
    """Of one call of the application."""

    cdef WSGICall call

    cdef Request request(self):
        return <Request>self.call.exchange


@cython.final
cdef class CallersDeadline(Deadline):
    """Of whatever request the caller serves."""

    cdef Caller caller

    cdef Request request(self):
        cdef Caller caller = self.caller
        call = caller.call()
        return None if call is None else <Request>(<WSGICall>call).exchange

    def bound(self):
        cdef Caller caller = self.caller
        call = caller.call()
        return NO_DEADLINE if call is None else deadline_of_call(call)


cdef Deadline NO_DEADLINE = Deadline()

# Of whatever request the calling thread serves, in this process.
cdef Deadline CALLERS = NO_DEADLINE


def callers_deadline():
    """That of whatever request the calling thread, or greenlet, serves."""
    return CALLERS


cdef Deadline deadline_of_call(WSGICall call):
    cdef CallDeadline deadline = CallDeadline.__new__(CallDeadline)
    deadline.call = call
    return deadline


cdef Deadline deadline_of_caller(Caller caller):
    global CALLERS
    cdef CallersDeadline deadline = CallersDeadline.__new__(CallersDeadline)
    deadline.caller = caller
    CALLERS = deadline
    return deadline
