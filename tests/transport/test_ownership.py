"""A connection belongs to one thread at a time, also to the one that ends it."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from harness.cases import chunked
from integration.live import message
from transport.served import Pool, appears, same_worker


@pytest.mark.parametrize(
    ("start", "rest"),
    [
        (b"GET / HTTP/1.1\r\nHo", b"st: a.example\r\n\r\n"),
        (chunked(b"1\r\nx\r\n"), b"0\r\n\r\n"),
        (chunked(b"1\r\nx\r\n"), b"5\r\n12345\r\n"),
    ],
    ids=["head", "end of the body", "body"],
)
def test_what_comes_while_a_connection_expires(serve: Pool, gate: Path, start: bytes, rest: bytes) -> None:
    """The message is refused, and the refusal takes its time: the late rest of it is served by nobody."""
    live = serve(
        "plain:app", "--threads=2", "--header-timeout=0.3", "--body-timeout=0.3", "--min-body-rate=0"
    )
    with same_worker(live), contextlib.ExitStack() as end:
        end.callback(gate.touch)
        assert live.request(f"/hold?{gate}&Refused+a+request").status == 200
        client = end.enter_context(live.connect())
        client.send(start)
        appears(gate.with_name("gate.in"))
        client.send(rest)
        for _ in range(3):  # by now the other thread has seen the rest
            with live.connect() as other:
                other.send(message("/"))
                assert other.response().status == 200
        gate.touch()
        assert client.response().status == 408
        client.wait_closed()
