"""One line of the access log: the steps of a format, carried out for one request into a buffer.

Knows: the steps that access_format.py compiled, WSGI environs, ASGI scopes, what has to be escaped. Must not know:
where lines go and when (access_writer.pyx), who calls.

No byte that a client (or the application) chose can end a line, close a quote or start an escape: see `_classify`.

No Python code runs between the first and the last byte of a line (only exact types are converted, no `__str__`, no
logging), so lines of two threads cannot mix in the buffer, and values may be borrowed from the environ.

WSGI and ASGI differ in one function, `_look`: where a value of the request stands. The same request gives the
same line in both: text of a scope is written as the UTF-8 that it came from, repeated fields are joined as in the
environ.
"""

cimport cython
from cpython.exc cimport PyErr_Clear
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_READ
from libc.math cimport floor
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memset
from posix.unistd cimport getpid

from tricorn.log.line_buffer cimport LineBuffer, put, room

from tricorn.log.access_format import compile_format, scope_place

cdef extern from "Python.h":
    # Cython's own declarations take and return `object`; borrowed pointers save two reference counts a field.
    PyObject* _get_item "PyDict_GetItemWithError"(PyObject* mapping, PyObject* key)
    bint _is_text "PyUnicode_Check"(PyObject* value)
    bint _is_ascii "PyUnicode_IS_ASCII"(PyObject* value)
    int _width "PyUnicode_KIND"(PyObject* value)
    void* _characters "PyUnicode_DATA"(PyObject* value)
    Py_ssize_t _text_length "PyUnicode_GET_LENGTH"(PyObject* value)
    bint _is_bytes "PyBytes_Check"(PyObject* value)
    char* _bytes "PyBytes_AS_STRING"(PyObject* value)
    Py_ssize_t _bytes_length "PyBytes_GET_SIZE"(PyObject* value)
    bint _is_list "PyList_Check"(PyObject* value)
    PyObject* _list_item "PyList_GET_ITEM"(PyObject* value, Py_ssize_t at)
    Py_ssize_t _list_length "PyList_GET_SIZE"(PyObject* value)
    bint _is_tuple "PyTuple_Check"(PyObject* value)
    PyObject* _tuple_item "PyTuple_GET_ITEM"(PyObject* value, Py_ssize_t at)
    Py_ssize_t _tuple_length "PyTuple_GET_SIZE"(PyObject* value)

cdef extern from "<time.h>":
    ctypedef long long time_t
    struct tm:
        int tm_sec
        int tm_min
        int tm_hour
        int tm_mday
        int tm_mon
        int tm_year
        long tm_gmtoff
    tm* localtime_r(const time_t* when, tm* result) nogil
    tm* gmtime_r(const time_t* when, tm* result) nogil

cdef enum:
    # Longer values are cut. Twice the longest request line or field that the limits let through by default.
    LONGEST_VALUE = 16384
    LONGEST_USER = 256

cdef enum Kind:
    LITERAL, FIELD, ADDRESS, USER, TIME, STATUS, BYTES_OR_DASH, BYTES, SECONDS, MICROSECONDS, MILLISECONDS
    DECIMAL_SECONDS, PID, RESPONSE_HEADER, ENVIRON, ISO_TIME, STATUS_NUMBER, JSON, JSON_IF_PRESENT, QUEUED, JSON_QUEUED
    REQUEST_ID, JSON_REQUEST_ID, CLOCK, COLOUR, TENTHS

cdef dict KINDS = {
    "literal": LITERAL, "field": FIELD, "address": ADDRESS, "user": USER, "time": TIME, "status": STATUS,
    "bytes_or_dash": BYTES_OR_DASH, "bytes": BYTES, "seconds": SECONDS, "microseconds": MICROSECONDS,
    "milliseconds": MILLISECONDS, "decimal_seconds": DECIMAL_SECONDS, "pid": PID,
    "response_header": RESPONSE_HEADER, "environ": ENVIRON, "iso_time": ISO_TIME, "status_number": STATUS_NUMBER,
    "json": JSON, "json_if_present": JSON_IF_PRESENT, "queued": QUEUED, "json_queued": JSON_QUEUED,
    "request_id": REQUEST_ID, "json_request_id": JSON_REQUEST_ID, "clock": CLOCK, "colour": COLOUR, "tenths": TENTHS,
}

