"""WebSocket frames: bytes in, messages out; messages in, bytes out (RFC 6455), permessage-deflate (RFC 7692).

The usual message is one frame that arrived whole: it becomes one Python object, unmasked straight into it.
What arrives in pieces is unmasked into an object that grows up to the size of the message and then is the
message.

What is bounded, so that no client can make the server work or hold memory for nothing:

- a message, by `max_message`: an uncompressed one when the head of a frame shows that it would become too
  long; a compressed one while it is inflated, and the bytes on the wire of it (WIRE_SLACK);
- memory held for a message: four times what has arrived of it, whatever the frame announces;
- frames without payload in one message (MOST_EMPTY), which no limit in bytes would end;
- DEFLATE streams in one frame (MOST_ENDED): the first bytes of a new one are dear.

Text is checked as it arrives, so what cannot become UTF-8 any more is refused in the middle of a frame.

Knows: bytes and rules. Must not know: who sends them, clocks, applications.
"""

cimport cython

from typing import NamedTuple

import zlib

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from libc.string cimport memcpy

from tricorn.http.buffer cimport Buffer

cdef extern from "Python.h":
    void Py_XDECREF(PyObject*)
    PyObject* new_bytes "PyBytes_FromStringAndSize"(const char*, Py_ssize_t) except NULL
    PyObject* new_str "PyUnicode_New"(Py_ssize_t, unsigned int) except NULL
    int _PyBytes_Resize(PyObject**, Py_ssize_t) except -1
    int PyUnicode_Resize(PyObject**, Py_ssize_t) except -1
    char* bytes_data "PyBytes_AS_STRING"(PyObject*)
    unsigned char* str_data "PyUnicode_1BYTE_DATA"(PyObject*)
    bint PyUnicode_IS_ASCII(object)
    Py_ssize_t PyUnicode_GET_LENGTH(object)
    void* PyUnicode_DATA(object)
    str PyUnicode_DecodeUTF8(const char*, Py_ssize_t, const char*)
    bytes PyUnicode_AsUTF8String(object)
    str PyUnicode_New(Py_ssize_t, unsigned int)
    unsigned char* PyUnicode_1BYTE_DATA(object)

cdef extern from "frames.h" nogil:
    uint32_t turn_key(uint32_t key, size_t n)
    bint unmask(unsigned char* dst, const unsigned char* src, size_t n, uint32_t key)
    bint utf8_feed(utf8_state* state, const unsigned char* p, size_t n)

cdef enum:
    FIN = 0x80
    RSV1 = 0x40
    RESERVED = 0x70
    MASKED = 0x80
    LONGEST_HEAD = 14
    LONGEST_CONTROL = 125       # RFC 6455 §5.5
    NO_CODE = 1005
    # Room for a message that arrives in pieces: at first a page, then four times what is there (a frame of
    # 64 KB in pieces of 4 KB is moved twice), above LARGE twice (there a move is a change of page tables).
    SMALLEST_ROOM = 4096
    LARGE = 1 << 18
    # Empty fragments may mark a pause or an end. A thousand in one message serve nobody.
    MOST_EMPTY = 1024
    # A DEFLATE stream that ends inside of a message (RFC 7692 §7.2.3.4) costs a new decompressor and a copy of
    # the rest, a microsecond for two bytes. A client that uses them at all ends one with each frame.
    MOST_ENDED = 2
    # DEFLATE makes nothing twice as long, but small blocks and flushes have a price each.
    WIRE_SLACK = 4096

# Stands for no limit. Thrice as much is still a number.
cdef Py_ssize_t LONGEST_MESSAGE = (<Py_ssize_t>((<size_t>-1) >> 3))

cdef enum Breach:
    RESERVED_BIT
    UNKNOWN_OPCODE
    FRAGMENTED_CONTROL
    LONG_CONTROL
    NOTHING_TO_CONTINUE
    UNFINISHED_MESSAGE
    NOT_MASKED
    LONG_FORM
    BAD_LENGTH
    BAD_CLOSE
    BAD_CLOSE_CODE
    BAD_REASON
    BAD_TEXT
    BAD_DEFLATE
    LONG_MESSAGE
    MANY_FRAGMENTS

