"""RFC 6455 §4 and the ASGI messages before websocket.accept: who is let in, and what the others are told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from asgi_sockets import BROKEN_BEFORE
from harness.cases import head
from harness.server import Server, Servers
from harness.websocket import CLOSE, KEY, TEXT, UPGRADE, Socket, frame, handshake
from integration.asgi import Notes, ask, get, literal, open_gate

SOCKETS = "asgi_sockets:app"


@pytest.fixture
def server(servers: Servers) -> Server:
    return servers.get(kind="asgi", app=SOCKETS)


def without(name: bytes) -> list[bytes]:
    return [line for line in UPGRADE if not line.startswith(name)]


def request(*lines: bytes, start: str = "GET /echo HTTP/1.1") -> bytes:
    return head(*lines, start=start.encode())


# -- the handshake


def test_it_is_accepted(server: Server) -> None:
    """Socket checks the answer: 101, Upgrade, Connection, Sec-WebSocket-Accept, no framing."""
    with Socket(server, "/echo") as socket:
        assert socket.response.status == 101
        assert socket.response.get("Sec-WebSocket-Protocol") is None
        assert socket.response.get("Sec-WebSocket-Extensions") is None
        socket.text("hello")
        assert socket.message() == "hello"
        assert socket.close().code == 1000


def test_words_compare_without_case(server: Server) -> None:
    lines = (
        b"UPGRADE: WebSocket",
        b"connection: keep-alive, UPGRADE",
        b"sec-websocket-key: " + KEY,
        b"SEC-WEBSOCKET-VERSION: 13",
    )
    with server.connect() as client:
        client.send(request(*lines))
        assert client.response().status == 101


REFUSED = {
    "another version": ([*without(b"Sec-WebSocket-V"), b"Sec-WebSocket-Version: 8"], 426),
    "several versions in one field": ([*without(b"Sec-WebSocket-V"), b"Sec-WebSocket-Version: 13, 8"], 426),
    "no version": (without(b"Sec-WebSocket-V"), 426),
    "a subprotocol that is no token": ([*UPGRADE, b"Sec-WebSocket-Protocol: a b"], 400),
    "an extension that is no token": ([*UPGRADE, b"Sec-WebSocket-Extensions: a b"], 400),
}
#: There is none over HTTP/2.
WITHOUT_A_KEY = {
    "no key": without(b"Sec-WebSocket-K"),
    "an empty key": [*without(b"Sec-WebSocket-K"), b"Sec-WebSocket-Key:"],
    "a short key": [*without(b"Sec-WebSocket-K"), b"Sec-WebSocket-Key: dGhlIHNhbXBsZQ=="],
    "a long key": [*without(b"Sec-WebSocket-K"), b"Sec-WebSocket-Key: " + b"A" * 40],
    "a key that is no base64": [*without(b"Sec-WebSocket-K"), b"Sec-WebSocket-Key: " + b"!" * 24],
    "two keys": [*UPGRADE, b"Sec-WebSocket-Key: " + KEY],
}


def is_refused(server: Server, lines: list[bytes], status: int) -> None:
    """Before the application hears of it."""
    notes = Notes(server)
    with server.connect() as client:
        client.send(request(*lines, start="GET /late?never HTTP/1.1"))
        response = client.response()
        assert response.status == status
        if status == 426:  # RFC 6455 §4.4
            assert response.get("Sec-WebSocket-Version") == "13"
        client.wait_refused(response)
    assert "entered" not in notes


@pytest.mark.parametrize(("lines", "status"), REFUSED.values(), ids=REFUSED)
def test_a_bad_handshake_is_refused(server: Server, lines: list[bytes], status: int) -> None:
    is_refused(server, lines, status)


@pytest.mark.parametrize("lines", WITHOUT_A_KEY.values(), ids=WITHOUT_A_KEY)
def test_a_key_that_is_none_is_refused(server: Server, lines: list[bytes]) -> None:
    is_refused(server, lines, 400)


def test_a_post_is_refused(server: Server) -> None:
    with server.connect() as client:
        client.send(request(*UPGRADE, b"Content-Length: 0", start="POST /echo HTTP/1.1"))
        assert client.response("POST").status == 400


def test_another_upgrade_is_ignored(server: Server) -> None:
    """RFC 9110 §7.8."""
    with server.connect() as client:
        assert ask(client, "/quick", b"Upgrade: h2c", b"Connection: Upgrade").body == b"quick"
        assert ask(client, "/quick").body == b"quick"


def test_behind_other_requests_of_the_connection(server: Server) -> None:
    with server.connect() as client:
        assert ask(client, "/quick").body == b"quick"
        client.send(get("/quick") + handshake("/echo") + frame(TEXT, b"a"))
        assert client.response().body == b"quick"
        assert client.response().status == 101
        assert client.read_exactly(3) == b"\x81\x01a"


def test_frames_may_stand_behind_the_handshake(server: Server) -> None:
    """A client need not wait for the 101 to be read; none of it is taken for another request."""
    with Socket(server, "/echo", behind=frame(TEXT, b"early") + frame(TEXT, b"bird")) as socket:
        assert [socket.message(), socket.message()] == ["early", "bird"]
        assert socket.close().code == 1000


def test_frames_wait_for_the_accept(server: Server, gate: Path) -> None:
    notes = Notes(server)
    with server.connect() as client:
        client.send(handshake(f"/late?{gate}") + frame(TEXT, b"early"))
        notes.wait("entered")
        assert client.is_quiet(0.05)
        open_gate(server, str(gate))
        assert client.response().status == 101
        assert client.read_exactly(7) == b"\x81\x05early"


def test_what_follows_a_refusal_is_no_request(server: Server) -> None:
    """The client has spoken frames already."""
    with server.connect() as client:
        client.send(handshake("/rejects") + frame(TEXT, b"early"))
        response = client.response()
        assert response.status == 403
        after = client.maybe_response()
        assert after is None or after.status == 400


# -- the scope


def test_the_scope(server: Server) -> None:
    fields = (
        b"Sec-WebSocket-Protocol: chat, superchat",
        b"Sec-WebSocket-Protocol: third",
        b"Origin: http://o",
    )
    with Socket(server, "/scope?a=%20b", *fields) as socket:
        got = socket.message()
        assert isinstance(got, str)
        scope = literal(got.encode())
        name = socket.client.name
        assert socket.closed_with() == 1000
    headers = [tuple(pair) for pair in scope.pop("headers")]
    assert headers[0] == (b"host", b"a.example")
    assert (b"origin", b"http://o") in headers
    assert tuple(scope.pop("client")) == name
    assert tuple(scope.pop("server")) == server.address
    assert scope.pop("state")["number"] == 1
    assert ("tls" in scope["extensions"]) == (server.wire.url_scheme == "https")
    scope["extensions"].pop("tls", None)
    assert scope == {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": scope["asgi"]["spec_version"]},
        "http_version": "2" if server.wire.multiplexed else "1.1",
        "scheme": {"http": "ws", "https": "wss"}[server.wire.url_scheme],
        "path": "/scope",
        "raw_path": b"/scope",
        "query_string": b"a=%20b",
        "root_path": "",
        "subprotocols": ["chat", "superchat", "third"],
        "extensions": {"websocket.http.response": {}, "tricorn.drain": {}},
    }
    assert scope["asgi"]["spec_version"] in {"2.4", "2.5"}


@pytest.mark.parametrize(
    ("line", "scheme"),
    [
        (b"X-Forwarded-Proto: https", "wss"),
        (b"X-Forwarded-Proto: wss", "wss"),
        (b"X-Forwarded-Proto: http, wss", "wss"),
        (b"Forwarded: for=203.0.113.7;proto=wss", "wss"),
        (b"X-Forwarded-Proto: http", "ws"),
        (b"X-Forwarded-Proto: ws", "ws"),
        (b"X-Forwarded-Proto: wss, http", "ws"),
    ],
)
def test_the_scheme_that_a_trusted_proxy_tells(server: Server, line: bytes, scheme: str) -> None:
    lines = [line] if line.startswith(b"Forwarded") else [line, b"X-Forwarded-For: 203.0.113.7"]
    with Socket(server, "/scope", *lines) as socket:
        got = socket.message()
        assert isinstance(got, str)
        scope = literal(got.encode())
    assert scope["scheme"] == scheme
    assert scope["client"][0] == "203.0.113.7"


# -- what the application answers


def plan(**message: object) -> str:
    return "/accept-with?" + json.dumps(message).encode().hex()


def test_a_subprotocol_and_headers(server: Server) -> None:
    path = plan(subprotocol="superchat", headers=[["x-a", "b"], ["set-cookie", "c=d"], ["set-cookie", "e=f"]])
    with Socket(server, path, b"Sec-WebSocket-Protocol: chat, superchat") as socket:
        assert socket.response.get("Sec-WebSocket-Protocol") == "superchat"
        assert socket.response.get("X-A") == "b"
        assert socket.response.all("Set-Cookie") == ["c=d", "e=f"]
        assert socket.message() == "accepted"
        assert socket.closed_with() == 1000


def test_no_subprotocol_is_a_choice(server: Server) -> None:
    with Socket(server, plan(subprotocol=None), b"Sec-WebSocket-Protocol: chat") as socket:
        assert socket.response.get("Sec-WebSocket-Protocol") is None
        assert socket.message() == "accepted"


def test_a_close_before_the_accept_is_403(server: Server) -> None:
    notes = Notes(server)
    with Socket(server, "/rejects") as socket:
        assert socket.response.status == 403
        assert b"s3cr3t" not in socket.response.body
        assert socket.response.complete
    assert notes.wait("message")["type"] == "websocket.disconnect"


def test_a_response_in_place_of_the_accept(server: Server) -> None:
    """The extension websocket.http.response: a challenge, for instance."""
    notes = Notes(server)
    with Socket(server, "/denies") as socket:
        response = socket.response
        assert (response.status, response.body) == (401, b"who are you?")
        assert response.get("WWW-Authenticate") == 'Basic realm="a"'
        assert response.get("Upgrade") is None
        if "close" not in response.connection:
            assert ask(socket.client, "/quick").body == b"quick"
    assert notes.wait("message")["type"] == "websocket.disconnect"


@pytest.mark.parametrize(
    "path", ["/raises-first", "/denies-badly", *(f"/broken-before/{name}" for name in BROKEN_BEFORE)]
)
def test_a_failure_before_the_accept_is_500(server: Server, path: str) -> None:
    mark = server.log_mark()
    with Socket(server, path) as socket:
        assert socket.response.status == 500
        assert b"s3cr3t" not in socket.response.body
        assert not any("s3cr3t" in value for _, value in socket.response.fields)
    server.seen()
    assert "rror" in server.log(mark), "the operator can read what happened"


def test_an_application_that_returns_without_an_answer(server: Server) -> None:
    with Socket(server, "/returns-first") as socket:
        assert socket.response.status in {403, 500}


def test_a_client_that_leaves_before_it_is_accepted(server: Server) -> None:
    notes = Notes(server)
    with server.connect() as client:
        client.send(handshake("/notices"))
        notes.wait("entered")
        client.abort()
        assert notes.wait("message")["type"] == "websocket.disconnect"
        assert notes.wait("error")


def test_a_wsgi_worker_ignores_the_upgrade(servers: Servers) -> None:
    server = servers.get(kind="sync")
    with server.connect() as client:
        client.send(handshake("/"))
        assert client.response().status == 200


def test_closing_at_once(server: Server) -> None:
    """The client's first frame is its last."""
    with Socket(server, "/echo", behind=frame(CLOSE, b"\x03\xe8")) as socket:
        got = socket.receive()
        assert got.code == 1000
        socket.client.wait_closed()
