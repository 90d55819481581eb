"""A client that sends exactly the bytes it is given, and reads responses strictly.

Knows: one socket; how a response is framed (RFC 9112 §6.3). Must not know: what the test wants.
A response that breaks the grammar is a failure here, wherever it was read: there is no lenient mode.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from harness.patience import PATIENCE
from harness.tls import TruncatedError

#: Longer than any healthy answer takes on a busy machine, shorter than any default time limit of the server.
DEADLINE = 4.0

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9]) ([\t \x21-\x7e\x80-\xff]*)")
_FIELD_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*")
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})")

Address = Any  #: (host, port) or a path, whatever `socket.connect` takes


class BadResponseError(AssertionError):
    """The server sent something that is not a response of HTTP/1.1."""


class ClosedError(AssertionError):
    """The connection ended where a response was expected. `received` holds what came of it.

    Its cause is a TruncatedError if the wire did not say goodbye, as that of a server that crashed does not.
    """

    def __init__(self, received: bytes, *, reset: bool) -> None:
        how = "reset" if reset else "closed"
        super().__init__(f"connection {how} after {received[:200]!r}")
        self.received = received
        self.reset = reset


@dataclass
class Response:
    """One final response and the interim ones before it.

    framing: how the end of the body was found: "none", "length", "chunked" or "close".
    complete: False when the connection ended before the framing said so.
    """

    version: bytes
    status: int
    reason: str
    fields: list[tuple[str, str]]
    body: bytes = b""
    framing: str = "none"
    complete: bool = True
    chunks: list[bytes] = field(default_factory=list)
    trailers: list[tuple[str, str]] = field(default_factory=list)
    interim: list[Response] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        values = self.all(name)
        assert len(values) <= 1, f"{name} stands {len(values)} times: {values}"
        return values[0] if values else None

    @property
    def connection(self) -> set[str]:
        """The tokens of `Connection`, in lower case."""
        return {token.strip().lower() for value in self.all("Connection") for token in value.split(",")}


class Client:
    """One connection.

    `send` never raises when the server has hung up: a server may refuse a message before it was sent whole,
    and what it answered is still to be read. `hung_up` remembers it.
    """

    def __init__(
        self,
        address: Address,
        *,
        source: str | None = None,
        timeout: float = DEADLINE,
        receive_buffer: int | None = None,
        wrap: Callable[[socket.socket], Any] | None = None,
    ) -> None:
        family = socket.AF_UNIX
        if isinstance(address, tuple):
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.raw = socket.socket(family, socket.SOCK_STREAM)
        self.socket: Any = self.raw  # or what a wire makes of it
        if receive_buffer is not None:  # before connect(): the window is announced in the handshake
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if family != socket.AF_UNIX:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        timeout *= PATIENCE
        self.socket.settimeout(timeout)
        if source is not None:
            self.socket.bind((source, 0))
        self.timeout = timeout
        self.buffer = b""
        self.ended = False
        self.reset = False
        self.hung_up = False
        self.takes_trailers = False  # else a trailer section is an error
        self.socket.connect(address)
        if wrap is not None:
            self.socket = wrap(self.socket)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def name(self) -> tuple[str, int]:
        """Our own end: (address, port)."""
        name = self.socket.getsockname()
        return name[0], name[1]

    def secured(self) -> Client:
        """Behind the handshake, where the wire has one; else it waits for the first bytes."""
        if self.socket is not self.raw:
            self.socket.handshake()
        return self

    # -- sending

    @property
    def multiplexed(self) -> bool:
        """Requests are streams: what ends one of them leaves the connection open."""
        return bool(getattr(self.socket, "multiplexed", False))

    def send(self, data: bytes) -> bool:
        """Send all of it; False when the server has hung up in the meantime."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            self.hung_up = True
            return False
        return True

    def send_ahead(self, data: bytes) -> None:
        """To a server that need not be there yet. Over TLS it leaves behind the handshake, with which whoever
        reads goes on."""
        self.socket.settimeout(0.01)
        with contextlib.suppress(TimeoutError):
            self.send(data)
        self.socket.settimeout(self.timeout)

    def send_some(self, data: bytes, *, until: float) -> int:
        """Send what the server takes before the monotonic instant `until`; how many bytes that were."""
        sent = 0
        with contextlib.suppress(TimeoutError, BrokenPipeError, ConnectionResetError):
            while sent < len(data) and (left := until - time.monotonic()) > 0:
                self.socket.settimeout(left)
                sent += self.socket.send(data[sent : sent + 65536])
        self.socket.settimeout(self.timeout)
        return sent

    def finish(self) -> None:
        """Half-close: nothing more will be sent."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def abort(self) -> None:
        """Reset the connection, as a crashed client does."""
        self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.raw.close()

    def close(self) -> None:
        self.socket.close()

    # -- receiving

    def more(self) -> bool:
        """Receive once into the buffer; False at the end of the stream."""
        if self.ended:
            return False
        try:
            data = self.socket.recv(262144)
        except ConnectionResetError:
            self.reset = True
            data = b""
        except TimeoutError:
            raise AssertionError(
                f"nothing came for {self.timeout} s; so far {len(self.buffer)} bytes: {self.buffer[:300]!r}"
            ) from None
        if not data:
            self.ended = True
            return False
        self.buffer += data
        return True

    def read_until(self, mark: bytes) -> bytes:
        """All bytes up to `mark`, which is dropped."""
        while (at := self.buffer.find(mark)) < 0:
            try:
                has_ended = not self.more()
            except TruncatedError as error:
                raise ClosedError(self.buffer, reset=True) from error
            if has_ended:
                raise ClosedError(self.buffer, reset=self.reset)
        found, self.buffer = self.buffer[:at], self.buffer[at + len(mark) :]
        return found

    def read_exactly(self, count: int) -> bytes:
        """`count` bytes, or fewer when the stream ends."""
        parts = [self.buffer]  # a list: appending megabytes to one bytes object is quadratic
        have = len(self.buffer)
        self.buffer = b""
        while have < count and self.more():
            parts.append(self.buffer)
            have += len(self.buffer)
            self.buffer = b""
        data = b"".join(parts)
        self.buffer = data[count:]
        return data[:count]

    def read_to_end(self) -> bytes:
        """All that is left until the server closes."""
        parts = [self.buffer]
        self.buffer = b""
        while self.more():
            parts.append(self.buffer)
            self.buffer = b""
        return b"".join(parts)

    def wait_closed(self) -> None:
        """The server closes without another byte."""
        rest = self.read_to_end()
        assert rest == b"", f"stray bytes before the end: {rest[:300]!r}"

    def wait_refused(self, response: Response) -> None:
        """Behind a refusal: the server says that it closes, and does so. Where requests are streams it does
        not."""
        if not self.multiplexed:
            assert "close" in response.connection, "RFC 9112 §9.6: a server that closes says so"
            self.wait_closed()

    def is_lost(self) -> bool:
        """Whether the server has given up on a client that does not read, found out without reading: by
        writing."""
        if self.multiplexed:
            lost: bool = self.socket.is_lost()
            return lost
        return not self.send(b"\r")

    def is_quiet(self, seconds: float) -> bool:
        """True when neither a byte nor the end of the stream came within `seconds`."""
        if self.buffer or self.ended:
            return False
        self.socket.settimeout(seconds)
        try:
            self.buffer = self.socket.recv(65536)
        except TimeoutError:
            return True
        except ConnectionResetError:
            self.reset = self.ended = True
        finally:
            self.socket.settimeout(self.timeout)
        self.ended = self.ended or not self.buffer
        return False

    def interim(self) -> Response:
        """One 1xx response."""
        response = self._head()
        assert 100 <= response.status < 200, f"expected an interim response, got {response.status}"
        return response

    def response(self, method: str = "GET") -> Response:
        """The next final response to `method`, with the interim ones before it."""
        interim = []
        while True:
            response = self._head()
            if response.status >= 200 or response.status == 101:
                break
            interim.append(response)
        response.interim = interim
        self._body(response, method)
        return response

    def maybe_response(self, method: str = "GET") -> Response | None:
        """A response, or None when the connection ended without a byte of one."""
        if not self.buffer and not self.more():
            return None
        return self.response(method)

    def _head(self) -> Response:
        lines = self.read_until(b"\r\n\r\n").split(b"\r\n")
        status_line = _STATUS_LINE.fullmatch(lines[0])
        if status_line is None:
            raise BadResponseError(f"status line {lines[0]!r}")
        fields = [_field(line) for line in lines[1:]]
        return Response(lines[0][:8], int(status_line[1]), status_line[2].decode("latin-1"), fields)

    def _body(self, response: Response, method: str) -> None:
        lengths = response.all("Content-Length")
        codings = response.all("Transfer-Encoding")
        if len(lengths) > 1 or (lengths and codings):
            raise BadResponseError(f"ambiguous framing: {response.fields}")
        if lengths and not re.fullmatch("[0-9]+", lengths[0]):
            raise BadResponseError(f"Content-Length: {lengths[0]!r}")
        if codings and codings != ["chunked"]:
            raise BadResponseError(f"Transfer-Encoding: {codings!r}")
        if response.status in {101, 204} and (lengths or codings):
            raise BadResponseError(f"{response.status} with framing: {response.fields}")  # RFC 9110 §8.6
        if method == "HEAD" or response.status in {101, 204, 304}:
            return
        if method == "CONNECT" and 200 <= response.status < 300:
            if lengths or codings:  # RFC 9110 §9.3.6
                raise BadResponseError(f"2xx to CONNECT with framing: {response.fields}")
            response.framing = "close"
            response.body = self.read_to_end()
        elif codings:
            response.framing = "chunked"
            self._chunked(response)
        elif lengths:
            response.framing = "length"
            response.body = self.read_exactly(int(lengths[0]))
            response.complete = len(response.body) == int(lengths[0])
        else:
            response.framing = "close"
            response.body = self.read_to_end()

    def _chunked(self, response: Response) -> None:
        try:
            while True:
                line = self.read_until(b"\r\n")
                if not _CHUNK_LINE.fullmatch(line):
                    raise BadResponseError(f"chunk line {line!r}")
                size = int(line, 16)
                if size == 0:
                    while trailer := self.read_until(b"\r\n"):
                        if not self.takes_trailers:
                            raise BadResponseError(f"unexpected trailer {trailer!r}")
                        response.trailers.append(_field(trailer))
                    break
                data = self.read_exactly(size)
                if len(data) < size:
                    response.complete = False
                    break
                if self.read_exactly(2) != b"\r\n":
                    if not self.ended:
                        raise BadResponseError("no CRLF after chunk data")
                    response.complete = False
                    break
                response.chunks.append(data)
        except ClosedError as error:
            if error.received.strip(b"0123456789abcdefABCDEF\r"):
                raise BadResponseError(f"stray bytes in place of a chunk: {error.received[:200]!r}") from None
            response.complete = False
        response.body = b"".join(response.chunks)


def _field(line: bytes) -> tuple[str, str]:
    match = _FIELD_LINE.fullmatch(line)
    if match is None:
        raise BadResponseError(f"field line {line!r}")
    return match[1].decode("ascii"), match[2].decode("latin-1")
