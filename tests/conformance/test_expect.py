"""RFC 9110 §10.1.1: Expect. The client waits for 100 before it sends the body; it may also not wait."""

from __future__ import annotations

import pytest
from harness.cases import SMUGGLED, Case, accepted, head, post, refused, run, wire_cases
from harness.client import Client
from harness.server import Server, Servers

CONTINUE = b"Expect: 100-continue"
STREAMED = ("--no-request-buffering",)

OTHERS = [
    *[
        refused(f"expectation {value!r}", post(b"hello", b"Content-Length: 5", b"Expect: " + value), 417)
        for value in (b"nonsense", b"100-continue, nonsense", b"200-ok", b"100-continue;a=b", b"100", b"x=y")
    ],
    refused("expectation without a body", head(b"Expect: nonsense"), 417),
]

# No interim response: there is nothing to wait for, or the client does not know it.
WITHOUT_100 = [
    accepted("without a body", head(CONTINUE)),
    accepted("with an empty body", post(b"", b"Content-Length: 0", CONTINUE)),
    # RFC 9110 §10.1.1: a server MUST ignore it in an HTTP/1.0 request.
    accepted(
        "in HTTP/1.0",
        post(b"hello", b"Content-Length: 5", CONTINUE, version=b"1.0"),
        closes=True,
        body="hello",
    ),
]


@wire_cases(OTHERS)
def test_other_expectations(case: Case, servers: Servers, kind: str, delivery: str) -> None:
    run(case, servers.get(kind=kind), delivery)


@wire_cases(WITHOUT_100)
def test_nothing_to_continue(case: Case, servers: Servers, kind: str, delivery: str) -> None:
    run(case, servers.get(kind=kind), delivery)


@pytest.mark.parametrize("value", [b"100-continue", b"100-Continue", b"100-CONTINUE"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("options", [(), STREAMED], ids=["buffered", "streamed"])
def test_100_comes_before_the_body(
    servers: Servers, kind: str, options: tuple[str, ...], framing: str, value: bytes
) -> None:
    """When the server starts to buffer the body, or when the application first reads it; once."""
    server = servers.get(*options, kind=kind)
    server.seen()
    with server.connect() as client:
        _send_head(client, framing, value)
        assert client.interim().status == 100
        client.send(b"hello" if framing == "length" else b"5\r\nhello\r\n0\r\n\r\n")
        response = client.response()
        assert response.status == 200
        assert response.interim == []
        client.send(head())
        assert client.response().status == 200
    assert server.seen()[0]["body"] == "hello"


def _send_head(client: Client, framing: str, value: bytes) -> None:
    line = b"Content-Length: 5" if framing == "length" else b"Transfer-Encoding: chunked"
    client.send(post(b"", line, b"Expect: " + value))


def test_100_is_not_sent_when_the_body_is_already_there(server: Server) -> None:
    """RFC 9110 §10.1.1: it MAY be omitted then. At most one comes, and never behind the final status."""
    with server.connect() as client:
        client.send(post(b"hello", b"Content-Length: 5", CONTINUE))
        response = client.response()
        assert len(response.interim) <= 1
        client.send(head())
        assert client.response().interim == []


def test_100_is_not_sent_when_the_application_does_not_read(servers: Servers, kind: str) -> None:
    """A final status at once. The client may send the body or not, so the connection cannot go on safely
    unless the server reads what comes (RFC 9110 §10.1.1); its bytes are never the next request."""
    server = servers.get(*STREAMED, kind=kind)
    server.seen()
    with server.connect() as client:
        client.send(post(b"", b"Content-Length: %d" % len(SMUGGLED), CONTINUE, path=b"/unread"))
        response = client.response()
        assert response.status == 200
        assert response.interim == []
        client.send(SMUGGLED)
        client.finish()
        client.wait_closed()
    assert [request["path"] for request in server.seen()] == ["/unread"]


def test_100_is_never_sent_behind_a_final_status(servers: Servers, kind: str) -> None:
    """The application starts its response, then reads the body."""
    server = servers.get(*STREAMED, kind=kind)
    with server.connect() as client:
        client.send(post(b"", b"Content-Length: 5", CONTINUE, path=b"/late"))
        while b"started;" not in client.buffer:
            assert client.more(), client.buffer
        client.send(b"hello")
        response = client.response()
        assert response.interim == []
        assert response.body == b"started;5"


def test_100_is_not_sent_for_a_body_that_is_too_large(servers: Servers, kind: str) -> None:
    server = servers.get("--limit-request-body=20", kind=kind)
    with server.connect() as client:
        client.send(post(b"", b"Content-Length: 21", CONTINUE))
        response = client.response()
        assert response.status == 413
        assert response.interim == []
        client.wait_refused(response)


def test_100_comes_in_the_order_of_pipelined_requests(server: Server) -> None:
    """RFC 9112 §9.3.2: the interim response belongs behind the response to the request before."""
    with server.connect() as client:
        client.send(head() + post(b"", b"Content-Length: 5", CONTINUE))
        first = client.response()
        assert first.status == 200
        assert first.interim == []
        assert client.interim().status == 100
        client.send(b"hello")
        assert client.response().status == 200
