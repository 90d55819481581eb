"""HTTP/1.0 and HTTP/1.1: request heads and request bodies (RFC 9110, RFC 9112), strict and incremental.

Bytes in, spans out. Each byte is looked at once however the message is cut, each limit is checked while
reading, and whatever is not in the grammar is refused with the rule that it breaks: a server that guesses
what a client meant can be made to disagree with the proxy in front of it about where a request ends.

Knows: bytes and rules. Must not know: sockets, clocks, applications.
"""

from libc.string cimport memchr, memcmp, memcpy

from tricorn.http.chars cimport DIGIT, HEX, HOST, QUOTED, TOKEN, VALUE, classes, hex_value
from tricorn.http.names cimport (
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, FORWARDED, HOST_FIELD, PLAIN, TRANSFER_ENCODING,
    FieldKind, NameSlot, equals_lower, find_name, kind_of, name_slots, same_bytes,
)
from tricorn.http.request cimport BODY_CHUNKED, BODY_LENGTH, Field, Limits, RequestHead, Span

from tricorn.http.errors import ProtocolError

# Grammar only: no socket is involved.
cdef extern from "<arpa/inet.h>" nogil:
    cdef struct in6_addr:
        pass
    enum: INET6_ADDRSTRLEN
    int AF_INET6
    int inet_pton(int, const char*, void*)

cdef extern from "scan.h" nogil:
    const unsigned char* scan_text(const unsigned char* p, const unsigned char* end)
    const unsigned char* scan_colon(const unsigned char* p, const unsigned char* end)
    const unsigned char* scan_target(const unsigned char* p, const unsigned char* end)

cdef const unsigned char* CLASS = classes()
cdef NameSlot* NAMES = name_slots()

cdef enum:
    CR = 13
    LF = 10
    TLS_HANDSHAKE = 22
    LONGEST_METHOD = 32
    LONGEST_HOST = 64       # that is remembered
    # Chunk extensions are ignored, so a body may not carry more of them than a generous sender would
    # (the same flaw in other servers: CVE-2023-39326).
    LONGEST_EXTENSION = 16384

cdef enum Stage:
    START = 0
    AFTER_EMPTY_LINE
    FIELDS
    TRAILERS

