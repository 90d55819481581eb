"""The client's end of TLS, with the words of a socket.

Python's SSLSocket cannot be used where a client half-closes: its `shutdown` drops the TLS state and goes on
in plain text. And it takes the end of the socket for the end of the data.

The plan. An `ssl.SSLObject` between two memory BIOs; what is in them is carried over the socket. The
handshake begins at once and goes on with the first operation that needs it, so a client may wait in the
backlog of a server that is not there yet. What was given to `sendall` before that leaves when it can.

Guarantees: strict. A stream that ends without close_notify is a TruncatedError, what follows close_notify
is an AssertionError. Nothing is read before somebody asks for it, so a slow reader is one.

Knows: ssl, one socket. Must not know: HTTP.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from functools import cache
from pathlib import Path
from typing import Any

CERTIFICATES = Path(__file__).parent.parent / "transport" / "certificates"
AUTHORITY = CERTIFICATES / "ca.pem"
NAME = "one.example"
CERTIFICATE = CERTIFICATES / f"{NAME}.pem"  # with its key

RECORD = 16384  # RFC 8446 §5.1: plaintext in one record at most


class TruncatedError(AssertionError):
    """The socket ended, and the server has not said that this is the end."""


@cache
def client_context(
    protocol: str | None = None, at_most: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED
) -> ssl.SSLContext:
    """protocol: what is offered by ALPN (RFC 7301), alone; a server that does not take it is a failure."""
    context = ssl.create_default_context(cafile=str(AUTHORITY))
    context.maximum_version = at_most
    if protocol is not None:
        context.set_alpn_protocols([protocol])
    return context


@cache
def context_for_urls() -> ssl.SSLContext:
    """For clients of libraries, which know the server by its address: its certificate has no such name."""
    context = ssl.create_default_context(cafile=str(AUTHORITY))
    context.check_hostname = False
    return context


def wrap(raw: socket.socket) -> TLSSocket:
    """What the wire "tls" makes of a connected socket."""
    return TLSSocket(raw)


class TLSSocket:
    """As much of a socket as the harness uses."""

    def __init__(
        self,
        raw: socket.socket,
        context: ssl.SSLContext | None = None,
        name: str | None = NAME,
        session: ssl.SSLSession | None = None,
    ) -> None:
        self.raw = raw
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = (context or client_context()).wrap_bio(
            self._incoming, self._outgoing, server_hostname=name, session=session
        )
        self._is_secured = False
        self._is_finished = False  # our close_notify is written
        self._has_ended = False  # theirs is read
        self._unsealed = b""  # plaintext that waits for the handshake
        self._unsent = b""  # ciphertext that the socket did not take
        self._opened = b""  # plaintext that was read before somebody asked for it
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        with contextlib.suppress(OSError):
            self._push()

    # -- the words of a socket

    def sendall(self, data: bytes) -> None:
        """TimeoutError: what is left of it leaves with the operations that follow."""
        self._unsealed += data
        end = self._end()
        self._shake_hands(end)
        self._seal()
        self._push(end)

    def send(self, data: bytes) -> int:
        """At most a record, and only when what was sent before is out."""
        end = self._end()
        self._shake_hands(end)
        self._seal()
        self._push(end)
        self._unsealed = data[:RECORD]
        self._seal()
        with contextlib.suppress(TimeoutError):
            self._push(time.monotonic())
        return min(len(data), RECORD)

    def recv(self, size: int) -> bytes:
        """b"" behind close_notify; then the server has closed its side of the socket, too."""
        end = self._end()
        self._shake_hands(end)
        self._seal()
        try:
            self._push(time.monotonic())
        except TimeoutError:
            pass  # it is still on its way
        except BrokenPipeError:
            self._unsent = b""  # nobody will take it, and what was sent to us may still be read
        while True:
            if self._opened:
                data, self._opened = self._opened[:size], self._opened[size:]
                return data
            if self._has_ended:
                return b""
            if (opened := self._open(size)) is None:
                self._feed(end)
            elif opened:
                return opened
            else:
                self._has_ended = True
                self._expect_end(end)

    def shutdown(self, how: int) -> None:
        """close_notify, then the end of our side of the socket. The other side stays (RFC 8446 §6.1)."""
        assert how == socket.SHUT_WR
        end = self._end()
        self._shake_hands(end)
        self._seal()
        self._say_goodbye()
        self._push(end)
        self.raw.shutdown(how)

    def close(self) -> None:
        """With close_notify, if the server takes it at once."""
        if self.raw.fileno() >= 0 and self._is_secured:
            with contextlib.suppress(OSError, ssl.SSLError):
                self._say_goodbye()
                self._push(time.monotonic())
        self.raw.close()

    def settimeout(self, seconds: float | None) -> None:
        self.raw.settimeout(seconds)

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        self.raw.setsockopt(level, option, value)

    def getsockname(self) -> Any:
        return self.raw.getsockname()

    def getpeername(self) -> Any:
        return self.raw.getpeername()

    def fileno(self) -> int:
        return self.raw.fileno()

    # -- more than a socket has

    def say_goodbye(self) -> None:
        """close_notify alone; the socket stays open."""
        self._say_goodbye()
        self._push(self._end())

    def handshake(self) -> None:
        self._shake_hands(self._end())
        self._push(self._end())

    def ciphertext(self, plaintext: bytes) -> bytes:
        """What `sendall` would send: a record, for the test to deliver."""
        if plaintext:
            self.tls.write(plaintext)
        return self._outgoing.read()

    # -- between the object and the socket

    def _end(self) -> float | None:
        """The monotonic instant at which an operation that begins now has taken too long."""
        timeout = self.raw.gettimeout()
        return None if timeout is None else time.monotonic() + timeout

    @contextlib.contextmanager
    def _until(self, end: float | None) -> Any:
        """The socket waits until then at the longest."""
        timeout = self.raw.gettimeout()
        self.raw.settimeout(None if end is None else max(0.0, end - time.monotonic()))
        try:
            yield
        except BlockingIOError:
            raise TimeoutError("timed out") from None
        finally:
            if self.raw.fileno() >= 0:
                self.raw.settimeout(timeout)

    def _shake_hands(self, end: float | None) -> None:
        while not self._is_secured:
            try:
                self.tls.do_handshake()
                self._is_secured = True
            except ssl.SSLWantReadError:
                self._push(end)
                self._feed(end)
            except ssl.SSLError:
                with contextlib.suppress(OSError):
                    self._push(end)  # our alert
                raise

    def _seal(self) -> None:
        if self._unsealed:
            data, self._unsealed = self._unsealed, b""
            self.tls.write(data)

    def _push(self, end: float | None = None) -> None:
        """Send what the object has written."""
        self._unsent += self._outgoing.read()
        with self._until(end):
            while self._unsent:
                self._unsent = self._unsent[self.raw.send(self._unsent[:262144]) :]

    def _feed(self, end: float | None) -> None:
        """Wait for ciphertext, once."""
        with self._until(end):
            data = self.raw.recv(65536)
        if not data:
            self._has_ended = True
            raise TruncatedError("the server closed without close_notify")
        self._incoming.write(data)

    def _open(self, size: int) -> bytes | None:
        """Plaintext that is here, b"" for close_notify, None if more is needed for either."""
        try:
            return self.tls.read(size)
        except ssl.SSLWantReadError:
            return None
        except ssl.SSLZeroReturnError:
            return b""

    def _expect_end(self, end: float | None) -> None:
        """RFC 8446 §6.1: what comes behind close_notify is ignored. We know that nothing does."""
        with self._until(end):
            rest = self.raw.recv(65536)
        assert not rest, f"bytes behind close_notify: {rest[:100]!r}"

    def _say_goodbye(self) -> None:
        """`unwrap` also looks for theirs and must not find data there, so what is here is opened first."""
        if self._is_finished:
            return
        self._is_finished = True
        while not self._has_ended and (data := self._open(RECORD)):
            self._opened += data
        with contextlib.suppress(ssl.SSLError):
            self.tls.unwrap()
