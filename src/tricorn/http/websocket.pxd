cimport cython

from cpython.object cimport PyObject

from tricorn.http.buffer cimport Buffer

cdef extern from "frames.h":
    ctypedef unsigned int uint32_t
    ctypedef struct utf8_state:
        unsigned char need

# RFC 6455 section 5.2. Control frames have bit 8.
cdef enum Opcode:
    OP_CONTINUATION = 0
    OP_TEXT = 1
    OP_BINARY = 2
    OP_CLOSE = 8
    OP_PING = 9
    OP_PONG = 10

cdef enum FrameEvent:
    FRAME_MORE = 0      # all data is used; nothing to tell yet
    FRAME_TEXT          # a whole message: `message` is a str
    FRAME_BINARY        # bytes
    FRAME_PING          # `message`: the payload, bytes
    FRAME_PONG
    FRAME_CLOSE         # `close_code` (1005: none was given), `close_reason`; nothing more is read
    FRAME_FAILED        # the peer broke a rule or a limit: `close_code`, `close_reason` are for it; the same


# permessage-deflate of one connection, as negotiated. Its two zlib streams are made when first needed.
@cython.final
cdef class Deflate:
    cdef readonly bint server_no_context_takeover
    cdef readonly bint client_no_context_takeover
    cdef readonly int server_max_window_bits
    cdef readonly int client_max_window_bits
    cdef readonly int mem_level
    cdef readonly int level
    cdef readonly Py_ssize_t threshold      # shorter messages are sent as they are
    cdef object compressor
    cdef object decompressor
    cdef int ended                          # DEFLATE streams that the client's current frame ended

    cdef object _new_decompressor(self)
    cdef object _new_compressor(self)
    # At most `most` bytes, 0: any number. The last piece of a message brings its tail. Raises zlib.error.
    cdef bytes inflate(self, bytes data, Py_ssize_t most, bint last)
    cdef bytes _inflate_on(self, bytes content, Py_ssize_t most, bint last)
    # What to put into a frame with RSV1, all but its last four bytes; None: better sent as it is.
    cdef bytes deflate(self, bytes payload)


# Reads the frames of a client. FrameReader(max_message: bytes, 0 = no limit; deflate: Deflate or None)
@cython.final
cdef class FrameReader:
    cdef object message         # of the last event; take_message() so that the reader does not keep it alive
    cdef int close_code
    cdef str close_reason
    cdef Deflate deflate
    cdef Py_ssize_t max_message
    # The frame that is being read.
    cdef Py_ssize_t left        # bytes of its payload that are to come
    cdef uint32_t key           # as it is for the next byte of the payload
    cdef unsigned char opcode
    cdef bint fin
    cdef bint in_frame          # its head has been read
    cdef bint is_finished       # after FRAME_CLOSE and FRAME_FAILED
    cdef unsigned char head_size
    cdef unsigned char head[14]             # an incomplete head
    cdef unsigned char control_size
    cdef unsigned char* control             # the payload of an incomplete control frame
    # The message that is being read.
    cdef unsigned char kind     # OP_TEXT, OP_BINARY, 0: none
    cdef bint compressed
    cdef bint is_ascii
    cdef utf8_state utf8
    cdef PyObject* store        # a str or bytes with room for `capacity` bytes, which becomes the message
    cdef unsigned char* data    # in `store`
    cdef Py_ssize_t size
    cdef Py_ssize_t capacity
    cdef Py_ssize_t wire        # bytes of its compressed payload that were announced
    cdef int empties            # its frames without payload

    # One step: at most one event. `used` bytes of data are done with; call again with the rest until
    # FRAME_MORE. `data` is not changed.
    cdef int feed(self, const unsigned char* data, Py_ssize_t size, Py_ssize_t* used) except -2
    # The message of the last event, which the reader forgets.
    cdef object take_message(self)
    # Bytes of memory held for an incomplete message.
    cdef Py_ssize_t held(self) noexcept

    cdef int _fail(self, int breach) except -2
    cdef void _drop(self) noexcept
    cdef int _tell(self, object message) except -2
    cdef int _tell_text(self, const unsigned char* data, Py_ssize_t n) except -2
    cdef Py_ssize_t _head(self, const unsigned char* data, Py_ssize_t size) except -2
    cdef Py_ssize_t _parse_head(self, const unsigned char* head, Py_ssize_t size) noexcept
    cdef int _first_byte(self, unsigned char first) noexcept
    cdef bint _is_too_long(self, unsigned char first, Py_ssize_t length) noexcept
    cdef void _begin(self, unsigned char first, Py_ssize_t length) noexcept
    cdef int _control(self, const unsigned char* data, Py_ssize_t n) except -2
    cdef int _control_done(self, const unsigned char* payload, Py_ssize_t n) except -2
    cdef int _close(self, const unsigned char* payload, Py_ssize_t n) except -2
    cdef int _whole(self, const unsigned char* data, Py_ssize_t n) except -2
    cdef int _piece(self, const unsigned char* data, Py_ssize_t n) except -2
    cdef void _used(self, Py_ssize_t n) noexcept
    cdef int _frame_done(self) except -2
    cdef int _message_done(self) except -2
    cdef bint _append(self, const unsigned char* data, Py_ssize_t n, uint32_t key, Py_ssize_t rest) except -1
    cdef int _make_room(self, Py_ssize_t more, Py_ssize_t rest) except -1
    cdef int _resize(self, Py_ssize_t capacity) except -1
    cdef int _compressed_piece(self, const unsigned char* data, Py_ssize_t n) except -2
    cdef int _inflated(self, bytes content, bint last) except -2


# Frames of the server (unmasked), appended to `out`.

# FIN, uncompressed.
cdef int write_frame(Buffer out, int opcode, const void* data, Py_ssize_t size) except -1
# Without the payload, so that a large one need not be copied. Returns the bytes it has appended.
cdef Py_ssize_t write_frame_head(Buffer out, int opcode, Py_ssize_t size, bint compressed) except -1
# Compresses where that was negotiated (`deflate` is not None) and is worth it.
cdef int write_message(Buffer out, int opcode, bytes payload, Deflate deflate) except -1
# A text message. Raises UnicodeEncodeError (a lone surrogate has no UTF-8).
cdef int write_text(Buffer out, str text, Deflate deflate) except -1
# Cuts the reason to what a frame takes, at a character's boundary. 1005: no payload. ValueError for a code
# that must not be sent.
cdef int write_close(Buffer out, int code, str reason) except -1
# May a close frame carry it? RFC 6455 section 7.4 and the registry of close codes.
cdef bint is_close_code(int code) noexcept