# What the client is told: at most 123 bytes of UTF-8.
cdef tuple BREACHES = (
    (1002, "a reserved bit is set (RFC 6455 §5.2)"),
    (1002, "the opcode is unknown (RFC 6455 §5.2)"),
    (1002, "a control frame is fragmented (RFC 6455 §5.5)"),
    (1002, "a control frame is longer than 125 bytes (RFC 6455 §5.5)"),
    (1002, "there is no message to continue (RFC 6455 §5.4)"),
    (1002, "a message begins before the previous one is finished (RFC 6455 §5.4)"),
    (1002, "a frame from the client is not masked (RFC 6455 §5.1)"),
    (1002, "a length is not in its shortest form (RFC 6455 §5.2)"),
    (1002, "a length has its first bit set (RFC 6455 §5.2)"),
    (1002, "a close frame has only half a close code (RFC 6455 §5.5.1)"),
    (1002, "the close code is not allowed in a close frame (RFC 6455 §7.4)"),
    (1007, "the close reason is not UTF-8 (RFC 6455 §5.5.1)"),
    (1007, "a text message is not UTF-8 (RFC 6455 §8.1)"),
    (1002, "a message cannot be decompressed (RFC 7692 §7.2.2)"),
    (1009, "the message is too long"),
    (1008, "a message has too many empty fragments"),
)

# ---------------------------------------------------------------------------------- compression

cdef bytes TAIL = b"\x00\x00\xff\xff"       # RFC 7692 §7.2.1: cut off by the sender
cdef object Z_SYNC_FLUSH = zlib.Z_SYNC_FLUSH
cdef object Z_HUFFMAN_ONLY = zlib.Z_HUFFMAN_ONLY
cdef object Z_DEFAULT_STRATEGY = zlib.Z_DEFAULT_STRATEGY
cdef object DEFLATED = zlib.DEFLATED
cdef object compressobj = zlib.compressobj
cdef object decompressobj = zlib.decompressobj
cdef object ZlibError = zlib.error


@cython.final
@cython.no_gc                   # nothing that it holds can lead back to it
cdef class Deflate:
    """permessage-deflate of one connection, as it was negotiated (RFC 7692 §7.1).

    server_no_context_takeover, client_no_context_takeover: each message is compressed by itself.
    server_max_window_bits, client_max_window_bits: 8 to 15.
    mem_level: 1 to 9, memory of the compressor. level: 0 to 9, its effort.
    threshold: bytes; shorter messages are sent as they are.
    """

    def __init__(
        self,
        bint server_no_context_takeover=False,
        bint client_no_context_takeover=False,
        int server_max_window_bits=15,
        int client_max_window_bits=15,
        *,
        int mem_level=8,
        int level=6,
        Py_ssize_t threshold=0,
    ):
        if not (8 <= server_max_window_bits <= 15 and 8 <= client_max_window_bits <= 15):
            raise ValueError("window bits must be from 8 to 15")
        if not (1 <= mem_level <= 9 and 0 <= level <= 9):
            raise ValueError("mem_level must be from 1 to 9, level from 0 to 9")
        self.server_no_context_takeover = server_no_context_takeover
        self.client_no_context_takeover = client_no_context_takeover
        self.server_max_window_bits = server_max_window_bits
        self.client_max_window_bits = client_max_window_bits
        self.mem_level = mem_level
        self.level = level
        self.threshold = threshold

    cdef object _new_compressor(self):
        """zlib has no window of 8 bits for bare DEFLATE. Huffman codes alone need none at all."""
        cdef bint tiny = self.server_max_window_bits == 8
        strategy = Z_HUFFMAN_ONLY if tiny else Z_DEFAULT_STRATEGY
        bits = 9 if tiny else self.server_max_window_bits
        return compressobj(self.level, DEFLATED, -bits, self.mem_level, strategy)

    cdef object _new_decompressor(self):
        return decompressobj(-self.client_max_window_bits)

    cdef bytes inflate(self, bytes data, Py_ssize_t most, bint last):
        cdef bytes content
        if self.decompressor is None:
            if last and data == TAIL:       # the stream ended with the last piece, the tail closes nothing
                return b""
            self.decompressor = self._new_decompressor()
        content = self.decompressor.decompress(data, most)
        if self.decompressor.eof:
            content = self._inflate_on(content, most, last)
        if last and self.client_no_context_takeover:
            self.decompressor = None
        return content

    cdef bytes _inflate_on(self, bytes content, Py_ssize_t most, bint last):
        """A block with BFINAL has ended the stream (RFC 7692 §7.2.3.4): the next byte begins another."""
        cdef list parts = [content]
        cdef Py_ssize_t room = most
        while self.decompressor is not None and self.decompressor.eof:
            self.ended += 1
            if self.ended > MOST_ENDED:
                raise ZlibError("a frame contains too many compressed streams")
            if most:
                room -= len(content)
            rest = self.decompressor.unused_data
            self.decompressor = None
            if rest and not (last and rest == TAIL) and (room or not most):
                self.decompressor = self._new_decompressor()
                content = self.decompressor.decompress(rest, room)
                parts.append(content)
        return b"".join(parts)

    cdef bytes deflate(self, bytes payload):
        cdef object compressor = self.compressor
        cdef bytes body, end, whole
        if len(payload) < self.threshold or not payload:
            return None
        if compressor is None:
            compressor = self._new_compressor()
            if not self.server_no_context_takeover:
                self.compressor = compressor
        body = compressor.compress(payload)
        end = compressor.flush(Z_SYNC_FLUSH)
        whole = body + end if body else end
        if not whole.endswith(TAIL):
            raise RuntimeError("zlib did not flush")
        # With context takeover the client needs it for its window, however long it is.
        if self.server_no_context_takeover and len(whole) - 4 >= len(payload):
            return None
        return whole