# Where a scope has a value: under a key, first or second of the pair there, in its headers, or beside the scope.
cdef enum Where:
    VALUE, METHOD, HOST, PORT, HEADER, URI, PROTOCOL

cdef dict PLACES = {
    "value": VALUE, "method": METHOD, "host": HOST, "port": PORT, "header": HEADER, "uri": URI,
    "protocol": PROTOCOL,
}

cdef enum:
    RAW = 0  # Text.kind of bytes, and of a str whose characters stand for bytes (PEP 3333, "Unicode Issues")

# What a byte needs, as bits: the mode in which it cannot stand for itself.
cdef enum Mode:
    AS_TEXT = 1   # \xNN
    AS_USER = 2   # \xNN, for a space too: %(u)s stands unquoted in the combined format
    AS_JSON = 4   # \" \\ \u00NN

cdef unsigned char[256] UNSAFE
cdef unsigned char[256] BASE64
cdef const char* HEX = "0123456789ABCDEF"
cdef const char* MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"  # strftime's %b would follow the locale

cdef object TYPE_KEY = "type"
cdef object GET = "GET"


cdef void _classify() noexcept:
    cdef int byte
    for byte in range(256):
        UNSAFE[byte] = 0
        if byte < 32 or byte >= 127 or byte == c'"' or byte == c'\\':
            UNSAFE[byte] = AS_TEXT | AS_USER | AS_JSON
        elif byte == c' ':
            UNSAFE[byte] = AS_USER
        BASE64[byte] = 255
    for byte in range(26):
        BASE64[c'A' + byte] = byte
        BASE64[c'a' + byte] = 26 + byte
    for byte in range(10):
        BASE64[c'0' + byte] = 52 + byte
    BASE64[c'+'] = 62
    BASE64[c'/'] = 63


_classify()


cdef inline char* _escaped(char* out, unsigned int byte, int mode) noexcept:
    """Append one unsafe byte as an escape (at most 6 bytes)."""
    out[0] = c'\\'
    if mode == AS_JSON:
        if byte == c'"' or byte == c'\\':
            out[1] = <char>byte
            return out + 2
        out[1] = c'u'
        out[2] = c'0'
        out[3] = c'0'
        out[4] = HEX[byte >> 4]
        out[5] = HEX[byte & 15]
        return out + 6
    out[1] = c'x'
    out[2] = HEX[byte >> 4]
    out[3] = HEX[byte & 15]
    return out + 4


cdef inline char* _escape(char* out, const unsigned char* text, Py_ssize_t length, int mode) noexcept:
    """Append `text`; `out` has room for 6 bytes for each of its bytes (4 unless the mode is AS_JSON)."""
    cdef const unsigned char* end = text + length
    while text < end:
        if UNSAFE[text[0]] & mode:
            out = _escaped(out, text[0], mode)
        else:
            out[0] = <char>text[0]
            out += 1
        text += 1
    return out


cdef inline char* _json_unit(char* out, unsigned int unit) noexcept:
    out[0] = c'\\'
    out[1] = c'u'
    out[2] = HEX[(unit >> 12) & 15]
    out[3] = HEX[(unit >> 8) & 15]
    out[4] = HEX[(unit >> 4) & 15]
    out[5] = HEX[unit & 15]
    return out + 6


cdef char* _json_character(char* out, unsigned int point) noexcept:
    """Append a character above U+007F: at most 12 bytes. A lone surrogate has no valid JSON: U+FFFD."""
    if point >= 0x10000:
        point -= 0x10000
        out = _json_unit(out, 0xD800 | (point >> 10))
        return _json_unit(out, 0xDC00 | (point & 0x3FF))
    return _json_unit(out, 0xFFFD if 0xD800 <= point <= 0xDFFF else point)


