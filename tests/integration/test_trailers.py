"""Trailers of WSGI's responses, on every wire; for ASGI see test_asgi_messages.py and test_asgi_orders.py."""

from __future__ import annotations

import pytest
from harness.axes import KINDS_OF
from harness.cases import head
from harness.server import Server, Servers

TAKES = b"TE: trailers"


@pytest.fixture
def server(servers: Servers, kind: str) -> Server:
    return servers.get(kind=kind, app="trailing:app")


def get(path: str, *lines: bytes, method: str = "GET") -> bytes:
    return head(*lines, start=f"{method} {path} HTTP/1.1".encode())


@pytest.mark.parametrize("kind", KINDS_OF["wsgi"])
@pytest.mark.parametrize("path", ["/whole", "/pieces", "/twice", "/name"])
def test_they_come_behind_the_body(server: Server, path: str) -> None:
    """And the next response behind them."""
    expected = {"x-sum": "1"} | ({"x-more": "2"} if path == "/twice" else {})
    with server.connect() as client:
        client.takes_trailers = True
        for _ in range(2):
            client.send(get(path, TAKES))
            response = client.response()
            assert (response.status, response.body, response.complete) == (200, b"first", True)
            assert {name.lower(): value for name, value in response.trailers} == expected


@pytest.mark.parametrize("kind", KINDS_OF["wsgi"])
@pytest.mark.parametrize(("wire", "expected"), [("plain", []), ("h2c", [("x-sum", "1")])])
def test_behind_a_declared_length(server: Server, expected: list[tuple[str, str]]) -> None:
    """There is no place for them in HTTP/1 (RFC 9112 §6.2); HTTP/2 has one."""
    with server.connect() as client:
        client.takes_trailers = True
        for _ in range(2):
            client.send(get("/length", TAKES))
            response = client.response()
            assert (response.body, response.trailers) == (b"first", expected)


@pytest.mark.parametrize("kind", KINDS_OF["wsgi"])
@pytest.mark.parametrize("path", ["/whole", "/pieces"])
def test_a_response_to_head_has_none(server: Server, path: str) -> None:
    with server.connect() as client:
        client.send(get(path, TAKES, method="HEAD") + get("/whole", TAKES))
        assert client.response("HEAD").body == b""
        client.takes_trailers = True
        assert client.response().body == b"first"


@pytest.mark.parametrize("kind", KINDS_OF["wsgi"])
def test_one_that_is_none_is_an_error(server: Server) -> None:
    """500, or a response that has no end; nothing of it is sent (CWE-113)."""
    with server.connect() as client:
        client.send(get("/bad", TAKES))
        response = client.response()
        assert response.status == 500 or not response.complete
        assert response.trailers == []


@pytest.mark.parametrize("kind", KINDS_OF["wsgi"])
@pytest.mark.parametrize("wire", ["plain"])
def test_who_does_not_ask_for_them_gets_none(server: Server) -> None:
    """RFC 9110 §6.5.1; in HTTP/2 they are a part of every message."""
    with server.connect() as client:
        for path in ("/whole", "/pieces"):
            client.send(get(path))
            response = client.response()
            assert (response.body, response.trailers) == (b"first", [])
