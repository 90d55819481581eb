"""The scope of a request: ASGI 3, "HTTP & WebSocket ASGI Message Format", version 2.5."""

from __future__ import annotations

import json
from typing import Any

import pytest
from harness.cases import head
from harness.server import Server, Servers
from harness.websocket import Socket
from integration.asgi import PAGES, ask, get, literal


@pytest.fixture
def server(servers: Servers) -> Server:
    return servers.get(kind="asgi", app=PAGES)


def scope_of(server: Server, raw: bytes, method: str = "GET") -> dict[str, Any]:
    with server.connect() as client:
        client.send(raw)
        response = client.response(method)
    assert response.status == 200, response
    scope: dict[str, Any] = literal(response.body)
    return scope


def test_every_key_has_its_type(server: Server) -> None:
    with server.connect() as client:
        client.send(head(b"X-Twice: a", b"X-Other: \xe9", b"x-twice: b", start=b"GET /scope?a=%20b HTTP/1.1"))
        scope = literal(client.response().body)
        name = client.name
    scope["extensions"].pop("tls", None)
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "2" if server.wire.multiplexed else "1.1",
        "method": "GET",
        "scheme": server.wire.url_scheme,
        "path": "/scope",
        "raw_path": b"/scope",
        "query_string": b"a=%20b",
        "root_path": "",
        "headers": scope["headers"],
        "client": scope["client"],
        "server": scope["server"],
        "state": {"number": 1, "shared": scope["state"]["shared"]},
        "extensions": {
            "http.response.early_hint": {},
            "tricorn.drain": {},
        },
    }
    assert [tuple(pair) for pair in scope["headers"]] == [
        (b"host", b"a.example"),
        (b"x-twice", b"a"),
        (b"x-other", b"\xe9"),
        (b"x-twice", b"b"),
    ]
    assert tuple(scope["client"]) == name
    assert tuple(scope["server"]) == server.address


PARTS = {
    "asgi": {"version": "3.0", "spec_version": "2.5"},
    "extensions": {"http.response.early_hint": {}, "tricorn.drain": {}},
    "state": {},
}


@pytest.mark.parametrize("how", ["", "?waits"], ids=["at once", "later"])
@pytest.mark.parametrize("path", ["/mark", "/swap", "/hold"])
def test_what_one_request_does_to_its_scope_is_not_seen_by_the_next(
    servers: Servers, path: str, how: str
) -> None:
    """Each has dicts of its own, and what one put there ends with it."""
    server = servers.get(kind="asgi", app="asgi_scopes:app")
    for _ in range(3):
        with server.connect() as client:
            for each in (path + how, "/look", "/spoil", "/look"):
                client.send(get(each))
                response = client.response()
                assert response.status == 200
                if each == "/look":
                    assert literal(response.body) == (PARTS, True, False)


def test_requests_at_the_same_time_have_dicts_of_their_own(servers: Servers) -> None:
    server = servers.get(kind="asgi", app="asgi_scopes:app")
    with server.connect() as first, server.connect() as second, server.connect() as third:
        first.send(get("/hold?waits"))
        second.send(get("/mark?waits"))
        third.send(get("/look"))
        assert literal(third.response().body)[0] == PARTS
        assert first.response().status == second.response().status == 200
        third.send(get("/look"))
        assert literal(third.response().body) == (PARTS, True, False)


def test_the_path_is_that_of_the_request(server: Server) -> None:
    """However it resembles the one before."""
    with server.connect() as client:
        for line, path, raw in (
            ("/scope", "/scope", b"/scope"),
            ("/scope?q", "/scope", b"/scope"),
            ("/sc%6Fpe", "/scope", b"/sc%6Fpe"),
            ("/scope", "/scope", b"/scope"),
            ("http://a.example/scope", "/scope", b"/scope"),
            ("/sc%6fpe", "/scope", b"/sc%6fpe"),
        ):
            client.send(get(line))
            scope = literal(client.response().body)
            assert (scope["path"], scope["raw_path"]) == (path, raw)
            assert scope["query_string"] == (b"q" if "?" in line else b"")


