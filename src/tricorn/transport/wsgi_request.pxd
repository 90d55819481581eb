cimport cython

from tricorn.gateway.input cimport StreamInput
from tricorn.gateway.wsgi cimport WSGICall
from tricorn.transport.body cimport BodyStore
from tricorn.transport.caller cimport Caller
from tricorn.transport.channel cimport Channel
from tricorn.transport.thread_context cimport ThreadContext
from tricorn.transport.request cimport Request, Runner

cdef enum Stage:
    STAGE_READ = 0      # it is being read
    STAGE_QUEUED        # it waits for a thread that may call the application
    STAGE_RUNNING       # the application is at it
    STAGE_PAUSED        # the application's iterator waits until the client has read more
    STAGE_OVER

# Applications are given what speaks for the request of whoever calls it: early hints, trailers, the deadline. builder: an EnvironBuilder.
cdef int provide(object builder, Caller caller) except -1

# On what WSGI applications run: threads, green threads.
cdef class WSGIRunner(Runner):
    # Called in the application's place, with it and its arguments, for a request that is offered its connection; None: nothing is.
    cdef object for_upgrades

    cdef WSGIRequest _fresh(self)

@cython.final
cdef class ThreadRunner(WSGIRunner):
    cdef bint gathers               # requests are put into the queue, and somebody will be called for all of them

@cython.final
cdef class WSGIRequest(Request):
    cdef WSGIRunner runner
    cdef Stage stage
    # While it waits for a thread to begin on
    cdef bint is_expected           # when it came, there was one for it
    cdef bint has_heard             # something of its client's, to be looked at later
    cdef bint has_ended             # its client, who has said all that it had to say
    cdef int cut_status             # why reading the body failed: the status to answer
    cdef dict environ
    cdef BodyStore store
    cdef WSGICall call
    cdef StreamInput stream         # what the application reads an unbuffered body from
    cdef object body_file           # what a large body is read from: it is closed when the request is over
    cdef ThreadContext thread                  # of the thread that is in the application
    cdef str status                 # that the client got, for the access log

    cdef void _note_wait(self, long long now) noexcept
    cdef int _wait(self, ThreadContext thread) except -1
    cdef int _take_turn(self, ThreadContext thread) except -1
    cdef bint _is_left(self, long long now) noexcept
    cdef bint _was_left(self, long long now) noexcept
    cdef int _decline(self, ThreadContext thread, bint late) except -1
    cdef int _begin(self, ThreadContext thread) except -1
    cdef int _run(self, ThreadContext thread, bint resumed) except -1
    cdef int _abandon(self, ThreadContext thread) except -1
    cdef int _enter(self, ThreadContext thread, long long now) except -1
    cdef int _return_control(self, ThreadContext thread) except -1
    cdef int _part(self, ThreadContext thread, str status) except -1
    cdef int _be_over(self, ThreadContext thread) except -1
    cdef int _leave(self, ThreadContext thread, int outcome, str status) except -1
    cdef int _queue_up(self) except -1
    cdef int _wait_readable(self) except -1
    cdef int _check_body_rate(self) except -1

cdef ThreadRunner new_thread_runner(object worker)
