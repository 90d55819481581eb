"""WebSocket frames as a client sends and reads them (RFC 6455).

For the check before a measurement, and for idle WebSockets. Load comes from `wsload.c`.

Knows nothing of scenarios or servers."""

import base64
import os
import socket
import struct
import zlib
from dataclasses import dataclass

KEY = base64.b64encode(bytes(16)).decode()
OFFER = "permessage-deflate; client_no_context_takeover; server_no_context_takeover; client_max_window_bits"
HEAD_END = b"\r\n\r\n"
FIN, RSV1, MASKED = 0x80, 0x40, 0x80
TEXT, BINARY = 1, 2
# Suits a server that grants `client_max_window_bits=12`, too; the text is shorter than such a window.
WINDOW_BITS = 12
FLUSH_TAIL = b"\x00\x00\xff\xff"  # RFC 7692 §7.2.1


class FrameError(Exception):
    """The server did not speak WebSocket as it should; the text says where."""


@dataclass(frozen=True)
class Frame:
    opcode: int
    payload: bytes
    compressed: bool = False


def handshake(deflate: bool = False) -> bytes:
    extensions = f"Sec-WebSocket-Extensions: {OFFER}\r\n" if deflate else ""
    return (
        "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{extensions}\r\n"
    ).encode()


def masked(frame: Frame) -> bytes:
    """One whole message as a client sends it."""
    size = len(frame.payload)
    first = FIN | frame.opcode | (RSV1 if frame.compressed else 0)
    if size < 126:
        head = bytes([first, MASKED | size])
    elif size < 65536:
        head = bytes([first, MASKED | 126]) + struct.pack("!H", size)
    else:
        head = bytes([first, MASKED | 127]) + struct.pack("!Q", size)
    mask = os.urandom(4)
    stream = (mask * (size // 4 + 1))[:size]
    body = int.from_bytes(frame.payload, "big") ^ int.from_bytes(stream, "big")
    return head + mask + body.to_bytes(size, "big")


def deflated(text: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-WINDOW_BITS)
    data = compressor.compress(text) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return data.removesuffix(FLUSH_TAIL)


def inflated(data: bytes) -> bytes:
    return zlib.decompressobj(wbits=-15).decompress(data + FLUSH_TAIL)


def read_head(sock: socket.socket) -> tuple[bytes, bytes]:
    """The answer to the handshake, and what came after it."""
    data = b""
    while HEAD_END not in data:
        piece = sock.recv(65536)
        if not piece:
            raise FrameError(f"closed during the handshake: {data[:100]!r}")
        data += piece
    head, _, rest = data.partition(HEAD_END)
    if not head.startswith(b"HTTP/1.1 101 "):
        raise FrameError(f"no upgrade: {head.splitlines()[0]!r}")
    return head, rest


def read_message(sock: socket.socket, data: bytes = b"") -> Frame:
    """The next text or binary message, put together from its frames; pings and pongs are passed over."""
    opcode, compressed, payload = 0, False, b""
    while True:
        while (size := frame_size(data)) > len(data):
            piece = sock.recv(65536)
            if not piece:
                raise FrameError("closed in a message")
            data += piece
        frame, data = data[:size], data[size:]
        kind = frame[0] & 0x0F
        if kind == 8:
            raise FrameError(f"closed with {frame[2:]!r}")
        if kind > 8:
            continue
        if kind:
            opcode, compressed = kind, bool(frame[0] & RSV1)
        payload += frame[head_size(frame) :]
        if frame[0] & FIN:
            return Frame(opcode, payload, compressed)


def head_size(data: bytes) -> int:
    return {126: 4, 127: 10}.get(data[1], 2)


def frame_size(data: bytes) -> int:
    """Of the frame that begins here; while its length cannot be read yet, one byte more than there is."""
    if len(data) < 2 or len(data) < head_size(data):
        return len(data) + 1
    head = head_size(data)
    return head + (data[1] if head == 2 else int.from_bytes(data[2:head], "big"))


def echo_once(port: int, message: Frame, plain: bytes) -> Frame:
    """Opens a WebSocket, sends one message and returns the echo, which must say the same as `plain`."""
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        sock.sendall(handshake(message.compressed))
        head, rest = read_head(sock)
        if message.compressed and b"permessage-deflate" not in head.lower():
            raise FrameError("does not agree to permessage-deflate")
        sock.sendall(masked(message))
        echo = read_message(sock, rest)
    text = inflated(echo.payload) if echo.compressed else echo.payload
    if (echo.opcode, echo.compressed, text) != (message.opcode, message.compressed, plain):
        raise FrameError(f"another echo: opcode {echo.opcode}, {len(text)} bytes")
    return echo


# ---- HTTP/2: as much as an idle connection says before it is idle ----

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = bytes.fromhex("000000 04 00 00000000")
DATA, HEADERS = 0, 1
END_STREAM = 1


def http2_get() -> bytes:
    """`GET /` on the first stream of a new connection: fields of the static table, and `:authority` (RFC
    7541)."""
    block = b"\x82\x86\x84\x01" + bytes([len(b"127.0.0.1")]) + b"127.0.0.1"
    return PREFACE + SETTINGS + len(block).to_bytes(3, "big") + b"\x01\x05" + (1).to_bytes(4, "big") + block


def is_answered(received: bytes) -> bool:
    """The end of a stream has come."""
    at = 0
    while len(received) >= at + 9:
        if received[at + 3] in (DATA, HEADERS) and received[at + 4] & END_STREAM:
            return True
        at += 9 + int.from_bytes(received[at : at + 3], "big")
    return False
