"""Heads of HTTP/2: what its fields say becomes a RequestHead, what an application answers becomes its fields (RFC 9113 §8).

HPACK and the grammar of names and values are nghttp2's. What of a request may be, and how long it may get, is the same as over HTTP/1, and
is asked in the same place (h1.pyx): so a request has the same fate however it came.

Knows: fields, pseudo-header fields, the limits of a head. Must not know: frames, streams, applications.
"""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.string cimport memcmp, memcpy

from tricorn.http.buffer cimport Buffer
from tricorn.http.chars cimport TOKEN, classes
from tricorn.http.fields cimport (
    HEADER_NAME, STATUS, TRAILER_NAME, CheckedField, check_field, check_trailer, latin1_of, pair_of, status_code,
)
from tricorn.http.h1 cimport (
    BAD_CONTENT_LENGTH, BAD_HOST, BAD_METHOD, BAD_SCHEME, BAD_TARGET, DUPLICATE_CONTENT_TYPE, LONG_FIELD, LONG_HEAD, LONG_REQUEST_LINE,
    MALFORMED, MANY_FIELDS, NO_TUNNEL, NONE, OTHER_HOST, place_field, place_target, trailer_error,
)
from tricorn.http.names cimport COOKIE, PRIORITY, NameSlot, equals_lower, name_slots
from tricorn.http.priority cimport read_priority, say_nothing
from tricorn.http.request cimport BODY_LENGTH, BODY_STREAM, NO_BODY, Limits, RequestHead, Span
from tricorn.http.response cimport HAS_DATE, HAS_SERVER, IS_WRITTEN, Defaults, Reply, judge, put_decimal, tells_length

cdef enum:
    LONGEST_METHOD = 32
    # What RFC 9113 §6.5.2 counts for each field beside its name and value.
    OVERHEAD = 32
    SPARES = 64

cdef const unsigned char* CLASS = classes()
cdef NameSlot* NAMES = name_slots()

# Of header lines that are written for HTTP/1: what is about its connections (RFC 9113 §8.2.2).
cdef frozenset HOP_BY_HOP_NAMES = frozenset(b"connection keep-alive proxy-connection te transfer-encoding upgrade".split())

# Heads that were used, with their memory.
cdef list spares = []


cdef RequestHead _fresh_head():
    cdef RequestHead head = <RequestHead>spares.pop() if spares else RequestHead.__new__(RequestHead)
    head.restart()
    return head


cdef int give_back(RequestHead head) except -1:
    if len(spares) < SPARES and head.capacity <= 4096:
        spares.append(head)
    return 0


cdef inline bint _is(const unsigned char* p, Py_ssize_t size, const char* name, Py_ssize_t length) noexcept:
    return size == length and memcmp(p, name, length) == 0


