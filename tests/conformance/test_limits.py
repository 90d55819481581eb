"""Limits on a head and on a body, each at its exact boundary: RFC 9112 §3, RFC 6585 §5, RFC 9110 §15.5.14.

What is counted:
    limit_request_line        the bytes of the request line without its CRLF
    limit_request_field_size  the bytes of one field line without its CRLF
    limit_request_head        all bytes from the request line to the end of the empty line
    limit_request_fields      field lines, dropped ones too
    limit_request_body        bytes of content, without the chunked coding
"""

from __future__ import annotations

import pytest
from harness.axes import ONE_OF_EACH
from harness.cases import SMUGGLED, Case, accepted, chunked, head, post, refused, run, wire_cases
from harness.server import Server, Servers

# Small limits, so that every byte at the boundary can be sent on its own.
SMALL = (
    "--limit-request-line=60",
    "--limit-request-field-size=50",
    "--limit-request-fields=5",
    "--limit-request-body=20",
)
OFF = (
    "--limit-request-line=0",
    "--limit-request-field-size=0",
    "--limit-request-fields=0",
    "--limit-request-body=0",
)


def line_of(size: int) -> bytes:
    """A request head whose request line has `size` bytes."""
    return head(start=b"GET /" + b"a" * (size - len("GET / HTTP/1.1")) + b" HTTP/1.1")


def field_of(size: int, name: bytes = b"X") -> bytes:
    """A field line of `size` bytes."""
    return name + b": " + b"v" * (size - len(name) - 2)


def fields_of(count: int) -> bytes:
    """A request head with `count` fields, Host among them."""
    return head(*[b"X%d: v" % number for number in range(count - 1)])


def head_of(size: int, field_size: int) -> bytes:
    """A request head of `size` bytes, in fields of at most `field_size`."""
    lines: list[bytes] = []
    left = size - len(head())
    while left > field_size + 2 + 10:
        lines.append(field_of(field_size))
        left -= field_size + 2
    if left > field_size + 2:
        lines.append(field_of(10))
        left -= 12
    lines.append(field_of(left - 2))
    raw = head(*lines)
    assert len(raw) == size
    return raw


SMALL_CASES = [
    accepted("line at the limit", line_of(60), http1=True),
    refused("line over the limit", line_of(61), 414, http1=True),
    refused("line without an end", b"GET /" + b"a" * 100, 414),
    refused("line of the method only", b"G" * 31 + b" " + b"/" * 100, 414),
    accepted("line at the limit behind an empty line", b"\r\n" + line_of(60), http1=True),
    accepted("field at the limit", head(field_of(50))),
    refused("field over the limit", head(field_of(51)), 431),
    refused("field without an end", head()[:-2] + field_of(80), 431),
    refused("field name without an end", head()[:-2] + b"X" * 80, 431),
    refused("field with white space over the limit", head(b"X:" + b" " * 60 + b"v"), 431, http1=True),
    accepted("fields at the limit", fields_of(5)),
    refused("fields over the limit", fields_of(6), 431),
    refused("dropped fields count", head(*[b"X_%d: v" % number for number in range(5)]), 431),
    accepted("body at the limit", post(b"b" * 20, b"Content-Length: 20"), body="b" * 20),
    refused("body over the limit", post(b"b" * 21, b"Content-Length: 21"), 413),
    # Before a byte of it is read.
    refused("body over the limit, not sent", post(b"", b"Content-Length: 21"), 413),
    refused("body far over the limit, not sent", post(b"", b"Content-Length: 999999999999999999"), 413),
    refused(
        "body over the limit, to be continued", post(b"", b"Content-Length: 21", b"Expect: 100-continue"), 413
    ),
    accepted(
        "chunks at the limit",
        chunked(b"a\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n"),
        body="0123456789" * 2,
    ),
    refused(
        "chunks over the limit",
        chunked(b"a\r\n0123456789\r\nb\r\n0123456789a\r\n0\r\n\r\n"),
        413,
        in_body=True,
    ),
    refused("chunk size over the limit, not sent", chunked(b"15\r\n"), 413, in_body=True),
    refused("chunk sizes that add up, not sent", chunked(b"a\r\n0123456789\r\nb\r\n"), 413, in_body=True),
    refused("chunk size of 16 digits, not sent", chunked(b"7fffffffffffffff\r\n"), 413, in_body=True),
]

SMALL_HEAD = ("--limit-request-head=1024", "--limit-request-line=900", "--limit-request-field-size=900")
SMALL_HEAD_CASES = [
    accepted("head at the limit", head_of(1024, 100), http1=True),
    refused("head over the limit", head_of(1025, 100), 431, http1=True),
    refused("head over the limit, not finished", head_of(1025, 100)[:-2] + b"X" * 10, 431),
    refused(
        "a field that does not end, over the limit of the head", head_of(900, 100)[:-2] + b"X" * 200, 431
    ),
]

