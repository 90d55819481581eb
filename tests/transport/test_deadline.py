"""The time limit of a request: what an application is told of it and may change, and what its route says."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.client import Client
from integration.live import Live, message
from transport.served import Pool, appears, same_worker

LIMIT = 0.3
#: None of the requests that other tests make is below these prefixes.
OPTIONS = (
    f"--request-timeout={LIMIT}",
    "--route=/unlimited request_timeout=0",
    "--route=/unlimited/but request_timeout=0.2",
    "--threads=6",
    "--route=/slow request_timeout=0 slow_request_time=0.1",
)
SLOW = "takes longer than slow_request_time"

pytestmark = pytest.mark.parametrize("kind", ["gthread", "asgi"])


@pytest.fixture
def live(serve: Pool, kind: str) -> Live:
    return serve("deadlines:app", *OPTIONS, kind=kind)


def told(live: Live, path: str) -> str:
    response = live.request(path)
    assert response.status == 200, live.log()
    return response.body.decode()


@contextlib.contextmanager
def inside(live: Live, path: str, gate: Path) -> Iterator[Client]:
    """A client whose request is in the application, and waits for the gate."""
    with live.connect(timeout=10) as client:
        client.send(message(path))
        appears(gate.with_name(f"{gate.name}.in"))
        yield client


def let_the_limit_pass(live: Live, gate: Path) -> None:
    """Whoever began before this and has the usual limit has been ended."""
    other = gate.with_name("other")
    assert live.request(f"/wait?{other}").status == 504


def test_what_is_left(live: Live) -> None:
    assert 0 < float(told(live, "/remaining")) <= LIMIT
    assert told(live, "/unlimited/remaining") == "None"
    assert 0 < float(told(live, "/unlimited/but/remaining")) <= 0.2


def test_requests_that_may_take_longer(live: Live, gate: Path) -> None:
    pages = ("/extend?{}&30", "/clear?{}", "/aside?{}&30", "/unlimited/wait?{}")
    gates = [gate.with_name(f"gate-{number}") for number in range(len(pages))]
    with same_worker(live), contextlib.ExitStack() as end:
        clients = [
            end.enter_context(inside(live, page.format(each), each))
            for page, each in zip(pages, gates, strict=True)
        ]
        let_the_limit_pass(live, gate)
        for client, each in zip(clients, gates, strict=True):
            each.touch()
            assert client.response().body == b"released"


def test_an_extension_ends(live: Live, gate: Path) -> None:
    start = time.monotonic()
    with same_worker(live), inside(live, f"/extend?{gate}&0.2", gate) as client:
        assert client.response().status == 504
    assert time.monotonic() - start > LIMIT + 0.15


def test_what_is_no_extension(live: Live) -> None:
    assert told(live, "/wrong") == "ValueError ValueError TypeError TypeError"


def test_a_deadline_of_a_request_that_is_over(live: Live, gate: Path) -> None:
    """It has no limit any more, and does nothing to the request that is served now."""
    with same_worker(live):
        told(live, "/keep")
        assert told(live, "/late") == "[(None, None, None)] [(None, None, None)]"
        let_the_limit_pass(live, gate)


def test_the_longest_prefix_wins(live: Live, gate: Path) -> None:
    with inside(live, f"/unlimited/wait?{gate}", gate) as client:
        assert live.request(f"/unlimited/%62ut/wait?{gate}-other").status == 504, (
            "decoded, as applications have it"
        )
        gate.touch()
        assert client.response().status == 200


def test_a_prefix_ends_at_a_segment(live: Live, gate: Path) -> None:
    assert live.request(f"/unlimited-not/wait?{gate}").status == 504


def test_a_slow_request_is_told_once_and_goes_on(live: Live, gate: Path) -> None:
    mark = len(live.log())
    path = f"/slow/wait?{gate}"
    with same_worker(live), inside(live, path, gate) as client:
        live.wait_log(SLOW, times=live.log()[:mark].count(SLOW) + 1)
        let_the_limit_pass(live, gate)  # several times what is slow
        gate.touch()
        assert client.response().body == b"released"
    log = live.log()[mark:]
    assert log.count(SLOW) == 1
    assert f"GET {path}"[:50] in log
    assert "deadlines.py" in log.partition(SLOW)[2]
    assert "in app" in log.partition(SLOW)[2]