@cython.final
@cython.no_gc
cdef class HeadReader:
    # ---- a request -----------------------------------------------------------------------------------

    cdef int begin(self, bint trailers) except -1:
        self.forget()
        self.trailers = trailers
        self.error = NONE
        self.list_size = 0
        self.cookies = self.fields = 0
        self.has_authority = self.has_method = self.has_path = self.has_scheme = self.has_protocol = self.has_priority = False
        say_nothing(&self.asked)
        if not trailers:
            self.head = _fresh_head()
            self.head.version = 20
            self.head.keep_alive = True
        return 0

    cdef void forget(self) noexcept:
        self.head = None

    cdef int take(
        self, const unsigned char* name, Py_ssize_t name_size, const unsigned char* value, Py_ssize_t value_size
    ) except -1:
        cdef RequestHead head = self.head
        cdef Span name_span
        cdef Span span
        # The sum is checked before anything is kept: one byte of HPACK may stand for kilobytes.
        self.list_size += <unsigned int>(name_size + value_size + OVERHEAD)
        if self.error:
            return 0
        if (self.most and self.list_size > self.most) or self.list_size > 2 * self.limits.head:
            self.error = LONG_HEAD
            return 0
        if head is None:
            return self._take_trailer(name, name_size, value_size)
        if name_size and name[0] == c':':
            self._keep(value, value_size, &span)
            self.error = self._pseudo(name, name_size, span)
            return 0
        if head.size + name_size + value_size > self.limits.head:
            self.error = LONG_HEAD
            return 0
        self._keep(name, name_size, &name_span)
        self._keep(value, value_size, &span)
        if self.has_authority and _is(name, name_size, b"host", 4):
            self.error = self._host(span)
            return 0
        if _is(name, name_size, b"priority", 8):
            self.has_priority = True
            read_priority(value, value_size, &self.asked)
        self.error = place_field(head, name_span, span, self.limits)
        if self.error == NONE and head.fields[head.count - 1].kind == COOKIE:
            self.cookies += 1
            if self.cookies == 1:
                self.first_cookie = head.count - 1
        return 0

    cdef int _take_trailer(self, const unsigned char* name, Py_ssize_t name_size, Py_ssize_t value_size) except -1:
        """Nobody is told of it, but what HTTP/1 refuses is refused."""
        self.fields += 1
        if self.fields > <int>self.limits.fields:
            self.error = MANY_FIELDS
        elif name_size + value_size + 2 > <Py_ssize_t>self.limits.field_size:
            self.error = LONG_FIELD
        else:
            self.error = trailer_error(name, name_size)
        return 0

    cdef int _keep(self, const unsigned char* text, Py_ssize_t size, Span* span) except -1:
        cdef RequestHead head = self.head
        span.start = head.size
        span.length = <unsigned int>size
        return head.append(text, <unsigned int>size)

    cdef int _pseudo(self, const unsigned char* name, Py_ssize_t name_size, Span value) except -2:
        """That each comes once, and before all others, nghttp2 has seen to (RFC 9113 §8.3)."""
        cdef RequestHead head = self.head
        cdef const unsigned char* p = head.data + value.start
        cdef unsigned int i
        if _is(name, name_size, b":method", 7):
            self.has_method = True
            head.method = value
            if not 0 < value.length <= LONGEST_METHOD:
                return BAD_METHOD
            for i in range(value.length):
                if not CLASS[p[i]] & TOKEN:
                    return BAD_METHOD
            head.is_head = _is(p, value.length, b"HEAD", 4)
            head.is_connect = _is(p, value.length, b"CONNECT", 7)
            return NONE
        if _is(name, name_size, b":path", 5):
            self.has_path = True
            head.target = value
            return LONG_REQUEST_LINE if value.length > self.limits.request_line else NONE
        if _is(name, name_size, b":scheme", 7):
            self.has_scheme = True
            # It says what the client asked for, perhaps of a proxy; what the connection is, the listener knows.
            if equals_lower(p, value.length, b"http") or equals_lower(p, value.length, b"https"):
                return NONE
            return BAD_SCHEME
        if _is(name, name_size, b":authority", 10):
            return self._authority(value)
        if _is(name, name_size, b":protocol", 9):
            # Of others nothing is known here (RFC 8441 §4 leaves the answer open).
            self.has_protocol = True
            head.is_websocket = equals_lower(p, value.length, b"websocket")
            return NONE if head.is_websocket else NO_TUNNEL
        return MALFORMED

    cdef int _authority(self, Span value) except -2:
        """It is what Host is in HTTP/1 (RFC 9113 §8.3.1), and comes first."""
        cdef Span name
        self.has_authority = True
        self._keep(<const unsigned char*>b"host", 4, &name)
        return place_field(self.head, name, value, self.limits)

    cdef int _host(self, Span value) noexcept:
        """A Host beside :authority, which has to say the same."""
        cdef RequestHead head = self.head
        cdef Span known = head.fields[0].value
        cdef unsigned int i
        cdef unsigned char a
        cdef unsigned char b
        if value.length != known.length:
            return OTHER_HOST
        for i in range(value.length):
            a = head.data[value.start + i]
            b = head.data[known.start + i]
            if a != b and not (a | 0x20 == b | 0x20 and c'a' <= a | 0x20 <= c'z'):
                return OTHER_HOST
        return NONE

    cdef bint is_endless(self) noexcept:
        return self.list_size > 4 * max(self.most, self.limits.head)

    cdef RequestHead finish(self, bint is_over):
        cdef RequestHead head = self.head
        self.head = None
        if head is None:
            return None
        if self.error == NONE:
            self.head = head
            if self.cookies > 1:
                self._join_cookies()
            self.error = self._check()
            self.head = None
        if self.error:
            return head
        if is_over:
            head.framing = NO_BODY
        else:
            head.framing = BODY_LENGTH if head.content_lengths else BODY_STREAM
        return head

    cdef int _check(self) noexcept:
        """The rules that need the whole head."""
        cdef RequestHead head = self.head
        cdef const unsigned char* p = head.data + head.target.start
        if head.is_connect and not self.has_protocol:
            return NO_TUNNEL
        if head.is_connect != self.has_protocol:
            return MALFORMED
        head.is_connect = False         # it has a path and a Host as other requests do
        if not self.has_method or not self.has_path or not self.has_scheme:
            return MALFORMED
        if head.target.length == 0 or (p[0] != c'/' and not (head.target.length == 1 and p[0] == c'*')):
            return BAD_TARGET
        if head.hosts != 1:
            return BAD_HOST
        if head.content_lengths > 1:
            return BAD_CONTENT_LENGTH
        if head.content_types > 1:
            return DUPLICATE_CONTENT_TYPE
        return place_target(head, head.target)

    cdef int _join_cookies(self) except -1:
        """RFC 9113 §8.2.3: a client may send each cookie by itself; applications get one field."""
        cdef RequestHead head = self.head
        cdef Span joined
        cdef Span crumb
        cdef int i
        cdef int kept = 0
        cdef unsigned int needed = 0
        for i in range(self.first_cookie, head.count):
            if head.fields[i].kind == COOKIE:
                needed += head.fields[i].value.length + 2
        # Room first: what is copied lies in the same memory.
        joined.start = head.size
        _grow(head, needed)
        for i in range(head.count):
            if head.fields[i].kind != COOKIE or i == self.first_cookie:
                if i == self.first_cookie:
                    head.append(head.data + head.fields[i].value.start, head.fields[i].value.length)
                head.fields[kept] = head.fields[i]
                kept += 1
                continue
            crumb = head.fields[i].value
            head.append(<const unsigned char*>b"; ", 2)
            head.append(head.data + crumb.start, crumb.length)
        joined.length = head.size - joined.start
        head.fields[self.first_cookie].value = joined
        head.count = kept
        return 0


