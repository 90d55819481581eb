"""Requests counted for statsd: a number or two for each, and a packet for some thirty of them.

Knows: Gunicorn's names of metrics, statsd's lines (`name:value|type`), DogStatsD's tags (`|#tags`). Must not know: sockets, who
calls, settings.

A duration is a line of its own, because a timer wants each of them. Requests and statuses are counters, of which one line says as
much as many would: they are added up, and join the packet when it leaves. It does when it is full, and when the caller flushes, as it
does with an access log: when idle, about once a second, before it ends.

Measured, CPython 3.13: see docs/logging.md. One datagram for each metric, as elsewhere, would be three system calls a request.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.string cimport memcpy, memset

cdef extern from "Python.h":
    bint _is_text "PyUnicode_Check"(PyObject* value)
    bint _is_ascii "PyUnicode_IS_COMPACT_ASCII"(PyObject* value)
    Py_ssize_t _length "PyUnicode_GET_LENGTH"(PyObject* value)
    const unsigned char* _characters "PyUnicode_1BYTE_DATA"(PyObject* value)

cdef enum:
    # Room that the counters of a packet may need: four lines, with prefix and tags of usual length.
    COUNTERS = 400


cdef inline int _status_of(PyObject* status) noexcept:
    """Its number; 0: it has none."""
    cdef const unsigned char* text
    if not _is_text(status) or not _is_ascii(status) or _length(status) < 3:
        return 0
    text = _characters(status)
    if not (c'1' <= text[0] <= c'9' and c'0' <= text[1] <= c'9' and c'0' <= text[2] <= c'9'):
        return 0
    return (text[0] - c'0') * 100 + (text[1] - c'0') * 10 + text[2] - c'0'


cdef inline char* _digits(char* out, unsigned long long number) noexcept:
    """Append `number`: at most 20 bytes."""
    cdef char[20] digits
    cdef int at = 20
    while True:
        at -= 1
        digits[at] = <char>(c'0' + <int>(number % 10))
        number //= 10
        if number == 0:
            break
    memcpy(out, digits + at, 20 - at)
    return out + 20 - at


@cython.no_gc       # what it holds are texts and a function
@cython.final
cdef class Meter:
    """Counts requests, and sends what it has counted in packets of statsd's lines.

    send: called with each packet; raises nothing. limit: of a packet, bytes; what does not fit into one at all is left out.
    prefix: before each name. tags: behind each type, as DogStatsD has them.
    """

    def __cinit__(self, send, Py_ssize_t limit, bytes prefix=b"", bytes tags=b""):
        self._send = send
        self._limit = min(limit, <Py_ssize_t>PACKET)
        self._prefix = prefix
        self._tags = b"|#" + tags if tags else b""
        self._head = prefix + b"gunicorn.request.duration:"
        self._tail = b"|ms" + self._tags + b"\n"
        self._lowest = STATUSES

    def line(self, bytes name, bytes value, bytes kind):
        """One metric, as a packet of its own."""
        return self._prefix + name + b":" + value + b"|" + kind + self._tags

    cdef int count(self, PyObject* status, long long duration_ns) except -1:
        cdef Py_ssize_t head = PyBytes_GET_SIZE(self._head), tail = PyBytes_GET_SIZE(self._tail)
        cdef unsigned long long microseconds = <unsigned long long>(duration_ns if duration_ns > 0 else 0) // 1000
        cdef unsigned int rest = <unsigned int>(microseconds % 1000)
        cdef int number = _status_of(status)
        cdef char* out
        if self._used + head + tail + 24 + COUNTERS > self._limit:
            self.flush()
            if self._used + head + tail + 24 > self._limit:
                return 0        # tags that no packet has room for
        self._requests += 1
        if number:
            self._statuses[number] += 1
            self._lowest = min(self._lowest, number)
            self._highest = max(self._highest, number)
        out = self._packet + self._used
        memcpy(out, PyBytes_AS_STRING(self._head), head)
        out = _digits(out + head, microseconds // 1000)
        out[0] = c'.'
        out[1] = <char>(c'0' + rest // 100)
        out[2] = <char>(c'0' + rest // 10 % 10)
        out[3] = <char>(c'0' + rest % 10)
        memcpy(out + 4, PyBytes_AS_STRING(self._tail), tail)
        self._used = out + 4 + tail - self._packet
        return 0

    cpdef int flush(self) except -1:
        """Send what was counted."""
        cdef long long requests = self._requests
        cdef int at = self._lowest, highest = self._highest
        cdef unsigned int number
        if requests == 0:
            return 0
        # Taken first: sending lets other threads count on.
        self._requests = 0
        self._lowest, self._highest = STATUSES, 0
        self._put(self.line(b"gunicorn.requests", b"%d" % requests, b"c"))
        while at <= highest:
            number = self._statuses[at]
            self._statuses[at] = 0
            if number:
                self._put(self.line(b"gunicorn.request.status.%d" % at, b"%d" % number, b"c"))
            at += 1
        return self._leave()

    cpdef int forget(self) except -1:
        """Drop what was counted: in a copy of the process that it belongs to, which sends it itself."""
        self._used = 0
        self._requests = 0
        memset(self._statuses, 0, sizeof(self._statuses))
        self._lowest, self._highest = STATUSES, 0
        return 0

    cdef int _put(self, bytes line) except -1:
        cdef Py_ssize_t size = PyBytes_GET_SIZE(line)
        if self._used + size + 1 > self._limit:
            self._leave()
            if self._used + size + 1 > self._limit:
                return 0
        memcpy(self._packet + self._used, PyBytes_AS_STRING(line), size)
        self._packet[self._used + size] = c'\n'
        self._used += size + 1
        return 0

    cdef int _leave(self) except -1:
        """The lines leave as a packet, the last one without its line break."""
        cdef object packet, send = self._send
        if self._used == 0:
            return 0
        packet = PyBytes_FromStringAndSize(self._packet, self._used - 1)
        self._used = 0
        send(packet)
        return 0
