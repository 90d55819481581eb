"""The opening handshake: what is read, refused, answered (RFC 6455 §4.2), negotiated (RFC 7692 §7.1)."""

from __future__ import annotations

from typing import Any

import pytest

from tricorn.http.errors import ProtocolError, ResponseError
from tricorn.http.websocket import Deflate
from tricorn.http.websocket_handshake import (
    MOST_SEPARATORS,
    DeflatePolicy,
    Handshake,
    HandshakeError,
    Offer,
    accept_head,
    accept_key,
    is_upgrade,
    negotiate,
    read_extensions,
    read_handshake,
)

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 §1.3
Headers = list[tuple[bytes, bytes]]

GOOD: dict[bytes, bytes] = {
    b"host": b"a.example",
    b"upgrade": b"websocket",
    b"connection": b"Upgrade",
    b"sec-websocket-key": KEY,
    b"sec-websocket-version": b"13",
}


def request(changes: dict[bytes, bytes | None] | None = None, more: Headers | None = None) -> Headers:
    """A good request with some fields changed, left out (None) or added."""
    fields = GOOD | (changes or {})
    return [(name, value) for name, value in fields.items() if value is not None] + (more or [])


def test_the_sample_of_the_rfc() -> None:
    assert accept_key(KEY) == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"websocket", True), (b"WebSocket", True), (b"h2c, websocket", True), (b"WEBSOCKET ,\th2c", True),
        (b"", False), (b"h2c", False), (b"websockets", False), (b"websocket/13", False), (b"web", False),
    ],
)  # fmt: skip
def test_upgrades(value: bytes, expected: bool) -> None:
    assert is_upgrade(value) is expected


# ---- what is read -------------------------------------------------------------------------------------


def test_a_plain_request() -> None:
    for method in ("GET", b"GET"):
        assert read_handshake(method, 11, request()) == Handshake(KEY, (), ())


@pytest.mark.parametrize("value", [b"upgrade", b"UPGRADE", b"keep-alive, Upgrade", b"a,\tupgrade ,b"])
def test_connection(value: bytes) -> None:
    read_handshake("GET", 11, request({b"connection": value}))


def test_connection_in_two_fields() -> None:
    read_handshake("GET", 11, request({b"connection": b"keep-alive"}, [(b"connection", b"Upgrade")]))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([b"chat"], ("chat",)),
        ([b"superchat, chat"], ("superchat", "chat")),
        ([b"b ,a\t,\tc"], ("b", "a", "c")),
        ([b"chat", b"superchat"], ("chat", "superchat")),
        ([b",chat,,"], ("chat",)),
        ([b"chat, Chat"], ("chat", "Chat")),
        ([b"v1.api!#$%&'*+-.^_`|~"], ("v1.api!#$%&'*+-.^_`|~",)),
    ],
)
def test_subprotocols(values: list[bytes], expected: tuple[str, ...]) -> None:
    fields = [(b"sec-websocket-protocol", value) for value in values]
    assert read_handshake("GET", 11, request(more=fields)).subprotocols == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"foo", [Offer("foo", ())]),
        (b"foo, bar", [Offer("foo", ()), Offer("bar", ())]),
        (b"foo; a", [Offer("foo", (("a", None),))]),
        (b"foo; a=1; b", [Offer("foo", (("a", "1"), ("b", None)))]),
        (b'foo; a="1"', [Offer("foo", (("a", "1"),))]),
        (b'foo; a="\\1\\2"', [Offer("foo", (("a", "12"),))]),
        (b"foo;a=1 , bar;b", [Offer("foo", (("a", "1"),)), Offer("bar", (("b", None),))]),
        (b"foo\t ; a = 1", [Offer("foo", (("a", "1"),))]),
        (b",foo,,bar ,", [Offer("foo", ()), Offer("bar", ())]),
        (b"foo; a; a=2", [Offer("foo", (("a", None), ("a", "2")))]),
    ],
)
def test_extensions(value: bytes, expected: list[Offer]) -> None:
    assert read_extensions(value) == expected
    assert read_handshake("GET", 11, request({b"sec-websocket-extensions": value})).offers == tuple(expected)


def test_extensions_in_two_fields() -> None:
    fields = [(b"sec-websocket-extensions", b"foo; a"), (b"sec-websocket-extensions", b"bar")]
    offers = read_handshake("GET", 11, request(more=fields)).offers
    assert offers == (Offer("foo", (("a", None),)), Offer("bar", ()))


