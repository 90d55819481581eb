from tricorn.http.buffer cimport Buffer

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
    unsigned char version       # of the request: 10, 11
    unsigned char is_head       # the request's method is HEAD
    unsigned char is_connect    # … or CONNECT
    unsigned char keep_alive    # the request allows it; out: the response too
    unsigned char octets        # the application speaks bytes (ASGI), not str (WSGI)
    # out
    short status
    unsigned char bodyless      # no body bytes follow, whatever the application says
    unsigned char chunked
    long long length            # of the body; in: if it is known, else -1; out: -1: not declared

cdef int write_head(Buffer out, Defaults defaults, str status, object headers, Reply* reply) except -1
cdef int write_interim(Buffer out, const char* status_line, object headers, bint octets) except -1
cdef int write_trailers(Buffer out, object headers) except -1
cdef int write_chunk_size(Buffer out, Py_ssize_t size) except -1
cdef int write_error(Buffer out, Defaults defaults, int status, bint is_head, bytes fields=*) except -1
