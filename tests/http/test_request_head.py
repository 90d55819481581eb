"""RFC 9112 §2, §3, §5, §6; RFC 9110 §10: request heads as data, in every delivery, without sockets."""

from __future__ import annotations

import random
from typing import Any

import pytest
from fuzz.messages import near_valid
from fuzz.reading import DELIVERIES, cut, deliver, joined, pieces, read, refusal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tricorn.http.reader import Head, Refused, RequestReader
from tricorn.http.request import Limits

START = b"GET / HTTP/1.1"


def head(*lines: bytes, start: bytes = START, host: bytes | None = b"a.example") -> bytes:
    fields = [] if host is None else [b"Host: " + host]
    return b"\r\n".join([start, *fields, *lines, b"", b""])


def start(line: bytes) -> bytes:
    return head(start=line)


# ---- what is accepted ---------------------------------------------------------------------------------

#: Name → the bytes, and what the Head event has to say.
ACCEPTED: dict[str, tuple[bytes, dict[str, Any]]] = {
    # RFC 9112 §2.2
    "an empty line first": (b"\r\n" + head(), {"method": b"GET"}),
    # RFC 9112 §3.1, RFC 9110 §9.1
    "an unknown method": (start(b"BREW / HTTP/1.1"), {"method": b"BREW"}),
    "a lower-case method": (start(b"get / HTTP/1.1"), {"method": b"get"}),
    "every byte of a token": (start(b"!#$%&'*+-.^_`|~09aZ / HTTP/1.1"), {"method": b"!#$%&'*+-.^_`|~09aZ"}),
    "the longest method": (start(b"M" * 32 + b" / HTTP/1.1"), {"method": b"M" * 32}),
    # RFC 9112 §2.3
    "HTTP/1.0": (start(b"GET / HTTP/1.0"), {"version": 10, "keep_alive": False}),
    "HTTP/1.0 without Host": (head(start=b"GET / HTTP/1.0", host=None), {"version": 10}),
    # RFC 9112 §3.2.1
    "a path": (start(b"GET /a/b HTTP/1.1"), {"target": b"/a/b", "path": b"/a/b", "query": None}),
    "a query": (start(b"GET /a?b=c HTTP/1.1"), {"target": b"/a?b=c", "path": b"/a", "query": b"b=c"}),
    "an empty query": (start(b"GET /a? HTTP/1.1"), {"path": b"/a", "query": b""}),
    "two question marks": (start(b"GET /a?b?c HTTP/1.1"), {"path": b"/a", "query": b"b?c"}),
    "two slashes": (start(b"GET //a// HTTP/1.1"), {"path": b"//a//", "authority": None}),
    "all visible ASCII": (
        start(b"GET /" + bytes(c for c in range(0x21, 0x7F) if c not in b"#?") + b" HTTP/1.1"),
        {"path": b"/" + bytes(c for c in range(0x21, 0x7F) if c not in b"#?")},
    ),
    # RFC 9112 §3.2.2
    "absolute-form": (
        start(b"GET http://b.example:80/p?q HTTP/1.1"),
        {"target": b"http://b.example:80/p?q", "authority": b"b.example:80", "path": b"/p", "query": b"q"},
    ),
    "absolute-form without a path": (
        start(b"GET HTTPS://b.example HTTP/1.1"),
        {"authority": b"b.example", "path": b"", "query": None},
    ),
    "absolute-form, query only": (
        start(b"GET http://b.example?q HTTP/1.1"),
        {"authority": b"b.example", "path": b"", "query": b"q"},
    ),
    "absolute-form, IPv6": (start(b"GET http://[::1]:1/ HTTP/1.1"), {"authority": b"[::1]:1", "path": b"/"}),
    # RFC 9112 §3.2.3, RFC 9110 §9.3.6
    "authority-form": (
        start(b"CONNECT b.example:443 HTTP/1.1"),
        {"authority": b"b.example:443", "path": b"", "keep_alive": False},
    ),
    "authority-form, IPv6": (
        start(b"CONNECT [2001:db8::1]:443 HTTP/1.1"),
        {"authority": b"[2001:db8::1]:443"},
    ),
    # RFC 9112 §3.2.4
    "asterisk-form": (start(b"OPTIONS * HTTP/1.1"), {"target": b"*", "path": b"*"}),
    # RFC 9112 §3.2
    "a host with a port": (head(host=b"a.example:8000"), {}),
    "a host with an empty port": (head(host=b"a.example:"), {}),
    "the highest port": (head(host=b"a.example:65535"), {}),
    "an IPv4 host": (head(host=b"127.0.0.1:80"), {}),
    "an IPv6 host": (head(host=b"[::ffff:1.2.3.4]:80"), {}),
    "a host with percent signs": (head(host=b"a%2Db"), {}),
    "a host of all its bytes": (head(host=b"aZ09-._~!$&'()*+,;="), {}),
    # RFC 9112 §5, RFC 9110 §5.5
    "no space behind the colon": (head(b"A:b"), {"fields": ((b"Host", b"a.example"), (b"A", b"b"))}),
    "space around a value": (head(b"A: \t b c\t "), {"fields": ((b"Host", b"a.example"), (b"A", b"b c"))}),
    "an empty value": (head(b"A:"), {"fields": ((b"Host", b"a.example"), (b"A", b""))}),
    "a value of spaces": (head(b"A: \t "), {"fields": ((b"Host", b"a.example"), (b"A", b""))}),
    "colons in a value": (head(b"A::b:c"), {"fields": ((b"Host", b"a.example"), (b"A", b":b:c"))}),
    "every byte of a value": (
        head(b"A: x" + bytes([9, *range(0x20, 0x7F), *range(0x80, 0x100)])),
        {
            "fields": (
                (b"Host", b"a.example"),
                (b"A", b"x" + bytes([9, *range(0x20, 0x7F), *range(0x80, 0x100)])),
            )
        },
    ),
    "repeated fields stay apart": (
        head(b"A: 1", b"a: 2"),
        {"fields": ((b"Host", b"a.example"), (b"A", b"1"), (b"a", b"2"))},
    ),
    "a long name": (head(b"N" * 300 + b": x"), {"fields": ((b"Host", b"a.example"), (b"N" * 300, b"x"))}),
    # RFC 9112 §9.3
    "persistent by itself": (head(), {"keep_alive": True}),
    "close": (head(b"Connection: close"), {"keep_alive": False}),
    "close in any case": (head(b"connection: CLOSE"), {"keep_alive": False}),
    "close in a list": (head(b"Connection: TE ,\tclose ,x"), {"keep_alive": False}),
    "close in a second field": (head(b"Connection: TE", b"Connection: close"), {"keep_alive": False}),
    "close among empty elements": (head(b"Connection: ,, close,"), {"keep_alive": False}),
    "close inside another token": (head(b"Connection: x-close, close-y"), {"keep_alive": True}),
    "HTTP/1.0 with keep-alive": (
        head(b"Connection: Keep-Alive", start=b"GET / HTTP/1.0"),
        {"keep_alive": True},
    ),
    "HTTP/1.0 with keep-alive and close": (
        head(b"Connection: keep-alive, close", start=b"GET / HTTP/1.0"),
        {"keep_alive": False},
    ),
    # RFC 9110 §10.1.1
    "an expectation": (head(b"Expect: 100-Continue"), {"expect_continue": True}),
    "an expectation in HTTP/1.0": (
        head(b"Expect: 100-continue", start=b"GET / HTTP/1.0"),
        {"expect_continue": False},
    ),
    # RFC 9112 §6
    "no framing": (head(), {"framing": "none", "content_length": 0}),
    "a length of zero": (head(b"Content-Length: 0"), {"framing": "none", "content_length": 0}),
    "zeros before a length": (head(b"Content-Length: 000"), {"framing": "none"}),
    # RFC 9110 §7.8
    "an upgrade": (head(b"Connection: upgrade", b"Upgrade: websocket"), {"keep_alive": True}),
}


