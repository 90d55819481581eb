"""What the requests of one event loop share: the application, its running calls, and those whose time is up.

Knows: calls and their tasks. Must not know: the loop's interface, sockets.
"""

from collections import deque

from tricorn.gateway.asgi cimport HTTPCall
from tricorn.gateway.waiting cimport TaskRunner
from tricorn.transport.hold cimport new_batch
from tricorn.transport.thread_context cimport ThreadContext
from tricorn.transport.worker_context cimport WorkerContext

from tricorn.http.websocket_handshake import DeflatePolicy
from tricorn.transport.failures import report


cdef class LoopContext:
    """application: a coroutine function of (scope, receive, send)."""

    def __init__(self, WorkerContext worker, TaskRunner task_runner, application):
        self.worker = worker
        self.task_runner = task_runner
        self.application = application
        self.thread = ThreadContext()
        self.thread.cell = worker.row.cell(0)
        self.aside = ThreadContext()
        self.batch = self.thread.batch = new_batch(self.thread)
        self.compression = DeflatePolicy(enabled=worker.websocket_compression)
        self.calls = set()
        self.abandoned = []
        self.waiting = deque()

    cdef int later(self, object protocol) except -1:
        """Have it go on, but not from here: application code is on the stack, or others want their turn."""
        if not self.waiting:
            self.schedule()
        self.waiting.append(protocol)
        return 0

    cdef int abandon(self, HTTPCall call, long long now) except -1:
        """Nobody waits for this call any more: when its grace period is over, its task is cancelled."""
        if call.ended or call.cancel_at:
            return 0        # what it does behind its response is its own affair; and nobody is abandoned twice
        if call.task.done() if call.task is not None else not call.starting:
            return 0
        call.cancel_at = now + self.worker.disconnect_grace
        if self.worker.disconnect_grace == 0 and call.task is not None:
            return self.cancel(call.task, call.method, call.uri)
        self.abandoned.append(call)
        return 0

    cdef int started(self, HTTPCall call) except -1:
        """Its first step is over, in which nobody could cancel it; its client may have gone meanwhile."""
        if call.cancel_at and self.worker.disconnect_grace == 0:
            self.abandoned.remove(call)
            return self.cancel(call.task, call.method, call.uri)
        return 0

    cdef int finished(self, object call) except -1:
        """Its task is over. Where the loop took its last step, no batch of events says that the loop has nothing to do."""
        self.calls.discard(call)
        if not self.calls and not self.thread.collecting:
            self.thread.cell.busy_since_ns = 0
        return 0

    cdef int cancel(self, object task, str method, str uri) except -1:
        """The task, or what it awaits, may be of a class of the application's."""
        try:
            task.cancel()
        except BaseException as error:
            report(self.worker.logger, "a task could not be cancelled (%s %s)", method, uri, error=error)
        return 0

    cdef int cancel_overdue(self, long long now) except -1:
        cdef HTTPCall call
        if not self.abandoned or (<HTTPCall>self.abandoned[0]).cancel_at > now:
            return 0
        overdue = [call for call in self.abandoned if (<HTTPCall>call).cancel_at <= now]
        self.abandoned = [call for call in self.abandoned if (<HTTPCall>call).cancel_at > now]
        for call in overdue:
            if call.task is not None and not call.ended:
                self.cancel(call.task, call.method, call.uri)
        return 0
