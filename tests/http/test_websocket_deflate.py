"""permessage-deflate (RFC 7692 §7.2): what inflates, what is refused, what is sent, what it holds."""

from __future__ import annotations

import random
import tracemalloc
import zlib

import pytest
from fuzz.frames import BINARY, CONTINUATION, PING, TAIL, TEXT, deflated, events, fragments, masked
from fuzz.reading import pieces

from tricorn.http.websocket import Binary, Deflate, Event, Failed, FrameStream, Ping, Text, frame, message

DELIVERIES = ("whole", "bytes", "cuts")
WORDS = ("tricorn", "hat", "κόσμε", "corner", "brim", "1776")


def prose(size: int, seed: int = 0) -> str:
    """Text that shrinks."""
    chance = random.Random(seed)
    return " ".join(chance.choice(WORDS) for _ in range(size))[:size]


def noise(size: int) -> bytes:
    """Bytes that do not."""
    return random.Random(size).randbytes(size)


def squeezed(payload: bytes, opcode: int = TEXT) -> bytes:
    return masked(opcode, payload, rsv=4)


HELLO = bytes.fromhex("f248cdc9c90700")
FINAL = bytes.fromhex("f348cdc9c90700")  # the same in a block with BFINAL

ACCEPTED: dict[str, tuple[bytes, list[Event]]] = {
    # RFC 7692 §7.2.3
    "one block": (squeezed(HELLO), [Text("Hello")]),
    "two fragments": (b"".join(fragments(TEXT, [HELLO[:3], HELLO[3:]], 4)), [Text("Hello")]),
    "the window of the last message": (
        squeezed(HELLO) + squeezed(bytes.fromhex("f200110000")),
        [Text("Hello"), Text("Hello")],
    ),
    "a block without compression": (squeezed(bytes.fromhex("000500faff48656c6c6f00")), [Text("Hello")]),
    "BFINAL": (squeezed(FINAL + b"\x00"), [Text("Hello")]),
    "two blocks": (squeezed(bytes.fromhex("f248050000 00ffffcac9c90700")), [Text("Hello")]),
    "an empty message": (squeezed(b"\x00"), [Text("")]),
    # beyond its examples
    "BFINAL, and nothing behind it": (squeezed(FINAL) * 2 + squeezed(HELLO), [Text("Hello")] * 3),
    "BFINAL, and an empty fragment behind it": (
        (b"".join(fragments(TEXT, [FINAL, b""], 4)) + squeezed(HELLO)) * 2,
        [Text("Hello")] * 4,
    ),
    "BFINAL in the middle": (squeezed(FINAL + HELLO), [Text("HelloHello")]),
    "BFINAL twice in the middle": (squeezed(FINAL * 2 + HELLO), [Text("Hello" * 3)]),
    "BFINAL, then other messages": (
        squeezed(FINAL + b"\x00") * 2 + squeezed(HELLO),
        [Text("Hello")] * 3,
    ),
    "BFINAL in each fragment": (
        b"".join(fragments(TEXT, [FINAL] * 20, 4)),
        [Text("Hello" * 20)],
    ),
    "messages of no bytes": (
        squeezed(b"") + (squeezed(HELLO) + squeezed(b"")) * 2,
        [Text(""), Text("Hello"), Text(""), Text("Hello"), Text("")],
    ),
    "a message of no bytes in fragments": (
        b"".join(fragments(BINARY, [b"", b""], 4)) + squeezed(HELLO),
        [Binary(b""), Text("Hello")],
    ),
    "all in the last fragment": (b"".join(fragments(TEXT, [b"", HELLO], 4)), [Text("Hello")]),
    "an empty last fragment": (
        b"".join(fragments(TEXT, [HELLO, b""], 4)) + squeezed(HELLO),
        [Text("Hello")] * 2,
    ),
    "a ping between fragments": (
        masked(TEXT, HELLO[:3], fin=False, rsv=4) + masked(PING, b"?") + masked(CONTINUATION, HELLO[3:]),
        [Ping(b"?"), Text("Hello")],
    ),
    "between messages that are not compressed": (
        masked(TEXT, b"plain") + squeezed(HELLO) + masked(BINARY, b"plain") + squeezed(HELLO, BINARY),
        [Text("plain"), Text("Hello"), Binary(b"plain"), Binary(b"Hello")],
    ),
    "a text beyond ASCII": (squeezed(deflated(prose(500).encode())), [Text(prose(500))]),
    "bytes that do not shrink": (squeezed(deflated(noise(500)), BINARY), [Binary(noise(500))]),
    "much out of little": (squeezed(deflated(bytes(100_000)), BINARY), [Binary(bytes(100_000))]),
    **{
        f"level {level}": (squeezed(deflated(prose(3000).encode(), level=level)), [Text(prose(3000))])
        for level in range(10)
    },
}


@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(name: str, delivery: str) -> None:
    data, expected = ACCEPTED[name]
    assert events(pieces(data, delivery, name), deflate=Deflate()) == expected


