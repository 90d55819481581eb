cimport cython

from tricorn.gateway.exchange cimport AsyncExchange, Exchange

cdef enum Outcome:
    COMPLETE = 0
    PAUSED = 1          # the client is slow: call `resume` when it has caught up

cdef class FileWrapper:
    cdef readonly object filelike
    cdef readonly Py_ssize_t blksize

@cython.final
cdef class WSGICall:
    cdef void* vectorcall           # PEP 590
    cdef Exchange exchange
    cdef object context             # of this request's context variables
    cdef object iterable
    cdef object iterator
    cdef readonly str status
    cdef readonly list headers
    cdef list trailers              # pairs of bytes that follow the body; None: there are none
    cdef bint sent                  # the head is out, or on its way
    cdef bint ended                 # the response is decided: nothing comes behind it
    cdef bint busy                  # the exchange is at it: nobody may call it from inside of itself

    cdef object start_response(self, status, headers, exc_info)
    cdef object write(self, data)
    cdef int run(self, object application, dict environ, object context) except -1
    cdef int resume(self) except -1
    cdef int _failed(self) except -1
    cdef int _deliver(self, object iterable) except -1
    cdef int _deliver_whole(self, list pieces) except -1
    cdef int _iterate(self) except -1
    cdef int _put(self, bytes piece, long long length) except -1
    cdef bint _put_file(self, object file) except -1
    cdef int _finish(self) except -1
    cdef Exchange _enter(self)
    cdef int _close(self) except -1
    cdef int abandon(self) except -1
    cdef int early_hints(self, headers) except -1
    cdef int add_trailers(self, headers) except -1
    cdef long long _whole(self, Py_ssize_t size) noexcept
