# The access log for compiled callers; access.pyx says what it does and promises.

from cpython.object cimport PyObject

cdef struct Step:
    int kind
    const char* text    # literal text, or the lower-case name of a response header; borrowed from `_kept`
    Py_ssize_t length
    PyObject* key       # key of the environ; borrowed from `_kept`

cdef class AccessLog:
    cdef readonly int fd
    cdef readonly long long lines     # recorded
    cdef readonly long long dropped   # of these, lost
    cdef Step* _steps
    cdef Py_ssize_t _step_count
    cdef list _kept
    cdef bint _in_pieces
    cdef char* _data
    cdef Py_ssize_t _capacity
    cdef Py_ssize_t _used
    cdef bint _mid_line
    cdef bint _torn
    cdef int _last_errno
    cdef long long _reported
    cdef double _reported_at
    cdef long long _time_second
    cdef char[40] _time_text
    cdef Py_ssize_t _time_length
    cdef long long _iso_second
    cdef char[24] _iso_text

    cpdef int record(self, dict environ, str status, object headers, long long body_bytes,
                     long long duration_ns, double wall_time) except -1
    cpdef int flush(self) except -1
    cpdef int reopen(self, int fd) except -1

    cdef char* _room(self, Py_ssize_t size)
    cdef int _line(self, dict environ, str status, object headers, long long body_bytes,
                   long long duration_ns, double wall_time)
    cdef int _step(self, Step* step, dict environ, str status, object headers, long long body_bytes,
                   long long duration_ns, double wall_time)
    cdef int _put(self, const char* text, Py_ssize_t length)
    cdef int _put_number(self, long long number)
    cdef int _put_decimal(self, long long duration_ns)
    cdef int _put_text(self, PyObject* value, int mode)
    cdef int _put_wide(self, PyObject* value, Py_ssize_t length, int mode)
    cdef int _put_status(self, str status, bint as_number)
    cdef int _put_user(self, PyObject* value)
    cdef int _put_request(self, dict environ)
    cdef int _put_json(self, PyObject* value)
    cdef int _put_environ(self, dict environ, PyObject* key)
    cdef int _put_response_header(self, object headers, const char* name, Py_ssize_t length)
    cdef int _put_time(self, double wall_time)
    cdef int _put_iso_time(self, double wall_time)
    cdef void _write_out(self) noexcept
    cdef void _shrink(self) noexcept
    cdef Py_ssize_t _piece(self, Py_ssize_t begin) noexcept
    cdef bint _writable(self) noexcept
    cdef void _drop(self, Py_ssize_t begin, int reason) noexcept
    cdef void _look_at_fd(self) noexcept
    cdef int _report(self) except -1
