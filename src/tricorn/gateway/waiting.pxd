from cpython.object cimport PyObject

# How an application's task waits for the transport, and how it is woken without a detour.

# The one way into application code from compiled code of this process's event loop.
cdef class TaskRunner:
    cdef readonly object loop
    cdef object call_soon
    cdef object task_factory    # tells which one is set
    cdef object factory         # the one that was set last
    cdef bint hands_on          # … and whether it takes the context of a task
    cdef object context         # what the context of each task is a copy of
    cdef object template        # a copy of it, of which tasks make theirs when they are constructed
    cdef bint constructing      # … as one does now
    cdef object last_context    # of the last task
    cdef object before          # called in the context that the next task gets a copy of, before it starts; None
    cdef dict keywords          # of a task's class
    cdef object get_loop        # a function that returns the loop
    cdef object done            # a future that has a result
    cdef unsigned long thread   # of the loop
    cdef bint open              # nobody is in application code: it may be entered from here
    cdef bint acting            # a message of the application's is being acted on

    # A task for `coroutine`, with a context of its own, run until it first has to wait where the interpreter can do that.
    cdef object start(self, object coroutine)
    # That of the task that was started last, unless it can be asked for it; the task runner forgets it.
    cdef object take_context(self)
    cdef int _prepare(self, object context) except -1
    cdef object _own_task(self, object coroutine)
    cdef int wake(self, Wait wait) except -1
    cdef int admit(self) except -1

# Something that a task waits for: what asyncio expects of a future, and no more.
cdef class Wait:
    cdef void* vectorcall       # vectorcallfunc, of add_done_callback
    cdef TaskRunner task_runner
    cdef object callback
    cdef object context
    cdef bint blocking
    cdef bint fired
    cdef bint was_cancelled
    cdef object reason          # of the cancellation: anyio knows its own by it
    cdef Wait next              # in the queue of those who wait for the same thing

cdef class WaitQueue:
    cdef TaskRunner task_runner
    cdef Wait first

    cdef Wait enter(self)
    cdef void leave(self, Wait wait) noexcept
    cdef int wake_all(self) except -1

# Stands for a message or a result that is not there yet.
cdef object PENDING

# Have a compiled method that returns an awaitable count as a coroutine function.
cdef int mark_as_coroutine_function(object method) except -1
cdef object failure_of(object task)
# The same, or PENDING where it is not over. likely: it is, as it seems.
cdef object outcome_of(object task, bint likely)
cdef object context_of(object task)
# Set StopIteration with this value, as an awaitable ends.
cdef void end_with(PyObject* value) noexcept
# Call it in a copy of `context`, or where there is none in the present one.
cdef int call_within(object context, object function) except -1

# Have the interpreter call objects of this class by the vectorcallfunc that is at `offset` in each.
cdef void call_by_vector(object kind, Py_ssize_t offset) noexcept
