"""The interface between a gateway and whatever carries its response. See exchange.pxd for the contract.

Knows: nothing. It is a seam, and the base class is what a transport has to fill in.
"""


cdef class Exchange:
    cdef int respond(self, str status, object headers, bytes piece, long long length) except -1:
        raise NotImplementedError

    cdef int send(self, bytes piece) except -1:
        raise NotImplementedError

    cdef int finish(self) except -1:
        raise NotImplementedError

    cdef bint respond_file(self, str status, object headers, object file) except -1:
        return False

    cdef bint wants_no_body(self) noexcept:
        return False

    cdef bint congested(self) noexcept:
        return False

    cdef int wait_uncongested(self) except -1:
        return 0

    cdef int hint(self, object headers) except -1:
        raise NotImplementedError

    cdef bytes read_body(self, Py_ssize_t size):
        raise NotImplementedError


cdef class AsyncExchange(Exchange):
    cdef bytes take_body(self, bint* more):
        raise NotImplementedError

    cdef object open_path(self, str path, long long* size):
        raise NotImplementedError

    cdef object open_span(self, object file, long long offset, long long count, long long* size):
        raise NotImplementedError

    cdef int send_span(self, object span) except -1:
        raise NotImplementedError

    cdef int finish_with(self, list trailers) except -1:
        raise NotImplementedError

    cdef int over(self) except -1:
        raise NotImplementedError


cdef class MessageExchange:
    cdef int accept(self, str subprotocol, object headers) except -1:
        raise NotImplementedError

    cdef int send_text(self, str text) except -1:
        raise NotImplementedError

    cdef int send_bytes(self, bytes data) except -1:
        raise NotImplementedError

    cdef int close_with(self, int code, str reason) except -1:
        raise NotImplementedError

    cdef bint congested(self) noexcept:
        return False

    cdef int taken(self) except -1:
        raise NotImplementedError
