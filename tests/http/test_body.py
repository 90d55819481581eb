"""RFC 9112 §6, §7, §8: request bodies as data, each in every delivery, without sockets."""

from __future__ import annotations

import random

import pytest
from fuzz.messages import Writer
from fuzz.reading import DELIVERIES, NEXT, cut, deliver, pieces, read, refusal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tricorn.http.reader import Data, End, Head, Refused, RequestReader
from tricorn.http.request import Limits

LAST = b"0\r\n\r\n"
LONGEST_EXTENSION = 16384  # of all chunks together; see h1.pyx
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: s\r\n\r\n"


def post(body: bytes, *lines: bytes, version: bytes = b"1.1") -> bytes:
    return b"\r\n".join([b"POST / HTTP/" + version, b"Host: a", *lines, b"", b""]) + body


def chunked(body: bytes) -> bytes:
    return post(body, b"Transfer-Encoding: chunked")


def sized(body: bytes, *lines: bytes) -> bytes:
    return post(body, b"Content-Length: %d" % len(body), *lines)


# ---- what is accepted ---------------------------------------------------------------------------------

#: Name → the bytes and the content.
ACCEPTED: dict[str, tuple[bytes, bytes]] = {
    # RFC 9112 §6.2
    "a length": (sized(b"hello"), b"hello"),
    "a length of one": (sized(b"x"), b"x"),
    "a length of zero": (sized(b""), b""),
    "a length with leading zeros": (post(b"hello", b"Content-Length: 000000000000000005"), b"hello"),
    "a length that looks like chunks": (sized(LAST), LAST),
    "a length that looks like a request": (sized(SMUGGLED), SMUGGLED),
    "every byte": (sized(bytes(range(256))), bytes(range(256))),
    "a length in HTTP/1.0": (
        post(b"ab", b"Content-Length: 2", b"Connection: keep-alive", version=b"1.0"),
        b"ab",
    ),
    # RFC 9112 §7.1
    "one chunk": (chunked(b"5\r\nhello\r\n" + LAST), b"hello"),
    "several chunks": (chunked(b"1\r\nh\r\n2\r\nel\r\n2\r\nlo\r\n" + LAST), b"hello"),
    "no chunk": (chunked(LAST), b""),
    "digits in upper case": (chunked(b"A\r\n0123456789\r\n" + LAST), b"0123456789"),
    "digits in lower case": (chunked(b"a\r\n0123456789\r\n" + LAST), b"0123456789"),
    "sixteen digits": (chunked(b"0000000000000005\r\nhello\r\n" + LAST), b"hello"),
    "sixteen zeros": (chunked(b"5\r\nhello\r\n0000000000000000\r\n\r\n"), b"hello"),
    "chunks that look like an end": (chunked(b"5\r\n" + LAST + b"\r\n" + LAST), LAST),
    "a chunk that looks like a request": (
        chunked(b"%x\r\n%b\r\n" % (len(SMUGGLED), SMUGGLED) + LAST),
        SMUGGLED,
    ),
    "every byte in a chunk": (chunked(b"100\r\n" + bytes(range(256)) + b"\r\n" + LAST), bytes(range(256))),
    "chunked in another case": (post(LAST, b"transfer-ENCODING: CHUNKED"), b""),
    # RFC 9112 §7.1.1
    "an extension": (chunked(b"5;a\r\nhello\r\n" + LAST), b"hello"),
    "an extension with a value": (chunked(b"5;a=b\r\nhello\r\n" + LAST), b"hello"),
    "a quoted value": (chunked(b'5;a="b c;\\"\xe9\t"\r\nhello\r\n' + LAST), b"hello"),
    "an empty quoted value": (chunked(b'5;a=""\r\nhello\r\n' + LAST), b"hello"),
    "several extensions": (chunked(b'5;a;b=c;d="e";f\r\nhello\r\n' + LAST), b"hello"),
    "bad white space": (chunked(b'5; \ta \t=\t b ; c = "d" ;e\r\nhello\r\n' + LAST), b"hello"),
    "an extension of the last chunk": (chunked(b"5\r\nhello\r\n0;a=b\r\n\r\n"), b"hello"),
}


