"""Applications that are made for the package gevent-websocket: environ["wsgi.websocket"]."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness.server import wait_for
from harness.websocket import for_websockets
from integration.live import Live, message
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

WORKER = "geventwebsocket.gunicorn.workers.GeventWebSocketWorker"


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with Live("websockets_of_gevent:app", "--worker-class", WORKER, kind="gevent") as live:
        yield live
        live.stop()


def test_messages(live: Live) -> None:
    options = for_websockets(live, "/echo")
    with connect(**options, subprotocols=["other", "chat"], compression=None) as client:  # type: ignore[list-item]
        assert client.subprotocol == "chat"
        assert client.recv(10) == "/echo 13"
        for text in ("one", b"two", "caf\xe9" * 30_000):
            client.send(text)
            assert client.recv(10) == text
    assert "Error" not in live.log()


def test_an_application_that_fails_ends_it(live: Live) -> None:
    with connect(**for_websockets(live, "/echo")) as client:
        client.send("raise")
        assert client.recv(10) == "/echo 13"
        with pytest.raises(ConnectionClosed):
            client.recv(10)
    live.wait_log("ValueError: on purpose")


def test_an_application_of_the_packages_own_class(live: Live) -> None:
    with connect(**for_websockets(live, "/rooms")) as client:
        client.send("one")
        assert client.recv(10) == "one"
    wait_for(lambda: live.request("/").body.startswith(b"False "), "it hears of the end")


def test_what_asks_for_none_is_left_alone(live: Live) -> None:
    """An answer without it, a socket instead of it, and a request that is no handshake."""
    with pytest.raises(InvalidStatus) as refused, connect(**for_websockets(live, "/plain")):
        pass
    assert refused.value.response.status_code == 200
    assert refused.value.response.body.startswith(b"True")
    asks = ("Connection: upgrade", "Upgrade: websocket")
    handshake = (*asks, "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")
    with live.connect() as client:
        client.send(message("/socket", fields=handshake))
        client.read_until(b"\r\n\r\n")
        assert client.read_to_end() == b"of my own"
    assert live.request("/plain", fields=asks).body.startswith(b"False")
