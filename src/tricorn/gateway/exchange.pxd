# The one narrow interface where HTTP meets the application: what a gateway may ask of a request that is
# being answered. A transport subclasses it for each HTTP version; no gateway asks which one it is.

cdef class Exchange:
    # The client is gone or the exchange was cut: whatever is sent goes nowhere.
    cdef bint gone

    # The head of the response and the first piece of its body. `length`: of the whole body if it is known,
    # else -1. Raises ResponseError before anything is sent. Called once.
    cdef int respond(self, str status, object headers, bytes piece, long long length) except -1
    # The next piece of the body, not empty.
    cdef int send(self, bytes piece) except -1
    # The body is complete.
    cdef int finish(self) except -1
    # A span of an open file as the whole body: instead of `respond`. False: it cannot be done, iterate.
    cdef bint respond_file(self, str status, object headers, object file) except -1
    # Whether no body bytes can go out (HEAD, 304, …): the application need not produce more.
    cdef bint wants_no_body(self) noexcept
    # Whether the client has left so much unread that producing should pause.
    cdef bint congested(self) noexcept
    # Blocks this thread until it is no longer congested (for PEP 3333's write()).
    cdef int wait_uncongested(self) except -1
    # 103 Early Hints (RFC 8297).
    cdef int hint(self, object headers) except -1
    # More of a streamed request body, at most `size` bytes; empty at its end. Blocks. Raises RequestCut.
    cdef bytes read_body(self, Py_ssize_t size)

# The same seam for applications that must never block: ASGI.
cdef class AsyncExchange(Exchange):
    # A write has failed half-way, through a fault that is not the client's: nothing that is sent now could be understood.
    cdef bint torn

    # All of the request's body that is here. more: whether there may be more; empty with more: nothing is here yet.
    cdef bytes take_body(self, bint* more)
    # A whole file by its path, or a stretch of an open file: offset -1: from where the file stands; count -1: to its end.
    # Nothing is sent yet. size: of the stretch. Raises OSError, TypeError, ValueError. The second calls foreign code.
    cdef object open_path(self, str path, long long* size)
    cdef object open_span(self, object file, long long offset, long long count, long long* size)
    # Such a stretch as a piece of the body, which has begun.
    cdef int send_span(self, object span) except -1
    # The end of the body, with trailer fields.
    cdef int finish_with(self, list trailers) except -1
    # The application's part is over: all of the response is handed over.
    cdef int over(self) except -1

# What carries the messages of one WebSocket.
cdef class MessageExchange:
    # Whatever is sent goes nowhere.
    cdef bint gone

    # Raises ResponseError before anything is sent.
    cdef int accept(self, str subprotocol, object headers) except -1
    cdef int send_text(self, str text) except -1
    cdef int send_bytes(self, bytes data) except -1
    # Begin to close; the code and reason must be good for a close frame: ValueError.
    cdef int close_with(self, int code, str reason) except -1
    cdef bint congested(self) noexcept
    # The application has taken messages: there may be room for others.
    cdef int taken(self) except -1