cdef char* _text_character(char* out, unsigned int point) noexcept:
    """Append a character above U+007F as the \\xNN of its UTF-8 bytes: at most 16 bytes."""
    if point < 0x800:
        out = _escaped(out, 0xC0 | (point >> 6), AS_TEXT)
        return _escaped(out, 0x80 | (point & 63), AS_TEXT)
    if point < 0x10000:
        out = _escaped(out, 0xE0 | (point >> 12), AS_TEXT)
    else:
        out = _escaped(out, 0xF0 | (point >> 18), AS_TEXT)
        out = _escaped(out, 0x80 | ((point >> 12) & 63), AS_TEXT)
    out = _escaped(out, 0x80 | ((point >> 6) & 63), AS_TEXT)
    return _escaped(out, 0x80 | (point & 63), AS_TEXT)


cdef inline char* _digits(char* out, unsigned int number, int width) noexcept:
    """Append `number` with leading zeros."""
    cdef int at
    for at in range(width - 1, -1, -1):
        out[at] = <char>(c'0' + number % 10)
        number //= 10
    return out + width


cdef Py_ssize_t _basic_user(const unsigned char* text, Py_ssize_t length, unsigned char* user) noexcept:
    """Decode the user-id of a Basic authorization (RFC 7617 §2) up to its colon; -1 if there is none."""
    cdef const unsigned char* end = text + length
    cdef unsigned int bits = 0, byte
    cdef int have = 0
    cdef Py_ssize_t size = 0
    cdef const char* scheme = "basic "
    cdef int at
    if length < 6:
        return -1
    for at in range(6):
        if (text[at] | 0x20) != <unsigned char>scheme[at]:
            return -1
    text += 6
    while text < end and text[0] == c' ':
        text += 1
    while text < end and size < LONGEST_USER:
        if BASE64[text[0]] == 255:
            return -1
        bits = ((bits << 6) | BASE64[text[0]]) & 0xFFFFFF
        have += 6
        text += 1
        if have < 8:
            continue
        have -= 8
        byte = (bits >> have) & 0xFF
        if byte == c':':
            return size
        user[size] = <unsigned char>byte
        size += 1
    return size if size == LONGEST_USER else -1