# -------------------------------------------------------------------------------------- reading


@cython.final
@cython.no_gc                   # nothing that it holds can lead back to it
cdef class FrameReader:
    """Reads the frames of a client.

    max_message: bytes, 0 for no limit. deflate: None if it was not negotiated.
    """

    def __init__(self, Py_ssize_t max_message=0, Deflate deflate=None):
        self.max_message = max_message if max_message else LONGEST_MESSAGE
        self.deflate = deflate
        self.close_reason = ""

    def __dealloc__(self):
        Py_XDECREF(self.store)
        PyMem_Free(self.control)

    cdef object take_message(self):
        message = self.message
        self.message = None
        return message

    cdef Py_ssize_t held(self) noexcept:
        return self.capacity + (LONGEST_CONTROL if self.control != NULL else 0)

    cdef int feed(self, const unsigned char* data, Py_ssize_t size, Py_ssize_t* used) except -2:
        cdef Py_ssize_t at = 0
        cdef Py_ssize_t n
        cdef int event
        used[0] = size
        if self.is_finished:
            return FRAME_MORE
        while at < size:
            if not self.in_frame:
                at += self._head(data + at, size - at)
                if self.is_finished:
                    return FRAME_FAILED
                if not self.in_frame:
                    return FRAME_MORE
            n = min(self.left, size - at)
            if self.opcode & 8:
                event = self._control(data + at, n)
            elif self.compressed:
                event = self._compressed_piece(data + at, n)
            elif n == self.left and self.fin and self.size == 0:
                event = self._whole(data + at, n)
            else:
                event = self._piece(data + at, n)
            at += n
            if event != FRAME_MORE:
                used[0] = at
                return event
        return FRAME_MORE

    cdef int _fail(self, int breach) except -2:
        self.close_code, self.close_reason = BREACHES[breach]
        self.is_finished = True
        self._drop()
        return FRAME_FAILED

    cdef void _drop(self) noexcept:
        """Forget the message."""
        Py_XDECREF(self.store)
        self.store = NULL
        self.data = NULL
        self.size = self.capacity = self.wire = 0
        self.kind = self.empties = 0
        self.compressed = False

    cdef int _tell(self, object message) except -2:
        """The message is complete."""
        cdef int event = FRAME_TEXT if self.kind == OP_TEXT else FRAME_BINARY
        self.message = message
        self.in_frame = False
        self._drop()
        return event

    # ---------------------------------------------------------------------------------- heads

    cdef Py_ssize_t _head(self, const unsigned char* data, Py_ssize_t size) except -2:
        """Read a head, or what there is of it. Returns the bytes it took. Sets `in_frame` or `is_finished`."""
        cdef Py_ssize_t kept = self.head_size
        cdef const unsigned char* head = data
        cdef Py_ssize_t n
        if kept:
            size = min(size, LONGEST_HEAD - kept)
            memcpy(self.head + kept, data, size)
            head = self.head
        n = self._parse_head(head, kept + size)
        if n > 0:
            self.head_size = 0
            return n - kept
        if n < 0:
            self._fail(<int>(-1 - n))
            return size
        if not kept:
            memcpy(self.head, data, size)
        self.head_size = <unsigned char>(kept + size)
        return size

    cdef Py_ssize_t _parse_head(self, const unsigned char* head, Py_ssize_t size) noexcept:
        """The size of a whole head; 0: it is incomplete, and right so far; -1 - breach: it is wrong."""
        cdef Py_ssize_t need = 6
        cdef unsigned long long length
        cdef int breach = self._first_byte(head[0])
        if breach >= 0:
            return -1 - breach
        if size < 2:
            return 0
        if not head[1] & MASKED:
            return -1 - NOT_MASKED
        length = head[1] & 0x7F
        if length > LONGEST_CONTROL:
            if head[0] & 8:
                return -1 - LONG_CONTROL
            need = 8 if length == 126 else 14
            if size < need - 4:
                return 0
            length = _big_endian(head + 2, need - 6)
            if length >> 63:
                return -1 - BAD_LENGTH
            if length <= (LONGEST_CONTROL if need == 8 else 0xFFFF):
                return -1 - LONG_FORM
        if not head[0] & 8 and self._is_too_long(head[0], <Py_ssize_t>length):
            return -1 - LONG_MESSAGE
        if size < need:
            return 0
        memcpy(&self.key, head + need - 4, 4)
        self._begin(head[0], <Py_ssize_t>length)
        return need

    cdef int _first_byte(self, unsigned char first) noexcept:
        """What is wrong with the first byte of a frame, -1: nothing."""
        cdef int opcode = first & 0x0F
        if first & RESERVED:
            # RFC 7692 §6: on the first frame of a message, and only where it was negotiated.
            if first & RESERVED != RSV1 or self.deflate is None or opcode & 8 or opcode == OP_CONTINUATION:
                return RESERVED_BIT
        if opcode & 8:
            if opcode > OP_PONG:
                return UNKNOWN_OPCODE
            return -1 if first & FIN else FRAGMENTED_CONTROL
        if opcode > OP_BINARY:
            return UNKNOWN_OPCODE
        if opcode == OP_CONTINUATION:
            return -1 if self.kind else NOTHING_TO_CONTINUE
        return UNFINISHED_MESSAGE if self.kind else -1

    cdef bint _is_too_long(self, unsigned char first, Py_ssize_t length) noexcept:
        """Would the message be too long with this frame? No sum here overflows: see LONGEST_MESSAGE."""
        if length > LONGEST_MESSAGE:
            return True
        if self.compressed or first & RSV1:
            return (self.wire + length - WIRE_SLACK) // 2 > self.max_message
        return self.size + length > self.max_message

    cdef void _begin(self, unsigned char first, Py_ssize_t length) noexcept:
        """A frame begins; its head is right."""
        self.opcode = first & 0x0F
        self.fin = first & FIN != 0
        self.left = length
        self.in_frame = True
        if self.opcode & 8:
            return
        if self.opcode != OP_CONTINUATION:
            self.kind = self.opcode
            self.compressed = first & RSV1 != 0
            self.is_ascii = True
        if length == 0:
            self.empties += 1
        if self.compressed:
            self.wire += length
            self.deflate.ended = 0

    # ------------------------------------------------------------------------- control frames

    cdef int _control(self, const unsigned char* data, Py_ssize_t n) except -2:
        cdef unsigned char payload[LONGEST_CONTROL]
        cdef int event
        if n == self.left and self.control == NULL:
            unmask(payload, data, n, self.key)
            return self._control_done(payload, n)
        if self.control == NULL:
            self.control = <unsigned char*>PyMem_Malloc(LONGEST_CONTROL)
            if self.control == NULL:
                raise MemoryError()
            self.control_size = 0
        unmask(self.control + self.control_size, data, n, self.key)
        self.control_size += <unsigned char>n
        self._used(n)
        if self.left:
            return FRAME_MORE
        event = self._control_done(self.control, self.control_size)
        PyMem_Free(self.control)
        self.control = NULL
        return event

    cdef int _control_done(self, const unsigned char* payload, Py_ssize_t n) except -2:
        self.in_frame = False
        if self.opcode == OP_CLOSE:
            return self._close(payload, n)
        self.message = (<const char*>payload)[:n]
        return FRAME_PING if self.opcode == OP_PING else FRAME_PONG

    cdef int _close(self, const unsigned char* payload, Py_ssize_t n) except -2:
        """RFC 6455 §5.5.1. What comes behind is not read (§1.4)."""
        if n == 1:
            return self._fail(BAD_CLOSE)
        code = NO_CODE
        reason = ""
        if n:
            code = payload[0] << 8 | payload[1]
            if not is_close_code(code):
                return self._fail(BAD_CLOSE_CODE)
            try:
                reason = PyUnicode_DecodeUTF8(<const char*>payload + 2, n - 2, NULL)
            except UnicodeDecodeError:
                reason = None
            if reason is None:
                return self._fail(BAD_REASON)
        self.close_code, self.close_reason = code, reason
        self.is_finished = True
        self._drop()
        return FRAME_CLOSE

    # ------------------------------------------------------------------------------- messages

    cdef int _whole(self, const unsigned char* data, Py_ssize_t n) except -2:
        """The whole of a message, straight into its object."""
        cdef object message
        cdef bint beyond
        if self.kind == OP_BINARY:
            message = PyBytes_FromStringAndSize(NULL, n)
            unmask(<unsigned char*>PyBytes_AS_STRING(message), data, n, self.key)
            return self._tell(message)
        if n == 0:
            return self._tell("")
        message = PyUnicode_New(n, 127)
        beyond = unmask(PyUnicode_1BYTE_DATA(message), data, n, self.key)
        if beyond:
            # No str yet: bytes that happen to stand where those of one would.
            return self._tell_text(PyUnicode_1BYTE_DATA(message), n)
        return self._tell(message)

    cdef int _tell_text(self, const unsigned char* data, Py_ssize_t n) except -2:
        try:
            message = PyUnicode_DecodeUTF8(<const char*>data, n, NULL)
        except UnicodeDecodeError:
            message = None
        return self._tell(message) if message is not None else self._fail(BAD_TEXT)

    cdef int _piece(self, const unsigned char* data, Py_ssize_t n) except -2:
        cdef bint is_right = self._append(data, n, self.key, self.left if self.fin else -1)
        if not is_right:
            return self._fail(BAD_TEXT)
        self._used(n)
        return FRAME_MORE if self.left else self._frame_done()

    cdef void _used(self, Py_ssize_t n) noexcept:
        """Some of the frame's payload is done with."""
        self.left -= n
        self.key = turn_key(self.key, n)

    cdef int _frame_done(self) except -2:
        self.in_frame = False
        if self.fin:
            return self._message_done()
        return FRAME_MORE if self.empties <= MOST_EMPTY else self._fail(MANY_FRAGMENTS)

    cdef int _message_done(self) except -2:
        """All of the message is in `store`."""
        cdef object message
        if self.kind == OP_TEXT and not self.is_ascii:
            return self._tell_text(self.data, self.size)
        if self.store == NULL:
            return self._tell("" if self.kind == OP_TEXT else b"")
        if self.size != self.capacity:
            self._resize(self.size)
        message = <object>self.store
        return self._tell(message)

    cdef bint _append(self, const unsigned char* data, Py_ssize_t n, uint32_t key, Py_ssize_t rest) except -1:
        """Add to the message. False: it is a text, and this is no UTF-8. rest: see _make_room."""
        cdef unsigned char* place
        cdef bint beyond
        if n == 0:
            return True
        self._make_room(n, rest)
        place = self.data + self.size
        beyond = unmask(place, data, n, key)
        self.size += n
        if self.kind != OP_TEXT or not (beyond or self.utf8.need):
            return True
        self.is_ascii = False
        return utf8_feed(&self.utf8, place, n)

    cdef int _make_room(self, Py_ssize_t more, Py_ssize_t rest) except -1:
        """For `more` bytes. rest: what is still to come of the message, with these; -1: nobody knows."""
        cdef Py_ssize_t need = self.size + more
        cdef Py_ssize_t room
        if need <= self.capacity:
            return 0
        room = max(need * 4 if need < LARGE else need * 2, SMALLEST_ROOM)
        room = min(room, self.size + rest if rest >= 0 else max(need, self.max_message))
        return self._resize(room)

    cdef int _resize(self, Py_ssize_t capacity) except -1:
        if self.kind == OP_TEXT:
            if self.store == NULL:
                self.store = new_str(capacity, 127)
            else:
                PyUnicode_Resize(&self.store, capacity)
            self.data = str_data(self.store)
        else:
            if self.store == NULL:
                self.store = new_bytes(NULL, capacity)
            else:
                _PyBytes_Resize(&self.store, capacity)
            self.data = <unsigned char*>bytes_data(self.store)
        self.capacity = capacity
        return 0

    # ---------------------------------------------------------------------- compressed messages

    cdef int _compressed_piece(self, const unsigned char* data, Py_ssize_t n) except -2:
        cdef bint last = self.fin and n == self.left
        cdef bytes piece
        cdef bytes content = b""
        cdef Py_ssize_t room
        if self.wire and (n or last):       # a message of no bytes at all has no tail either
            piece = PyBytes_FromStringAndSize(NULL, n + 4 if last else n)
            unmask(<unsigned char*>PyBytes_AS_STRING(piece), data, n, self.key)
            if last:
                memcpy(PyBytes_AS_STRING(piece) + n, PyBytes_AS_STRING(TAIL), 4)
            room = self.max_message - self.size
            try:
                content = self.deflate.inflate(piece, room + 1, last)
            except ZlibError:
                content = None
            if content is None:
                return self._fail(BAD_DEFLATE)
            if len(content) > room:
                return self._fail(LONG_MESSAGE)
        self._used(n)
        return self._inflated(content, last)

    cdef int _inflated(self, bytes content, bint last) except -2:
        cdef const unsigned char* data = <const unsigned char*>PyBytes_AS_STRING(content)
        cdef Py_ssize_t n = len(content)
        cdef bint is_right
        if last and self.size == 0:
            self.in_frame = False
            return self._tell(content) if self.kind == OP_BINARY else self._tell_text(data, n)
        is_right = self._append(data, n, 0, n if last else -1)
        if not is_right:
            return self._fail(BAD_TEXT)
        return FRAME_MORE if self.left else self._frame_done()

