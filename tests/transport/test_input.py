"""wsgi.input: it belongs to one request, whatever is done with it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from harness.cases import post
from integration.live import Live
from transport.served import Pool, appears, same_worker

KEEP_ALIVE = 0.6


@pytest.fixture
def live(serve: Pool) -> Live:
    """The application reads the socket itself."""
    return serve("inputs:app", "--threads=2", "--no-request-buffering")


@pytest.mark.parametrize("first", [b"", b"abc"], ids=["unsent", "sent"])
def test_a_kept_input_sees_no_later_body(live: Live, first: bytes) -> None:
    """It was not read in its request, and is read in the next one of the same connection."""
    with same_worker(live), live.connect() as client:
        client.send(post(first, b"Content-Length: 3", path=b"/keep"))
        assert client.response().body == b"kept"
        client.send(b"abc"[len(first) :] + post(b"SECRET", b"Content-Length: 6", path=b"/stale"))
        kept, own = json.loads(client.response().body)
        assert "SECRET" not in kept
        assert own == "b'SECRET'"


def test_an_input_that_a_thread_reads_after_its_request(live: Live, gate: Path) -> None:
    """The connection closes under the thread; it gets an error or nothing, and the worker lives on."""
    with same_worker(live), live.connect() as client:
        path = f"/thread?{gate}".encode()
        client.send(post(b"", b"Content-Length: 500000", b"Connection: close", path=path))
        appears(gate.with_name("gate.in"))
        gate.touch()
        assert client.response().body == b"left"
        client.send(b"x" * 1000)
        client.wait_closed()
        client.close()  # a thread in a system call hears nothing before that
        assert appears(gate.with_name("gate.out")) in {"RequestCut", "b''"}


def test_a_thread_that_still_reads_sees_no_later_body(live: Live, gate: Path) -> None:
    """It waits for the rest of its body, which comes together with the next request: that one is answered."""
    secret = b"S" * 1000
    with same_worker(live):
        for number in range(20):
            mine = gate.with_name(f"gate{number}")
            with live.connect() as client:
                client.send(post(b"", b"Content-Length: 10", path=f"/thread?{mine}".encode()))
                appears(mine.with_name(mine.name + ".in"))
                mine.touch()
                assert client.response().body == b"left"
                client.send(b"0123456789" + post(secret, b"Content-Length: 1000", path=b"/echo"))
                assert client.response().body == secret
            assert "SS" not in appears(mine.with_name(mine.name + ".out"))


def test_writing_before_reading_does_not_block(serve: Pool) -> None:
    """The client sends its body only after it has seen the response so far, which is sent meanwhile."""
    size = 8_000_000
    live = serve("inputs:app", "--threads=2", "--no-request-buffering", "--response-buffer-size=6000000")
    with live.connect() as client:
        client.send(post(b"", b"Content-Length: 5", path=b"/write?%d" % size))
        client.read_until(b"\r\n\r\n")
        client.read_until(b"\r\n")
        assert client.read_exactly(size) == b"w" * size
        client.send(b"hello")
        assert client.read_until(b"0\r\n\r\n") == b"\r\n5\r\nhello\r\n"


def test_keep_alive_begins_at_the_end_of_a_body_that_nobody_read(serve: Pool) -> None:
    """The response came long before the rest of the body: the connection is not idle before both are over."""
    live = serve("inputs:app", "--no-request-buffering", f"--keep-alive={KEEP_ALIVE}")
    with live.connect() as client:
        client.send(post(b"", b"Content-Length: 10", path=b"/ignore"))
        assert client.response().body == b"ignored"
        assert client.is_quiet(1.2 * KEEP_ALIVE)
        client.send(b"0123456789")
        start = time.monotonic()
        client.wait_closed()
        assert time.monotonic() - start > 0.9 * KEEP_ALIVE


def test_a_detached_input(serve: Pool) -> None:
    """The body was in a temporary file, which the application took: response and connection are fine."""
    live = serve("inputs:app", "--threads=2", "--request-buffer-memory=0")
    with same_worker(live), live.connect() as client:
        for _ in range(3):
            client.send(post(b"b" * 2_000_000, b"Content-Length: 2000000", path=b"/detach"))
            assert client.response().body == b"detached"
