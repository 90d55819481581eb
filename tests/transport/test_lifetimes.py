"""What a WSGI application is handed lives as long as its request: used later, it raises and harms nobody.

These run under AddressSanitizer too (`make sanitize`): what was freed too early shows there.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from harness.cases import chunked, post
from harness.client import ClosedError
from integration.live import Live, message
from transport.served import Pool, appears, same_worker

#: use → what comes of it behind the end of the response.
LATE = {
    "write": "GatewayError",
    "write-much": "GatewayError",
    "write-nothing": "GatewayError",
    "hints": "GatewayError",
    "start": "GatewayError",
    "errors": "10",
    "wrapper": "b'wrapped'",
}
#: use → what comes of it in another thread while the request runs.
ASIDE = {
    "write": "GatewayError",
    "write-much": "GatewayError",
    "write-nothing": "GatewayError",
    "hints": "GatewayError",
    "start": "GatewayError",  # a second time without exc_info, as in any thread
    "errors": "10",
    "wrapper": "b'wrapped'",
    "input": "b'abcd'",
    "line": "b'abcdefgh'",
}
WAYS = ["list", "generator", "write", "file", "failure"]
BODY = b"abcdefgh"


@pytest.fixture(params=[(), ("--no-request-buffering",)], ids=["buffered", "streamed"])
def live(serve: Pool, request: pytest.FixtureRequest) -> Live:
    return serve("lifetimes:app", "--threads=6", "--write-timeout=2", *request.param)


@pytest.mark.parametrize(("use", "found"), ASIDE.items())
def test_another_thread_during_the_request(live: Live, gate: Path, use: str, found: str) -> None:
    with same_worker(live), live.connect() as client:
        client.send(post(BODY, b"Content-Length: 8", path=f"/during?{gate}&{use}".encode()))
        response = client.response()
        assert response.complete
        assert response.body.decode() == found
        client.send(message("/"))
        assert client.response().status == 200


@pytest.mark.parametrize(("use", "found"), LATE.items())
@pytest.mark.parametrize("path", ["/after", "/close", "/finally", "/del"])
def test_behind_the_end(live: Live, gate: Path, path: str, use: str, found: str) -> None:
    """The next response of the connection is the next thing that its client reads."""
    # A generator is closed in the middle when its body is not wanted.
    method = "HEAD" if path == "/finally" else "GET"
    with same_worker(live), live.connect() as client:
        client.send(message(f"{path}?{gate}&{use}", method=method))
        response = client.response(method)
        assert response.complete
        assert response.body == (b"" if method == "HEAD" else b"body")
        if path == "/after":
            gate.touch()
        assert appears(gate.with_name("gate.out")) == found
        client.send(message("/"))
        assert client.response().body == live.request("/").body


@pytest.mark.parametrize("use", ["input", "line"])
def test_an_input_behind_the_end(serve: Pool, gate: Path, use: str) -> None:
    """Its body is still on the way: the thread is told, and is not given an end that is none."""
    live = serve("lifetimes:app", "--threads=6", "--write-timeout=2", "--no-request-buffering")
    with same_worker(live), live.connect() as client:
        client.send(post(b"abc", b"Content-Length: 8", path=f"/after?{gate}&{use}".encode()))
        assert client.response().body == b"body"
        gate.touch()
        assert appears(gate.with_name("gate.out")) == "RequestCut"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("manner", ["reads", "stalls", "resets", "pipelines"])
def test_a_storm_of_threads(live: Live, way: str, manner: str) -> None:
    """Whatever they do, what a client reads is its own response, or less of it."""
    with same_worker(live), contextlib.ExitStack() as end:
        clients = [end.enter_context(live.connect(receive_buffer=65536)) for _ in range(4)]
        for client in clients:
            client.send(chunked(b"4\r\nbody\r\n", path=f"/storm?{way}".encode()))
            client.send(b"2\r\nxy\r\n0\r\n\r\n" + (message("/") if manner == "pipelines" else b""))
        for client in clients:
            if manner == "resets":
                client.abort()
                continue
            if manner == "stalls":
                assert live.request("/").status == 200
            response = client.response()
            assert response.status == (500 if way == "failure" else 200)
            assert b"LATE" not in response.body
            if manner == "pipelines":
                with contextlib.suppress(ClosedError):
                    assert client.response().body == live.request("/").body
