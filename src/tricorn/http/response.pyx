"""Response heads as HTTP/1 writes them: status line, fields, framing (RFC 9112 §4, §6.3, §7.1).

Knows: bytes, RFC 9112. Must not know: what may be said (fields.pyx checks that), sockets, clocks (the second is an argument),
applications.
"""

from libc.string cimport memcpy

from http import HTTPStatus

from tricorn.http.dates cimport DATE_SIZE, write_date
from tricorn.http.fields cimport (
    HEADER_NAME, STATUS, TRAILER_NAME, CheckedField, check_field, check_trailer, latin1_of, pair_of, status_code,
)
from tricorn.http.names cimport NameSlot, name_slots, same_bytes

cdef extern from "<stdio.h>" nogil:
    int snprintf(char*, size_t, const char*, ...)

cdef extern from "scan.h" nogil:
    void copy_bytes(unsigned char* to, const unsigned char* source, Py_ssize_t n)

cdef NameSlot* NAMES = name_slots()


cdef class Defaults:
    """The Server and Date fields of responses that do not bring their own.

    server: the value of Server; empty: not sent.
    """

    def __init__(self, str server):
        encoded = server.encode("latin-1")
        if server and (not server.isprintable() or server.strip() != server):
            raise ValueError("the Server field may only contain visible characters and single spaces")
        self.server = b"Server: " + encoded + b"\r\n" if encoded else b""
        self.block = Buffer()
        self.block.add(<const char*>self.server, len(self.server))
        self.block.reserve(sizeof(self.date))
        self.second = -1

    cdef void refresh(self, long long second) noexcept:
        """Format the date anew if `second` (since 1970, UTC) is another one. RFC 9110 §5.6.7."""
        if second == self.second:
            return
        memcpy(self.date, b"Date: ", 6)
        write_date(self.date + 6, second)
        memcpy(self.date + 6 + DATE_SIZE, b"\r\n", 2)
        memcpy(self.block.data + len(self.server), self.date, sizeof(self.date))
        self.block.size = len(self.server) + <Py_ssize_t>sizeof(self.date)
        self.second = second


cdef int _status(Buffer out, Defaults defaults, object status, Reply* reply) except -1:
    """The status line. Most responses repeat the last one, which needs no second look."""
    cdef Py_ssize_t n
    cdef Py_ssize_t start = out.size
    cdef const unsigned char* p = latin1_of(status, &n, STATUS)
    if n + 11 == defaults.status_size and same_bytes(defaults.status_line + 9, p, n):
        reply.status = defaults.status
        return out.add(defaults.status_line, defaults.status_size)
    reply.status = status_code(p, n)
    out.reserve(n + 16)
    memcpy(out.data + out.size, b"HTTP/1.1 ", 9)
    memcpy(out.data + out.size + 9, p, n)
    out.size += n + 9
    if n == 3:
        out.add(b" ", 1)        # RFC 9112 §4: the space stays when the reason is empty
    out.add(b"\r\n", 2)
    if out.size - start <= STATUS_ROOM:
        defaults.status_size = out.size - start
        defaults.status = reply.status
        memcpy(defaults.status_line, out.data + start, defaults.status_size)
    return 0


cdef inline int _put(Buffer out, CheckedField* field) except -1:
    cdef Py_ssize_t n = field.name_size
    cdef Py_ssize_t v = field.value_size
    cdef unsigned char* p
    out.reserve(n + v + 4)
    p = out.data + out.size
    copy_bytes(p, field.name, n)
    p[n] = c':'
    p[n + 1] = c' '
    copy_bytes(p + n + 2, field.value, v)
    p[n + v + 2] = 13
    p[n + v + 3] = 10
    out.size += n + v + 4
    return 0


cdef int _fields(Buffer out, object headers, Reply* reply, long long* declared) except -1:
    """Write the application's fields, keep back what is ours to say. Returns what judge() says of all of them."""
    cdef CheckedField field
    cdef tuple pair
    cdef int seen = 0
    cdef int found
    for header in headers:
        pair = pair_of(header, reply.octets)
        check_field(pair, reply.octets, NAMES, HEADER_NAME, &field)
        found = judge(&field, reply, declared)
        if found & IS_WRITTEN:
            _put(out, &field)
        seen |= found
    return seen


