cimport cython

from tricorn.gateway.wsgi cimport WSGICall
from tricorn.scoreboard cimport CellData
from tricorn.transport.channel cimport Channel
from tricorn.transport.hold cimport Batch
from tricorn.transport.request cimport Compartment
from tricorn.transport.server cimport Server
from tricorn.transport.thread_context cimport ThreadContext
from tricorn.transport.wsgi_request cimport WSGIRequest, WSGIRunner

cdef class GreenServer

# Of which at most so many requests run at once. The others wait until one has ended.
@cython.final
cdef class GreenPool(Compartment):
    cdef long long most             # 0: no limit
    cdef long long running

    cdef bint has_room(self) noexcept

# What a greenlet has for itself while it serves one request.
@cython.final
cdef class GreenContext(ThreadContext):
    cdef CellData own               # the greenlets of a worker have one cell of the scoreboard
    cdef object greenlet
    cdef GreenServer server
    cdef GreenPool pool
    cdef object waiting             # a Request or Afterwards: what it has been made for
    cdef bint goes_on               # its client has caught up, or has gone; else its request was dropped

@cython.final
cdef class GreenRunner(WSGIRunner):
    cdef GreenServer server
    cdef object hub
    cdef CellData* cell
    cdef object gave_way            # deque of protocols that go on in a turn of the reader's

@cython.final
cdef class GreenServer(Server):
    cdef GreenRunner green          # the runner
    cdef object hub                 # the library's: see the .pyi
    cdef object reading             # the hub's watch over the poller
    cdef dict watches               # over other descriptors, by number
    cdef object main                # the main greenlet, which is the reader
    cdef object forker              # in a process that the application has made: the greenlet that has made it
    cdef dict serving               # greenlet → GreenContext, of requests that the application has
    cdef dict parked                # WSGIRequest → GreenContext, while the application's iterator waits for the client
    cdef list spare                 # GreenContexts, to be used again
    cdef list overdue               # (GreenContext, WSGICall): RequestTimeout is to be raised in these
    cdef Batch batch                # what is held back
    cdef bint collecting            # others wait to be started: what is sent may be held back
    cdef long long longest_ns       # that a greenlet had control at first, of late; fades
    cdef readonly bint stuck        # a request does not end although it was told to
    cdef bint stopped
    cdef bint at_rest               # the main greenlet waits to be told that there is something to do
    cdef bint wanted                # … and there is
    cdef int thrown                 # how many exceptions have woken it in a row
    cdef bint told                  # one of the descriptors of `watch` is readable
    cdef bint tick_due
    cdef bint listens_again
    cdef bint looking               # _look() is on the stack of the hub
    cdef bint scheduled             # … or will be soon

    # What the calling greenlet serves; None: nothing.
    cdef GreenContext current(self)
    # Something waits for the reader, or for a greenlet.
    cdef int nudge_hub(self) except -1

    cdef int _attend(self, int fd) except -1
    cdef int _forget_others(self, int interrupt, int lifeline) except -1
    cdef int _rest(self) except -1
    cdef int _turn(self) except -1
    cdef int _let_proceed(self) except -1
    cdef int _resume_reader(self) except -1
    cdef int _interrupt(self) except -1
    cdef int _start_waiting(self) except -1
    cdef int _start(self, GreenPool pool, object waiting) except -1
    cdef bint _is_left(self) except -1
    cdef GreenContext _fresh(self, GreenPool pool, object waiting)
    cdef int _live(self, GreenContext context) except -1
    cdef int _go_on(self, GreenContext context) except -1
    cdef int _left_application(self, GreenContext context) except -1
    cdef bint _wait_for_client(self, GreenContext context, WSGIRequest request) except -1
    cdef int _sweep(self, long long now) except -1
    cdef int _interrupt_overdue(self, long long now) except -1
    cdef int _tell_slow(self, long long now) except -1
    cdef int _end_dropped(self) except -1
