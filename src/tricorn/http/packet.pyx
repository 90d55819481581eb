"""Request heads as packets: what a gateway in front (nginx's uwsgi_pass) says of its client's request, by CGI's names.

    modifier1 (a byte, 0), size (two bytes, the low one first), modifier2 (a byte); then so many bytes of variables, each:
    length (two bytes), name, length (two bytes), value

https://uwsgi-docs.readthedocs.io/en/latest/Protocol.html; RFC 3875 §4.1. The body of CONTENT_LENGTH bytes follows.

The plan. A packet becomes the same RequestHead as the lines of HTTP/1 and the fields of HTTP/2. HTTP_… is a field again, by its name on the
wire, and goes through the same checks as any other (place_field); so do method, target and lengths. So limits, trust, probes, routes and
builders are one code. All other variables stand behind the fields, for whoever makes something of them.

Guarantees: nothing is read before all of the packet is here, and nothing beyond it; each byte is looked at so many times, however long the
packet is (64 KiB at most); a variable that comes twice counts the second time, as in uWSGI: so a line of a gateway's configuration changes
what one above it says. Fields of the client's may come twice, and both count.

Knows: packets, CGI's names. Must not know: sockets, clocks, who reads the head.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcmp, memset

from tricorn.http.chars cimport TOKEN, classes, hex_value
from tricorn.http.h1 cimport (
    BAD_ADDRESS, BAD_HOST, BAD_METHOD, BAD_PATH_INFO, BAD_SCRIPT_NAME, BAD_TARGET, BAD_VALUE, BAD_VARIABLE,
    CONNECTION_UPGRADE, CUT_VARIABLE, DONE, LONG_HEAD, LONG_REQUEST_LINE, MANY_VARIABLES, MORE, NONE, NO_METHOD, NO_TARGET,
    OTHER_MODIFIER, REFUSED, SPEAKS_HTTP, SPEAKS_TLS_TO_IT, place_field, place_target,
)
from tricorn.http.names cimport equals_lower
from tricorn.http.request cimport BODY_LENGTH, Field, Limits, RequestHead, Span

cdef extern from "scan.h" nogil:
    bint is_text(const unsigned char* p, Py_ssize_t n)
    const unsigned char* scan_target(const unsigned char* p, const unsigned char* end)

cdef const unsigned char* CLASS = classes()

cdef enum:
    HEADER = 4
    REQUEST = 0             # modifier1
    TLS_HANDSHAKE = 22
    MOST_VARIABLES = 1000   # nginx sends some 15, and one for each field; as many as in Gunicorn
    LONGEST_METHOD = 32
    LONGEST_ADDRESS = 64

# What is made of a variable here.
cdef enum Variable:
    OTHER = 0
    LENGTH_OF_BODY          # the first three are fields
    TYPE_OF_BODY
    HOST
    METHOD
    TARGET
    PATH
    MOUNT
    QUERY
    PROTOCOL
    ADDRESS
    PORT
    SECURE
    SCHEME
    GIVEN_SCHEME            # by whoever has configured the gateway: it comes before the others
    VARIABLES

cdef struct Known:
    const char* name
    unsigned int size
    Variable means

cdef enum:
    KNOWN_COUNT = 15
    FIELDS = 3

cdef Known[15] KNOWN = [
    Known(b"CONTENT_LENGTH", 14, LENGTH_OF_BODY),
    Known(b"CONTENT_TYPE", 12, TYPE_OF_BODY),
    Known(b"HTTP_HOST", 9, HOST),
    Known(b"REQUEST_METHOD", 14, METHOD),
    Known(b"REQUEST_URI", 11, TARGET),
    Known(b"PATH_INFO", 9, PATH),
    Known(b"SCRIPT_NAME", 11, MOUNT),
    Known(b"QUERY_STRING", 12, QUERY),
    Known(b"SERVER_PROTOCOL", 15, PROTOCOL),
    Known(b"REMOTE_ADDR", 11, ADDRESS),
    Known(b"REMOTE_PORT", 11, PORT),
    Known(b"HTTPS", 5, SECURE),
    Known(b"REQUEST_SCHEME", 14, SCHEME),
    Known(b"UWSGI_SCHEME", 12, GIVEN_SCHEME),
    Known(b"wsgi.url_scheme", 15, GIVEN_SCHEME),        # as Gunicorn has it
]

# What a gateway calls the versions of HTTP. What it calls otherwise is taken for 1.1.
cdef struct Version:
    const char* name
    unsigned int size
    int number

cdef Version[6] VERSIONS = [
    Version(b"HTTP/1.1", 8, 11), Version(b"HTTP/1.0", 8, 10), Version(b"HTTP/2.0", 8, 20), Version(b"HTTP/2", 6, 20),
    Version(b"HTTP/3.0", 8, 30), Version(b"HTTP/3", 6, 30),
]

# The last value of each. is_there: 1, also if it is empty. name: of the first ones, which are fields.
cdef struct Said:
    Span name[FIELDS + 1]
    Span value[VARIABLES]
    unsigned char is_there[VARIABLES]


cdef bint is_no_packet(int error) noexcept:
    return error >= SPEAKS_HTTP


cdef inline int _refuse(RequestHead head, int error) noexcept:
    head.error = error
    return REFUSED


cdef int parse_packet(RequestHead head, Limits limits) except -2:
    cdef const unsigned char* p = head.data
    cdef unsigned int size
    cdef int error
    if p[0] != REQUEST:
        return _refuse(head, _stranger(p[0]))
    if head.size < HEADER:
        return MORE
    size = <unsigned int>p[1] + 256 * <unsigned int>p[2]
    if size > limits.head:
        return _refuse(head, LONG_HEAD)
    if head.size < HEADER + size:
        return MORE
    head.end = HEADER + size
    # We answer as in HTTP/1.0: a gateway knows no chunks, no interim responses, and takes no second request.
    head.version = 10
    head.keep_alive = False
    head.keep()         # names are changed where they stand
    error = _read(head, head.end, limits)
    return _refuse(head, error) if error else DONE


cdef int _stranger(unsigned char first) noexcept:
    """Somebody who speaks something else shows it in the first byte: methods have capital letters."""
    if c'A' <= first <= c'Z':
        return SPEAKS_HTTP
    return SPEAKS_TLS_TO_IT if first == TLS_HANDSHAKE else OTHER_MODIFIER


# ---- one variable after the other ------------------------------------------------------------------------


cdef int _read(RequestHead head, unsigned int end, Limits limits) except -2:
    cdef Said said
    cdef Span name
    cdef Span value
    cdef unsigned int at = HEADER
    cdef int count = 0
    cdef int error
    memset(&said, 0, sizeof(said))
    while at < end:
        error = _variable(head, &at, end, &name, &value)
        if error == NONE and count == MOST_VARIABLES:
            error = MANY_VARIABLES
        if error:
            return error
        _note(head, name, value, &said)
        count += 1
    error = _take_fields(head, &said, end, limits)
    if error == NONE:
        error = _tell(head, &said, limits)
    return error if error else _keep_variables(head, end)


cdef int _variable(RequestHead head, unsigned int* at, unsigned int end, Span* name, Span* value) noexcept:
    cdef const unsigned char* p
    cdef unsigned int i
    if not _text(head, at, end, name) or not _text(head, at, end, value):
        return CUT_VARIABLE
    p = head.data + name.start
    for i in range(name.length):
        if not 0x20 < p[i] < 0x7F:
            return BAD_VARIABLE
    return NONE if name.length else BAD_VARIABLE


cdef bint _text(RequestHead head, unsigned int* at, unsigned int end, Span* text) noexcept:
    """False: it is longer than what is there."""
    cdef const unsigned char* p = head.data + at[0]
    if end - at[0] < 2:
        return False
    text.start = at[0] + 2
    text.length = <unsigned int>p[0] + 256 * <unsigned int>p[1]
    if text.length > end - text.start:
        return False
    at[0] = text.start + text.length
    return True


cdef inline bint _is_field(const unsigned char* p, unsigned int size) noexcept:
    return size > 5 and memcmp(p, b"HTTP_", 5) == 0


cdef Variable _meaning(const unsigned char* p, unsigned int size) noexcept:
    cdef int i
    for i in range(KNOWN_COUNT):
        if size == KNOWN[i].size and memcmp(p, KNOWN[i].name, size) == 0:
            return KNOWN[i].means
    return OTHER


cdef int _note(RequestHead head, Span name, Span value, Said* said) noexcept:
    cdef int means = <int>_meaning(head.data + name.start, name.length)
    said.value[means] = value
    said.is_there[means] = 1
    if OTHER < means <= FIELDS:
        said.name[means] = name
    return 0


cdef int _take_fields(RequestHead head, Said* said, unsigned int end, Limits limits) except -2:
    cdef Span name
    cdef Span value
    cdef unsigned int at = HEADER
    cdef int means
    cdef int error = NONE
    for means in range(1, FIELDS + 1):
        if said.value[means].length or (means == HOST and said.is_there[means]):
            error = _field(head, said.name[means], said.value[means], means == HOST, limits)
        if error:
            return error
    while at < end:
        _text(head, &at, end, &name)
        _text(head, &at, end, &value)
        if _is_other_field(head.data + name.start, name.length):
            error = _field(head, name, value, True, limits)
        if error:
            return error
    return NONE


cdef inline bint _is_other_field(const unsigned char* p, unsigned int size) noexcept:
    """Beside Host, one of which may be in small letters already."""
    return _is_field(p, size) and not (size == 9 and (memcmp(p + 5, b"HOST", 4) == 0 or memcmp(p + 5, b"host", 4) == 0))


cdef int _field(RequestHead head, Span name, Span value, bint is_clients, Limits limits) except -2:
    """A field of the request. Its name gets back what CGI has made of it (RFC 3875 §4.1.18). is_clients: it is called HTTP_…."""
    cdef unsigned char* p
    cdef unsigned int i
    if is_clients:
        name.start += 5
        name.length -= 5
    p = head.owned + name.start
    for i in range(name.length):
        if p[i] == c'_':
            p[i] = c'-'
        elif c'A' <= p[i] <= c'Z':
            p[i] |= 0x20
    if is_clients and _is_about_body(p, name.length):
        return NONE
    p = head.owned + value.start
    while value.length and (p[0] == c' ' or p[0] == 9):
        p += 1
        value.start += 1
        value.length -= 1
    while value.length and (p[value.length - 1] == c' ' or p[value.length - 1] == 9):
        value.length -= 1
    if not is_text(p, value.length):
        return BAD_VALUE
    return place_field(head, name, value, limits)


cdef bint _is_about_body(const unsigned char* p, unsigned int size) noexcept:
    """The gateway has read the body, whatever its framing was, and says in CONTENT_LENGTH and CONTENT_TYPE what we get of it."""
    return (
        equals_lower(p, size, b"content-length") or equals_lower(p, size, b"content-type") or equals_lower(p, size, b"transfer-encoding")
    )


# ---- what they say together ------------------------------------------------------------------------------


cdef int _tell(RequestHead head, Said* said, Limits limits) except -2:
    cdef int error
    head.spoken = _version(head, said.value[<int>PROTOCOL])
    error = _method(head, said.value[<int>METHOD])
    if error == NONE:
        error = _target(head, said, limits)
    if error == NONE:
        error = _query(head, said)
    if error == NONE:
        error = _path(head, said)
    if error == NONE:
        error = _client(head, said)
    if error:
        return error
    head.is_secure = _is_secure(head, said)
    head.wants_upgrade = head.spoken == 11 and head.connection & CONNECTION_UPGRADE != 0
    if head.hosts > 1:
        return BAD_HOST
    if head.content_length:
        head.framing = BODY_LENGTH
    return NONE


cdef int _version(RequestHead head, Span value) noexcept:
    cdef int i
    for i in range(6):
        if value.length == VERSIONS[i].size and memcmp(head.data + value.start, VERSIONS[i].name, value.length) == 0:
            return VERSIONS[i].number
    return 11


cdef int _method(RequestHead head, Span value) noexcept:
    cdef const unsigned char* p = head.data + value.start
    cdef unsigned int i
    if value.length == 0:
        return NO_METHOD
    if value.length > LONGEST_METHOD:
        return BAD_METHOD
    for i in range(value.length):
        if not CLASS[p[i]] & TOKEN:
            return BAD_METHOD
    head.method = value
    head.is_head = value.length == 4 and memcmp(p, b"HEAD", 4) == 0
    return NONE


cdef int _target(RequestHead head, Said* said, Limits limits) except -2:
    """REQUEST_URI is what the client has written. A gateway need not pass it on."""
    cdef Span target = said.value[<int>TARGET]
    cdef Span query = said.value[<int>QUERY]
    if target.length == 0:
        if not said.is_there[<int>PATH]:
            return NO_TARGET
        made = _quoted(head, said.value[<int>MOUNT]) + _quoted(head, said.value[<int>PATH]) or b"/"
        _append(head, made + b"?" + head.raw(query) if query.length else made, &target)
    elif head.data[target.start] == c'?':
        # Of http://a.example?b nginx says this much. Its path is empty, which is / (RFC 9110 §4.2.3).
        _append(head, b"/" + head.raw(target), &target)
    if target.length > limits.request_line:
        return LONG_REQUEST_LINE
    head.target = target
    return place_target(head, target)


cdef int _query(RequestHead head, Said* said) noexcept:
    """QUERY_STRING, which the gateway may have changed."""
    cdef Span query = said.value[<int>QUERY]
    cdef const unsigned char* end = head.data + query.start + query.length
    cdef const unsigned char* p
    if not said.is_there[<int>QUERY]:
        return NONE
    p = scan_target(head.data + query.start, end)
    while p < end and p[0] == c'?':
        p = scan_target(p + 1, end)
    if p < end:
        return BAD_TARGET
    head.query = query
    head.has_query = query.length > 0
    return NONE


cdef int _path(RequestHead head, Said* said) except -2:
    """`head.path` becomes all of the path, below where the application is mounted (`head.script`), as it would stand in a target.

    PATH_INFO is decoded, and what the gateway has made of the path. Mostly it says the same as REQUEST_URI, which then stays as the
    client has written it. Where it does so although SCRIPT_NAME is set, the gateway has not cut that off, and it is cut off here: so does
    uWSGI if it is told to (manage-script-name).
    """
    cdef Span mount = said.value[<int>MOUNT]
    cdef Span path = said.value[<int>PATH]
    cdef const unsigned char* p = head.data + mount.start
    head.script.length = 0
    while mount.length and p[mount.length - 1] == c'/':
        mount.length -= 1
    if mount.length and p[0] != c'/':
        return BAD_SCRIPT_NAME
    if head.path.length == 1 and head.data[head.path.start] == c'*':
        # The server as a whole (RFC 9110 §9.3.7) is mounted nowhere.
        return NONE if not said.is_there[<int>PATH] or _says(head, head.path, 1, path) else BAD_PATH_INFO
    head.script = mount
    if not said.is_there[<int>PATH]:
        if mount.length and not _is_below(head, head.path, mount, True):
            _append(head, _quoted(head, mount) + head.raw(head.path), &head.path)
        return NONE
    p = head.data + path.start
    if path.length and p[0] != c'/':
        return BAD_PATH_INFO
    if _says(head, head.path, head.path.length, path) and (mount.length == 0 or _is_below(head, path, mount, False)):
        return NONE
    if not _says_both(head, mount, path):
        _append(head, _quoted(head, mount) + _quoted(head, path), &head.path)
    return NONE


cdef bint _says_both(RequestHead head, Span mount, Span path) noexcept:
    """Whether the target's path is these two, one behind the other."""
    cdef Span rest = head.path
    cdef Py_ssize_t used = _matches(head, head.path, mount)
    if used < 0:
        return False
    rest.start += <unsigned int>used
    rest.length -= <unsigned int>used
    return _says(head, rest, rest.length, path)