cdef int _number(Buffer out, long long value) except -1:
    """A decimal number and CR LF."""
    cdef char text[24]
    cdef char* end = text + sizeof(text)
    cdef char* begin = put_decimal(end - 2, value)
    (end - 2)[0] = 13
    (end - 1)[0] = 10
    return out.add(begin, end - begin)


cdef int _frame(Buffer out, Reply* reply, long long declared) except -1:
    """How the client will know where the body ends (RFC 9112 §6.3)."""
    # RFC 9110 §9.3.6: what follows a 2xx to CONNECT would be the tunnel.
    cdef bint tunnel = reply.is_connect and 200 <= reply.status < 300
    reply.bodyless = reply.is_head or reply.status == 204 or reply.status == 304 or tunnel
    reply.chunked = False
    if declared >= 0:
        reply.length = declared
    elif reply.length >= 0:
        if tells_length(reply):
            out.add(b"Content-Length: ", 16)
            _number(out, reply.length)
    elif reply.bodyless:
        return 0
    elif reply.version == 11:
        reply.chunked = True
        out.add(b"Transfer-Encoding: chunked\r\n", 28)
    else:
        reply.keep_alive = False        # the end of the connection is the end of the body
    return 0


cdef int write_head(Buffer out, Defaults defaults, str status, object headers, Reply* reply) except -1:
    """Append a response head to `out` and fill the outgoing part of `reply`.

    headers: pairs of a name and a value, str (PEP 3333) or bytes (ASGI) as `reply.octets` says. Raises ResponseError; what it has appended by then must not be sent.
    """
    cdef long long declared = -1
    cdef int seen
    _status(out, defaults, status, reply)
    seen = _fields(out, headers, reply, &declared)
    _frame(out, reply, declared)
    if not seen & (HAS_SERVER | HAS_DATE):
        out.add(defaults.block.data, defaults.block.size)
    elif not seen & HAS_SERVER:
        out.add(<const char*>defaults.server, len(defaults.server))
    elif not seen & HAS_DATE:
        out.add(defaults.date, sizeof(defaults.date))
    if seen & WANTS_CLOSE:
        reply.keep_alive = False
    if not reply.keep_alive:
        return out.add(b"Connection: close\r\n\r\n", 21)
    if reply.version == 10:
        return out.add(b"Connection: keep-alive\r\n\r\n", 26)
    return out.add(b"\r\n", 2)


cdef int write_interim(Buffer out, const char* status_line, object headers, bint octets) except -1:
    """Append an interim response (RFC 9110 §15.2). `status_line` ends in CR LF."""
    cdef Reply reply
    cdef long long declared = -1
    reply.status = 103
    reply.is_connect = False
    reply.octets = octets
    out.add(status_line, len(status_line))
    _fields(out, headers, &reply, &declared)
    return out.add(b"\r\n", 2)


cdef int write_chunk_size(Buffer out, Py_ssize_t size) except -1:
    cdef char text[24]
    return out.add(text, snprintf(text, sizeof(text), b"%zx\r\n", size))


cdef int write_trailers(Buffer out, object headers) except -1:
    """Append the last chunk and the trailer section of a chunked body (RFC 9112 §7.1.2). Names and values are bytes.

    Raises ResponseError for what must not stand there (RFC 9110 §6.5.1); what it has appended must not be sent.
    """
    cdef CheckedField field
    cdef tuple pair
    out.add(b"0\r\n", 3)
    for header in headers:
        pair = pair_of(header, True)
        check_field(pair, True, NAMES, TRAILER_NAME, &field)
        check_trailer(&field)
        _put(out, &field)
    return out.add(b"\r\n", 2)


cdef int write_error(Buffer out, Defaults defaults, int status, bint is_head, bytes fields=b"") except -1:
    """Append a whole error response of our own. It says nothing but its status, and the connection closes.

    fields: header lines that belong to it, each with its CR LF. Returns how many bytes of body the client gets.
    """
    text = f"{status} {HTTPStatus(status).phrase}"
    head = f"HTTP/1.1 {text}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(text) + 1}\r\n"
    encoded = head.encode("ascii")
    out.add(<const char*>encoded, len(encoded))
    out.add(<const char*>fields, len(fields))
    out.add(<const char*>defaults.server, len(defaults.server))
    out.add(defaults.date, sizeof(defaults.date))
    out.add(b"Connection: close\r\n\r\n", 21)
    if is_head:
        return 0
    body = (text + "\n").encode("ascii")
    out.add(<const char*>body, len(body))
    return <int>len(body)
