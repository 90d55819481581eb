"""Whether an event loop turns: who watches needs another thread, and must not need the GIL.

The plan. The loop beats on the scoreboard whenever it turns. A thread of ours looks at that ten times a second, and says in the same
breath that threads run here at all (`tick_ns`). If the loop is late, the thread asks for the GIL, and says since when
(`awaits_gil_ns`): who reads it there sees that another thread holds the GIL. When it has the GIL it finds out what the loop's thread
is at: the row gets that in a line, for the master, and the log, after `slow_request_time`, with the stack.

A process that was suspended is no blocked loop: then this thread is late itself.

Knows: the loop's tasks, the row. Must not know: what follows for the worker, settings.
"""

from tricorn.gateway.asgi cimport HTTPCall
from tricorn.scoreboard cimport RowData, monotonic
from tricorn.tracing.trace cimport Trace, sample
from tricorn.transport.loop_context cimport LoopContext
from tricorn.transport.request cimport Request
from tricorn.transport.system cimport usleep
from tricorn.transport.worker_context cimport WorkerContext

import sys
from asyncio import current_task

from tricorn.log.exceptions import name_of
from tricorn.transport.stacks import place_of, thread_stack

cdef enum:
    TICK_US = 100000
    LONGEST_TARGET = 80     # of a request, as far as it is shown

# So late that this thread cannot have run: others had the processor, or the process was suspended.
cdef long long LATE_NS = 500000000


cdef class LoopWatch:
    """ident: of the loop's thread. sweep_interval: how often the loop beats, ns. note_after: when the row tells what blocks it, ns."""

    def __init__(self, LoopContext loop_context, unsigned long ident, long long sweep_interval, long long note_after):
        self.loop_context = loop_context
        self.ident = ident
        self.note_after = note_after + sweep_interval
        if loop_context.worker.shortest_slow:
            self.tell_after = loop_context.worker.shortest_slow + sweep_interval

    def run(self):
        """What the thread does, until `stop`."""
        cdef RowData* row = self.loop_context.worker.row.data
        try:
            while not self.stopped:
                with nogil:
                    self._wait(row)
                row.awaits_gil_ns = 0
                if not self.stopped:
                    self._look(row)
        finally:
            row.tick_ns = 0     # that nobody ticks says nothing from here on

    def stop(self):
        self.stopped = True

    cdef void _wait(self, RowData* row) noexcept nogil:
        """Until there is something to say."""
        cdef long long now = monotonic()
        cdef long long before
        cdef long long late
        while not self.stopped:
            before = now
            usleep(TICK_US)
            now = monotonic()
            row.tick_ns = now
            if now - before > LATE_NS:
                self.turned = now
            if row.heartbeat_ns > self.turned:
                self.turned = row.heartbeat_ns
            late = now - self.turned
            if late < self.note_after:
                row.obstacle[0] = 0
            if (late > self.note_after and self.noted != self.turned) or (
                self.tell_after and late > self.tell_after and self.told != self.turned
            ):
                row.awaits_gil_ns = now
                return

    cdef int _look(self, RowData* row) except -1:
        """Say by what the loop is blocked. It may have turned while this thread waited for the GIL: then it was blocked until now."""
        cdef WorkerContext worker = self.loop_context.worker
        cdef long long turned = self.turned
        cdef long long late = monotonic() - turned
        cdef Trace trace
        who = self._blocker()
        frame = sys._current_frames().get(self.ident)
        where = place_of(frame)
        stack = thread_stack(frame)
        del frame
        if late > self.note_after and row.heartbeat_ns <= turned:
            self.noted = turned
            worker.row.obstacle = f"{who}, at {where}"
        if self.tell_after and late > self.tell_after and self.told != turned:
            self.told = turned
            trace = self._blocked()
            if trace is not None:
                sample(trace, turned + late, late, stack)
            worker.logger.warning(
                "The event loop has been blocked for %.1f s (slow_request_time) by %s; it is at", late / 1e9, who,
                extra={"block": stack},
            )
        return 0

    def _blocker(self):
        """The task that has the loop, in words, with its request where it is one's own."""
        cdef LoopContext loop_context = self.loop_context
        if loop_context.starting:       # it is in none of the calls yet
            return (<bytes>loop_context.thread.cell.request).decode("latin-1")
        task = current_task(loop_context.task_runner.loop)
        if task is None:
            return "a callback"
        for call in list(loop_context.calls):
            if call.task is task:
                return f"{call.method} {call.uri:.{LONGEST_TARGET}}"
        return f"task {_name(task)}"

    cdef Trace _blocked(self):
        """Of the request that has the loop; None: it is none, or nobody wants to know."""
        cdef LoopContext loop_context = self.loop_context
        cdef Request request
        if loop_context.starting:
            return loop_context.beginning
        task = current_task(loop_context.task_runner.loop)
        for call in list(loop_context.calls):
            if task is not None and isinstance(call, HTTPCall) and call.task is task:
                request = <Request>(<HTTPCall>call).exchange
                return request.trace if request is not None else None
        return None


cdef object _name(task):
    """It may be of a class of the application's."""
    try:
        name = ascii(task.get_name())
    except BaseException as error:
        name = f"without a name ({name_of(error)})"
    return name
