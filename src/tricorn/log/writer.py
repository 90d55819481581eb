"""Writes to a descriptor that nobody may be kept waiting for.

Knows: write(2), poll(2). Must not know: records, loggers, which file it is.

What cannot be written is lost and counted. A pipe, terminal or socket is written only when poll(2) says that
it takes bytes, in pieces that do not block then. The first that finds it full waits for a moment, because a
reader that is merely busy should lose nothing; those after it do not, since their waits would add up.
"""

from __future__ import annotations

import logging
import os
import stat
from os import write  # bound before Eventlet can put in its place what waits instead of raising
from select import POLLOUT, poll

# How long a record waits for a pipe whose reader is slow, in seconds. Records are rare; a reader that is gone
# must not hold up the thread.
STALLED_READER = 0.25
PIPE_PIECE = 4096  # PIPE_BUF: after POLLOUT, a write up to this size does not block


class Writer:
    """Writes whole records. lost: how many could not be, since the last one that could."""

    def __init__(self, fd: int, patience: float = STALLED_READER) -> None:
        self.fd = fd
        self.patience = patience
        self.lost = 0
        self.torn = False  # the last record was written in part

    def write(self, text: str, note: str = "") -> bool:
        """Write a record, which ends in a line break; `note` before it, where records were lost. False: it is
        lost."""
        start = "\n" if self.torn else ""
        try:
            self._write(f"{start}{note}{text}".encode("utf-8", "backslashreplace"))
        except OSError:
            self.lost += 1
            return False
        self.lost = 0
        return True

    def _write(self, data: bytes) -> None:
        regular = stat.S_ISREG(os.fstat(self.fd).st_mode)
        waiting = poll()
        waiting.register(self.fd, POLLOUT)
        patience = 0 if self.lost else int(self.patience * 1000)
        while data:
            if not regular and not waiting.poll(patience):
                raise TimeoutError("the reader of the log has stalled")
            written = write(self.fd, data if regular else data[:PIPE_PIECE])
            data = data[written:]
            self.torn = bool(data)


class Stream:
    """A text stream for handlers of `logging` that would write to standard output or standard error. Such a
    stream waits for its reader for ever, and the process with it."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, fd: int, name: str) -> None:
        self.name = name
        self._writer = Writer(fd)

    def write(self, text: str) -> int:
        lost = self._writer.lost
        note = f"({self.name}: {lost} records lost before this one)\n" if lost else ""
        self._writer.write(text, note)
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""

    def fileno(self) -> int:
        return self._writer.fd

    def isatty(self) -> bool:
        return os.isatty(self._writer.fd)


def unblock(handler: logging.Handler) -> None:
    """Have a handler that writes to a standard stream of this process wait for nobody."""
    if not isinstance(handler, logging.StreamHandler) or isinstance(handler, logging.FileHandler):
        return
    try:
        fd = handler.stream.fileno()
    except (AttributeError, OSError, ValueError):
        return  # it writes to no descriptor
    if fd in (1, 2) and not isinstance(handler.stream, Stream):
        handler.setStream(Stream(fd, "standard output" if fd == 1 else "standard error"))
