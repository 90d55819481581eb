"""RFC 9112 §7, §8: the chunked coding, trailers, bodies that are cut, bodies that nobody reads."""

from __future__ import annotations

import pytest
from harness.axes import ONE_OF_EACH
from harness.cases import SMUGGLED, Case, accepted, chunked, deliver, head, post, refused, run, wire_cases
from harness.client import Client
from harness.server import Server, Servers, wait_for

END = b"0\r\n\r\n"


def good(name: str, body: bytes, content: str = "hello") -> Case:
    return accepted(name, chunked(body), body=content)


def bad(name: str, body: bytes) -> Case:
    return refused(name, chunked(body), in_body=True)


# RFC 9112 §7.1: chunk = chunk-size [ chunk-ext ] CRLF chunk-data CRLF; chunk-size = 1*HEXDIG.
CHUNK_SIZES = [
    good("one chunk", b"5\r\nhello\r\n" + END),
    good("several chunks", b"1\r\nh\r\n2\r\nel\r\n2\r\nlo\r\n" + END),
    good("no chunk", END, ""),
    good("upper-case digits", b"A\r\n0123456789\r\n" + END, "0123456789"),
    good("lower-case digits", b"a\r\n0123456789\r\n" + END, "0123456789"),
    good("leading zeros", b"0005\r\nhello\r\n" + END),
    good("16 digits", b"0000000000000005\r\nhello\r\n" + END),
    good("several zeros at the end", b"5\r\nhello\r\n0000000000000000\r\n\r\n"),
    good("data that looks like an end", b"5\r\n0\r\n\r\n\r\n" + END, "0\r\n\r\n"),
    good(
        "data that looks like a request",
        b"%x\r\n" % len(SMUGGLED) + SMUGGLED + b"\r\n" + END,
        SMUGGLED.decode(),
    ),
    good("a large chunk", b"30000\r\n" + b"c" * 0x30000 + b"\r\n" + END, "c" * 0x30000),
    good(
        "a chunk for each byte", b"".join(b"1\r\n%c\r\n" % byte for byte in b"hello" * 40) + END, "hello" * 40
    ),
    bad("17 digits", b"00000000000000005\r\nhello\r\n" + END),
    bad("17 digits of f", b"f" * 17 + b"\r\nhello\r\n" + END),
    *[
        bad(f"size {size!r}", size + b"\r\nhello\r\n" + END)
        for size in (
            b"",
            b"+5",
            b"-5",
            b"0x5",
            b"0X5",
            b" 5",
            b"5 ",
            b"\t5",
            b"5\t",
            b"5 5",
            b"5_0",
            b"5g",
            b"g",
            b"5h",
            b"5,5",
            b"5.",
            b'"5"',
            b"\xb2",
            b"5\x00",
            b"5\x0b",
            "\N{FULLWIDTH DIGIT FIVE}".encode(),
        )
    ],
    bad("an empty line before the size", b"\r\n5\r\nhello\r\n" + END),
    bad("LF ends the size", b"5\nhello\r\n" + END),
    bad("CR ends the size", b"5\rhello\r\n" + END),
    bad("CR CR LF ends the size", b"5\r\r\nhello\r\n" + END),
]

# RFC 9112 §7.1.1: a recipient MUST ignore unrecognized chunk extensions, and SHOULD limit their length.
EXTENSIONS = [
    good("a name", b"5;a\r\nhello\r\n" + END),
    good("a name and a token", b"5;a=b\r\nhello\r\n" + END),
    good("a name and a quoted string", b'5;a="b c"\r\nhello\r\n' + END),
    good("a quoted semicolon", b'5;a=";"\r\nhello\r\n' + END),
    good("a quoted pair", b'5;a="\\""\r\nhello\r\n' + END),
    good("an empty quoted string", b'5;a=""\r\nhello\r\n' + END),
    good("several", b'5;a;b=c;d="e"\r\nhello\r\n' + END),
    good("on the last chunk", b"5\r\nhello\r\n0;a=b\r\n\r\n"),
    *[
        bad(f"extension {extension!r}", b"5" + extension + b"\r\nhello\r\n" + END)
        for extension in (
            b";",
            b";;",
            b";a;",
            b";=b",
            b";a=",
            b";a=b c",
            b";a=b=c",
            b";a@b",
            b";\x01",
            b";a=\x00",
            b";a=\xff",
            b';a="b',
            b';a="b"c',
            b';a="\x01"',
            b';a="\x7f"',
            b";a=(b)",
        )
    ],
    bad("LF in an extension", b"5;a\nb\r\nhello\r\n" + END),
    bad("CR in an extension", b"5;a\rb\r\nhello\r\n" + END),
    bad("LF in a quoted extension", b'5;a="\n"\r\nhello\r\n' + END),
    bad("LF ends an extension", b"5;a\nhello\r\n" + END),
    bad("a bad one on the last chunk", b"5\r\nhello\r\n0;=\r\n\r\n"),
]

