from tricorn.gateway.exchange cimport Exchange

cdef class StreamInput:
    cdef Exchange exchange
    cdef bytes buffer       # read from the exchange, not yet by the application
    cdef Py_ssize_t start   # of what is left in it
    cdef bint at_end
    cdef bint reading       # a thread is in the exchange for it

    cdef bint _fill(self) except -1
    cdef bytes _take(self, Py_ssize_t size)

cdef class EmptyInput:
    pass
