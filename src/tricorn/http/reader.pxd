from tricorn.http.h1 cimport BodyDecoder
from tricorn.http.request cimport Limits, RequestHead

cdef class RequestReader:
    cdef readonly Limits limits
    cdef readonly bint is_closed
    cdef RequestHead head           # incomplete, with a copy of its bytes
    cdef BodyDecoder decoder        # of the body being read
    cdef bint last                  # no request follows the one being read

    cdef bint _parsed(self, list events, RequestHead head) except -1
    cdef Py_ssize_t _body(self, list events, const unsigned char* data, Py_ssize_t size) except -1
    cdef int _end(self, list events, tuple trailers) except -1
    cdef int _refuse(self, list events, int error) except -1
