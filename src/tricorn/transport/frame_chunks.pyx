"""The memory in which the frames of Python functions lie, kept for the next one that wants such.

The plan. From CPython 3.11 on frames lie in chunks of 16 KiB. A thread begins with one of its own, and so does a greenlet, which gives it
back when it ends; whatever is called deeper takes more. CPython gets them from its arena allocator, which asks the kernel: mmap(2), a
fault for the first page, munmap(2). Of a small request in a greenlet that was two thirds of the instructions in the kernel (43,300 with it,
14,500 without). So one thread, that of the greenlets, keeps chunks that have been given back.

The arena allocator may be replaced at any time (PyObject_SetArenaAllocator), as long as the new one takes what the old one has given. This
one asks the old one for all that it has not.

Guarantees: only the one thread touches what is kept, whichever interpreters other threads run.

Knows: sizes, the arena allocator. Must not know: what runs in the frames, greenlets, requests.
"""

cdef extern from "Python.h":
    ctypedef struct PyObjectArenaAllocator:
        void* ctx
        void* (*alloc)(void* ctx, size_t size) noexcept nogil
        void (*free)(void* ctx, void* chunk, size_t size) noexcept nogil
    void PyObject_GetArenaAllocator(PyObjectArenaAllocator*)
    void PyObject_SetArenaAllocator(PyObjectArenaAllocator*)

cdef extern from "pythread.h" nogil:
    unsigned long PyThread_get_thread_ident()

cdef enum:
    CHUNK = 16384           # DATA_STACK_CHUNK_SIZE; a function with more variables gets a larger one, which is seldom
    MOST_KEPT = 256         # so 4 MiB at most, of which as much is in use as the deepest of the frames were

cdef struct Kept:
    Kept* next

cdef PyObjectArenaAllocator below
cdef unsigned long owner = 0        # the thread's number; 0: nothing is kept
cdef Kept* kept = NULL
cdef int count = 0


cdef void* _alloc(void* ctx, size_t size) noexcept nogil:
    global kept, count
    cdef Kept* chunk
    if size != CHUNK or kept == NULL or PyThread_get_thread_ident() != owner:
        return below.alloc(below.ctx, size)
    chunk = kept
    kept = chunk.next
    count -= 1
    return chunk


cdef void _free(void* ctx, void* chunk, size_t size) noexcept nogil:
    global kept, count
    if size != CHUNK or count == MOST_KEPT or PyThread_get_thread_ident() != owner:
        below.free(below.ctx, chunk, size)
        return
    (<Kept*>chunk).next = kept
    kept = <Kept*>chunk
    count += 1


cpdef int keep_frame_chunks() except -1:
    """See the .pyi."""
    global owner
    cdef PyObjectArenaAllocator ours
    if owner:
        return 0
    owner = PyThread_get_thread_ident()
    PyObject_GetArenaAllocator(&below)
    ours.ctx = NULL
    ours.alloc = _alloc
    ours.free = _free
    PyObject_SetArenaAllocator(&ours)
    return 0
