# The access log for compiled callers; access.pyx says what it does and promises.

from cpython.object cimport PyObject

# All pointers are borrowed: those of steps from `_kept`, the others for the time of one line.

cdef struct Key:
    # Where a value of the request stands.
    PyObject* environ   # key of the environ; NULL: there is no such value
    int place           # how to ask a scope
    PyObject* scope     # key of the scope
    const char* name    # lower-case name of a request header, with '_' for '-'
    Py_ssize_t length

cdef struct Step:
    int kind
    const char* text    # literal text, or the lower-case name of a response header
    Py_ssize_t length
    Key key
    Key other           # asked where `key` has nothing

cdef struct Entry:
    # What one line tells.
    PyObject* request   # the environ or the scope
    bint is_scope
    PyObject* fields    # of a scope: its headers, and what it has not, or NULL
    PyObject* uri
    PyObject* protocol
    PyObject* status
    PyObject* headers
    long long body_bytes
    long long duration_ns
    double wall_time

cdef struct Text:
    PyObject* value     # the object; NULL: absent
    const void* data    # NULL: absent, or not text
    Py_ssize_t length
    int kind            # RAW, or the width of its characters (1, 2, 4)

cdef class AccessLog:
    cdef readonly int fd
    cdef readonly long long lines     # recorded
    cdef readonly long long dropped   # of these, lost
    cdef Step* _steps
    cdef Py_ssize_t _step_count
    cdef list _kept
    cdef char* _joined  # several request fields of one name
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
    cpdef int record_scope(self, dict scope, str uri, str protocol, str status, object headers, long long body_bytes,
                           long long duration_ns, double wall_time) except -1
    cpdef int flush(self) except -1
    cpdef int forget(self) except -1
    cpdef int reopen(self, int fd) except -1

    cdef Key _key(self, str key) except *
    cdef bytes _keep(self, str text)
    cdef int _record(self, Entry* entry) except -1
    cdef char* _room(self, Py_ssize_t size) noexcept
    cdef int _line(self, Entry* entry) noexcept
    cdef int _step(self, Step* step, Entry* entry) noexcept
    cdef Text _find(self, Step* step, Entry* entry) noexcept
    cdef Text _look(self, Key* key, Entry* entry) noexcept
    cdef Text _request_header(self, Key* key, Entry* entry) noexcept
    cdef void _join(self, Text* found, Text* more, Key* key) noexcept
    cdef Py_ssize_t _append_joined(self, Py_ssize_t used, const void* data, Py_ssize_t length) noexcept
    cdef int _put(self, const char* text, Py_ssize_t length) noexcept
    cdef int _put_number(self, long long number) noexcept
    cdef int _put_decimal(self, long long duration_ns) noexcept
    cdef int _put_text(self, Text* text, int mode) noexcept
    cdef int _put_wide(self, Text* text, Py_ssize_t length, int mode) noexcept
    cdef int _put_status(self, Entry* entry, bint as_number) noexcept
    cdef int _put_user(self, Text* value) noexcept
    cdef int _put_json(self, Text* value) noexcept
    cdef int _put_environ(self, Text* value) noexcept
    cdef int _put_response_header(self, Step* step, Entry* entry) noexcept
    cdef int _put_time(self, double wall_time) noexcept
    cdef int _put_iso_time(self, double wall_time) noexcept
    cdef void _write_out(self) noexcept
    cdef void _shrink(self) noexcept
    cdef Py_ssize_t _piece(self, Py_ssize_t begin) noexcept
    cdef bint _writable(self) noexcept
    cdef void _drop(self, Py_ssize_t begin, int reason) noexcept
    cdef void _look_at_fd(self) noexcept
    cdef int _report(self) except -1
