cimport cython

from tricorn.transport.asgi_request cimport LoopRequest, LoopRunner
from tricorn.transport.loop_context cimport LoopContext
from tricorn.transport.thread_context cimport ThreadContext

cdef class TornadoRequest
cdef class TornadoConnection

@cython.final
cdef class TornadoRunner(LoopRunner):
    cdef object application         # tornado.httputil.HTTPServerConnectionDelegate
    cdef object loop
    # Of Tornado
    cdef object headers_class, start_line_class, stream_class, closed_error, input_error
    cdef long long most_body        # of a body that nobody has set a limit for
    cdef object done                # a future that is over: what was written is on its way
    cdef dict names                 # of header fields: as they come → as Tornado writes them
    cdef object starting            # TornadoConnection, while its application is called
    cdef object before_starting     # the task factory that the loop has else
    cdef bint is_starting

    cdef TornadoRequest _again(self)
    cdef object _headers_of(self, dict scope)
    cdef object _name(self, bytes name)
    cdef int _expect_task(self, TornadoConnection connection) except -1
    cdef int _expect_none(self) except -1

@cython.final
cdef class TornadoRequest(LoopRequest):
    cdef str target                 # what Tornado takes for the URI
    cdef TornadoConnection connection
    cdef object context             # contextvars.Context
    cdef object delegate            # tornado.httputil.HTTPMessageDelegate; None: it has no more to hear
    cdef bint is_upgrade            # it asks for another protocol
    cdef bint awaits                # the application wants no more of the body for now
    cdef bint is_detached           # the connection is the application's
    cdef long long length           # of the body; -1: it is not declared
    cdef long long gone_ns          # when the client ended its side; 0: it has not
    cdef str status
    cdef object fields              # of the response

    cdef int _deliver(self) except -1
    cdef int _await(self, object awaitable) except -1
    cdef int _failed(self, object error) except -1
    cdef bint _answer(self, int status) except -1
    cdef int _end(self) except -1
    cdef int _part(self) except -1
    cdef int _leave(self) except -1
    cdef int log_within(self, object record) except -1
    cdef object _within(self, object function, object argument)

# What handlers have as `request.connection`.
@cython.final
cdef class TornadoConnection:
    cdef object __weakref__
    cdef TornadoRequest request     # None: it is over
    cdef TornadoRunner runner
    cdef readonly object task       # of the handler; None: there is none
    cdef readonly str method, uri
    cdef object delegate            # which has been told that the request is complete
    cdef object on_close
    cdef object facts               # ConnectionContext
    cdef list writers               # futures of those who wait until the client has caught up
    cdef long long most_body        # of the request
    cdef bytes switching            # the head of a response that ends HTTP: it leaves with what follows
    cdef bint is_finished           # the response is complete
    cdef bint is_running            # the task is among LoopContext.calls
    cdef public bint no_keep_alive

    cdef object _written(self)
    cdef object _closed(self)
    cdef int flushed(self) except -1
    cdef int tell_end(self) except -1
    # The request is over. delegate: which has not heard of the end of its body; None: it has.
    cdef int part(self, object delegate) except -1
    cdef int note_task(self) except -1

cdef TornadoRunner new_tornado_runner(LoopContext loop_context)