DEFAULT_CASES = [
    accepted("line of 8190", line_of(8190), http1=True),
    refused("line of 8191", line_of(8191), 414, http1=True),
    accepted("field of 8190", head(field_of(8190))),
    refused("field of 8191", head(field_of(8191)), 431),
    accepted("100 fields", fields_of(100)),
    refused("101 fields", fields_of(101), 431),
    accepted("head of 64 KiB", head_of(65536, 8000), http1=True),
    refused("head of 64 KiB and a byte", head_of(65537, 8000), 431, http1=True),
    refused("field name of 8191", head(b"X" * 8191), 431),
    accepted("no limit for a body", post(b"b" * 3000000, b"Content-Length: 3000000")),
]


@wire_cases(SMALL_CASES)
def test_small_limits(case: Case, servers: Servers, kind: str, delivery: str) -> None:
    run(case, servers.get(*SMALL, kind=kind), delivery)


@wire_cases(SMALL_HEAD_CASES)
def test_small_head(case: Case, servers: Servers, kind: str, delivery: str) -> None:
    run(case, servers.get(*SMALL_HEAD, kind=kind), delivery)


@wire_cases([case for case in DEFAULT_CASES if "body" not in case.name])
def test_default_limits(case: Case, servers: Servers, kind: str, delivery: str) -> None:
    run(case, servers.get(kind=kind), delivery)


def test_a_body_has_no_limit_by_default(servers: Servers, kind: str) -> None:
    run(DEFAULT_CASES[-1], servers.get(kind=kind), "trailing")


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_zero_switches_a_limit_off(servers: Servers, kind: str) -> None:
    """The limit of the whole head stays: memory depends on it."""
    server = servers.get(*OFF, kind=kind)
    for case in (
        accepted("line", line_of(20000), http1=True),
        accepted("field", head(field_of(20000))),
        accepted("fields", fields_of(300)),
        accepted("head", head_of(65536, 30000), http1=True),
        accepted("body", post(b"b" * 100, b"Content-Length: 100"), body="b" * 100),
        refused("long line", line_of(65537), 414),
        refused("long head", head_of(65537, 30000), 431),
    ):
        run(case, server, "trailing")


@pytest.mark.parametrize(
    ("start", "filler", "status"),
    [
        (b"GET /", b"a", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: ", b"v", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n", b"X: y\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n", b"X_: y\r\n", 431),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;", b"a", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;", b";a=b", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"0", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ", b"v", None),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n", None),
    ],
)
def test_what_never_ends_is_bounded(server: Server, start: bytes, filler: bytes, status: int | None) -> None:
    """The answer comes although the sender never finishes; trailers that are too large are 400 or 431."""
    server.seen()
    with server.connect() as client:
        client.send(start)
        sent = 0
        while sent < 4 << 20 and client.send(filler * (4096 // len(filler))):
            sent += 4096
            if not client.is_quiet(0.0005):
                break
        assert sent < 1 << 20, "a megabyte was taken without a word"
        received = client.response().status
        assert received == status or (status is None and received in {400, 431}), received
        client.wait_closed()
    assert server.seen_whole() == []


def test_a_chunk_size_beyond_all_numbers_is_refused(server: Server) -> None:
    """RFC 9112 §7.1: recipients MUST anticipate large hexadecimal numbers and prevent overflows."""
    for size in (b"8000000000000000", b"ffffffffffffffff", b"fffffffffffffffe"):
        server.seen()
        with server.connect() as client:
            client.send(chunked(size + b"\r\nhello\r\n0\r\n\r\n") + SMUGGLED)
            client.finish()
            response = client.maybe_response()
            assert response is None or response.status in {400, 413}
            client.wait_closed()
        assert server.seen_whole() == []


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_the_limit_holds_for_each_request_of_a_connection(servers: Servers, kind: str) -> None:
    """What one request used up is not taken from the next."""
    server = servers.get(*SMALL, kind=kind)
    message = post(b"b" * 20, b"Content-Length: 20")
    server.seen()
    with server.connect() as client:
        client.send(message * 4 + line_of(60) + fields_of(5) + line_of(61) + SMUGGLED)
        assert [client.response().status for _ in range(7)] == [200] * 6 + [414]
        client.wait_closed()
    assert len(server.seen()) == 6


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_who_sends_a_refused_body_all_the_same_hears_why(servers: Servers, kind: str) -> None:
    """RFC 9112 §9.6: a connection that is closed while its client still sends may lose what was said last."""
    server = servers.get(*SMALL, kind=kind)
    with server.connect() as client:
        assert client.send(post(b"b" * 20_000_000, b"Content-Length: 20000000"))
        assert client.response().status == 413
