# Classes of bytes. One table, one bit for each class: a test is one load and one AND.

cdef enum:
    TOKEN = 1           # RFC 9110 section 5.6.2: tchar
    HEX = 2
    DIGIT = 4
    HOST = 8            # RFC 3986 section 3.2.2: unreserved / sub-delims, the bytes of a reg-name but '%'
    VALUE = 16          # what a field value may hold: VCHAR / SP / HTAB / obs-text
    QUOTED = 32         # RFC 9110 section 5.6.4: qdtext

cdef const unsigned char* classes() noexcept nogil
cdef int hex_value(unsigned char c) noexcept nogil
