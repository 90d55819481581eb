cimport cython

from tricorn.gateway.asgi cimport HTTPCall
from tricorn.gateway.exchange cimport MessageExchange
from tricorn.gateway.scope cimport ScopeBuilder
from tricorn.http.buffer cimport Buffer
from tricorn.transport.channel cimport Channel, Protocol
from tricorn.transport.loop_context cimport LoopContext
from tricorn.transport.thread_context cimport ThreadContext
from tricorn.transport.request cimport Compartment, Request, Runner

# What carries the messages of a WebSocket, from its request on.
cdef class Socket(MessageExchange):
    cdef bint accepted              # it has its channel, and the request is no other protocol's any more

    # The application's task is over.
    cdef int conclude(self, object failure) except -1
    # Where its request is carried by a protocol that has others too: bytes of the client, the end of them, the end of it all.
    cdef int take(self, ThreadContext thread, const unsigned char* data, Py_ssize_t size) except -1
    cdef int on_end(self, ThreadContext thread) except -1
    cdef int lost(self) except -1
    # Bytes that came and were not gone through.
    cdef long long untaken(self) noexcept
    cdef int flushed(self) except -1
    cdef bint overdue(self, long long now) noexcept
    cdef int expire(self, ThreadContext thread, long long now) except -1
    # This worker ends; code: with which it is closed.
    cdef int go_away(self, int code) except -1
    # Its request has left it, whatever for.
    cdef int forget(self) except -1

cdef class LoopRunner
cdef class ASGIRequest

# Of which at most so many run at once. The others wait until one has ended.
@cython.final
cdef class Line(Compartment):
    cdef LoopRunner runner
    cdef LoopContext loop_context
    cdef long long most             # 0: any number
    cdef long long running          # tasks of HTTP requests that have not ended
    cdef bint moves                 # it has a turn coming

    cdef bint has_room(self) noexcept
    cdef int has_ended(self) except -1
    cdef int _move(self) except -1
    cdef int _let_in_all(self, ThreadContext thread) except -1
    cdef int _let_in(self, Request request, ThreadContext thread) except -1

# Its turn. (A Protocol, since it is given turns as those are.)
@cython.final
cdef class Turn(Protocol):
    cdef Line line

# Derived from where applications of a loop have another interface (tornado_request.pyx).
cdef class LoopRunner(Runner):
    cdef LoopContext loop_context
    cdef object open_socket         # makes a Socket of a request and its handshake

    # Log where a task waits whose request has been silent for slow_request_time. call: one of LoopContext.calls.
    cdef int tell_slow(self, object call, long long now) except -1
    cdef ASGIRequest _fresh(self)
    cdef int _cork(
        self, Channel channel, Buffer out, bytes piece, const char* tail, Py_ssize_t tail_size) except -1

# What requests of a loop have in common, whatever interface their application has.
cdef class LoopRequest(Request):
    cdef LoopRunner runner
    cdef LoopContext loop_context
    cdef ScopeBuilder builder
    cdef dict scope
    cdef list body                  # pieces that have arrived and that the application has not taken
    cdef Py_ssize_t body_size
    cdef long long active_ns        # when the application last gave something to the client
    cdef bint input_ended           # the client will send no more

    # What an interface fills in.
    # Whether more of the body may be read.
    cdef bint wants_body(self) noexcept
    # It is to run now.
    cdef int begin(self, ThreadContext thread) except -1
    # There is no place for it. late: it has waited for too long.
    cdef int turn_away(self, ThreadContext thread, bint late) except -1
    # Its application has given nothing to the client for request_timeout.
    cdef int time_out(self, ThreadContext thread) except -1

    cdef int begin_or_wait(self, ThreadContext thread) except -1

@cython.final
cdef class ASGIRequest(LoopRequest):
    cdef HTTPCall call
    cdef Socket socket              # of a request for a WebSocket
    cdef Py_ssize_t joined          # pieces that have come before those that are decoded now
    cdef int body_reads             # in a row, for an application that takes what it gets at once
    cdef bint takes_trailers        # the client does

    cdef int conclude(self, HTTPCall call, object failure) except -1
    cdef bint answer_without(self, ThreadContext thread, int status) except -1
    cdef int end(self, ThreadContext thread) except -1
    cdef int _part(self, HTTPCall call) except -1
    cdef int fail(self, HTTPCall call, object failure) except -1
    cdef int log_within(self, HTTPCall call, object record) except -1
    cdef int say_slow(self, long long now) except -1

cdef LoopRunner new_loop_runner(LoopContext loop_context, object open_socket)
