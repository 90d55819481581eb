"""Files as responses: a table of directories by prefix, and what is answered for a request below one of them.

The plan. `answer` is one look: the prefix, the name below it, the file, the version of it that the client has, the part of it that it wants. What
comes out is an `Answer`, which knows its fields and from which bytes of which descriptor its body is made; whoever carries the response sends it. Nothing
is kept between two requests but the directories, so what is on the disk is what is answered.

Guarantees: no name leads out of its directory (paths.pyx, beneath.pyx); a file is opened once, and all that is said of it is said of what was opened;
work is linear in what was asked; nothing is read into memory beyond SMALL bytes.

Knows: files, RFC 9110. Must not know: descriptors of clients, versions of HTTP, applications, threads, the clock (it is an argument).
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.errno cimport errno
from libc.string cimport memcmp, memcpy

import os

from tricorn.http.dates cimport date_text
from tricorn.http.names cimport equals_lower
from tricorn.http.request cimport Field, RequestHead
from tricorn.static.asked cimport Asked, read_asked
from tricorn.static.beneath cimport (
    NOT_NOW, NOT_THERE, Facts, facts_of, is_another, is_same, open_beneath, open_root, read_at, shut, way_of,
)
from tricorn.static.caching cimport Caching
from tricorn.static.codings cimport IDENTITY, Coding, acceptable, name_of, suffix_of
from tricorn.static.conditions cimport GOES_ON, HAS_ANOTHER, HAS_IT, Verdict, Version, judge, range_holds
from tricorn.static.paths cimport PATH_ROOM, decode, is_below, is_clean, with_slash
from tricorn.static.ranges cimport NONE_OF_IT, SOME, Reading, Stretches, read_ranges

from tricorn.static.types import UNKNOWN, table

cdef enum:
    # Up to so many bytes are read, and leave with the head. One system call less than to have the kernel copy them from the file, and small
    # enough to keep the GIL meanwhile.
    SMALL = 32768
    TAG_ROOM = 24
    # Within so many seconds a file may change again without another time of change to tell of it (RFC 9110 §8.8.2.2).
    UNSETTLED = 1

cdef str OK = "200 OK"
cdef str PARTIAL = "206 Partial Content"
cdef str MOVED = "301 Moved Permanently"
cdef str NOT_MODIFIED = "304 Not Modified"
cdef str NOT_FOUND = "404 Not Found"
cdef str NOT_ALLOWED = "405 Method Not Allowed"
cdef str PRECONDITION_FAILED = "412 Precondition Failed"
cdef str UNSATISFIABLE = "416 Range Not Satisfiable"
cdef str UNAVAILABLE = "503 Service Unavailable"

cdef tuple PLAIN = (b"Content-Type", b"text/plain; charset=utf-8")
cdef tuple RANGES = (b"Accept-Ranges", b"bytes")
cdef tuple VARY = (b"Vary", b"Accept-Encoding")
cdef tuple ALLOW = (b"Allow", b"GET, HEAD")
cdef tuple EMPTY = (b"Content-Length", b"0")
cdef const char* HEX = b"0123456789abcdef"


@cython.final
@cython.no_gc       # what it holds is plain data
cdef class Answer:
    def __cinit__(self):
        self.fd = -1

    def __dealloc__(self):
        shut(self.fd)

    cdef int take(self) noexcept:
        """The descriptor, which is the caller's from here on."""
        cdef int fd = self.fd
        self.fd = -1
        return fd

    cdef void close(self) noexcept:
        shut(self.take())

    cdef int again(self) noexcept:
        cdef Root root = self.root
        cdef bytes name = self.name
        cdef Facts found
        cdef int fd
        if root is None:
            return -1
        fd = open_beneath(root.fd, PyBytes_AS_STRING(name), root.way)
        if fd < 0:
            return -1
        if facts_of(fd, &found) < 0 or not is_same(&found, &self.facts):
            shut(fd)
            return -1
        return fd


cdef Answer nothing(bint has_body):
    return _plain(NOT_FOUND, [], has_body)


cdef Answer _plain(str status, list fields, bint has_body):
    """One that says no more than its status."""
    cdef Answer answer = Answer.__new__(Answer)
    cdef bytes body = status.encode("ascii") + b"\n"
    answer.status = status
    answer.fields = [PLAIN, *fields]
    answer.length = PyBytes_GET_SIZE(body)
    answer.parts = (body,) if has_body else ()
    return answer


