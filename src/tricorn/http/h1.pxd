from tricorn.http.request cimport Framing, Limits, RequestHead, Span

cdef enum Progress:
    REFUSED = -1
    MORE = 0
    DONE = 1

# Why a message was refused: an index into REFUSALS.
cdef enum Refusal:
    NONE = 0
    BAD_LINE_END
    SPEAKS_TLS
    BAD_EMPTY_LINE
    BAD_REQUEST_LINE
    BAD_METHOD
    BAD_TARGET
    BAD_VERSION
    UNSUPPORTED_VERSION
    BAD_FIELD_LINE
    BAD_FIELD_NAME
    OBS_FOLD
    BAD_HOST
    BAD_CONTENT_LENGTH
    LENGTH_AND_CODING
    CODING_IN_10
    BAD_CODING
    UNKNOWN_CODING
    DUPLICATE_CONTENT_TYPE
    UNKNOWN_EXPECTATION
    LONG_REQUEST_LINE
    LONG_FIELD
    LONG_HEAD
    MANY_FIELDS
    LONG_BODY
    BAD_CHUNK_SIZE
    BAD_CHUNK_EXTENSION
    LONG_CHUNK_EXTENSION
    BAD_CHUNK_END
    BAD_TRAILER
    CUT_BODY
    SLOW_HEAD
    SLOW_BODY
    MALFORMED
    OTHER_HOST
    BAD_SCHEME
    NO_TUNNEL
    SPEAKS_PACKETS
    # Of packets (packet.pyx)
    NO_METHOD
    NO_TARGET
    BAD_PATH_INFO
    BAD_SCRIPT_NAME
    BAD_ADDRESS
    BAD_VALUE
    # … and of what is none: from here on nobody is answered
    SPEAKS_HTTP
    SPEAKS_TLS_TO_IT
    OTHER_MODIFIER
    CUT_VARIABLE
    BAD_VARIABLE
    MANY_VARIABLES
    CUT_PACKET
    REFUSAL_COUNT

# What the Connection fields say, as bits of RequestHead.connection.
cdef enum ConnectionOption:
    CONNECTION_CLOSE = 1
    CONNECTION_KEEP_ALIVE = 2
    CONNECTION_UPGRADE = 4

# Reads on from where it stopped. MORE: append bytes and call again. REFUSED: `head.error` says why.
cdef int parse_head(RequestHead head, Limits limits) except -2
cpdef object refusal(int error)

# For heads that come in other forms than lines: a field, or the target, whose bytes are in the head already, as parse_head() takes them.
cdef int place_field(RequestHead head, Span name, Span value, Limits limits) except -2
cdef int place_target(RequestHead head, Span target) noexcept
# Why a field must not stand in trailers; NONE: it may.
cdef int trailer_error(const unsigned char* name, Py_ssize_t size) noexcept

cdef class BodyDecoder:
    cdef readonly int error
    cdef readonly RequestHead trailers      # None until a trailer field is seen
    cdef readonly long long received        # bytes of content so far
    cdef Framing framing
    cdef int state
    cdef int digits
    cdef unsigned int extension             # bytes of chunk extensions so far
    cdef unsigned long long remaining

    cdef bint skip(self, Py_ssize_t size) noexcept
    cdef bint _fail(self, int error) noexcept
    cdef bint _chunk_byte(self, unsigned char c, Limits limits) noexcept
    cdef bint _size_end(self, unsigned char c, Limits limits) noexcept
    cdef bint _extension_byte(self, unsigned char c) noexcept
    cdef bint _extension_end(self, unsigned char c, bint blank) noexcept
    cdef int _data(
        self, const unsigned char* data, Py_ssize_t size, Py_ssize_t i, Py_ssize_t* used,
        const unsigned char** content, Py_ssize_t* length, Limits limits,
    ) except -2
    cdef int _trailer_fields(
        self, const unsigned char* data, Py_ssize_t size, Py_ssize_t before, Py_ssize_t* used, Limits limits,
    ) except -2

    cdef void begin(self, RequestHead head) noexcept
    cdef bint is_finished(self) noexcept
    # Takes one step through data: `used` bytes of it are done with, of which content[:length] is body.
    cdef int decode(
        self, const unsigned char* data, Py_ssize_t size, Py_ssize_t* used,
        const unsigned char** content, Py_ssize_t* length, Limits limits,
    ) except -2