# ---- what is refused ----------------------------------------------------------------------------------

REFUSED: dict[str, list[Headers]] = {
    "does not contain Upgrade": [
        request({b"connection": value})
        for value in (None, b"", b"keep-alive", b"upgraded", b"up grade", b"close")
    ],
    "one Sec-WebSocket-Key": [
        request({b"sec-websocket-key": None}),
        request(more=[(b"sec-websocket-key", KEY)]),
    ],
    "16 bytes": [
        request({b"sec-websocket-key": value})
        for value in (
            b"", b"a", b"=" * 24, KEY[:-1], KEY + b"=", KEY[:-4], b"\xff" * 24, b"A" * 24, b" " + KEY[1:],
            b"dGhlIHNhbXBsZSBub25j*Q==", KEY + KEY, b"dGhlIHNhbXBsZSBub25jZQ==\n",
        )
    ],
    "too many extensions": [
        request({b"sec-websocket-extensions": b"a," * (MOST_SEPARATORS + 1)}),
        request({b"sec-websocket-extensions": b"a" + b";b" * (MOST_SEPARATORS + 1)}),
        request(more=[(b"sec-websocket-extensions", b"a" + b",a" * 100)] * 5),
    ],
    "more than one Sec-WebSocket-Version": [request(more=[(b"sec-websocket-version", b"13")])],
    "not a token": [
        request({b"sec-websocket-protocol": value})
        for value in (b"a b", b"a;b", b"a, b\xe9", b'"a"', b"a/b", b"a\x00", b"(a)")
    ],
    "is repeated": [
        request({b"sec-websocket-protocol": b"chat, b, chat"}),
        request(more=[(b"sec-websocket-protocol", b"chat")] * 2),
    ],
    "Protocol field is empty": [request({b"sec-websocket-protocol": value}) for value in (b"", b",", b" , ")],
    "Extensions field is malformed": [
        request({b"sec-websocket-extensions": value})
        for value in (
            b"foo;", b"foo; ", b"foo bar", b"foo;;a", b"foo; a=", b"foo; =a", b"foo; a b", b";a", b"foo=1",
            b'foo; a="', b'foo; a="b" c', b"foo; a=1=2", b'"foo"', b"foo; a=(", b"foo\xe9", b"foo\x00", b"@",
            b'foo; a="b', b"foo, ;a", b'foo; "a"=b',
        )
    ],
    "Extensions field is empty": [
        request({b"sec-websocket-extensions": value}) for value in (b"", b" ", b",,")
    ],
    "quoted parameter": [
        request({b"sec-websocket-extensions": value})
        for value in (b'foo; a=""', b'foo; a="b c"', b'foo; a="\\""')
    ],
}  # fmt: skip


@pytest.mark.parametrize(("word", "at"), [(word, at) for word in REFUSED for at in range(len(REFUSED[word]))])
def test_refused(word: str, at: int) -> None:
    with pytest.raises(HandshakeError, match=word) as caught:
        read_handshake("GET", 11, REFUSED[word][at])
    assert isinstance(caught.value, ProtocolError)
    assert caught.value.status == 400
    assert caught.value.rule.startswith("RFC 6455 §")
    assert caught.value.fields == b""


@pytest.mark.parametrize("method", ["POST", b"POST", "HEAD", "get", "CONNECT"])
def test_methods(method: str | bytes) -> None:
    with pytest.raises(HandshakeError, match="must use GET"):
        read_handshake(method, 11, request())


def test_versions_of_http() -> None:
    with pytest.raises(HandshakeError, match=r"HTTP/1\.1"):
        read_handshake("GET", 10, request())


@pytest.mark.parametrize("version", [None, b"", b"8", b"12", b"14", b"013", b"13, 8", b"13.0", b"+13"])
def test_versions_of_the_protocol(version: bytes | None) -> None:
    """RFC 6455 §4.4, RFC 9110 §15.5.22: the answer says which one would do."""
    with pytest.raises(HandshakeError) as caught:
        read_handshake("GET", 11, request({b"sec-websocket-version": version}))
    assert caught.value.status == 426
    assert caught.value.fields == b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"


# ---- what is negotiated -------------------------------------------------------------------------------

WIDE = DeflatePolicy(server_max_window_bits=15, client_max_window_bits=15)
PMD = "permessage-deflate"

