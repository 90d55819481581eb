"""Whatever an application raises: its request fails, the log stays bounded, and the worker lives on."""

from __future__ import annotations

import contextlib

import pytest
from harness.client import Client
from harness.websocket import Socket, handshake
from integration.live import Live, message
from transport.served import Pool, same_worker

#: As tests/apps/failures.py names them.
FAILURES = (
    *("class", "text", "trace", "cause", "attribute", "meta", "end", "argument"),
    *("bare", "exit", "interrupt", "generator", "iteration"),
    *("deep-cause", "deep-context", "deep-group", "deep-trace", "circle"),
)
#: Of what is a long chain to free, and to write down, one sort each time.
EACH = [
    pytest.param(name, marks=pytest.mark.slow)
    if name in ("deep-context", "deep-group", "deep-trace")
    else name
    for name in FAILURES
]
#: More than a traceback in full, less than a few of the 200,000 links of a chain take.
MOST_LOGGED = 300_000


@pytest.fixture(params=[1, 4], ids=["sync", "threads"])
def live(serve: Pool, request: pytest.FixtureRequest) -> Live:
    return serve("failures:app", f"--threads={request.param}")


@pytest.mark.parametrize("name", EACH)
def test_before_the_response(live: Live, name: str) -> None:
    mark = live.log_mark()
    with same_worker(live):
        assert live.request(f"/raise?{name}").status == 500
        live.wait_log(f"Error in the application (GET /raise?{name})")
    assert live.log_mark() - mark < MOST_LOGGED


@pytest.mark.parametrize("name", [name for name in EACH if name != "iteration"])
def test_in_the_middle_of_a_response(live: Live, name: str) -> None:
    """The client can tell. (A StopIteration is the end of an iterator, and no failure.)"""
    with same_worker(live), live.connect() as client:
        client.send(message(f"/break?{name}"))
        assert not client.response().complete
        live.wait_log(f"Error in the application (GET /break?{name})")


@pytest.mark.parametrize("name", EACH)
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


# -- the same from the task of an event loop

PATHS = ("/raise", "/break", "/close")
#: Once a response has begun no client is asked for a body, so nobody would wake the task.
CASES = [("/raise", "woken"), *((path, when) for path in PATHS for when in ("now", "later"))]


@pytest.fixture
def asgi(serve: Pool) -> Live:
    return serve("asgi_failures:app", kind="asgi")


def begin(client: Client, url: str) -> None:
    """The body comes when the application waits for it."""
    client.send(message(url, method="POST", fields=("Expect: 100-continue", "Content-Length: 4")))
    if url.endswith("woken"):
        client.read_until(b"100 Continue\r\n\r\n")
        client.send(b"body")


@pytest.mark.parametrize("name", EACH)
@pytest.mark.parametrize(("path", "when"), CASES)
def test_of_a_task(asgi: Live, path: str, when: str, name: str) -> None:
    url = f"{path}?{name}&{when}"
    mark = asgi.log_mark()
    with same_worker(asgi), asgi.connect() as client:
        begin(client, url)
        response = client.response()
        if path == "/raise":
            assert response.status == 500
        else:
            assert (response.status, response.complete) == (200, path == "/close")
        asgi.wait_log(f"Error in the application (POST {url})")
    assert asgi.log_mark() - mark < MOST_LOGGED


@pytest.mark.parametrize("name", EACH)
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("when", ["now", "later"])
def test_of_the_task_of_a_websocket(asgi: Live, path: str, when: str, name: str) -> None:
    url = f"{path}?{name}&{when}"
    mark = asgi.log_mark()
    with same_worker(asgi):
        if path == "/raise":
            with asgi.connect() as client:
                client.send(handshake(url))
                assert client.response().status == 500
        else:
            with Socket(asgi, url) as socket:
                assert socket.message() == "begun"
                assert socket.closed_with() == (1011 if path == "/break" else 1000)
        asgi.wait_log(f"Error in the application (GET {url})")
    assert asgi.log_mark() - mark < MOST_LOGGED


def test_a_log_handler_that_raises_leaves_no_connection_behind(asgi: Live) -> None:
    """It raises while one goes on with what was pipelined, in a turn of its own; others wait for theirs."""
    assert asgi.request("/refusals").status == 200
    with same_worker(asgi), contextlib.ExitStack() as stack:
        clients = [stack.enter_context(asgi.connect()) for _ in range(8)]
        for client in clients:
            client.send(message("/slow") + b"GET / HTTP/1.1\r\n broken\r\n\r\n")
        for client in clients:
            assert client.response().status == 200
        for client in clients:
            client.wait_closed()


@pytest.mark.slow
def test_a_request_that_takes_too_long_is_answered_whatever_its_task_is(serve: Pool) -> None:
    """The log handler raises, and what it awaits does when it is looked at or cancelled."""
    live = serve("asgi_failures:app", "--request-timeout=0.2", "--graceful-timeout=1", kind="asgi")
    with same_worker(live):
        for _ in range(2):
            assert live.request("/stuck").status == 504
            assert live.request("/refusals").status == 200
    log = live.wait_log("a log handler or filter failed (GET /stuck)")
    assert "no more frames: SystemExit" in log
    assert log.count("a task could not be cancelled (GET /stuck)") == 2