@cython.final
@cython.no_gc
cdef class Root:
    def __cinit__(self):
        self.fd = -1

    def __dealloc__(self):
        shut(self.fd)


cdef Root _open_root(bytes path):
    """None: errno says why."""
    cdef Facts facts
    cdef Root root
    cdef int fd = open_root(path, &facts)
    if fd < 0:
        return None
    root = Root.__new__(Root)
    root.fd = fd
    root.facts = facts
    root.way = way_of(fd)
    return root


@cython.final
cdef class Mount:
    """directory: its path. If it cannot be opened, nothing is found until it can."""

    def __init__(self, bytes prefix, str directory):
        self.prefix = prefix
        self.directory = directory
        self.path = os.fsencode(os.path.abspath(directory))
        self.root = _open_root(self.path)

    cdef str name(self):
        return self.prefix.decode("utf-8", "surrogateescape") or "/"

    cdef Root look(self, long long second):
        """Whoever builds a site anew may put another directory in the place of this one. Looked at once in a second."""
        cdef Root root = self.root
        cdef Root other
        if second == self.looked_at:
            return root
        self.looked_at = second
        if root is None or is_another(self.path, &root.facts):
            other = _open_root(self.path)
            if other is not None:
                root = self.root = other
        return root


def by_length(mount):
    """The longest prefix first."""
    return -len(mount.prefix)


