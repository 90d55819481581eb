from cpython.object cimport PyObject

from tricorn.gateway.asgi cimport HTTPCall
from tricorn.gateway.exchange cimport MessageExchange

cdef class WebSocketCall(HTTPCall):
    cdef MessageExchange line       # None: nobody carries messages (any more)
    cdef object messages            # deque of what the client has sent
    cdef Py_ssize_t size            # of it, in bytes (of text: in characters)
    cdef bint connected             # websocket.connect was received
    cdef bint accepted
    cdef bint refused               # by the application, before it accepted
    cdef bint has_closed            # the application has
    cdef bint closed                # no more messages are sent: by whom and why say
    cdef int close_code
    cdef str close_reason

    # What the transport tells.
    cdef int deliver(self, str key, object content, Py_ssize_t size) except -1
    cdef int close(self, int code, str reason) except -1

    cdef int _accept(self, PyObject** parts) except -1
    cdef int _send(self, PyObject** parts) except -1
    cdef int _close(self, PyObject** parts) except -1
    cdef int _turn_away(self) except -1
    cdef int _refuse_with(self, PyObject** parts, bint is_start) except -1
