"""RFC 9112 §2.2, §2.3, §3: line ends, the request line, the four forms of the target."""

from __future__ import annotations

import pytest
from harness.cases import Case, accepted, head, refused, run, wire_cases
from harness.server import Server, Servers

HOST = b"Host: a.example\r\n"


def get(target: bytes, **expected: object) -> Case:
    return accepted(
        f"target {target.decode('latin-1')}", head(start=b"GET " + target + b" HTTP/1.1"), **expected
    )


def bad_target(name: str, target: bytes) -> Case:
    return refused(name, head(start=b"GET " + target + b" HTTP/1.1"))


# RFC 9112 §2.2: a server SHOULD ignore at least one empty line before the request line.
EMPTY_LINES = [
    accepted("one empty line", b"\r\n" + head()),
    refused("two empty lines", b"\r\n\r\n" + head()),
    refused("an empty line of LF", b"\n" + head()),
    refused("an empty line of CR", b"\r" + head()),
    refused("a space before the request line", b" " + head()),
    refused("an empty line and a space", b"\r\n " + head()),
    refused("a space on the empty line", b" \r\n" + head()),
    refused("NUL before the request line", b"\0" + head()),
]

# RFC 9112 §2.2: a recipient MAY take a single LF as the end of a line; we do not. A bare CR is invalid.
LINE_ENDS = [
    refused("LF ends the request line", b"GET / HTTP/1.1\n" + HOST + b"\r\n"),
    refused("CR ends the request line", b"GET / HTTP/1.1\r" + HOST + b"\r\n"),
    refused("CR CR LF ends the request line", b"GET / HTTP/1.1\r\r\n" + HOST + b"\r\n"),
    refused("LF in the target", b"GET /a\nb HTTP/1.1\r\n" + HOST + b"\r\n"),
    refused("CR in the target", b"GET /a\rb HTTP/1.1\r\n" + HOST + b"\r\n"),
    refused("LF in the method", b"G\nET / HTTP/1.1\r\n" + HOST + b"\r\n"),
    refused("LF ends a field line", b"GET / HTTP/1.1\r\nHost: a.example\n\r\n"),
    refused("CR ends a field line", b"GET / HTTP/1.1\r\nHost: a.example\rX: y\r\n\r\n"),
    refused("LF ends the head", b"GET / HTTP/1.1\r\nHost: a.example\r\n\n"),
    refused("LF LF ends the head", b"GET / HTTP/1.1\r\nHost: a.example\n\n"),
    refused("CR ends the head", b"GET / HTTP/1.1\r\nHost: a.example\r\n\rX"),
]

