cimport cython
from cpython.object cimport PyObject

from tricorn.http.buffer cimport Buffer
from tricorn.transport.channel cimport Channel, Holder
from tricorn.transport.thread_context cimport ThreadContext

cdef enum:
    BATCH_ROOM = 64         # channels

cdef struct Held:
    PyObject* whose         # channel, strong; NULL: released already
    PyObject* piece         # strong: bytes that follow those in the arena; NULL: none
    Py_ssize_t end          # of its bytes in the arena, which begin where those of the one before end

# What is on its way: taken out of the batch, not all of it sent yet. It lies on the stack of whoever releases.
cdef struct Flight:
    Held held[BATCH_ROOM]
    int count
    PyObject* arena         # Buffer, borrowed
    Flight* other           # that began before this one, and is not over

# What several channels send, held back to leave together.
@cython.final
cdef class Batch(Holder):
    cdef ThreadContext thread       # of the thread that fills it
    cdef Buffer arena
    cdef Buffer spare               # None: what is on its way has it
    cdef Flight* flight
    cdef Held held[BATCH_ROOM]
    cdef int count
    cdef long long since            # CLOCK_MONOTONIC, ns: when it began to fill

    # Whether bytes of this channel can still be added behind those that are held.
    cdef bint takes(self, Channel channel) noexcept
    cdef Py_ssize_t size_of(self, Channel channel) noexcept
    # Hold the bytes of `out`, `piece` and `tail`. Only if it takes them.
    cdef int copy(self, Channel channel, Buffer out, bytes piece, const char* tail, Py_ssize_t tail_size, long long now) except -1
    # As copy(), but `piece` is kept where it is, and nothing can be added behind it.
    cdef int hold(self, Channel channel, Buffer out, bytes piece, long long now) except -1
    # Hold what stands in the queue of the channel, which is not watched meanwhile.
    cdef int cork(self, Channel channel, long long now) except -1
    cdef int release(self) except -1

    cdef bint _is_last(self, Channel channel) noexcept
    cdef Held* _place(self, Channel channel, long long now) noexcept
    cdef int _send_one(self, Held* held, int i, Buffer arena) except -1
    cdef int _send(self, Held* held, const void* data, Py_ssize_t size) except -1
    cdef int _send_quietly(self, Held* held, int i, Buffer arena) except -1
    cdef void _land(self, Flight* flight) noexcept

cdef Batch new_batch(ThreadContext thread)
