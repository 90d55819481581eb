"""Opening what is below a directory, and nothing else.

The kernel does it, since 5.6, in one call: openat2(2) with RESOLVE_BENEATH looks at each step where it is, so that no link and no `..` in a link
leads out of the root, also while somebody moves directories or replaces names by links. Links that stay inside are followed. Where the call is
not there (an older kernel, or a filter that refuses what it does not know), the same is done by hand: each directory is opened from the one
before without following links, a link is read and its target put in its place, and a `..` of a target goes back to the descriptor that was come
from, which is where it is, whatever was renamed meanwhile.

A path may have to wait for a disk. What the kernel has in its cache it gives at once, under the GIL, which costs less than to give that away
(RESOLVE_CACHED since 5.12, RWF_NOWAIT since 4.14); only where it says that it would have to wait, it is asked again without the GIL.

Knows: descriptors, names of files. Must not know: URLs, who asks, what is done with a file.
"""

from libc.errno cimport (
    EAGAIN, EINTR, EINVAL, EIO, ELOOP, EMFILE, ENAMETOOLONG, ENFILE, ENOENT, ENOMEM, ENOTDIR, EXDEV, errno,
)
from libc.string cimport memcpy, memmove, strlen

cdef extern from *:
    cdef struct stat_t "stat":
        pass
    int fstat_of "tricorn_fstat"(int, Facts*) nogil
    int openat2_of "tricorn_openat2"(int, const char*, unsigned long long, unsigned long long) nogil
    ssize_t read_cached "tricorn_read_cached"(int, void*, size_t, long long) nogil
    void told "tricorn_told"(const stat_t*, Facts*) nogil
    int READING "TRICORN_READING", WALKING "TRICORN_WALKING", CACHED "TRICORN_CACHED"
    int O_NOFOLLOW, O_DIRECTORY, O_RDONLY, O_CLOEXEC, O_PATH, ESTALE

cdef extern from "<fcntl.h>" nogil:
    int openat(int, const char*, int, ...)
    int c_open "open"(const char*, int, ...)

cdef extern from "<sys/stat.h>" nogil:
    int c_stat "stat"(const char*, stat_t*)

cdef extern from "<unistd.h>" nogil:
    int close(int)
    ssize_t pread(int, void*, size_t, long)
    ssize_t readlinkat(int, const char*, char*, size_t)

cdef enum:
    ROOM = 4096         # PATH_MAX
    NAME_ROOM = 256     # NAME_MAX and a NUL
    DEEPEST = 64        # directories below the root, by hand
    MOST_LINKS = 40     # as many as the kernel follows
    MOST_TRIES = 16     # of a call that a rename elsewhere has disturbed


cdef Way way_of(int root) noexcept:
    """Asked once, with a name that is there."""
    cdef int fd = openat2_of(root, b".", O_PATH | O_DIRECTORY | O_CLOEXEC, CACHED)
    if fd < 0 and errno != EAGAIN:
        fd = openat2_of(root, b".", O_PATH | O_DIRECTORY | O_CLOEXEC, 0)
        if fd < 0:
            return BY_HAND
        close(fd)
        return BY_KERNEL
    if fd >= 0:
        close(fd)
    return BY_CACHE


cdef int open_beneath(int root, const char* path, Way way) noexcept:
    cdef int fd = -1
    cdef int error = EAGAIN
    cdef int tries = 0
    if way == BY_CACHE:
        fd = openat2_of(root, path, READING, CACHED)
        error = errno
    if fd < 0 and error == EAGAIN:
        with nogil:
            while fd < 0 and tries < MOST_TRIES and (error == EAGAIN or error == EINTR):
                fd = _open_by_hand(root, path) if way == BY_HAND else openat2_of(root, path, READING, 0)
                error = errno
                tries += 1
    if fd >= 0:
        return fd
    errno_set(error)
    return NOT_NOW if _is_ours(error) else NOT_THERE


cdef bint _is_ours(int error) noexcept:
    """Whether the request could be served another time: all else says that there is no such file, or none for us."""
    return error == EMFILE or error == ENFILE or error == ENOMEM or error == EIO or error == EAGAIN or error == EINTR or error == ESTALE


cdef extern from *:
    """
    static inline void tricorn_set_errno(int error) { errno = error; }
    """
    void errno_set "tricorn_set_errno"(int) nogil


cdef int _open_by_hand(int root, const char* path) noexcept nogil:
    cdef char[ROOM] left        # of the path, from here on
    cdef int[DEEPEST] came      # the directories in which we are, from the root's on
    cdef int depth = 0
    cdef int links = 0
    cdef int fd = -1
    cdef int error = 0
    if strlen(path) >= ROOM:
        errno_set(ENAMETOOLONG)
        return -1
    memcpy(left, path, strlen(path) + 1)
    came[0] = root
    while error == 0 and fd < 0:
        error = _step(left, came, &depth, &links, &fd)
    while depth > 0:
        close(came[depth])
        depth -= 1
    errno_set(error)
    return fd


