"""Priority fields: dictionaries of structured fields (RFC 8941 §3.2), of which two members mean something (RFC 9218 §4).

What is no dictionary says nothing at all; a member that is out of range, or of another type, is as if it were not there. nghttp2 has a
parser of its own, but does not lend it before 1.59, and leaves the whole field out for one such member.

Knows: the grammar, the two members. Must not know: whose field it is, what is done with it.
"""

from tricorn.http.chars cimport DIGIT, TOKEN, classes

cdef const unsigned char* CLASS = classes()

cdef enum:
    # RFC 8941 §3.3.1, §3.3.2
    MOST_DIGITS = 15
    MOST_DIGITS_OF_A_DECIMAL = 12
    MOST_DECIMAL_PLACES = 3

cdef enum Sort:
    INTEGER
    BOOLEAN
    ANOTHER     # of which only the grammar matters

cdef struct Item:
    Sort sort
    long long value

# Invariant: p <= end, and what is before p has been read.
cdef struct Text:
    const unsigned char* p
    const unsigned char* end


cdef void read_priority(const unsigned char* text, Py_ssize_t size, Priority* said) noexcept:
    cdef Text left = Text(text, text + size)
    cdef Priority found = said[0]
    if said.is_malformed:
        return
    if _dictionary(&left, &found):
        said[0] = found
    else:
        say_nothing(said)
        said.is_malformed = True


cdef bint _dictionary(Text* left, Priority* said) noexcept:
    """§4.2.2. Whether it is one."""
    cdef const unsigned char* key
    cdef Py_ssize_t size
    cdef Item item
    _skip(left, False)
    while left.p < left.end:
        key = left.p
        if not _key(left):
            return False
        size = left.p - key
        item = Item(BOOLEAN, True)
        if _takes(left, c'=') and not (_inner_list(left, &item) if _is_at(left, c'(') else _bare_item(left, &item)):
            return False
        if not _parameters(left):
            return False
        if size == 1:
            _note(said, key[0], &item)
        _skip(left, True)
        if left.p == left.end:
            return True
        if not _takes(left, c','):
            return False
        _skip(left, True)
        if left.p == left.end:
            return False        # a comma with nothing behind it
    return True


cdef void _note(Priority* said, unsigned char key, Item* item) noexcept:
    """Of one member that stands twice the last counts, and if that is wrong, none."""
    if key == c'u':
        said.urgency = <signed char>item.value if item.sort == INTEGER and 0 <= item.value <= 7 else -1
    elif key == c'i':
        said.incremental = <signed char>item.value if item.sort == BOOLEAN else -1


cdef inline bint _is_at(Text* left, unsigned char c) noexcept:
    return left.p < left.end and left.p[0] == c


cdef inline bint _takes(Text* left, unsigned char c) noexcept:
    if not _is_at(left, c):
        return False
    left.p += 1
    return True


cdef inline bint _is_digit(Text* left) noexcept:
    return left.p < left.end and CLASS[left.p[0]] & DIGIT != 0


cdef inline bint _is_lower(Text* left) noexcept:
    return left.p < left.end and c'a' <= left.p[0] <= c'z'


cdef void _skip(Text* left, bint tabs) noexcept:
    while left.p < left.end and (left.p[0] == c' ' or (tabs and left.p[0] == 9)):
        left.p += 1


cdef bint _key(Text* left) noexcept:
    if not (_is_lower(left) or _is_at(left, c'*')):
        return False
    left.p += 1
    while _is_lower(left) or _is_digit(left) or (
        left.p < left.end and (left.p[0] == c'_' or left.p[0] == c'-' or left.p[0] == c'.' or left.p[0] == c'*')
    ):
        left.p += 1
    return True


cdef bint _parameters(Text* left) noexcept:
    """§4.2.3.2. None of them means anything here."""
    cdef Item item
    while _takes(left, c';'):
        _skip(left, False)
        if not _key(left) or (_takes(left, c'=') and not _bare_item(left, &item)):
            return False
    return True


cdef bint _inner_list(Text* left, Item* item) noexcept:
    """§4.2.1.2. Its parameters are the caller's to read."""
    cdef Item member
    item.sort = ANOTHER
    left.p += 1
    while True:
        _skip(left, False)
        if _takes(left, c')'):
            return True
        if not _bare_item(left, &member) or not _parameters(left) or not (_is_at(left, c' ') or _is_at(left, c')')):
            return False


cdef bint _bare_item(Text* left, Item* item) noexcept:
    """§4.2.3.1"""
    cdef unsigned char first
    if left.p == left.end:
        return False
    first = left.p[0]
    if first == c'-' or CLASS[first] & DIGIT:
        return _number(left, item)
    if first == c'?':
        return _boolean(left, item)
    item.sort = ANOTHER
    if first == c'"':
        return _string(left)
    if first == c':':
        return _octets(left)
    if first == c'*' or c'A' <= first & 0xDF <= c'Z':
        while left.p < left.end and (CLASS[left.p[0]] & TOKEN or left.p[0] == c':' or left.p[0] == c'/'):
            left.p += 1
        return True
    return False


cdef bint _number(Text* left, Item* item) noexcept:
    cdef bint is_negative = _takes(left, c'-')
    cdef int digits = 0
    item.sort = INTEGER
    item.value = 0
    while _is_digit(left) and digits <= MOST_DIGITS:
        item.value = item.value * 10 + (left.p[0] - c'0')
        left.p += 1
        digits += 1
    if is_negative:
        item.value = -item.value
    if not 0 < digits <= MOST_DIGITS:
        return False
    if not _takes(left, c'.'):
        return True
    item.sort = ANOTHER
    if digits > MOST_DIGITS_OF_A_DECIMAL:
        return False
    digits = 0
    while _is_digit(left) and digits <= MOST_DECIMAL_PLACES:
        left.p += 1
        digits += 1
    return 0 < digits <= MOST_DECIMAL_PLACES


cdef bint _boolean(Text* left, Item* item) noexcept:
    left.p += 1
    item.sort = BOOLEAN
    item.value = _is_at(left, c'1')
    return _takes(left, c'1') or _takes(left, c'0')


cdef bint _string(Text* left) noexcept:
    left.p += 1
    while left.p < left.end:
        if _takes(left, c'"'):
            return True
        if _takes(left, c'\\') and not (_is_at(left, c'"') or _is_at(left, c'\\')):
            return False
        if not 0x20 <= left.p[0] < 0x7F:
            return False
        left.p += 1
    return False


cdef bint _octets(Text* left) noexcept:
    """Base64, which nobody decodes."""
    left.p += 1
    while left.p < left.end and left.p[0] != c':':
        if not (
            CLASS[left.p[0]] & DIGIT or c'A' <= left.p[0] & 0xDF <= c'Z' or left.p[0] == c'+' or left.p[0] == c'/' or left.p[0] == c'='
        ):
            return False
        left.p += 1
    return _takes(left, c':')