# RFC 9112 §3: method SP request-target SP HTTP-version.
REQUEST_LINE = [
    refused("no target", b"GET HTTP/1.1\r\n" + HOST + b"\r\n"),
    refused("no version", b"GET /\r\n" + HOST + b"\r\n"),
    refused("no version, one space", b"GET / \r\n" + HOST + b"\r\n"),
    refused("method only", b"GET\r\n" + HOST + b"\r\n"),
    refused("two spaces before the target", b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n"),
    refused("two spaces behind the target", b"GET /  HTTP/1.1\r\n" + HOST + b"\r\n"),
    refused("tab before the target", b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    refused("tab behind the target", b"GET /\tHTTP/1.1\r\n" + HOST + b"\r\n"),
    refused("a space behind the version", b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n"),
    refused("a tab behind the version", b"GET / HTTP/1.1\t\r\n" + HOST + b"\r\n"),
    refused("three spaces", b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n"),
    refused("a TLS client hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 40),
    refused("a response", b"HTTP/1.1 200 OK\r\n" + HOST + b"\r\n"),
]

# RFC 9110 §9.1: a method is a token, and is case-sensitive.
METHODS = [
    accepted("lower-case method", head(start=b"get / HTTP/1.1"), method="get"),
    accepted("mixed-case method", head(start=b"Get / HTTP/1.1"), method="Get"),
    accepted("unknown method", head(start=b"BREW / HTTP/1.1"), method="BREW"),
    accepted("a method of one letter", head(start=b"X / HTTP/1.1"), method="X"),
    accepted("a method of all token characters", head(start=b"!#$%&'*+-.^_`|~09 / HTTP/1.1")),
    accepted("a method of 32 bytes", head(start=b"M" * 32 + b" / HTTP/1.1"), method="M" * 32),
    refused("a method of 33 bytes", head(start=b"M" * 33 + b" / HTTP/1.1")),
    refused("a method of 33 bytes without an end", b"M" * 33),
    refused("an empty method", b" / HTTP/1.1\r\n" + HOST + b"\r\n"),
    *[
        refused(f"method with {byte:#04x}", head(start=b"G" + bytes([byte]) + b"T / HTTP/1.1"))
        for byte in b'\0\x01\x1f\x7f\x80\xff"(),/:;<=>?@[\\]{}'
    ],
    *[
        accepted(f"method {method}", head(start=method.encode() + b" / HTTP/1.1"), method=method)
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH")
    ],
]

# RFC 9112 §2.3 and RFC 9110 §15.6.6.
VERSIONS = [
    accepted("HTTP/1.1", head(start=b"GET / HTTP/1.1"), environ={"SERVER_PROTOCOL": "HTTP/1.1"}),
    accepted("HTTP/1.0", head(start=b"GET / HTTP/1.0"), closes=True, environ={"SERVER_PROTOCOL": "HTTP/1.0"}),
    *[
        refused(f"version {version.decode()}", head(start=b"GET / " + version), 505)
        for version in (b"HTTP/1.2", b"HTTP/1.9", b"HTTP/2.0")
    ],
    *[
        refused(f"version {version!r}", head(start=b"GET / " + version))
        for version in (
            b"HTTP/1.10",
            b"HTTP/1.01",
            b"HTTP/01.1",
            b"HTTP/1.",
            b"HTTP/1",
            b"HTTP/.1",
            b"HTTP/11",
            b"HTTP/0.9",
            b"HTTP/2.1",
            b"HTTP/3.0",
            b"HTTP/1,1",
            b"HTTP/1.1x",
            b"HTTP/1.a",
            b"HTTP/+1.1",
            b"http/1.1",
            b"Http/1.1",
            b"HTTPS/1.1",
            b"HTTP\\1.1",
            b"HTTP 1.1",
            b"ICY/1.1",
            b"1.1",
            "HTTP/1.\N{ARABIC-INDIC DIGIT ONE}".encode(),
        )
    ],
]

# RFC 9112 §3.2.1 and RFC 3986: visible ASCII, no fragment.
TARGETS = [
    get(b"/", path="/", environ={"QUERY_STRING": ""}),
    get(b"/?", path="/", environ={"QUERY_STRING": ""}),
    get(b"/a/b;c=d", path="/a/b;c=d"),
    get(b"/a?b=c&d", path="/a", environ={"QUERY_STRING": "b=c&d"}),
    get(b"/a?b?c", path="/a", environ={"QUERY_STRING": "b?c"}),
    get(b"/a%20b?c%20d", path="/a b", environ={"QUERY_STRING": "c%20d"}),
    get(b"/%C3%A9", path="/\xc3\xa9"),  # PEP 3333: the decoded bytes as latin-1
    get(b"/a%2Fb", path="/a/b"),
    get(b"//a.example/b", path="//a.example/b"),
    get(b"/a/../b", path="/a/../b"),
    get(b"/http://b.example/", path="/http://b.example/"),
    get(b"/a:b@c", path="/a:b@c"),
    get(b"/" + bytes(set(range(0x21, 0x7F)) - set(b"#%?"))),
    bad_target("fragment", b"/a#b"),
    bad_target("fragment in the query", b"/a?b#c"),
    bad_target("fragment only", b"#a"),
    bad_target("relative target", b"a"),
    bad_target("relative target with a dot", b"./a"),
    bad_target("query only", b"?a=b"),
    bad_target("a backslash first", b"\\a"),
    *[
        bad_target(f"target with {byte:#04x}", b"/a" + bytes([byte]) + b"b")
        for byte in (0x00, 0x01, 0x08, 0x0B, 0x0C, 0x1B, 0x1F, 0x7F, 0x80, 0xA0, 0xC3, 0xFF)
    ],
]

# RFC 9112 §3.2.2: an origin server MUST accept the absolute form, and use its authority instead of Host.
ABSOLUTE = [
    get(b"http://b.example/a?c", path="/a", environ={"HTTP_HOST": "b.example", "QUERY_STRING": "c"}),
    get(b"http://b.example:8080/a", path="/a", environ={"HTTP_HOST": "b.example:8080"}),
    get(b"http://[2001:db8::1]:8080/a", path="/a", environ={"HTTP_HOST": "[2001:db8::1]:8080"}),
    get(b"HTTP://b.example/a", path="/a", environ={"HTTP_HOST": "b.example"}),
    get(b"http://b.example", path="/", environ={"HTTP_HOST": "b.example"}),
    get(b"http://b.example?c", path="/", environ={"HTTP_HOST": "b.example", "QUERY_STRING": "c"}),
    get(b"http://b.example/http://c.example/", path="/http://c.example/", environ={"HTTP_HOST": "b.example"}),
    accepted(
        "absolute form in HTTP/1.0 without Host",
        head(start=b"GET http://b.example/a HTTP/1.0", host=None),
        closes=True,
        path="/a",
        environ={"HTTP_HOST": "b.example"},
    ),
    # RFC 9112 §3.2: the Host field is needed even so.
    refused("absolute form without Host", head(start=b"GET http://b.example/a HTTP/1.1", host=None)),
    refused("absolute form, two Hosts", head(b"Host: c", start=b"GET http://b.example/a HTTP/1.1")),
    refused("absolute form, bad Host", head(start=b"GET http://b.example/a HTTP/1.1", host=b"a b")),
    bad_target("absolute form without authority", b"http:///a"),
    bad_target("absolute form, empty", b"http://"),
    bad_target("absolute form, one slash", b"http:/a"),
    bad_target("absolute form with a bad port", b"http://b.example:x/a"),
    bad_target("absolute form with userinfo", b"http://u:p@b.example/a"),  # RFC 9110 §4.2.4
    bad_target("absolute form with a fragment", b"http://b.example/a#b"),
    bad_target("absolute form with a bad host", b"http://b[x/a"),
]

# RFC 9112 §3.2.3, §3.2.4.
OTHER_FORMS = [
    accepted("asterisk with OPTIONS", head(start=b"OPTIONS * HTTP/1.1"), method="OPTIONS"),
    refused("asterisk with GET", head(start=b"GET * HTTP/1.1")),
    refused("asterisk with options", head(start=b"options * HTTP/1.1")),
    refused("asterisk and more", head(start=b"OPTIONS *a HTTP/1.1")),
    refused("asterisk and a query", head(start=b"OPTIONS *?a HTTP/1.1")),
    accepted("OPTIONS with a path", head(start=b"OPTIONS /a HTTP/1.1"), path="/a"),
    refused("authority with GET", head(start=b"GET a.example:80 HTTP/1.1")),
    refused("authority with OPTIONS", head(start=b"OPTIONS a.example:80 HTTP/1.1")),
    refused("authority with connect", head(start=b"connect a.example:80 HTTP/1.1")),
    refused("CONNECT with a path", head(start=b"CONNECT /a HTTP/1.1")),
    refused("CONNECT with an asterisk", head(start=b"CONNECT * HTTP/1.1")),
    refused("CONNECT with the absolute form", head(start=b"CONNECT http://a.example/ HTTP/1.1")),
    refused("CONNECT without a port", head(start=b"CONNECT a.example HTTP/1.1")),
    refused("CONNECT with an empty port", head(start=b"CONNECT a.example: HTTP/1.1")),
    refused("CONNECT with a bad port", head(start=b"CONNECT a.example:x HTTP/1.1")),
    refused("CONNECT without a host", head(start=b"CONNECT :80 HTTP/1.1")),
]


@wire_cases(EMPTY_LINES)
def test_empty_lines(case: Case, servers: Servers, kind: str, delivery: str) -> None:
    run(case, servers.get(kind=kind), delivery)


@wire_cases(LINE_ENDS)
def test_line_ends(case: Case, servers: Servers, kind: str, delivery: str) -> None:
    run(case, servers.get(kind=kind), delivery)


@wire_cases(REQUEST_LINE)
def test_request_line(case: Case, servers: Servers, kind: str, delivery: str) -> None:
    run(case, servers.get(kind=kind), delivery)


@wire_cases(METHODS)
def test_method(case: Case, servers: Servers, kind: str, delivery: str) -> None:
    run(case, servers.get(kind=kind), delivery)


@wire_cases(VERSIONS)
def test_version(case: Case, servers: Servers, kind: str, delivery: str) -> None:
    run(case, servers.get(kind=kind), delivery)


@wire_cases(TARGETS)
def test_target(case: Case, servers: Servers, kind: str, delivery: str) -> None:
    run(case, servers.get(kind=kind), delivery)


@wire_cases(ABSOLUTE)
def test_absolute_form(case: Case, servers: Servers, kind: str, delivery: str) -> None:
    run(case, servers.get(kind=kind), delivery)


@wire_cases(OTHER_FORMS)
def test_other_forms(case: Case, servers: Servers, kind: str, delivery: str) -> None:
    run(case, servers.get(kind=kind), delivery)


@pytest.mark.parametrize("trailing", [b"", b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"])
def test_connect_closes_whatever_is_answered(server: Server, trailing: bytes) -> None:
    """RFC 9110 §9.3.6: what follows a CONNECT belongs to a tunnel; we serve none."""
    server.seen()
    with server.connect() as client:
        client.send(head(start=b"CONNECT a.example:443 HTTP/1.1", host=b"a.example:443") + trailing)
        response = client.response("CONNECT")
        client.wait_closed()
    assert b"/smuggled" not in response.body
    assert [request["method"] for request in server.seen()] in (["CONNECT"], [])


@pytest.mark.parametrize(
    "start",
    [
        b"\n",
        b"\r\n\r\n",
        b"G\n",
        b"GET\n",
        b"GET /\n",
        b"GET / HTTP/1.1\n",
        b"GET / HTTP/1.1\rX",
        b"GET / HTTP/1.1\r\n\n",
        b"GET / HTTP/1.1\r\nHost\n",
        b"GET / HTTP/1.1\r\nHost:\n",
        b"GET / HTTP/1.1\r\nHost: a\n",
        b"GET / HTTP/1.1\r\nHost: a\rX",
        b"GET / HTTP/1.1\r\nHost: a\r\n\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: y\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\rX",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\n",
    ],
)
def test_a_bare_line_end_is_answered_at_once(server: Server, start: bytes) -> None:
    """RFC 9112 §2.2. Nothing more is sent, and the answer does not wait for it."""
    server.seen()
    with server.connect() as client:
        client.send(start)
        assert client.response().status == 400
        client.wait_closed()
    assert server.seen_whole() == []
