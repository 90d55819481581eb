"""Frames of HTTP/2 clients, mostly bent, at a running server: there is no parser of ours without a
connection.

Whatever comes, the server answers in whole frames that a client would take, ends the connection when the
client has ended it, and serves the next one.

Knows: the wire format, the harness. Must not know: what is right.
"""

from __future__ import annotations

import atexit
import random
import socket
import zlib
from functools import cache

from harness.axes import ONE_OF_EACH
from harness.client import BadResponseError
from harness.http2 import frames
from harness.http2.frames import PREFACE, Setting, Type, block
from harness.http2.strict import Strict
from harness.server import Server

from fuzz.messages import bend

DEADLINE = 5.0
FIELDS = (
    (b":method", b"GET"),
    (b":scheme", b"http"),
    (b":authority", b"a.example"),
    (b":path", b"/"),
    (b"x", b"y"),
    (b"content-length", b"5"),
    (b"te", b"trailers"),
    (b"cookie", b"a=b"),
    (b"connection", b"close"),
    (b":protocol", b"websocket"),
    (b"X", b"y"),
    (b"", b""),
    (b"priority", b"u=1, i"),
    (b":status", b"200"),
)
NUMBERS = (0, 1, 2, 3, 5, 7, 0x7FFFFFFF)


def _block(chance: random.Random) -> bytes:
    fields = list(FIELDS[:4])
    fields += [chance.choice(FIELDS) for _ in range(chance.choice((0, 0, 1, 3)))]
    if chance.random() < 0.2:
        chance.shuffle(fields)
    data = block(*fields)
    return bend(chance, data) if chance.random() < 0.1 else data


def _frame(chance: random.Random) -> bytes:
    stream = chance.choice((1, 3, 5))
    match chance.randrange(14):
        case 0 | 1 | 2:
            return frames.headers(
                stream, _block(chance), end=chance.random() < 0.7, pad=chance.choice((None, None, 3))
            )
        case 3 | 4:
            return frames.data(
                stream,
                b"d" * chance.choice((0, 1, 5, 1000)),
                end=chance.random() < 0.5,
                pad=chance.choice((None, 9)),
            )
        case 5:
            whole = _block(chance)
            return b"".join(frames.in_pieces(stream, whole, chance.choice((1, 7, 20)), end=True))
        case 6:
            return frames.rst_stream(stream, chance.randrange(20))
        case 7:
            return frames.settings([(chance.randrange(10), chance.choice((0, 1, 16384, 65535, 1 << 31)))])
        case 8:
            return frames.ping(ack=chance.random() < 0.2)
        case 9:
            return frames.window_update(chance.choice((0, stream)), chance.choice((0, 1, 1000, 0x7FFFFFFF)))
        case 10:
            return frames.priority(stream, on=chance.choice(NUMBERS))
        case 11:
            return frames.priority_update(stream, chance.choice((b"u=1", b"i", b"u=\xff", b"")))
        case 12:
            return frames.goaway(chance.choice(NUMBERS), chance.randrange(20))
        case _:
            payload = chance.randbytes(chance.choice((0, 4, 5, 8, 30)))
            return frames.frame(chance.randrange(20), chance.randrange(256), chance.choice(NUMBERS), payload)


def any_http2(chance: random.Random) -> bytes:
    """What stands behind the preface: mostly right, with a fault or two."""
    parts = [_frame(chance) for _ in range(chance.choice((1, 3, 10)))]
    for _ in range(chance.choice((0, 0, 1, 2))):
        at = chance.randrange(len(parts))
        parts[at] = bend(chance, parts[at])
    return b"".join(parts)


@cache
def _server(kind: str) -> Server:
    server = Server("echo:app", ("--workers", "1"), kind=kind, wire="h2c").start()
    atexit.register(server.kill)
    return server


def check_http2(data: bytes) -> None:
    server = _server(ONE_OF_EACH[zlib.crc32(data) % len(ONE_OF_EACH)])
    strict = Strict()
    first = frames.settings({Setting.ENABLE_PUSH: 0})
    strict.sends(first + data)
    with socket.create_connection(server.address) as raw:
        raw.settimeout(DEADLINE)
        received = b""
        try:
            raw.sendall(PREFACE + first + data)
            raw.shutdown(socket.SHUT_WR)
            while piece := raw.recv(1 << 16):
                received += piece
        except (BrokenPipeError, ConnectionResetError):
            received += b""  # it has hung up, as it may
    _judge(strict, received)
    server.seen()


def _judge(strict: Strict, received: bytes) -> None:
    """Whole frames, and none that a client would not take; only of which streams there are we may have
    another idea."""
    found, rest = frames.split(received)
    assert not rest or len(rest) < frames.HEAD or int.from_bytes(rest[:3]) <= frames.SMALLEST_MAX_FRAME, rest[
        :20
    ]
    assert not found or found[0].kind == Type.SETTINGS, found[:3]
    try:
        strict.receive(received)
    except BadResponseError as error:
        if not any(section in str(error) for section in ("§5.1:", "§6.9", "RFC 7541", "§5.4.2", "§6.5.3")):
            raise
