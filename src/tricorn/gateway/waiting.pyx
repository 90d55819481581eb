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
task runner is open, or a message is being acted on, no step is ever due; so a step that comes then is refused (`TaskRunner.admit`).

Knows: what asyncio's Task asks of the objects that it waits for. Must not know: what is waited for; it makes and runs no loop.
"""

cimport cython
from cpython.object cimport PyObject

import sys
from asyncio import CancelledError, Future, InvalidStateError, Task
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
    PyObject* PyTuple_GET_ITEM(object, Py_ssize_t)
    Py_ssize_t PyTuple_GET_SIZE(object)
    object PyMethod_New(object, object)
    object PyObject_Vectorcall(object, PyObject**, size_t, PyObject*)
    Py_ssize_t PyVectorcall_NARGS(size_t)
    bint PyCFunction_Check(object)
    PyObject* PyCFunction_GetSelf(object) except? NULL

# A call of a class with keywords makes a tuple and a dict for its constructor each time. Here the dict is kept.
#
# A result that an awaitable ends with travels in a StopIteration, of which nobody sees more than the result, as a rule. To make one costs
# more than all else of a step, so the same is set again and again, if nobody has kept it, and emptied when the task's step is over.
cdef extern from *:
    """
    static PyObject *tricorn_new(PyObject *class, PyObject *arguments, PyObject *keywords) {
        return ((PyTypeObject *)class)->tp_new((PyTypeObject *)class, arguments, keywords);
    }

    static int tricorn_init(PyObject *made, PyObject *arguments, PyObject *keywords) {
        return Py_TYPE(made)->tp_init(made, arguments, keywords);
    }

    static void tricorn_make_callable(PyObject *class, Py_ssize_t offset) {
        PyTypeObject *type = (PyTypeObject *)class;
        type->tp_vectorcall_offset = offset;
        type->tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL;
        PyType_Modified(type);
    }

    #if PY_VERSION_HEX >= 0x030C0000
    static PyStopIterationObject *tricorn_stop;
    static int tricorn_stop_is_full;

    static int tricorn_stop_is_ours(void) {
        return Py_REFCNT(tricorn_stop) == 1 && Py_REFCNT(tricorn_stop->args) == 1 && tricorn_stop->traceback == NULL
            && tricorn_stop->context == NULL && tricorn_stop->cause == NULL && tricorn_stop->notes == NULL
            && tricorn_stop->dict == NULL && PyTuple_GET_SIZE(tricorn_stop->args) == 1;
    }

    static void tricorn_fill_stop(PyObject *value) {
        PyObject *argument = PyTuple_GET_ITEM(tricorn_stop->args, 0);
        PyObject *former = tricorn_stop->value;
        PyTuple_SET_ITEM(tricorn_stop->args, 0, Py_NewRef(value));
        tricorn_stop->value = Py_NewRef(value);
        Py_DECREF(argument);
        Py_XDECREF(former);
    }

    static void tricorn_empty_stop(void) {
        if (!tricorn_stop_is_full)
            return;
        tricorn_stop_is_full = 0;
        if (tricorn_stop_is_ours())
            tricorn_fill_stop(Py_None);
        else
            Py_CLEAR(tricorn_stop);
    }

    static void tricorn_lend_stop(PyObject *value) {
        tricorn_empty_stop();       /* which may call foreign code, and that may have another one lent */
        if (tricorn_stop == NULL) {
            tricorn_stop = (PyStopIterationObject *)PyObject_CallOneArg(PyExc_StopIteration, Py_None);
            if (tricorn_stop == NULL)
                return;
        }
        if (tricorn_stop_is_full || !tricorn_stop_is_ours()) {
            PyErr_SetObject(PyExc_StopIteration, value);
            return;
        }
        tricorn_fill_stop(value);
        tricorn_stop_is_full = 1;
        PyErr_SetRaisedException(Py_NewRef((PyObject *)tricorn_stop));
    }
    #else
    /* There an exception is made only where somebody looks at it. */
    static void tricorn_empty_stop(void) {}
    static void tricorn_lend_stop(PyObject *value) { PyErr_SetObject(PyExc_StopIteration, value); }
    #endif

    static void tricorn_set_stop(PyObject *value) { PyErr_SetObject(PyExc_StopIteration, value); }
    """
    void tricorn_make_callable(object, Py_ssize_t)
    object tricorn_new(object, tuple, dict)
    int tricorn_init(object, tuple, dict) except -1
    void tricorn_empty_stop() noexcept
    void tricorn_lend_stop(PyObject*) noexcept
    void tricorn_set_stop(PyObject*) noexcept

cdef str CONTEXT = sys.intern("context")
cdef bint EAGER = sys.version_info >= (3, 12)
# Of the interpreter's own class, looked up once.
cdef object OwnTask = Task
cdef object DONE = Task.done
cdef object EXCEPTION = Task.exception
cdef object GET_CONTEXT = getattr(Task, "get_context", None)    # since 3.12
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


cdef void call_by_vector(object kind, Py_ssize_t offset) noexcept:
    tricorn_make_callable(kind, offset)


cdef object failure_of(object task):
    """What a task that is over has raised, else None."""
    try:
        failure = EXCEPTION(task) if type(task) is OwnTask else task.exception()
    except CancelledError as error:
        failure = error
    return failure


cdef object outcome_of(object task, bint likely):
    if type(task) is not OwnTask:
        return failure_of(task) if task.done() else PENDING
    if not likely:
        return failure_of(task) if DONE(task) else PENDING
    try:
        outcome = failure_of(task)
    except InvalidStateError:
        outcome = PENDING
    return outcome


cdef inline bint _is_of_own_task(object callback):
    """It is told that something has happened by any future that is over, and knows what one of asyncio's own holds without a call."""
    cdef PyObject* of
    if not PyCFunction_Check(callback):
        return False
    of = PyCFunction_GetSelf(callback)
    return of != NULL and type(<object>of) is OwnTask