REFUSALS = {
    BAD_LINE_END: (400, "RFC 9112 §2.2", "a line must end with CR LF and must not contain other control bytes"),
    SPEAKS_TLS: (400, "RFC 8446 §5.1", "the client speaks TLS, and this socket is for plain HTTP"),
    SPEAKS_PACKETS: (400, "bind", "the client speaks the uwsgi protocol, and this socket is for HTTP; uwsgi:// in front of its address changes that"),
    BAD_EMPTY_LINE: (400, "RFC 9112 §2.2", "there is more than one empty line before the request line"),
    BAD_REQUEST_LINE: (400, "RFC 9112 §3", "the request line must be a method, a target and a version, separated by single spaces"),
    BAD_METHOD: (400, "RFC 9112 §3.1", "the method is not a token of at most 32 bytes"),
    BAD_TARGET: (400, "RFC 9112 §3.2", "the request target is malformed, or not in a form that the method allows"),
    BAD_VERSION: (400, "RFC 9112 §2.3", "the protocol version is malformed"),
    UNSUPPORTED_VERSION: (505, "RFC 9110 §15.6.6", "only HTTP/1.0 and HTTP/1.1 are supported"),
    BAD_FIELD_LINE: (400, "RFC 9112 §5", "a field line has no colon"),
    BAD_FIELD_NAME: (400, "RFC 9112 §5.1", "a field name is not a token, or is followed by white space"),
    OBS_FOLD: (400, "RFC 9112 §5.2", "a field line begins with white space"),
    BAD_HOST: (400, "RFC 9112 §3.2", "Host is missing, repeated or malformed"),
    BAD_CONTENT_LENGTH: (400, "RFC 9112 §6.3", "Content-Length is repeated or not a number"),
    LENGTH_AND_CODING: (400, "RFC 9112 §6.3", "Content-Length and Transfer-Encoding must not be used together"),
    CODING_IN_10: (400, "RFC 9112 §6.1", "Transfer-Encoding is not allowed in HTTP/1.0"),
    BAD_CODING: (400, "RFC 9112 §6.1", "Transfer-Encoding must end with chunked, and contain it only once"),
    UNKNOWN_CODING: (501, "RFC 9112 §6.1", "chunked is the only supported transfer coding"),
    DUPLICATE_CONTENT_TYPE: (400, "RFC 9110 §8.3", "Content-Type is repeated"),
    UNKNOWN_EXPECTATION: (417, "RFC 9110 §10.1.1", "100-continue is the only supported expectation"),
    LONG_REQUEST_LINE: (414, "limit_request_line", "the request line is too long"),
    LONG_FIELD: (431, "limit_request_field_size", "a field line is too long"),
    LONG_HEAD: (431, "limit_request_head", "the request head is too long"),
    MANY_FIELDS: (431, "limit_request_fields", "there are too many header fields"),
    LONG_BODY: (413, "limit_request_body", "the request body is too long"),
    BAD_CHUNK_SIZE: (400, "RFC 9112 §7.1", "a chunk size is not 1 to 16 hexadecimal digits"),
    BAD_CHUNK_EXTENSION: (400, "RFC 9112 §7.1.1", "a chunk extension is malformed"),
    LONG_CHUNK_EXTENSION: (400, "RFC 9112 §7.1.1", "the chunk extensions are too long"),
    BAD_CHUNK_END: (400, "RFC 9112 §7.1", "chunk data is not followed by CR LF"),
    BAD_TRAILER: (400, "RFC 9110 §6.5.1", "framing, routing and authentication fields are not allowed in trailers"),
    CUT_BODY: (400, "RFC 9112 §8", "the connection ended before the request body did"),
    SLOW_HEAD: (408, "header_timeout", "the request head took too long"),
    SLOW_BODY: (408, "body_timeout", "the request body took too long"),
    MALFORMED: (400, "RFC 9113 §8.1.1", "the request is malformed"),
    OTHER_HOST: (400, "RFC 9113 §8.3.1", "Host is not what :authority says"),
    BAD_SCHEME: (400, "RFC 9113 §8.3.1", "the scheme is neither http nor https"),
    NO_TUNNEL: (501, "RFC 9113 §8.5", "CONNECT is not supported over HTTP/2"),
    NO_METHOD: (400, "RFC 3875 §4.1.12", "the packet has no REQUEST_METHOD"),
    NO_TARGET: (400, "RFC 3875 §4.1.5", "the packet has neither REQUEST_URI nor PATH_INFO"),
    BAD_PATH_INFO: (400, "RFC 3875 §4.1.5", "PATH_INFO does not begin with a slash"),
    BAD_SCRIPT_NAME: (400, "RFC 3875 §4.1.13", "SCRIPT_NAME does not begin with a slash"),
    BAD_ADDRESS: (400, "RFC 3875 §4.1.8", "REMOTE_ADDR is no address"),
    BAD_VALUE: (400, "RFC 9110 §5.5", "a field value contains a control byte"),
    SPEAKS_HTTP: (400, "uwsgi", "the client speaks HTTP, and this socket is for the uwsgi protocol"),
    SPEAKS_TLS_TO_IT: (400, "uwsgi", "the client speaks TLS, and this socket is for the uwsgi protocol without it"),
    OTHER_MODIFIER: (400, "uwsgi", "modifier1 of the packet is not 0, which says that it is a request"),
    CUT_VARIABLE: (400, "uwsgi", "a variable is longer than the packet"),
    BAD_VARIABLE: (400, "uwsgi", "the name of a variable is empty, or not of visible ASCII characters"),
    MANY_VARIABLES: (400, "uwsgi", "the packet has more than 1000 variables"),
    CUT_PACKET: (400, "uwsgi", "the connection ended before the packet did"),
}


cpdef object refusal(int error):
    """The ProtocolError that stands behind an error number of this module."""
    return ProtocolError(*REFUSALS[error])


cdef inline int _refuse(RequestHead head, int error) noexcept:
    head.error = error
    return REFUSED


# ---- the head, line by line ---------------------------------------------------------------------------


cdef int parse_head(RequestHead head, Limits limits) except -2:
    cdef const unsigned char* base = head.data
    cdef const unsigned char* end = base + head.size
    cdef const unsigned char* stop
    cdef const unsigned char* line
    cdef int error = NONE
    while True:
        # Invariant: [line, scanned) holds only bytes that may stand in a line.
        stop = scan_text(base + head.scanned, end)
        if stop == end or (stop[0] == CR and stop + 1 == end):
            head.scanned = <unsigned int>(stop - base)
            return _wait(head, limits)
        if stop[0] != CR or stop[1] != LF:
            return _refuse(head, _early_error(head, stop - base, limits) or _control_error(head, stop))
        line = base + head.line
        if stop - line > (limits.field_size if head.stage >= FIELDS else limits.request_line) or (
            stop + 2 - base > limits.head
        ):
            error = _early_error(head, stop - base, limits)
            if error:
                return _refuse(head, error)
        head.line = head.scanned = <unsigned int>(stop + 2 - base)
        if head.line > limits.head:
            return _refuse(head, LONG_HEAD)
        if head.stage >= FIELDS:
            if line == stop:
                head.end = head.line
                return DONE if head.stage == TRAILERS else _complete(head)
            error = _field_line(head, line, stop, limits)
        elif line != stop:
            head.stage = FIELDS
            error = _request_line(head, line, stop)
        elif head.stage == START:
            head.stage = AFTER_EMPTY_LINE
        else:
            error = BAD_EMPTY_LINE
        if error:
            return _refuse(head, error)


