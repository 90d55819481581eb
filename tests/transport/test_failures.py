"""Whatever an application raises: its request fails, the log stays bounded, and the worker lives on."""

from __future__ import annotations

import pytest
from integration.live import Live, message
from transport.served import Pool, same_worker

#: As apps/failures.py names them.
FAILURES = (
    *("class", "text", "trace", "cause", "attribute", "meta", "end", "argument"),
    *("bare", "exit", "interrupt", "generator", "iteration"),
    *("deep-cause", "deep-context", "deep-group", "deep-trace", "circle"),
)
#: More than a traceback in full, less than a few of the 200,000 links of a chain take.
MOST_LOGGED = 300_000


@pytest.fixture(params=[1, 4], ids=["sync", "threads"])
def live(serve: Pool, request: pytest.FixtureRequest) -> Live:
    return serve("failures:app", f"--threads={request.param}")


@pytest.mark.parametrize("name", FAILURES)
def test_before_the_response(live: Live, name: str) -> None:
    mark = live.log_mark()
    with same_worker(live):
        assert live.request(f"/raise?{name}").status == 500
        live.wait_log(f"Error in the application (GET /raise?{name})")
    assert live.log_mark() - mark < MOST_LOGGED


@pytest.mark.parametrize("name", [name for name in FAILURES if name != "iteration"])
def test_in_the_middle_of_a_response(live: Live, name: str) -> None:
    """The client can tell. (A StopIteration is the end of an iterator, and no failure.)"""
    with same_worker(live), live.connect() as client:
        client.send(message(f"/break?{name}"))
        assert not client.response().complete
        live.wait_log(f"Error in the application (GET /break?{name})")


@pytest.mark.parametrize("name", FAILURES)
def test_behind_the_response(live: Live, name: str) -> None:
    with same_worker(live):
        response = live.request(f"/close?{name}")
        assert (response.status, response.body) == (200, b"all")
        live.wait_log(f"Error in the application (GET /close?{name})")


def test_both_ends_of_a_long_chain_are_logged(live: Live) -> None:
    mark = live.log_mark()
    assert live.request("/raise?deep-cause").status == 500
    log = live.log(mark)
    for text in (
        "the first of many",
        "199985 exceptions",
        "number 199999 of many",
        "was the direct cause of",
    ):
        assert text in log