#: Offer, policy → the answer (None: declined), and server and client bits and takeovers of the connection.
TERMS: dict[str, tuple[str, DeflatePolicy, str | None, tuple[int, int, bool, bool] | None]] = {
    "nothing asked": (PMD, WIDE, PMD, (15, 15, False, False)),
    "nothing asked, a narrow server": (
        PMD,
        DeflatePolicy(),
        f"{PMD}; server_max_window_bits=12",
        (12, 15, False, False),  # §7.1.2.2: this client's window cannot be limited
    ),
    "a browser": (
        f"{PMD}; client_max_window_bits",
        DeflatePolicy(),
        f"{PMD}; server_max_window_bits=12; client_max_window_bits=12",
        (12, 12, False, False),
    ),
    "a browser, no limits": (f"{PMD}; client_max_window_bits", WIDE, PMD, (15, 15, False, False)),
    "a client with a limit": (
        f"{PMD}; client_max_window_bits=10",
        WIDE,
        f"{PMD}; client_max_window_bits=10",
        (15, 10, False, False),
    ),
    "a client with a wider limit": (
        f"{PMD}; client_max_window_bits=14",
        DeflatePolicy(),
        f"{PMD}; server_max_window_bits=12; client_max_window_bits=12",
        (12, 12, False, False),
    ),
    "a limit for the server": (
        f"{PMD}; server_max_window_bits=10",
        DeflatePolicy(),
        f"{PMD}; server_max_window_bits=10",
        (10, 15, False, False),
    ),
    "a wider limit for the server": (
        f"{PMD}; server_max_window_bits=14",
        DeflatePolicy(),
        f"{PMD}; server_max_window_bits=12",
        (12, 15, False, False),
    ),
    "a limit that is none": (
        f"{PMD}; server_max_window_bits=15",
        WIDE,
        f"{PMD}; server_max_window_bits=15",
        (15, 15, False, False),
    ),
    "the narrowest": (
        f"{PMD}; server_max_window_bits=8; client_max_window_bits=8",
        DeflatePolicy(),
        f"{PMD}; server_max_window_bits=8; client_max_window_bits=8",
        (8, 8, False, False),
    ),
    "a quoted limit": (
        f'{PMD}; server_max_window_bits="9"',
        WIDE,
        f"{PMD}; server_max_window_bits=9",
        (9, 15, False, False),
    ),
    "no takeover by the server": (
        f"{PMD}; server_no_context_takeover",
        WIDE,
        f"{PMD}; server_no_context_takeover",
        (15, 15, True, False),
    ),
    "no takeover by the client": (
        f"{PMD}; client_no_context_takeover",
        WIDE,
        f"{PMD}; client_no_context_takeover",
        (15, 15, False, True),
    ),
    "no takeover by policy": (
        PMD,
        DeflatePolicy(True, 15, 15, True, True),
        f"{PMD}; server_no_context_takeover; client_no_context_takeover",
        (15, 15, True, True),
    ),
    "the second offer": (
        f"{PMD}; unknown, {PMD}; server_max_window_bits=9, {PMD}",
        WIDE,
        f"{PMD}; server_max_window_bits=9",
        (9, 15, False, False),
    ),
    "behind another extension": (f"foo; bar, {PMD}", WIDE, PMD, (15, 15, False, False)),
    "switched off": (PMD, DeflatePolicy(enabled=False), None, None),
    "another extension": ("x-webkit-deflate-frame", WIDE, None, None),
    "another case": ("Permessage-Deflate", WIDE, None, None),
    **{
        f"declined: {parameters}": (f"{PMD}; {parameters}", WIDE, None, None)
        for parameters in (
            "unknown", "unknown=1", "server_max_window_bits", "server_max_window_bits=7",
            "server_max_window_bits=16", "server_max_window_bits=09", "server_max_window_bits=010",
            "server_max_window_bits=1e1", "server_max_window_bits=-9", "server_max_window_bits=x",
            "client_max_window_bits=7", "client_max_window_bits=16", "client_max_window_bits=08",
            "server_no_context_takeover=1", "client_no_context_takeover=true",
            "server_no_context_takeover; server_no_context_takeover",
            "client_max_window_bits; client_max_window_bits",
            "client_max_window_bits; client_max_window_bits=9",
            "server_max_window_bits=9; server_max_window_bits=9",
            "server_max_window_bits=9; Unknown",
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("name", TERMS)
def test_terms(name: str) -> None:
    offer, policy, answer, terms = TERMS[name]
    negotiated = negotiate(read_extensions(offer.encode()), policy)
    if answer is None:
        assert negotiated is None
        return
    assert negotiated is not None
    assert negotiated.value == answer.encode()
    assert _terms(negotiated.deflate) == terms


def _terms(deflate: Deflate) -> tuple[int, int, bool, bool]:
    return (
        deflate.server_max_window_bits,
        deflate.client_max_window_bits,
        deflate.server_no_context_takeover,
        deflate.client_no_context_takeover,
    )


def test_what_the_client_does_not_see() -> None:
    negotiated = negotiate(read_extensions(PMD.encode()), DeflatePolicy(mem_level=3, level=2, threshold=7))
    assert negotiated is not None
    deflate = negotiated.deflate
    assert (deflate.mem_level, deflate.level, deflate.threshold) == (3, 2, 7)


def test_no_offer() -> None:
    assert negotiate((), WIDE) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"server_max_window_bits": 8},
        {"client_max_window_bits": 8},
        {"server_max_window_bits": 16},
        {"client_max_window_bits": 16},
        {"mem_level": 0},
        {"mem_level": 10},
        {"level": 10},
    ],
)
def test_policies_that_there_are_not(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"9 to 15|1 to 9"):
        DeflatePolicy(**wrong)


