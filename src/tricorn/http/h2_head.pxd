# Heads in HTTP/2's form: fields that come one by one become a RequestHead, a response becomes a list of fields.

cimport cython

from tricorn.http.buffer cimport Buffer
from tricorn.http.nghttp2 cimport nghttp2_nv
from tricorn.http.priority cimport Priority
from tricorn.http.request cimport Limits, RequestHead, Span
from tricorn.http.response cimport Defaults, Reply

# A request head, or trailers, while its fields come. One at a time: nothing comes between the frames of a field block.
@cython.final
@cython.no_gc
cdef class HeadReader:
    cdef RequestHead head           # None: what comes is not kept
    cdef Limits limits
    cdef int error                  # why it is refused: an index into REFUSALS; 0: it is not
    cdef unsigned int list_size     # as RFC 9113 §6.5.2 counts it
    cdef unsigned int most          # of that; 0: no limit of its own
    cdef int cookies
    cdef int fields                 # of trailers
    cdef int first_cookie           # where it stands among the fields
    cdef bint has_authority, has_method, has_path, has_scheme, has_protocol
    cdef bint has_priority          # it says how urgent it is (RFC 9218 §5) …
    cdef Priority asked             # … namely so
    cdef bint trailers

    cdef int begin(self, bint trailers) except -1
    # Keeps the first reason for which it is to be refused, and nothing behind that.
    cdef int take(self, const unsigned char* name, Py_ssize_t name_size, const unsigned char* value, Py_ssize_t value_size) except -1
    # All of it is here; is_over: all of the request is. Returns the head, which is the caller's; None: `error` says why.
    cdef RequestHead finish(self, bint is_over)
    # It is read no further.
    cdef void forget(self) noexcept

    cdef int _pseudo(self, const unsigned char* name, Py_ssize_t name_size, Span value) except -2
    cdef int _authority(self, Span value) except -2
    cdef int _host(self, Span value) noexcept
    cdef int _keep(self, const unsigned char* text, Py_ssize_t size, Span* span) except -1
    cdef int _take_trailer(self, const unsigned char* name, Py_ssize_t name_size, Py_ssize_t value_size) except -1
    cdef int _join_cookies(self) except -1
    cdef int _check(self) noexcept
    # Whether there is so much of it that it need not even be decoded on.
    cdef bint is_endless(self) noexcept

# It may be used for another request.
cdef int give_back(RequestHead head) except -1

# The fields of a response head or of trailers, names in lower case. They lie in one stretch of memory until begin() is called again.
@cython.final
@cython.no_gc
cdef class FieldList:
    cdef Buffer text
    cdef nghttp2_nv* fields
    cdef int count
    cdef int room
    cdef Priority said              # by a field of the application's

    cdef int begin(self) except -1
    cdef int _make_room(self) except -1
    cdef int add(self, const void* name, Py_ssize_t name_size, const void* value, Py_ssize_t value_size) except -1
    # Where they are, now that all are there.
    cdef nghttp2_nv* seal(self) noexcept

# These raise ResponseError, as those of response.pyx do.
cdef int list_head(FieldList out, Defaults defaults, str status, object headers, Reply* reply) except -1
cdef int list_interim(FieldList out, const char* status, object headers, bint octets) except -1
# names and values are bytes if `octets`
cdef int list_trailers(FieldList out, object headers, bint octets) except -1
# A response of our own; its body is `text` and a line break.
cdef int list_error(FieldList out, Defaults defaults, int status, Py_ssize_t length, bytes fields) except -1
