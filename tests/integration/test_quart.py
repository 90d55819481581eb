"""Quart over real sockets."""

from __future__ import annotations

import hashlib
import json
import os

import httpx
import pytest
from harness.server import wait_for
from integration.asgi_site import AsgiTests, websocket
from integration.live import Live, message
from websockets.exceptions import ConnectionClosed, InvalidStatus

MEGABYTE = os.urandom(1_000_000)


class TestQuart(AsgiTests):
    app = "asgi_quart_site:app"

    def test_lifespan(self, client: httpx.Client) -> None:
        assert client.get("/log").json()[:1] == ["open"]

    def test_sessions(self, client: httpx.Client) -> None:
        response = client.post("/login", data={"user": "Zo\xeb"}, follow_redirects=True)
        assert response.json() == {"user": "Zo\xeb", "visits": 1}
        assert client.get("/whoami").json() == {"user": "Zo\xeb", "visits": 2}

    def test_upload(self, client: httpx.Client) -> None:
        answer = client.post("/upload", files={"file": ("some.bin", MEGABYTE)}).json()
        assert answer == {"name": "some.bin", "sha256": hashlib.sha256(MEGABYTE).hexdigest()}

    def test_a_body_that_is_read_as_it_comes(self, client: httpx.Client) -> None:
        pieces = [MEGABYTE[at : at + 30_000] for at in range(0, len(MEGABYTE), 30_000)]
        assert client.post("/digest", content=iter(pieces)).text == hashlib.sha256(MEGABYTE).hexdigest()

    def test_a_body_over_the_frameworks_limit(self, site: Live, client: httpx.Client) -> None:
        """Quart answers before it has read it all, and the client hears the answer."""
        with site.connect(timeout=10) as raw:
            form = ["Content-Type: multipart/form-data; boundary=x", "Content-Length: 9000000"]
            raw.send(message("/upload", method="POST", fields=form))
            raw.send(b"x" * 100_000)
            assert raw.response("POST").status == 413
        assert client.get("/").text == "hello"

    def test_stream(self, client: httpx.Client) -> None:
        lines = client.get("/stream", params={"lines": 3000}).text.splitlines()
        assert lines == [f"line {number}" for number in range(3000)]

    def test_work_in_a_thread(self, client: httpx.Client) -> None:
        assert client.get("/thread").text == "from a thread"

    @pytest.mark.usefixtures("fails")
    def test_errors(self, site: Live, client: httpx.Client) -> None:
        assert client.get("/gone").status_code == 410
        response = client.get("/fails")
        assert response.status_code == 500
        assert "always fails" not in response.text
        site.wait_log("this handler always fails")

    def test_websocket_echo(self, site: Live) -> None:
        with websocket(site, "/ws/echo", max_size=None) as socket:
            for data in ("text", "caf\xe9" * 10_000, b"bytes", MEGABYTE):
                socket.send(data)
                assert socket.recv(timeout=10) == data

    def test_websocket_handshake_and_close(self, site: Live) -> None:
        with websocket(site, "/ws/about?q=why", subprotocols=["v1", "v2"]) as socket:
            assert socket.subprotocol == "v2"
            assert socket.response is not None
            assert socket.response.headers["X-Extra"] == "from accept"
            assert json.loads(socket.recv(timeout=10)) == {"asked": ["v1", "v2"], "query": "why"}
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4002, "done")

    def test_websocket_refused_with_a_status(self, site: Live) -> None:
        with pytest.raises(InvalidStatus) as refused, websocket(site, "/ws/refuses"):
            pass
        assert refused.value.response.status_code == 418

    def test_websocket_notices_that_the_client_went(self, site: Live, client: httpx.Client) -> None:
        before = client.get("/log").json().count("cancelled")
        with websocket(site, "/ws/waits") as socket:
            socket.socket.close()
            wait_for(lambda: client.get("/log").json().count("cancelled") > before, "it was cancelled")