# ---- what is answered ---------------------------------------------------------------------------------

SHAKEN = Handshake(KEY, ("chat", "superchat"), ())


def test_the_answer() -> None:
    assert accept_head(SHAKEN) == (
        b"HTTP/1.1 101 Switching Protocols\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
        b"\r\n"
    )


def test_the_answer_with_everything() -> None:
    negotiated = negotiate([Offer(PMD, ())], WIDE)
    headers = [(b"Set-Cookie", b"a=b"), (b"set-cookie", b"c=d"), (b"X-Empty", b""), (b"X", b"\t \xe9 \t")]
    lines = accept_head(SHAKEN, "superchat", headers, negotiated).split(b"\r\n")
    assert lines[4:] == [
        b"Sec-WebSocket-Protocol: superchat",
        b"Sec-WebSocket-Extensions: permessage-deflate",
        b"Set-Cookie: a=b",
        b"set-cookie: c=d",
        b"X-Empty: ",
        b"X: \xe9",
        b"",
        b"",
    ]


@pytest.mark.parametrize("name", ["soap", "Chat", "", "chat, superchat"])
def test_a_subprotocol_that_was_not_offered(name: str) -> None:
    with pytest.raises(ResponseError, match="it offered chat, superchat"):
        accept_head(SHAKEN, name)
    with pytest.raises(ResponseError, match="it offered none"):
        accept_head(Handshake(KEY, (), ()), name)


WRONG_HEADERS: dict[str, list[tuple[Any, Any]]] = {
    "is set by the server": [
        (name, b"x")
        for name in (
            b"Connection", b"upgrade", b"Keep-Alive", b"proxy-connection", b"TE", b"Trailer",
            b"transfer-encoding", b"Content-Length", b"Sec-WebSocket-Accept", b"sec-websocket-extensions",
            b"SEC-WEBSOCKET-VERSION",
            b"Sec-WebSocket-Key", b"sec-websocket-anything",
        )
    ],
    "subprotocol in websocket.accept": [(b"sec-websocket-protocol", b"chat")],
    "not a valid header name": [
        (name, b"x") for name in (b"", b"a b", b"a:", b":status", b"a\r\nb", b"a\x00", b"\xe9")
    ],
    "control character": [
        (b"a", value) for value in (b"b\r\nc: d", b"\n", b"\r", b"a\x00", b"\x7f", b"\x1b")
    ],
    "must be bytes": [("a", b"b"), (b"a", "b"), (b"a", None)],
}  # fmt: skip


@pytest.mark.parametrize(
    ("word", "at"), [(word, at) for word in WRONG_HEADERS for at in range(len(WRONG_HEADERS[word]))]
)
def test_headers_that_the_application_must_not_add(word: str, at: int) -> None:
    with pytest.raises(ResponseError, match=word):
        accept_head(SHAKEN, None, [(b"good", b"one"), WRONG_HEADERS[word][at]])
