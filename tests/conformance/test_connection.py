"""RFC 9112 §9: persistence, pipelining, closing. RFC 9110 §7.6.1, §7.8: Connection and Upgrade."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from harness.axes import ONE_OF_EACH
from harness.cases import SMUGGLED, Case, accepted, chunked, deliver, head, post, run, wire_cases
from harness.server import Server, Servers, frozen, wait_for

# RFC 9110 §7.6.1: a list of tokens, compared without case.
CLOSES = [
    b"close",
    b"Close",
    b"CLOSE",
    b"close, TE",
    b"TE, close",
    b"TE,close",
    b"TE ,\tclose",
    b",close,",
    b", ,close",
    b"keep-alive, close",
    b"close, keep-alive",
]
STAYS = [
    b"",
    b"keep-alive",
    b"TE",
    b"x-close-y",
    b"closed",
    b"clos",
    b"not close",
    b"close x",
    b'"close"',
    b"close;q=1",
]

CONNECTION = [
    accepted("no Connection", head()),
    *[
        accepted(f"Connection: {value.decode()}", head(b"Connection: " + value), closes=True)
        for value in CLOSES
    ],
    *[accepted(f"Connection: {value.decode()}!", head(b"Connection: " + value)) for value in STAYS],
    accepted("close in the second field", head(b"Connection: TE", b"Connection: close"), closes=True),
    accepted("close in the first field", head(b"Connection: close", b"Connection: TE"), closes=True),
    accepted(
        "close with a body",
        post(b"hello", b"Content-Length: 5", b"Connection: close"),
        closes=True,
        body="hello",
    ),
    accepted(
        "close with chunks",
        chunked(b"5\r\nhello\r\n0\r\n\r\n", b"Connection: close"),
        closes=True,
        body="hello",
    ),
    accepted("HTTP/1.0", head(start=b"GET / HTTP/1.0"), closes=True),
    accepted("HTTP/1.0 with close", head(b"Connection: close", start=b"GET / HTTP/1.0"), closes=True),
    accepted("HTTP/1.0 with something else", head(b"Connection: TE", start=b"GET / HTTP/1.0"), closes=True),
    accepted(
        "HTTP/1.0 with keep-alive and close",
        head(b"Connection: keep-alive, close", start=b"GET / HTTP/1.0"),
        closes=True,
    ),
]

# RFC 9110 §7.8: a server MAY ignore Upgrade, and ignores it in HTTP/1.0.
UPGRADES = [
    accepted(f"Upgrade: {value.decode()}", head(b"Upgrade: " + value, b"Connection: Upgrade"), closes=None)
    for value in (b"h2c", b"TLS/1.0", b"foo/2", b"foo, bar", b"HTTP/3.0")
] + [
    accepted("Upgrade without Connection", head(b"Upgrade: foo/2"), closes=None),
    accepted(
        "Upgrade with a body",
        post(b"hello", b"Content-Length: 5", b"Upgrade: foo/2", b"Connection: upgrade"),
        body="hello",
    ),
    accepted(
        "Upgrade to h2c with settings",
        head(b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__", b"Connection: Upgrade, HTTP2-Settings"),
    ),
]


@wire_cases(CONNECTION)
def test_connection(case: Case, servers: Servers, kind: str, delivery: str) -> None:
    run(case, servers.get(kind=kind), delivery)


@wire_cases(UPGRADES)
def test_unknown_upgrade_is_ignored(case: Case, servers: Servers, kind: str, delivery: str) -> None:
    run(case, servers.get(kind=kind), delivery)


# -- persistence


def test_a_connection_serves_many_requests(server: Server) -> None:
    with server.connect() as client:
        for number in range(100):
            client.send(head(start=b"GET /%d HTTP/1.1" % number))
            response = client.response()
            assert json.loads(response.body)["path"] == f"/{number}"
            assert response.connection & {"close"} == set()


def test_http10_keep_alive_is_what_it_says(server: Server) -> None:
    """RFC 9112 §9.3: a server may honour it; then the response says so, else the connection closes."""
    server.seen()
    with server.connect() as client:
        client.send(head(b"Connection: Keep-Alive", start=b"GET /first HTTP/1.0"))
        first = client.response()
        assert first.status == 200
        client.send(head(start=b"GET /next HTTP/1.0"))
        if "keep-alive" in first.connection:
            assert client.response().status == 200
        client.wait_closed()


def test_empty_lines_between_requests(server: Server) -> None:
    """RFC 9112 §2.2: old clients send a CRLF behind the body of a POST."""
    with server.connect() as client:
        client.send(post(b"hello", b"Content-Length: 5") + b"\r\n" + head())
        assert client.response().status == 200
        assert client.response().status == 200
        client.send(b"\r\n")
        client.send(head())
        assert client.response().status == 200
        client.send(b"\r\n\r\n" + SMUGGLED)
        assert client.response().status == 400
        client.wait_closed()


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_keep_alive_can_be_off(servers: Servers, kind: str) -> None:
    server = servers.get("--keep-alive", "0", kind=kind)
    with server.connect() as client:
        client.send(head() + SMUGGLED)
        response = client.response()
        assert "close" in response.connection
        client.wait_closed()


def test_a_request_and_the_end_of_the_stream(server: Server) -> None:
    """A client that half-closes behind its request still reads."""
    with server.connect() as client:
        client.send(head())
        client.finish()
        assert client.response().status == 200
        client.wait_closed()


@pytest.mark.parametrize("body", [b"", b"body"])
def test_the_end_of_the_stream_comes_with_the_request(server: Server, body: bytes) -> None:
    """Both are read before the application has begun."""
    server.seen()
    assert server.worker_pid is not None
    with server.connect() as client:
        client.send(head())
        assert client.response().status == 200
        with frozen(server.worker_pid):
            client.send(post(body, b"Content-Length: %d" % len(body)))
            client.finish()
        response = client.response()
        assert response.status == 200, server.log()[-2000:]
        client.wait_closed()
    assert [request["body"] for request in server.seen()] == ["", body.decode()]


@pytest.mark.parametrize("start", [b"", b"G", b"GET / HTTP/1.1\r\nHost: a", b"\r\n", head()[:-1]])
def test_the_end_of_the_stream_in_a_head(server: Server, start: bytes) -> None:
    """Nobody waits for an answer: none, or a refusal, and no call of the application."""
    server.seen()
    with server.connect() as client:
        client.send(start)
        client.finish()
        rest = client.read_to_end()
        assert rest == b"" or rest.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 408 ")), rest
    assert server.seen() == []


def test_a_refusal_reaches_a_client_that_is_still_sending(server: Server) -> None:
    """RFC 9112 §9.6: closing at once would reset the connection, and the answer with it."""
    with server.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n" + b"x" * 50000)
        client.send(b"x" * 50000)
        response = client.response()
        assert response.status == 400
        assert response.complete


def test_a_client_that_leaves_before_its_response(server: Server) -> None:
    """The server survives a write to a connection that is gone (no SIGPIPE, no dead worker)."""
    server.seen()
    for _ in range(20):
        client = server.connect()
        client.send(head(start=b"GET /big?300000 HTTP/1.1") * 3)
        client.abort()
    server.seen()


# -- pipelining (RFC 9112 §9.3.2)


@pytest.mark.parametrize("delivery", ["whole", "bytes", "cuts"])
def test_pipelined_requests_are_answered_in_order(server: Server, delivery: str) -> None:
    requests = [
        head(start=b"GET /0 HTTP/1.1"),
        post(b"one", b"Content-Length: 3", path=b"/1"),
        chunked(b"3\r\ntwo\r\n0\r\n\r\n", path=b"/2"),
        head(start=b"HEAD /3 HTTP/1.1"),
        chunked(b"0\r\nX-Sum: 1\r\n\r\n", path=b"/4"),
        b"\r\n" + head(start=b"GET /5 HTTP/1.1"),
        post(b"", b"Content-Length: 0", path=b"/6"),
        head(b"Connection: close", start=b"GET /7 HTTP/1.1"),
    ]
    server.seen()
    with server.connect() as client:
        deliver(client, b"".join(requests) + SMUGGLED, delivery, "pipeline")
        for number in range(8):
            response = client.response("HEAD" if number == 3 else "GET")
            assert response.status == 200
            if number != 3:
                assert json.loads(response.body)["path"] == f"/{number}"
        client.wait_closed()
    seen = server.seen()
    assert [request["path"] for request in seen] == [f"/{number}" for number in range(8)]
    assert [request["body"] for request in seen] == ["", "one", "two", "", "", "", "", ""]


def test_a_hundred_pipelined_requests(server: Server) -> None:
    with server.connect() as client:
        client.send(b"".join(head(start=b"GET /%d HTTP/1.1" % number) for number in range(100)))
        for number in range(100):
            assert json.loads(client.response().body)["path"] == f"/{number}"


def test_pipelined_responses_larger_than_any_buffer(server: Server) -> None:
    """The first is not read for a while; the second is neither lost nor early."""
    with server.connect() as client:
        client.send(
            head(start=b"GET /big?3000000 HTTP/1.1") + head(start=b"GET /stream?3000000 HTTP/1.1") + head()
        )
        first = client.response()
        assert first.body == b"b" * 3000000
        second = client.response()
        assert second.body == b"s" * 3000000
        assert client.response().status == 200


@pytest.mark.parametrize("kind", ["gthread", "asgi"])
def test_requests_run_one_at_a_time(servers: Servers, kind: str, tmp_path: Path) -> None:
    """Even when there are threads for more: RFC 9110 §9.2.2 lets only safe requests run side by side."""
    server = servers.get(kind=kind)
    release = tmp_path / "release"
    server.seen()
    with server.connect() as client:
        client.send(
            head(start=f"GET /block?{release} HTTP/1.1".encode()) + head(start=b"GET /behind HTTP/1.1")
        )
        seen = wait_for(server.seen, "the first request is in the application")
        assert [request["path"] for request in seen] == ["/block"]
        assert server.seen() == []
        release.touch()
        assert client.response().body == b'"released"'
        assert client.response().status == 200
    assert [request["path"] for request in server.seen()] == ["/behind"]


def test_a_refusal_comes_behind_the_responses_before_it(server: Server) -> None:
    server.seen()
    with server.connect() as client:
        client.send(head() + head() + b"BAD\r\n\r\n" + SMUGGLED)
        assert [client.response().status for _ in range(3)] == [200, 200, 400]
        client.wait_closed()
    assert len(server.seen()) == 2


# -- many connections


def test_connections_do_not_mix(server: Server) -> None:
    """Heads that arrive in turns on many connections are put together rightly."""
    clients = [server.connect() for _ in range(50)]
    try:
        messages = [post(b"%03d" % n, b"Content-Length: 3", path=b"/%d" % n) for n in range(50)]
        for at in range(0, max(map(len, messages)), 7):
            for client, message in zip(clients, messages, strict=True):
                if message[at : at + 7]:
                    client.send(message[at : at + 7])
        for number, client in enumerate(clients):
            content = json.loads(client.response().body)
            assert (content["path"], content["body"]) == (f"/{number}", f"{number:03}")
    finally:
        for client in clients:
            client.close()


def test_a_slow_head_delays_nobody(server: Server) -> None:
    with server.connect() as slow:
        slow.send(b"GET / HTTP/1.1\r\nHost: a")
        for _ in range(10):
            assert server.get("/")[0] == 200
        slow.send(b"\r\n\r\n")
        assert slow.response().status == 200
