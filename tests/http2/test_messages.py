"""RFC 9113 §8: requests as streams carry them. What is malformed no application hears of."""

from __future__ import annotations

from typing import Any

import pytest
from harness.axes import ONE_OF_EACH
from harness.http2 import frames
from harness.http2.frames import Code, block, data, headers
from harness.server import Server, Servers
from http2.cases import (
    ABOUT,
    FIELDS,
    OPEN,
    POST,
    Answered,
    Case,
    Ended,
    Reset,
    answered,
    cases,
    changed,
    malformed,
    opened,
    request,
    run,
    with_fields,
)

METHOD, SCHEME, AUTHORITY, PATH = FIELDS
TOKEN = b"!#$%&'*+-.^`|~09az"
CONTROLS = [*range(0x09), *range(0x0A, 0x20), 0x7F]


def trailers(*fields: tuple[bytes, bytes], end: bool = True) -> bytes:
    return headers(ABOUT, block(*fields), end=end)


BODY = data(ABOUT, b"hello")

FRAMING = [
    answered("8.1", "a body and trailers", OPEN, BODY, trailers((b"x-sum", b"1"))),
    answered("8.1", "trailers without a body", OPEN, trailers((b"x-sum", b"1"))),
    answered("8.1", "trailers without a field", OPEN, BODY, trailers()),
    malformed(
        "8.1", "a second head that does not end the stream", OPEN, BODY, trailers((b"x-sum", b"1"), end=False)
    ),
    *[
        malformed("8.1", f"{name.decode()} in trailers", OPEN, BODY, trailers((name, value)))
        for name, value in ((b":method", b"GET"), (b":path", b"/"), (b":status", b"200"), (b":x", b"y"))
    ],
    malformed("8.1", "an upper-case name in trailers", OPEN, BODY, trailers((b"X-Sum", b"1"))),
    malformed("8.1", "a connection field in trailers", OPEN, BODY, trailers((b"connection", b"close"))),
]

LENGTHS = [
    answered("8.1.1", "content-length as it is", with_fields((b"content-length", b"5"), body=b"hello")),
    answered("8.1.1", "content-length of nothing", with_fields((b"content-length", b"0"))),
    answered("8.1.1", "content-length with empty DATA", with_fields((b"content-length", b"0"), body=b"")),
    *[
        malformed(
            "8.1.1",
            f"content-length {said!r} of 5 bytes",
            with_fields((b"content-length", said), body=b"hello"),
        )
        for said in (b"4", b"6", b"0", b"+5", b"-5", b"5,5", b"0x5", b"", b" 5", b"5 ", b"five", b"5" * 30)
    ],
    malformed("8.1.1", "content-length and no body", with_fields((b"content-length", b"5"))),
    malformed(
        "8.1.1",
        "content-length twice",
        with_fields((b"content-length", b"5"), (b"content-length", b"5"), body=b"hello"),
    ),
    malformed(
        "8.1.1",
        "too much, in several frames",
        headers(ABOUT, block(*POST, (b"content-length", b"5"))),
        BODY,
        data(ABOUT, b"!"),
        data(ABOUT, end=True),
    ),
    malformed(
        "8.1.1",
        "too little, and trailers",
        headers(ABOUT, block(*POST, (b"content-length", b"6"))),
        BODY,
        trailers((b"x-sum", b"1")),
    ),
]

NAMES = [
    answered("8.2.1", "all characters of a token", with_fields((b"x" + TOKEN, b"v"))),
    *[
        malformed("8.2.1", f"the name {name!r}", with_fields((name, b"v")))
        for name in (
            b"X-Upper",
            b"xY",
            b"",
            b"x y",
            b" x",
            b"x ",
            b"x:y",
            b"x\r\ny",
            b"x\ny",
            b"x\ry",
            b"x\0y",
            b"\xc3\xa9",
            b"x(y)",
            b"x/y",
            b"x[",
            b'x"y',
        )
    ],
    *[
        malformed("8.2.1", f"a name with {byte:#04x}", with_fields((b"x" + bytes([byte]), b"v")))
        for byte in (1, 9, 0x1F, 0x7F, 0x80, 0xFF)
    ],
]

