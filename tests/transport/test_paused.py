"""Responses whose client does not keep up: the application is left, and resumed or closed later."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from integration.live import Live, message
from transport.served import Pool, appears, same_worker, stop_reading

PIECE = bytes(range(250)) * 4000
BODY = PIECE * 12


@pytest.fixture
def live(serve: Pool) -> Live:
    """One thread: what takes it is seen by everybody."""
    return serve("paused:app", "--threads=1")


@pytest.mark.parametrize("path", ["/method", "/subclass"])
def test_a_slow_reader_gets_all_of_it(live: Live, gate: Path, path: str) -> None:
    """Whatever the application did to its environ or calls bytes, a resumed response is complete."""
    with same_worker(live), stop_reading(live, path, gate) as client:
        response = client.response()
        assert response.complete
        assert response.body == BODY
        client.send(message("/"))
        assert client.response().status == 200


def test_writing_when_closed_is_refused(live: Live, gate: Path) -> None:
    """An abandoned iterable that calls write() while it is closed harms nobody."""
    with same_worker(live):
        stop_reading(live, "/write", gate).abort()
        appears(gate.with_name("gate.closed"))


def test_an_exit_when_closed_is_logged(live: Live, gate: Path) -> None:
    """SystemExit out of close() ends neither the worker nor its thread."""
    with same_worker(live):
        stop_reading(live, "/exit", gate).abort()
        appears(gate.with_name("gate.closed"))
        live.wait_log("SystemExit")


def test_the_monitor_takes_over_while_an_iterable_is_closed(live: Live, gate: Path) -> None:
    """The only thread is inside close() of an abandoned response; another client's upload is read on."""
    with same_worker(live), contextlib.ExitStack() as end:
        end.callback(gate.touch)
        stop_reading(live, "/slow", gate).abort()
        appears(gate.with_name("gate.closing"))
        with live.connect() as client:
            client.send(
                b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
            )
            assert client.interim().status == 100
            client.send(b"hello")
            gate.touch()
            assert client.response().status == 200


def test_what_is_queued_flows_while_the_application_waits(serve: Pool, gate: Path) -> None:
    """The application was resumed before the queue was empty, and blocks: the queue is sent all the same."""
    live = serve("paused:app", "--threads=1", "--response-buffer-size=4194304")
    with contextlib.ExitStack() as end:
        end.callback(gate.touch)
        client = end.enter_context(stop_reading(live, "/tail", gate))
        client.read_until(b"\r\n\r\n")
        client.read_until(b"\r\n")
        assert client.read_exactly(len(BODY)) == BODY
        appears(gate.with_name("gate.resumed"))
        assert not gate.exists()
        gate.touch()
        assert client.read_until(b"0\r\n\r\n") == b"\r\n4\r\nlast\r\n"
