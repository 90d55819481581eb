"""RFC 9112 §6: where a message ends. Two answers to that question are how requests are smuggled."""

from __future__ import annotations

import pytest
from harness.axes import KINDS_OF
from harness.cases import SMUGGLED, Case, accepted, chunked, head, post, refused, run, wire_cases
from harness.server import Server, Servers

FIVE = b"5\r\nhello\r\n0\r\n\r\n"

# RFC 9110 §8.6, RFC 9112 §6.3: anything but one number is an unrecoverable error.
CONTENT_LENGTH = [
    accepted("five", post(b"hello", b"Content-Length: 5"), body="hello", environ={"CONTENT_LENGTH": "5"}),
    accepted("zero", post(b"", b"Content-Length: 0"), body=""),
    accepted("none", post(b""), body="", environ={"CONTENT_LENGTH": None}),
    accepted("leading zeros", post(b"hello", b"Content-Length: 0005"), body="hello"),
    accepted("name in lower case", post(b"hello", b"content-length: 5"), body="hello"),
    accepted("trimmed", post(b"hello", b"Content-Length: \t5\t "), body="hello"),
    accepted("18 digits", post(b"hello", b"Content-Length: " + b"5".zfill(18)), body="hello"),
    *[
        refused(f"value {value!r}", post(b"hello", b"Content-Length: " + value))
        for value in (
            b"",
            b"+5",
            b"-5",
            b"-0",
            b"5,5",
            b"5, 5",
            b"5,",
            b",5",
            b"5;5",
            b"0x5",
            b"5_0",
            b"5 5",
            b"5.0",
            b"5e0",
            b"1e1",
            b"five",
            b"5a",
            b"a5",
            b'"5"',
            b"\xb25",
            b"5\xa0",
            "\N{ARABIC-INDIC DIGIT FIVE}".encode(),
            "\N{FULLWIDTH DIGIT FIVE}".encode(),
            b"5".zfill(19),
            b"9" * 19,
            b"18446744073709551616",
            b"18446744073709551621",
            b"9" * 400,
        )
    ],
    refused("twice the same", post(b"hello", b"Content-Length: 5", b"Content-Length: 5")),
    refused("twice, different", post(b"hello", b"Content-Length: 5", b"Content-Length: 0")),
    refused("twice, in different case", post(b"hello", b"Content-Length: 5", b"CONTENT-LENGTH: 5")),
    refused("twice, the second empty", post(b"hello", b"Content-Length: 5", b"Content-Length:")),
    refused("bad in HTTP/1.0", post(b"hello", b"Content-Length: +5", version=b"1.0")),
    refused("twice in HTTP/1.0", post(b"hello", b"Content-Length: 5", b"Content-Length: 5", version=b"1.0")),
    refused("bad with GET", head(b"Content-Length: x")),
    accepted("in HTTP/1.0", post(b"hello", b"Content-Length: 5", version=b"1.0"), closes=True, body="hello"),
]

