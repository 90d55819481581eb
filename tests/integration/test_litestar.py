"""Litestar over real sockets."""

from __future__ import annotations

import hashlib
import os

import httpx
import pytest
from harness.server import wait_for
from integration.asgi_site import AsgiTests, websocket
from integration.live import Live
from websockets.exceptions import ConnectionClosed, InvalidStatus

MEGABYTE = os.urandom(1_000_000)


class TestLitestar(AsgiTests):
    app = "asgi_litestar_site:app"

    def test_lifespan(self, client: httpx.Client) -> None:
        assert client.get("/log").json()[:1] == ["open"]

    def test_typed_handlers(self, client: httpx.Client) -> None:
        response = client.post("/items", json={"name": "tea", "price": 1.5})
        assert (response.status_code, response.json()) == (201, {"name": "TEA", "price": 3})
        assert client.post("/items", json={"name": "tea"}).status_code == 400

    def test_upload(self, client: httpx.Client) -> None:
        answer = client.post("/upload", files={"file": ("some.bin", MEGABYTE)}).json()
        assert answer == {"name": "some.bin", "sha256": hashlib.sha256(MEGABYTE).hexdigest()}

    def test_a_body_that_is_read_as_it_comes(self, client: httpx.Client) -> None:
        pieces = [MEGABYTE[at : at + 30_000] for at in range(0, len(MEGABYTE), 30_000)]
        assert client.post("/digest", content=iter(pieces)).text == hashlib.sha256(MEGABYTE).hexdigest()

    def test_stream(self, client: httpx.Client) -> None:
        lines = client.get("/stream", params={"lines": 3000}).text.splitlines()
        assert lines == [f"line {number}" for number in range(3000)]

    def test_events(self, client: httpx.Client) -> None:
        response = client.get("/events")
        assert response.headers["Content-Type"].startswith("text/event-stream")
        lines = [line for line in response.text.splitlines() if line]
        assert lines == ["event: word", "data: one", "event: word", "data: two"]

    def test_work_in_a_thread(self, client: httpx.Client) -> None:
        assert client.get("/thread").text == "from a thread"

    def test_background(self, client: httpx.Client) -> None:
        assert client.get("/later").status_code == 200
        wait_for(lambda: "later" in client.get("/log").json(), "the task has run")

    @pytest.mark.usefixtures("fails")
    def test_an_error(self, client: httpx.Client) -> None:
        response = client.get("/fails")
        assert response.status_code == 500
        assert "always fails" not in response.text

    def test_websocket_listener(self, site: Live) -> None:
        with websocket(site, "/ws/shout") as socket:
            for text in ("hello", "caf\xe9" * 10_000):
                socket.send(text)
                assert socket.recv(timeout=10) == text.upper()

    def test_websocket(self, site: Live, client: httpx.Client) -> None:
        with websocket(site, "/ws/echo", max_size=None, subprotocols=["v1", "v2"]) as socket:
            assert socket.subprotocol == "v2"
            socket.send(MEGABYTE)
            assert socket.recv(timeout=10) == MEGABYTE
            socket.close(4003)
        wait_for(lambda: "left with 4003" in client.get("/log").json(), "it was told the code")

    def test_websocket_refused(self, site: Live) -> None:
        with pytest.raises((InvalidStatus, ConnectionClosed)), websocket(site, "/ws/refuses") as socket:
            socket.recv(timeout=10)