cdef inline bint _says(RequestHead head, Span quoted, unsigned int size, Span text) noexcept:
    """Whether all of the first, decoded, is the second."""
    return _matches(head, quoted, text) == <Py_ssize_t>size


cdef Py_ssize_t _matches(RequestHead head, Span quoted, Span text) noexcept:
    """How many bytes of the first are all of the second, when they are decoded (as decoded_path() does that); -1: they are not."""
    cdef const unsigned char* p = head.data + quoted.start
    cdef const unsigned char* q = head.data + text.start
    cdef Py_ssize_t i = 0
    cdef unsigned int k
    cdef int high
    cdef int low
    cdef unsigned char c
    for k in range(text.length):
        if i == quoted.length:
            return -1
        c = p[i]
        i += 1
        if c == c'%' and quoted.length - i >= 2:
            high = hex_value(p[i])
            low = hex_value(p[i + 1])
            if high >= 0 and low >= 0:
                c = <unsigned char>(high * 16 + low)
                i += 2
        if c != q[k]:
            return -1
    return i


cdef bint _is_below(RequestHead head, Span path, Span mount, bint is_quoted) noexcept:
    """Whether a path begins with that, up to the end of a segment."""
    cdef Py_ssize_t used
    if is_quoted:
        used = _matches(head, path, mount)
    else:
        used = mount.length
        if path.length < mount.length or memcmp(head.data + path.start, head.data + mount.start, mount.length) != 0:
            return False
    return used >= 0 and (used == path.length or head.data[path.start + used] == c'/')


