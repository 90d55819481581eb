"""Conditional requests (RFC 9110 §13): whether a version of a representation is the one that a client speaks of.

Knows: entity-tags, the order in which conditions count. Must not know: files, who answers.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memcmp

from tricorn.http.dates cimport date_of


cdef Verdict judge(Asked asked, Version* version, long long now) except *:
    """RFC 9110 §13.2.2, in its order. A date that is none, or stands twice, is no condition (§13.1.3, §13.1.4)."""
    cdef long long since
    if asked.if_match is not None:
        if not _names(asked.if_match, version, True):
            return HAS_ANOTHER
    elif asked.if_unmodified_since is not None and version.modified >= 0:
        since = _date(asked.if_unmodified_since, now)
        if 0 <= since < version.modified:
            return HAS_ANOTHER
    if asked.if_none_match is not None:
        return HAS_IT if _names(asked.if_none_match, version, False) else GOES_ON
    if asked.if_modified_since is not None and version.modified >= 0:
        since = _date(asked.if_modified_since, now)
        if since >= version.modified:
            return HAS_IT
    return GOES_ON


cdef bint range_holds(Asked asked, Version* version, long long now) except -1:
    """RFC 9110 §13.1.5: what is compared must be strong, a date as well, which has to be the very one."""
    cdef bytes wanted = asked.if_range
    cdef const unsigned char* text
    if wanted is None:
        return True
    text = <const unsigned char*>PyBytes_AS_STRING(wanted)
    if text[0] == c'"' or (text[0] == c'W' and text[1] == c'/'):
        return _is_one_tag(wanted) and _names(wanted, version, True)
    return version.settled and version.modified >= 0 and _date(wanted, now) == version.modified


cdef long long _date(bytes text, long long now) noexcept:
    return date_of(<const unsigned char*>PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), now)


cdef bint _is_one_tag(bytes text):
    return text.count(b'"') == 2 and text.endswith(b'"')


cdef bint _names(bytes text, Version* version, bint strong) noexcept:
    """Whether a list of entity-tags has that of this version (RFC 9110 §8.8.3.2), or is '*'. strong: neither of the two may be weak.

    Where the list does not keep to its grammar it ends: what may stand behind that is not known.
    """
    cdef const unsigned char* p = <const unsigned char*>PyBytes_AS_STRING(text)
    cdef Py_ssize_t length = PyBytes_GET_SIZE(text)
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t start
    cdef bint weak
    if length == 1 and p[0] == c'*':
        return True
    while True:
        while at < length and (p[at] == c',' or p[at] == c' ' or p[at] == c'\t'):
            at += 1
        if at == length:
            return False
        weak = length - at > 2 and p[at] == c'W' and p[at + 1] == c'/'
        if weak:
            at += 2
        if p[at] != c'"':
            return False
        start = at
        at += 1
        while at < length and p[at] != c'"':
            at += 1
        if at == length:
            return False
        at += 1
        if at - start == version.size and memcmp(p + start, version.tag, version.size) == 0:
            if not strong or not (weak or version.weak):
                return True
        if at < length and p[at] != c',' and p[at] != c' ' and p[at] != c'\t':
            return False


# ---- for tests --------------------------------------------------------------------------------------------

def verdict(bytes tag, long long modified, long long now, dict fields):
    """"goes on", "has it" or "has another". tag: with its W/, if it is weak. fields: attributes of Asked."""
    cdef Version version
    cdef Asked asked = Asked.__new__(Asked)
    cdef bytes opaque = tag.removeprefix(b"W/")
    cdef Verdict found
    version.tag = <const unsigned char*>PyBytes_AS_STRING(opaque)
    version.size = PyBytes_GET_SIZE(opaque)
    version.weak = tag.startswith(b"W/")
    version.modified = modified
    version.settled = now - modified > 1
    asked.if_match = fields.get("if_match")
    asked.if_none_match = fields.get("if_none_match")
    asked.if_modified_since = fields.get("if_modified_since")
    asked.if_unmodified_since = fields.get("if_unmodified_since")
    asked.if_range = fields.get("if_range")
    if asked.if_range is not None:
        return "holds" if range_holds(asked, &version, now) else "whole"
    found = judge(asked, &version, now)
    return "goes on" if found == GOES_ON else "has it" if found == HAS_IT else "has another"
