# Field names are recognised by their bytes, without copying or changing case.

cdef enum:
    NAME_SLOTS = 512    # a power of two
    NAME_LENGTH = 48    # longer names are not kept
    NAME_PROBES = 8

# What the engine itself has to know about a field.
cdef enum FieldKind:
    PLAIN = 0
    HOST_FIELD
    CONTENT_LENGTH
    TRANSFER_ENCODING
    CONNECTION
    EXPECT
    CONTENT_TYPE
    COOKIE
    FORWARDED           # Forwarded, X-Forwarded-*: they count only from trusted peers
    FRAMING             # other fields that must not stand in trailers

# What it has to know about a field of a response.
cdef enum AnswerKind:
    ORDINARY = 0
    LENGTH
    DATE
    SERVER
    OPTIONS             # Connection
    HOP_BY_HOP          # ours to set or omit, never the application's (PEP 3333, RFC 9110 §7.6.1)

cdef struct NameSlot:
    int length          # 0: free
    FieldKind kind
    AnswerKind answer
    bint underscore     # the name has a '_'
    unsigned char text[NAME_LENGTH]

cdef NameSlot* name_slots() noexcept nogil
# The slot of a name, -1 if it is valid but not kept, -2 if it is no token.
cdef int find_name(const unsigned char* name, Py_ssize_t length) noexcept nogil
# Kind of a name that has no slot.
cdef FieldKind kind_of(const unsigned char* name, Py_ssize_t length) noexcept nogil
# What it means in a response.
cdef AnswerKind answer_kind_of(const unsigned char* name, Py_ssize_t length) noexcept nogil
cdef bint equals_lower(const unsigned char* text, Py_ssize_t length, const char* lower) noexcept nogil
