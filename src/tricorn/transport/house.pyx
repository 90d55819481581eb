"""What the requests of one event loop share: the application, its running calls, and those whose time is up.

Knows: calls and their tasks. Must not know: the loop's interface, sockets.
"""

from collections import deque

from tricorn.gateway.asgi cimport HTTPCall
from tricorn.gateway.waiting cimport Gate
from tricorn.transport.hold cimport new_batch
from tricorn.transport.lane cimport Lane
from tricorn.transport.service cimport Service

from tricorn.transport.failures import report

cdef long long SECOND = 1000000000


cdef class WebSocketTerms:
    """compression: DeflatePolicy. max_message: bytes. max_queue: messages. The rest: seconds. 0 switches a limit off."""

    def __init__(
        self, compression, Py_ssize_t max_message=1 << 24, int max_queue=32, double ping_interval=20,
        double ping_timeout=20, double close_timeout=10,
    ):
        self.compression = compression
        self.max_message = max_message
        self.max_queue = max_queue
        self.ping_interval = <long long>(ping_interval * SECOND)
        self.ping_timeout = <long long>(ping_timeout * SECOND)
        self.close_timeout = <long long>(close_timeout * SECOND)


cdef class House:
    """application: a coroutine function of (scope, receive, send). grace: seconds that a call gets after its client has gone."""

    def __init__(self, Service service, Gate gate, application, double grace, WebSocketTerms websockets):
        self.service = service
        self.gate = gate
        self.application = application
        self.grace = <long long>(grace * SECOND)
        self.lane = Lane()
        self.lane.cell = service.row.cell(0)
        self.aside = Lane()
        self.batch = self.lane.batch = new_batch(self.lane)
        self.websockets = websockets
        self.calls = set()
        self.leaving = []
        self.waiting = deque()

    cdef int later(self, object protocol) except -1:
        """Have it go on, but not from here: application code is on the stack, or others want their turn."""
        if not self.waiting:
            self.schedule()
        self.waiting.append(protocol)
        return 0

    cdef int leave(self, HTTPCall call, long long now) except -1:
        """Nobody waits for this call any more: when its grace period is over, its task is cancelled."""
        if call.ended or call.cancel_at:
            return 0        # what it does behind its response is its own affair; and nobody leaves twice
        if call.task.done() if call.task is not None else not call.starting:
            return 0
        call.cancel_at = now + self.grace
        if self.grace == 0 and call.task is not None:
            return self.cancel(call)
        self.leaving.append(call)
        return 0

    cdef int started(self, HTTPCall call) except -1:
        """Its first step is over, in which nobody could cancel it; its client may have gone meanwhile."""
        if call.cancel_at and self.grace == 0:
            self.leaving.remove(call)
            return self.cancel(call)
        return 0

    cdef int ended(self, HTTPCall call) except -1:
        """Its task is over. Where the loop took its last step, no batch of events says that the loop has nothing to do."""
        self.calls.discard(call)
        if not self.calls and not self.lane.collecting:
            self.lane.cell.busy_since_ns = 0
        return 0

    cdef int cancel(self, HTTPCall call) except -1:
        """The task, or what it awaits, may be of a class of the application's."""
        task = call.task
        try:
            task.cancel()
        except BaseException as error:
            report(self.service.logger, "a task could not be cancelled (%s %s)", call.method, call.uri, error=error)
        return 0

    cdef int cancel_overdue(self, long long now) except -1:
        cdef HTTPCall call
        if not self.leaving or (<HTTPCall>self.leaving[0]).cancel_at > now:
            return 0
        overdue = [call for call in self.leaving if (<HTTPCall>call).cancel_at <= now]
        self.leaving = [call for call in self.leaving if (<HTTPCall>call).cancel_at > now]
        for call in overdue:
            if call.task is not None and not call.ended:
                self.cancel(call)
        return 0
