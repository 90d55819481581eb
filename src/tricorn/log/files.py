"""The log files of a process, and how new ones reach its workers on a rotation.

Knows: paths, descriptors, one socket pair. Must not know: what is written to them, settings, signals.

The plan. The master opens the files, because it may: the workers have often given up the right to (`--user`),
and whether a directory lets them in depends on its owner, its mode, and what logrotate created. So workers
inherit the descriptors, and on a rotation the master opens the files again and hands the new ones out.

It hands them out on a board: a datagram socket in which one message is pinned. Workers look at it with
MSG_PEEK, which gives each of them descriptors of its own (unix(7), SCM_RIGHTS) and leaves the message for the
others, however many there are. Guarantees:

- a file keeps its descriptor's number over a rotation (dup2), so a thread that is just writing, and the
  AccessLog, have a valid one, and no line is lost between the old file and the new one;
- master and workers write to the same file at any time, or the master has said why not;
- only the master can pin: its children close that end of the board as they are forked.
"""

from __future__ import annotations

import errno
import json
import os
import socket
from array import array
from collections.abc import Callable, Iterable, Sequence

# O_APPEND: several processes write to one file, and `copytruncate` of logrotate works.
# O_NONBLOCK: opening a FIFO without a reader fails at once instead of stopping the start.
FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK

#: More than a board ever holds: error log, access log and files of a logging configuration, of the settings
#: in force and of those before.
MOST_FILES = 64
#: A message names a path of up to 4 KiB for each file, and its escapes.
MESSAGE = 1 << 18

Complain = Callable[[str, OSError], None]


class Files:
    """Open files by their absolute paths."""

    def __init__(self) -> None:
        self._open: dict[str, int] = {}
        self._last_wanted: frozenset[str] = frozenset()
        self._reader, self._writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._is_master = True
        os.register_at_fork(after_in_child=self._enter_child)

    def _enter_child(self) -> None:
        self._is_master = False
        self._writer.close()

    def let_go(self) -> None:
        """In a process that the application has forked: it writes to the files, and rotates none."""
        self._reader.close()
        self._writer.close()

    def open(self, path: str) -> int:
        """The descriptor of the file at `path`, which is created if it is not there. May raise OSError."""
        if path not in self._open:
            self._open[path] = _open(path)
        return self._open[path]

    def keep(self, wanted: Iterable[str]) -> None:
        """Close what neither these settings nor those before name; a reload may go back to the latter."""
        named = frozenset(wanted)
        for path in self._open.keys() - named - self._last_wanted:
            os.close(self._open.pop(path))
        self._last_wanted = named

    def reopen(self, complain: Complain) -> None:
        """In the master: open all files again by their paths, and pin them. In a worker: take what is pinned.

        What cannot be opened stays as it was; `complain` hears of it.
        """
        if not self._is_master:
            self._take(complain)
            return
        for path, fd in self._open.items():
            try:
                fresh = _open(path)
            except OSError as error:
                complain(path, error)
            else:
                _replace(fd, fresh)
        self._pin(complain)

    def catch_up(self, complain: Complain) -> None:
        """In a worker: a rotation may have come between the fork and its signal handlers."""
        if not self._is_master:
            self._take(complain)

    def close(self) -> None:
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()
        self.let_go()

    def _pin(self, complain: Complain) -> None:
        paths = list(self._open)[:MOST_FILES]
        try:
            # Without room for descriptors the kernel closes them.
            while self._reader.recv(MESSAGE):
                continue
        except BlockingIOError:
            self._hand_out(paths, complain)

    def _hand_out(self, paths: Sequence[str], complain: Complain) -> None:
        message = json.dumps(paths).encode()
        try:
            socket.send_fds(self._writer, [message], [self._open[path] for path in paths])
        except OSError as error:
            # Too many descriptors are under way, or there is no memory. Workers go on as they are.
            for path in paths:
                complain(path, error)

    def _take(self, complain: Complain) -> None:
        """Put what is pinned in the place of what is open."""
        # Not socket.recv_fds(): it takes flags and does not use them (CPython 3.11 to 3.13).
        flags = socket.MSG_PEEK | socket.MSG_CMSG_CLOEXEC
        try:
            message, notes, *_ = self._reader.recvmsg(MESSAGE, socket.CMSG_LEN(4 * MOST_FILES), flags)
        except BlockingIOError:
            return  # there was no rotation yet
        paths = json.loads(message)
        fds = array("i", notes[0][2]) if notes else array("i")
        for path, fd in zip(paths, fds, strict=False):
            if path in self._open:
                _replace(self._open[path], fd)
            else:
                os.close(fd)
        # The kernel has kept back those that this process has no room for.
        for path in paths[len(fds) :]:
            if path in self._open:
                complain(path, OSError(errno.EMFILE, os.strerror(errno.EMFILE)))


def _replace(fd: int, fresh: int) -> None:
    os.dup2(fresh, fd, inheritable=False)
    os.close(fresh)


def _open(path: str) -> int:
    # Not O_CREAT at once: in a sticky directory the kernel refuses it for a file that belongs to another
    # user, even to root (sysctl fs.protected_regular).
    try:
        return os.open(path, FLAGS)
    except FileNotFoundError:
        return os.open(path, FLAGS | os.O_CREAT, 0o644)