@cython.no_gc       # what it holds are texts
@cython.final
cdef class LineFormat:
    """A format, compiled. Raises ValueError where access_format.py cannot read it."""

    def __cinit__(self, str format):
        cdef Py_ssize_t at
        self._time_second = self._iso_second = -(1 << 62)
        self._kept = []
        compiled = compile_format(format)
        self._steps = <Step*>malloc(max(1, len(compiled)) * sizeof(Step))
        if self._steps == NULL:
            raise MemoryError()
        self._step_count = len(compiled)
        for at, step in enumerate(compiled):
            text = self._keep(step.text)
            self._steps[at].kind = KINDS[step.kind]
            self.tells_queued |= self._steps[at].kind in (QUEUED, JSON_QUEUED)
            self._steps[at].text = text
            self._steps[at].length = len(text)
            self._steps[at].key = self._key(step.key)
            self._steps[at].other = self._key(step.other)

    cdef Key _key(self, str key) except *:
        cdef Key result
        memset(&result, 0, sizeof(Key))
        if key:
            place = scope_place(key)
            name = self._keep(place.name)
            self._kept += (key, place.name)
            result.environ = <PyObject*>key
            result.place = PLACES[place.kind]
            result.scope = <PyObject*>place.name
            result.name = name
            result.length = len(name)
        return result

    cdef bytes _keep(self, str text):
        data = text.encode("utf-8", "surrogateescape")
        self._kept.append(data)
        return data

    def __dealloc__(self):
        free(self._joined)
        free(self._steps)

    # The int functions below return -1 when there is no memory for more of the line, and 0 otherwise.

    cdef int append(self, LineBuffer* line, Entry* entry) noexcept:
        """Append what `entry` tells, as one line. If that fails, a part of it may be there."""
        cdef Py_ssize_t at
        for at in range(self._step_count):
            if self._step(line, &self._steps[at], entry) < 0:
                return -1
        return put(line, "\n", 1)

    cdef int _step(self, LineBuffer* line, Step* step, Entry* entry) noexcept:
        cdef int kind = step.kind
        cdef Text value
        if kind == LITERAL:
            return put(line, step.text, step.length)
        if kind == TIME:
            return self._put_time(line, entry.wall_time)
        if kind == STATUS or kind == STATUS_NUMBER:
            return _put_status(line, entry, kind == STATUS_NUMBER)
        if kind == BYTES_OR_DASH:
            return _put_number(line, entry.body_bytes) if entry.body_bytes else put(line, "-", 1)
        if kind == BYTES:
            return _put_number(line, entry.body_bytes)
        if kind == SECONDS:
            return _put_number(line, entry.duration_ns // 1000000000)
        if kind == MILLISECONDS:
            return _put_number(line, entry.duration_ns // 1000000)
        if kind == MICROSECONDS:
            return _put_number(line, entry.duration_ns // 1000)
        if kind == DECIMAL_SECONDS:
            return _put_decimal(line, entry.duration_ns)
        if kind == PID:
            return _put_number(line, getpid())
        if kind == QUEUED:
            return put(line, "-", 1) if entry.queued_ns < 0 else _put_number(line, entry.queued_ns // 1000000)
        if kind == JSON_QUEUED:
            if entry.queued_ns < 0:
                return 0
            return -1 if put(line, step.text, step.length) < 0 else _put_number(line, entry.queued_ns // 1000)
        if kind == RESPONSE_HEADER:
            return _put_response_header(line, step, entry)
        if kind == ISO_TIME:
            return self._put_iso_time(line, entry.wall_time)
        if kind == CLOCK:
            # The hours, minutes and seconds of [21/Nov/2026:09:00:00 +0000].
            return put(line, self._time_text + 13, 8) if self._has_time(entry.wall_time) else put(line, "-", 1)
        if kind == COLOUR:
            return _put_colour(line, entry)
        if kind == TENTHS:
            return _put_tenths(line, entry.duration_ns)
        if kind == REQUEST_ID or (kind == JSON_REQUEST_ID and entry.request_id != NULL):
            value = _text(entry.request_id, False)
        else:
            value = self._find(step, entry)
        if kind == FIELD or kind == REQUEST_ID:
            return _put_text(line, &value, AS_TEXT)
        if kind == ADDRESS:
            if value.length == 0:
                value.data = NULL  # a client on a unix socket has the address ''; a dash keeps the columns
            return _put_text(line, &value, AS_TEXT)
        if kind == USER:
            return _put_user(line, &value)
        if kind == ENVIRON:
            return _put_environ(line, &value)
        if kind == JSON_IF_PRESENT or kind == JSON_REQUEST_ID:
            if value.value == NULL:
                return 0
            if put(line, step.text, step.length) < 0:
                return -1
        return _put_json(line, &value)

    # --- the values of a request ------------------------------------------------------------------

    cdef Text _find(self, Step* step, Entry* entry) noexcept:
        cdef Text found = self._look(&step.key, entry)
        if found.value == NULL and step.other.environ != NULL:
            found = self._look(&step.other, entry)
        return found

    cdef Text _look(self, Key* key, Entry* entry) noexcept:
        """The value of the environ's key, or what the scope has in its place."""
        cdef PyObject* value
        if not entry.is_scope:
            return _text(item_of(entry.request, key.environ), False)
        if key.place == HEADER:
            return self._request_header(key, entry)
        if key.place == URI:
            return _text(entry.uri, False)
        if key.place == PROTOCOL:
            return _text(entry.protocol, False)
        value = item_of(entry.request, key.scope)
        if key.place == HOST:
            value = _item(value, 0)
        elif key.place == PORT:
            value = _item(value, 1)
        elif key.place == METHOD and value == NULL and _is_websocket(entry.request):
            value = <PyObject*>GET  # RFC 6455 §4.1
        return _text(value, True)

    cdef Text _request_header(self, Key* key, Entry* entry) noexcept:
        """The bytes that the scope's headers have; of several fields all, as in the environ."""
        cdef Text found = _text(NULL, True), more
        cdef PyObject* value
        cdef Py_ssize_t at
        for at in range(_length(entry.fields)):
            value = _value_named(_item(entry.fields, at), key.name, key.length, True)
            if value == NULL or not _is_bytes(value):
                continue
            more = _text(value, True)
            if found.value == NULL:
                found = more
            else:
                self._join(&found, &more, key)
        return found

    cdef void _join(self, Text* found, Text* more, Key* key) noexcept:
        """Join two fields (RFC 9110 §5.3; RFC 9113 §8.2.3 for cookies), as far as they are written at all.

        Not as bytes of Python: a list to join could start the garbage collector, and so foreign code, in mid-line.
        """
        cdef bint is_cookie = key.length == 6 and memcmp(key.name, "cookie", 6) == 0
        if self._joined == NULL:
            self._joined = <char*>malloc(LONGEST_VALUE)
            if self._joined == NULL:
                return  # the first field alone
        if found.data != self._joined:
            found.length = self._append_joined(0, found.data, found.length)
            found.data = self._joined
        found.length = self._append_joined(found.length, b"; " if is_cookie else b",", 2 if is_cookie else 1)
        found.length = self._append_joined(found.length, more.data, more.length)

    cdef Py_ssize_t _append_joined(self, Py_ssize_t used, const void* data, Py_ssize_t length) noexcept:
        length = min(length, LONGEST_VALUE - used)
        memcpy(self._joined + used, data, length)
        return used + length

    # --- time, formatted once a second ------------------------------------------------------------

    cdef int _put_time(self, LineBuffer* line, double wall_time) noexcept:
        """[21/Nov/2026:09:00:00 +0000], local time."""
        if not self._has_time(wall_time):
            return put(line, "-", 1)
        return put(line, self._time_text, self._time_length)

    cdef bint _has_time(self, double wall_time) noexcept:
        """Formatted once a second. False: there is no such year."""
        cdef long long second = <long long>floor(wall_time)
        cdef time_t when = second
        cdef tm local
        cdef long offset
        cdef char* out = self._time_text
        if second != self._time_second:
            if localtime_r(&when, &local) == NULL:
                return False
            out[0] = c'['
            out = _digits(out + 1, local.tm_mday, 2)
            out[0] = c'/'
            memcpy(out + 1, MONTHS + 3 * local.tm_mon, 3)
            out[4] = c'/'
            out = _digits(out + 5, 1900 + local.tm_year, 4)
            out[0] = c':'
            out = _digits(out + 1, local.tm_hour, 2)
            out[0] = c':'
            out = _digits(out + 1, local.tm_min, 2)
            out[0] = c':'
            out = _digits(out + 1, local.tm_sec, 2)
            offset = local.tm_gmtoff // 60
            out[0] = c' '
            out[1] = c'-' if offset < 0 else c'+'
            offset = -offset if offset < 0 else offset
            out = _digits(out + 2, <unsigned int>(offset // 60 * 100 + offset % 60), 4)
            out[0] = c']'
            self._time_length = out + 1 - self._time_text
            self._time_second = second
        return True

    cdef int _put_iso_time(self, LineBuffer* line, double wall_time) noexcept:
        """2026-11-21T09:00:00.123Z, formatted once a second but for the milliseconds."""
        cdef long long second = <long long>floor(wall_time)
        cdef time_t when = second
        cdef tm utc
        cdef char[8] fraction
        cdef char* out = self._iso_text
        if second != self._iso_second:
            if gmtime_r(&when, &utc) == NULL:
                return 0
            out = _digits(out, 1900 + utc.tm_year, 4)
            out[0] = c'-'
            out = _digits(out + 1, 1 + utc.tm_mon, 2)
            out[0] = c'-'
            out = _digits(out + 1, utc.tm_mday, 2)
            out[0] = c'T'
            out = _digits(out + 1, utc.tm_hour, 2)
            out[0] = c':'
            out = _digits(out + 1, utc.tm_min, 2)
            out[0] = c':'
            _digits(out + 1, utc.tm_sec, 2)
            self._iso_second = second
        fraction[0] = c'.'
        _digits(fraction + 1, <unsigned int>((wall_time - second) * 1000), 3)
        fraction[4] = c'Z'
        if put(line, self._iso_text, 19) < 0:
            return -1
        return put(line, fraction, 5)


# --- pieces of a line ---------------------------------------------------------------------------


cdef int _put_number(LineBuffer* line, long long number) noexcept:
    cdef char[24] digits
    cdef int at = 24
    cdef unsigned long long rest = <unsigned long long>(number if number > 0 else 0)
    while True:
        at -= 1
        digits[at] = <char>(c'0' + <int>(rest % 10))
        rest //= 10
        if rest == 0:
            return put(line, digits + at, 24 - at)


cdef int _put_decimal(LineBuffer* line, long long duration_ns) noexcept:
    """Seconds with six places."""
    cdef char[8] places
    if duration_ns < 0:
        duration_ns = 0
    places[0] = c'.'
    _digits(places + 1, <unsigned int>(duration_ns % 1000000000 // 1000), 6)
    if _put_number(line, duration_ns // 1000000000) < 0:
        return -1
    return put(line, places, 7)


cdef int _put_tenths(LineBuffer* line, long long duration_ns) noexcept:
    """Milliseconds with one place."""
    cdef char[2] place
    cdef long long tenths = max(duration_ns, 0) // 100000
    place[0] = c'.'
    place[1] = <char>(c'0' + tenths % 10)
    return -1 if _put_number(line, tenths // 10) < 0 else put(line, place, 2)


cdef int _put_colour(LineBuffer* line, Entry* entry) noexcept:
    """Green, cyan, yellow, red by the class of the status (ECMA-48 §8.3.117); magenta if there was no response."""
    cdef Text status = _text(entry.status, False)
    cdef char kind = (<const char*>status.data)[0] if status.kind == RAW and status.length else c'0'
    if kind == c'2' or kind == c'1':
        return put(line, "\x1b[32m", 5)
    if kind == c'3':
        return put(line, "\x1b[36m", 5)
    if kind == c'4':
        return put(line, "\x1b[33m", 5)
    return put(line, "\x1b[31m" if kind == c'5' else "\x1b[35m", 5)


cdef int _put_text(LineBuffer* line, Text* text, int mode) noexcept:
    """Append text, escaped; a dash for anything else."""
    cdef Py_ssize_t length = min(text.length, <Py_ssize_t>LONGEST_VALUE)
    cdef char* out
    if text.data == NULL:
        return put(line, "-", 1)
    if text.kind != RAW:
        return _put_wide(line, text, length, mode)
    out = room(line, length * (6 if mode == AS_JSON else 4))
    if out == NULL:
        return -1
    line.used = _escape(out, <const unsigned char*>text.data, length, mode) - line.data
    return 0


cdef int _put_wide(LineBuffer* line, Text* text, Py_ssize_t length, int mode) noexcept:
    """Append decoded text: of a scope, or with characters that only a WSGI application can have put there."""
    cdef char* out = room(line, length * 16)
    cdef Py_ssize_t at
    cdef unsigned int point
    if out == NULL:
        return -1
    for at in range(length):
        point = PyUnicode_READ(text.kind, <void*>text.data, at)
        if point < 0x80:
            if UNSAFE[point] & mode:
                out = _escaped(out, point, mode)
            else:
                out[0] = <char>point
                out += 1
        elif mode == AS_JSON:
            out = _json_character(out, point)
        else:
            out = _text_character(out, point)
    line.used = out - line.data
    return 0


cdef int _put_status(LineBuffer* line, Entry* entry, bint as_number) noexcept:
    """The part of "404 Not Found" before the space; as JSON needs it, 0 if that is not a number."""
    cdef Text status = _text(entry.status, False)
    cdef const unsigned char* text = <const unsigned char*>status.data
    cdef Py_ssize_t length = 0, size = 0
    cdef char* out
    if status.data != NULL and status.kind == RAW:
        length = min(status.length, <Py_ssize_t>LONGEST_VALUE)
    while size < length and text[size] != c' ':
        # RFC 8259 §6: no leading zero; three digits are all that a status can have.
        if as_number and (size == 3 or not c'0' + (size == 0) <= text[size] <= c'9'):
            return put(line, "0", 1)
        size += 1
    if size == 0:
        return put(line, "0" if as_number else "-", 1)
    out = room(line, size * 6)
    if out == NULL:
        return -1
    line.used = _escape(out, text, size, AS_TEXT) - line.data
    return 0


cdef int _put_user(LineBuffer* line, Text* value) noexcept:
    cdef unsigned char[256] user  # LONGEST_USER
    cdef Py_ssize_t length = -1
    cdef char* out
    if value.data != NULL and value.kind == RAW:
        length = _basic_user(<const unsigned char*>value.data, value.length, user)
    if length <= 0:
        return put(line, "-", 1)
    out = room(line, length * 4)
    if out == NULL:
        return -1
    line.used = _escape(out, user, length, AS_USER) - line.data
    return 0


cdef int _put_json(LineBuffer* line, Text* value) noexcept:
    if value.data == NULL:
        return put(line, "null", 4)
    if put(line, '"', 1) < 0 or _put_text(line, value, AS_JSON) < 0:
        return -1
    return put(line, '"', 1)


cdef int _put_environ(LineBuffer* line, Text* value) noexcept:
    """Numbers are written too. Other objects are a dash: their __str__ would run foreign code in mid-line."""
    cdef Text number
    if value.value == NULL or type(<object>value.value) not in (int, float, bool):
        return _put_text(line, value, AS_TEXT)
    try:
        digits = repr(<object>value.value)
    except (ValueError, MemoryError):
        digits = None       # an int of more than 4300 digits (sys.set_int_max_str_digits)
    if digits is None:
        return put(line, "-", 1)
    number = _text(<PyObject*>digits, False)
    return _put_text(line, &number, AS_TEXT)


cdef int _put_response_header(LineBuffer* line, Step* step, Entry* entry) noexcept:
    """The last header of that name, as in Gunicorn; names are compared without case."""
    cdef PyObject* found = NULL
    cdef PyObject* value
    cdef Text text
    cdef Py_ssize_t at
    for at in range(_length(entry.headers)):
        value = _value_named(_item(entry.headers, at), step.text, step.length, entry.is_scope)
        if value != NULL:
            found = value
    text = _text(found, entry.is_scope)
    return _put_text(line, &text, AS_TEXT)


# --- what Python's objects hold -----------------------------------------------------------------


cdef PyObject* item_of(PyObject* mapping, PyObject* key) noexcept:
    """Borrowed value or NULL."""
    cdef PyObject* value = _get_item(mapping, key)
    if value == NULL:
        PyErr_Clear()
    return value


cdef inline Text _text(PyObject* value, bint is_scope) noexcept:
    """A str of the environ, whose characters stand for bytes; bytes and text of a scope."""
    cdef Text text
    text.value = value
    text.data = NULL
    text.length = 0
    text.kind = RAW
    if value == NULL:
        return text
    if _is_text(value):
        text.data = _characters(value)
        text.length = _text_length(value)
        text.kind = _width(value)
        if text.kind == 1 and (not is_scope or _is_ascii(value)):
            text.kind = RAW
    elif is_scope and _is_bytes(value):
        text.data = _bytes(value)
        text.length = _bytes_length(value)
    return text


cdef inline Py_ssize_t _length(PyObject* sequence) noexcept:
    """Of a list or tuple; 0 for anything else."""
    if sequence == NULL:
        return 0
    if _is_list(sequence):
        return _list_length(sequence)
    return _tuple_length(sequence) if _is_tuple(sequence) else 0


cdef inline PyObject* _item(PyObject* sequence, Py_ssize_t at) noexcept:
    """Of a list or tuple, borrowed; NULL if there is none."""
    if at >= _length(sequence):
        return NULL
    return _list_item(sequence, at) if _is_list(sequence) else _tuple_item(sequence, at)


cdef inline PyObject* _value_named(PyObject* pair, const char* lower, Py_ssize_t length, bint is_scope) noexcept:
    """The second of the pair, if the first is that name."""
    cdef Text name
    if _length(pair) != 2:
        return NULL
    name = _text(_item(pair, 0), is_scope)
    if name.length != length or name.kind != RAW or not _is_same(<const unsigned char*>name.data, lower, length):
        return NULL
    return _item(pair, 1)


cdef inline bint _is_same(const unsigned char* text, const char* lower, Py_ssize_t length) noexcept:
    """Is the header name `lower`, but for case? '_' there is '-' too: keys of the environ have nothing else."""
    cdef Py_ssize_t at
    cdef unsigned char byte
    for at in range(length):
        byte = text[at]
        if c'A' <= byte <= c'Z':
            byte |= 0x20
        if byte != <unsigned char>lower[at] and not (byte == c'-' and lower[at] == c'_'):
            return False
    return True


cdef bint _is_websocket(PyObject* scope) noexcept:
    cdef Text kind = _text(item_of(scope, <PyObject*>TYPE_KEY), True)
    return kind.kind == RAW and kind.length == 9 and memcmp(kind.data, "websocket", 9) == 0