cdef class StaticFiles:
    """directories: path of a directory by prefix, as bytes without a '/' at its end. index: name of the file that stands for a directory; empty: none
    does. falls_through: what is no file is the application's to answer. caching: as Caching. types: as types.table().
    """

    def __init__(self, directories, *, str index="index.html", bint falls_through=False, bint dotfiles=False, caching=(), types=None, logger):
        cdef Mount mount
        mounts = [Mount(prefix, directory) for prefix, directory in directories.items()]
        self.mounts = tuple(sorted(mounts, key=by_length))
        self.index = index.encode("utf-8", "surrogateescape")
        self.falls_through = falls_through
        self.dotfiles = dotfiles
        self.caching = Caching(caching)
        self.types = table(types or {})
        self.logger = logger
        for mount in self.mounts:
            if mount.root is None:
                logger.error("No files for %s as long as %s cannot be opened", mount.name(), mount.directory)

    cdef Answer answer(self, RequestHead head, long long second):
        cdef unsigned char path[PATH_ROOM]
        cdef bint odd
        cdef Py_ssize_t size
        cdef Mount mount
        cdef Answer found = None
        cdef bint is_get = head.method.length == 3 and memcmp(head.data + head.method.start, b"GET", 3) == 0
        if head.is_connect or head.is_websocket:
            return None
        size = decode(head.data + head.path.start, head.path.length, path, &odd)
        if size == 0:       # of an absolute-form target without one (RFC 9112 §3.2.1)
            path[0] = c'/'
            path[1] = 0
            size = 1
        mount = self._mount_of(path, size)
        if mount is None or (head.wants_upgrade and _asks_for_websocket(head)):
            return None
        if not is_get and not head.is_head:
            return None if self.falls_through else _plain(NOT_ALLOWED, [ALLOW], True)
        if not odd:
            found = self._find(mount, path, size, head, second)
        if found is None and not self.falls_through:
            found = nothing(is_get)
        return found

    cdef Answer named(self, bytes name, bint is_url, Asked asked, bytes kind, long long second):
        cdef unsigned char path[PATH_ROOM]
        cdef const unsigned char* given = <const unsigned char*>PyBytes_AS_STRING(name)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(name)
        cdef Py_ssize_t start
        cdef Mount mount
        cdef Answer held
        cdef Facts facts
        cdef Root root
        cdef bytes prefix
        cdef bint odd = size >= PATH_ROOM or b"\0" in name
        if is_url:
            size = decode(given, size, path, &odd)
        elif not odd:
            memcpy(path, given, size + 1)
        for mount in self.mounts:
            prefix = mount.prefix if is_url else mount.path
            start = PyBytes_GET_SIZE(prefix) + 1
            if odd or size <= start or not is_below(path, size, prefix) or not is_clean(path + start, size - start, True):
                continue
            held = Answer.__new__(Answer)
            root = mount.look(second)
            held.fd = self._open(mount, root, path + start, &facts)
            if held.fd == NOT_NOW:
                return _plain(UNAVAILABLE, [], asked.is_get)
            if held.fd < 0 or not facts.is_file:
                return None
            if kind is None:
                kind = <bytes>self._type_of(path + start, size - start)[0]
            return _reopenable(
                of_file(held, &facts, asked, kind, None, None, False, second), root, path + start, &facts
            )
        return None

    cdef Mount _mount_of(self, const unsigned char* path, Py_ssize_t size):
        cdef Mount mount
        for mount in self.mounts:
            if is_below(path, size, mount.prefix):
                return mount
        return None

    cdef Answer _find(self, Mount mount, unsigned char* path, Py_ssize_t size, RequestHead head, long long second):
        """None: there is no such file."""
        cdef Py_ssize_t start = PyBytes_GET_SIZE(mount.prefix) + 1      # of what is below it
        cdef Py_ssize_t index = PyBytes_GET_SIZE(self.index)
        cdef bint is_root = size < start        # the prefix, without a '/'
        cdef Answer held
        cdef Facts facts
        cdef int fd
        cdef Root root = mount.look(second)     # the same for all that is opened, whatever takes its place meanwhile
        if is_root:
            return self._to_slash(mount, root, path, size, start, head)
        if not is_clean(path + start, size - start, self.dotfiles):
            return None
        if size == start or path[size - 1] == c'/':
            if index == 0 or size + index >= PATH_ROOM:
                return None
            memcpy(path + size, PyBytes_AS_STRING(self.index), index + 1)
            size += index
        fd = self._open(mount, root, path + start, &facts)
        if fd == NOT_NOW:
            return _plain(UNAVAILABLE, [], not head.is_head)
        if fd < 0:
            return None
        held = Answer.__new__(Answer)
        held.fd = fd
        if facts.is_directory:
            return self._to_slash(mount, root, path, size, start, head)
        if not facts.is_file:
            return None
        return self._of(mount, root, path, size, start, read_asked(head), held, &facts, second)

    cdef Answer _to_slash(
        self, Mount mount, Root root, unsigned char* path, Py_ssize_t size, Py_ssize_t start, RequestHead head,
    ):
        """A directory without its '/': the links in its index would lead elsewhere."""
        cdef Py_ssize_t index = PyBytes_GET_SIZE(self.index)
        cdef Facts facts
        cdef Answer held
        cdef bytes place
        if index == 0 or size + 1 + index >= PATH_ROOM:
            return None
        place = with_slash(path, size, head.raw(head.query) if head.has_query else None)
        path[size] = c'/'
        memcpy(path + size + 1, PyBytes_AS_STRING(self.index), index + 1)
        held = Answer.__new__(Answer)
        held.fd = self._open(mount, root, path + start, &facts)
        if held.fd < 0 or not facts.is_file:
            return None
        return _plain(MOVED, [(b"Location", place)], not head.is_head)

    cdef int _open(self, Mount mount, Root root, const unsigned char* name, Facts* facts) except -3:
        """A descriptor; NOT_THERE; NOT_NOW, which is told."""
        cdef int fd
        if root is None:
            return NOT_THERE
        fd = open_beneath(root.fd, <const char*>name, root.way)
        if fd == NOT_NOW and mount.complained_at != mount.looked_at:
            mount.complained_at = mount.looked_at       # once in a second
            self.logger.error("Cannot open a file below %s: %s", mount.directory, os.strerror(errno))
        if fd >= 0 and facts_of(fd, facts) < 0:
            shut(fd)
            return NOT_THERE
        return fd

    cdef Answer _of(
        self, Mount mount, Root root, unsigned char* path, Py_ssize_t size, Py_ssize_t start, Asked asked, Answer held, Facts* facts,
        long long second,
    ):
        """held: has the file, and becomes the answer."""
        cdef Caching caching = self.caching
        cdef tuple kind = self._type_of(path + start, size - start)
        cdef bytes control = caching.value_of(path, size)
        cdef bytes coding = None
        if kind[1] and asked.accept_encoding is not None:
            coding = self._choose(mount, root, path, size, start, asked, held, facts)
        return _reopenable(of_file(held, facts, asked, <bytes>kind[0], coding, control, kind[1], second), root, path + start, facts)

    cdef bytes _choose(
        self, Mount mount, Root root, unsigned char* path, Py_ssize_t size, Py_ssize_t start, Asked asked, Answer held, Facts* facts,
    ):
        """Take a file that is compressed already in the place of this one, if there is one that the client takes and that is not older. Its name
        is in `path` then. Returns that of its coding; None: there is none."""
        cdef Coding[3] wanted
        cdef Coding coding
        cdef Facts its
        cdef bytes suffix
        cdef int count = acceptable(asked.accept_encoding, wanted)
        cdef int fd
        cdef int i
        for i in range(count):
            coding = wanted[i]
            suffix = suffix_of(coding)
            if size + PyBytes_GET_SIZE(suffix) >= PATH_ROOM:
                return None
            memcpy(path + size, PyBytes_AS_STRING(suffix), PyBytes_GET_SIZE(suffix) + 1)
            fd = self._open(mount, root, path + start, &its)
            if fd >= 0 and its.is_file and its.modified >= facts.modified:
                shut(held.take())
                held.fd = fd
                facts[0] = its
                return name_of(coding)
            shut(fd)
            path[size] = 0
        return None

    cdef tuple _type_of(self, const unsigned char* path, Py_ssize_t size):
        """By the end of the name: (what Content-Type says, whether it compresses well)."""
        cdef Py_ssize_t at = size
        while at > 0 and path[at - 1] != c'.' and path[at - 1] != c'/':
            at -= 1
        if at == 0 or path[at - 1] != c'.':
            return <tuple>UNKNOWN
        return <tuple>self.types.get((<const char*>path)[at:size].lower(), UNKNOWN)


