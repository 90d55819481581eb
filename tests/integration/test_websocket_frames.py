"""RFC 6455 §5 to §8 and RFC 7692 through a running server: frames, messages, control frames, compression.

The engine has tests of its own; here it is the whole way from socket to application and back. `websockets` is
the judge where a well-behaved client is wanted.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from harness.server import Server, Servers
from harness.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    RSV1,
    RSV2,
    RSV3,
    TEXT,
    Socket,
    close_payload,
    for_websockets,
    frame,
)
from integration.asgi import Notes
from websockets.sync.client import ClientConnection, connect

SOCKETS = "asgi_sockets:app"
SIZES = [0, 1, 125, 126, 127, 65535, 65536, 65537, 300_000]
TAIL = b"\0\0\xff\xff"  # RFC 7692 §7.2.1: what is left out of a compressed message
DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"


@pytest.fixture
def server(servers: Servers) -> Server:
    return servers.get(kind="asgi", app=SOCKETS)


@contextmanager
def judge(server: Server, path: str = "/echo", **options: object) -> Iterator[ClientConnection]:
    """A client of the `websockets` package."""
    with connect(**for_websockets(server, path), **options) as connection:  # type: ignore[arg-type]
        yield connection


# -- messages


@pytest.mark.parametrize("compression", [None, "deflate"])
@pytest.mark.parametrize("size", SIZES)
def test_echo(server: Server, size: int, compression: str | None) -> None:
    with judge(server, compression=compression, max_size=None) as client:
        for message in ("\N{SNOWMAN}" * (size // 3), bytes(random.Random(size).randbytes(size)), "t" * size):
            client.send(message)
            assert client.recv(timeout=8) == message


def test_what_the_application_is_given(server: Server) -> None:
    """The other key is absent or None."""
    with Socket(server, "/echo-keys") as socket:
        socket.text("a")
        assert socket.message() == "{'type': 'websocket.receive', 'text': 'a'}"
        socket.send(BINARY, b"a")
        assert socket.message() == "{'type': 'websocket.receive', 'bytes': b'a'}"
        socket.send(TEXT)
        assert socket.message() == "{'type': 'websocket.receive', 'text': ''}"
        socket.send(BINARY)
        assert socket.message() == "{'type': 'websocket.receive', 'bytes': b''}"


def test_messages_keep_their_order(server: Server) -> None:
    with judge(server) as client:
        for number in range(500):
            client.send(str(number))
        assert [client.recv(timeout=8) for _ in range(500)] == [str(number) for number in range(500)]


def test_fragments_are_one_message(server: Server) -> None:
    """RFC 6455 §5.4; control frames may stand between them, and are answered at once."""
    with Socket(server, "/echo") as socket:
        snowman = "\N{SNOWMAN}".encode()
        socket.send(TEXT, b"a" + snowman[:1], fin=False)
        socket.send(CONTINUATION, b"", fin=False)
        socket.ping()
        socket.send(CONTINUATION, snowman[1:], fin=False)
        socket.send(CONTINUATION, b"z")
        assert socket.message() == "a\N{SNOWMAN}z"
        for at in range(300):
            socket.send(BINARY if at == 0 else CONTINUATION, b"%03d" % at, fin=at == 299)
        assert socket.message() == b"".join(b"%03d" % at for at in range(300))


def test_frames_byte_by_byte(server: Server) -> None:
    with Socket(server, "/echo") as socket:
        wire = frame(TEXT, b"slow", fin=False) + frame(PING, b"p") + frame(CONTINUATION, b"ly" * 70)
        for at in range(len(wire)):
            socket.client.send(wire[at : at + 1])
        got = socket.receive()
        assert (got.opcode, got.payload) == (PONG, b"p")
        assert socket.message() == "slow" + "ly" * 70


@pytest.mark.parametrize("mask", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x01\x80\x7f\xfe"])
@pytest.mark.parametrize("size", [*range(20), 1000, 1001, 1002, 1003])
def test_masks(server: Server, size: int, mask: bytes) -> None:
    """Unmasking goes by words; what is left over is not forgotten."""
    content = bytes(range(256)) * 4
    with Socket(server, "/echo") as socket:
        socket.send(BINARY, content[:size], mask=mask)
        assert socket.message() == content[:size]


# -- pings


@pytest.mark.parametrize("size", [0, 1, 125])
def test_a_ping_is_answered(server: Server, size: int) -> None:
    with Socket(server, "/echo") as socket:
        socket.send(PING, b"p" * size)
        got = socket.receive()
        assert (got.opcode, got.payload) == (PONG, b"p" * size)


def test_pings_that_come_together_are_all_answered(server: Server) -> None:
    """RFC 6455 §5.5.3 would let us answer the last one alone; it is for clients that do not read."""
    with Socket(server, "/echo") as socket:
        socket.client.send(b"".join(frame(PING, b"%d" % number) for number in range(10)))
        assert [socket.receive().payload for _ in range(10)] == [b"%d" % number for number in range(10)]


def test_a_pong_that_nobody_asked_for_is_ignored(server: Server) -> None:
    with Socket(server, "/echo") as socket:
        socket.send(PONG, b"x")
        socket.text("still here")
        assert socket.message() == "still here"


# -- what breaks the protocol

BROKEN = {
    "RSV1 without an extension": frame(TEXT, b"a", bits=RSV1),
    "RSV2": frame(TEXT, b"a", bits=RSV2),
    "RSV3": frame(BINARY, b"a", bits=RSV3),
    **{f"opcode {opcode}": frame(opcode, b"a") for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "no mask": frame(TEXT, b"a", mask=None),
    "a ping without a mask": frame(PING, b"a", mask=None),
    "a ping in fragments": frame(PING, b"a", fin=False),
    "a close in fragments": frame(CLOSE, fin=False),
    "a long ping": frame(PING, b"p" * 126),
    "a long close": frame(CLOSE, close_payload(1000, b"r" * 124)),
    "a ping with RSV1": frame(PING, b"a", bits=RSV1),
    "a continuation of nothing": frame(CONTINUATION, b"a"),
    "a message in a message": frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"),
    "a binary message in a text": frame(TEXT, b"a", fin=False) + frame(BINARY, b"b"),
    "a length of two bytes for 125": frame(TEXT, b"a" * 125, width=2),
    "a length of eight bytes for 65535": frame(TEXT, b"a" * 65535, width=8),
    "a length with its highest bit": frame(TEXT, b"", width=8, length=1 << 63),
    "a close of one byte": frame(CLOSE, b"\x03"),
    **{
        f"close code {code}": frame(CLOSE, close_payload(code))
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535)
    },
    "another request": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
}
BAD_TEXT = {
    "a byte that is none": frame(TEXT, b"\xff"),
    "cut": frame(TEXT, "\N{SNOWMAN}".encode()[:2]),
    "overlong": frame(TEXT, b"\xc0\xaf"),
    "a surrogate": frame(TEXT, b"\xed\xa0\x80"),
    "beyond the last": frame(TEXT, b"\xf4\x90\x80\x80"),
    "behind much that is right": frame(TEXT, b"a" * 70_000 + b"\xff"),
    "in a later fragment": frame(TEXT, b"a", fin=False) + frame(CONTINUATION, b"\xff"),
    "in a reason": frame(CLOSE, close_payload(1000, b"\xff")),
}


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        *(pytest.param(sent, 1002, id=name) for name, sent in BROKEN.items()),
        *(pytest.param(sent, 1007, id=f"text: {name}") for name, sent in BAD_TEXT.items()),
    ],
)
def test_a_broken_frame_ends_the_connection(server: Server, sent: bytes, code: int) -> None:
    """What came before it has been answered; the application hears the same code, and nobody is hurt."""
    mark, notes = server.log_mark(), Notes(server)
    with Socket(server, "/echo") as socket:
        socket.text("before")
        assert socket.message() == "before"
        socket.client.send(sent + frame(TEXT, b"behind"))
        assert socket.failed_with() == code
    message = notes.wait("disconnect")
    assert message["type"] == "websocket.disconnect"
    assert message["code"] in {code, 1006}
    assert "Traceback" not in server.log(mark)


def test_bad_text_is_refused_before_its_message_is_whole(server: Server) -> None:
    """RFC 6455 §8.1: as soon as it is known."""
    with Socket(server, "/echo") as socket:
        socket.send(TEXT, b"\xff", fin=False)
        assert socket.failed_with() == 1007


# -- how much a message may be


@pytest.fixture
def strict(servers: Servers) -> Server:
    return servers.get("--websocket-max-message-size=1000", kind="asgi", app=SOCKETS)


def test_a_message_at_the_limit(strict: Server) -> None:
    with Socket(strict, "/echo") as socket:
        socket.send(BINARY, b"m" * 1000)
        assert socket.message() == b"m" * 1000
        socket.send(BINARY, b"m" * 500, fin=False)
        socket.send(CONTINUATION, b"m" * 500)
        assert socket.message() == b"m" * 1000


@pytest.mark.parametrize(
    "sent",
    [
        frame(BINARY, b"m" * 1001),
        frame(BINARY, b"m" * 500, fin=False) + frame(CONTINUATION, b"m" * 501),
        frame(BINARY, length=1 << 62, width=8),
        frame(BINARY, length=1001, width=2),
    ],
    ids=["whole", "fragments", "huge, not sent", "not sent"],
)
def test_a_message_over_the_limit_is_1009(strict: Server, sent: bytes) -> None:
    """As soon as its length is known."""
    with Socket(strict, "/echo") as socket:
        socket.client.send(sent)
        assert socket.failed_with() == 1009


def squeezed(content: bytes) -> bytes:
    """As a client compresses that keeps to the window of 12 bits."""
    packer = zlib.compressobj(wbits=-12)
    data = packer.compress(content) + packer.flush(zlib.Z_SYNC_FLUSH)
    return data.removesuffix(TAIL)


def test_a_bomb_is_1009(strict: Server) -> None:
    """10 MB in 10 KB: the limit is for what comes out."""
    with Socket(strict, "/echo", DEFLATE) as socket:
        assert socket.response.get("Sec-WebSocket-Extensions")
        socket.send(BINARY, squeezed(b"\0" * 10_000_000)[:900], bits=RSV1)
        assert socket.failed_with() == 1009


# -- compression


def test_compression_is_negotiated(server: Server) -> None:
    """Both ways, with context: the second of two equal messages is much shorter."""
    content = bytes(random.Random(1).randbytes(700)).hex().encode()
    with Socket(server, "/echo", DEFLATE) as socket:
        assert "permessage-deflate" in (socket.response.get("Sec-WebSocket-Extensions") or "")
        lengths = []
        for _ in range(2):
            socket.send(TEXT, squeezed(content), bits=RSV1)
            got = socket.receive()
            assert got.compressed
            lengths.append(len(got.payload))
        assert lengths[0] < len(content)
        assert lengths[1] < lengths[0] / 4
        socket.send(TEXT, content)  # a client need not compress
        assert socket.receive().fin


def test_compressed_fragments(server: Server) -> None:
    with Socket(server, "/echo-keys", DEFLATE) as socket:
        data = squeezed(b"fragment" * 5)
        socket.send(TEXT, data[:3], bits=RSV1, fin=False)
        socket.ping()
        socket.send(CONTINUATION, data[3:])
        got = socket.receive()
        text = zlib.decompressobj(-15).decompress(got.payload + TAIL) if got.compressed else got.payload
        assert b"fragment" * 5 in text


@pytest.mark.parametrize(
    "sent",
    [
        frame(TEXT, b"\xff\xff\xff", bits=RSV1),
        frame(TEXT, squeezed(b"a"), bits=RSV1, fin=False) + frame(CONTINUATION, b"b", bits=RSV1),
    ],
    ids=["not deflated", "RSV1 on a continuation"],
)
def test_bad_compression_ends_the_connection(server: Server, sent: bytes) -> None:
    with Socket(server, "/echo", DEFLATE) as socket:
        socket.client.send(sent)
        assert socket.failed_with() in {1002, 1007}


def test_compressed_text_is_checked(server: Server) -> None:
    with Socket(server, "/echo", DEFLATE) as socket:
        socket.send(TEXT, squeezed(b"\xff"), bits=RSV1)
        assert socket.failed_with() == 1007


@pytest.mark.parametrize(
    "offer",
    [
        b"permessage-deflate; server_max_window_bits=16",
        b"permessage-deflate; unknown",
        b"permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        b"x-webkit-deflate-frame",
    ],
)
def test_an_offer_that_cannot_be_met_is_declined(server: Server, offer: bytes) -> None:
    """RFC 7692 §5.1: and the connection goes on without."""
    with Socket(server, "/echo", b"Sec-WebSocket-Extensions: " + offer) as socket:
        assert socket.response.status == 101
        assert socket.response.get("Sec-WebSocket-Extensions") is None
        socket.text("t" * 500)
        assert socket.message() == "t" * 500


def test_compression_can_be_off(servers: Servers) -> None:
    server = servers.get("--no-websocket-compression", kind="asgi", app=SOCKETS)
    with Socket(server, "/echo", DEFLATE) as socket:
        assert socket.response.get("Sec-WebSocket-Extensions") is None
        socket.text("t" * 500)
        assert socket.message() == "t" * 500


@pytest.mark.parametrize(
    "parameters",
    [
        b"server_no_context_takeover",
        b"client_no_context_takeover",
        b"server_max_window_bits=9",
        b"client_max_window_bits=9",
    ],
)
def test_terms_of_the_client_are_kept(server: Server, parameters: bytes) -> None:
    with Socket(server, "/echo", b"Sec-WebSocket-Extensions: permessage-deflate; " + parameters) as socket:
        assert "permessage-deflate" in (socket.response.get("Sec-WebSocket-Extensions") or "")
        bits = 9 if b"server_max" in parameters else 15
        content = bytes(random.Random(2).randbytes(3000)).hex()
        for _ in range(3):
            socket.text(content)
            got = socket.receive()
            unpacked = zlib.decompressobj(-bits).decompress(got.payload + TAIL)
            assert unpacked.decode() == content
            if b"server_no_context" not in parameters:
                break
