"""Which file objects are spans of a file of the operating system's: sendfile() then sends what read() would.

What stat() says of a size is checked, for it is not true everywhere: files of /proc have 0 bytes, those of
/sys 4096, those of some FUSE file systems whatever comes to their mind. Only reading tells what is in these.
With WSGI they are iterated over; with ASGI they are copied into memory, up to a limit.

Knows: the io module, files. Must not know: sockets, responses.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import tempfile
from typing import Any

#: Bytes of a file whose size nobody knows that are copied into memory.
MOST_COPIED = 1 << 24
COPY_STEP = 1 << 16


def maybe_span(file: Any) -> tuple[int, int, int] | None:
    """(descriptor, offset, size) of what is left of `file`; None if reading it could give other bytes.

    A descriptor alone proves nothing: that of a GzipFile, say, leads to the compressed bytes. So the type
    has to be one whose read() is known to give the file as it is.
    """
    if isinstance(file, tempfile._TemporaryFileWrapper):
        file = file.file
    raw = file.raw if type(file) in (io.BufferedReader, io.BufferedRandom) else file
    if type(raw) is not io.FileIO:
        return None
    try:
        descriptor = raw.fileno()
        facts = os.fstat(descriptor)
        offset = file.tell()
        if not stat.S_ISREG(facts.st_mode) or not _is_true(descriptor, facts.st_size):
            return None
    except (OSError, ValueError):  # closed, not seekable, or not readable
        return None
    return descriptor, offset, max(facts.st_size - offset, 0)


def open_stretch(file: Any, offset: int, count: int) -> tuple[int, int, int]:
    """(descriptor, offset, size) of what an application wants sent; the caller closes the descriptor.

    file: an open file, or its descriptor. offset: in bytes, -1: from the file's position, which then moves as
    read() would move it. count: in bytes, -1: to the end. Raises TypeError, ValueError, OSError.
    """
    if count < -1 or offset < -1:
        raise ValueError("offset and count cannot be negative")
    is_number = isinstance(file, int)
    descriptor = os.dup(file if is_number else file.fileno())
    try:
        start = offset
        if offset < 0:
            start = os.lseek(descriptor, 0, os.SEEK_CUR) if is_number else int(file.tell())
        opened, begin, size = _stretch(descriptor, start, count)
        if offset < 0 and is_number:
            os.lseek(descriptor, start + size, os.SEEK_SET)
        elif offset < 0:
            file.seek(start + size)
    except BaseException:
        os.close(descriptor)
        raise
    if opened != descriptor:
        os.close(descriptor)
    return opened, begin, size


def _stretch(descriptor: int, start: int, count: int) -> tuple[int, int, int]:
    """(descriptor, offset, size): the same descriptor, or that of a copy in memory."""
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        raise ValueError("http.response.zerocopysend takes a regular file")
    if not _is_true(descriptor, facts.st_size):
        copy, size = _copied(descriptor, start, count)
        return copy, 0, size
    size = max(facts.st_size - start, 0)
    return descriptor, start, size if count < 0 else min(size, count)


def open_path(path: str) -> tuple[int, int]:
    """(descriptor, size) of a regular file, which the caller closes. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        if _is_true(descriptor, facts.st_size):
            return descriptor, facts.st_size
        copy, size = _copied(descriptor, 0, -1)
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return copy, size


def _is_true(descriptor: int, size: int) -> bool:
    """Whether a file has its last byte. An empty one has none, so that has to be read in any case."""
    return size > 0 and len(os.pread(descriptor, 1, size - 1)) == 1


def _copied(descriptor: int, start: int, count: int) -> tuple[int, int]:
    """(descriptor, size) of a copy in memory of `count` bytes behind `start`, or of all of them (-1)."""
    copy = os.memfd_create("tricorn-file", os.MFD_CLOEXEC)
    size = 0
    try:
        while size != count:
            step = COPY_STEP if count < 0 else min(COPY_STEP, count - size)
            data = os.pread(descriptor, step, start + size)
            if not data:
                break
            os.write(copy, data)
            size += len(data)
            if size > MOST_COPIED:
                raise OSError(errno.EFBIG, f"a file without a size has more than {MOST_COPIED} bytes")
    except BaseException:
        os.close(copy)
        raise
    return copy, size