VALUES = [
    answered("8.2.1", "an empty value", with_fields((b"x", b""))),
    answered("8.2.1", "a tab within", with_fields((b"x", b"a\tb"))),
    answered("8.2.1", "bytes beyond ASCII", with_fields((b"x", bytes(range(0x80, 0x100))))),
    *[
        malformed("8.2.1", f"a value with {byte:#04x}", with_fields((b"x", b"a" + bytes([byte]) + b"b")))
        for byte in CONTROLS
    ],
    *[
        malformed("8.2.1", f"the value {value!r}", with_fields((b"x", value)))
        for value in (b" a", b"a ", b"\ta", b"a\t", b" ", b"a\r\nx: y", b"a\r\n\r\nGET / HTTP/1.1")
    ],
]

OF_HTTP_1 = [
    *[
        malformed("8.2.2", f"{name.decode()}: {value.decode()}", with_fields((name, value)))
        for name, value in (
            (b"connection", b"close"),
            (b"connection", b"keep-alive"),
            (b"connection", b""),
            (b"keep-alive", b"timeout=5"),
            (b"proxy-connection", b"keep-alive"),
            (b"transfer-encoding", b"chunked"),
            (b"transfer-encoding", b"identity"),
            (b"upgrade", b"h2c"),
            (b"upgrade", b"websocket"),
            (b"te", b"gzip"),
            (b"te", b"trailers, deflate"),
            (b"te", b"trailers;q=0.5"),
        )
    ],
    answered("8.2.2", "te: trailers", with_fields((b"te", b"trailers"))),
    malformed(
        "8.2.2",
        "transfer-encoding and a body",
        with_fields((b"transfer-encoding", b"chunked"), body=b"5\r\nhello\r\n0\r\n\r\n"),
    ),
]

PSEUDO = [
    malformed(
        "8.3", "a pseudo-header field behind another", request(METHOD, SCHEME, AUTHORITY, (b"x", b"y"), PATH)
    ),
    malformed("8.3", "one that nobody knows", request(*FIELDS, (b":x", b"y"))),
    malformed("8.3", "one of responses", request(*FIELDS, (b":status", b"200"))),
    malformed("8.3", "one with an upper-case name", request((b":Method", b"GET"), SCHEME, AUTHORITY, PATH)),
    malformed("8.3", "one with an empty name", request(*FIELDS, (b":", b"y"))),
    *[malformed("8.3.1", f"{name.decode()} twice", changed(name, value, value)) for name, value in FIELDS],
    *[
        malformed("8.3.1", f"no {name.decode()}", changed(name))
        for name in (b":method", b":scheme", b":path")
    ],
    malformed("8.3.1", "no pseudo-header field", request((b"host", b"a.example"))),
    malformed("8.3.1", "no field", request()),
    malformed("8.3.1", "an empty :method", changed(b":method", b"")),
    malformed("8.3.1", "an empty :scheme", changed(b":scheme", b"")),
    malformed("8.3.1", "an empty :path", changed(b":path", b"")),
    *[
        malformed("8.3.1", f":method {value!r}", changed(b":method", value))
        for value in (b"GE T", b"GET ", b" GET", b"GET\r\n", b"G(T", b"G\0T", b"\xc3\xa9")
    ],
    *[
        malformed("8.3.1", f":path {value!r}", changed(b":path", value))
        for value in (
            b"a",
            b"*",
            b"http://a.example/",
            b"/ ",
            b"/a b",
            b"/a\tb",
            b"/#a",
            b"/\0",
            b"/\r\n",
            b"/\x7f",
            b"/\xc3\xa9",
            b"?a",
        )
    ],
    *[
        malformed("8.3.1", f":authority {value!r}", changed(b":authority", value))
        for value in (
            b"u@a.example",
            b"a b",
            b"a/b",
            b"a:b",
            b"a.example:80:80",
            b"[::1",
            b"\xc3\xa9",
        )
    ],
    answered(
        "8.3.1",
        "an asterisk for OPTIONS",
        request((b":method", b"OPTIONS"), SCHEME, AUTHORITY, (b":path", b"*")),
    ),
    answered("8.3.1", "a method that nobody knows", changed(b":method", b"BREW")),
    answered("8.3.1", "pseudo-header fields in another order", request(PATH, AUTHORITY, SCHEME, METHOD)),
    answered("8.3.1", "host in place of :authority", request(METHOD, SCHEME, PATH, (b"host", b"a.example"))),
    answered("8.3.1", "host that says the same", with_fields((b"host", b"a.example"))),
    malformed("8.3.1", "host that says something else", with_fields((b"host", b"b.example"))),
    malformed(
        "8.3.1", "host twice", request(METHOD, SCHEME, PATH, (b"host", b"a.example"), (b"host", b"a.example"))
    ),
    malformed("8.3.1", "neither :authority nor host", request(METHOD, SCHEME, PATH)),
    malformed("8.3.1", "host that is none", request(METHOD, SCHEME, PATH, (b"host", b"a b"))),
]

