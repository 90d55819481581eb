"""What Python's `signal` module cannot do: choose the stack that handlers run on, and act outside of the main thread.

Knows: sigaltstack(2), sigaction(2). Must not know: which signals, whose handlers.
"""

import os

from libc.string cimport memset

cdef extern from "<errno.h>" nogil:
    int errno

cdef extern from "<signal.h>" nogil:
    ctypedef struct stack_t:
        void* ss_sp
        int ss_flags
        size_t ss_size
    int sigaltstack(const stack_t*, stack_t*)
    int SS_DISABLE
    ctypedef void (*handler_t)(int)
    cdef struct c_action "sigaction":
        handler_t sa_handler
    int c_sigaction "sigaction"(int, const c_action*, c_action*)
    handler_t SIG_DFL

cdef extern from "<sys/prctl.h>" nogil:
    int prctl(int, ...)
    int PR_SET_DUMPABLE


cpdef int use_usual_stack() except -1:
    """Have this thread's signal handlers run on its own stack.

    `faulthandler` gives the main thread an alternate stack of some 16 KiB, and CPython's own handlers then run on it too. Each
    signal that arrives before the handler of the one before has returned takes another frame (3 KiB with AVX-512), and
    nothing stops them at its end: six signals at once overwrite whatever memory lies behind it. What is lost: after a
    stack overflow no traceback of the thread can be written.
    """
    cdef stack_t none
    none.ss_sp = NULL
    none.ss_size = 0
    none.ss_flags = SS_DISABLE
    if sigaltstack(&none, NULL) != 0:
        raise OSError(errno, os.strerror(errno))
    return 0


cpdef int allow_core() except -1:
    """Let a fatal signal leave a core although the process has changed its user. How large it may be is another question."""
    if prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0:
        raise OSError(errno, os.strerror(errno))
    return 0


cpdef int restore_default(int number) except -1:
    """Give a signal its default action, from whatever thread. `signal.getsignal()` does not hear of it."""
    cdef c_action action
    memset(&action, 0, sizeof(action))
    action.sa_handler = SIG_DFL
    if c_sigaction(number, &action, NULL) != 0:
        raise OSError(errno, os.strerror(errno))
    return 0