cdef bytes _quoted(RequestHead head, Span text):
    """Percent-encoded where a path could not hold it (RFC 3986 §3.3)."""
    cdef const unsigned char* p = head.data + text.start
    cdef bytes made = PyBytes_FromStringAndSize(NULL, 3 * <Py_ssize_t>text.length)
    cdef unsigned char* to = <unsigned char*>PyBytes_AS_STRING(made)
    cdef Py_ssize_t size = 0
    cdef unsigned int i
    cdef unsigned char c
    for i in range(text.length):
        c = p[i]
        if 0x20 < c < 0x7F and c != c'%' and c != c'?' and c != c'#':
            to[size] = c
            size += 1
        else:
            to[size] = c'%'
            to[size + 1] = _digit(c >> 4)
            to[size + 2] = _digit(c & 15)
            size += 3
    return made[:size]


cdef inline unsigned char _digit(unsigned char value) noexcept:
    return <unsigned char>(c'0' + value if value < 10 else c'A' + value - 10)


cdef int _append(RequestHead head, bytes text, Span* place) except -1:
    """Behind everything; what of the message stands behind the head stays so."""
    cdef unsigned int size = <unsigned int>PyBytes_GET_SIZE(text)
    place.start = head.size
    place.length = size
    head.append(<const unsigned char*>PyBytes_AS_STRING(text), size)
    head.end += size
    return 0