cdef int _step(char* left, int* came, int* depth, int* links, int* fd) noexcept nogil:
    """The next segment. fd: of the last one, when that is open. Returns an errno, or 0."""
    cdef char[NAME_ROOM] name
    cdef int next
    cdef int error
    cdef bint is_last = _take_name(left, name, &error)
    if error:
        return error
    if name[0] == 0 or (name[0] == c'.' and name[1] == 0):
        if not is_last:
            return 0
        fd[0] = openat(came[depth[0]], b".", READING | O_DIRECTORY)
        return errno if fd[0] < 0 else 0
    if name[0] == c'.' and name[1] == c'.' and name[2] == 0:
        if depth[0] == 0:
            return EXDEV        # out of the root
        close(came[depth[0]])
        depth[0] -= 1
        if not is_last:
            return 0
        fd[0] = openat(came[depth[0]], b".", READING | O_DIRECTORY)
        return errno if fd[0] < 0 else 0
    next = openat(came[depth[0]], name, READING | O_NOFOLLOW if is_last else WALKING)
    if next < 0:
        error = errno
        if error != ELOOP and error != ENOTDIR:
            return error
        return _follow(left, came[depth[0]], name, links, is_last, error)
    if is_last:
        fd[0] = next
        return 0
    if depth[0] == DEEPEST - 1:
        close(next)
        return ENAMETOOLONG
    depth[0] += 1
    came[depth[0]] = next
    return 0


cdef bint _take_name(char* left, char* name, int* error) noexcept nogil:
    """Take the first segment off. Whether it was the last one; behind a '/' there is another, which may be empty."""
    cdef size_t begin = 0
    cdef size_t end
    cdef bint is_last
    while left[begin] == c'/':
        begin += 1
    end = begin
    while left[end] != 0 and left[end] != c'/':
        end += 1
    error[0] = 0
    if end - begin >= NAME_ROOM:
        error[0] = ENAMETOOLONG
        return False
    memcpy(name, left + begin, end - begin)
    name[end - begin] = 0
    is_last = left[end] == 0
    while left[end] == c'/':
        end += 1
    memmove(left, left + end, strlen(left + end) + 1)
    return is_last


cdef int _follow(char* left, int directory, const char* name, int* links, bint is_last, int error) noexcept nogil:
    """Put the target of a link in its place. error: what is said if it is none. Returns an errno, or 0."""
    cdef char[ROOM] target
    cdef size_t rest = strlen(left)
    cdef ssize_t size = readlinkat(directory, name, target, ROOM - 1)
    if size < 0:
        return error if errno == EINVAL else errno
    if size == 0:
        return ENOENT
    if target[0] == c'/':
        return EXDEV            # it begins where we must not be
    links[0] += 1
    if links[0] > MOST_LINKS:
        return ELOOP
    if size + 1 + rest >= ROOM:
        return ENAMETOOLONG
    if not is_last:
        memmove(left + size + 1, left, rest + 1)
        left[size] = c'/'
    else:
        left[size] = 0
    memcpy(left, target, size)
    return 0


cdef ssize_t read_at(int fd, unsigned char* place, size_t size, long long offset) noexcept:
    cdef ssize_t n = read_cached(fd, place, size, offset)
    cdef ssize_t all = n if n > 0 else 0
    cdef int error = 0
    if all == <ssize_t>size:
        return all
    with nogil:
        while all < <ssize_t>size:
            n = pread(fd, place + all, size - all, <long>(offset + all))
            if n < 0 and errno == EINTR:
                continue
            if n <= 0:
                error = errno if n < 0 else 0
                break
            all += n
    if error:
        errno_set(error)
        return -1
    return all


cdef int facts_of(int fd, Facts* facts) noexcept:
    return fstat_of(fd, facts)


cdef bint is_same(Facts* one, Facts* other) noexcept:
    if one.inode != other.inode or one.device != other.device:
        return False
    return one.size == other.size and one.modified_ns == other.modified_ns


cdef int open_root(const char* path, Facts* facts) noexcept:
    cdef int fd
    cdef int error
    with nogil:
        fd = c_open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        error = errno
    if fd >= 0 and fstat_of(fd, facts) < 0:
        error = errno
        close(fd)
        fd = -1
    errno_set(error)
    return fd


cdef bint is_another(const char* path, Facts* facts) noexcept:
    cdef stat_t[1] found
    cdef Facts now
    cdef int failed
    with nogil:
        failed = c_stat(path, found)
    if failed < 0:
        return False        # it is away for the moment, or for good: what we have is all there is
    told(found, &now)
    return now.inode != facts.inode or now.device != facts.device


cdef void shut(int fd) noexcept:
    if fd >= 0:
        close(fd)


def opened(str root, str path, str way=None):
    """The content of a file below `root`, None if there is none that may be served: for tests. way: "hand", "kernel" or "cache"; None: the best.

    Raises OSError.
    """
    cdef Facts facts
    cdef int directory = open_root(root.encode(), &facts)
    cdef int fd
    cdef Way chosen
    cdef unsigned char[4096] data
    cdef ssize_t n = 0
    if directory < 0:
        raise OSError(errno, "cannot be opened", root)
    chosen = way_of(directory) if way is None else {"hand": BY_HAND, "kernel": BY_KERNEL, "cache": BY_CACHE}[way]
    fd = open_beneath(directory, path.encode(), chosen)
    close(directory)
    if fd == NOT_NOW:
        raise OSError(errno, "cannot be opened now", path)
    if fd < 0:
        return None
    if facts_of(fd, &facts) == 0 and facts.is_file:
        n = read_at(fd, data, sizeof(data), 0)
    close(fd)
    return (<const char*>data)[:n] if facts.is_file else None


def descriptor_of(str root, str path, str way):
    """A descriptor of what is below `root`, -1: nothing: for tests that look at what it is."""
    cdef Facts facts
    cdef int directory = open_root(root.encode(), &facts)
    cdef int fd = open_beneath(
        directory, path.encode(), {"hand": BY_HAND, "kernel": BY_KERNEL, "cache": BY_CACHE}[way]
    )
    close(directory)
    return max(fd, -1)
