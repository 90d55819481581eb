"""The access log: one escaped line per request, straight from the environ into a buffer.

Knows: the steps that access_format.py compiled, WSGI environ keys, write(2).
Must not know: who calls, which file the descriptor belongs to, settings.

What it promises:

- A record is one line. No byte that a client (or the application) chose can end a line, close a quote or
  start an escape: see `_classify`.
- Serving never fails or waits for it. `record` appends to memory; a pipe, terminal or socket is written only
  when poll(2) says it takes bytes; what cannot be written is counted in `dropped` and reported once a minute.
- Lines are written whole. A regular file gets one write(2) for each flush (with O_APPEND: lines of several
  workers never mix); a pipe gets pieces of whole lines up to PIPE_BUF, which the kernel does not mix either.
  If a failure tears a line all the same, the next successful write starts on a new line.

Threads share one AccessLog under the GIL. No Python code runs between the first and the last byte of a line
(only exact types are converted, no `__str__`, no logging), so lines of two threads cannot mix in the buffer, and
values may be borrowed from the environ. (A free-threaded build needs a lock around `record` and `flush`.)

Lines appear when the buffer is full or when the caller flushes: it should when idle, about once a second, and
before it ends. A child must not inherit lines: flush before a fork, or make the log after it.

Measured, CPython 3.13, combined format, a browser's request, into a file: 0.6 µs a record, JSON 1 µs.
"""

from cpython.exc cimport PyErr_Clear
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_1BYTE_DATA, PyUnicode_DATA, PyUnicode_GET_LENGTH, PyUnicode_KIND, PyUnicode_READ
from libc.errno cimport EAGAIN, EINTR, EIO, ENOMEM, errno
from libc.math cimport floor
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memchr, memcpy, memmove
from posix.stat cimport S_ISREG, fstat, struct_stat
from posix.unistd cimport getpid, write

import logging
import os
import time

from tricorn.log.access_format import compile_format

cdef extern from "Python.h":
    # Cython's own declaration returns an `object`; a borrowed pointer saves two reference counts a field.
    PyObject* _get_item "PyDict_GetItemWithError"(object mapping, PyObject* key)
    bint _is_text "PyUnicode_Check"(PyObject* value)

cdef extern from "<poll.h>":
    struct pollfd:
        int fd
        short events
        short revents
    int poll(pollfd* fds, unsigned long count, int timeout) nogil
    const short POLLOUT

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
    # Some 400 lines of the combined format. nginx suggests the same size for its buffered logs.
    CAPACITY = 65536
    # A record that starts with less room than this flushes first: most lines then fit without growing the buffer.
    RESERVE = 8192
    # Longer values are cut. Twice the longest request line or field that the limits let through by default.
    LONGEST_VALUE = 16384
    # PIPE_BUF of Linux: a write to a pipe up to this size is atomic, and does not block after POLLOUT.
    PIPE_PIECE = 4096
    LONGEST_USER = 256

cdef double REPORT_INTERVAL = 60.0

cdef enum Kind:
    LITERAL, FIELD, ADDRESS, USER, TIME, REQUEST, STATUS, BYTES_OR_DASH, BYTES, SECONDS, MICROSECONDS, MILLISECONDS
    DECIMAL_SECONDS, PID, RESPONSE_HEADER, ENVIRON, ISO_TIME, STATUS_NUMBER, JSON, JSON_IF_PRESENT

cdef dict KINDS = {
    "literal": LITERAL, "field": FIELD, "address": ADDRESS, "user": USER, "time": TIME, "request": REQUEST,
    "status": STATUS, "bytes_or_dash": BYTES_OR_DASH, "bytes": BYTES, "seconds": SECONDS,
    "microseconds": MICROSECONDS, "milliseconds": MILLISECONDS, "decimal_seconds": DECIMAL_SECONDS, "pid": PID,
    "response_header": RESPONSE_HEADER, "environ": ENVIRON, "iso_time": ISO_TIME, "status_number": STATUS_NUMBER,
    "json": JSON, "json_if_present": JSON_IF_PRESENT,
}

# What a byte needs, as bits: the mode in which it cannot stand for itself.
cdef enum Mode:
    AS_TEXT = 1   # \xNN
    AS_USER = 2   # \xNN, for a space too: %(u)s stands unquoted in the combined format
    AS_JSON = 4   # \" \\ \u00NN