# -------------------------------------------------------------------------------------- details


cdef inline unsigned long long _big_endian(const unsigned char* p, Py_ssize_t n) noexcept:
    cdef unsigned long long number = 0
    cdef Py_ssize_t i
    for i in range(n):
        number = number << 8 | p[i]
    return number


cdef bint is_close_code(int code) noexcept:
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999

# -------------------------------------------------------------------------------------- writing


cdef Py_ssize_t write_frame_head(Buffer out, int opcode, Py_ssize_t size, bint compressed) except -1:
    cdef unsigned char* head
    cdef Py_ssize_t n = 2
    cdef Py_ssize_t i
    out.reserve(10)
    head = out.data + out.size
    head[0] = <unsigned char>(FIN | (RSV1 if compressed else 0) | opcode)
    if size <= LONGEST_CONTROL:
        head[1] = <unsigned char>size
    elif size <= 0xFFFF:
        head[1] = 126
        head[2] = <unsigned char>(size >> 8)
        head[3] = <unsigned char>size
        n = 4
    else:
        head[1] = 127
        for i in range(8):
            head[2 + i] = <unsigned char>(size >> (56 - 8 * i))
        n = 10
    out.size += n
    return n


cdef int write_frame(Buffer out, int opcode, const void* data, Py_ssize_t size) except -1:
    out.reserve(size + 10)
    write_frame_head(out, opcode, size, False)
    memcpy(out.data + out.size, data, size)
    out.size += size
    return 0