cdef bint _asks_for_websocket(RequestHead head) noexcept:
    """That is no request for a file (RFC 6455 §4.1)."""
    cdef Field* field
    cdef int i
    for i in range(head.count):
        field = &head.fields[i]
        if field.name.length == 7 and equals_lower(head.data + field.name.start, 7, b"upgrade"):
            if equals_lower(head.data + field.value.start, field.value.length, b"websocket"):
                return True
    return False


# ---- from a file to a response ----------------------------------------------------------------------------

cdef Answer of_file(
    Answer held, Facts* facts, Asked asked, bytes kind, bytes coding, bytes control, bint varies, long long second,
):
    """The answer for a file that `held` has. coding: how it is compressed; None: it is not. control: what Cache-Control says; None: nothing.
    varies: whether another client may get another coding."""
    cdef char[TAG_ROOM] tag
    cdef Version version
    cdef Stretches stretches
    cdef Reading reading
    cdef Verdict verdict
    cdef list fields
    cdef tuple tag_field
    cdef Py_ssize_t tag_size = _tag(tag, facts, coding)
    version.weak = -UNSETTLED <= facts.modified - second <= UNSETTLED
    version.settled = second - facts.modified > UNSETTLED
    version.tag = <const unsigned char*>tag
    version.size = tag_size
    version.modified = min(facts.modified, second)      # RFC 9110 §8.8.2.1: not later than the response
    tag_field = (b"ETag", (b"W/" if version.weak else b"") + (<const char*>tag)[:tag_size])
    fields = [tag_field]
    if control is not None:
        fields.append((b"Cache-Control", control))
    if varies:
        fields.append(VARY)
    verdict = judge(asked, &version, second)
    if verdict == HAS_IT:
        return _without(held, NOT_MODIFIED, fields)
    if verdict == HAS_ANOTHER:
        return _plain(PRECONDITION_FAILED, [tag_field], asked.is_get)
    fields.append((b"Last-Modified", date_text(version.modified)))
    fields.append(RANGES)
    if coding is not None:
        fields.append((b"Content-Encoding", coding))
    # RFC 9110 §14.2: of GET alone, and where no condition of its own says otherwise.
    if asked.range is not None and asked.is_get and range_holds(asked, &version, second):
        reading = read_ranges(
            <const unsigned char*>PyBytes_AS_STRING(asked.range), PyBytes_GET_SIZE(asked.range), facts.size, &stretches
        )
        if reading == NONE_OF_IT:
            return _plain(UNSATISFIABLE, [tag_field, (b"Content-Range", b"bytes */%d" % facts.size)], True)
        if reading == SOME:
            return _of_stretches(held, facts, fields, kind, &stretches)
    fields.append((b"Content-Type", kind))
    if facts.size == 0:
        fields.append(EMPTY)
    return _of_bytes(held, facts, OK, fields, 0, facts.size, asked.is_get)


