cdef enum:
    PATH_ROOM = 4096    # of a decoded path with its NUL: no name of a file may be longer (PATH_MAX)

# The percent-decoded path, with a NUL behind it. Returns its length. odd: no file can be meant: what came encoded would be read as
# another path than it looks like, or it is too long, and only its beginning is here.
cdef Py_ssize_t decode(const unsigned char* raw, Py_ssize_t size, unsigned char* out, bint* odd) noexcept nogil
# Whether a path is a prefix, or below it. prefix: without a '/' at its end.
cdef bint is_below(const unsigned char* path, Py_ssize_t size, bytes prefix) noexcept
# Whether each segment is a name that is there to be found: none is empty (but the last one), '.' or '..', and none begins with a '.',
# unless such are wanted.
cdef bint is_clean(const unsigned char* path, Py_ssize_t size, bint dotfiles) noexcept nogil
# The last segment of a path as a relative reference to the directory of that name, with its query if it has one: where a client is sent
# that has left out the '/' (RFC 3986 §4.2, §5.2).
cdef bytes with_slash(const unsigned char* path, Py_ssize_t size, bytes query)