@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(name: str, delivery: str) -> None:
    data, content = ACCEPTED[name]
    events = deliver(data, delivery, name)
    assert isinstance(events[0], Head)
    assert events[1:] == [*([Data(content)] if content else []), End(())]


# RFC 9112 §7.1.2: trailers are parsed, and stay apart from the fields of the head.
TRAILERS: dict[str, tuple[bytes, tuple[tuple[bytes, bytes], ...]]] = {
    "one": (b"A: b\r\n", ((b"A", b"b"),)),
    "several": (b"A: b\r\nC:\r\nA: \t d \r\n", ((b"A", b"b"), (b"C", b""), (b"A", b"d"))),
    "an unknown name": (b"x" * 60 + b": y\r\n", ((b"x" * 60, b"y"),)),
    "bytes beyond ASCII": (b"A: \xe9\r\n", ((b"A", b"\xe9"),)),
    # RFC 9110 §6.5.1: what comes too late to be obeyed, and misleads nobody, is dropped.
    **{
        f"{name.decode()} is dropped": (b"A: b\r\n" + name + b": x\r\nC: d\r\n", ((b"A", b"b"), (b"C", b"d")))
        for name in (
            b"Content-Type",
            b"content-type",
            b"Content-Encoding",
            b"Content-Range",
            b"Vary",
            b"CACHE-CONTROL",
            b"Range",
            b"If-Match",
            b"If-Range",
            b"Pragma",
            b"Accept-Encoding",
            b"Set-Cookie",
            b"WWW-Authenticate",
        )
    },
    "a field that is dropped may be repeated": (b"Vary: a\r\n" * 3, ()),
    "names that only begin so": (b"Varying: x\r\nProxy: y\r\n", ((b"Varying", b"x"), (b"Proxy", b"y"))),
}


@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize("name", TRAILERS)
def test_trailers(name: str, delivery: str) -> None:
    lines, trailers = TRAILERS[name]
    events = deliver(chunked(b"1\r\nx\r\n0\r\n" + lines + b"\r\n"), delivery, name)
    head, content, end = events
    assert isinstance(head, Head)
    assert len(head.fields) == 2
    assert content == Data(b"x")
    assert end == End(trailers)


# ---- what is refused ----------------------------------------------------------------------------------

