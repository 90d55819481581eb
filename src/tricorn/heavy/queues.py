"""Where calls wait for a worker: one queue for each heavy application, and it is the kernel's.

A queue is a listening Unix socket that the master opens and all workers with the application accept from, as
web workers do from theirs. So whoever is free takes the next call, one that crashes loses only what it has,
what waits outlives all of them, and the bound is exact: a connection beyond it is refused at once (EAGAIN).

The socket has no path. It is bound in a directory that nobody else can enter, its file is opened (O_PATH) and
removed, and callers, who have inherited that descriptor, connect to /proc/self/fd/N. Nobody else can reach
it, nothing is left behind by a master that is killed, and there is no name that another user could take.

Knows: sockets, descriptors. Must not know: what a call is, who calls, processes.
"""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress

#: Linux takes one connection more than the backlog says (unix_stream_connect: it waits only when the queue is
#: longer than the bound).
ONE_MORE = 1

#: sock_diag(7): of one Unix socket, how many wait to be accepted.
NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST = 1
UDIAG_SHOW_RQLEN = 0x10
UNIX_DIAG_RQLEN = 4
ANY = 0xFFFFFFFF
REQUEST = struct.Struct("=IHHIIBBHIIIII")
ANSWER_HEAD = struct.calcsize("=IHHII") + struct.calcsize("=BBBBIII")


class CallQueue:
    """The queue of one application.

    socket: what workers accept from. handle: what callers connect to. refusals: an eventfd, to which each
    caller that was refused adds 1: the kernel adds, so nothing is lost among many processes.
    """

    def __init__(self, app: str, length: int) -> None:
        """Raises OSError."""
        self.app = app
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.handle = _bound(self.socket)
            self.refusals = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            self.socket.setblocking(False)
            self.hold(length)
        except BaseException:
            self.socket.close()
            raise
        self._inode = os.fstat(self.socket.fileno()).st_ino
        self._refused = 0

    def give_to(self, uid: int | None, gid: int | None) -> None:
        """To the user and group that callers will be; None: as this process."""
        if uid is not None or gid is not None:
            os.chown(f"/proc/self/fd/{self.handle}", -1 if uid is None else uid, -1 if gid is None else gid)

    def hold(self, length: int) -> None:
        """So many may wait, from now on."""
        self.socket.listen(max(0, length - ONE_MORE))

    def turn_away(self) -> None:
        """Whoever waits hears that nobody comes."""
        with suppress(BlockingIOError):
            while True:
                self.socket.accept()[0].close()

    def close(self) -> None:
        """Nobody takes what waits, and callers hear that at once."""
        self.leave_taking()
        for fd in (self.handle, self.refusals):
            os.close(fd)

    def leave_taking(self) -> None:
        """In a process that only calls."""
        self.socket.close()

    @property
    def waiting(self) -> int:
        """How many wait now; 0 too where the kernel does not tell."""
        with suppress(OSError):
            return _length_of(self._inode)
        return 0

    @property
    def refused(self) -> int:
        """How many were, since there is this queue. For the master, who counts."""
        with suppress(BlockingIOError):
            self._refused += os.eventfd_read(self.refusals)
        return self._refused


def _bound(sock: socket.socket) -> int:
    """Bind it where nobody else can reach it; gives what one connects by."""
    directory = _private_directory()
    path = f"{directory}/calls"
    entered = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sock.bind(f"/proc/self/fd/{entered}/calls")  # a path of a socket is 107 bytes at most
        try:
            os.chmod(path, 0o600)
            return os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        finally:
            os.unlink(path)
    finally:
        os.close(entered)
        os.rmdir(directory)


def _private_directory() -> str:
    reason: OSError | None = None
    for base in (os.getenv("TMPDIR"), "/tmp", "/var/tmp", "/dev/shm"):
        if base:
            path = f"{base}/tricorn-{os.getpid()}-{os.urandom(8).hex()}"
            try:
                os.mkdir(path, 0o700)
            except OSError as error:
                reason = reason or error
            else:
                return path
    assert reason is not None
    raise reason


def connect(handle: int, sock: socket.socket) -> None:
    """Join the queue. The socket must not block. Raises BlockingIOError: it is full; ConnectionRefusedError:
    nobody takes from it any more."""
    sock.connect(f"/proc/self/fd/{handle}")


def _length_of(inode: int) -> int:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as asked:
        asked.settimeout(1.0)
        question = (socket.AF_UNIX, 0, 0, ANY, inode, UDIAG_SHOW_RQLEN, ANY, ANY)
        asked.send(REQUEST.pack(REQUEST.size, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 1, 0, *question))
        answer = asked.recv(4096)
    if len(answer) < ANSWER_HEAD or struct.unpack_from("=H", answer, 4)[0] != SOCK_DIAG_BY_FAMILY:
        return 0
    at = ANSWER_HEAD
    while at + 4 <= len(answer):
        size, kind = struct.unpack_from("=HH", answer, at)
        if kind == UNIX_DIAG_RQLEN:
            return int(struct.unpack_from("=I", answer, at + 4)[0])
        if size < 4:
            return 0
        at += (size + 3) & ~3
    return 0