cdef object context_of(object task):
    """None: it does not tell."""
    return GET_CONTEXT(task) if type(task) is OwnTask and GET_CONTEXT is not None else None


cdef bint STEPPING = False      # a task takes a step, behind which we look after it


cdef void end_with(PyObject* value) noexcept:
    if STEPPING:
        tricorn_lend_stop(value)
    else:
        tricorn_set_stop(value)


cdef int call_within(object context, object function) except -1:
    """A copy, since the context itself may be in use: in another thread, or further up the stack."""
    (PyContext_Copy(context) if context is not None else copy_context()).run(function)
    return 0


cdef bint _takes_context(object factory):
    """Task factories have the parameter since Python 3.11; older ones, which still exist, have not."""
    cdef bint takes = True
    try:
        signature(factory).bind(None, None, context=None)
    except TypeError:
        takes = False
    except ValueError:
        takes = True        # it has no signature
    return takes


cdef class TaskRunner:
    """loop: of this process. context: contextvars.Context in which applications begin; each gets a copy."""

    def __init__(self, loop, context):
        self.loop = loop
        self.call_soon = loop.call_soon
        self.task_factory = loop.get_task_factory
        self.context = context
        self.template = PyContext_Copy(context)
        self.keywords = {"loop": loop, **({"eager_start": True} if EAGER else {})}
        self.get_loop = self._loop_of_waits
        self.done = Future(loop=loop)
        self.done.set_result(None)
        self.thread = PyThread_get_thread_ident()

    def task(self, coroutine):
        """A task for application code that is no request. It starts later, unless the application's task factory has it start."""
        factory = self.task_factory()
        context = PyContext_Copy(self.context)
        if factory is None:
            return Task(coroutine, loop=self.loop, context=context)
        return self._made(factory, coroutine, context)

    def _loop_of_waits(self):
        return self.loop

    cdef object take_context(self):
        context = self.last_context
        self.last_context = None
        return context

    cdef object start(self, object coroutine):
        global STEPPING
        cdef bint was_open = self.open
        cdef bint was_stepping = STEPPING
        factory = self.task_factory()       # it may be set, and changed, at any time
        self.open = False
        STEPPING = True
        try:
            if factory is None and EAGER and not self.constructing:
                if self.before is not None:
                    self._prepare(self.template)
                return self._own_task(coroutine)
            context = PyContext_Copy(self.context)
            if self.before is not None:
                self._prepare(context)
            return self._task_in(context, factory, coroutine)
        finally:
            STEPPING = was_stepping
            self.open = was_open
            tricorn_empty_stop()

    cdef int _prepare(self, object context) except -1:
        before = self.before
        self.before = None
        context.run(before)
        return 0

    cdef object _own_task(self, object coroutine):
        """A task that is given no context takes a copy of the present one; that costs less than to hand it one."""
        cdef object task = None
        PyContext_Enter(self.template)
        self.constructing = True
        try:
            arguments = (coroutine,)
            task = tricorn_new(OwnTask, arguments, self.keywords)
            tricorn_init(task, arguments, self.keywords)
            return task
        except (SystemExit, KeyboardInterrupt):
            self.last_context = context_of(task)    # its first step has raised it
            raise
        finally:
            self.constructing = False
            PyContext_Exit(self.template)

    def _task_in(self, context, factory, coroutine):
        self.last_context = context
        if factory is not None:
            return self._made(factory, coroutine, context)
        return Task(coroutine, context=context, **self.keywords)

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
        global STEPPING
        callback = wait.callback
        wait.fired = True
        wait.callback = None
        if callback is None:
            return 0        # it is told when it asks
        if not self.open:
            self.call_soon(callback, wait, context=wait.context)
            return 0
        self.open = False
        STEPPING = True
        PyContext_Enter(wait.context)
        try:
            callback(self.done if _is_of_own_task(callback) else wait)
        except (SystemExit, KeyboardInterrupt):
            callback = None     # it ended the task, whose end is reported to whoever started it
        finally:
            PyContext_Exit(wait.context)
            STEPPING = False
            self.open = True
            tricorn_empty_stop()
        return 0