#: Status and rule → what stands behind the head of a chunked request.
REFUSED: dict[tuple[int, str], list[bytes]] = {
    (400, "RFC 9112 §7.1"): [
        *[
            size + b"\r\nhello\r\n" + LAST
            for size in (
                b"", b"+5", b"-5", b"0x5", b"0X5", b" 5", b"5 ", b"\t5", b"5\t", b"5 5", b"5_0", b"5g", b"g",
                b"5h", b"5,5",
                b"5.", b'"5"', b"\xb2", b"5\x00", b"5\x0b", b"5 ;a", b"\x00", b"\r", b"5\r", b"5\r5",
                "\N{FULLWIDTH DIGIT FIVE}".encode(), b"00000000000000005", b"f" * 17, b"f" * 16,
                b"8" + b"0" * 15,
            )
        ],
        b"\r\n5\r\nhello\r\n" + LAST,
        b"5\nhello\r\n" + LAST,
        b"5\rhello\r\n" + LAST,
        b"5\r\r\nhello\r\n" + LAST,
        b"5\n\rhello\r\n" + LAST,
        # the end of the data
        b"5\r\nhello" + LAST,
        b"5\r\nhello\n" + LAST,
        b"5\r\nhello\r" + LAST,
        b"5\r\nhello\n\r" + LAST,
        b"5\r\nhello\r\r\n" + LAST,
        b"5\r\nhello \r\n" + LAST,
        b"4\r\nhello\r\n" + LAST,
        b"6\r\nhello\r\n" + LAST,
        # the last chunk
        b"0\n\n",
        b"0\r\r\n",
        b"0 \r\n\r\n",
    ],
    (400, "RFC 9112 §7.1.1"): [
        extension.join([b"5", b"\r\nhello\r\n"]) + LAST
        for extension in (
            b";", b";;a", b";=", b";=b", b";a=", b";a==b", b";a b", b";a=b c", b";a=b=c", b';a="b',
            b';a="b"c', b';a=b"c"',
            b';a="\\', b";a,b", b";(a)", b";\xe9", b";a=\xe9", b";a\x00", b";a=\x00", b';a="\x00"',
            b';a="\x7f"', b';a="\\\x00"',
            b'; "a"', b";a ", b";a=b ", b';a="b" ', b";a\nb", b";a=b\n", b';a="\r\n"', b";a;", b"; ",
        )
    ],
    (400, "RFC 9112 §2.2"): [
        LAST[:-2] + b"\n",
        LAST[:-1] + b"\r\n",
        b"0\r\nA: b\n\r\n",
        b"0\r\nA: b\rc\r\n\r\n",
        b"0\r\nA: \x00\r\n\r\n",
        b"0\r\nA: b\r\n\n",
        b"0\r\nA: b\r\n\r\r\n",
        b"0\r\n\x00",
    ],
    (400, "RFC 9112 §5"): [b"0\r\nabc\r\n\r\n", b"0\r\nA: b\r\nabc\r\n\r\n", b"0\r\nGET / HTTP/1.1\r\n\r\n"],
    (400, "RFC 9112 §5.1"): [b"0\r\nA : b\r\n\r\n", b"0\r\n: b\r\n\r\n", b"0\r\nA(: b\r\n\r\n"],
    (400, "RFC 9112 §5.2"): [b"0\r\n A: b\r\n\r\n", b"0\r\nA: b\r\n c\r\n\r\n", b"0\r\n\tA: b\r\n\r\n"],
    (400, "RFC 9110 §6.5.1"): [
        b"0\r\nA: b\r\n" + name + b": x\r\n\r\n"
        for name in (
            b"Content-Length", b"content-length", b"Transfer-Encoding", b"TRANSFER-ENCODING", b"Host",
            b"Connection", b"Expect", b"Trailer", b"TE", b"Upgrade", b"Keep-Alive",
            b"Authorization", b"Proxy-Authorization", b"Cookie", b"Forwarded", b"X-Forwarded-For",
            b"X-Forwarded-Proto", b"X-FORWARDED-SERVER", b"Max-Forwards", b"Proxy-Connection",
            b"Proxy-Authenticate", b"Proxy-Authentication-Info",
        )
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("body", "status", "rule"),
    [
        pytest.param(
            body, status, rule, id=f"{rule[4:]} {body!r}".encode("ascii", "backslashreplace").decode()
        )
        for (status, rule), bodies in REFUSED.items()
        for body in bodies
    ],
)
def test_refused(body: bytes, status: int, rule: str) -> None:
    """For the same reason and after the same content in each delivery; nothing behind it is read."""
    whole = deliver(chunked(body), "whole")
    for delivery in DELIVERIES:
        events = deliver(chunked(body), delivery, rule)
        found = refusal(events)
        assert found is not None, (delivery, events)
        assert (found.status, found.rule) == (status, rule), (delivery, found)
        assert events == whole, delivery
        assert not any(isinstance(event, End) for event in events)


@pytest.mark.parametrize(
    "body",
    [
        b"x",
        b"\x00",
        b"5x",
        b"5\n",
        b"5;a\x00",
        b"5\rx",
        b"1\r\nxx",
        b"1\r\nx\rx",
        b"0\r\n\n",
        b"0\r\n\rx",
        b"0\r\nA\x00",
        b"0\r\n \r\n",
    ],
)
def test_refused_at_once(body: bytes) -> None:
    reader = RequestReader()
    assert not any(isinstance(event, Refused) for event in reader.feed(chunked(body[:-1])))
    assert isinstance(reader.feed(body[-1:])[-1], Refused)


def test_every_cut_of_a_body_is_seen() -> None:
    """RFC 9112 §8: a body that ends early is an error, wherever it ends."""
    for data in (sized(b"hello"), chunked(b'2;a="b"\r\nhe\r\n3\r\nllo\r\n0\r\nA: b\r\n\r\n')):
        body = data.index(b"\r\n\r\n") + 4
        for at in range(body, len(data)):
            reader = RequestReader()
            events = reader.feed(data[:at])
            assert not any(isinstance(event, End) for event in events)
            (found,) = reader.finish()
            assert isinstance(found, Refused)
            assert (found.status, found.rule) == (400, "RFC 9112 §8")
        reader = RequestReader()
        assert isinstance(reader.feed(data)[-1], End)
        assert reader.finish() == []
        assert reader.feed(NEXT) == []


def test_an_unfinished_head_is_no_cut_body() -> None:
    reader = RequestReader()
    reader.feed(b"GET /")
    assert reader.finish() == []


# ---- limits -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_limit_of_the_body(delivery: str) -> None:
    limits = Limits(body=10)
    for size in (9, 10):
        for data in (
            sized(b"x" * size),
            chunked(b"1\r\nx\r\n%x\r\n%b\r\n" % (size - 1, b"x" * (size - 1)) + LAST),
        ):
            events = read(pieces(data, delivery), limits)
            assert events[1:3] == [Data(b"x" * size), End(())]
    for data, content in (
        (sized(b"x" * 11), []),
        (chunked(b"b\r\n" + b"x" * 11 + b"\r\n" + LAST), []),
        (chunked(b"a\r\n" + b"x" * 10 + b"\r\n1\r\nx\r\n" + LAST), [Data(b"x" * 10)]),
        (chunked(b"1\r\nx\r\n7fffffffffffffff\r\n"), [Data(b"x")]),
    ):
        events = read(pieces(data, delivery), limits)
        found = refusal(events)
        assert found is not None
        assert (found.status, found.rule) == (413, "limit_request_body")
        assert [event for event in events if isinstance(event, Data)] == content


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_limit_of_extensions(delivery: str) -> None:
    """Counted over all chunks, so that many small ones cannot carry what one may not."""
    each = b"1;" + b"a" * 62 + b"\r\nx\r\n"  # 63 bytes behind the ';', CR among them
    fit = LONGEST_EXTENSION // 63
    assert refusal(read(pieces(chunked(each * fit + LAST), delivery, "fit"))) is None
    found = refusal(read(pieces(chunked(each * (fit + 1) + LAST), delivery, "more")))
    assert found is not None
    assert (found.status, found.rule) == (400, "RFC 9112 §7.1.1")


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_limits_of_trailers(delivery: str) -> None:
    """Those of the head."""
    limits = Limits(field_size=40, fields=5, head=150)

    def trailed(lines: bytes) -> bytes:
        return chunked(b"0\r\n" + lines + b"\r\n")

    for lines in (b"A:" + b"b" * 38 + b"\r\n", b"A: b\r\n" * 5, (b"A:" + b"b" * 33 + b"\r\n") * 4):
        assert refusal(read(pieces(trailed(lines), delivery, "in"), limits)) is None
    for lines, rule in (
        (b"A:" + b"b" * 39 + b"\r\n", "limit_request_field_size"),
        (b"A: b\r\n" * 6, "limit_request_fields"),
        ((b"A:" + b"b" * 36 + b"\r\n") * 4, "limit_request_head"),
    ):
        found = refusal(read(pieces(trailed(lines), delivery, "out"), limits))
        assert found is not None
        assert (found.status, found.rule) == (431, rule)


# ---- any bodies, any cuts -----------------------------------------------------------------------------


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=200), st.randoms(use_true_random=False), st.lists(st.integers(0, 500), max_size=10))
def test_content_survives(content: bytes, chance: random.Random, places: list[int]) -> None:
    """However it is framed and however it is cut, and what follows is the next request."""
    data = chunked(Writer(chance, 0.0).chunks(content)) + sized(content) + NEXT
    events = read(cut(data, places))
    contents = [event.content for event in events if isinstance(event, Data)]
    assert contents == ([content] * 2 if content else [])
    assert refusal(events) is None
    assert sum(isinstance(event, End) for event in events) == 3


def test_large_bodies() -> None:
    content = random.Random(1).randbytes(3_000_000)
    data = sized(content) + chunked(
        b"".join(b"%x\r\n%b\r\n" % (n, content[:n]) for n in (1, 65536, 1_000_000)) + LAST
    )
    pieces = [data[at : at + 65536] for at in range(0, len(data), 65536)]
    events = read(pieces)
    assert events[1] == Data(content)
    assert events[4] == Data(content[:1] + content[:65536] + content[:1_000_000])