cdef int _client(RequestHead head, Said* said) noexcept:
    """The log has the address as it is here."""
    cdef Span address = said.value[<int>ADDRESS]
    cdef Span port = said.value[<int>PORT]
    cdef const unsigned char* p = head.data + address.start
    cdef unsigned int i
    if address.length > LONGEST_ADDRESS:
        return BAD_ADDRESS
    for i in range(address.length):
        if not 0x20 < p[i] < 0x7F:
            return BAD_ADDRESS
    head.address = address
    head.port = _number(head.data + port.start, port.length)
    return NONE


cdef int _number(const unsigned char* p, unsigned int size) noexcept:
    """Of a port; -1: it is none."""
    cdef int value = 0
    cdef unsigned int i
    if not 0 < size <= 5:
        return -1
    for i in range(size):
        if not c'0' <= p[i] <= c'9':
            return -1
        value = value * 10 + (p[i] - c'0')
    return value if value <= 65535 else -1


cdef bint _is_secure(RequestHead head, Said* said) noexcept:
    cdef Span value = said.value[<int>GIVEN_SCHEME]
    cdef const unsigned char* p
    if value.length:
        return equals_lower(head.data + value.start, value.length, b"https")
    value = said.value[<int>SECURE]
    p = head.data + value.start
    if equals_lower(p, value.length, b"on") or equals_lower(p, value.length, b"1") or equals_lower(p, value.length, b"true"):
        return True
    value = said.value[<int>SCHEME]
    return equals_lower(head.data + value.start, value.length, b"https")


# ---- what is for others to read --------------------------------------------------------------------------


cdef int _keep_variables(RequestHead head, unsigned int end) except -2:
    """All that are no fields stand behind these."""
    cdef Span name
    cdef Span value
    cdef Field* kept
    cdef const unsigned char* p
    cdef unsigned int at = HEADER
    cdef int fields = head.count
    while at < end:
        _text(head, &at, end, &name)
        _text(head, &at, end, &value)
        p = head.data + name.start
        if _is_field(p, name.length) or equals_lower(p, name.length, b"content-length") or equals_lower(p, name.length, b"content-type"):
            continue
        if name.length == 14 and memcmp(p, b"CONTENT_LENGTH", 14) == 0 or name.length == 12 and memcmp(p, b"CONTENT_TYPE", 12) == 0:
            continue        # an empty one
        kept = head.add_field()
        kept.name = name
        kept.value = value
        kept.slot = -1
    head.params = head.count - fields
    head.count = fields
    return NONE