cdef int _early_error(RequestHead head, Py_ssize_t stop, Limits limits) noexcept:
    """What is wrong with a line of which the bytes up to the offset `stop` are here, whether or not it ends there.

    Of several faults the one that shows first, so that a message is refused for the same reason however it is cut.
    """
    cdef Py_ssize_t length = stop - head.line
    if head.stage < FIELDS:
        # A client that speaks another protocol (TLS, say) shows it in the first bytes.
        if length and _method(head.data + head.line, min(length, <Py_ssize_t>limits.request_line + 1)) < 0:
            return BAD_METHOD
        return LONG_REQUEST_LINE if length > limits.request_line else NONE
    if length > limits.field_size and head.line + <Py_ssize_t>limits.field_size <= <Py_ssize_t>limits.head:
        return LONG_FIELD
    return LONG_HEAD if stop > limits.head else NONE


cdef int _control_error(RequestHead head, const unsigned char* p) noexcept:
    """A byte that stands in no line. A TLS handshake shows in its first one (content type 22), and so does a packet (packet.pyx)."""
    if head.stage != START or p != head.data:
        return BAD_LINE_END
    return SPEAKS_TLS if p[0] == TLS_HANDSHAKE else SPEAKS_PACKETS if p[0] == 0 else BAD_LINE_END


cdef Py_ssize_t _method(const unsigned char* p, Py_ssize_t size) noexcept:
    """How long the method is, 0 while that does not show yet, -1 if it is none."""
    cdef Py_ssize_t n = 0
    while n < size and CLASS[p[n]] & TOKEN:
        if n == LONGEST_METHOD:
            return -1
        n += 1
    if n == size:
        return 0
    return n if n and p[n] == c' ' else -1


cdef int _wait(RequestHead head, Limits limits) noexcept:
    """The line is incomplete. Refuse what can no longer become right, so that nobody waits for its end."""
    cdef int error = _early_error(head, head.scanned, limits)
    return _refuse(head, error) if error else MORE


cdef inline void _set(Span* span, RequestHead head, const unsigned char* start, const unsigned char* end) noexcept:
    span.start = <unsigned int>(start - head.data)
    span.length = <unsigned int>(end - start)


cdef inline bint _is_blank(unsigned char c) noexcept:
    return c == c' ' or c == 9


cdef int _request_line(RequestHead head, const unsigned char* p, const unsigned char* end) noexcept:
    cdef Py_ssize_t method = _method(p, end - p)
    cdef const unsigned char* space = p + method
    cdef const unsigned char* target
    cdef int error
    if method <= 0:
        return BAD_METHOD if method else BAD_REQUEST_LINE
    _set(&head.method, head, p, space)
    head.is_head = space - p == 4 and memcmp(p, b"HEAD", 4) == 0
    head.is_connect = space - p == 7 and memcmp(p, b"CONNECT", 7) == 0
    target = space + 1
    space = <const unsigned char*>memchr(target, c' ', end - target)
    if space == NULL or space == target:
        return BAD_REQUEST_LINE
    error = _version(head, space + 1, end)
    if error:
        return error
    return _target(head, target, space)


cdef int _version(RequestHead head, const unsigned char* p, const unsigned char* end) noexcept:
    if end - p != 8 or memcmp(p, b"HTTP/", 5) != 0 or p[6] != c'.':
        return BAD_REQUEST_LINE if memchr(p, c' ', end - p) != NULL else BAD_VERSION
    if p[5] == c'1' and (p[7] == c'1' or p[7] == c'0'):
        head.version = 10 + (p[7] - c'0')
        return NONE
    if (p[5] == c'1' and CLASS[p[7]] & DIGIT) or (p[5] == c'2' and p[7] == c'0'):
        return UNSUPPORTED_VERSION
    return BAD_VERSION


