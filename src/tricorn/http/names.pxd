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
    PRIORITY            # passed on, and heeded (RFC 9218 §5)
    HOP_BY_HOP          # ours to set or omit, never the application's (PEP 3333, RFC 9110 §7.6.1)

cdef struct NameSlot:
    int length          # 0: free
    FieldKind kind
    AnswerKind answer
    bint underscore     # the name has a '_'
    unsigned char text[NAME_LENGTH]

cdef NameSlot* name_slots() noexcept nogil
# Validate a name that is not in the table, and keep it if there is room. As `find_name`.
cdef int learn_name(const unsigned char* name, Py_ssize_t length) noexcept nogil

cdef extern from "scan.h" nogil:
    bint same_bytes(const unsigned char* a, const unsigned char* b, Py_ssize_t n)
    unsigned int name_hash(const unsigned char* name, Py_ssize_t n)

# The slot of a name in `slots`, which are name_slots(); -1 if it is valid but not kept, -2 if it is no token.
cdef inline int find_name(NameSlot* slots, const unsigned char* name, Py_ssize_t length) noexcept nogil:
    cdef unsigned int h
    cdef int probe
    cdef int index
    if 0 < length <= NAME_LENGTH:
        h = name_hash(name, length)
        for probe in range(NAME_PROBES):
            index = (h + probe) & (NAME_SLOTS - 1)
            if slots[index].length == length and same_bytes(slots[index].text, name, length):
                return index
            if slots[index].length == 0:
                break
    return learn_name(name, length)

# Kind of a name that has no slot.
cdef FieldKind kind_of(const unsigned char* name, Py_ssize_t length) noexcept nogil
# What it means in a response.
cdef AnswerKind answer_kind_of(const unsigned char* name, Py_ssize_t length) noexcept nogil
cdef bint equals_lower(const unsigned char* text, Py_ssize_t length, const char* lower) noexcept nogil
