"""The file that tells the master's process id.

Knows: files and locks. Must not know: what the process is.

Whether another instance lives is told by a lock on the file, not by the number in it: after a reboot or in a
container that number often belongs to somebody else. The lock belongs to an open file and is gone with its
last descriptor, however the process ended; a worker therefore closes its copy (`abandon`).

Who puts a file there, or takes another's place, has the directory locked for that long. Else whoever replaces
the file of an instance that is gone, and holds its lock meanwhile, would pass for that instance.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from tricorn.net.listener import ListenError, locked


class PidfileError(Exception):
    """The pidfile cannot be ours; one line, for the log."""


class Pidfile:
    """Locked and written on construction; `remove()` at the end."""

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)
        self._owner = os.getpid()
        try:
            self._fd = self._publish()
        except OSError as error:
            raise PidfileError(f"Cannot write pidfile {path}: {error.strerror}") from None

    def rename(self, path: str, predecessor: int) -> None:
        """Put it in the place of the predecessor's, whose lock ends with it. That may have been killed, and
        another instance have found its file first. OSError, PidfileError: it keeps its name."""
        with _locked(os.path.dirname(path)):
            holder = _maybe_holder(path)
            if holder not in ("", str(predecessor)):
                raise PidfileError(f"process {holder} holds {path}")
            os.rename(self.path, path)
        self.path = path

    def leave(self) -> None:
        """The file is the successor's to replace: there is no moment without one."""
        self._owner = 0

    def remove(self) -> None:
        """Remove the file if it still is the one we made, and give up the lock."""
        if self._owner == os.getpid() and _is_same_file(self._fd, self.path):
            try:
                os.unlink(self.path)
            except OSError:
                # A directory that became read-only. The next start sees that nobody holds the lock.
                self._owner = 0
        os.close(self._fd)

    def abandon(self) -> None:
        """In a worker: close its copy, so that the lock ends with the master."""
        os.close(self._fd)

    def _publish(self) -> int:
        """Write a locked file and put it under our name, whole; give its descriptor."""
        directory, name = os.path.split(self.path)
        fd, draft = tempfile.mkstemp(prefix=f".{name}.", dir=directory)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            os.fchmod(fd, 0o644)
            os.write(fd, b"%d\n" % os.getpid())
            with _locked(directory):
                while not self._put(draft):
                    continue
        except BaseException:
            os.close(fd)
            os.unlink(draft)
            raise
        return fd

    def _put(self, draft: str) -> bool:
        """One attempt. False: the file changed while we looked, look again."""
        try:
            os.link(draft, self.path)
            os.unlink(draft)
            return True
        except FileExistsError:
            try:
                found = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return False
        # Whoever holds the lock of the file that is there may replace it, so two starts cannot both do so.
        try:
            fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _is_same_file(found, self.path):
                return False
            os.rename(draft, self.path)
            return True
        except BlockingIOError:
            raise PidfileError(
                f"Already running: process {_number(found)} holds the pidfile {self.path}; "
                "stop it, or give this instance another pidfile"
            ) from None
        finally:
            os.close(found)


@contextmanager
def _locked(directory: str) -> Iterator[None]:
    try:
        with locked(os.fsencode(directory)):
            yield
    except ListenError:
        raise PidfileError(f"Cannot write a pidfile: another process keeps {directory} locked") from None


def _maybe_holder(path: str) -> str:
    """The number in the file, if its owner lives."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _number(fd)
    else:
        return ""
    finally:
        os.close(fd)


def _number(fd: int) -> str:
    return os.read(fd, 32).decode("ascii", "replace").strip()


def _is_same_file(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False
