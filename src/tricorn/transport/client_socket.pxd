cimport cython
from tricorn.transport.request cimport Request, RequestProtocol
from tricorn.transport.thread_context cimport ThreadContext

# The status of such a request, for logs and hooks: what was really answered only the application knows.
cdef str SWITCHED

# What a request belongs to whose connection is its application's.
@cython.final
@cython.no_gc
cdef class TakenOver(RequestProtocol):
    cdef Request request            # None: it is over
    cdef int version                # of HTTP
    cdef str label
    cdef object socket              # the application's, while the request lasts
    cdef bint is_relayed            # the channel belongs to a relay
    cdef bint is_kept               # the application has it behind the request
    cdef bint is_ending             # the request is over, and a thread of the application's may still read
    cdef bint was_cut

    cdef object _socket_of(self, bytes first)
    cdef int let_go(self) except -1
    cdef int _finish(self, ThreadContext thread) except -1

@cython.final
cdef class ClientSocket:
    cdef Request request
    cdef TakenOver taken            # None: it is not, yet
    cdef object socket              # what it then stands for
    cdef tuple names                # … and the client's address and ours
    cdef object __weakref__

    cdef object _real(self)
    cdef int _look(self) except -1

cdef ClientSocket new_client_socket(Request request)

# The connection of a running request belongs to its application: returns the TakenOver, which has the socket. waits: until what was sent
# before is out; else a relay sends it. Raises GatewayError, OSError.
cdef object take_over(Request request, bint waits)
