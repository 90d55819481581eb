from tricorn.http.buffer cimport Buffer
from tricorn.http.fields cimport CheckedField, says_close, take_length
from tricorn.http.names cimport DATE, LENGTH, OPTIONS, ORDINARY, PRIORITY, SERVER

cdef enum:
    STATUS_ROOM = 64

# What the fields that we add ourselves look like now.
cdef class Defaults:
    cdef bytes server           # b"Server: name\r\n", or empty
    cdef char date[37]          # b"Date: " + IMF-fixdate + CR LF
    cdef Buffer block           # both
    cdef long long second       # which second `date` is for
    cdef unsigned char status_line[STATUS_ROOM]     # the last one that was written, with its CR LF
    cdef Py_ssize_t status_size                     # of it
    cdef int status

    cdef void refresh(self, long long second) noexcept

# How one response is framed: in from the request, out from the head.
cdef struct Reply:
    # in
    unsigned char version       # of the request: 10, 11, 20
    unsigned char is_head       # the request's method is HEAD
    unsigned char is_connect    # … or CONNECT
    unsigned char keep_alive    # the request allows it; out: the response too
    unsigned char octets        # the application speaks bytes (ASGI), not str (WSGI)
    # out
    short status
    unsigned char bodyless      # no body bytes follow, whatever the application says
    unsigned char chunked
    long long length            # of the body; in: if it is known, else -1; out: -1: not declared

# What a field of the application's says.
cdef enum:
    HAS_DATE = 1
    HAS_SERVER = 2
    WANTS_CLOSE = 4
    IS_WRITTEN = 8      # to be sent as it is

# What to do with a field that has been checked. declared: the length that those before have declared, or -1. Raises ResponseError.
cdef inline int judge(CheckedField* field, Reply* reply, long long* declared) except -1:
    if field.kind == ORDINARY:
        return IS_WRITTEN
    if field.kind == LENGTH:
        take_length(field, declared)
        # RFC 9110 §8.6: none in 1xx, 204, 2xx to CONNECT.
        if reply.status < 200 or reply.status == 204 or (reply.is_connect and reply.status < 300):
            return 0
        return IS_WRITTEN
    if field.kind == DATE:
        return IS_WRITTEN | HAS_DATE
    if field.kind == SERVER:
        return IS_WRITTEN | HAS_SERVER
    if field.kind == PRIORITY:
        return IS_WRITTEN
    if field.kind == OPTIONS and says_close(field.value, field.value_size):
        return WANTS_CLOSE
    return 0

# Whether we say how long a body is. (An empty one in answer to HEAD says nothing about what GET would bring.)
cdef inline bint tells_length(Reply* reply) noexcept:
    return not reply.bodyless or (reply.is_head and reply.length > 0 and reply.status != 204 and reply.status != 304)

# Write a number that ends at `end`. Returns where it begins. (snprintf takes five times as long.)
cdef inline char* put_decimal(char* end, long long value) noexcept:
    while True:
        end -= 1
        end[0] = <char>(c'0' + value % 10)
        value //= 10
        if value == 0:
            return end

cdef int write_head(Buffer out, Defaults defaults, str status, object headers, Reply* reply) except -1
cdef int write_interim(Buffer out, const char* status_line, object headers, bint octets) except -1
cdef int write_trailers(Buffer out, object headers) except -1
cdef int write_chunk_size(Buffer out, Py_ssize_t size) except -1
cdef int write_error(Buffer out, Defaults defaults, int status, bint is_head, bytes fields=*) except -1