cdef int _target(RequestHead head, const unsigned char* p, const unsigned char* end) noexcept:
    """RFC 9112 §3.2: the four forms, and which method may use which."""
    cdef const unsigned char* q = scan_target(p, end)
    cdef const unsigned char* question = q if q < end and q[0] == c'?' else NULL
    while q < end and q[0] == c'?':
        q = scan_target(q + 1, end)
    if q < end:
        return BAD_TARGET
    _set(&head.target, head, p, end)
    if head.is_connect:
        _set(&head.authority, head, p, end)
        _set(&head.path, head, end, end)
        return NONE if _is_host(p, end, True) else BAD_TARGET
    if p[0] != c'/':
        if end - p == 1 and p[0] == c'*':
            _set(&head.path, head, p, end)
            return NONE if _is_options(head) else BAD_TARGET
        p = _authority(head, p, end)
        if p == NULL:
            return BAD_TARGET
    if question != NULL:
        head.has_query = True
        _set(&head.query, head, question + 1, end)
        end = question
    _set(&head.path, head, p, end)
    return NONE


cdef bint _is_options(RequestHead head) noexcept:
    return head.method.length == 7 and memcmp(head.data + head.method.start, b"OPTIONS", 7) == 0


cdef const unsigned char* _authority(
    RequestHead head, const unsigned char* p, const unsigned char* end
) noexcept:
    """Record the authority of an absolute-form target and return the start of its path, NULL if malformed."""
    cdef const unsigned char* q
    if end - p > 7 and equals_lower(p, 7, b"http://"):
        p += 7
    elif end - p > 8 and equals_lower(p, 8, b"https://"):
        p += 8
    else:
        return NULL
    q = p
    while q < end and q[0] != c'/' and q[0] != c'?':
        q += 1
    # RFC 9110 §4.2.4: user information in the target has no honest use; '@' is no byte of a host.
    if not _is_host(p, q, False):
        return NULL
    _set(&head.authority, head, p, q)
    return q


cdef bint _is_host(const unsigned char* p, const unsigned char* end, bint needs_port) noexcept:
    """uri-host [ ":" port ], RFC 9110 §7.2, and not empty (RFC 9110 §4.2.1)."""
    cdef const unsigned char* start = p
    cdef unsigned int port = 0
    if p < end and p[0] == c'[':
        p = <const unsigned char*>memchr(p, c']', end - p)
        if p == NULL or not _is_ipv6(start + 1, p - start - 1):
            return False
        p += 1
    else:
        while p < end:
            if CLASS[p[0]] & HOST:
                p += 1
            elif p[0] == c'%' and end - p > 2 and CLASS[p[1]] & HEX and CLASS[p[2]] & HEX:
                p += 3
            else:
                break
        if p == start:
            return False
    if p == end:
        return not needs_port
    if p[0] != c':' or end - p > 6 or (needs_port and end - p == 1):
        return False
    p += 1
    while p < end:
        if not CLASS[p[0]] & DIGIT:
            return False
        port = port * 10 + (p[0] - c'0')
        p += 1
    return port <= 65535


cdef bint _is_ipv6(const unsigned char* text, Py_ssize_t length) noexcept:
    """RFC 3986 §3.2.2, IPv6address. The IPvFuture form has no use as long as there is no other version."""
    cdef char copy[INET6_ADDRSTRLEN]
    cdef in6_addr address
    if length >= INET6_ADDRSTRLEN or memchr(text, 0, length) != NULL:
        return False
    memcpy(copy, text, length)
    copy[length] = 0
    return inet_pton(AF_INET6, copy, &address) == 1


cdef int _field_line(
    RequestHead head, const unsigned char* p, const unsigned char* end, Limits limits
) except -2:
    cdef const unsigned char* colon
    cdef const unsigned char* value
    cdef int slot
    cdef int error
    if p[0] == c' ' or p[0] == 9:
        return OBS_FOLD
    colon = scan_colon(p, end)
    if colon == end:
        return BAD_FIELD_LINE
    slot = find_name(NAMES, p, colon - p)
    if slot == -2:
        return BAD_FIELD_NAME
    if <unsigned int>head.count >= limits.fields:
        return MANY_FIELDS
    if head.stage == TRAILERS:
        error = _trailer(p, colon - p, slot)
        if error or _is_out_of_place(p, colon - p):
            return error
    value = colon + 1
    while value < end and _is_blank(value[0]):
        value += 1
    while end > value and _is_blank((end - 1)[0]):
        end -= 1
    return _place_field(head, p, colon, value, end, slot)