def test_trailers_are_offered_to_who_takes_them(server: Server) -> None:
    """RFC 9110 §6.5.1: a recipient may drop them, and most do. HTTP/1.0 has none."""
    for line, offered in (
        (b"TE: trailers", True),
        (b"TE: gzip;q=0.5, Trailers", True),
        (b"TE: gzip", False),
        (b"TE: xtrailers", False),
    ):
        assert ("http.response.trailers" in scope_of(server, get("/scope", line))["extensions"]) is offered, (
            line
        )
    scope = scope_of(server, get("/scope", b"TE: trailers", version="1.0"))
    assert scope["http_version"] == "1.0"
    assert "http.response.trailers" not in scope["extensions"]
    assert "http.response.early_hint" not in scope["extensions"]


@pytest.mark.parametrize(
    ("target", "path", "raw_path", "query"),
    [
        (b"/scope", "/scope", b"/scope", b""),
        (b"/scope?", "/scope", b"/scope", b""),
        (b"/sc%6fpe?a=%6f", "/scope", b"/sc%6fpe", b"a=%6f"),
        (b"/caf%C3%A9%20%e2%98%83?x", "/caf\xe9 \N{SNOWMAN}", b"/caf%C3%A9%20%e2%98%83", b"x"),
        # No UTF-8: as latin-1, so that nothing is lost.
        (b"/caf%E9%20%FF", "/caf\xe9 \xff", b"/caf%E9%20%FF", b""),
        (b"http://b.example/scope?x", "/scope", b"/scope", b"x"),
        (b"http://b.example", "/", b"/", b""),
    ],
)
def test_the_path(server: Server, target: bytes, path: str, raw_path: bytes, query: bytes) -> None:
    scope = scope_of(server, head(start=b"GET " + target + b" HTTP/1.1"))
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == (path, raw_path, query)


def test_the_asterisk(server: Server) -> None:
    scope = scope_of(server, head(start=b"OPTIONS * HTTP/1.1"), "OPTIONS")
    assert (scope["method"], scope["path"], scope["raw_path"]) == ("OPTIONS", "*", b"*")


def test_the_authority_of_an_absolute_form_replaces_host(server: Server) -> None:
    scope = scope_of(server, head(start=b"GET http://b.example:81/scope HTTP/1.1"))
    assert [value for name, value in scope["headers"] if name == b"host"] == [b"b.example:81"]


def test_headers_that_an_application_may_rewrite_are_its_own(server: Server) -> None:
    """Middleware changes scopes; the next request of the connection is not touched by it."""
    with server.connect() as client:
        client.send(get("/changes-scope") * 3)
        assert [client.response().body for _ in range(3)] == [b"clean"] * 3


def test_names_are_lower_case_and_dropped_by_the_policy(server: Server) -> None:
    scope = scope_of(server, get("/scope", b"X-UPPER: V", b"X_Under: v"))
    assert (b"x-upper", b"V") in [tuple(pair) for pair in scope["headers"]]
    assert b"under" not in b"".join(name for name, _ in scope["headers"])


def test_state_is_a_shallow_copy(servers: Servers) -> None:
    """What a request binds is its own; the objects are everybody's (ASGI, "Lifespan State")."""
    server = servers.get("--max-requests=100000", kind="asgi", app=PAGES)
    with server.connect() as client:
        told = [json.loads(ask(client, "/state").body) for _ in range(3)]
    before = told[0][1] - 1  # another wire may have the same server
    assert told == [[2, before + count] for count in (1, 2, 3)]


def test_no_state_without_a_lifespan(servers: Servers) -> None:
    server = servers.get("--asgi-lifespan=off", kind="asgi", app=PAGES)
    assert "state" not in scope_of(server, get("/scope"))


