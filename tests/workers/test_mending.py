"""Who may see why an application cannot be loaded, and what that looks like."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from tricorn.config.settings import Settings
from tricorn.kinds import ASGI, WSGI
from tricorn.workers.mending import PLAIN, Broken, is_loopback, may_see, maybe_page

HOST = {"host": "localhost:8000"}
TEXT = "Traceback:\n  line <b>\nNameError: name '<script>' is not defined"


@pytest.mark.parametrize(
    ("version", "peer", "fields", "sees"),
    [
        ("HTTP/1.1", "127.0.0.1", HOST, True),
        ("HTTP/2", "127.0.0.1", HOST, True),
        ("HTTP/1.1", "::1", {"host": "[::1]:8000"}, True),
        ("HTTP/1.1", "127.9.9.9", {"host": "127.0.0.1"}, True),
        ("HTTP/1.1", "127.0.0.1", {"host": "shop.localhost"}, True),
        ("HTTP/1.1", "127.0.0.1", {**HOST, "origin": "http://localhost:8000"}, True),
        ("HTTP/1.1", "127.0.0.1", {**HOST, "referer": "http://localhost:8000/shop"}, True),
        ("HTTP/1.1", "127.0.0.1", {**HOST, "sec-fetch-site": "none", "accept-language": "de"}, True),
        # from elsewhere
        ("HTTP/1.1", "192.0.2.1", HOST, False),
        ("HTTP/1.1", "", HOST, False),
        # a name that leads here, but is somebody else's
        ("HTTP/1.1", "127.0.0.1", {"host": "attacker.example"}, False),
        ("HTTP/1.1", "127.0.0.1", {"host": "localhost.attacker.example"}, False),
        ("HTTP/1.1", "127.0.0.1", {"host": "127.0.0.1.attacker.example"}, False),
        ("HTTP/1.1", "127.0.0.1", {"host": "192.0.2.1"}, False),
        ("HTTP/1.1", "127.0.0.1", {}, False),
        ("HTTP/1.1", "127.0.0.1", {**HOST, "origin": "https://attacker.example"}, False),
        ("HTTP/1.1", "127.0.0.1", {**HOST, "origin": "null"}, False),
        ("HTTP/1.1", "127.0.0.1", {**HOST, "referer": "https://attacker.example/"}, False),
        # by a proxy
        ("HTTP/1.0", "127.0.0.1", HOST, False),
        *(
            ("HTTP/1.1", "127.0.0.1", {**HOST, name: "x"}, False)
            for name in (
                *(
                    "forwarded",
                    "x-forwarded-for",
                    "x-forwarded-proto",
                    "x-forwarded-host",
                    "x-real-ip",
                    "via",
                ),
                *(
                    "x-client-ip",
                    "true-client-ip",
                    "cf-connecting-ip",
                    "x-request-id",
                    "x-envoy-attempt-count",
                ),
                *(
                    "x-original-uri",
                    "proxy-connection",
                    "x-amzn-trace-id",
                    "x-cloud-trace-context",
                    "x-scheme",
                ),
            )
        ),
    ],
)
def test_who_may_see_it(version: str, peer: str, fields: Mapping[str, str], sees: bool) -> None:
    assert may_see(version, peer, fields) == sees


def test_the_page_shows_the_text_and_runs_none_of_it() -> None:
    kind, body = Broken(TEXT).answer("GET", "HTTP/1.1", "::1", {**HOST, "accept": "text/html,*/*"})
    page = body.decode()
    assert kind == "text/html; charset=utf-8"
    assert "<script" not in page
    assert "<b>" not in page
    assert "<title>NameError: name &#x27;&lt;script&gt;&#x27; is not defined</title>" in page
    assert 'http-equiv="refresh"' in page
    assert (
        "refresh"
        not in Broken(TEXT).answer("POST", "HTTP/1.1", "::1", {**HOST, "accept": "text/html"})[1].decode()
    )


def test_without_html_it_is_the_text() -> None:
    kind, body = Broken(TEXT).answer("GET", "HTTP/1.1", "::1", {**HOST, "accept": "*/*"})
    assert (kind, body) == ("text/plain; charset=utf-8", TEXT.encode() + b"\n")


def test_others_see_nothing_of_it() -> None:
    kind, body = Broken(TEXT).answer("GET", "HTTP/1.1", "192.0.2.1", {**HOST, "accept": "text/html"})
    assert (kind, body) == ("text/plain; charset=utf-8", PLAIN)


def bound(family: socket.AddressFamily, where: Any) -> Any:
    sock = socket.socket(family)
    sock.bind(where)
    return SimpleNamespace(socket=sock)


LOCAL = (socket.AF_INET, ("127.0.0.1", 0))
WORLD = (socket.AF_INET, ("0.0.0.0", 0))
UNIX = (socket.AF_UNIX, "\0tricorn-test-mending")


@pytest.mark.parametrize(
    ("settings", "places", "is_there"),
    [
        (Settings(reload=True), [LOCAL], True),
        (Settings(reload=True), [LOCAL, LOCAL], True),
        (Settings(), [LOCAL], False),
        (Settings(reload=True), [WORLD], False),
        (Settings(reload=True), [LOCAL, WORLD], False),
        (Settings(reload=True), [UNIX], False),
        (Settings(reload=True, proxy_protocol="v1"), [LOCAL], False),
        (Settings(reload=True, protocol="uwsgi"), [LOCAL], False),
        (Settings(reload=True, bind=("127.0.0.1:8000", "uwsgi://127.0.0.1:3031")), [LOCAL, LOCAL], False),
    ],
)
def test_where_there_is_a_page(settings: Settings, places: list[Any], is_there: bool) -> None:
    listeners = [bound(*place) for place in places]
    try:
        assert (maybe_page(settings, listeners, TEXT, WSGI) is not None) == is_there
    finally:
        for listener in listeners:
            listener.socket.close()


def test_a_listener_that_the_application_has_closed_is_none() -> None:
    listener = bound(*LOCAL)
    listener.socket.close()
    assert not is_loopback(listener)


def test_it_is_an_application_of_both_interfaces() -> None:
    listener = bound(*LOCAL)
    settings = Settings(reload=True)
    wsgi, asgi = (maybe_page(settings, [listener], TEXT, interface) for interface in (WSGI, ASGI))
    assert is_loopback(listener)
    listener.socket.close()
    assert wsgi is not None
    assert asgi is not None
    environ = {
        "REQUEST_METHOD": "GET",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "::1",
        "HTTP_HOST": "localhost",
    }
    started: list[Any] = []
    body = b"".join(wsgi(environ, lambda *arguments: started.append(arguments)))
    status, headers = started[0]
    assert status == "500 Internal Server Error"
    assert dict(headers)["Cache-Control"] == "no-store"
    assert dict(headers)["Content-Length"] == str(len(body))

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": f"lifespan.{('startup', 'shutdown')[len(sent)]}"}

    scope = {
        "type": "http",
        "method": "GET",
        "http_version": "1.1",
        "client": ("::1", 1),
        "headers": [(b"host", b"localhost")],
    }
    asyncio.run(asgi(scope, receive, send))
    assert (sent[0]["status"], sent[1]["body"]) == (500, body)
    sent.clear()
    asyncio.run(asgi({"type": "lifespan"}, receive, send))
    assert [message["type"] for message in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    sent.clear()
    asyncio.run(asgi({"type": "websocket"}, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1011}]