cdef inline int _place_field(
    RequestHead head, const unsigned char* p, const unsigned char* name_end, const unsigned char* value,
    const unsigned char* end, int slot,
) except -2:
    """One whose name is a token, [p, name_end), and that lies in the head's bytes."""
    cdef Field* field = head.add_field()
    _set(&field.name, head, p, name_end)
    _set(&field.value, head, value, end)
    field.slot = slot
    if slot >= 0:
        field.kind = NAMES[slot].kind
        field.underscore = NAMES[slot].underscore
    else:
        field.kind = kind_of(p, name_end - p)
        field.underscore = memchr(p, c'_', name_end - p) != NULL
    head.has_underscore |= field.underscore
    if field.kind == PLAIN:
        return NONE
    return _special_field(head, field, value, end)


cdef int place_field(RequestHead head, Span name, Span value, Limits limits) except -2:
    cdef const unsigned char* p = head.data + name.start
    cdef const unsigned char* v = head.data + value.start
    cdef int slot = find_name(NAMES, p, name.length)
    if slot == -2:
        return BAD_FIELD_NAME
    if <unsigned int>head.count >= limits.fields:
        return MANY_FIELDS
    if name.length + value.length + 2 > limits.field_size:
        return LONG_FIELD
    return _place_field(head, p, p + name.length, v, v + value.length, slot)


cdef int trailer_error(const unsigned char* name, Py_ssize_t size) noexcept:
    return _trailer(name, size, find_name(NAMES, name, size))


cdef int place_target(RequestHead head, Span target) noexcept:
    return _target(head, head.data + target.start, head.data + target.start + target.length)


ctypedef const char* Lower

# RFC 9110 §6.5.1: what says how to treat a request or its content comes too late in a trailer. Nobody is misled
# by it, so it is dropped (§6.5.2).
cdef Lower[22] OUT_OF_PLACE = [
    b"accept", b"accept-charset", b"accept-encoding", b"accept-language", b"cache-control", b"content-encoding",
    b"content-language", b"content-location", b"content-range", b"content-type", b"if-match",
    b"if-modified-since", b"if-none-match", b"if-range", b"if-unmodified-since", b"pragma", b"prefer", b"range",
    b"set-cookie", b"user-agent", b"vary", b"www-authenticate",
]


cdef int _trailer(const unsigned char* name, Py_ssize_t length, int slot) noexcept:
    """Framing, routing and credentials: who reads them there disagrees with who does not about the request."""
    cdef FieldKind kind = kind_of(name, length) if slot < 0 else NAMES[slot].kind
    if kind != PLAIN and kind != CONTENT_TYPE:
        return BAD_TRAILER
    if length > 6 and equals_lower(name, 6, b"proxy-"):
        return BAD_TRAILER
    return BAD_TRAILER if length > 12 and equals_lower(name, 12, b"x-forwarded-") else NONE


cdef bint _is_out_of_place(const unsigned char* name, Py_ssize_t length) noexcept:
    cdef Lower known
    for known in OUT_OF_PLACE:
        if equals_lower(name, length, known):
            return True
    return False


cdef int _special_field(
    RequestHead head, Field* field, const unsigned char* p, const unsigned char* end
) noexcept:
    """Fields that the engine itself obeys. What depends on several of them waits for the end of the head."""
    cdef FieldKind kind = field.kind
    if kind == HOST_FIELD:
        head.hosts += 1
        if p == end and head.version == 10:
            # Health checks of load balancers send it. It names no host, and HTTP/1.0 does not want one.
            head.count -= 1
            return NONE
        return _host(p, end)
    if kind == CONTENT_LENGTH:
        head.content_lengths += 1
        return _content_length(head, p, end)
    if kind == TRANSFER_ENCODING:
        head.transfer_encodings += 1
    elif kind == CONNECTION:
        _connection(head, p, end)
    elif kind == EXPECT:
        return _expect(head, p, end)
    elif kind == CONTENT_TYPE:
        head.content_types += 1
    elif kind == FORWARDED:
        head.has_forwarded = True
    return NONE


# The last value of Host that was none to refuse: most requests repeat it.
cdef unsigned char LAST_HOST[LONGEST_HOST]
cdef Py_ssize_t LAST_HOST_SIZE = 0


cdef int _host(const unsigned char* p, const unsigned char* end) noexcept:
    global LAST_HOST_SIZE
    cdef Py_ssize_t size = end - p
    if size and size == LAST_HOST_SIZE and same_bytes(LAST_HOST, p, size):
        return NONE
    if not _is_host(p, end, False):
        return BAD_HOST
    if size <= LONGEST_HOST:
        memcpy(LAST_HOST, p, size)
        LAST_HOST_SIZE = size
    return NONE


