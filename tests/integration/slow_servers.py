"""Servers that others wait for: each question is answered only when so many are asked.

    with crowd(redis, 4) as port:       # four clients get their answer, three never

So whoever gets answers from one has waited beside the others. They speak as much of their protocols as a
driver needs to connect and to ask once.

Knows: the protocols. Must not know: who asks.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import BinaryIO

ANSWER = b"slow"
LONGEST = 20.0

#: Speaks to one client; calls what it is given before it answers.
Speaks = Callable[[BinaryIO, Callable[[], object]], None]


@contextlib.contextmanager
def crowd(speaks: Speaks, number: int) -> Iterator[int]:
    """The port of a server for so many clients, each of which it has a thread for."""
    everybody = threading.Barrier(number)

    def serve(client: socket.socket) -> None:
        # What a test says of it is that its client has got no answer.
        with client, contextlib.suppress(OSError, EOFError, threading.BrokenBarrierError):
            speaks(client.makefile("rwb"), lambda: everybody.wait(LONGEST))

    with _listening(number) as listener:

        def accept() -> None:
            for _ in range(number):
                threading.Thread(target=serve, args=(listener.accept()[0],)).start()

        with _beside(accept):
            yield listener.getsockname()[1]


@contextlib.contextmanager
def http_crowd(number: int) -> Iterator[int]:
    """The same for HTTP, and for any number: one thread has all of them."""
    with _listening(number) as listener:

        def serve() -> None:
            clients = [listener.accept()[0] for _ in range(number)]
            for client in clients:
                client.recv(65536)
                client.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\n" + ANSWER)
                client.close()

        with _beside(serve):
            yield listener.getsockname()[1]


@contextlib.contextmanager
def _listening(number: int) -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=number) as listener:
        listener.settimeout(LONGEST)
        yield listener


@contextlib.contextmanager
def _beside(function: Callable[[], None]) -> Iterator[None]:
    def run() -> None:
        with contextlib.suppress(OSError):
            function()

    thread = threading.Thread(target=run)
    thread.start()
    yield
    thread.join(LONGEST)


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


def _say(stream: BinaryIO, *parts: bytes) -> None:
    stream.write(b"".join(parts))
    stream.flush()


# -- Redis: RESP2


def redis(stream: BinaryIO, meet: Callable[[], object]) -> None:
    while line := stream.readline():
        words = []
        for _ in range(int(line[1:])):
            size = int(stream.readline()[1:])
            words.append(_exactly(stream, size + 2)[:size])
        if words[0].upper() == b"GET":
            meet()
            _say(stream, b"$%d\r\n%b\r\n" % (len(ANSWER), ANSWER))
        else:
            _say(stream, b"+OK\r\n")


# -- MySQL: the text protocol of 4.1, without deprecating the packet EOF

#: LONG_PASSWORD, PROTOCOL_41, TRANSACTIONS, SECURE_CONNECTION, PLUGIN_AUTH
_MYSQL_CAN = 0x1 | 0x200 | 0x2000 | 0x8000 | 0x80000
_MYSQL_OK, _MYSQL_EOF = b"\x00\x00\x00\x02\x00\x00\x00", b"\xfe\x00\x00\x02\x00"
_MYSQL_UTF8 = 45


def mysql(stream: BinaryIO, meet: Callable[[], object]) -> None:
    _say_mysql(
        stream,
        0,
        b"\x0a8.0.0-slow\x00" + struct.pack("<I", 1) + b"s" * 8 + b"\x00",
        struct.pack("<HBHHB", _MYSQL_CAN & 0xFFFF, _MYSQL_UTF8, 2, _MYSQL_CAN >> 16, 21),
        b"\x00" * 10 + b"s" * 12 + b"\x00mysql_native_password\x00",
    )
    _read_mysql(stream)
    _say_mysql(stream, 2, _MYSQL_OK)
    while (asked := _read_mysql(stream))[0] == 3:  # COM_QUERY
        if not asked[1:].upper().startswith(b"SELECT"):
            _say_mysql(stream, 1, _MYSQL_OK)
            continue
        meet()
        column = b"\x03def" + b"\x00" * 3 + b"\x01x\x00\x0c" + struct.pack("<HIBHB", 45, 80, 0xFD, 0, 0)
        row = bytes([len(ANSWER)]) + ANSWER
        for number, packet in enumerate((b"\x01", column + b"\x00\x00", _MYSQL_EOF, row, _MYSQL_EOF), 1):
            _say_mysql(stream, number, packet)


def _say_mysql(stream: BinaryIO, number: int, *parts: bytes) -> None:
    payload = b"".join(parts)
    _say(stream, struct.pack("<I", len(payload))[:3], bytes([number]), payload)


def _read_mysql(stream: BinaryIO) -> bytes:
    head = _exactly(stream, 4)
    return _exactly(stream, int.from_bytes(head[:3], "little"))


# -- PostgreSQL: the simple queries of its protocol 3

_POSTGRES_SETTINGS = {
    "server_version": "16.0",
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "DateStyle": "ISO, MDY",
    "integer_datetimes": "on",
}
_NO_TLS, _NO_GSS = 80877103, 80877104


def postgres(stream: BinaryIO, meet: Callable[[], object]) -> None:
    while struct.unpack("!I", _read_postgres(stream)[:4])[0] in (_NO_TLS, _NO_GSS):
        _say(stream, b"N")
    settings = [
        _postgres(b"S", name.encode(), b"\x00", value.encode(), b"\x00")
        for name, value in _POSTGRES_SETTINGS.items()
    ]
    _say(stream, _postgres(b"R", b"\x00" * 4), *settings, _postgres(b"K", b"\x00" * 8), _postgres(b"Z", b"I"))
    while (kind := _exactly(stream, 1)) == b"Q":
        query = _read_postgres(stream).upper()
        if query.startswith(b"SELECT"):
            meet()
            field = struct.pack("!hIhIhih", 1, 0, 0, 25, -1, -1, 0)
            _say(
                stream,
                _postgres(b"T", field[:2], b"x\x00", field[2:]),
                _postgres(b"D", struct.pack("!hi", 1, len(ANSWER)), ANSWER),
                _postgres(b"C", b"SELECT 1\x00"),
                _postgres(b"Z", b"T"),
            )
        else:
            word = query.rstrip(b"\x00;").split()[0]
            _say(stream, _postgres(b"C", word, b"\x00"), _postgres(b"Z", b"T" if word == b"BEGIN" else b"I"))
    assert kind == b"X"


def _postgres(kind: bytes, *parts: bytes) -> bytes:
    payload = b"".join(parts)
    return kind + struct.pack("!I", len(payload) + 4) + payload


def _read_postgres(stream: BinaryIO) -> bytes:
    size: int = struct.unpack("!I", _exactly(stream, 4))[0]
    return _exactly(stream, size - 4)
