"""Paths as they come in a URL, and what of them may be a name below a directory.

Nothing is put right here: a path with `..`, with an empty segment or with a slash that came encoded leads to no file, wherever it would end. What
a client, a cache and a proxy in front of us take for different paths is then never the same file, and no name leaves its directory by its
words (how links are kept in: beneath.pyx).

Knows: RFC 3986. Must not know: files, requests.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memcmp

from tricorn.http.chars cimport hex_value

# What stands for itself in a segment of a path (RFC 3986 §2.3).
cdef frozenset UNRESERVED = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")


cdef Py_ssize_t decode(const unsigned char* raw, Py_ssize_t size, unsigned char* out, bint* odd) noexcept nogil:
    """A '%' that no two hexadecimal digits follow stands for itself, as everywhere in the server."""
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t length = 0
    cdef unsigned char c
    cdef int high
    cdef int low
    odd[0] = False
    while at < size:
        if length == PATH_ROOM - 1:
            odd[0] = True
            break
        c = raw[at]
        at += 1
        if c == c'%' and size - at >= 2:
            high = hex_value(raw[at])
            low = hex_value(raw[at + 1])
            if high >= 0 and low >= 0:
                c = <unsigned char>(high * 16 + low)
                at += 2
                if c == c'/':
                    odd[0] = True
        if c == 0:
            odd[0] = True       # to the system the name would end here
        out[length] = c
        length += 1
    out[length] = 0
    return length


cdef bint is_below(const unsigned char* path, Py_ssize_t size, bytes prefix) noexcept:
    cdef Py_ssize_t length = PyBytes_GET_SIZE(prefix)
    if size < length or memcmp(path, PyBytes_AS_STRING(prefix), length) != 0:
        return False
    return size == length or path[length] == c'/'


cdef bint is_clean(const unsigned char* path, Py_ssize_t size, bint dotfiles) noexcept nogil:
    cdef Py_ssize_t start = 0
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t length
    while at <= size:
        if at < size and path[at] != c'/':
            at += 1
            continue
        length = at - start
        if length == 0 and at < size:
            return False
        if length and path[start] == c'.':
            if not dotfiles or length == 1 or (length == 2 and path[start + 1] == c'.'):
                return False
        at += 1
        start = at
    return True


cdef bytes with_slash(const unsigned char* path, Py_ssize_t size, bytes query):
    """Whoever stands in front of us may have taken a prefix away, so what is said does not begin at the root. The './' keeps a ':' in the
    name from being read as a scheme."""
    cdef Py_ssize_t start = size
    while start > 0 and path[start - 1] != c'/':
        start -= 1
    name = (<const char*>path)[start:size]
    quoted = b"".join([b"%c" % byte if byte in UNRESERVED else b"%%%02X" % byte for byte in name])
    return b"./" + quoted + b"/" + (b"" if query is None else b"?" + query)


def checked(bytes raw, bint dotfiles=False):
    """The decoded path below a root, or None if no file can be meant: for tests. raw: as it stands behind the '/' of the root."""
    cdef unsigned char path[PATH_ROOM]
    cdef bint odd
    cdef Py_ssize_t size = decode(<const unsigned char*>PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw), path, &odd)
    if odd or not is_clean(path, size, dotfiles):
        return None
    return (<const char*>path)[:size]
