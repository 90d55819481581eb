"""What a response may say, whatever version of HTTP carries it: its status and its fields (RFC 9110).

Nothing that an application hands over reaches the wire unchecked: a CR or LF in a value would let whoever
controls the value write headers or whole responses of his own.

Knows: RFC 9110's rules for what is sent, the forms in which applications hand it over. Must not know: how it is written.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from tricorn.http.chars cimport DIGIT, classes
from tricorn.http.names cimport ORDINARY, PLAIN, PRIORITY, kind_of

from tricorn.http.errors import ResponseError

cdef extern from "Python.h":
    tuple PyList_AsTuple(object)
    tuple PyTuple_GetSlice(object, Py_ssize_t, Py_ssize_t)
    int PyUnicode_KIND(object)
    unsigned char* PyUnicode_1BYTE_DATA(object)
    Py_ssize_t PyUnicode_GET_LENGTH(object)

cdef extern from "scan.h" nogil:
    bint is_text(const unsigned char* p, Py_ssize_t n)

cdef const unsigned char* CLASS = classes()


cdef tuple PARTS = ("the status", "a header name", "a header value", "a trailer name", "a trailer value")


cdef const unsigned char* unusual_text(object text, Py_ssize_t* length, Part part) except NULL:
    if type(text) is not str and not isinstance(text, str):
        raise ResponseError(f"{PARTS[<int>part]} must be str, not {type(text).__name__}")
    if PyUnicode_KIND(text) != 1:
        raise ResponseError(f"{PARTS[<int>part]} contains characters outside Latin-1")
    length[0] = PyUnicode_GET_LENGTH(text)
    return PyUnicode_1BYTE_DATA(text)


cdef const unsigned char* octets_of(object data, Py_ssize_t* length, Part part) except NULL:
    """The bytes that an ASGI application hands over (ASGI, "HTTP & WebSocket": byte strings)."""
    if type(data) is not bytes and not isinstance(data, bytes):
        raise ResponseError(f"{PARTS[<int>part]} must be bytes, not {type(data).__name__}")
    length[0] = PyBytes_GET_SIZE(data)
    return <const unsigned char*>PyBytes_AS_STRING(data)


cdef tuple unusual_pair(object header, bint octets):
    cdef tuple pair = None
    if octets and isinstance(header, list):
        pair = PyList_AsTuple(header)
    elif octets and isinstance(header, tuple):
        pair = PyTuple_GetSlice(header, 0, 3)       # of a third item only its presence counts
    if pair is not None and len(pair) == 2:
        return pair
    raise ResponseError("each header must be a tuple of a name and a value")


cdef int refuse_field(CheckedField* field, int slot, Part part) except -1:
    kind = "trailer" if part == TRAILER_NAME else "header"
    name = _shown(field)
    if slot == -2:
        raise ResponseError(f"the {kind} name {name} is not a token (RFC 9110 §5.6.2)")
    raise ResponseError(f"the value of the {kind} {name} contains control characters (RFC 9110 §5.5)")


cdef int check_trailer(CheckedField* field) except -1:
    if kind_of(field.name, field.name_size) == PLAIN and (field.kind == ORDINARY or field.kind == PRIORITY):
        return 0
    raise ResponseError(
        f"the field {_shown(field)} is not allowed in trailers: it is about framing, routing or authentication "
        "(RFC 9110 §6.5.1)"
    )


cdef str _shown(CheckedField* field):
    """A name for a message: quoted, and not all of it if it is long."""
    return repr((<const char*>field.name)[:min(field.name_size, 60)].decode("latin-1"))


cdef int status_code(const unsigned char* p, Py_ssize_t n) except -1:
    cdef int code
    if n < 3 or not (CLASS[p[0]] & CLASS[p[1]] & CLASS[p[2]] & DIGIT) or (n > 3 and p[3] != c' '):
        raise ResponseError("the status must be three digits, a space and a reason")
    if not is_text(p, n):
        raise ResponseError("the status contains control characters")
    code = (p[0] - c'0') * 100 + (p[1] - c'0') * 10 + (p[2] - c'0')
    if code < 200:
        raise ResponseError("the status of a final response cannot be below 200")
    return code


cdef int take_length(CheckedField* field, long long* declared) except -1:
    cdef const unsigned char* p = field.value
    cdef long long value = 0
    cdef Py_ssize_t i
    if declared[0] >= 0:
        raise ResponseError("Content-Length is given twice")
    if field.value_size == 0 or field.value_size > 18:
        raise ResponseError("Content-Length is not a number of at most 18 digits")
    for i in range(field.value_size):
        if not CLASS[p[i]] & DIGIT:
            raise ResponseError("Content-Length is not a number")
        value = value * 10 + (p[i] - c'0')
    declared[0] = value
    return 0


cdef bint says_close(const unsigned char* value, Py_ssize_t size):
    text = (<const char*>value)[:size].lower().replace(b" ", b"").replace(b"\t", b"")
    return b"close" in text.split(b",")
