"""On which stack signal handlers run.

`faulthandler` gives the main thread an alternate stack of some 16 KiB, and CPython's own handlers then run on it too. Each signal
that arrives before the handler of the one before has returned takes another frame (3 KiB with AVX-512), and nothing
stops them at its end: six signals at once overwrite whatever memory lies behind it.

Knows: sigaltstack(2). Must not know: which signals, whose handlers.
"""

import os

cdef extern from "<errno.h>" nogil:
    int errno

cdef extern from "<signal.h>" nogil:
    ctypedef struct stack_t:
        void* ss_sp
        int ss_flags
        size_t ss_size
    int sigaltstack(const stack_t*, stack_t*)
    int SS_DISABLE


cpdef int use_usual_stack() except -1:
    """Have this thread's signal handlers run on its own stack again.

    What is lost: after a stack overflow no traceback of the thread can be written any more.
    """
    cdef stack_t none
    none.ss_sp = NULL
    none.ss_size = 0
    none.ss_flags = SS_DISABLE
    if sigaltstack(&none, NULL) != 0:
        raise OSError(errno, os.strerror(errno))
    return 0
