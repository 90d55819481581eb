"""request_timeout: it interrupts the request that gives no sign of life, and nothing else."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.client import Client
from integration.live import Live, message
from transport.served import Pool, appears, same_worker

LIMIT = 0.6
STEP = 0.35  # of a request that gives signs of life
OVERDUE = "takes longer than request_timeout"


@pytest.fixture
def live(serve: Pool) -> Live:
    return serve("interrupted:app", "--threads=1", f"--request-timeout={LIMIT}", "--no-request-buffering")


@contextlib.contextmanager
def late(live: Live, gate: Path) -> Iterator[Client]:
    """A request was found overdue and has ended since; who found it is still held by a slow log.

    Yields another client's connection, which the server has known for longer.
    """
    mine = gate.with_name("request")
    assert live.request(f"/hold?{gate}&{OVERDUE.replace(' ', '+')}").status == 200
    with contextlib.ExitStack() as end:
        end.callback(gate.touch)
        end.callback(mine.touch)
        other = end.enter_context(live.connect())
        other.send(message("/"))
        assert other.response().status == 200
        client = end.enter_context(live.connect())
        client.send(message(f"/block?{mine}"))
        appears(gate.with_name("gate.in"))
        mine.touch()
        assert client.response().status in {200, 504}
        yield other


def test_a_late_interruption_spares_the_next_request(live: Live, gate: Path) -> None:
    """The exception hits the request that was overdue, or none."""
    mine = gate.with_name("next")
    with same_worker(live), late(live, gate) as client:
        client.send(message(f"/block?{mine}"))
        appears(gate.with_name("next.in"))
        gate.touch()
        appears(gate.with_name("gate.out"))
        mine.touch()
        assert client.response().status == 200


def test_a_late_interruption_spares_the_server(live: Live, gate: Path) -> None:
    """The thread serves nobody when the exception would come: a malformed request is refused as ever."""
    with same_worker(live), late(live, gate) as client:
        gate.touch()
        appears(gate.with_name("gate.out"))
        client.send(b"BAD\r\n\r\n")
        assert client.response().status == 400
        client.wait_closed()


def test_an_error_of_an_interrupted_call(live: Live) -> None:
    """A call into C outlives the limit and fails by itself: one exception or the other, one response."""
    known = live.log().count(OVERDUE)
    with (
        same_worker(live),
        socket.create_server(("127.0.0.1", 0)) as backend,
        live.connect() as client,
    ):
        client.send(message(f"/receive?{backend.getsockname()[1]}"))
        other, _ = backend.accept()
        live.wait_log(OVERDUE, times=known + 1)
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        other.close()
        assert client.response().status in {500, 504}
        client.wait_closed()


@contextlib.contextmanager
def undisturbed(live: Live) -> Iterator[None]:
    """It takes longer than the limit, and nobody is found overdue."""
    mark = len(live.log())
    start = time.monotonic()
    yield
    assert time.monotonic() - start > LIMIT
    assert OVERDUE not in live.log()[mark:]


def test_a_piece_is_a_sign_of_life(live: Live, gate: Path) -> None:
    """The first one too."""
    with undisturbed(live), live.connect() as client:
        client.send(message(f"/pieces?{gate}"))
        for number in range(3):
            time.sleep(STEP)  # a slow application, not a wait
            gate.with_name(f"gate.{number}").touch()
        assert client.response().chunks == [b"0", b"1", b"2"]


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_a_reader_who_advances_is_a_sign_of_life(serve: Pool, threads: int) -> None:
    """One write() waits for its client all the time; what counts is that the client reads, whoever sends."""
    size = 30_000_000
    live = serve("interrupted:app", f"--threads={threads}", f"--request-timeout={LIMIT}")
    with undisturbed(live), contextlib.ExitStack() as end:
        clients = [end.enter_context(live.connect(receive_buffer=65536)) for _ in range(threads)]
        for client in clients:
            client.send(message(f"/write?{size}"))
            client.read_until(b"\r\n\r\n")
        for _ in range(9):
            for client in clients:
                assert len(client.read_exactly(2_000_000)) == 2_000_000
            time.sleep(LIMIT / 3)  # a slow reader, not a wait
        for client in clients:
            assert len(client.read_exactly(size - 9 * 2_000_000)) == size - 9 * 2_000_000


def test_an_upload_that_advances_is_a_sign_of_life(live: Live) -> None:
    """The application reads the body while it comes."""
    with undisturbed(live), live.connect() as client:
        client.send(b"POST /upload HTTP/1.1\r\nHost: a.example\r\nContent-Length: 30\r\n\r\n")
        for _ in range(3):
            assert client.is_quiet(STEP)
            client.send(b"0123456789")
        assert client.response().body == b"30"
