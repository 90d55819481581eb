"""The floor for ASGI servers: the least that a protocol in Python on uvloop can cost.

    uvloop_floor.py PORT BODY_SIZE [close | websocket]

Each request gets the same prepared answer of BODY_SIZE bytes. With `close` the connection is closed after it.
With `websocket` each connection is upgraded, and each message gets the same prepared frame of BODY_SIZE bytes
(text or, above TEXT_LIMIT, binary). What it looks for is only what it needs to know where a request or a
message ends. Runs in the peers' environment and knows nothing of the rest of this package.
"""

import asyncio
import base64
import hashlib
import re
import struct
import sys

import uvloop

HEAD_END = b"\r\n\r\n"
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.I)
WEBSOCKET_KEY = re.compile(rb"\r\nsec-websocket-key: *(\S+)", re.I)
WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3
MASK_SIZE = 4
TEXT_LIMIT = 16 * 1024  # the messages of the scenarios are text up to here

PORT, BODY_SIZE = int(sys.argv[1]), int(sys.argv[2])
CLOSING = "close" in sys.argv[3:]
UPGRADING = "websocket" in sys.argv[3:]


def http_answer() -> bytes:
    head = (
        "HTTP/1.1 200 OK\r\nServer: floor\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
        f"Content-Type: text/plain\r\nContent-Length: {BODY_SIZE}\r\n" + "Connection: close\r\n" * CLOSING
    )
    return head.encode() + b"\r\n" + b"x" * BODY_SIZE


def echo() -> bytes:
    """RFC 6455 §5.2: FIN and opcode, length, payload."""
    first = b"\x81" if BODY_SIZE <= TEXT_LIMIT else b"\x82"
    if BODY_SIZE < 126:
        length = bytes([BODY_SIZE])
    elif BODY_SIZE < 65536:
        length = b"\x7e" + struct.pack("!H", BODY_SIZE)
    else:
        length = b"\x7f" + struct.pack("!Q", BODY_SIZE)
    return first + length + b"x" * BODY_SIZE


ANSWER = http_answer()
ECHO = echo()
MESSAGE_SIZE = len(ECHO) + MASK_SIZE


class Http(asyncio.Protocol):
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self.waiting = b""  # of an incomplete head
        self.body_left = 0

    def data_received(self, data: bytes) -> None:
        if self.body_left:
            self.take_body(len(data))
        elif data.startswith(b"GET ") and data.endswith(HEAD_END):
            self.answer()
        else:
            self.take_head(self.waiting + data)

    def take_head(self, data: bytes) -> None:
        head, end, body = data.partition(HEAD_END)
        self.waiting = b"" if end else data
        if not end:
            return
        length = CONTENT_LENGTH.search(head)
        self.body_left = int(length[1]) if length else 0
        self.take_body(len(body))

    def take_body(self, size: int) -> None:
        self.body_left -= size
        if self.body_left <= 0:
            self.body_left = 0
            self.answer()

    def answer(self) -> None:
        self.transport.write(ANSWER)
        if CLOSING:
            self.transport.close()


class Upgrade(asyncio.Protocol):
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self.head = b""

    def data_received(self, data: bytes) -> None:
        self.head += data
        if not self.head.endswith(HEAD_END):
            return
        key = WEBSOCKET_KEY.search(self.head)
        assert key
        accept = base64.b64encode(hashlib.sha1(key[1] + WEBSOCKET_GUID).digest())
        self.transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + HEAD_END
        )
        self.transport.set_protocol(WebSocket(self.transport))


class WebSocket(asyncio.Protocol):
    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.size = 0  # bytes that came since the last whole message

    def data_received(self, data: bytes) -> None:
        self.size += len(data)
        while self.size >= MESSAGE_SIZE:
            self.size -= MESSAGE_SIZE
            self.transport.write(ECHO)


async def main() -> None:
    protocol = Upgrade if UPGRADING else Http
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", PORT, backlog=4096)
    await server.serve_forever()


uvloop.run(main())
