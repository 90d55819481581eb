from tricorn.http.machine cimport ServerMachine
from tricorn.http.request cimport Limits

cdef class RequestReader:
    cdef readonly Limits limits
    cdef ServerMachine machine
    cdef bint packets

    cdef Py_ssize_t _head(self, list events, const unsigned char* data, Py_ssize_t size) except -1
    cdef Py_ssize_t _body(self, list events, const unsigned char* data, Py_ssize_t size) except -1
    cdef int _end(self, list events, tuple trailers) except -1