cdef int _grow(RequestHead head, unsigned int more) except -1:
    """Room for so many bytes, so that adding them moves nothing."""
    cdef unsigned int size = head.size
    cdef unsigned char* grown
    if head.size + more <= head.capacity:
        return 0
    grown = <unsigned char*>PyMem_Realloc(head.owned, size + more)
    if grown == NULL:
        raise MemoryError()
    head.owned = grown
    head.capacity = size + more
    head.data = grown
    return 0


# ---- a response ------------------------------------------------------------------------------------------


@cython.final
@cython.no_gc
cdef class FieldList:
    def __cinit__(self):
        self.text = Buffer.__new__(Buffer)
        say_nothing(&self.said)

    def __dealloc__(self):
        PyMem_Free(self.fields)

    cdef int begin(self) except -1:
        self.text.size = 0
        self.count = 0
        say_nothing(&self.said)
        return 0

    cdef int add(self, const void* name, Py_ssize_t name_size, const void* value, Py_ssize_t value_size) except -1:
        cdef Buffer text = self.text
        cdef const unsigned char* source = <const unsigned char*>name
        cdef nghttp2_nv* field
        cdef unsigned char* to
        cdef unsigned char c
        cdef Py_ssize_t i
        if self.count == self.room:
            self._make_room()
        text.reserve(name_size + value_size)
        to = text.data + text.size
        for i in range(name_size):
            c = source[i]
            to[i] = c | 0x20 if c'A' <= c <= c'Z' else c        # RFC 9113 §8.2
        memcpy(to + name_size, value, value_size)
        field = &self.fields[self.count]
        field.name = <unsigned char*>text.size       # an offset until seal(): the text may move
        field.namelen = <size_t>name_size
        field.valuelen = <size_t>value_size
        field.flags = 0
        text.size += name_size + value_size
        self.count += 1
        return 0

    cdef int _make_room(self) except -1:
        cdef int room = self.room * 2 if self.room else 16
        cdef nghttp2_nv* grown = <nghttp2_nv*>PyMem_Realloc(self.fields, room * sizeof(nghttp2_nv))
        if grown == NULL:
            raise MemoryError()
        self.fields = grown
        self.room = room
        return 0

    cdef nghttp2_nv* seal(self) noexcept:
        cdef int i
        for i in range(self.count):
            self.fields[i].name = self.text.data + <size_t>self.fields[i].name
            self.fields[i].value = self.fields[i].name + self.fields[i].namelen
        return self.fields


