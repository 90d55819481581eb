# The format of a line for compiled callers; access_line.pyx says what it does and promises.

from cpython.object cimport PyObject

from tricorn.log.line_buffer cimport LineBuffer

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
    long long queued_ns # before the application got it; -1: nobody has said
    PyObject* request_id    # a str; NULL: it has none

cdef struct Text:
    PyObject* value     # the object; NULL: absent
    const void* data    # NULL: absent, or not text
    Py_ssize_t length
    int kind            # RAW, or the width of its characters (1, 2, 4)

# A borrowed value of a dict, or NULL; nothing is raised.
cdef PyObject* item_of(PyObject* mapping, PyObject* key) noexcept

cdef class LineFormat:
    cdef Step* _steps
    cdef Py_ssize_t _step_count
    cdef readonly bint tells_queued     # how long a request was under way before
    cdef list _kept
    cdef char* _joined  # several request fields of one name
    cdef long long _time_second
    cdef char[40] _time_text
    cdef Py_ssize_t _time_length
    cdef long long _iso_second
    cdef char[24] _iso_text

    cdef int append(self, LineBuffer* line, Entry* entry) noexcept

    cdef Key _key(self, str key) except *
    cdef bytes _keep(self, str text)
    cdef int _step(self, LineBuffer* line, Step* step, Entry* entry) noexcept
    cdef Text _find(self, Step* step, Entry* entry) noexcept
    cdef Text _look(self, Key* key, Entry* entry) noexcept
    cdef Text _request_header(self, Key* key, Entry* entry) noexcept
    cdef void _join(self, Text* found, Text* more, Key* key) noexcept
    cdef Py_ssize_t _append_joined(self, Py_ssize_t used, const void* data, Py_ssize_t length) noexcept
    cdef int _put_time(self, LineBuffer* line, double wall_time) noexcept
    cdef bint _has_time(self, double wall_time) noexcept
    cdef int _put_iso_time(self, LineBuffer* line, double wall_time) noexcept
