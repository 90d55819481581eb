"""What messages cost: work in proportion to their bytes however they are cut, and no memory that stays."""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterable

import pytest

from tricorn.http.errors import ResponseError
from tricorn.http.reader import RequestReader
from tricorn.http.request import Limits
from tricorn.http.writer import response_head

WIDE = Limits(request_line=0, field_size=0, fields=0, head=1 << 24)

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

#: What grows with n, between a beginning and nothing: none of these messages ever ends.
GROWING: dict[str, tuple[bytes, Callable[[int], bytes]]] = {
    "a request line": (b"GET /", lambda n: b"a" * n),
    "a field line": (HEAD + b"A: ", lambda n: b"b" * n),
    "a field name": (HEAD, lambda n: b"b" * n),
    "many fields": (HEAD, lambda n: b"A: bcd\r\n" * (n // 8)),
    "many fields of unknown names": (HEAD, lambda n: b"".join(b"N%06d:\r\n" % k for k in range(n // 10))),
    "chunks of one byte": (CHUNKED, lambda n: b"1\r\nx\r\n" * (n // 6)),
    "one trailer": (CHUNKED + b"0\r\nA: ", lambda n: b"b" * n),
    "many trailers": (CHUNKED + b"0\r\n", lambda n: b"A: bcd\r\n" * (n // 8)),
    "a body": (HEAD + b"Content-Length: 99999999\r\n\r\n", lambda n: b"x" * n),
}


def seconds(pieces: Iterable[bytes]) -> float:
    """Of this process, so that a busy machine does not count; without the collector, which is not linear."""
    reader = RequestReader(WIDE)
    gc.collect()
    gc.disable()
    try:
        start = time.process_time()
        for piece in pieces:
            assert not reader.is_closed
            reader.feed(piece)
        assert not reader.is_closed
        return time.process_time() - start
    finally:
        gc.enable()


@pytest.mark.parametrize("name", GROWING)
def test_work_is_linear_byte_by_byte(name: str) -> None:
    """Eight times the bytes: about eight times the work. Quadratic work would be 64 times as much."""
    beginning, grow = GROWING[name]

    def cost(n: int) -> float:
        data = beginning + grow(n)
        return min(seconds(data[at : at + 1] for at in range(len(data))) for _ in range(3))

    assert cost(160_000) < 40 * cost(20_000) + 0.02


@pytest.mark.parametrize("name", GROWING)
def test_work_is_linear_in_one_piece(name: str) -> None:
    beginning, grow = GROWING[name]

    def cost(n: int) -> float:
        data = beginning + grow(n)
        return min(seconds([data]) for _ in range(3))

    assert cost(1_600_000) < 40 * cost(200_000) + 0.02


REQUEST = (
    b"GET /path?query HTTP/1.1\r\nHost: a.example\r\nUser-Agent: x\r\nX-Unknown-%d: y\r\nAccept: */*\r\n\r\n"
    b"POST http://b.example/ HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5;a=b\r\nhello\r\n0\r\nTrailer-%d: x\r\n\r\n"
)
REFUSED = (
    b"GET /\x00 HTTP/1.1\r\n",
    CHUNKED + b"5\r\nhellox",
    CHUNKED + b"0\r\nHost: x\r\n\r\n",
    HEAD + b" x: y\r\n",
)


def exercise(rounds: int) -> None:
    for number in range(rounds):
        data = REQUEST % (number, number)
        reader = RequestReader()
        reader.feed(data)
        reader.feed(data[:90])
        reader.feed(data[90:])
        for refused in REFUSED:
            RequestReader().feed(refused)
        response_head("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
        try:
            response_head("200 OK", [("A", "b\r\nc")])
        except ResponseError:
            continue


def test_memory_stays_flat() -> None:
    exercise(1000)
    gc.collect()
    before_blocks = sys.getallocatedblocks()
    tracemalloc.start()
    exercise(100)
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()
    exercise(5000)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # A single byte leaked in each round would show.
    assert after - before < 5000
    assert sys.getallocatedblocks() - before_blocks < 500


def test_references_are_given_back() -> None:
    """The objects that every call touches."""
    data = REQUEST % (1, 1)
    headers = [("A", "b"), ("C", "d")]
    things = (data, headers, headers[0], "GET", RequestReader, None, b"", ())
    RequestReader().feed(data)
    before = [sys.getrefcount(thing) for thing in things]
    for _ in range(2000):
        RequestReader().feed(data)
        response_head("200 OK", headers)
    after = [sys.getrefcount(thing) for thing in things]
    assert all(b - a < 100 for a, b in zip(before, after, strict=True)), (before, after)


@pytest.mark.slow
def test_a_million_heads() -> None:
    """Resident memory, which also sees what Python's allocators do not."""

    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    data = b"GET /path?query HTTP/1.1\r\nHost: a.example\r\nA: b\r\n\r\n" * 1000
    reader = RequestReader()
    for _ in range(20):
        reader.feed(data)
    before = resident()
    for number in range(1000):
        reader.feed(data if number % 2 else data[:-10])
        if not number % 2:
            reader.feed(data[-10:])
    assert resident() - before < 4_000_000