#: RFC 9110 §9.3.6: we are no proxy.
NO_TUNNEL = (
    Answered((400, 404, 405, 501)),
    Reset((Code.PROTOCOL_ERROR, Code.CONNECT_ERROR, Code.REFUSED_STREAM)),
)
CONNECT = [
    Case(
        "8.5",
        "CONNECT",
        (request((b":method", b"CONNECT"), (b":authority", b"a.example:80")),),
        NO_TUNNEL,
        reaches=False,
    ),
    Case(
        "8.5",
        "CONNECT, and bytes behind it",
        (
            headers(ABOUT, block((b":method", b"CONNECT"), (b":authority", b"a.example:80"))),
            data(ABOUT, b"GET / HTTP/1.1\r\n\r\n", end=True),
        ),
        NO_TUNNEL,
        reaches=False,
    ),
    malformed("8.5", "CONNECT with :scheme and :path", changed(b":method", b"CONNECT")),
    malformed("8.5", "CONNECT with :path", request((b":method", b"CONNECT"), AUTHORITY, PATH)),
    malformed("8.5", "CONNECT without :authority", request((b":method", b"CONNECT"))),
]

#: RFC 6585 §5, RFC 9113 §10.5.1: refused with a status, or as one stream; the tables of both sides stay in
#: step.
TOO_LARGE = (
    Answered((431,)),
    Reset((Code.ENHANCE_YOUR_CALM, Code.REFUSED_STREAM, Code.PROTOCOL_ERROR, Code.CANCEL)),
    Ended((Code.ENHANCE_YOUR_CALM,)),
)
LARGE = [
    Case(
        "10.5.1",
        "a head of 128 KiB",
        (
            b"".join(
                frames.in_pieces(
                    ABOUT, block(*FIELDS, *[(b"x%d" % n, b"v" * 8000) for n in range(16)]), 16384, end=True
                )
            ),
        ),
        TOO_LARGE,
        reaches=False,
    ),
    Case(
        "10.5.1",
        "a thousand fields",
        (
            b"".join(
                frames.in_pieces(
                    ABOUT, block(*FIELDS, *[(b"x%d" % n, b"v") for n in range(1000)]), 16384, end=True
                )
            ),
        ),
        TOO_LARGE,
        reaches=False,
    ),
    Case(
        "10.5.1",
        "a field of 20,000 bytes",
        (b"".join(frames.in_pieces(ABOUT, block(*FIELDS, (b"x", b"v" * 20_000)), 16384, end=True)),),
        TOO_LARGE,
        reaches=False,
    ),
    Case(
        "10.5.1",
        "a :path of 20,000 bytes",
        (
            b"".join(
                frames.in_pieces(
                    ABOUT, block(METHOD, SCHEME, AUTHORITY, (b":path", b"/" + b"p" * 20_000)), 16384, end=True
                )
            ),
        ),
        (Answered((414, 431)), *TOO_LARGE[1:]),
        reaches=False,
    ),
]

EVERY = [*FRAMING, *LENGTHS, *NAMES, *VALUES, *OF_HTTP_1, *PSEUDO, *CONNECT, *LARGE]


@cases(*EVERY)
def test_messages(case: Case, worker: str, sends: str, running_servers: Servers) -> None:
    run(case, running_servers.on("h2c").get(kind=worker), sends)


# -- what applications are told


def seen_of(server: Server, *fields: tuple[bytes, bytes], body: bytes | None = None) -> dict[str, Any]:
    """What the application saw of a request with these fields."""
    server.seen()
    with opened(server) as connection:
        connection.send(request(*fields, body=body))
        assert connection.answer(ABOUT).status == 200
    (found,) = server.seen()
    return found