cdef int write_message(Buffer out, int opcode, bytes payload, Deflate deflate) except -1:
    cdef bytes compressed
    cdef Py_ssize_t n
    if deflate is not None:
        compressed = deflate.deflate(payload)
        if compressed is not None:
            n = len(compressed) - 4
            out.reserve(n + 10)
            write_frame_head(out, opcode, n, True)
            return out.add(PyBytes_AS_STRING(compressed), n)
    return write_frame(out, opcode, PyBytes_AS_STRING(payload), len(payload))


cdef int write_text(Buffer out, str text, Deflate deflate) except -1:
    cdef Py_ssize_t n = PyUnicode_GET_LENGTH(text)
    if PyUnicode_IS_ASCII(text) and (deflate is None or n < deflate.threshold):
        return write_frame(out, OP_TEXT, PyUnicode_DATA(text), n)
    return write_message(out, OP_TEXT, PyUnicode_AsUTF8String(text), deflate)


cdef int write_close(Buffer out, int code, str reason) except -1:
    cdef unsigned char payload[LONGEST_CONTROL]
    cdef bytes encoded
    cdef Py_ssize_t n
    if code == NO_CODE:
        return write_frame(out, OP_CLOSE, NULL, 0)
    if not is_close_code(code):
        raise ValueError(f"{code} is not a close code that may be sent (RFC 6455 §7.4)")
    encoded = reason.encode("utf-8", "replace")
    n = len(encoded)
    if n > LONGEST_CONTROL - 2:
        n = LONGEST_CONTROL - 2
        while PyBytes_AS_STRING(encoded)[n] & 0xC0 == 0x80:     # in the middle of a character
            n -= 1
    payload[0] = <unsigned char>(code >> 8)
    payload[1] = <unsigned char>code
    memcpy(payload + 2, PyBytes_AS_STRING(encoded), n)
    return write_frame(out, OP_CLOSE, payload, n + 2)

