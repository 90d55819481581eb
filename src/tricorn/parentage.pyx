"""What Python's `os` cannot do: have orphans of one's own, fork a sibling, end with one's parent.

Knows: fork(2), prctl(2), what CPython wants around a fork. Must not know: who is forked, or why.
"""

import os

cdef extern from "Python.h":
    void PyOS_BeforeFork()
    void PyOS_AfterFork_Parent()
    void PyOS_AfterFork_Child()

cdef extern from "<errno.h>" nogil:
    int errno
    int EINTR, ESRCH

cdef extern from "<fcntl.h>" nogil:
    int O_CLOEXEC

cdef extern from "<sys/prctl.h>" nogil:
    int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long)
    int PR_GET_CHILD_SUBREAPER
    int PR_SET_CHILD_SUBREAPER
    int PR_SET_PDEATHSIG

cdef extern from "<sys/types.h>" nogil:
    ctypedef int pid_t

cdef extern from "<sys/wait.h>" nogil:
    pid_t c_waitpid "waitpid"(pid_t, int*, int)

cdef extern from "<unistd.h>" nogil:
    int pipe2(int*, int)
    int c_close "close"(int)
    ssize_t c_read "read"(int, void*, size_t)
    ssize_t c_write "write"(int, const void*, size_t)
    pid_t c_fork "fork"()
    pid_t c_getpid "getpid"()
    pid_t c_getppid "getppid"()
    int usleep(unsigned int)
    void c_exit "_exit"(int)

#: How often a new process looks whether it has its parent, microseconds. It takes as long as a process needs to end.
cdef unsigned int LOOK = 50


cpdef int adopt_orphans(bint wanted=True) except -1:
    """Become the parent of all descendants whose own parent ends; or, if that is not wanted, of no more. Raises OSError."""
    return _control(PR_SET_CHILD_SUBREAPER, wanted)


cpdef bint adopts_orphans() except -1:
    """Raises OSError."""
    cdef int is_adopting = 0
    _control(PR_GET_CHILD_SUBREAPER, <unsigned long> &is_adopting)
    return is_adopting != 0


cpdef int end_with_parent(int number) except -1:
    """Get this signal when the thread that has forked this process ends. Raises OSError."""
    return _control(PR_SET_PDEATHSIG, number)


cdef int _control(int option, unsigned long value) except -1:
    if prctl(option, value, 0, 0, 0) != 0:
        raise OSError(errno, os.strerror(errno))
    return 0


cpdef int fork_sibling() except -1:
    """As os.fork(), but the new process is our parent's child: that must have called adopt_orphans().

    A process between the two forks and ends at once, so the new one is adopted. It does not exist for Python: it runs no
    hook of os.register_at_fork() and no line of Python's. So the hooks are called once, as around any other fork, and a
    thread that one of them starts is not there when the second fork comes. clone(2) has CLONE_PARENT, which needs nobody
    in between; but whoever passes by fork() leaves locks of the C library as they were, and a process that thinks it is
    another thread.

    Gives 0 in the new process, where the parent is the right one by then. OSError: there is none.
    """
    cdef int ends[2]
    cdef pid_t middle, parent
    cdef int answer = -ESRCH  # somebody has killed the one in the middle
    cdef int failure
    cdef ssize_t taken
    # Else we would adopt it ourselves.
    _control(PR_SET_CHILD_SUBREAPER, 0)
    if pipe2(ends, O_CLOEXEC) != 0:
        raise OSError(errno, os.strerror(errno))
    PyOS_BeforeFork()
    middle = c_fork()
    failure = errno
    if middle == 0:
        parent = c_getpid()
        answer = c_fork()
        if answer != 0:
            if answer < 0:
                answer = -errno
            taken = c_write(ends[1], &answer, sizeof(answer))
            c_exit(taken != sizeof(answer))
        c_close(ends[0])
        c_close(ends[1])
        while c_getppid() == parent:
            usleep(LOOK)
        PyOS_AfterFork_Child()
        return 0
    PyOS_AfterFork_Parent()
    c_close(ends[1])
    if middle < 0:
        answer = -failure
    else:
        with nogil:
            while True:
                taken = c_read(ends[0], &answer, sizeof(answer))
                if taken >= 0 or errno != EINTR:
                    break
            # Once it is gone the new process has been adopted. It is nobody's to wait for where SIGCHLD is ignored.
            while c_waitpid(middle, NULL, 0) < 0 and errno == EINTR:
                pass
    c_close(ends[0])
    if answer < 0:
        raise OSError(-answer, os.strerror(-answer))
    return answer