@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(name: str, delivery: str) -> None:
    data, expected = ACCEPTED[name]
    events = deliver(data, delivery, name)
    assert len(events) == 2, events
    found = events[0]
    assert isinstance(found, Head)
    assert {key: getattr(found, key) for key in expected} == expected


# ---- what is refused ----------------------------------------------------------------------------------

CONTROLS = [*range(9), *range(10, 0x20), 0x7F]

#: Status and rule → name → the bytes.
REFUSED: dict[tuple[int, str], dict[str, bytes]] = {
    (400, "RFC 9112 §2.2"): {
        "LF ends the request line": b"GET / HTTP/1.1\nHost: a\r\n\r\n",
        "CR ends the request line": b"GET / HTTP/1.1\rHost: a\r\n\r\n",
        "LF ends a field": b"GET / HTTP/1.1\r\nHost: a\n\r\n",
        "CR ends a field": b"GET / HTTP/1.1\r\nHost: a\rB: c\r\n\r\n",
        "LF ends the head": b"GET / HTTP/1.1\r\nHost: a\r\n\n",
        "CR CR LF": b"GET / HTTP/1.1\r\r\n\r\n",
        "LF first": b"\nGET / HTTP/1.1\r\n\r\n",
        "CR first": b"\rGET / HTTP/1.1\r\n\r\n",
        "TLS behind an empty line": b"\r\n\x16\x03\x01\x02\x00\x01",
        "another control byte first": b"\x15\x03\x01\x00\x02",
        "two empty lines first": b"\r\n\r\n" + head(),
        **{f"0x{c:02x} in a value": head(b"A: b" + bytes([c]) + b"c") for c in CONTROLS},
        **{f"0x{c:02x} in a name": head(b"A" + bytes([c]) + b"B: c") for c in CONTROLS},
        **{f"0x{c:02x} in a target": start(b"GET /" + bytes([c]) + b" HTTP/1.1") for c in CONTROLS},
        **{f"0x{c:02x} in a version": start(b"GET / HTTP/1." + bytes([c])) for c in CONTROLS},
    },
    (400, "RFC 8446 §5.1"): {
        "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    },
    (400, "RFC 9112 §3"): {
        "a method alone": start(b"GET"),
        "no version": start(b"GET /"),
        "two spaces behind the method": start(b"GET  / HTTP/1.1"),
        "two spaces behind the target": start(b"GET /  HTTP/1.1"),
        "a space behind the version": start(b"GET / HTTP/1.1 "),
        "four parts": start(b"GET / x HTTP/1.1"),
    },
    (400, "RFC 9112 §3.1"): {
        "no method": start(b" / HTTP/1.1"),
        "a method of 33 bytes": start(b"M" * 33 + b" / HTTP/1.1"),
        "a tab behind the method": start(b"GET\t/ HTTP/1.1"),
        "a space before the method": b" " + head(),
        **{
            f"{chr(c)!r} in a method": start(b"G" + bytes([c]) + b"T / HTTP/1.1")
            for c in b'"(),/:;<=>?@[\\]{}\x80\xff'
        },
    },
    (400, "RFC 9112 §2.3"): {
        f"version {version!r}": start(b"GET / " + version)
        for version in (
            b"http/1.1", b"HTTP/11", b"HTTP/1", b"HTTP/1.", b"HTTP/.1", b"HTTP/1.1.", b"HTTP/1.10",
            b"HTTP/01.1",
            b"HTTP/1,1", b"HTTP/0.9", b"HTTP/3.0", b"HTTP/2.1", b"HTTP/1.x", b"", b"HTTPS/1.1", b"ICE/1.0",
        )
    },
    (505, "RFC 9110 §15.6.6"): {
        f"version {version!r}": start(b"GET / " + version)
        for version in (b"HTTP/1.2", b"HTTP/1.9", b"HTTP/2.0")
    } | {"the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
    (400, "RFC 9112 §3.2"): {
        **{
            f"target {target!r}": start(b"GET " + target + b" HTTP/1.1")
            for target in (
                b"a", b"*", b"?a", b"a:443", b"/#", b"/a#b", b"#", b"/\x80", b"/\xff", b"http:/a", b"http://",
                b"http:///",
                b"http://?q", b"http://u@a/", b"http://u:p@a/", b"http://a:b/", b"http://a:65536/",
                b"http://[::1/", b"http://[]/", b"ftp://a/", b"\\", b"http://a#b", b"http://:80/",
            )
        },
        **{
            f"CONNECT {target!r}": start(b"CONNECT " + target + b" HTTP/1.1")
            for target in (b"/", b"a", b"a:", b":443", b"*", b"http:", b"a:443/", b"u@a:1", b"a:99999")
        },
        "asterisk-form with another method": start(b"options * HTTP/1.1"),
        "asterisk and more": start(b"OPTIONS ** HTTP/1.1"),
        "no Host": head(host=None),
        "two Hosts": head(b"Host: a.example"),
        "two Hosts in HTTP/1.0": head(b"Host: b", start=b"GET / HTTP/1.0"),
        **{
            f"Host {host!r}": head(host=host)
            for host in (
                b"", b" ", b"a b", b"a,b c", b"a/b", b"a?b", b"a#b", b"a@b", b"a:b", b"a:80:80", b"a:-1",
                b"a:65536",
                b"a:123456", b":80", b"[::1", b"::1", b"[::1]x", b"[]", b"[g::]", b"[1]", b"a%", b"a%2",
                b"[1:2]", b"[:.:]", b"[v1.a]",
                b"a%zz", b"\xe9",
                b'"a"', b"a\\b", b"<a>", b"http://a", b"a:\xb2",
            )
        },
    },
    (400, "RFC 9112 §5"): {"no colon": head(b"abc"), "no colon, one byte": head(b"a")},
    (400, "RFC 9112 §5.1"): {
        "a space before the colon": head(b"A : b"),
        "a tab before the colon": head(b"A\t: b"),
        "no name": head(b": b"),
        **{f"{chr(c)!r} in a name": head(b"A" + bytes([c]) + b"B: c") for c in b' "(),/;<=>?@[\\]{}\x80\xff'},
    },
    (400, "RFC 9112 §5.2"): {
        "a folded field": head(b"A: b", b" c"),
        "a field folded with a tab": head(b"A: b", b"\tc"),
        "a fold behind the request line": b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        "a line of one space": head(b" "),
        "a fold that looks like a field": head(b"A: b", b" C: d"),
    },
    (400, "RFC 9112 §6.3"): {
        "two lengths": head(b"Content-Length: 5", b"Content-Length: 6"),
        "two equal lengths": head(b"Content-Length: 5", b"Content-Length: 5"),
        "a length and a coding": head(b"Content-Length: 5", b"Transfer-Encoding: chunked"),
        "a coding and a length": head(b"Transfer-Encoding: chunked", b"Content-Length: 5"),
        "a coding and a length of zero": head(b"Transfer-Encoding: chunked", b"Content-Length: 0"),
        "a length and an unknown coding": head(b"Content-Length: 5", b"Transfer-Encoding: gzip"),
        **{
            f"Content-Length {value!r}": head(b"Content-Length: " + value)
            for value in (
                b"", b" ", b"+5", b"-5", b"5,5", b"5, 5", b"5 5", b"0x5", b"5_0", b"5.0", b"5e1", b"five",
                b"\xb2", b"5;", b"'5'",
                "\N{ARABIC-INDIC DIGIT FIVE}".encode(), b"9" * 19, b"0" * 18 + b"5", b"1" * 400,
            )
        },
    },
    (400, "RFC 9112 §6.1"): {
        "a coding in HTTP/1.0": head(b"Transfer-Encoding: chunked", start=b"POST / HTTP/1.0"),
        "two codings fields": head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        "something behind chunked": head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip"),
        **{
            f"Transfer-Encoding {value!r}": head(b"Transfer-Encoding: " + value)
            for value in (
                b"", b",", b",chunked", b"chunked,", b"chunked,,", b"chunked, chunked", b"chunked, gzip",
                b"chunked, identity",
                b"chunked;a=b", b"chunked x", b"\"chunked\"", b"chunked\xa0", b"(chunked)", b"gzip,,chunked",
                b"gzip chunked",
            )
        },
    },
    (501, "RFC 9112 §6.1"): {
        f"Transfer-Encoding {value!r}": head(b"Transfer-Encoding: " + value)
        for value in (
            b"gzip", b"identity", b"gzip, chunked", b"xchunked", b"chunkedx", b"chunke", b"gzip;q=1",
            b"gzip;a=b, chunked",
            b"chunked_", b"x",
        )
    }
    | {"an unknown coding, a field before": head(b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked")},
    (400, "RFC 9110 §8.3"): {"two content types": head(b"Content-Type: a/b", b"content-type: a/b")},
    (417, "RFC 9110 §10.1.1"): {
        f"Expect {value!r}": head(b"Expect: " + value)
        for value in (b"", b",", b"ok", b"100-continue, x", b"100-continue=x", b'"100-continue"')
    },
}  # fmt: skip
REFUSED_CASES = [
    pytest.param(
        data, status, rule, id=f"{status} {rule[4:]} {name}".encode("ascii", "backslashreplace").decode()
    )
    for (status, rule), cases in REFUSED.items()
    for name, data in cases.items()
]


@pytest.mark.parametrize(("data", "status", "rule"), REFUSED_CASES)
def test_refused(data: bytes, status: int, rule: str) -> None:
    """For the same reason in each delivery, and nothing behind it is read."""
    for delivery in DELIVERIES:
        events = deliver(data, delivery, rule)
        found = refusal(events)
        assert found is not None, (delivery, events)
        assert (found.status, found.rule) == (status, rule), (delivery, found)
        assert len(events) == 1, (delivery, events)


@pytest.mark.parametrize(
    ("data", "at"),
    [
        (b"\x16\x03\x01", 1),
        (b"\r\n\r\n", 4),
        (b"GET / HTTP/1.1\n", 15),
        (b"GET / HTTP/1.1\r\n\n", 17),
        (b"GET / HTTP/1.1\r\nA: b\rc", 22),
        (b"G(T", 2),
        (b" ", 1),
        (b"M" * 33, 33),
        (b"GET / HTTP/1.2\r\n", 16),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n", 27),
        (b"GET / HTTP/1.1\r\nContent-Length: x\r\n", 35),
    ],
)
def test_refused_at_once(data: bytes, at: int) -> None:
    """Nobody waits for the rest of a head that can no longer become right."""
    reader = RequestReader()
    assert reader.feed(data[: at - 1]) == []
    (event,) = reader.feed(data[at - 1 : at])
    assert isinstance(event, Refused)
    assert reader.is_closed
    assert reader.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") == []


def test_closed_behind_the_last_request() -> None:
    reader = RequestReader()
    assert len(reader.feed(head(b"Connection: close") + head())) == 2
    assert reader.is_closed
    assert reader.feed(head()) == []


def test_names_beyond_the_table() -> None:
    """The table of learnt names fills up, and nothing changes but the time."""
    for number in range(3000):
        names = [b"X-%d-%d" % (number, k) for k in range(3)] + [b"x_%d" % number]
        events = read([head(*(name + b": v" for name in names))])
        assert isinstance(events[0], Head)
        assert [name for name, _ in events[0].fields[1:]] == names


# ---- limits -------------------------------------------------------------------------------------------


def limited(size: int, kind: str) -> tuple[bytes, Limits]:
    """A head of which the part in question has `size` bytes (or fields), and a limit of 200 on it."""
    if kind == "request_line":
        return start(b"GET /" + b"a" * (size - 14) + b" HTTP/1.1"), Limits(request_line=200)
    if kind == "field_size":
        return head(b"A:" + b"b" * (size - 2)), Limits(field_size=200)
    if kind == "head":
        rest = size - len(head(b"A:"))
        return head(b"A:" + b"b" * rest), Limits(head=200)
    return head(*[b"A: b"] * (size - 1)), Limits(fields=200)


STATUSES = {"request_line": 414, "field_size": 431, "head": 431, "fields": 431}
RULES = {
    "request_line": "limit_request_line",
    "field_size": "limit_request_field_size",
    "head": "limit_request_head",
    "fields": "limit_request_fields",
}


@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize("kind", STATUSES)
def test_limits_to_the_byte(kind: str, delivery: str) -> None:
    for size in (199, 200):
        data, limits = limited(size, kind)
        events = read(pieces(data, delivery, kind), limits)
        assert isinstance(events[0], Head), (size, events)
    data, limits = limited(201, kind)
    found = refusal(read(pieces(data, delivery, kind), limits))
    assert found is not None
    assert (found.status, found.rule) == (STATUSES[kind], RULES[kind])


@pytest.mark.parametrize("kind", ["request_line", "field_size", "head"])
def test_limits_while_reading(kind: str) -> None:
    """A line that never ends is refused at the limit, not when it ends."""
    data, limits = limited(100_000, kind)
    reader = RequestReader(limits)
    for at in range(len(data)):
        if reader.feed(data[at : at + 1]):
            break
    assert at <= len(head()) + 201


def test_limits_switched_off() -> None:
    limits = Limits(request_line=0, field_size=0, fields=0, head=1 << 20)
    data = head(b"A: " + b"b" * 500_000, *[b"C: d"] * 5000, start=b"GET /" + b"a" * 400_000 + b" HTTP/1.1")
    events = read([data], limits)
    assert isinstance(events[0], Head)
    assert len(events[0].fields) == 5002


def test_limits_start_anew() -> None:
    """A head's limits count from its own first byte, not from that of the piece or of the connection."""
    data, limits = limited(200, "head")
    events = read([data * 50], limits)
    assert len(events) == 100
    assert refusal(events) is None


# ---- any bytes, any cuts ------------------------------------------------------------------------------

SMALL = Limits(request_line=60, field_size=40, fields=5, head=150, body=50)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.randoms(use_true_random=False),
    st.lists(st.integers(0, 400), max_size=12),
    st.sampled_from([None, SMALL]),
)
def test_cuts_change_nothing(chance: random.Random, places: list[int], limits: Limits | None) -> None:
    data = near_valid(chance)
    whole = read([data], limits)
    assert read(cut(data, places), limits) == whole
    assert read(pieces(data, "bytes"), limits) == whole


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=8))
def test_cuts_of_any_bytes(data: bytes, places: list[int]) -> None:
    whole = read([data])
    assert read(cut(data, places)) == whole
    assert read(pieces(data, "bytes")) == whole


@pytest.mark.parametrize("limits", [None, SMALL], ids=["usual", "small"])
def test_cuts_in_bulk(limits: Limits | None) -> None:
    for seed in range(4000):
        chance = random.Random(seed)
        data = near_valid(chance)
        whole = read([data], limits)
        places = [chance.randrange(len(data) + 1) for _ in range(4)]
        assert read(cut(data, places), limits) == whole, (seed, data)
        assert read(pieces(data, "bytes"), limits) == whole, (seed, data)


@settings(max_examples=150, deadline=None)
@given(st.randoms(use_true_random=False))
def test_refusals_speak_for_themselves(chance: random.Random) -> None:
    """They name a rule, and never quote the client (the sentences are static)."""
    found = refusal(joined(RequestReader().feed(near_valid(chance))))
    if found is not None:
        assert 400 <= found.status < 600
        assert found.rule.startswith("RFC 9") or found.rule.startswith("limit_")
        assert found.reason.isascii()


@pytest.mark.parametrize("split", [1, 7, 100])
def test_bytes_of_a_waiting_head_stay(split: int) -> None:
    """Requests behind the end of a waiting head are read from the memory of that head."""
    data = b"".join(head(b"A: " + b"b" * 50, start=b"GET /%d HTTP/1.1" % number) for number in range(50))
    reader = RequestReader()
    events = reader.feed(data[:split]) + reader.feed(data[split:])
    targets = [event.target for event in events if isinstance(event, Head)]
    assert targets == [b"/%d" % number for number in range(50)]
