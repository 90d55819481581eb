cimport cython

from tricorn.http.request cimport RequestHead
from tricorn.static.asked cimport Asked
from tricorn.static.beneath cimport Facts, Way
from tricorn.static.caching cimport Caching

# A directory that is open. Whoever opens a file below it holds it: the descriptor is closed with it, and never while somebody uses it.
@cython.final
@cython.no_gc
cdef class Root:
    cdef int fd
    cdef Way way
    cdef Facts facts

# A whole response, as far as it does not depend on how it is carried. The body is in `parts`, in its order: bytes, or (offset, size) of the
# file. Of HEAD there are none, though `length` is what GET would bring.
@cython.final
@cython.no_gc
cdef class Answer:
    cdef readonly str status
    cdef readonly list fields       # pairs of bytes
    cdef readonly long long length
    cdef readonly tuple parts
    cdef int fd                     # of the file, where a part is a stretch of it; else -1. Closed with the answer, unless it is taken
    # There is a stretch: how the file was found, and what it was
    cdef Root root
    cdef bytes name
    cdef Facts facts

    cdef int take(self) noexcept
    cdef void close(self) noexcept
    # The file, once more: a descriptor of the caller's; -1: it is another one by now, or cannot be opened.
    cdef int again(self) noexcept

# Files below one directory, at one prefix of paths.
@cython.final
cdef class Mount:
    cdef readonly bytes prefix      # without a '/' at its end
    cdef readonly str directory
    cdef bytes path                 # the same, for the system
    cdef Root root                  # None: it cannot be opened
    cdef long long looked_at        # when the directory was looked at, s
    cdef long long complained_at    # when it was told that something cannot be opened

    cdef str name(self)
    # The directory as it is now; None: it is not there.
    cdef Root look(self, long long second)

cdef class StaticFiles:
    cdef readonly tuple mounts      # Mount, the longest prefix first
    cdef bytes index                # empty: there is none
    cdef readonly bint falls_through
    cdef bint dotfiles
    cdef Caching caching
    cdef dict types                 # as types.table() has it
    cdef object logger

    # The answer to a request; None: it is the application's to answer. second: since the epoch.
    cdef Answer answer(self, RequestHead head, long long second)
    # … to one whose application names a file: by a path as in a URL, below a prefix, or by one of the system, in a directory. kind: its type;
    # None: what its name says. None: there is no such file, or none that may be named.
    cdef Answer named(self, bytes name, bint is_url, Asked asked, bytes kind, long long second)
    cdef Mount _mount_of(self, const unsigned char* path, Py_ssize_t size)
    cdef Answer _find(self, Mount mount, unsigned char* path, Py_ssize_t size, RequestHead head, long long second)
    cdef Answer _to_slash(
        self, Mount mount, Root root, unsigned char* path, Py_ssize_t size, Py_ssize_t start, RequestHead head)
    cdef Answer _of(
        self, Mount mount, Root root, unsigned char* path, Py_ssize_t size, Py_ssize_t start, Asked asked, Answer held, Facts* facts,
        long long second)
    cdef int _open(self, Mount mount, Root root, const unsigned char* name, Facts* facts) except -3
    cdef bytes _choose(
        self, Mount mount, Root root, unsigned char* path, Py_ssize_t size, Py_ssize_t start, Asked asked, Answer held, Facts* facts)
    cdef tuple _type_of(self, const unsigned char* path, Py_ssize_t size)

# Says no more than that there is nothing.
cdef Answer nothing(bint has_body)
cdef Answer of_file(
    Answer held, Facts* facts, Asked asked, bytes kind, bytes coding, bytes control, bint varies, long long second)