cdef int _content_length(RequestHead head, const unsigned char* p, const unsigned char* end) noexcept:
    cdef long long value = 0
    if p == end or end - p > 18:        # 18 digits always fit 63 bits
        return BAD_CONTENT_LENGTH
    while p < end:
        if not CLASS[p[0]] & DIGIT:
            return BAD_CONTENT_LENGTH
        value = value * 10 + (p[0] - c'0')
        p += 1
    head.content_length = value
    return NONE


cdef const unsigned char* _element(
    const unsigned char** p, const unsigned char* end
) noexcept:
    """The next element of a comma-separated list: returns its end, sets `p` to its start; NULL when done."""
    cdef const unsigned char* stop
    while p[0] < end and (p[0][0] == c',' or p[0][0] == c' ' or p[0][0] == 9):
        p[0] += 1
    if p[0] == end:
        return NULL
    stop = <const unsigned char*>memchr(p[0], c',', end - p[0])
    if stop == NULL:
        stop = end
    while stop > p[0] and ((stop - 1)[0] == c' ' or (stop - 1)[0] == 9):
        stop -= 1
    return stop


cdef void _connection(RequestHead head, const unsigned char* p, const unsigned char* end) noexcept:
    cdef const unsigned char* stop = _element(&p, end)
    while stop != NULL:
        if equals_lower(p, stop - p, b"close"):
            head.connection |= CONNECTION_CLOSE
        elif equals_lower(p, stop - p, b"keep-alive"):
            head.connection |= CONNECTION_KEEP_ALIVE
        elif equals_lower(p, stop - p, b"upgrade"):
            head.connection |= CONNECTION_UPGRADE
        p = stop
        stop = _element(&p, end)


cdef int _expect(RequestHead head, const unsigned char* p, const unsigned char* end) noexcept:
    cdef const unsigned char* stop = _element(&p, end)
    if stop == NULL:
        return UNKNOWN_EXPECTATION
    while stop != NULL:
        if not equals_lower(p, stop - p, b"100-continue"):
            return UNKNOWN_EXPECTATION
        p = stop
        stop = _element(&p, end)
    # RFC 9110 §10.1.1: an HTTP/1.0 client does not understand the interim response.
    head.expect_continue = head.version >= 11
    return NONE


cdef int _complete(RequestHead head) noexcept:
    """The rules that need the whole head."""
    cdef int error
    if head.hosts != 1 and (head.version == 11 or head.hosts > 1):
        return _refuse(head, BAD_HOST)
    if head.content_types > 1:
        return _refuse(head, DUPLICATE_CONTENT_TYPE)
    if head.connection & CONNECTION_CLOSE or head.is_connect:
        head.keep_alive = False
    else:
        head.keep_alive = head.version == 11 or head.connection & CONNECTION_KEEP_ALIVE != 0
    # RFC 9110 §7.8: HTTP/1.0 has no Upgrade.
    head.wants_upgrade = head.version == 11 and head.connection & CONNECTION_UPGRADE != 0
    if head.transfer_encodings:
        error = _chunked_only(head)
        if error:
            return _refuse(head, error)
        head.framing = BODY_CHUNKED
    elif head.content_lengths > 1:
        return _refuse(head, BAD_CONTENT_LENGTH)
    elif head.content_lengths and head.content_length:
        head.framing = BODY_LENGTH
    return DONE


cdef int _chunked_only(RequestHead head) noexcept:
    """Whether the transfer codings, all fields taken together, are exactly "chunked" (RFC 9112 §6.1)."""
    cdef const unsigned char* p
    cdef const unsigned char* q
    cdef const unsigned char* end
    cdef Span value
    cdef int i
    cdef int chunked = 0
    cdef bint unknown = False
    if head.content_lengths:
        return LENGTH_AND_CODING
    if head.version == 10:
        return CODING_IN_10
    for i in range(head.count):
        if head.fields[i].kind != TRANSFER_ENCODING:
            continue
        value = head.fields[i].value
        p = head.data + value.start
        end = p + value.length
        while True:
            # An element is a token with optional parameters; an empty one is a smuggler's trick.
            q = p
            while q < end and CLASS[q[0]] & TOKEN:
                q += 1
            if q == p or chunked:
                return BAD_CODING       # empty, or something behind "chunked"
            if equals_lower(p, q - p, b"chunked"):
                chunked += 1
            else:
                unknown = True
                q = _coding_parameters(q, end)
            while q < end and (q[0] == c' ' or q[0] == 9):
                q += 1
            if q == end:
                break
            if q[0] != c',':
                return BAD_CODING
            p = q + 1
            while p < end and (p[0] == c' ' or p[0] == 9):
                p += 1
    return UNKNOWN_CODING if unknown else NONE