# RFC 9112 §7.1: the data is followed by CRLF, whatever the next bytes look like.
CHUNK_DATA = [
    bad("no CRLF behind the data", b"5\r\nhello" + END),
    bad("LF behind the data", b"5\r\nhello\n" + END),
    bad("CR behind the data", b"5\r\nhello\r" + END),
    bad("more data than the size", b"5\r\nhello!\r\n" + END),
    bad("two bytes more than the size", b"5\r\nhelloXX" + END),
    bad("less data than the size", b"6\r\nhello\r\n" + END),
    bad("LF CR behind the data", b"5\r\nhello\n\r" + END),
    bad("an empty line behind the data", b"5\r\nhello\r\n\r\n" + END),
]

# RFC 9110 §6.5.1: fields for framing, routing, modifiers, authentication must not stand in a trailer.
FORBIDDEN_TRAILERS = [
    b"Transfer-Encoding: chunked",
    b"Content-Length: 5",
    b"Host: b.example",
    b"Trailer: X",
    b"Authorization: Basic YTpi",
    b"content-length: 0",
    b"Connection: close",
    b"TE: trailers",
    b"Cookie: a=b",
    b"Proxy-Authorization: Basic YTpi",
    b"Forwarded: for=203.0.113.7",
    b"X-Forwarded-For: 203.0.113.7",
    b"X-Forwarded-Server: b.example",
]
# Of those, the ones that come too late to change anything are dropped (§6.5.2).
DROPPED_TRAILERS = {
    b"Content-Type: a/b": "CONTENT_TYPE",
    b"Content-Encoding: gzip": "HTTP_CONTENT_ENCODING",
    b"Vary: Accept": "HTTP_VARY",
    b"Cache-Control: no-store": "HTTP_CACHE_CONTROL",
    b"Range: bytes=0-1": "HTTP_RANGE",
    b"If-Match: *": "HTTP_IF_MATCH",
}
TRAILERS = [
    accepted(
        "a trailer",
        chunked(b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"),
        body="hello",
        environ={"HTTP_X_SUM": None},
    ),
    accepted(
        "two trailers",
        chunked(b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n", b"Trailer: X-Sum"),
        body="hello",
        environ={"HTTP_X_SUM": None, "HTTP_X_MORE": None, "HTTP_TRAILER": "X-Sum"},
    ),
    accepted(
        "a trailer does not change a header",
        chunked(b"0\r\nX-Sum: 2\r\n\r\n", b"X-Sum: 1"),
        environ={"HTTP_X_SUM": "1"},
    ),
    *[
        bad(f"forbidden {field.decode()}", b"5\r\nhello\r\n0\r\n" + field + b"\r\n\r\n")
        for field in FORBIDDEN_TRAILERS
    ],
    *[
        accepted(
            f"dropped {field.decode()}",
            chunked(b"5\r\nhello\r\n0\r\n" + field + b"\r\nX-Sum: 1\r\n\r\n"),
            body="hello",
            environ={key: None},
        )
        for field, key in DROPPED_TRAILERS.items()
    ],
    *[
        bad(f"trailer {field!r}", b"0\r\n" + field + b"\r\n\r\n")
        for field in (
            b"X",
            b": v",
            b"X : v",
            b" X: v",
            b"X: v\r\n fold",
            b"X: a\0b",
            b"X: a\x01b",
            b"X: a\x7fb",
            b"X\xff: v",
            b"X y: v",
            b"X: a\nb",
            b"X: a\rb",
            b"GET / HTTP/1.1",
        )
    ],
    bad("LF ends a trailer", b"0\r\nX: v\n\r\n"),
    bad("LF ends the trailer section", b"0\r\nX: v\r\n\n"),
    bad("LF ends the body", b"0\r\n\n"),
    bad("CR ends the body", b"0\r\n\rX"),
    bad("LF ends the last chunk", b"0\n\r\n"),
    bad("no empty line before the next request", b"0\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"),
]


# Where a body is cut: the head, and what comes of the body before the client is gone.
CUTS = [
    pytest.param(post(b"", b"Content-Length: 5"), id="before the body"),
    pytest.param(post(b"hell", b"Content-Length: 5"), id="in the body"),
    pytest.param(post(b"b" * 300000, b"Content-Length: 300001"), id="in a large body"),
    pytest.param(chunked(b""), id="before the first chunk"),
    pytest.param(chunked(b"5"), id="in a chunk size"),
    pytest.param(chunked(b"5\r"), id="in the CRLF of a chunk size"),
    pytest.param(chunked(b"5;a"), id="in an extension"),
    pytest.param(chunked(b"5\r\n"), id="before the data"),
    pytest.param(chunked(b"5\r\nhel"), id="in the data"),
    pytest.param(chunked(b"5\r\nhello"), id="behind the data"),
    pytest.param(chunked(b"5\r\nhello\r"), id="in the CRLF behind the data"),
    pytest.param(chunked(b"5\r\nhello\r\n"), id="before the last chunk"),
    pytest.param(chunked(b"5\r\nhello\r\n0"), id="in the last chunk"),
    pytest.param(chunked(b"5\r\nhello\r\n0\r\n"), id="before the empty line"),
    pytest.param(chunked(b"5\r\nhello\r\n0\r\n\r"), id="in the empty line"),
    pytest.param(chunked(b"5\r\nhello\r\n0\r\nX: y\r\n"), id="in the trailers"),
]

STREAMED = ("--no-request-buffering",)
IN_A_FILE = ("--request-buffer-memory", "0")


@wire_cases(CHUNK_SIZES)
def test_chunk_size(case: Case, servers: Servers, kind: str, delivery: str) -> None:
    run(case, servers.get(kind=kind), delivery)


@wire_cases(EXTENSIONS)
def test_chunk_extension(case: Case, servers: Servers, kind: str, delivery: str) -> None:
    run(case, servers.get(kind=kind), delivery)


@wire_cases(CHUNK_DATA)
def test_chunk_data(case: Case, servers: Servers, kind: str, delivery: str) -> None:
    run(case, servers.get(kind=kind), delivery)


@wire_cases(TRAILERS)
def test_trailers(case: Case, servers: Servers, kind: str, delivery: str) -> None:
    run(case, servers.get(kind=kind), delivery)


# -- bodies that end too early


@pytest.mark.parametrize("raw", CUTS)
def test_a_cut_body_never_reaches_the_application(server: Server, raw: bytes) -> None:
    """RFC 9112 §8: an incomplete message is not a short one. A body that is buffered nobody hears of."""
    server.seen()
    with server.connect() as client:
        client.send(raw)
        client.finish()
        _refused_or_closed(client)
    assert server.seen_whole() == []


@pytest.mark.parametrize("raw", CUTS)
def test_a_cut_body_is_an_error_while_streaming(servers: Servers, kind: str, raw: bytes) -> None:
    """The application that reads it gets an exception, not a short body."""
    server = servers.get(*STREAMED, kind=kind)
    server.seen()
    with server.connect() as client:
        client.send(raw)
        client.finish()
        _refused_or_closed(client)
    for request in server.seen():
        assert request["error"] is not None
        assert request["body"] is None


@pytest.mark.parametrize(
    "body",
    [
        b"5\r\nhelloXX" + END,
        b"5\r\nhello\r\nx\r\n",
        b"5\r\nhello\r\n0\r\nHost: b\r\n\r\n",
        b"5\r\nhello\r\n5\n",
    ],
)
@pytest.mark.parametrize("delivery", ["whole", "bytes"])
def test_broken_chunks_are_an_error_while_streaming(
    servers: Servers, kind: str, body: bytes, delivery: str
) -> None:
    server = servers.get(*STREAMED, kind=kind)
    server.seen()
    with server.connect() as client:
        deliver(client, chunked(body) + SMUGGLED, delivery)
        _refused_or_closed(client)
    for request in server.seen():
        assert request["path"] == "/"
        assert request["error"] is not None
        assert request["body"] is None


def test_a_body_is_streamed_on_request(servers: Servers, kind: str) -> None:
    """The application is called before the body is there, and reads it as it comes."""
    server = servers.get(*STREAMED, kind=kind)
    with server.connect() as client:
        client.send(chunked(b"5\r\nhello\r\n", path=b"/partly"))
        assert client.response().body == b'"h"'
    with server.connect() as client:
        client.send(chunked(b"5\r\nhello\r\n" * 3 + END))
        response = client.response()
        assert b'"hellohellohello"' in response.body
        client.send(head())
        assert client.response().status == 200


def test_a_client_that_resets_in_the_body_is_forgotten(server: Server) -> None:
    server.seen()
    client = server.connect()
    client.send(post(b"hell", b"Content-Length: 5"))
    client.abort()
    with server.connect() as other:
        other.send(head())
        other.response()  # whoever answers this has heard of the reset
    assert [request for request in server.seen_whole() if request["method"] == "POST"] == []


def _refused_or_closed(client: Client) -> None:
    """400 or nothing at all, then the end; never a success."""
    response = client.maybe_response()
    if response is None:
        return
    assert response.status in {400, 408, 500}, response
    client.wait_closed()


# -- bodies that nobody reads


@pytest.mark.parametrize("size", [1, 1000, 65536, 65537, 1000000])
@pytest.mark.parametrize("path", [b"/unread", b"/partly"])
@pytest.mark.parametrize("options", [(), STREAMED], ids=["buffered", "streamed"])
def test_an_unread_body_is_never_the_next_request(
    servers: Servers, kind: str, options: tuple[str, ...], path: bytes, size: int
) -> None:
    """RFC 9112 §9.3: it is read to its end, or the connection closes."""
    server = servers.get(*options, kind=kind)
    content = (SMUGGLED * (size // len(SMUGGLED) + 1))[:size]
    server.seen()
    with server.connect() as client:
        client.send(post(content, b"Content-Length: %d" % size, path=path))
        response = client.response()
        assert response.status == 200
        _next_or_closed(client, said_so="close" in response.connection)
    assert {request["path"] for request in server.seen()} <= {path.decode(), "/next"}


@pytest.mark.parametrize("path", [b"/unread", b"/partly"])
def test_unread_chunks_are_never_the_next_request(servers: Servers, kind: str, path: bytes) -> None:
    server = servers.get(*STREAMED, kind=kind)
    server.seen()
    with server.connect() as client:
        client.send(chunked(b"%x\r\n" % len(SMUGGLED) + SMUGGLED + b"\r\n" + END, path=path))
        response = client.response()
        assert response.status == 200
        _next_or_closed(client, said_so="close" in response.connection)
    assert {request["path"] for request in server.seen()} <= {path.decode(), "/next"}


def test_a_short_unread_body_is_drained(servers: Servers, kind: str) -> None:
    server = servers.get(*STREAMED, "--limit-body-drain", "1000", kind=kind)
    with server.connect() as client:
        client.send(post(b"b" * 1000, b"Content-Length: 1000", path=b"/unread"))
        assert client.response().status == 200
        client.send(head())
        assert client.response().status == 200


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_long_unread_body_closes_the_connection(servers: Servers, kind: str, framing: str) -> None:
    """More than `limit_body_drain` is left: it is not worth reading."""
    server = servers.get(*STREAMED, "--limit-body-drain", "1000", kind=kind)
    server.seen()
    size = 100000
    if framing == "length":
        raw = post(b"", b"Content-Length: %d" % size, path=b"/unread")
    else:
        raw = chunked(b"%x\r\n" % size, path=b"/unread")
    with server.connect() as client:
        client.send(raw)
        assert client.response().status == 200
        client.send(b"b" * size + (b"\r\n" + END if framing == "chunked" else b"") + SMUGGLED)
        client.wait_closed()
    assert [request["path"] for request in server.seen()] == ["/unread"]


def _next_or_closed(client: Client, *, said_so: bool) -> None:
    client.send(head(start=b"GET /next HTTP/1.1"))
    if said_so:
        client.wait_closed()
        return
    response = client.response()
    assert response.status == 200
    assert b'"/next"' in response.body


# -- large bodies


@pytest.mark.parametrize("size", [65535, 65536, 65537, 5_000_000])
@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("options", [(), IN_A_FILE, STREAMED], ids=["memory", "file", "streamed"])
def test_a_large_body_arrives_whole(
    servers: Servers, kind: str, options: tuple[str, ...], framing: str, size: int
) -> None:
    """Around 64 KiB a buffered body begins to share memory with others, or moves to a temporary file."""
    server = servers.get(*options, kind=kind)
    content = bytes(range(32, 127)) * (size // 95 + 1)
    content = content[:size]
    server.seen()
    with server.connect() as client:
        if framing == "length":
            client.send(post(content, b"Content-Length: %d" % size))
        else:
            parts = [content[at : at + 50000] for at in range(0, size, 50000)]
            client.send(chunked(b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + END))
        assert client.response().status == 200
        client.send(head())
        assert client.response().status == 200
    first, _ = server.seen()
    assert first["body"] == content.decode()


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_body_that_comes_late_is_read_while_responding(servers: Servers, kind: str) -> None:
    """RFC 9110 §9.3.3 allows an answer before the content was read; PEP 3333 and ASGI let the application."""
    server = servers.get(*STREAMED, kind=kind)
    with server.connect() as client:
        client.send(post(b"", b"Content-Length: 5", path=b"/late"))
        wait_for(lambda: client.more() and b"started;" in client.buffer, "the first chunk")
        client.send(b"hello")
        assert client.response().body == b"started;5"