cdef inline void _decimal(char* text, int status) noexcept:
    text[0] = <char>(c'0' + status // 100)
    text[1] = <char>(c'0' + status // 10 % 10)
    text[2] = <char>(c'0' + status % 10)


cdef int _number(FieldList out, long long value) except -1:
    cdef char text[24]
    cdef char* end = text + sizeof(text)
    cdef char* begin = put_decimal(end, value)
    return out.add(<const char*>b"content-length", 14, begin, end - begin)


cdef int _fields(FieldList out, object headers, Reply* reply, long long* declared) except -1:
    """As _fields of response.pyx. What is about the connection is left out (RFC 9113 §8.2.2)."""
    cdef CheckedField field
    cdef tuple pair
    cdef int seen = 0
    cdef int found
    for header in headers:
        pair = pair_of(header, reply.octets)
        check_field(pair, reply.octets, NAMES, HEADER_NAME, &field)
        found = judge(&field, reply, declared)
        if found & IS_WRITTEN:
            out.add(field.name, field.name_size, field.value, field.value_size)
        if field.kind == PRIORITY:
            read_priority(field.value, field.value_size, &out.said)
        seen |= found
    return seen


cdef int _defaults(FieldList out, Defaults defaults, int seen) except -1:
    cdef Py_ssize_t size = len(defaults.server)
    if not seen & HAS_SERVER and size:
        out.add(<const char*>b"server", 6, <const char*>defaults.server + 8, size - 10)
    if not seen & HAS_DATE:
        out.add(<const char*>b"date", 4, defaults.date + 6, sizeof(defaults.date) - 8)
    return 0


cdef int list_head(FieldList out, Defaults defaults, str status, object headers, Reply* reply) except -1:
    cdef Py_ssize_t n
    cdef const unsigned char* p = latin1_of(status, &n, STATUS)
    cdef long long declared = -1
    cdef char text[3]
    cdef int seen
    reply.status = status_code(p, n)
    _decimal(text, reply.status)
    out.begin()
    out.add(<const char*>b":status", 7, text, 3)
    seen = _fields(out, headers, reply, &declared)
    reply.bodyless = reply.is_head or reply.status == 204 or reply.status == 304
    reply.chunked = False
    if declared >= 0:
        reply.length = declared
    elif reply.length >= 0 and tells_length(reply):
        _number(out, reply.length)
    return _defaults(out, defaults, seen)


cdef int list_interim(FieldList out, const char* status, object headers, bint octets) except -1:
    cdef Reply reply
    cdef long long declared = -1
    reply.status = 103
    reply.is_connect = False
    reply.octets = octets
    out.begin()
    out.add(<const char*>b":status", 7, status, 3)
    _fields(out, headers, &reply, &declared)
    return 0


cdef int list_trailers(FieldList out, object headers, bint octets) except -1:
    cdef CheckedField field
    cdef tuple pair
    out.begin()
    for header in headers:
        pair = pair_of(header, octets)
        check_field(pair, octets, NAMES, TRAILER_NAME, &field)
        check_trailer(&field)
        out.add(field.name, field.name_size, field.value, field.value_size)
    return 0


cdef int list_error(FieldList out, Defaults defaults, int status, Py_ssize_t length, bytes fields) except -1:
    """fields: header lines, each with its CR LF, as over HTTP/1."""
    cdef char text[3]
    _decimal(text, status)
    out.begin()
    out.add(<const char*>b":status", 7, text, 3)
    out.add(<const char*>b"content-type", 12, <const char*>b"text/plain; charset=utf-8", 25)
    _number(out, length)
    for line in fields.split(b"\r\n") if fields else ():
        name, _, value = line.partition(b": ")
        if name and name.lower() not in HOP_BY_HOP_NAMES:
            out.add(<const char*><bytes>name, len(name), <const char*><bytes>value, len(value))
    return _defaults(out, defaults, 0)
