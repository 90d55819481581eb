# The access log for compiled callers; access.pyx says what it does and promises.

from tricorn.log.access_line cimport Entry, LineFormat
from tricorn.log.access_writer cimport LineWriter
from tricorn.log.meter cimport Meter

cdef class AccessLog:
    cdef readonly long long lines       # recorded
    cdef readonly object recorder       # is told of each request, in Python, by who knows its context; None: nobody is
    cdef LineFormat _format             # None: no lines are made
    cdef LineWriter _writer             # None: the same
    cdef object _deliver                # gets each line, without its line break; None
    cdef Meter _meter                   # counts each request; None

    # Whether it wants to know how long a request was under way before.
    cdef inline bint tells_queued(self) noexcept:
        return self._format is not None and self._format.tells_queued

    cpdef int record(self, dict environ, str status, object headers, long long body_bytes,
                     long long duration_ns, double wall_time, long long queued_ns=*, str request_id=*) except -1
    cpdef int record_scope(self, dict scope, str uri, str protocol, str status, object headers, long long body_bytes,
                           long long duration_ns, double wall_time, long long queued_ns=*, str request_id=*) except -1
    cpdef int flush(self) except -1
    cpdef int forget(self) except -1
    cpdef int reopen(self, int fd) except -1

    cdef int _record(self, Entry* entry) except -1
    cdef int _append(self, Entry* entry) except -1
