"""A bounded table of field names as they are spelled on the wire.

The common names are recognised with one hash of eight bytes and one compare, which spares the engine their
validation and the gateway their transformation: it keeps its own keys beside the slots. New spellings are
learned until three quarters of the table are used; after that unknown names are handled without a slot, so
a client that invents names costs time, never memory.

Knows: names and what each means for framing. Must not know: environ keys or scope headers.
"""

from libc.string cimport memcpy, strlen

from tricorn.http.chars cimport TOKEN, classes

cdef NameSlot SLOTS[NAME_SLOTS]
cdef int USED = 0
cdef const unsigned char* CLASS = classes()

cdef struct Known:
    const char* name
    FieldKind kind

# Lower-case names that mean something to the engine. FRAMING: RFC 9110 section 6.5.1 forbids framing,
# routing and authentication fields in trailers; h1 knows those that are merely out of place there.
cdef Known[24] KNOWN = [
    Known(b"host", HOST_FIELD),
    Known(b"content-length", CONTENT_LENGTH),
    Known(b"transfer-encoding", TRANSFER_ENCODING),
    Known(b"connection", CONNECTION),
    Known(b"expect", EXPECT),
    Known(b"content-type", CONTENT_TYPE),
    Known(b"cookie", COOKIE),
    Known(b"forwarded", FORWARDED),
    Known(b"x-forwarded-for", FORWARDED),
    Known(b"x-forwarded-proto", FORWARDED),
    Known(b"x-forwarded-protocol", FORWARDED),
    Known(b"x-forwarded-ssl", FORWARDED),
    Known(b"x-forwarded-host", FORWARDED),
    Known(b"x-forwarded-port", FORWARDED),
    Known(b"x-forwarded-prefix", FORWARDED),
    Known(b"authorization", FRAMING),
    Known(b"proxy-authorization", FRAMING),
    Known(b"proxy-authenticate", FRAMING),
    Known(b"proxy-connection", FRAMING),
    Known(b"keep-alive", FRAMING),
    Known(b"te", FRAMING),
    Known(b"trailer", FRAMING),
    Known(b"upgrade", FRAMING),
    Known(b"max-forwards", FRAMING),
]


cdef struct Answer:
    const char* name
    AnswerKind kind

cdef Answer[11] ANSWERS = [
    Answer(b"content-length", LENGTH),
    Answer(b"date", DATE),
    Answer(b"server", SERVER),
    Answer(b"connection", OPTIONS),
    Answer(b"priority", PRIORITY),
    Answer(b"keep-alive", HOP_BY_HOP),
    Answer(b"proxy-connection", HOP_BY_HOP),
    Answer(b"te", HOP_BY_HOP),
    Answer(b"trailer", HOP_BY_HOP),
    Answer(b"transfer-encoding", HOP_BY_HOP),
    Answer(b"upgrade", HOP_BY_HOP),
]


cdef bint equals_lower(const unsigned char* text, Py_ssize_t length, const char* lower) noexcept nogil:
    """Whether `text` is `lower`, whatever its case. `lower` holds no upper-case letters."""
    cdef Py_ssize_t i
    cdef unsigned char c
    if <Py_ssize_t>strlen(lower) != length:
        return False
    for i in range(length):
        c = text[i]
        if c'A' <= c <= c'Z':
            c |= 0x20
        if c != <unsigned char>lower[i]:
            return False
    return True


cdef FieldKind kind_of(const unsigned char* name, Py_ssize_t length) noexcept nogil:
    cdef int i
    for i in range(24):
        if equals_lower(name, length, KNOWN[i].name):
            return KNOWN[i].kind
    return PLAIN


cdef AnswerKind answer_kind_of(const unsigned char* name, Py_ssize_t length) noexcept nogil:
    cdef int i
    for i in range(11):
        if equals_lower(name, length, ANSWERS[i].name):
            return ANSWERS[i].kind
    return ORDINARY


cdef NameSlot* name_slots() noexcept nogil:
    return SLOTS


cdef int learn_name(const unsigned char* name, Py_ssize_t length) noexcept nogil:
    global USED
    cdef Py_ssize_t i
    cdef unsigned int h
    cdef int probe
    cdef int index
    cdef bint underscore = False
    if length == 0:
        return -2
    for i in range(length):
        if not CLASS[name[i]] & TOKEN:
            return -2
        underscore |= name[i] == c'_'
    if length > NAME_LENGTH or USED >= NAME_SLOTS * 3 // 4:
        return -1
    h = name_hash(name, length)
    for probe in range(NAME_PROBES):
        index = (h + probe) & (NAME_SLOTS - 1)
        if SLOTS[index].length == 0:
            memcpy(SLOTS[index].text, name, length)
            SLOTS[index].kind = kind_of(name, length)
            SLOTS[index].answer = answer_kind_of(name, length)
            SLOTS[index].underscore = underscore
            SLOTS[index].length = <int>length
            USED += 1
            return index
    return -1


cdef void _teach():
    # What browsers, curl, proxies and HTTP libraries send, in the spellings that they use.
    names = (
        b"Accept Accept-Charset Accept-Encoding Accept-Language Access-Control-Request-Headers "
        b"Access-Control-Request-Method Authorization Cache-Control Connection Content-Encoding Content-Length "
        b"Content-Type Cookie DNT Date Expect Forwarded From Host If-Match If-Modified-Since If-None-Match "
        b"If-Range If-Unmodified-Since Keep-Alive Origin Pragma Priority Range Referer Sec-CH-UA "
        b"Sec-CH-UA-Mobile Sec-CH-UA-Platform Sec-Fetch-Dest Sec-Fetch-Mode Sec-Fetch-Site Sec-Fetch-User "
        b"Sec-GPC TE Traceparent Tracestate Trailer Transfer-Encoding Upgrade Upgrade-Insecure-Requests "
        b"User-Agent Via X-Api-Key X-Csrf-Token X-Forwarded-For X-Forwarded-Host X-Forwarded-Port "
        b"X-Forwarded-Prefix X-Forwarded-Proto X-Real-Ip X-Real-IP X-Request-Id X-Request-ID X-Requested-With"
    ).split()
    for name in names:
        find_name(SLOTS, <const unsigned char*>(<bytes>name), len(name))
        lower = (<bytes>name).lower()
        find_name(SLOTS, <const unsigned char*>(<bytes>lower), len(lower))


_teach()
