# How urgent a message is (RFC 9218 §4), as a Priority field says it.

# What one side has said. Of what it has not said, -1.
cdef struct Priority:
    signed char urgency         # 0, the most urgent, to 7
    signed char incremental     # 1: it is of use before it is whole
    bint is_malformed           # a field of it is no dictionary, so none of it counts

cdef enum:
    USUAL_URGENCY = 3

cdef inline void say_nothing(Priority* said) noexcept:
    said.urgency = said.incremental = -1
    said.is_malformed = False

cdef inline bint says_something(Priority* said) noexcept:
    return said.urgency >= 0 or said.incremental >= 0

# What is not said is as usual (§4.1, §4.2).
cdef inline void complete(Priority* said) noexcept:
    if said.urgency < 0:
        said.urgency = USUAL_URGENCY
    if said.incremental < 0:
        said.incremental = 0

# A field, or another one of the same message: what it says counts more than what was said before.
cdef void read_priority(const unsigned char* text, Py_ssize_t size, Priority* said) noexcept
