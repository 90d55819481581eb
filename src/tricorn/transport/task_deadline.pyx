"""`tricorn.deadline` where requests run as tasks: each has its own.

Knows: calls of the ASGI gateway. Must not know: what else is in a scope, who watches over the limit, settings.
"""

cimport cython

from tricorn.gateway.asgi cimport HTTPCall
from tricorn.transport.deadline cimport Deadline
from tricorn.transport.request cimport Request

from tricorn.gateway.scope import Fixed


@cython.final
cdef class TaskDeadline(Deadline):
    cdef HTTPCall call

    cdef Request request(self):
        return <Request>self.call.exchange


class Offered(Fixed):
    """A Deadline as an extension of a scope: an empty dict as the others are, so that scopes are still plain data to
    whoever prints, copies or pickles them."""

    __slots__ = ("_deadline",)

    def __init__(self, deadline):
        self._deadline = deadline

    def remaining(self):
        return self._deadline.remaining()

    def extend(self, seconds):
        self._deadline.extend(seconds)

    def clear(self):
        self._deadline.clear()

    def bound(self):
        return self

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self


cdef object offered_of_call(HTTPCall call):
    cdef TaskDeadline deadline = TaskDeadline.__new__(TaskDeadline)
    deadline.call = call
    return Offered(deadline)
