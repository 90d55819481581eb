"""The file that tells the master's process id.

Knows: files and locks. Must not know: what the process is.

Whether another instance lives is told by a lock on the file, not by the number in it: after a reboot or in a
container that number often belongs to somebody else. The lock belongs to an open file and is gone with its
last descriptor, however the process ended; a worker therefore closes its copy (`abandon`).
"""

from __future__ import annotations

import fcntl
import os
import tempfile


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

    def rename(self, path: str) -> None:
        """Put it in the place of the predecessor's, whose lock ends with it. OSError: it keeps its name."""
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
            number = os.read(found, 32).decode("ascii", "replace").strip()
            raise PidfileError(
                f"Already running: process {number} holds the pidfile {self.path}; "
                "stop it, or give this instance another pidfile"
            ) from None
        finally:
            os.close(found)


def _is_same_file(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False
