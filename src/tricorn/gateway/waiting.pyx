"""Tasks that wait for the transport: awaitables without futures, wake-ups without a turn of the loop.

The plan. `receive()` and `send()` return small awaitables. Where there is nothing to wait for, they end at once and the
task never leaves its step. Where there is, they yield a `Wait`, which is to asyncio what a future is. When what
the task waits for happens, the transport is in a callback of the loop anyway, and no other task is running: so the task's
step is called right there, in the task's context, instead of being scheduled for the next turn. If application code is on
the stack (it called `send()`, which found the client gone, and another task waits in `receive()`), the step
is scheduled as a future would do it: asyncio does not let one task run inside another.

On CPython 3.12 and newer tasks are started eagerly, so an application that never waits has no turn of the loop at all.

Knows: what asyncio's Task asks of the objects that it waits for. Must not know: what is waited for; it makes and runs no loop.
"""

cimport cython

import sys
from asyncio import CancelledError, InvalidStateError, Task
from contextvars import copy_context
from inspect import iscoroutinefunction

cdef extern from "Python.h":
    object PyContext_Copy(object)
    int PyContext_Enter(object) except -1
    int PyContext_Exit(object) except -1

# A C function that has set an exception: calling it through this declaration raises it.
cdef extern from *:
    """
    static PyObject *tricorn_stop_iteration(PyObject *value) {
        PyErr_SetObject(PyExc_StopIteration, value);
        return NULL;
    }
    """
    object tricorn_stop_iteration(object)

cdef bint EAGER = sys.version_info >= (3, 12)
PENDING = object()                  # what poll() returns instead of a result
cdef object NOTHING = iter(())      # ends whenever it is asked, without an exception object


def as_coroutine_function(application):
    """The application in a form whose call does nothing yet: all its code then runs in its task and its context."""
    if iscoroutinefunction(application) or iscoroutinefunction(getattr(type(application), "__call__", None)):
        return application

    async def call(scope, receive, send):
        return await application(scope, receive, send)

    return call


cdef object failure_of(object task):
    """What a task that is over has raised, else None."""
    try:
        return task.exception()
    except CancelledError as error:
        return error


cdef class Gate:
    """loop: of this process. context: contextvars.Context in which applications begin; each gets a copy."""

    def __init__(self, loop, context):
        self.loop = loop
        self.call_soon = loop.call_soon
        self.context = context

    cdef object start(self, object coroutine):
        cdef bint was_open = self.open
        context = PyContext_Copy(self.context)
        if not EAGER:
            return Task(coroutine, loop=self.loop, context=context)
        self.open = False
        try:
            return Task(coroutine, loop=self.loop, eager_start=True, context=context)
        finally:
            self.open = was_open

    cdef int wake(self, Wait wait) except -1:
        """Have the task that waits go on."""
        callback = wait.callback
        wait.fired = True
        wait.callback = None
        if callback is None:
            return 0        # it is told when it asks
        if not self.open:
            self.call_soon(callback, wait, context=wait.context)
            return 0
        self.open = False
        PyContext_Enter(wait.context)
        try:
            callback(wait)
        except (SystemExit, KeyboardInterrupt):
            return 0        # it ended the task, whose end is reported to whoever started it
        finally:
            PyContext_Exit(wait.context)
            self.open = True
        return 0


@cython.freelist(64)
cdef class Wait:
    """The part of a future that Task._step() uses."""

    @property
    def _asyncio_future_blocking(self):
        return self.blocking

    @_asyncio_future_blocking.setter
    def _asyncio_future_blocking(self, bint value):
        self.blocking = value

    def get_loop(self):
        return self.gate.loop

    def done(self):
        return self.fired

    def cancelled(self):
        return self.was_cancelled

    def add_done_callback(self, callback, *, context=None):
        if self.fired:
            self.gate.call_soon(callback, self, context=context)
        else:
            self.callback = callback
            self.context = context if context is not None else copy_context()

    def remove_done_callback(self, callback):
        if self.callback is not callback:
            return 0
        self.callback = None
        return 1

    def cancel(self, msg=None):
        """False if what is waited for has happened already."""
        if self.fired:
            return False
        self.fired = self.was_cancelled = True
        self.reason = msg
        if self.callback is not None:
            self.gate.call_soon(self.callback, self, context=self.context)
            self.callback = None
        return True

    def result(self):
        if self.was_cancelled:
            raise CancelledError() if self.reason is None else CancelledError(self.reason)
        if not self.fired:
            raise InvalidStateError("it has not happened yet")

    def exception(self):
        self.result()
        return None


cdef class WaitQueue:
    """Those who wait for one thing. Usually one at most."""

    def __cinit__(self, Gate gate):
        self.gate = gate

    cdef Wait enter(self):
        cdef Wait wait = Wait.__new__(Wait)
        wait.gate = self.gate
        wait.blocking = True
        wait.next = self.first
        self.first = wait
        return wait

    cdef void leave(self, Wait wait) noexcept:
        cdef Wait at = self.first
        if at is wait:
            self.first = wait.next
            return
        while at is not None:
            if at.next is wait:
                at.next = wait.next
                return
            at = at.next

    cdef int wake_all(self) except -1:
        """Who finds nothing (another was quicker) waits again."""
        cdef Wait wait = self.first
        cdef Wait next
        self.first = None
        while wait is not None:
            next = wait.next
            wait.next = None
            self.gate.wake(wait)
            wait = next
        return 0


@cython.freelist(64)
cdef class Awaiting:
    """One use of receive() or send(). Like a coroutine, it does nothing before it is awaited."""

    cdef object poll(self):
        raise NotImplementedError

    cdef WaitQueue waiters(self):
        """Those who wait for the same thing."""
        raise NotImplementedError

    cdef object _step(self):
        if self.wait is not None:
            self.close()
        result = self.poll()
        if result is not PENDING:
            return tricorn_stop_iteration(result)
        self.wait = self.waiters().enter()
        return self.wait

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self._step()

    # These make it a collections.abc.Coroutine, which asyncio.create_task() asks for.

    def send(self, value):
        return self._step()

    def throw(self, kind, value=None, traceback=None):
        self.close()
        if value is None:
            value = kind() if isinstance(kind, type) else kind
        raise value

    def close(self):
        if self.wait is not None:
            self.waiters().leave(self.wait)
            self.wait = None


cdef class Done:
    """What send() returns when it has not had to wait."""

    def __await__(self):
        return NOTHING

    def __iter__(self):
        return NOTHING

    def __next__(self):
        raise StopIteration

    def send(self, value):
        raise StopIteration

    def throw(self, kind, value=None, traceback=None):
        raise kind if value is None else value

    def close(self):
        return None


DONE = Done()
