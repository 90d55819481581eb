# The one narrow interface where HTTP meets the application: what a gateway may ask of a request that is
# being answered. A transport subclasses it for each HTTP version; no gateway asks which one it is.

cdef class Exchange:
    # The client is gone or the exchange was cut: whatever is sent goes nowhere.
    cdef bint gone

    # The head of the response and the first piece of its body. `length`: of the whole body if it is known,
    # else -1. Raises ResponseError before anything is sent. Called once.
    cdef int respond(self, str status, list headers, bytes piece, long long length) except -1
    # The next piece of the body, not empty.
    cdef int send(self, bytes piece) except -1
    # The body is complete.
    cdef int finish(self) except -1
    # A span of an open file as the whole body: instead of `respond`. False: it cannot be done, iterate.
    cdef bint respond_file(self, str status, list headers, object file) except -1
    # Whether no body bytes can go out (HEAD, 304, …): the application need not produce more.
    cdef bint wants_no_body(self) noexcept
    # Whether the client has left so much unread that producing should pause.
    cdef bint congested(self) noexcept
    # Blocks this thread until it is no longer congested (for PEP 3333's write()).
    cdef int wait_uncongested(self) except -1
    # 103 Early Hints (RFC 8297).
    cdef int hint(self, list headers) except -1
    # More of a streamed request body, at most `size` bytes; empty at its end. Blocks. Raises RequestCut.
    cdef bytes read_body(self, Py_ssize_t size)