cdef const unsigned char* _coding_parameters(const unsigned char* q, const unsigned char* end) noexcept:
    """Behind the parameters of a transfer coding that is refused anyway."""
    cdef const unsigned char* p = q
    while p < end and (p[0] == c' ' or p[0] == 9):
        p += 1
    if p == end or p[0] != c';':
        return q
    while p < end and p[0] != c',':
        p += 1
    return p


# ---- the body -----------------------------------------------------------------------------------------


cdef enum BodyState:
    DATA = 0                # content with a known length: a whole body or a chunk
    SIZE
    EXTENSION_NAME_START    # behind ';'
    EXTENSION_NAME
    EXTENSION_NAME_END      # white space behind the name
    EXTENSION_VALUE_START   # behind '='
    EXTENSION_VALUE
    EXTENSION_QUOTED
    EXTENSION_ESCAPE
    EXTENSION_END           # behind a quoted value
    EXTENSION_VALUE_END     # white space behind a value
    SIZE_LF
    DATA_CR
    DATA_LF
    TRAILER_START
    TRAILER_LF
    TRAILER_FIELDS
    FINISHED


cdef class BodyDecoder:
    """The content of one message body, whatever its framing, a step at a time (RFC 9112 §6 and §7)."""

    cdef void begin(self, RequestHead head) noexcept:
        self.framing = head.framing
        self.error = self.digits = 0
        self.extension = 0
        self.received = 0
        self.remaining = 0
        self.trailers = None
        if head.framing == BODY_LENGTH:
            self.remaining = <unsigned long long>head.content_length
            self.state = DATA
        elif head.framing == BODY_CHUNKED:
            self.state = SIZE
        else:
            self.state = FINISHED

    cdef bint is_finished(self) noexcept:
        return self.state == FINISHED

    cdef int decode(
        self, const unsigned char* data, Py_ssize_t size, Py_ssize_t* used,
        const unsigned char** content, Py_ssize_t* length, Limits limits,
    ) except -2:
        cdef Py_ssize_t i = 0
        length[0] = 0
        used[0] = 0
        while self.state != FINISHED:
            if self.state == DATA:
                if i == size:
                    break
                return self._data(data, size, i, used, content, length, limits)
            if self.state == TRAILER_FIELDS:
                if i == size:
                    break
                return self._trailer_fields(data + i, size - i, i, used, limits)
            if i == size:
                break
            if not self._chunk_byte(data[i], limits):
                return REFUSED
            if self.state != TRAILER_FIELDS:    # whose first byte belongs to it
                i += 1
        used[0] = i
        return DONE if self.state == FINISHED else MORE

    cdef bint skip(self, Py_ssize_t size) noexcept:
        """`size` bytes of a body of known length, not more than remain, went by decode(). Whether it is complete."""
        self.remaining -= <unsigned long long>size
        self.received += size
        if self.remaining == 0:
            self.state = FINISHED
        return self.state == FINISHED

    cdef int _data(
        self, const unsigned char* data, Py_ssize_t size, Py_ssize_t i, Py_ssize_t* used,
        const unsigned char** content, Py_ssize_t* length, Limits limits,
    ) except -2:
        cdef Py_ssize_t n = size - i
        if <unsigned long long>n > self.remaining:
            n = <Py_ssize_t>self.remaining
        self.remaining -= <unsigned long long>n
        self.received += n
        if limits.body and self.received > limits.body:
            self.error = LONG_BODY
            return REFUSED
        content[0] = data + i
        length[0] = n
        used[0] = i + n
        if self.remaining == 0:
            self.state = DATA_CR if self.framing == BODY_CHUNKED else FINISHED
        return DONE if self.state == FINISHED else MORE

    cdef bint _fail(self, int error) noexcept:
        self.error = error
        return False

    cdef bint _chunk_byte(self, unsigned char c, Limits limits) noexcept:
        """One byte of the framing between pieces of data. False: refused."""
        cdef int digit
        if self.state == SIZE:
            digit = hex_value(c)
            if digit >= 0 and self.digits < 16:
                self.digits += 1
                self.remaining = self.remaining * 16 + <unsigned long long>digit
                return True
            if digit >= 0 or self.digits == 0:
                return self._fail(BAD_CHUNK_SIZE)
            if c == CR:
                self.state = SIZE_LF
            elif c == c';':
                self.state = EXTENSION_NAME_START
            else:
                return self._fail(BAD_CHUNK_SIZE)
            return True
        if self.state == SIZE_LF:
            return self._size_end(c, limits)
        if self.state == DATA_CR:
            self.state = DATA_LF
            return c == CR or self._fail(BAD_CHUNK_END)
        if self.state == DATA_LF:
            self.state = SIZE
            return c == LF or self._fail(BAD_CHUNK_END)
        if self.state == TRAILER_START:
            if c == CR:
                self.state = TRAILER_LF
            else:
                self.state = TRAILER_FIELDS
            return True
        if self.state == TRAILER_LF:
            self.state = FINISHED
            return c == LF or self._fail(BAD_LINE_END)
        return self._extension_byte(c)

    cdef bint _size_end(self, unsigned char c, Limits limits) noexcept:
        if c != LF:
            return self._fail(BAD_CHUNK_SIZE)
        self.digits = 0
        if self.remaining > <unsigned long long>0x7FFFFFFFFFFFFFFF:
            return self._fail(BAD_CHUNK_SIZE)
        if limits.body and self.remaining > <unsigned long long>(limits.body - self.received):
            return self._fail(LONG_BODY)        # the chunk says so before it is read
        self.state = DATA if self.remaining else TRAILER_START
        return True

    cdef bint _extension_byte(self, unsigned char c) noexcept:
        """RFC 9112 §7.1.1: *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )."""
        cdef bint blank = c == c' ' or c == 9
        self.extension += 1
        if self.extension > LONGEST_EXTENSION:
            return self._fail(LONG_CHUNK_EXTENSION)
        if self.state == EXTENSION_QUOTED:
            if c == c'"':
                self.state = EXTENSION_END
            elif c == c'\\':
                self.state = EXTENSION_ESCAPE
            elif not CLASS[c] & QUOTED:
                return self._fail(BAD_CHUNK_EXTENSION)
            return True
        if self.state == EXTENSION_ESCAPE:
            self.state = EXTENSION_QUOTED
            return CLASS[c] & VALUE != 0 or self._fail(BAD_CHUNK_EXTENSION)
        if CLASS[c] & TOKEN:
            if self.state == EXTENSION_NAME_START:
                self.state = EXTENSION_NAME
            elif self.state == EXTENSION_VALUE_START:
                self.state = EXTENSION_VALUE
            elif self.state != EXTENSION_NAME and self.state != EXTENSION_VALUE:
                return self._fail(BAD_CHUNK_EXTENSION)
            return True
        if self.state == EXTENSION_NAME_START:
            return blank or self._fail(BAD_CHUNK_EXTENSION)
        if self.state == EXTENSION_VALUE_START:
            if c == c'"':
                self.state = EXTENSION_QUOTED
                return True
            return blank or self._fail(BAD_CHUNK_EXTENSION)
        return self._extension_end(c, blank)

    cdef bint _extension_end(self, unsigned char c, bint blank) noexcept:
        """A byte behind a name or a value that belongs to neither."""
        cdef bint after_name = self.state == EXTENSION_NAME or self.state == EXTENSION_NAME_END
        if c == c'=' and after_name:
            self.state = EXTENSION_VALUE_START
        elif c == c';':
            self.state = EXTENSION_NAME_START
        elif c == CR and self.state != EXTENSION_NAME_END and self.state != EXTENSION_VALUE_END:
            self.state = SIZE_LF
        elif blank:
            self.state = EXTENSION_NAME_END if after_name else EXTENSION_VALUE_END
        else:
            return self._fail(BAD_CHUNK_EXTENSION)
        return True

    cdef int _trailer_fields(
        self, const unsigned char* data, Py_ssize_t size, Py_ssize_t before, Py_ssize_t* used, Limits limits
    ) except -2:
        """RFC 9112 §7.1.2: trailer fields obey the grammar and the limits of header fields."""
        cdef unsigned int known
        cdef int progress
        if self.trailers is None:
            self.trailers = RequestHead.__new__(RequestHead)
            self.trailers.borrow(data, 0)
            self.trailers.keep()
            self.trailers.stage = TRAILERS
        known = self.trailers.size
        self.trailers.append(data, <unsigned int>min(size, <Py_ssize_t>limits.head + 2))
        progress = parse_head(self.trailers, limits)
        if progress == REFUSED:
            self.error = self.trailers.error
            return REFUSED
        if progress == MORE:
            used[0] = before + (self.trailers.size - known)
            return MORE
        used[0] = before + (self.trailers.end - known)
        self.state = FINISHED
        return DONE