TOLD = [
    ("the authority is the host", FIELDS, {"HTTP_HOST": "a.example"}),
    ("it stands over host", (*FIELDS, (b"host", b"A.EXAMPLE")), {"HTTP_HOST": "a.example"}),
    ("host alone", (METHOD, SCHEME, PATH, (b"host", b"b.example:81")), {"HTTP_HOST": "b.example:81"}),
    (
        "cookies are joined",
        (*FIELDS, (b"cookie", b"a=b"), (b"x", b"y"), (b"cookie", b"c=d")),
        {"HTTP_COOKIE": "a=b; c=d"},
    ),
    ("others are a list", (*FIELDS, (b"x", b"a"), (b"x", b"b")), {"HTTP_X": "a,b"}),
    (
        "no pseudo-header field is a header",
        FIELDS,
        {"HTTP_:METHOD": None, "HTTP_METHOD": None, "HTTP_SCHEME": None},
    ),
    (
        "the query",
        (METHOD, SCHEME, AUTHORITY, (b":path", b"/a%20b?c=%20")),
        {"QUERY_STRING": "c=%20", "PATH_INFO": "/a b"},
    ),
    ("underscores are dropped", (*FIELDS, (b"x_under", b"v")), {"HTTP_X_UNDER": None}),
    (
        "the scheme is that of the wire, whatever is said",
        (METHOD, (b":scheme", b"https"), AUTHORITY, PATH),
        {"wsgi.url_scheme": "http"},
    ),
    ("te is told", (*FIELDS, (b"te", b"trailers")), {"HTTP_TE": "trailers"}),
]


@pytest.mark.parametrize("kind", ONE_OF_EACH)
@pytest.mark.parametrize(("fields", "environ"), [pytest.param(*rest, id=name) for name, *rest in TOLD])
def test_what_applications_are_told(
    server: Server, fields: tuple[tuple[bytes, bytes], ...], environ: dict[str, str | None]
) -> None:
    told = seen_of(server, *fields)["environ"]
    assert {key: told.get(key) for key in environ} == environ


def test_the_version(server: Server, kind: str) -> None:
    """ASGI writes it "2", CGI "HTTP/2.0"."""
    told = seen_of(server, *FIELDS)["environ"]
    assert told["SERVER_PROTOCOL"] == ("HTTP/2" if kind == "asgi" else "HTTP/2.0")


def test_a_body_without_a_length(server: Server, kind: str) -> None:
    """Its length is known when a buffered one is there; no application is told of a coding that was not."""
    told = seen_of(server, *POST, body=b"hello")
    assert told["body"] == "hello"
    assert "HTTP_TRANSFER_ENCODING" not in told["environ"]
    if kind != "asgi":
        assert told["environ"]["CONTENT_LENGTH"] == "5"


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_response_has_no_field_of_http_1(running_servers: Servers, kind: str) -> None:
    """RFC 9113 §8.2.2: whatever the application says of the connection. The client looks."""
    server = running_servers.on("h2c").get(kind=kind, app="misbehave:app")
    with opened(server) as connection:
        for path in ("/says-close", "/hop-by-hop", "/one-piece", "/generator"):
            answer = connection.get(path)
            assert answer.status in {200, 500}
        assert connection.get("/one-piece").get("date") is not None


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_fields_of_a_response_are_lower_case_and_keep_their_order(
    running_servers: Servers, kind: str
) -> None:
    server = running_servers.on("h2c").get(kind=kind, app="misbehave:app")
    with opened(server) as connection:
        answer = connection.get("/two-fields")
        assert answer.all("set-cookie") == ["a=b", "c=d"]


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_what_breaks_behind_the_head_is_a_reset(running_servers: Servers, kind: str) -> None:
    """RFC 9113 §8.1.1: the client must be able to tell; other streams do not feel it."""
    server = running_servers.on("h2c").get(kind=kind, app="misbehave:app")
    with opened(server) as connection:
        for path in ("/raises-midway", "/raises-midway-length", "/too-few"):
            answer = connection.answer(connection.request(path))
            assert not answer.ended
            assert answer.reset in {Code.INTERNAL_ERROR, Code.PROTOCOL_ERROR, Code.CANCEL}, answer
        assert connection.get("/one-piece").content == b"first"


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_what_breaks_before_the_head_is_a_500(running_servers: Servers, kind: str) -> None:
    server = running_servers.on("h2c").get(kind=kind, app="misbehave:app")
    with opened(server) as connection:
        assert connection.get("/raises-at-once").status == 500
        assert connection.get("/one-piece").content == b"first"