@cython.freelist(64)
cdef class Wait:
    """The part of a future that Task._step() uses.

    A task asks for each method only to call it. So that none has to be made for that, `get_loop` is one that all have in common, and
    `add_done_callback` is the object itself.
    """

    @property
    def _asyncio_future_blocking(self):
        return self.blocking

    @_asyncio_future_blocking.setter
    def _asyncio_future_blocking(self, bint value):
        self.blocking = value

    @property
    def get_loop(self):
        return self.task_runner.get_loop

    @property
    def add_done_callback(self):
        return self

    def done(self):
        return self.fired

    def cancelled(self):
        return self.was_cancelled

    def __call__(self, callback, *, context=None):
        self._add(callback, context=context)

    def _add(self, callback, *, context=None):
        if self.fired:
            self.task_runner.call_soon(callback, self, context=context)
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
            self.task_runner.call_soon(self.callback, self, context=self.context)
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


cdef object _called_to_add(object wait, PyObject** arguments, size_t flags, PyObject* names):
    cdef PyObject* context = NULL
    if names != NULL and PyTuple_GET_SIZE(<object>names) == 1 and PyTuple_GET_ITEM(<object>names, 0) == <PyObject*>CONTEXT:
        context = arguments[1]
    if context == NULL or PyVectorcall_NARGS(flags) != 1 or (<Wait>wait).fired or <object>context is None:
        return PyObject_Vectorcall(PyMethod_New(ADD, wait), arguments, flags, names)
    (<Wait>wait).callback = <object>arguments[0]
    (<Wait>wait).context = <object>context
    return None


cdef object ADD = Wait._add
cdef Wait MODEL = Wait()
call_by_vector(Wait, <char*>&MODEL.vectorcall - <char*><void*>MODEL)


cdef class WaitQueue:
    """Those who wait for one thing. Usually one at most."""

    def __cinit__(self, TaskRunner task_runner):
        self.task_runner = task_runner

    cdef Wait enter(self):
        cdef Wait wait = Wait.__new__(Wait)
        wait.vectorcall = <void*>_called_to_add
        wait.task_runner = self.task_runner
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
        cdef TaskRunner task_runner = self.task_runner
        self.first = None
        while wait is not None:
            next = wait.next
            wait.next = None
            task_runner.wake(wait)
            wait = next
        return 0
