"""The other end: a connection to a master, for a program that controls it.

Knows: the control socket, the protocol, that whoever answers must be the right user's process. Must not know:
what is asked, how sockets are found, how anything is shown.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from types import TracebackType

from tricorn.control.endpoint import peer_of
from tricorn.control.protocol import ANSWER_MAX, VERSION, Message, ProtocolError, decoded, encoded

_PIECE = 65536

_WHY = {
    errno.ENOENT: "there is no such file",
    errno.ECONNREFUSED: "no server listens there any more",
    errno.EACCES: "permission denied: the server is another user's",
    errno.ENOTSOCK: "it is not a socket",
    errno.EPROTOTYPE: "it is a socket of another kind",
    errno.EAGAIN: "too many clients wait there",
}


class ControlError(Exception):
    """There is no talking with this master; one line."""


class NoAnswerError(ControlError):
    """It has not answered in time."""


class Connection:
    """Connected and greeted. Use it with `with`.

    greeting: what the master has said of itself. pid: its process id. is_seen_as: whether this process calls
    it by the same number; else one of the two is in another container.
    """

    def __init__(self, path: str, patience: float, *, trusts_anybody: bool = False) -> None:
        """patience: for the greeting, seconds. trusts_anybody: whoever listens at this path is the right one,
        because a person has named it. ControlError: it is not."""
        self.path = path
        self._received = bytearray()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._open(patience, trusts_anybody)
        except BaseException:
            self.close()
            raise

    def _open(self, patience: float, trusts_anybody: bool) -> None:
        self._socket.settimeout(patience)
        try:
            self._socket.connect(os.fsencode(self.path))
        except OSError as error:
            reason = _WHY.get(error.errno or 0) or error.strerror or "timed out"
            raise ControlError(f"{self.path}: {reason}") from None
        server = peer_of(self._socket)
        if not trusts_anybody and os.geteuid() != 0 and server.uid not in (0, os.geteuid()):
            raise ControlError(f"{self.path}: a process of user {server.uid} listens there")
        self.greeting = self._message(time.monotonic() + patience)
        if self.greeting.get("ok") is False:
            raise ControlError(f"{self.path}: {self.greeting.get('say')}")
        if not isinstance(self.greeting.get("protocol"), int):
            raise ControlError(f"{self.path}: whoever listens there is not a master of Tricorn's")
        if self.greeting["protocol"] > VERSION:
            raise ControlError(
                f"{self.path}: the server speaks protocol {self.greeting['protocol']}, not {VERSION}; "
                "use the program that came with it"
            )
        self.pid = int(self.greeting.get("pid", 0))
        self.is_seen_as = server.pid == self.pid

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def ask(self, question: Message, deadline: float | None = None) -> Message:
        """The answer. deadline: a monotonic instant, None: as long as it takes. NoAnswerError: it did not
        come until then; ControlError: it never will."""
        try:
            self._socket.settimeout(_left(deadline))
            self._socket.sendall(encoded(question))
        except TimeoutError:
            raise NoAnswerError("the server does not answer") from None
        except OSError as error:
            raise ControlError(f"the connection was lost: {error.strerror}") from None
        return self._message(deadline)

    def wait_closed(self, deadline: float | None) -> bool:
        """Whether the master has ended, or at least closed the connection, until then."""
        # Between its close of the socket and its end are the last steps of a process.
        watch = _maybe_process(self.pid) if self.is_seen_as else None
        try:
            for fd in (self._socket.fileno(), watch):
                if fd is not None and not select.select([fd], [], [], _left(deadline))[0]:
                    return False
        except TimeoutError:
            return False
        finally:
            if watch is not None:
                os.close(watch)
        return True

    def _message(self, deadline: float | None) -> Message:
        try:
            return decoded(self._line(deadline))
        except ProtocolError as error:
            raise ControlError(f"{self.path}: what came is {error}") from None

    def _line(self, deadline: float | None) -> bytes:
        while True:
            line, separator, rest = self._received.partition(b"\n")
            if separator:
                self._received = rest
                return bytes(line)
            if len(line) > ANSWER_MAX:
                raise ProtocolError("longer than any answer")
            try:
                self._socket.settimeout(_left(deadline))
                data = self._socket.recv(_PIECE)
            except TimeoutError:
                raise NoAnswerError(f"{self.path}: the server does not answer") from None
            except OSError as error:
                raise ControlError(f"{self.path}: the connection was lost: {error.strerror}") from None
            if not data:
                raise ControlError(f"{self.path}: the server has closed the connection")
            self._received += data


def _left(deadline: float | None) -> float | None:
    """Seconds; None: any time. TimeoutError: none."""
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _maybe_process(pid: int) -> int | None:
    """A descriptor that is readable when the process has ended. None: it has, or it cannot be watched."""
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None
