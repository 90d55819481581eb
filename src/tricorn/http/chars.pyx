"""Classes of bytes, as the RFCs name them. Knows: grammar. Must not know: who reads what."""

cdef unsigned char CLASS[256]


cdef void _mark(bytes members, unsigned char bit):
    for byte in members:
        CLASS[<unsigned char>byte] |= bit


cdef void _fill():
    cdef int i
    letters = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    digits = b"0123456789"
    _mark(b"!#$%&'*+-.^_`|~" + digits + letters, TOKEN)
    _mark(digits + b"abcdefABCDEF", HEX)
    _mark(digits, DIGIT)
    _mark(digits + letters + b"-._~!$&'()*+,;=", HOST)
    for i in range(256):
        if i == 9 or (i >= 32 and i != 127):
            CLASS[i] |= VALUE
            if i != 0x22 and i != 0x5C:
                CLASS[i] |= QUOTED


_fill()


cdef const unsigned char* classes() noexcept nogil:
    return CLASS


cdef int hex_value(unsigned char c) noexcept nogil:
    """The value of a hexadecimal digit, -1 for any other byte."""
    if c'0' <= c <= c'9':
        return c - c'0'
    c |= 0x20
    if c'a' <= c <= c'f':
        return c - c'a' + 10
    return -1