def test_a_unix_socket(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The server is its path; the client has no address that could be told."""
    path = str(tmp_path_factory.mktemp("unix") / "socket")
    server = servers.get(kind="asgi", app=PAGES, address=path)
    scope = scope_of(server, get("/scope"))
    assert list(scope["server"]) == [path, None]
    assert scope["client"] is None


def test_ipv6(servers: Servers) -> None:
    server = servers.get(kind="asgi", app=PAGES, address=("::1", 0))
    with server.connect() as client:
        scope = literal(ask(client, "/scope").body)
        assert tuple(scope["client"]) == client.name
    assert tuple(scope["server"]) == server.address


def test_the_root_path_setting(servers: Servers) -> None:
    """A proxy has cut it off, so it is put in front again: `path` includes the root path."""
    server = servers.get("--root-path=/app", kind="asgi", app="asgi_echo:app")
    server.seen()
    with server.connect() as client:
        assert ask(client, "/a%20b?c").status == 200
    (request,) = server.seen()
    assert request["environ"]["SCRIPT_NAME"] == "/app"
    assert request["path"] == "/a b"
    assert request["environ"]["RAW_URI"] == "/app/a%20b?c"


def test_a_prefix_that_a_trusted_proxy_tells(server: Server) -> None:
    scope = scope_of(server, get("/scope", b"X-Forwarded-Prefix: /app"))
    assert (scope["root_path"], scope["path"], scope["raw_path"]) == ("/app", "/app/scope", b"/app/scope")


def test_the_client_that_a_trusted_proxy_tells(server: Server) -> None:
    lines = (b"X-Forwarded-For: 203.0.113.7", b"X-Forwarded-Proto: https", b"X-Forwarded-Host: b.example")
    scope = scope_of(server, get("/scope", *lines))
    assert scope["client"][0] == "203.0.113.7"
    assert isinstance(scope["client"][1], int)
    assert scope["scheme"] == "https"
    assert [value for name, value in scope["headers"] if name == b"host"] == [b"b.example"]


# -- extensions

ALL_EXTENSIONS = (
    "http.response.early_hint,http.response.pathsend,http.response.trailers,http.response.zerocopysend,"
    "tricorn.drain,websocket.http.response"
)
#: option → what a client that takes all of it is offered: HTTP/1.1, HTTP/1.0, a WebSocket.
OFFERS = {
    (): (
        {"http.response.early_hint", "http.response.trailers", "tricorn.drain"},
        {"tricorn.drain"},
        {"websocket.http.response", "tricorn.drain"},
    ),
    (f"--asgi-extensions={ALL_EXTENSIONS}",): (
        set(ALL_EXTENSIONS.split(",")) - {"websocket.http.response"},
        {"http.response.pathsend", "http.response.zerocopysend", "tricorn.drain"},
        {"websocket.http.response", "tricorn.drain"},
    ),
    ("--asgi-extensions=http.response.pathsend",): (
        {"http.response.pathsend"},
        {"http.response.pathsend"},
        set(),
    ),
    ("--asgi-extensions=tricorn.drain",): ({"tricorn.drain"}, {"tricorn.drain"}, {"tricorn.drain"}),
    ("--asgi-extensions=",): (set(), set(), set()),
}


@pytest.mark.parametrize("options", OFFERS, ids=" ".join)
def test_what_is_offered_is_a_setting(servers: Servers, options: tuple[str, ...]) -> None:
    """By default nothing that frameworks use by themselves and that middleware may not know."""
    server = servers.get(*options, kind="asgi", app=PAGES)
    new, old, upgraded = OFFERS[options]
    for version, expected in (("1.1", new), ("1.0", old)):
        offered = scope_of(server, get("/scope", b"TE: trailers", version=version))["extensions"]
        offered.pop("tls", None)
        assert offered == {name: {} for name in expected}
    with Socket(server, "/socket-scope") as client:
        assert literal(client.response.body)["extensions"].keys() - {"tls"} == upgraded


def test_what_a_request_leaves_in_its_extensions_is_gone(server: Server) -> None:
    for _ in range(2):
        with server.connect() as client:
            assert ask(client, "/changes-extensions", b"TE: trailers").body == b"clean"


# -- what comes beside it


def test_receive_and_send_look_like_methods(servers: Servers) -> None:
    server = servers.get(kind="asgi", app="asgi_scopes:app")
    found: Any = scope_of(server, get("/functions"))
    told, refused = found
    assert told == [("receive", "()", True, True, True), ("send", "(message)", True, True, True)]
    assert refused == 4


def test_the_end_of_an_awaitable_may_be_kept(servers: Servers) -> None:
    """Each carries its own message, for as long as somebody has it."""
    server = servers.get(kind="asgi", app="asgi_scopes:app")
    chunked = b"POST /by-hand HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"
    for _ in range(2):
        with server.connect() as client:
            client.send(chunked)
            client.send(b"1\r\nb\r\n0\r\n\r\n")
            told, apart = literal(client.response().body)
        assert told
        assert apart
        assert all(each == ("http.request", True, None) for each in told)
    found: Any = scope_of(server, get("/look"))
    assert found[1] is True
