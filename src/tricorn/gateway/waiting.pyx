"""Tasks that wait for the transport: awaitables without futures, wake-ups without a turn of the loop.

The plan. `receive()` and `send()` return small awaitables, which act in their first step: like a coroutine, they do nothing
before they are awaited, and act where they are awaited. Where there is nothing to wait for, they end at once and the
task never leaves its step. Where there is, they yield a `Wait`, which is to asyncio what a future is. When what
the task waits for happens, the transport is in a callback of the loop anyway, and no other task is running: so the task's
step is called right there, in the task's context, instead of being scheduled for the next turn. If application code is on
the stack (it called `send()`, which found the client gone, and another task waits in `receive()`), the step
is scheduled as a future would do it: asyncio does not let one task run inside another.

On CPython 3.12 and newer tasks are started eagerly, so an application that never waits has no turn of the loop at all. Where
the application has set a task factory, the loop makes the tasks with that, and the factory decides when they start.

Finalizers of the application (`__del__`) may run in the middle of our own code and call anything that they have kept. While the
gate is open, or a message is being acted on, no step is ever due; so a step that comes then is refused (`Gate.admit`).

Knows: what asyncio's Task asks of the objects that it waits for. Must not know: what is waited for; it makes and runs no loop.
"""

cimport cython
from cpython.dict cimport PyDict_SetItem

import sys
from asyncio import CancelledError, InvalidStateError, Task
from contextvars import copy_context
from inspect import iscoroutinefunction, signature

cdef extern from "Python.h":
    ctypedef struct PyCodeObject:
        int co_flags
    int CO_COROUTINE
    object PyContext_Copy(object)
    int PyContext_Enter(object) except -1
    int PyContext_Exit(object) except -1
    unsigned long PyThread_get_thread_ident()

# A call of a class with keywords makes a tuple and a dict for its constructor each time. Here the dict is kept.
cdef extern from *:
    """
    static PyObject *tricorn_construct(PyObject *class, PyObject *arguments, PyObject *keywords) {
        PyTypeObject *type = (PyTypeObject *)class;
        PyObject *made = type->tp_new(type, arguments, keywords);
        if (made != NULL && type->tp_init(made, arguments, keywords) < 0)
            Py_CLEAR(made);
        return made;
    }
    """
    object tricorn_construct(object, tuple, dict)

cdef bint EAGER = sys.version_info >= (3, 12)
cdef str CONTEXT = sys.intern("context")

# Of the interpreter's own class, looked up once.
cdef object OwnTask = Task
cdef object DONE = Task.done
cdef object EXCEPTION = Task.exception
PENDING = object()                  # instead of a message or a result: it has to be waited for


def as_coroutine_function(application):
    """The application in a form whose call does nothing yet: all its code then runs in its task and its context."""
    if iscoroutinefunction(application) or iscoroutinefunction(getattr(type(application), "__call__", None)):
        return application

    async def call(scope, receive, send):
        return await application(scope, receive, send)

    return call


cdef int mark_as_coroutine_function(object method) except -1:
    """inspect.iscoroutinefunction() looks at the flags of the code, which for a compiled function only describes it."""
    code = method.__code__
    (<PyCodeObject*>code).co_flags |= CO_COROUTINE
    return 0


cdef object failure_of(object task):
    """What a task that is over has raised, else None."""
    try:
        return EXCEPTION(task) if type(task) is OwnTask else task.exception()
    except CancelledError as error:
        return error


cdef bint is_over(object task) except -1:
    return DONE(task) if type(task) is OwnTask else task.done()


cdef int call_within(object context, object function) except -1:
    """A copy, since the context itself may be in use: in another thread, or further up the stack."""
    if context is None:
        function()
    else:
        PyContext_Copy(context).run(function)
    return 0


cdef bint _takes_context(object factory):
    """Task factories have the parameter since Python 3.11; older ones, which still exist, have not."""
    try:
        signature(factory).bind(None, None, context=None)
    except TypeError:
        return False
    except ValueError:      # it has no signature
        return True
    return True


cdef class Gate:
    """loop: of this process. context: contextvars.Context in which applications begin; each gets a copy."""

    def __init__(self, loop, context):
        self.loop = loop
        self.call_soon = loop.call_soon
        self.task_factory = loop.get_task_factory
        self.context = context
        self.keywords = {"loop": loop, "context": None, **({"eager_start": True} if EAGER else {})}
        self.thread = PyThread_get_thread_ident()

    def task(self, coroutine):
        """A task for application code that is no request. It starts later, unless the application's task factory has it start."""
        factory = self.task_factory()
        context = PyContext_Copy(self.context)
        if factory is None:
            return Task(coroutine, loop=self.loop, context=context)
        return self._made(factory, coroutine, context)

    cdef object new_context(self):
        context = self.spare
        self.spare = None
        return context if context is not None else PyContext_Copy(self.context)

    cdef object start(self, object coroutine, object context):
        cdef bint was_open = self.open
        factory = self.task_factory()       # it may be set, and changed, at any time
        self.open = False
        try:
            if factory is not None:
                if self.placed is context:
                    self._place(None)
                return self._made(factory, coroutine, context)
            return self._own_task(coroutine, context)
        finally:
            self.open = was_open

    cdef object _own_task(self, object coroutine, object context):
        cdef object next = PyContext_Copy(self.context)
        if self.placed is not context:
            PyDict_SetItem(self.keywords, CONTEXT, context)
        try:
            return tricorn_construct(OwnTask, (coroutine,), self.keywords)
        finally:
            self._place(next)

    cdef int _place(self, object context) except -1:
        """For the next task. What a request keeps in its own context ends with the request, so that must not stay there."""
        PyDict_SetItem(self.keywords, CONTEXT, context)
        self.placed = self.spare = context
        return 0

    def _made(self, factory, coroutine, context):
        """Not by loop.create_task(): what that hands to a factory depends on the loop, and not every factory takes it."""
        if self.factory is not factory:
            self.hands_on = _takes_context(factory)
            self.factory = factory
        try:
            if self.hands_on:
                return factory(self.loop, coroutine, context=context)
            return context.run(factory, self.loop, coroutine)
        except BaseException:
            coroutine.close()
            raise

    cdef int admit(self) except -1:
        """A step of receive() or send() is to be taken. Not from everywhere."""
        if self.thread != PyThread_get_thread_ident():
            raise RuntimeError("receive() and send() must be awaited in the thread of their event loop")
        if self.open or self.acting:
            raise RuntimeError("receive() and send() must not be awaited while a message is being handled")
        return 0

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
        cdef Gate gate = self.gate
        self.first = None
        while wait is not None:
            next = wait.next
            wait.next = None
            gate.wake(wait)
            wait = next
        return 0
