cimport cython
from tricorn.http.buffer cimport Buffer
from tricorn.http.h1 cimport BodyDecoder
from tricorn.http.request cimport Limits, RequestHead
from tricorn.http.response cimport Defaults, Reply

# Reads on in a head, as parse_head() of h1.pxd.
ctypedef int (*HeadParser)(RequestHead, Limits) except -2

# Where a server stands in what its client sends. In the order of STATES.
cdef enum State:
    IDLE = 0            # no byte of a request is there
    HEAD                # part of a head is
    BODY                # the head is, the body is not, or not all of it
    COMPLETE            # all of the request is
    SKIP                # answered; the rest of its body is read and thrown away
    OVER                # nothing that the client sends is a request any more

# What may happen. In the order of EVENTS.
cdef enum Event:
    HEAD_PART = 0
    HEAD_ONLY           # a head is complete, and no body follows
    HEAD_AND_BODY       # … and a body follows
    BODY_END
    REFUSED_MESSAGE     # it breaks the protocol or a limit
    INPUT_END           # the client sends no more
    ANSWERED            # all of the response is sent, and the next request is welcome
    ANSWERED_EARLY      # … though the body is not all here
    FINISHED            # no request is welcome any more

# What becomes of the connection when a response is sent, or cannot be.
cdef enum After:
    AFTER_NEXT = 0      # the next request
    AFTER_SKIP          # the same, behind the rest of this one's body
    AFTER_LINGER        # our side closes, and what still comes is read for a while (RFC 9112 §9.6)
    AFTER_END           # our side closes, which is what ends the body (RFC 9112 §6.3, rule 8); then all of it
    AFTER_CLOSE
    AFTER_ABORT         # a reset: what the client has must not look complete (RFC 9112 §8)

@cython.final
cdef class ServerMachine:
    cdef HeadParser parse           # what heads look like: lines of HTTP/1, unless somebody puts another one here before the first
    cdef Limits limits
    cdef RequestHead head           # that came in pieces, until it is taken
    cdef BodyDecoder decoder        # of a body, until all of it is here
    cdef Reply reply
    cdef long long body_left        # of the declared length of the response; -1: none is declared. In SKIP: of what may be skipped
    cdef unsigned char state        # a State
    cdef unsigned char error        # why a message was refused: an index into REFUSALS
    cdef unsigned char offers_more  # requests may follow the first one
    cdef unsigned char client_stays # the client may send more after this response
    cdef unsigned char more_is_here # … and has done so
    cdef unsigned char owes_continue# 100 Continue, when the body is first wanted
    cdef unsigned char head_sent    # of the last response
    cdef unsigned char broke_off    # the response cannot be completed: make sure that the client can tell

    # Read on in a head. DONE: `take_head()` returns it, `used` bytes of the data are its; MORE: all of them; REFUSED: `error` says why.
    # `scratch` borrows the data; where it is kept (`self.head is scratch`, with MORE), the caller needs another.
    cdef int read_head(self, RequestHead scratch, const unsigned char* data, Py_ssize_t size, Py_ssize_t* used) except -2
    cdef RequestHead take_head(self, RequestHead scratch)
    # In BODY: the body is to be decoded …
    cdef int begin_body(self, RequestHead head) except -1
    # … or is here, whole, and plain.
    cdef int have_body(self) except -1
    # One step through the data, as BodyDecoder.decode().
    cdef int read_body(
        self, const unsigned char* data, Py_ssize_t size, Py_ssize_t* used, const unsigned char** content, Py_ssize_t* length,
    ) except -2
    # `size` bytes of a body of declared length went elsewhere. Whether that was its end.
    cdef bint place_body(self, Py_ssize_t size) except -1
    # In SKIP. DONE: the next request comes; REFUSED: it is too long, or wrong.
    cdef int skip_body(self, const unsigned char* data, Py_ssize_t size, Py_ssize_t* used) except -2
    # Whether some of the body has not come, also where it never will.
    cdef bint body_is_open(self) noexcept
    cdef int refuse(self, int error) except -1
    # The client sends no more. Whether that cuts a body (CUT_BODY).
    cdef bint end_input(self) except -1

    # Head of the response; what it says of length and persistence is kept in `reply`. is_last: no request is welcome behind it.
    cdef int respond(
        self, Buffer out, Defaults defaults, str status, object headers, long long length, bint is_last, long long skippable,
    ) except -1
    # A response of our own, after which the connection ends.
    cdef int respond_error(self, Buffer out, Defaults defaults, int status, bytes fields) except -1
    # How many of the next `size` bytes of the body belong to it, by its declared length.
    cdef Py_ssize_t admit(self, Py_ssize_t size) noexcept
    # The body is over. Whether it is shorter than declared.
    cdef bint end_response(self) noexcept
    # All of the response is sent, or nothing more can be: one of After. skippable: bytes of a body that are worth reading to get at the next request.
    cdef int after_response(self, bint gone, long long skippable) except -1

    cdef int _to(self, Event event) except -1
    cdef int _begin(self, RequestHead head) except -2
    cdef bint _is_too_much_unread(self, long long skippable) noexcept
    cdef int _last(self) noexcept
