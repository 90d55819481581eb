# What a response may say, whatever version of HTTP carries it (RFC 9110): its status, its fields.

from cpython.object cimport PyObject

from tricorn.http.names cimport AnswerKind, NameSlot, answer_kind_of, find_name

cdef extern from "Python.h":
    PyObject* PyTuple_GET_ITEM(object, Py_ssize_t)
    Py_ssize_t PyTuple_GET_SIZE(object)
    bint PyUnicode_IS_COMPACT_ASCII(object)
    unsigned char* PyUnicode_1BYTE_DATA(object)
    Py_ssize_t PyUnicode_GET_LENGTH(object)

cdef extern from "scan.h" nogil:
    bint is_text(const unsigned char* p, Py_ssize_t n)

# What is looked at, for messages. In the order of PARTS.
cdef enum Part:
    STATUS = 0
    HEADER_NAME
    HEADER_VALUE
    TRAILER_NAME
    TRAILER_VALUE

# A field that passed every check. What it points to belongs to the pair that it was made of.
cdef struct CheckedField:
    const unsigned char* name
    Py_ssize_t name_size
    const unsigned char* value
    Py_ssize_t value_size
    AnswerKind kind

# All of these raise ResponseError.
cdef const unsigned char* unusual_text(object text, Py_ssize_t* length, Part part) except NULL
cdef const unsigned char* octets_of(object data, Py_ssize_t* length, Part part) except NULL
cdef tuple unusual_pair(object header, bint octets)
cdef int refuse_field(CheckedField* field, int slot, Part part) except -1
# The status in front of a reason.
cdef int status_code(const unsigned char* p, Py_ssize_t n) except -1
# The value of Content-Length, which is declared once.
cdef int take_length(CheckedField* field, long long* declared) except -1
# Whether the options of a Connection field want the connection to end.
cdef bint says_close(const unsigned char* value, Py_ssize_t size)
cdef int check_trailer(CheckedField* field) except -1

# The bytes of a string; every character of it must be below U+0100 (PEP 3333, "Unicode Issues").
cdef inline const unsigned char* latin1_of(object text, Py_ssize_t* length, Part part) except NULL:
    if type(text) is str and PyUnicode_IS_COMPACT_ASCII(text):
        length[0] = PyUnicode_GET_LENGTH(text)
        return PyUnicode_1BYTE_DATA(text)
    return unusual_text(text, length, part)

# A header as a tuple that owns its two strings while they are looked at. Calls no code of a subclass.
cdef inline tuple pair_of(object header, bint octets):
    if type(header) is tuple and PyTuple_GET_SIZE(header) == 2:
        return <tuple>header
    return unusual_pair(header, octets)

# pair: of a name and a value, bytes if `octets`, else str. names: name_slots(). part: HEADER_NAME or TRAILER_NAME.
cdef inline int check_field(tuple pair, bint octets, NameSlot* names, Part part, CheckedField* field) except -1:
    cdef int slot
    if octets:
        field.name = octets_of(<object>PyTuple_GET_ITEM(pair, 0), &field.name_size, part)
        field.value = octets_of(<object>PyTuple_GET_ITEM(pair, 1), &field.value_size, <Part>(part + 1))
    else:
        field.name = latin1_of(<object>PyTuple_GET_ITEM(pair, 0), &field.name_size, part)
        field.value = latin1_of(<object>PyTuple_GET_ITEM(pair, 1), &field.value_size, <Part>(part + 1))
    slot = find_name(names, field.name, field.name_size)
    if slot == -2 or not is_text(field.value, field.value_size):
        refuse_field(field, slot, part)
    field.kind = names[slot].answer if slot >= 0 else answer_kind_of(field.name, field.name_size)
    return 0
