"""Which file objects are spans of a file of the operating system's: sendfile() then sends what read() would.

Knows: the io module, files. Must not know: sockets, responses.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import tempfile
from typing import Any


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
    except (OSError, ValueError):  # closed, or not seekable
        return None
    if not stat.S_ISREG(facts.st_mode):
        return None
    return descriptor, offset, max(facts.st_size - offset, 0)


def maybe_stretch(file: Any, offset: int, count: int) -> tuple[int, int, int, bool]:
    """(descriptor, offset, size, whether the file's position is to move) of what an application wants sent.

    file: an open file, or its descriptor. offset: in bytes, -1: from the file's position, which then moves as
    read() would move it. count: in bytes, -1: to the end. Raises TypeError, ValueError, OSError.
    """
    descriptor = file if isinstance(file, int) else file.fileno()
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        raise ValueError("http.response.zerocopysend takes a regular file")
    if count < -1 or offset < -1:
        raise ValueError("offset and count cannot be negative")
    start = offset
    if offset < 0:
        start = os.lseek(descriptor, 0, os.SEEK_CUR) if isinstance(file, int) else file.tell()
    size = max(facts.st_size - start, 0)
    return descriptor, start, size if count < 0 else min(size, count), offset < 0


def open_span(path: str) -> tuple[int, int]:
    """(descriptor, size) of a regular file, which the caller closes. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    facts = os.fstat(descriptor)
    if stat.S_ISREG(facts.st_mode):
        return descriptor, facts.st_size
    os.close(descriptor)
    raise OSError(errno.EINVAL, "not a regular file", path)
