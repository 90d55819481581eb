"""Channels' consumers behind the server, beside Django's own pages, with the sessions of these."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness.server import wait_for
from integration.asgi_site import AsgiTests, pages_of, websocket
from integration.live import Live
from integration.test_django_asgi import with_tables
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection


def visit(site: Live, path: str, **options: Any) -> ClientConnection:
    """A WebSocket from a page that the site admits."""
    return websocket(site, path, origin="http://good.example", **options)


def heard(socket: ClientConnection) -> Any:
    return json.loads(socket.recv(timeout=10))


@contextmanager
def room(site: Live, name: str, user: str) -> Iterator[ClientConnection]:
    """A WebSocket with the session of `user`, who has logged in on a page."""
    with pages_of(site) as pages:
        token = pages.get("/form").json()["token"]
        form = {"user": user, "csrfmiddlewaretoken": token}
        pages.post("/login", data=form, headers={"Referer": f"{site.url}/form"}).raise_for_status()
        cookie = f"sessionid={pages.cookies['sessionid']}"
    with visit(site, f"/ws/rooms/{name}", additional_headers={"Cookie": cookie}) as socket:
        assert heard(socket) == {"joined": user}
        yield socket


class TestChannels(AsgiTests):
    app = "asgi_channels_site:application"

    def environ(self, directory: Path) -> dict[str, str]:
        return with_tables(directory)

    def test_echo(self, site: Live) -> None:
        with visit(site, "/ws/echo", max_size=None) as socket:
            for data in ("text", "caf\xe9" * 10_000, b"bytes", os.urandom(500_000)):
                socket.send(data)
                assert socket.recv(timeout=10) == data

    def test_subprotocol(self, site: Live) -> None:
        with visit(site, "/ws/echo", subprotocols=["other", "echo"]) as socket:
            assert socket.subprotocol == "echo"

    def test_a_room(self, site: Live, client: httpx.Client) -> None:
        """What one says all hear, in order; who leaves is named with the code that he gave."""
        with room(site, "lounge", "Ada") as ada, room(site, "lounge", "Bob") as bob:
            assert heard(ada) == {"joined": "Bob"}
            for text in ("hello", "caf\xe9 \N{SNOWMAN}"):
                bob.send(json.dumps({"say": text}))
                for socket in (ada, bob):
                    assert heard(socket) == {"from": "Bob", "text": text}
            bob.close(4001)
            assert heard(ada) == {"left": "Bob", "code": 4001}
        assert client.get("/notes", params={"tag": "lounge"}).json() == ["hello", "caf\xe9 \N{SNOWMAN}"]

    def test_a_crowd(self, site: Live) -> None:
        with ExitStack() as stack:
            crowd = [stack.enter_context(room(site, "hall", f"user {number}")) for number in range(10)]
            for number, socket in enumerate(crowd):
                for later in range(number + 1, 10):
                    assert heard(socket) == {"joined": f"user {later}"}
            for socket in crowd:
                socket.send(json.dumps({"say": "hi"}))
            for socket in crowd:
                said = {heard(socket)["from"] for _ in crowd}
                assert said == {f"user {number}" for number in range(10)}

    def test_a_stranger_is_refused(self, site: Live) -> None:
        with pytest.raises(InvalidStatus) as refused, visit(site, "/ws/rooms/lounge"):
            pass
        assert refused.value.response.status_code == 403

    def test_a_foreign_origin_is_refused(self, site: Live) -> None:
        for origin in ("http://evil.example", None):
            with pytest.raises(InvalidStatus) as refused, websocket(site, "/ws/echo", origin=origin):
                pass
            assert refused.value.response.status_code == 403

    def test_a_synchronous_consumer(self, site: Live, client: httpx.Client) -> None:
        client.post("/notes/add", data={"tag": "counted", "text": ["a", "b", "c"]})
        with visit(site, "/ws/count") as socket:
            for tag, count in (("counted", "3"), ("nothing", "0")):
                socket.send(tag)
                assert socket.recv(timeout=10) == count
            socket.send("enough")
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4000, "as you wish")

    def test_who_vanishes_leaves_the_room(self, site: Live) -> None:
        with room(site, "cellar", "Ada") as ada, room(site, "cellar", "Bob") as bob:
            assert heard(ada) == {"joined": "Bob"}
            bob.socket.close()
            assert heard(ada) == {"left": "Bob", "code": 1006}

    @pytest.mark.usefixtures("fails")
    def test_an_unknown_path(self, site: Live) -> None:
        """Channels raises for it; to the client that is a refusal."""
        with pytest.raises(InvalidStatus) as refused, visit(site, "/ws/nowhere"):
            pass
        assert refused.value.response.status_code in (403, 500)
        wait_for(lambda: "No route found for path" in site.log(), "the reason is logged")
