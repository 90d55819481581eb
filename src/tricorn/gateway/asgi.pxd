cimport cython
from cpython.object cimport PyObject

from tricorn.gateway.exchange cimport AsyncExchange
from tricorn.gateway.waiting cimport TaskRunner, Wait, WaitQueue

# All keys of all messages that an application may send, the usual ones first.
cdef enum:
    KEY_TYPE
    KEY_BODY
    KEY_MORE_BODY
    KEY_STATUS
    KEY_HEADERS
    KEY_TRAILERS
    KEY_TEXT
    KEY_BYTES
    KEY_MORE_TRAILERS
    KEY_PATH
    KEY_FILE
    KEY_OFFSET
    KEY_COUNT_OF_BYTES
    KEY_LINKS
    KEY_SUBPROTOCOL
    KEY_CODE
    KEY_REASON
    KEY_COUNT

# A value of a message, or else. All that are needed are taken before anything is done with one of them: that may call
# foreign code, and the application may change the message then.
cdef inline object part(PyObject** parts, int key, object otherwise):
    return <object>parts[key] if parts[key] != NULL else otherwise

# It is what the application calls to send: as `send` it gets the call itself.
cdef class HTTPCall:
    cdef void* vectorcall           # vectorcallfunc; where the interpreter looks for it
    cdef object __weakref__
    cdef AsyncExchange exchange     # None: the response is complete, or nobody waits for it any more
    cdef TaskRunner task_runner
    cdef WaitQueue readers          # those in receive(); None: there never was one
    cdef WaitQueue writers          # those in send()
    cdef readonly object task
    cdef object context             # contextvars.Context of the task, where that cannot tell it
    cdef readonly str method, uri   # for the log: the application may change what it is given
    cdef readonly str status
    cdef readonly object headers
    cdef bint starting              # it is in its first step: the transport says so
    cdef bint started               # http.response.start has come
    cdef bint head_sent
    cdef bint body_begun            # of the response, by pieces
    cdef bint body_over
    cdef bint trailing              # trailers follow the body
    cdef list trailers
    cdef bint ended                 # the response is complete
    cdef bint read                  # all of the request's body is given to the application
    cdef bint disconnected          # the client is gone
    cdef bint cut                   # … because the response was ended before its time
    cdef bint told                  # … and the application knows
    cdef long long cancel_at        # CLOCK_MONOTONIC, ns: how long it may go on after that

    # Start the application. Its exceptions are those of `task`; others (sys.exit) come through.
    cdef int run(self, TaskRunner task_runner, object application, dict scope) except -1
    # What the transport tells.
    cdef int arrived(self) except -1
    cdef int flushed(self) except -1
    cdef int disconnect(self) except -1
    cdef int flush_head(self) except -1
    cdef int let_go(self) except -1

    cdef object _message(self)
    cdef dict _disconnect_message(self)
    # One message of the application's. What it holds is converted first, since that may call foreign code; only then the
    # state is looked at.
    cdef int _act(self, PyObject** parts, str kind) except -1
    # Those who wait in send(), else in receive().
    cdef WaitQueue _queue(self, bint sending)
    cdef object _say(self, object content)
    cdef bint _must_wait(self) except -1
    cdef bint _may_go_on(self) except -1
    cdef AsyncExchange _living(self, str kind)
    cdef int _start(self, PyObject** parts) except -1
    cdef int _respond(self, bytes piece, long long length) except -1
    cdef int _body(self, PyObject** parts) except -1
    cdef int _path(self, PyObject** parts) except -1
    cdef int _span(self, PyObject** parts) except -1
    cdef int _give_span(self, object span, long long size, bint last) except -1
    cdef int _trailers(self, PyObject** parts) except -1
    cdef int _hint(self, PyObject** parts) except -1
    cdef int _informational(self, PyObject** parts) except -1
    cdef int _interim(self, str kind, object headers) except -1
    cdef int _end_of_body(self) except -1
    cdef int _end(self) except -1

# What the application calls to receive.
@cython.final
cdef class Receive:
    cdef void* vectorcall
    cdef object __weakref__
    cdef HTTPCall call

@cython.final
cdef class Awaiting:
    cdef HTTPCall call
    cdef object content         # what is handed over, until it is; None for receive()
    cdef Wait wait
    cdef bint sending           # of send(), not of receive()
    cdef bint begun             # it was awaited

    # A Wait; or, if it has ended, its result.
    cdef object _step(self, bint* ended)
    cdef int _leave(self) except -1

cdef int make_callable(object kind) except -1

# What an application hands in, checked, as objects of exactly the built-in types: these call no foreign code later.
# The values of a message, borrowed from the dict that this returns; NULL where it has none.
cdef dict take_apart(object message, PyObject** parts)
cdef bint is_same(str found, str name) noexcept
cdef str checked_status(object status)
cdef str checked_kind(object kind)
cdef object checked_headers(object headers)
cdef bytes checked_bytes(object data, str what)
cdef str checked_text(object text, str what)
cdef str shown_kind(str kind)