cdef Answer _reopenable(Answer answer, Root root, const unsigned char* name, Facts* facts):
    if answer.fd >= 0:
        answer.root = root
        answer.name = <bytes><const char*>name
        answer.facts = facts[0]
    return answer


cdef Answer _without(Answer held, str status, list fields):
    """No body belongs to it."""
    shut(held.take())
    held.status = status
    held.fields = fields
    held.length = 0
    held.parts = ()
    return held


cdef Answer _of_bytes(Answer held, Facts* facts, str status, list fields, long long offset, long long size, bint is_get):
    """One stretch of it."""
    cdef bytes data
    held.status = status
    held.fields = fields
    held.length = size
    held.parts = ()
    if size == 0 or not is_get:
        shut(held.take())
        return held
    if size > SMALL:
        held.parts = ((offset, size),)
        return held
    data = _read(held.fd, offset, <Py_ssize_t>size)
    shut(held.take())
    if data is None:
        return _plain(UNAVAILABLE, [], True)
    held.parts = (data,)
    return held


cdef bytes _read(int fd, long long offset, Py_ssize_t size):
    """None: so much is not there any more, or the disk fails: what was said of the file is not true of what there is."""
    cdef bytes data = PyBytes_FromStringAndSize(NULL, size)
    if read_at(fd, <unsigned char*>PyBytes_AS_STRING(data), size, offset) < size:
        return None
    return data


cdef Answer _of_stretches(Answer held, Facts* facts, list fields, bytes kind, Stretches* found):
    """RFC 9110 §15.3.7: one stretch is the body, several are its parts."""
    cdef bytes boundary
    cdef list parts = []
    cdef long long length = 0
    cdef bytes head
    cdef long long first
    cdef long long last
    cdef int i
    if found.count == 1:
        first = found.all[0].start
        last = first + found.all[0].size - 1
        fields.append((b"Content-Range", b"bytes %d-%d/%d" % (first, last, facts.size)))
        fields.append((b"Content-Type", kind))
        return _of_bytes(held, facts, PARTIAL, fields, first, found.all[0].size, True)
    # Nobody can write a file that has it, since it is not known before.
    boundary = os.urandom(12).hex().encode()
    for i in range(found.count):
        first = found.all[i].start
        last = first + found.all[i].size - 1
        head = b"%s--%s\r\nContent-Type: %s\r\nContent-Range: bytes %d-%d/%d\r\n\r\n" % (
            b"\r\n" if i else b"", boundary, kind, first, last, facts.size,
        )
        parts.append(head)
        parts.append((first, found.all[i].size))
        length += PyBytes_GET_SIZE(head) + found.all[i].size
    head = b"\r\n--%s--\r\n" % boundary
    parts.append(head)
    fields.append((b"Content-Type", b"multipart/byteranges; boundary=" + boundary))
    held.status = PARTIAL
    held.fields = fields
    held.length = length + PyBytes_GET_SIZE(head)
    held.parts = tuple(parts)
    return held


# ---- the entity-tag ---------------------------------------------------------------------------------------

cdef Py_ssize_t _tag(char* tag, Facts* facts, bytes coding) noexcept:
    """Of inode, size and time of change (ns), mixed so that it tells nobody the number of an inode. What is compressed has another file, but that
    may be a link to the same. Returns its length."""
    cdef unsigned long long mixed = _mixed(facts.inode)
    cdef int i
    mixed = _mixed(mixed ^ <unsigned long long>facts.size)
    mixed = _mixed(mixed ^ <unsigned long long>facts.modified_ns)
    tag[0] = c'"'
    for i in range(16):
        tag[i + 1] = HEX[(mixed >> (60 - 4 * i)) & 15]
    i = 17
    if coding is not None:
        tag[i] = c'-'
        tag[i + 1] = PyBytes_AS_STRING(coding)[0]
        i += 2
    tag[i] = c'"'
    return i + 1


cdef unsigned long long _mixed(unsigned long long x) noexcept:
    """Each bit depends on all of them (splitmix64, Steele, Lea and Flood 2014)."""
    x += <unsigned long long>0x9E3779B97F4A7C15
    x = (x ^ (x >> 30)) * <unsigned long long>0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * <unsigned long long>0x94D049BB133111EB
    return x ^ (x >> 31)
