# How an application's task waits for the transport, and how it is woken without a detour.

# The one way into application code from compiled code of this process's event loop.
cdef class Gate:
    cdef readonly object loop
    cdef object call_soon
    cdef object context         # what the context of each task is a copy of
    cdef bint open              # nobody is in application code: it may be entered from here

    # A task for `coroutine`, run until it first has to wait where the interpreter can do that.
    cdef object start(self, object coroutine)
    cdef int wake(self, Wait wait) except -1

# Something that a task waits for: what asyncio expects of a future, and no more.
cdef class Wait:
    cdef Gate gate
    cdef object callback
    cdef object context
    cdef bint blocking
    cdef bint fired
    cdef bint was_cancelled
    cdef object reason          # of the cancellation: anyio knows its own by it
    cdef Wait next              # in the queue of those who wait for the same thing

cdef class WaitQueue:
    cdef Gate gate
    cdef Wait first

    cdef Wait enter(self)
    cdef void leave(self, Wait wait) noexcept
    cdef int wake_all(self) except -1

# An awaitable: `poll` gives a result, or PENDING as long as there is nothing to give.
cdef object PENDING

cdef class Awaiting:
    cdef object owner           # of what is asked for
    cdef Wait wait

    cdef WaitQueue waiters(self)
    cdef object poll(self)
    cdef object _step(self)

# An awaitable that is done already, with the result None.
cdef object DONE

cdef object failure_of(object task)
