"""The ASGI examples that have no test of their own elsewhere do what they say."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from integration.asgi_site import AsgiTests, websocket
from integration.live import EXAMPLES, Live
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection


def heard(socket: ClientConnection) -> Any:
    return json.loads(socket.recv(timeout=10))


class Example(AsgiTests):
    chdir = EXAMPLES


class TestHello(Example):
    app = "asgi_hello:app"

    def test_hello(self, client: httpx.Client) -> None:
        assert client.get("/").text == "Hello from Tricorn!\n"


class TestFastAPI(Example):
    app = "fastapi_app:app"

    def test_a_change_is_told(self, site: Live, client: httpx.Client) -> None:
        note = {"text": "milk", "done": False}
        with websocket(site, "/changes") as one, websocket(site, "/changes") as two:
            assert client.put("/notes/1", json=note).json() == note
            assert heard(one) == heard(two) == {"number": 1, **note}
            one.close()
            client.put("/notes/2", json=note)
            assert heard(two) == {"number": 2, **note}
        assert client.get("/notes").json() == {"1": note, "2": note}
        assert client.get("/notes/3").status_code == 404
        assert client.put("/notes/3", json={"text": ""}).status_code == 422


class TestChat(Example):
    app = "chat:app"

    def join(self, site: Live, name: str) -> ClientConnection:
        return websocket(site, f"/room?{name}", subprotocols=["chat"])

    def test_the_page(self, client: httpx.Client) -> None:
        page = client.get("/")
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "new WebSocket(" in page.text

    def test_a_conversation(self, site: Live) -> None:
        with self.join(site, "Ada") as ada:
            assert heard(ada) == {"who": "Ada", "says": "(is here)"}
            with self.join(site, "Zo%C3%AB") as zoe:
                for socket in (ada, zoe):
                    assert heard(socket) == {"who": "Zo\xeb", "says": "(is here)"}
                zoe.send("hello \N{SNOWMAN}")
                for socket in (ada, zoe):
                    assert heard(socket) == {"who": "Zo\xeb", "says": "hello \N{SNOWMAN}"}
            assert heard(ada) == {"who": "Zo\xeb", "says": "(has left)"}

    def test_what_is_too_much(self, site: Live) -> None:
        with self.join(site, "Ada") as ada:
            heard(ada)
            ada.send("x" * 2001)
            with pytest.raises(ConnectionClosed) as closed:
                ada.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008

    def test_another_protocol_is_refused(self, site: Live) -> None:
        with pytest.raises(InvalidStatus) as refused, websocket(site, "/room?Ada"):
            pass
        assert refused.value.response.status_code == 403
