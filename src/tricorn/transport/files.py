"""Which file objects are spans of a file of the operating system's: sendfile() then sends what read() would.

Knows: the io module. Must not know: sockets, responses.
"""

from __future__ import annotations

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