REFUSED: dict[tuple[int, str], dict[str, bytes]] = {
    (1002, "reserved bit"): {
        "RSV2": masked(TEXT, HELLO, rsv=2),
        "RSV1 and RSV3": masked(TEXT, HELLO, rsv=5),
        "on a ping": masked(PING, HELLO, rsv=4),
        "on a continuation": masked(TEXT, HELLO[:3], fin=False, rsv=4)
        + masked(CONTINUATION, HELLO[3:], rsv=4),
        "on a continuation of a plain message": masked(TEXT, b"", fin=False)
        + masked(CONTINUATION, HELLO, rsv=4),
    },
    (1002, "decompressed"): {
        "no DEFLATE": squeezed(b"\xff\xff\xff\xff"),
        "too far back": squeezed(bytes.fromhex("f200110000")),
        "a length that is not its complement": squeezed(bytes.fromhex("0005000000")),
        "many streams in a frame": squeezed(b"\x03\x00" * 3 + HELLO),
        "no DEFLATE behind BFINAL": squeezed(FINAL + b"\xff\xff"),
    },
    (1007, "text message"): {
        "no UTF-8": squeezed(deflated(b"abc\xff")),
        "half a character": squeezed(deflated(b"abc\xe2\x82")),
        "half a character in fragments": b"".join(fragments(TEXT, [deflated(b"\xe2"), b""], 4)),
    },
}


@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize(
    ("breach", "name"), [(breach, name) for breach in REFUSED for name in REFUSED[breach]]
)
def test_refused(breach: tuple[int, str], name: str, delivery: str) -> None:
    data = REFUSED[breach][name] + masked(TEXT, b"behind")
    failed = events(pieces(data, delivery, name), deflate=Deflate())[-1]
    assert isinstance(failed, Failed)
    assert failed.code == breach[0]
    assert breach[1] in failed.reason


def test_text_is_refused_in_the_middle_of_a_compressed_message() -> None:
    stream = FrameStream(deflate=Deflate())
    squeezer = zlib.compressobj(wbits=-15)
    first = squeezer.compress(b"abc\xff") + squeezer.flush(zlib.Z_SYNC_FLUSH)
    (failed,) = stream.feed(masked(TEXT, first + b"x" * 1000, rsv=4)[: 8 + len(first)])
    assert isinstance(failed, Failed)
    assert failed.code == 1007


def test_the_window_is_forgotten_without_context_takeover() -> None:
    deflate = Deflate(client_no_context_takeover=True)
    stream = FrameStream(deflate=deflate)
    assert stream.feed(squeezed(HELLO) * 3) == [Text("Hello")] * 3
    (failed,) = stream.feed(squeezed(bytes.fromhex("f200110000")))
    assert isinstance(failed, Failed)


# ---- limits -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_the_limit_is_for_what_comes_out(opcode: int, delivery: str) -> None:
    for size, code in ((1000, 0), (1001, 1009), (100_000, 1009)):
        found = events(pieces(squeezed(deflated(b"x" * size), opcode), delivery, ""), 1000, Deflate())
        assert getattr(found[-1], "code", 0) == code, size


def test_a_bomb_does_not_go_off() -> None:
    """A kilobyte for each megabyte; sixty-four of them would come out."""
    bomb = squeezed(deflated(bytes(1 << 26)), BINARY)
    limit = 1 << 20
    for parts in ([bomb], list(pieces(bomb, "cuts", "bomb"))):
        stream = FrameStream(limit, Deflate())
        tracemalloc.start()
        found = [event for part in parts for event in stream.feed(part)]
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert found == [Failed(1009, "the message is too long")]
        assert peak < 3 * limit + len(bomb)
        assert stream.held == 0


def test_bombs_in_a_row_do_not_add_up() -> None:
    """Streams that end in one frame share the limit."""
    limit = 1 << 20
    squeezer = zlib.compressobj(wbits=-15)
    bomb = squeezer.compress(bytes(limit)) + squeezer.flush()
    stream = FrameStream(limit, Deflate())
    tracemalloc.start()
    found = stream.feed(squeezed(bomb * 15, BINARY))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == [Failed(1009, "the message is too long")]
    assert peak < 4 * limit


@pytest.mark.parametrize("size", [1, 999, 1000])
def test_bytes_that_come_to_nothing(size: int) -> None:
    """Empty blocks without end: the limit on what comes out would never see them."""
    block = b"\x00\x00\x00\xff\xff" * size
    stream = FrameStream(1000, Deflate())
    stream.feed(masked(BINARY, b"\x00\x00\x00\xff\xff", fin=False, rsv=4))
    fed = 0
    while not stream.is_closed:
        stream.feed(masked(CONTINUATION, block, fin=False))
        fed += len(block)
        assert fed < 20_000


def test_a_compressed_message_that_grew() -> None:
    """What does not shrink may be a little longer compressed than its limit."""
    for size in (1, 10, 100, 1000, 100_000):
        for level in range(10):
            assert events([squeezed(deflated(noise(size), level=level), BINARY)], size, Deflate()) == [
                Binary(noise(size))
            ]


