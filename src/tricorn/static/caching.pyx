"""For how long a file may be kept without asking: Cache-Control (RFC 9111 §5.2.2).

A name that has the hash of its content in it (`app.55e7cbb9ba48.css`, as Django, WhiteNoise, webpack and others make them) will never
have another content, so whoever has it need not ask again. Of all others a client is told to ask each time: the answer is a 304 without a body as long
as nothing has changed, and what has changed is seen at once.

Knows: names, patterns. Must not know: files, requests.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

cdef enum:
    SHORTEST_HASH = 8   # webpack has 20 hexadecimal digits, Django 12, others 8

cdef bytes FOR_EVER = b"public, max-age=31536000, immutable"
cdef bytes ASK_FIRST = b"no-cache"


cdef class Caching:
    """patterns: (pattern, value) each, as bytes. A pattern is a path in which '*' stands for any bytes. An empty value: the field is left out."""

    def __init__(self, patterns):
        self.patterns = tuple(patterns)

    cdef bytes value_of(self, const unsigned char* path, Py_ssize_t size):
        """None: nothing is said."""
        cdef bytes pattern
        cdef tuple pair
        for pair in self.patterns:
            pattern = <bytes>pair[0]
            if fits(<const unsigned char*>PyBytes_AS_STRING(pattern), PyBytes_GET_SIZE(pattern), path, size):
                return <bytes>pair[1] if pair[1] else None
        return FOR_EVER if has_hash(path, size) else ASK_FIRST


cdef bint has_hash(const unsigned char* path, Py_ssize_t size) noexcept nogil:
    """Between a '.', '-' or '_' and the first '.' behind it are eight or more hexadecimal digits in lower case, letters and figures among them:
    what is a number or a date, or a word, is no hash."""
    cdef Py_ssize_t at = size
    cdef Py_ssize_t length = 0      # of the digits from `at` on
    cdef int letters = 0
    cdef int figures = 0
    cdef bint ends = False          # a '.' stands behind them
    while at > 0:
        at -= 1
        if path[at] == c'/':
            return False
        if c'0' <= path[at] <= c'9':
            figures += 1
            length += 1
        elif c'a' <= path[at] <= c'f':
            letters += 1
            length += 1
        else:
            if path[at] == c'.' or path[at] == c'-' or path[at] == c'_':
                if ends and length >= SHORTEST_HASH and letters and figures:
                    return True
                ends = path[at] == c'.'
            else:
                ends = False
            length = letters = figures = 0
    return False


cdef bint fits(const unsigned char* pattern, Py_ssize_t length, const unsigned char* path, Py_ssize_t size) noexcept nogil:
    """Only the last '*' is ever gone back to, so work is bounded by the product of the two lengths."""
    cdef Py_ssize_t p = 0
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t star = -1
    cdef Py_ssize_t from_star = 0
    while at < size:
        if p < length and pattern[p] == c'*':
            star = p
            from_star = at
            p += 1
        elif p < length and pattern[p] == path[at]:
            p += 1
            at += 1
        elif star >= 0:
            p = star + 1
            from_star += 1
            at = from_star
        else:
            return False
    while p < length and pattern[p] == c'*':
        p += 1
    return p == length


def control(patterns, bytes path):
    """The value, or None: for tests."""
    return Caching(patterns).value_of(<const unsigned char*>PyBytes_AS_STRING(path), PyBytes_GET_SIZE(path))
