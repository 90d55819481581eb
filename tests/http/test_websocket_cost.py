"""What frames cost: memory that follows what has arrived, and none that stays. Work: see test_cost.py."""

from __future__ import annotations

import gc
import sys
import tracemalloc

import pytest
from fuzz.frames import BINARY, CLOSE, CONTINUATION, PING, TEXT, deflated, length_bytes, masked

from tricorn.http.websocket import (
    Binary,
    Close,
    Deflate,
    Failed,
    FrameStream,
    Text,
    close_frame,
    frame,
    message,
)


def head(opcode: int, size: int, fin: bool = True, rsv: int = 0) -> bytes:
    """The head of a frame whose key is all zeros, so that a payload can be anything."""
    first = bytes([fin << 7 | rsv << 4 | opcode])
    return first + length_bytes(size) + bytes(4)


# ---- memory -------------------------------------------------------------------------------------------


def test_a_head_alone_holds_nothing() -> None:
    stream = FrameStream(1 << 30)
    tracemalloc.start()
    stream.feed(head(BINARY, 1 << 28))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert stream.held == 0
    assert peak < 2000


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("arrived", [1, 1000, 5000, 100_000, 1_000_000])
def test_memory_follows_what_has_arrived(opcode: int, arrived: int) -> None:
    """Whatever was announced."""
    stream = FrameStream(1 << 30)
    tracemalloc.start()
    stream.feed(head(opcode, 1 << 28))
    for at in range(0, arrived, 4096):
        stream.feed(b"a" * min(4096, arrived - at))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    bound = max(4096, 4 * arrived)
    assert arrived <= stream.held <= bound
    assert held < bound + 2000


@pytest.mark.parametrize("size", [100, 5000, 65536, 300_000])
def test_memory_does_not_go_beyond_what_was_announced(size: int) -> None:
    stream = FrameStream(1 << 30)
    data = head(BINARY, size) + b"a" * (size - 1)
    for at in range(0, len(data), 1000):
        stream.feed(data[at : at + 1000])
    assert size - 1 <= stream.held <= size
    assert stream.feed(b"a") == [Binary(b"a" * size)]
    assert stream.held == 0


def test_memory_does_not_go_beyond_the_limit() -> None:
    stream = FrameStream(10_000)
    for _ in range(9):
        stream.feed(head(CONTINUATION if stream.held else BINARY, 1000, fin=False) + b"a" * 1000)
    assert stream.held <= 10_000


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("fin", [True, False])
def test_room_grows_in_few_steps(opcode: int, fin: bool) -> None:
    stream = FrameStream(1 << 24)
    stream.feed(head(opcode, 1 << 22, fin))
    rooms = set()
    for _ in range(1000):
        stream.feed(b"a" * 1000)
        rooms.add(stream.held)
    assert len(rooms) <= 8


def test_a_message_has_no_room_to_spare() -> None:
    """One that came in pieces takes no more memory than one that came whole."""
    for opcode, payload in ((TEXT, b"a" * 5000), (BINARY, b"a" * 5000)):
        stream = FrameStream()
        stream.feed(masked(opcode, payload[:1], fin=False))
        stream.feed(masked(CONTINUATION, payload[1:4000], fin=False))
        (event,) = stream.feed(masked(CONTINUATION, payload[4000:]))
        assert isinstance(event, Text | Binary)
        (whole,) = FrameStream().feed(masked(opcode, payload))
        assert isinstance(whole, Text | Binary)
        assert sys.getsizeof(event.content) == sys.getsizeof(whole.content)


def test_an_incomplete_ping_is_counted() -> None:
    stream = FrameStream()
    stream.feed(masked(PING, b"x" * 10)[:-1])
    assert stream.held == 125
    assert len(stream.feed(masked(PING, b"x" * 10)[-1:])) == 1
    assert stream.held == 0


def test_a_close_forgets_an_unfinished_message() -> None:
    stream = FrameStream()
    stream.feed(masked(BINARY, b"a" * 10_000, fin=False))
    assert stream.held >= 10_000
    assert stream.feed(masked(CLOSE)) == [Close(1005, "")]
    assert stream.held == 0


def test_a_refused_message_is_forgotten() -> None:
    stream = FrameStream()
    stream.feed(masked(TEXT, b"a" * 10_000, fin=False))
    assert stream.held >= 10_000
    (event,) = stream.feed(masked(TEXT, b""))
    assert isinstance(event, Failed)
    assert stream.held == 0


def exercise(rounds: int) -> None:
    text = "aé€😀" * 30
    refused = (
        b"\x81\x05Hello",
        masked(TEXT, b"a\xff"),
        masked(CLOSE, b"\x03\xe8\xff"),
        masked(TEXT, b"\xff", rsv=4),
    )
    for _ in range(rounds):
        deflate = Deflate(False, True, 9, 9, mem_level=1)
        stream = FrameStream(1 << 20, deflate)
        stream.feed(masked(TEXT, text.encode()) + masked(BINARY, b"abc") + masked(PING, b"abc"))
        stream.feed(masked(TEXT, deflated(text.encode(), 9), rsv=4))
        for data in (masked(TEXT, text.encode()), masked(PING, b"abc"), masked(BINARY, b"abc" * 100)):
            stream.feed(data[:8])
            stream.feed(data[8:])
        message(text, deflate)
        message(b"abc")
        close_frame(1000, text)
        frame(PING, b"abc")
        for data in refused:
            FrameStream(0, Deflate()).feed(data)
        for data in (masked(TEXT, text.encode())[:50], masked(PING, b"abc")[:8], masked(BINARY, b"abc")[:8]):
            FrameStream().feed(data)


@pytest.mark.slow
def test_memory_stays_flat() -> None:
    exercise(200)
    gc.collect()
    before_blocks = sys.getallocatedblocks()
    tracemalloc.start()
    exercise(50)
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()
    exercise(1000)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # A single byte leaked in each round would show.
    assert after - before < 1000
    assert sys.getallocatedblocks() - before_blocks < 500