def test_a_head_that_announces_too_much() -> None:
    """Twice the limit, and a slack."""
    (event,) = events([b"\xc2\xff" + (2 * 1000 + 4096 + 2).to_bytes(8, "big")], 1000, Deflate())
    assert event == Failed(1002, "a length is not in its shortest form (RFC 6455 §5.2)")
    (event,) = events([b"\xc2\xfe" + (2 * 1000 + 4096 + 2).to_bytes(2, "big")], 1000, Deflate())
    assert event == Failed(1009, "the message is too long")
    assert events([b"\xc2\xfe" + (2 * 1000 + 4096).to_bytes(2, "big")], 1000, Deflate()) == []


# ---- what the server sends ----------------------------------------------------------------------------


def payload_of(data: bytes) -> bytes:
    size = data[1]
    return data[2 if size < 126 else 4 if size == 126 else 10 :]


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("bits", range(8, 16))
def test_messages_inflate_in_the_window_that_was_promised(bits: int, alone: bool) -> None:
    deflate = Deflate(alone, False, bits, 15)
    inflate = zlib.decompressobj(-bits)
    for size in (1, 5, 50, 300, 3000, 70_000):
        for seed in range(3):
            text = prose(size, seed)
            data = message(text, deflate)
            assert data[0] & 0x0F == TEXT
            if not data[0] & 0x40:
                assert alone
                assert data == message(text)
                continue
            assert inflate.decompress(payload_of(data) + TAIL).decode() == text
            inflate = zlib.decompressobj(-bits) if alone else inflate


def test_no_window_is_used_where_zlib_has_none() -> None:
    """Without repetitions, a character takes a bit at least."""
    data = message("x" * 8000, Deflate(server_max_window_bits=8))
    assert 1000 < len(data) < 1100
    assert len(message("x" * 8000, Deflate(server_max_window_bits=9))) < 100


def test_repetition_is_found_in_the_last_message() -> None:
    deflate = Deflate()
    first, second = (message(prose(2000), deflate) for _ in range(2))
    assert len(second) < len(first) / 10
    alone = Deflate(server_no_context_takeover=True)
    first, second = (message(prose(2000), alone) for _ in range(2))
    assert first == second


def test_short_messages_are_sent_as_they_are() -> None:
    deflate = Deflate(threshold=100)
    assert message("x" * 99, deflate) == message("x" * 99)
    assert message(b"x" * 99, deflate) == message(b"x" * 99)
    assert message("x" * 100, deflate)[0] == 0xC1
    assert message("é" * 50, deflate)[0] == 0xC1
    assert message(b"x" * 100, deflate)[0] == 0xC2


def test_empty_messages_are_sent_as_they_are() -> None:
    deflate = Deflate()
    for _ in range(3):
        assert message("", deflate) == message("")
        assert message(b"", deflate) == message(b"")


def test_what_does_not_shrink_is_sent_as_it_is_if_the_client_need_not_remember_it() -> None:
    assert message(noise(1000), Deflate(server_no_context_takeover=True)) == message(noise(1000))
    assert message(noise(1000), Deflate())[0] == 0xC2


def test_control_frames_are_never_compressed() -> None:
    assert frame(PING, b"x" * 125)[0] == 0x89


@pytest.mark.parametrize(
    "terms",
    [
        {"server_max_window_bits": 7},
        {"server_max_window_bits": 16},
        {"client_max_window_bits": 7},
        {"client_max_window_bits": 16},
        {"mem_level": 0},
        {"mem_level": 10},
        {"level": -1},
        {"level": 10},
    ],
)
def test_terms_that_there_are_not(terms: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"8 to 15|1 to 9"):
        Deflate(**terms)  # type: ignore[arg-type]


# ---- memory -------------------------------------------------------------------------------------------


def test_streams_are_made_when_they_are_needed() -> None:
    deflate = Deflate(threshold=100)
    stream = FrameStream(deflate=deflate)
    tracemalloc.start()
    stream.feed(masked(TEXT, b"x" * 50))
    message("x" * 50, deflate)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 2000


@pytest.mark.parametrize(("bits", "mem_level"), [(9, 1), (12, 5), (15, 8)])
def test_memory_is_as_it_is_said(bits: int, mem_level: int) -> None:
    """The formula in websocket_handshake.py."""
    text = prose(70_000)
    deflate = Deflate(False, False, bits, bits, mem_level=mem_level)
    data = squeezed(deflated(text.encode(), bits=bits))
    tracemalloc.start()
    stream = FrameStream(deflate=deflate)
    stream.feed(data)
    received, _ = tracemalloc.get_traced_memory()
    message(text, deflate)
    both, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert received < 2**bits + 9 * 1024
    assert both - received < 2 ** (bits + 2) + 2 ** (mem_level + 9) + 8 * 1024


def test_nothing_stays_without_context_takeover() -> None:
    text = prose(70_000)
    deflate = Deflate(True, True)
    stream = FrameStream(deflate=deflate)
    data = squeezed(deflated(text.encode()))
    tracemalloc.start()
    stream.feed(data)
    message(text, deflate)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 2000
