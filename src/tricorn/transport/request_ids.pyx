"""The id of a request: what a trusted proxy calls it, or a new one.

Knows: heads, response fields. Must not know: where an id is written, settings.

An id goes into logs, into responses and into whatever the application does with it. So what is taken has a bounded length and
consists of characters that mean nothing anywhere; and only a trusted peer is asked, else a client could give its requests the
ids of others.

Measured, CPython 3.13: see docs/logging.md.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeASCII

from tricorn.http.names cimport equals_lower
from tricorn.http.request cimport Field, RequestHead

import os

cdef const char* HEX = "0123456789abcdef"
cdef unsigned char[256] FIT


cdef void _classify() noexcept:
    cdef const char* others = "-._~+/=:;,@|"
    cdef int byte
    for byte in range(256):
        FIT[byte] = c'0' <= byte <= c'9' or c'A' <= byte <= c'Z' or c'a' <= byte <= c'z'
    while others[0]:
        FIT[<unsigned char>others[0]] = 1
        others += 1


_classify()


cdef inline unsigned long long _mixed(unsigned long long state) noexcept:
    """SplitMix64's output function: a bijection, so states that differ give outputs that differ."""
    state = (state ^ (state >> 30)) * <unsigned long long>0xBF58476D1CE4E5B9
    state = (state ^ (state >> 27)) * <unsigned long long>0x94D049BB133111EB
    return state ^ (state >> 31)


cdef inline void _put_hex(char* out, unsigned long long number) noexcept:
    cdef int at
    for at in range(15, -1, -1):
        out[at] = HEX[number & 15]
        number >>= 4


@cython.no_gc
@cython.final
cdef class RequestIds:
    """header: the name of the field. Made in each worker: ids of two must not be alike."""

    def __init__(self, str header):
        name = header.encode("ascii")
        self._field = name.lower()
        self._start = name + b": "
        self._names = (header, name)
        self._first = int.from_bytes(os.urandom(8), "little")
        self._second = int.from_bytes(os.urandom(8), "little")

    cdef str id_of(self, RequestHead head, bint trusted):
        cdef str found = self._taken(head) if trusted else None
        return found if found is not None else self._made()

    cdef str _taken(self, RequestHead head):
        """None: there is none, or several of which nobody knows which is the proxy's, or one that is not fit."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(self._field)
        cdef const unsigned char* text = NULL
        cdef Py_ssize_t length = 0, at
        cdef Field* field
        cdef int i
        for i in range(head.count):
            field = &head.fields[i]
            if <Py_ssize_t>field.name.length == size and equals_lower(
                head.data + field.name.start, size, PyBytes_AS_STRING(self._field)
            ):
                if text != NULL:
                    return None
                text = head.data + field.value.start
                length = field.value.length
        if text == NULL or not 0 < length <= LONGEST_ID:
            return None
        for at in range(length):
            if not FIT[text[at]]:
                return None
        return PyUnicode_DecodeASCII(<const char*>text, length, NULL)

    cdef str _made(self):
        cdef char[32] text
        self._second += <unsigned long long>0x9E3779B97F4A7C15
        _put_hex(text, _mixed(self._first))
        _put_hex(text + 16, _mixed(self._second))
        return PyUnicode_DecodeASCII(text, 32, NULL)

    cdef object added_to(self, object headers, str request_id, bint octets):
        cdef object name
        fields = list(headers)
        for field in fields:
            # What is no pair of a name and a value is refused where the head is written.
            name = field[0] if (type(field) is tuple or type(field) is list) and len(field) == 2 else None
            if octets and type(name) is bytes and (<bytes>name).lower() == self._field:
                return fields
            if not octets and type(name) is str and (<str>name).lower() == (<str>self._names[0]).lower():
                return fields
        fields.append((self._names[octets], request_id.encode("ascii") if octets else request_id))
        return fields

    cdef bytes line(self, str request_id):
        return self._start + request_id.encode("ascii") + b"\r\n"
