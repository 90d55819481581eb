"""A WebSocket client that sends exactly the frames it is told to, and reads those of the server strictly.

Knows: RFC 6455 §4.1 and §5. Must not know: what the test wants. For everything that a well-behaved client
does there is the `websockets` package; this one is for what such a client would never do.
"""

from __future__ import annotations

import base64
import hashlib
import os
import ssl
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from harness import tls
from harness.cases import head
from harness.client import BadResponseError, Client, Response
from harness.http2.bridge import carried
from harness.server import Server

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
FIN, RSV1, RSV2, RSV3 = 0x80, 0x40, 0x20, 0x10

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
UPGRADE = (
    b"Upgrade: websocket",
    b"Connection: Upgrade",
    b"Sec-WebSocket-Key: " + KEY,
    b"Sec-WebSocket-Version: 13",
)
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
ACCEPT = base64.b64encode(hashlib.sha1(KEY + _GUID).digest()).decode()


def for_websockets(server: Server, path: str) -> dict[str, Any]:
    """What `connect` of the `websockets` package takes to come to this server: a socket of ours (no proxy,
    no name to look up), and TLS of its own. Where requests are streams that is the wire's."""
    if server.wire.multiplexed:
        return {"uri": f"ws://{tls.NAME}{path}", "sock": carried(server.connect(timeout=10).socket)}
    is_secure = server.wire.url_scheme == "https"
    return {
        "uri": f"{'wss' if is_secure else 'ws'}://{tls.NAME}{path}",
        "sock": Client(server.address, timeout=10).raw,
        **({"ssl": tls.client_context(at_most=TWO_THREADS)} if is_secure else {}),
    }


#: TLS for the package's client with threads, which reads in one while it writes in another. Python lets both
#: into OpenSSL at once, which that is not made for (python/cpython#151508). With TLS 1.3 a client reads
#: tickets just when the handshake of the WebSocket is sent, and now and then that is lost.
TWO_THREADS = ssl.TLSVersion.TLSv1_2


def handshake(path: str, *lines: bytes) -> bytes:
    return head(*UPGRADE, *lines, start=f"GET {path} HTTP/1.1".encode())


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    bits: int = 0,
    mask: bytes | None = b"\x12\x34\x56\x78",
    width: int | None = None,
    length: int | None = None,
) -> bytes:
    """One frame. mask: None sends none. width: bytes of the length, else the fewest. length: a false one."""
    size = len(payload) if length is None else length
    if width is None:
        width = 1 if size < 126 else 2 if size < 65536 else 8
    field = bytes([size]) if width == 1 else bytes([126 if width == 2 else 127]) + size.to_bytes(width)
    masked = bytes([field[0] | (0x80 if mask is not None else 0)]) + field[1:]
    start = bytes([(FIN if fin else 0) | bits | opcode]) + masked
    if mask is None:
        return start + payload
    repeated = (mask * (len(payload) // 4 + 1))[: len(payload)]
    hidden = int.from_bytes(payload) ^ int.from_bytes(repeated)
    return start + mask + hidden.to_bytes(len(payload))


def close_payload(code: int, reason: bytes = b"") -> bytes:
    return code.to_bytes(2) + reason


@dataclass
class Frame:
    opcode: int
    payload: bytes
    fin: bool
    compressed: bool

    @property
    def code(self) -> int:
        """Of a close frame; 1005 if it has none."""
        assert self.opcode == CLOSE, self
        return int.from_bytes(self.payload[:2]) if self.payload else 1005

    @property
    def reason(self) -> str:
        return self.payload[2:].decode("utf-8")


class Socket:
    """One WebSocket, opened when this is made, or refused: then `response` is what came instead of a 101."""

    def __init__(
        self,
        server: Server,
        path: str,
        *lines: bytes,
        behind: bytes = b"",
        timeout: float = 4.0,
        receive_buffer: int | None = None,
    ) -> None:
        self.client = server.connect(timeout=timeout, receive_buffer=receive_buffer)
        self.client.send(handshake(path, *lines) + behind)
        self.response = self._opened()

    def __enter__(self) -> Socket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()

    def _opened(self) -> Response:
        response = self.client.response()
        if response.status != 101:
            return response
        assert response.get("Upgrade") == "websocket"
        assert "upgrade" in response.connection
        assert response.get("Sec-WebSocket-Accept") == ACCEPT
        assert response.get("Content-Length") is None
        assert response.get("Transfer-Encoding") is None
        return response

    def send(self, opcode: int, payload: bytes = b"", **how: object) -> bool:
        return self.client.send(frame(opcode, payload, **how))  # type: ignore[arg-type]

    def text(self, text: str) -> bool:
        return self.send(TEXT, text.encode("utf-8"))

    def receive(self) -> Frame:
        """One frame of the server: RFC 6455 §5.1 and §5.2 hold for it."""
        first, second = self.client.read_exactly(2)
        if first & (RSV2 | RSV3) or second & 0x80:
            raise BadResponseError(f"a frame that starts with {first:#04x} {second:#04x}")
        opcode, size = first & 0x0F, second & 0x7F
        if opcode & 8 and (size > 125 or not first & FIN):
            raise BadResponseError("a control frame that is long or fragmented")
        if size > 125:
            width = 2 if size == 126 else 8
            size = int.from_bytes(self.client.read_exactly(width))
            if size < (126 if width == 2 else 65536):
                raise BadResponseError("a length that is longer than it has to be")
        payload = self.client.read_exactly(size)
        assert len(payload) == size, "the connection ended in a frame"
        return Frame(opcode, payload, bool(first & FIN), bool(first & RSV1))

    def message(self) -> str | bytes:
        """The next message in one uncompressed frame; pings are answered on the way."""
        while (got := self.receive()).opcode == PING:
            self.send(PONG, got.payload)
        assert got.opcode in {TEXT, BINARY}, got
        assert got.fin
        assert not got.compressed
        return got.payload.decode("utf-8") if got.opcode == TEXT else got.payload

    def closed_with(self) -> int:
        """The server's close frame, which is answered; then nothing more comes."""
        got = self.receive()
        assert got.opcode == CLOSE, got
        self.send(CLOSE, got.payload)
        self.client.wait_closed()
        return got.code

    def failed_with(self) -> int:
        """The code of a close frame behind which the server hangs up, whatever we do."""
        got = self.receive()
        assert got.opcode == CLOSE, got
        assert len(got.reason) < 100
        self.client.finish()
        self.client.wait_closed()
        return got.code

    def close(self, code: int = 1000, reason: bytes = b"") -> Frame:
        """A clean end from our side: the server's answer."""
        self.send(CLOSE, close_payload(code, reason))
        got = self.receive()
        self.client.wait_closed()
        return got

    def is_lost(self) -> bool:
        """Whether the server has given up on us, found out without reading any of its messages."""
        return self.client.is_lost() if self.client.multiplexed else not self.send(PONG, b"?")

    def ping(self) -> None:
        """Whatever was sent before this has been read."""
        token = os.urandom(8)
        self.send(PING, token)
        got = self.receive()
        assert (got.opcode, got.payload) == (PONG, token), got