# RFC 9112 §6.1: chunked is the last coding, and the only one that we know.
TRANSFER_ENCODING = [
    accepted("chunked", chunked(FIVE), body="hello"),
    accepted(
        "names of codings compare without case", post(FIVE, b"Transfer-Encoding: CHUNKed"), body="hello"
    ),
    accepted("name in lower case", post(FIVE, b"transfer-encoding: chunked"), body="hello"),
    accepted("trimmed", post(FIVE, b"Transfer-Encoding: \tchunked \t"), body="hello"),
    *[
        refused(f"coding {value.decode()}", post(FIVE, b"Transfer-Encoding: " + value), 501)
        for value in (
            b"gzip",
            b"identity",
            b"deflate",
            b"xchunked",
            b"chunkedx",
            b"gzip, chunked",
            b"identity, chunked",
            b"unknown",
        )
    ],
    refused(
        "gzip and chunked in two fields",
        post(FIVE, b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"),
        501,
    ),
    *[
        refused(f"malformed {value!r}", post(FIVE, b"Transfer-Encoding: " + value))
        for value in (
            b"",
            b'"chunked"',
            b"chunked;",
            b"chun ked",
            b"chunked chunked",
            b"\xffchunked",
            b"\x0bchunked",
            b"chunked\0",
            b"chunked/1",
            b"[chunked]",
        )
    ],
    refused("chunked twice in a list", post(FIVE, b"Transfer-Encoding: chunked, chunked")),
    refused("chunked twice in two fields", chunked(FIVE, b"Transfer-Encoding: chunked")),
    refused(
        "with Content-Length before it", post(FIVE, b"Content-Length: 15", b"Transfer-Encoding: chunked")
    ),
    refused("with Content-Length behind it", chunked(FIVE, b"Content-Length: 15")),
    refused("with Content-Length 0", chunked(FIVE, b"Content-Length: 0")),
    refused("with a bad Content-Length", chunked(FIVE, b"Content-Length: x")),
    # RFC 9112 §6.1: in HTTP/1.0 the framing is faulty, even if it were right.
    refused("in HTTP/1.0", post(FIVE, b"Transfer-Encoding: chunked", version=b"1.0")),
    refused(
        "in HTTP/1.0, kept alive",
        post(FIVE, b"Transfer-Encoding: chunked", b"Connection: keep-alive", version=b"1.0"),
    ),
    refused("obscured by a tab in the name", post(FIVE, b"Transfer-Encoding\t: chunked")),
    refused(
        "obscured by a vertical tab", post(FIVE, b"Transfer-Encoding: \x0bchunked", b"Content-Length: 15")
    ),
    refused("on a GET in HTTP/1.0", head(b"Transfer-Encoding: chunked", start=b"GET / HTTP/1.0") + FIVE),
]

# Two faults at once, or one with two names: RFC 9112 §6.3 wants 400, an unknown coding is 501. Refused it is.
AMBIGUOUS = [
    [b"Transfer-Encoding: chunked, gzip"],
    [b"Transfer-Encoding: chunked, identity"],
    [b"Transfer-Encoding: chunked, chunkedx"],
    [b"Transfer-Encoding: chunked;a=b"],
    [b"Transfer-Encoding: , chunked"],
    [b"Transfer-Encoding: chunked,"],
    [b"Transfer-Encoding:", b"Transfer-Encoding: chunked"],
    [b"Transfer-Encoding: gzip", b"Content-Length: 15"],
    [b"Content-Length: 15", b"Transfer-Encoding: identity"],
]

# RFC 9110 §9.3.1: content in a GET has no meaning, but it has a length.
ANY_METHOD = [
    *[
        accepted(
            f"{method} with a Content-Length",
            head(b"Content-Length: 5", start=method.encode() + b" / HTTP/1.1") + b"hello",
            body="hello",
        )
        for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "BREW")
    ],
    *[
        accepted(
            f"{method} in chunks",
            head(b"Transfer-Encoding: chunked", start=method.encode() + b" / HTTP/1.1") + FIVE,
            body="hello",
        )
        for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "BREW")
    ],
    accepted(
        "the body of a GET is not a request",
        head(b"Content-Length: 49") + b"GET /smuggled HTTP/1.1\r\nHost: smuggled.example\r\n\r",
        method="GET",
        path="/",
    ),
]


@wire_cases(CONTENT_LENGTH)
def test_content_length(case: Case, servers: Servers, kind: str, delivery: str) -> None:
    run(case, servers.get(kind=kind), delivery)


@wire_cases(TRANSFER_ENCODING)
def test_transfer_encoding(case: Case, servers: Servers, kind: str, delivery: str) -> None:
    run(case, servers.get(kind=kind), delivery)


@pytest.mark.parametrize("lines", AMBIGUOUS, ids=repr)
def test_ambiguous_framing_is_refused(server: Server, lines: list[bytes]) -> None:
    server.seen()
    with server.connect() as client:
        client.send(post(FIVE, *lines) + SMUGGLED)
        assert client.response().status in {400, 501}
        client.wait_closed()
    assert server.seen() == []


@wire_cases(ANY_METHOD)
def test_any_method_may_have_a_body(case: Case, servers: Servers, kind: str, delivery: str) -> None:
    run(case, servers.get(kind=kind), delivery)


@pytest.mark.parametrize("kind", KINDS_OF["wsgi"])
def test_chunked_body_in_environ(servers: Servers, kind: str) -> None:
    """RFC 9112 §6.3 is done by us: the application reads to the end of `wsgi.input` and sees no coding."""
    server = servers.get(kind=kind)
    server.seen()
    with server.connect() as client:
        client.send(chunked(FIVE))
        assert client.response().status == 200
    (request,) = server.seen()
    assert request["environ"]["wsgi.input_terminated"] is True
    assert request["body"] == "hello"
