"""Which content codings a client takes (RFC 9110 §12.5.3).

Knows: Accept-Encoding. Must not know: files, requests.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from tricorn.http.names cimport equals_lower

cdef tuple NAMES = (b"br", b"zstd", b"gzip")
cdef tuple SUFFIXES = (b".br", b".zst", b".gz")

cdef enum:
    FULL = 1000         # a weight of 1; they have three digits
    UNSAID = -1
    WEIGHTS = 6


cdef int acceptable(bytes field, Coding* found) noexcept:
    cdef int[WEIGHTS] weights
    cdef int coding
    cdef int count = 0
    cdef int at
    cdef int plain
    for coding in range(WEIGHTS):
        weights[coding] = UNSAID
    _read(<const unsigned char*>PyBytes_AS_STRING(field), PyBytes_GET_SIZE(field), weights)
    # What is named by '*' is each that is not named; the plain representation is always there to be had, and worth less than what is named.
    plain = weights[<int>IDENTITY]
    for coding in range(<int>CODINGS):
        if weights[coding] == UNSAID:
            weights[coding] = weights[WEIGHTS - 1]
        if weights[coding] <= 0 or weights[coding] < plain:
            continue
        at = count
        while at > 0 and weights[<int>found[at - 1]] < weights[coding]:
            found[at] = found[at - 1]
            at -= 1
        found[at] = <Coding>coding
        count += 1
    return count


cdef void _read(const unsigned char* text, Py_ssize_t length, int* weights) noexcept nogil:
    """The weight of each that is named; of what is named twice the last one."""
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t start
    cdef Py_ssize_t end
    cdef int which
    while at < length:
        while at < length and (text[at] == c',' or text[at] == c' ' or text[at] == c'\t'):
            at += 1
        start = at
        while at < length and text[at] != c',' and text[at] != c';' and text[at] != c' ' and text[at] != c'\t':
            at += 1
        which = _which(text + start, at - start)
        end = at
        while end < length and text[end] != c',':
            end += 1
        if which >= 0:
            weights[which] = _weight(text + at, end - at)
        at = end


cdef int _which(const unsigned char* name, Py_ssize_t size) noexcept nogil:
    """A place in `weights`; -1: none that matters here."""
    if size == 1 and name[0] == c'*':
        return WEIGHTS - 1
    if equals_lower(name, size, b"br"):
        return <int>BROTLI
    if equals_lower(name, size, b"zstd"):
        return <int>ZSTD
    if equals_lower(name, size, b"gzip") or equals_lower(name, size, b"x-gzip"):
        return <int>GZIP
    if equals_lower(name, size, b"identity"):
        return <int>IDENTITY
    return -1


cdef int _weight(const unsigned char* text, Py_ssize_t length) noexcept nogil:
    """Of parameters, ";q=0.5": in thousandths (RFC 9110 §12.4.2). What is no weight is none: it was meant to say less than all."""
    cdef Py_ssize_t at = 0
    cdef int value
    cdef int unit = 100
    while at < length and (text[at] == c' ' or text[at] == c'\t'):
        at += 1
    if at == length:
        return FULL
    if text[at] != c';':
        return 0
    at += 1
    while at < length and (text[at] == c' ' or text[at] == c'\t'):
        at += 1
    if length - at < 3 or (text[at] | 0x20) != c'q' or text[at + 1] != c'=' or not c'0' <= text[at + 2] <= c'1':
        return 0
    value = (text[at + 2] - c'0') * FULL
    at += 3
    if at < length and text[at] == c'.':
        at += 1
        while at < length and c'0' <= text[at] <= c'9' and unit:
            value += (text[at] - c'0') * unit
            unit //= 10
            at += 1
    while at < length and (text[at] == c' ' or text[at] == c'\t'):
        at += 1
    return value if at == length and value <= FULL else 0


cdef bytes suffix_of(Coding coding):
    return <bytes>SUFFIXES[<int>coding]


cdef bytes name_of(Coding coding):
    return <bytes>NAMES[<int>coding]


def accepted(bytes field):
    """The names of those that are taken, in their order: for tests."""
    cdef Coding[3] found
    cdef int count = acceptable(field, found)
    return [name_of(found[i]).decode() for i in range(count)]