# ------------------------------------------------------------------------- the face for Python


class Text(NamedTuple):
    """A text message."""

    content: str


class Binary(NamedTuple):
    """A binary message."""

    content: bytes


class Ping(NamedTuple):
    """It wants a pong with the same content."""

    content: bytes


class Pong(NamedTuple):
    """The answer to a ping, or one that nobody asked for."""

    content: bytes


class Close(NamedTuple):
    """The client closes. code 1005: it gave none. Nothing is read any more."""

    code: int
    reason: str


class Failed(NamedTuple):
    """What the client would be told. Nothing is read any more."""

    code: int
    reason: str


Event = Text | Binary | Ping | Pong | Close | Failed

cdef dict EVENTS = {FRAME_TEXT: Text, FRAME_BINARY: Binary, FRAME_PING: Ping, FRAME_PONG: Pong}


cdef class FrameStream:
    """The frames of one client for Python code: for tests, fuzzing, whoever wants to see what they mean."""

    cdef FrameReader reader

    def __init__(self, Py_ssize_t max_message=0, Deflate deflate=None):
        self.reader = FrameReader(max_message, deflate)

    @property
    def held(self):
        """Bytes of memory held for an incomplete message."""
        return self.reader.held()

    @property
    def is_closed(self):
        """Nothing is read any more."""
        return self.reader.is_finished

    def feed(self, bytes data not None):
        """The events that these bytes complete."""
        cdef list events = []
        cdef const unsigned char* p = <const unsigned char*>PyBytes_AS_STRING(data)
        cdef Py_ssize_t left = len(data)
        cdef Py_ssize_t used = 0
        cdef int event
        while True:
            event = self.reader.feed(p, left, &used)
            p += used
            left -= used
            if event == FRAME_MORE:
                return events
            if event == FRAME_CLOSE:
                events.append(Close(self.reader.close_code, self.reader.close_reason))
            elif event == FRAME_FAILED:
                events.append(Failed(self.reader.close_code, self.reader.close_reason))
            else:
                events.append(EVENTS[event](self.reader.take_message()))


cdef bytes _bytes(Buffer out):
    return (<const char*>out.data)[:out.size]


def frame(int opcode, bytes payload not None):
    """One frame of the server, whole and uncompressed."""
    cdef Buffer out = Buffer()
    write_frame(out, opcode, PyBytes_AS_STRING(payload), len(payload))
    return _bytes(out)


def message(payload not None, Deflate deflate=None):
    """A message of the server, text (str) or binary. Raises UnicodeEncodeError for a lone surrogate."""
    cdef Buffer out = Buffer()
    if isinstance(payload, str):
        write_text(out, payload, deflate)
    else:
        write_message(out, OP_BINARY, payload, deflate)
    return _bytes(out)


def close_frame(int code=NO_CODE, str reason not None=""):
    """A close frame. Raises ValueError for a code that must not be sent."""
    cdef Buffer out = Buffer()
    write_close(out, code, reason)
    return _bytes(out)
