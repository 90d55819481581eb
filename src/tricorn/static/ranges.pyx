"""The Range field: which bytes of a representation a client asks for (RFC 9110 §14.1.2, §14.2).

Guarantees: work is linear in the bytes of the field, and what is answered is never longer than the representation: ranges that
overlap, or have so little between them that another part would be longer, become one, and a field with many of them is ignored (RFC 9110
§17.15).

Knows: numbers. Must not know: requests, files.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from tricorn.http.names cimport equals_lower

cdef enum:
    # Bytes that the head of a part takes; what lies closer together goes into one (RFC 9110 §14.2).
    GAP = 80

cdef long long FAR = 1 << 62
# That there is no number.
cdef long long ABSENT = -1


cdef Reading read_ranges(const unsigned char* text, Py_ssize_t length, long long size, Stretches* found) noexcept nogil:
    """What does not keep to the grammar is ignored, as are units that we do not know."""
    cdef Py_ssize_t at = 0
    cdef int asked = 0
    cdef long long first
    cdef long long last
    found.count = 0
    if length < 6 or not equals_lower(text, 6, b"bytes="):    # in any case (RFC 9110 §14.1)
        return WHOLE
    at = 6
    while True:
        while at < length and (text[at] == c',' or text[at] == c' ' or text[at] == c'\t'):
            at += 1
        if at == length:
            break
        asked += 1
        if asked > MOST_RANGES:
            return WHOLE
        first = _number(text, length, &at)
        if at == length or text[at] != c'-':
            return WHOLE
        at += 1
        last = _number(text, length, &at)
        while at < length and (text[at] == c' ' or text[at] == c'\t'):
            at += 1
        if at < length and text[at] != c',':
            return WHOLE
        if (first == ABSENT and last == ABSENT) or (first != ABSENT and last != ABSENT and first > last):
            return WHOLE
        _add(found, first, last, size)
    if asked == 0:
        return WHOLE
    if found.count == 0:
        return NONE_OF_IT
    _join(found)
    return SOME


cdef long long _number(const unsigned char* text, Py_ssize_t length, Py_ssize_t* at) noexcept nogil:
    """What is beyond all sizes is the largest of them."""
    cdef long long value = ABSENT
    while at[0] < length and c'0' <= text[at[0]] <= c'9':
        value = max(value, <long long>0)
        value = FAR if value >= FAR // 10 else value * 10 + (text[at[0]] - c'0')
        at[0] += 1
    return value


cdef void _add(Stretches* found, long long first, long long last, long long size) noexcept nogil:
    """Unless nothing of it is there."""
    cdef Stretch* place = &found.all[found.count]
    if first == ABSENT:
        first = size - min(last, size)      # the last so many bytes
        last = size - 1
    elif last == ABSENT or last >= size:
        last = size - 1
    if first > last or first >= size:
        return
    place.start = first
    place.size = last - first + 1
    found.count += 1


cdef void _join(Stretches* found) noexcept nogil:
    """They stay in the order that was asked for, unless some become one."""
    cdef Stretches sorted = found[0]
    cdef Stretch next
    cdef Stretch* last
    cdef int i
    cdef int at
    cdef int kept = 1
    for i in range(1, sorted.count):        # at most MOST_RANGES of them
        next = sorted.all[i]
        at = i
        while at > 0 and sorted.all[at - 1].start > next.start:
            sorted.all[at] = sorted.all[at - 1]
            at -= 1
        sorted.all[at] = next
    for i in range(1, sorted.count):
        last = &sorted.all[kept - 1]
        next = sorted.all[i]
        if next.start <= last.start + last.size + GAP:
            last.size = max(last.size, next.start + next.size - last.start)
        else:
            sorted.all[kept] = next
            kept += 1
    if kept < found.count:
        sorted.count = kept
        found[0] = sorted


def stretches(bytes field, long long size):
    """(start, size) of each that a field comes to; None: it is ignored; none: nothing of it is there. For tests."""
    cdef Stretches found
    cdef Reading reading = read_ranges(
        <const unsigned char*>PyBytes_AS_STRING(field), PyBytes_GET_SIZE(field), size, &found
    )
    if reading == WHOLE:
        return None
    return [(found.all[i].start, found.all[i].size) for i in range(found.count if reading == SOME else 0)]
