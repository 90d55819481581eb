"""What a request says of the representation that it wants: conditions, ranges, codings.

It is taken from the head once, because that is gone when the application has answered.

Knows: heads, RFC 9110. Must not know: files, what the fields say.
"""

from libc.string cimport memcmp

from tricorn.http.names cimport equals_lower
from tricorn.http.request cimport Field, RequestHead


cdef Asked read_asked(RequestHead head):
    cdef Asked asked = Asked.__new__(Asked)
    cdef Field* field
    cdef const unsigned char* name
    cdef unsigned int n
    cdef int i
    asked.is_get = not head.is_head
    if head.has_query:
        asked.query = head.raw(head.query)
    for i in range(head.count):
        field = &head.fields[i]
        n = field.name.length
        name = head.data + field.name.start
        if n == 15 and equals_lower(name, 15, b"accept-encoding"):
            asked.accept_encoding = _listed(asked.accept_encoding, head, field)
        elif n == 13 and equals_lower(name, 13, b"if-none-match"):
            asked.if_none_match = _listed(asked.if_none_match, head, field)
        elif n == 17 and equals_lower(name, 17, b"if-modified-since"):
            asked.if_modified_since = _only(asked.if_modified_since, head, field)
        elif n == 5 and equals_lower(name, 5, b"range"):
            asked.range = _only(asked.range, head, field)
        elif n == 8 and equals_lower(name, 8, b"if-range"):
            asked.if_range = _only(asked.if_range, head, field)
        elif n == 8 and equals_lower(name, 8, b"if-match"):
            asked.if_match = _listed(asked.if_match, head, field)
        elif n == 19 and equals_lower(name, 19, b"if-unmodified-since"):
            asked.if_unmodified_since = _only(asked.if_unmodified_since, head, field)
    return asked


cdef Asked read_asked_of_any(RequestHead head):
    cdef Asked asked
    if head.is_head or (head.method.length == 3 and memcmp(head.data + head.method.start, b"GET", 3) == 0):
        return read_asked(head)
    asked = Asked.__new__(Asked)
    asked.is_get = True
    return asked


cdef bytes _listed(bytes before, RequestHead head, Field* field):
    """RFC 9110 §5.3: several fields are one list. (Of a head with a hundred fields at most, and one that is bounded.)"""
    value = head.raw(field.value)
    return value if before is None else before + b"," + value


cdef bytes _only(bytes before, RequestHead head, Field* field):
    """It must not stand twice: then it is neither of them, but something that no rule takes."""
    return head.raw(field.value) if before is None else b""
