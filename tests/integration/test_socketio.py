"""Flask-SocketIO and python-socketio's own client: long polling, WebSocket, and from one to the other."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
import socketio
from harness.server import wait_for
from integration.live import Live

HIDDEN = {"WITHOUT": "geventwebsocket"}

#: kind of worker, its options, mode of the library, environment. In the mode gevent it takes
#: environ["wsgi.websocket"] if it finds the package gevent-websocket, else environ["gunicorn.socket"].
WAYS = {
    "gevent": ("gevent", (), "gevent", HIDDEN),
    "gevent-websocket": ("gevent", (), "gevent", {}),
    "eventlet": ("eventlet", (), "eventlet", {}),
    "threads": ("gthread", ("--threads=16",), "threading", {}),
}


@pytest.fixture(
    scope="module",
    params=[way if way == "gevent" else pytest.param(way, marks=pytest.mark.slow) for way in WAYS],
)
def live(request: pytest.FixtureRequest) -> Iterator[Live]:
    kind, options, mode, environ = WAYS[request.param]
    environ = {"ASYNC_MODE": mode, **environ}
    with Live("socketio_site:app", *options, kind=kind, environ=environ) as live:
        yield live
        assert "Error in the application" not in live.log()
        live.stop()


Heard = queue.Queue[tuple[str, Any]]


@contextmanager
def connected(live: Live, *transports: str) -> Iterator[tuple[socketio.Client, Heard]]:
    """A client, and what it hears."""
    heard: Heard = queue.Queue()
    session = requests.Session()
    session.trust_env = False  # else a variable may name certificates that ssl_verify does not switch off
    client = socketio.Client(http_session=session, ssl_verify=False, handle_sigint=False)
    client.on("*", lambda event, data: heard.put((event, data)))
    scheme = live.wire.url_scheme
    client.connect(f"{scheme}://127.0.0.1:{live.address[1]}", transports=list(transports), wait_timeout=10)
    try:
        yield client, heard
    finally:
        client.disconnect()


def notes(live: Live) -> list[str]:
    found: list[str] = json.loads(live.request("/notes").body)
    return found


WEBSOCKET, POLLING = "websocket", "polling"
transports = pytest.mark.parametrize(
    "transports", [(WEBSOCKET,), (POLLING,), (POLLING, WEBSOCKET)], ids=["websocket", "polling", "upgrade"]
)


@transports
def test_events_go_both_ways(live: Live, transports: tuple[str, ...]) -> None:
    before = len(notes(live))
    with connected(live, *transports) as (client, heard):
        wait_for(lambda: client.transport() == transports[-1], f"it goes over {transports[-1]}", deadline=10)
        for data in ("text", "caf\xe9 " * 20_000, b"\x00\xff" * 1000, {"number": [1, 2.5, None]}):
            assert client.call("echo", data, timeout=10) == "acknowledged"
            assert heard.get(timeout=10) == ("echo", data)
        client.emit("later", "task")
        assert heard.get(timeout=10) == ("later", "task")
    wait_for(lambda: notes(live)[before:] == ["connected", "left"], "the application hears of the end")


def test_all_clients_hear_what_is_for_all(live: Live) -> None:
    with (
        connected(live, WEBSOCKET) as (client, heard),
        connected(live, WEBSOCKET) as (_, other),
        connected(live, POLLING) as (_, third),
    ):
        client.emit("shout", "all")
        for each in (heard, other, third):
            assert each.get(timeout=10) == ("shout", "all")


@pytest.mark.slow
@pytest.mark.parametrize("way", ["gevent", "gevent-websocket", "eventlet"])
def test_over_tls(way: str) -> None:
    kind, options, mode, environ = WAYS[way]
    environ = {"ASYNC_MODE": mode, **environ}
    with (
        Live("socketio_site:app", *options, kind=kind, wire="tls", environ=environ) as live,
        connected(live, POLLING, WEBSOCKET) as (client, heard),
    ):
        wait_for(lambda: client.transport() == WEBSOCKET, "it goes over a WebSocket", deadline=10)
        client.emit("echo", "x" * 200_000)
        assert heard.get(timeout=10) == ("echo", "x" * 200_000)