cdef unsigned char[256] UNSAFE
cdef unsigned char[256] BASE64
cdef const char* HEX = "0123456789ABCDEF"
cdef const char* MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"  # strftime's %b would follow the locale

cdef object METHOD_KEY = "REQUEST_METHOD"
cdef object RAW_URI_KEY = "RAW_URI"
cdef object PATH_KEY = "PATH_INFO"
cdef object PROTOCOL_KEY = "SERVER_PROTOCOL"


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


cdef class AccessLog:
    """Formats access log lines into a buffer and writes them to `fd`, which stays the caller's."""

    def __cinit__(self):
        self._data = <char*>malloc(CAPACITY)
        if self._data == NULL:
            raise MemoryError()
        self._capacity = CAPACITY
        self._used = 1  # byte 0 is kept for the line break that a torn line needs
        self._time_second = self._iso_second = -(1 << 62)
        self._kept = []

    def __init__(self, str format, int fd):
        cdef Step* steps
        cdef Py_ssize_t at
        compiled = compile_format(format)
        steps = <Step*>malloc(max(1, len(compiled)) * sizeof(Step))
        if steps == NULL:
            raise MemoryError()
        free(self._steps)
        self._steps = steps
        self._step_count = len(compiled)
        for at, step in enumerate(compiled):
            text = (step.text or step.key).encode("utf-8", "surrogateescape")
            key = step.key
            self._kept += (text, key)
            steps[at].kind = KINDS[step.kind]
            steps[at].text = text
            steps[at].length = len(text)
            steps[at].key = <PyObject*>key
        self._reported_at = -REPORT_INTERVAL
        self.fd = fd
        self._look_at_fd()

    def __dealloc__(self):
        free(self._steps)
        free(self._data)

    # --- what callers use -------------------------------------------------------------------------

    cpdef int record(self, dict environ, str status, object headers, long long body_bytes,
                     long long duration_ns, double wall_time) except -1:
        """Append the line of one request. `wall_time` is seconds since the epoch, `headers` the response's.

        Raises nothing: a line for which there is no memory is dropped and counted.
        """
        cdef Py_ssize_t start
        cdef bint wrote = False
        if self._used > CAPACITY - RESERVE:
            self._write_out()
            if self._used > CAPACITY - RESERVE:
                self._drop(1, EAGAIN)  # nobody reads the pipe: the oldest lines go, memory stays bounded
            wrote = True
        start = self._used
        self.lines += 1
        if self._line(environ, status, headers, body_bytes, duration_ns, wall_time) < 0:
            self._used = start
            self.dropped += 1
            self._last_errno = ENOMEM
        if wrote and self.dropped != self._reported:
            self._report()
        return 0

    cpdef int flush(self) except -1:
        """Write what can be written without waiting. Raises nothing; counts and reports what is lost."""
        if self._used > 1:
            self._write_out()
        if self.dropped != self._reported:
            self._report()
        return 0

    cpdef int reopen(self, int fd) except -1:
        """Write what is buffered to the old descriptor and use `fd` from now on. The caller closes the old one."""
        cdef char* end
        self.flush()
        if self._mid_line and self._used > 1:
            # The old file has the first half of this line; the second half alone says nothing in the new one.
            end = <char*>memchr(self._data + 1, c'\n', self._used - 1)
            self._used -= end - self._data
            memmove(self._data + 1, end + 1, self._used - 1)
            self.dropped += 1
        self.fd = fd
        self._mid_line = self._torn = False
        self._look_at_fd()
        return 0

    # --- a line -----------------------------------------------------------------------------------
    # Everything below returns -1 when there is no memory for more of the line, and 0 otherwise.

    cdef int _line(self, dict environ, str status, object headers, long long body_bytes,
                   long long duration_ns, double wall_time):
        cdef Py_ssize_t at
        for at in range(self._step_count):
            if self._step(&self._steps[at], environ, status, headers, body_bytes, duration_ns, wall_time) < 0:
                return -1
        return self._put("\n", 1)

    cdef int _step(self, Step* step, dict environ, str status, object headers, long long body_bytes,
                   long long duration_ns, double wall_time):
        cdef int kind = step.kind
        cdef PyObject* value
        if kind == LITERAL:
            return self._put(step.text, step.length)
        if kind == FIELD:
            return self._put_text(_get(environ, step.key), AS_TEXT)
        if kind == ADDRESS:
            value = _get(environ, step.key)
            # A client on a unix socket has the address ''; a dash keeps the columns of the line.
            return self._put_text(NULL if _is_empty(value) else value, AS_TEXT)
        if kind == USER:
            return self._put_user(_get(environ, step.key))
        if kind == TIME:
            return self._put_time(wall_time)
        if kind == REQUEST:
            return self._put_request(environ)
        if kind == STATUS or kind == STATUS_NUMBER:
            return self._put_status(status, kind == STATUS_NUMBER)
        if kind == BYTES_OR_DASH:
            return self._put_number(body_bytes) if body_bytes else self._put("-", 1)
        if kind == BYTES:
            return self._put_number(body_bytes)
        if kind == SECONDS:
            return self._put_number(duration_ns // 1000000000)
        if kind == MILLISECONDS:
            return self._put_number(duration_ns // 1000000)
        if kind == MICROSECONDS:
            return self._put_number(duration_ns // 1000)
        if kind == DECIMAL_SECONDS:
            return self._put_decimal(duration_ns)
        if kind == PID:
            return self._put_number(getpid())
        if kind == RESPONSE_HEADER:
            return self._put_response_header(headers, step.text, step.length)
        if kind == ENVIRON:
            return self._put_environ(environ, step.key)
        if kind == ISO_TIME:
            return self._put_iso_time(wall_time)
        value = _get(environ, step.key)
        if kind == JSON_IF_PRESENT:
            if value == NULL:
                return 0
            if self._put(step.text, step.length) < 0:
                return -1
        return self._put_json(value)

    cdef char* _room(self, Py_ssize_t size):
        """Where the next `size` bytes go, or NULL. Grows the buffer for a long line only."""
        cdef char* larger
        cdef Py_ssize_t wanted
        if self._capacity - self._used < size:
            wanted = 2 * (self._used + size)
            larger = <char*>realloc(self._data, wanted)
            if larger == NULL:
                return NULL
            self._data = larger
            self._capacity = wanted
        return self._data + self._used

    cdef int _put(self, const char* text, Py_ssize_t length):
        cdef char* out = self._room(length)
        if out == NULL:
            return -1
        memcpy(out, text, length)
        self._used += length
        return 0

    cdef int _put_number(self, long long number):
        cdef char[24] digits
        cdef int at = 24
        cdef unsigned long long rest = <unsigned long long>(number if number > 0 else 0)
        while True:
            at -= 1
            digits[at] = <char>(c'0' + <int>(rest % 10))
            rest //= 10
            if rest == 0:
                return self._put(digits + at, 24 - at)

    cdef int _put_decimal(self, long long duration_ns):
        """Seconds with six places."""
        cdef char[8] places
        if duration_ns < 0:
            duration_ns = 0
        places[0] = c'.'
        _digits(places + 1, <unsigned int>(duration_ns % 1000000000 // 1000), 6)
        if self._put_number(duration_ns // 1000000000) < 0:
            return -1
        return self._put(places, 7)

    cdef int _put_text(self, PyObject* value, int mode):
        """Append a str, escaped; a dash for anything else."""
        cdef Py_ssize_t length
        cdef char* out
        if value == NULL or not _is_text(value):
            return self._put("-", 1)
        length = min(PyUnicode_GET_LENGTH(<object>value), <Py_ssize_t>LONGEST_VALUE)
        if PyUnicode_KIND(<object>value) != 1:
            return self._put_wide(value, length, mode)
        out = self._room(length * (6 if mode == AS_JSON else 4))
        if out == NULL:
            return -1
        self._used = _escape(out, <const unsigned char*>PyUnicode_1BYTE_DATA(<object>value), length, mode) - self._data
        return 0

    cdef int _put_wide(self, PyObject* value, Py_ssize_t length, int mode):
        """Append a str that has characters above U+00FF, which only the application can have put there."""
        cdef int kind = PyUnicode_KIND(<object>value)
        cdef void* data = PyUnicode_DATA(<object>value)
        cdef char* out = self._room(length * 16)
        cdef Py_ssize_t at
        cdef unsigned int point
        if out == NULL:
            return -1
        for at in range(length):
            point = PyUnicode_READ(kind, data, at)
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
        self._used = out - self._data
        return 0

    cdef int _put_request(self, dict environ):
        """The request line; %(r)s."""
        if self._put_text(_get(environ, <PyObject*>METHOD_KEY), AS_TEXT) < 0 or self._put(" ", 1) < 0:
            return -1
        cdef PyObject* target = _get(environ, <PyObject*>RAW_URI_KEY)
        if target == NULL:
            target = _get(environ, <PyObject*>PATH_KEY)
        if self._put_text(target, AS_TEXT) < 0 or self._put(" ", 1) < 0:
            return -1
        return self._put_text(_get(environ, <PyObject*>PROTOCOL_KEY), AS_TEXT)

    cdef int _put_status(self, str status, bint as_number):
        """The part of "404 Not Found" before the space; as JSON needs it, 0 if that is not a number."""
        cdef const unsigned char* text
        cdef Py_ssize_t length, size = 0
        cdef char* out
        if status is None or PyUnicode_KIND(status) != 1:
            return self._put("0" if as_number else "-", 1)
        text = <const unsigned char*>PyUnicode_1BYTE_DATA(status)
        length = min(PyUnicode_GET_LENGTH(status), <Py_ssize_t>LONGEST_VALUE)
        while size < length and text[size] != c' ':
            # RFC 8259 §6: no leading zero; three digits are all that a status can have.
            if as_number and (size == 3 or not c'0' + (size == 0) <= text[size] <= c'9'):
                return self._put("0", 1)
            size += 1
        if size == 0:
            return self._put("0" if as_number else "-", 1)
        out = self._room(size * 6)
        if out == NULL:
            return -1
        self._used = _escape(out, text, size, AS_TEXT) - self._data
        return 0

    cdef int _put_user(self, PyObject* value):
        cdef unsigned char[256] user  # LONGEST_USER
        cdef Py_ssize_t length = -1
        cdef char* out
        if value != NULL and _is_text(value) and PyUnicode_KIND(<object>value) == 1:
            length = _basic_user(<const unsigned char*>PyUnicode_1BYTE_DATA(<object>value),
                                 PyUnicode_GET_LENGTH(<object>value), user)
        if length <= 0:
            return self._put("-", 1)
        out = self._room(length * 4)
        if out == NULL:
            return -1
        self._used = _escape(out, user, length, AS_USER) - self._data
        return 0

    cdef int _put_json(self, PyObject* value):
        if value == NULL or not _is_text(value):
            return self._put("null", 4)
        if self._put('"', 1) < 0 or self._put_text(value, AS_JSON) < 0:
            return -1
        return self._put('"', 1)

    cdef int _put_environ(self, dict environ, PyObject* key):
        """A value of the environ, under the name as it is written or in upper case (Gunicorn ignores case).

        Numbers are written too. Other objects are a dash: their __str__ would run foreign code in mid-line.
        """
        cdef PyObject* value = _get(environ, key)
        if value == NULL:
            upper = (<object>key).upper()
            value = _get(environ, <PyObject*>upper)
        if value != NULL and type(<object>value) in (int, float, bool):
            try:
                text = repr(<object>value)
            except ValueError:
                return self._put("-", 1)  # an int of more than 4300 digits (sys.set_int_max_str_digits)
            return self._put_text(<PyObject*>text, AS_TEXT)
        return self._put_text(value, AS_TEXT)

    cdef int _put_response_header(self, object headers, const char* name, Py_ssize_t length):
        """The last header of that name, as in Gunicorn; names are compared without case."""
        cdef PyObject* found = NULL
        if type(headers) is list:
            for item in <list>headers:
                if type(item) is tuple and len(<tuple>item) == 2 and _same_name((<tuple>item)[0], name, length):
                    found = <PyObject*>(<tuple>item)[1]
        return self._put_text(found, AS_TEXT)

    cdef int _put_time(self, double wall_time):
        """[21/Nov/2026:09:00:00 +0000], local time, formatted once a second."""
        cdef long long second = <long long>floor(wall_time)
        cdef time_t when = second
        cdef tm local
        cdef long offset
        cdef char* out = self._time_text
        if second != self._time_second:
            if localtime_r(&when, &local) == NULL:
                return self._put("-", 1)  # no such year
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
        return self._put(self._time_text, self._time_length)

    cdef int _put_iso_time(self, double wall_time):
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
        if self._put(self._iso_text, 19) < 0:
            return -1
        return self._put(fraction, 5)

    # --- the descriptor ---------------------------------------------------------------------------

    cdef void _look_at_fd(self) noexcept:
        cdef struct_stat status
        self._in_pieces = fstat(self.fd, &status) < 0 or not S_ISREG(status.st_mode)

    cdef void _write_out(self) noexcept:
        """Write the buffer, which holds whole lines but perhaps for the rest of a first one; keep what must wait.

        The GIL is held: a regular file takes 64 KiB into the page cache in some 20 µs, others are asked by poll.
        """
        cdef Py_ssize_t begin = 0 if self._torn else 1
        cdef Py_ssize_t written
        self._data[0] = c'\n'
        while begin < self._used:
            if self._in_pieces and not self._writable():
                break
            written = write(self.fd, self._data + begin, self._piece(begin))
            if written > 0:
                begin += written
                self._torn = False
                self._mid_line = self._data[begin - 1] != c'\n'
            elif written < 0 and errno == EINTR:
                continue
            elif written < 0 and errno == EAGAIN:
                break
            else:
                self._drop(max(begin, 1), errno if written < 0 else EIO)
                return
        begin = max(begin, 1)
        memmove(self._data + 1, self._data + begin, self._used - begin)
        self._used -= begin - 1
        self._shrink()

    cdef void _shrink(self) noexcept:
        """Give back what one long line took, once it is written."""
        cdef char* smaller
        if self._capacity > CAPACITY and self._used <= CAPACITY - RESERVE:
            smaller = <char*>realloc(self._data, CAPACITY)
            if smaller != NULL:
                self._data = smaller
                self._capacity = CAPACITY

    cdef Py_ssize_t _piece(self, Py_ssize_t begin) noexcept:
        """How much of the buffer the next write takes."""
        cdef Py_ssize_t length = self._used - begin, end
        if not self._in_pieces or length <= PIPE_PIECE:
            return length
        end = PIPE_PIECE
        while end > 1 and self._data[begin + end - 1] != c'\n':
            end -= 1
        return end if end > 1 else <Py_ssize_t>PIPE_PIECE

    cdef bint _writable(self) noexcept:
        cdef pollfd waiting
        waiting.fd = self.fd
        waiting.events = POLLOUT
        waiting.revents = 0
        # A closed reader or descriptor counts as writable: write(2) then names the failure.
        return poll(&waiting, 1, 0) != 0

    cdef void _drop(self, Py_ssize_t begin, int reason) noexcept:
        """Give up the lines from `begin` on."""
        cdef Py_ssize_t at
        for at in range(begin, self._used):
            self.dropped += self._data[at] == c'\n'
        self._used = 1
        self._torn = self._torn or self._mid_line
        self._mid_line = False
        self._last_errno = reason
        self._shrink()

    cdef int _report(self) except -1:
        """Say in the error log, once a minute, how many lines were lost. The buffer is consistent here."""
        now = time.monotonic()
        if now - self._reported_at < REPORT_INTERVAL:
            return 0
        lost = self.dropped - self._reported
        self._reported = self.dropped
        self._reported_at = now
        logger = logging.getLogger("tricorn.error")
        try:
            logger.warning("access log: %d lines lost: %s", lost, os.strerror(self._last_errno))
        except Exception:
            # A foreign handler or filter failed. Serving goes on; the lines stay counted for the next report.
            self._reported -= lost
        return 0


cdef inline PyObject* _get(dict environ, PyObject* key) noexcept:
    """Borrowed value or NULL."""
    cdef PyObject* value = _get_item(environ, key)
    if value == NULL:
        PyErr_Clear()
    return value


cdef inline bint _is_empty(PyObject* value) noexcept:
    return value != NULL and _is_text(value) and PyUnicode_GET_LENGTH(<object>value) == 0


cdef bint _same_name(object name, const char* lower, Py_ssize_t length) noexcept:
    """Is the header name `lower`? Both are ASCII, or they do not match."""
    cdef const unsigned char* text
    cdef Py_ssize_t at
    cdef unsigned char byte
    if type(name) is not str or PyUnicode_KIND(name) != 1 or PyUnicode_GET_LENGTH(name) != length:
        return False
    text = <const unsigned char*>PyUnicode_1BYTE_DATA(name)
    for at in range(length):
        byte = text[at]
        if c'A' <= byte <= c'Z':
            byte |= 0x20
        if byte != <unsigned char>lower[at]:
            return False
    return True
