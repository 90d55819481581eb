"""Packets of the uwsgi protocol become request heads: as data, in every delivery, without sockets.

What a variable may be: RFC 3875 §4.1, and https://uwsgi-docs.readthedocs.io/en/latest/Protocol.html
"""

from __future__ import annotations

from typing import Any

import pytest
from fuzz.reading import joined, pieces
from harness.packets import packet, said, text
from hypothesis import given, settings
from hypothesis import strategies as st

from tricorn.http.reader import Data, End, Event, Head, Refused, RequestReader
from tricorn.http.request import Limits

DELIVERIES = ("whole", "bytes", "cuts")


def read(data: bytes, delivery: str = "whole", limits: Limits | None = None) -> list[Event]:
    reader = RequestReader(limits, packets=True)
    events = [event for piece in pieces(data, delivery, "packet") for event in reader.feed(piece)]
    return joined([*events, *reader.finish()])


def head_of(data: bytes, delivery: str = "whole") -> Head:
    head = read(data, delivery)[0]
    assert isinstance(head, Head), head
    return head


HOST = (b"host", b"a.example")

#: Name → the packet, and what the Head event has to say.
ACCEPTED: dict[str, tuple[bytes, dict[str, Any]]] = {
    "what nginx says": (
        packet(said(b"/a?b=c")),
        {
            "method": b"GET",
            "target": b"/a?b=c",
            "path": b"/a",
            "query": b"b=c",
            "fields": (HOST,),
            "spoken": 11,
            "version": 10,
            "keep_alive": False,
            "address": b"192.0.2.7",
            "port": 4711,
            "script": b"",
            "is_secure": False,
            "framing": "none",
        },
    ),
    # fields
    "a field gets its name back": (
        packet(said(b"/", (b"x-request-id", b"7"))),
        {"fields": (HOST, (b"x-request-id", b"7"))},
    ),
    "a field is trimmed": (packet(said(b"/", (b"a", b" \t b c\t "))), {"fields": (HOST, (b"a", b"b c"))}),
    "an empty field": (packet(said(b"/", (b"a", b""))), {"fields": (HOST, (b"a", b""))}),
    "one name twice": (
        packet([*said(), (b"HTTP_A", b"1"), (b"HTTP_A", b"2")]),
        {"fields": (HOST, (b"a", b"1"), (b"a", b"2"))},
    ),
    "the gateway has read the body, whatever its framing was": (
        packet(
            said(b"/", (b"transfer-encoding", b"chunked"), (b"content-length", b"7"), body=b"xyz"), b"xyz"
        ),
        {"fields": ((b"content-length", b"3"), HOST), "framing": "length", "content_length": 3},
    ),
    "100 Continue is the gateway's": (
        packet(said(b"/", (b"expect", b"100-continue"))),
        {"expect_continue": False},
    ),
    "no host, of a client that speaks HTTP/1.0": (
        packet(said(b"/", (b"host", b""), protocol=b"HTTP/1.0")),
        {"fields": (), "spoken": 10},
    ),
    "the type of a body": (
        packet(said(b"/", CONTENT_TYPE=b"text/plain")),
        {"fields": ((b"content-type", b"text/plain"), HOST)},
    ),
    "a length of 0": (packet(said(b"/", CONTENT_LENGTH=b"0")), {"framing": "none"}),
    # methods, versions
    "another method": (packet(said(method=b"BREW")), {"method": b"BREW"}),
    "HTTP/2": (packet(said(protocol=b"HTTP/2.0")), {"spoken": 20, "version": 10}),
    "HTTP/3": (packet(said(protocol=b"HTTP/3.0")), {"spoken": 30, "version": 10}),
    "a version that nobody knows": (packet(said(protocol=b"SPDY/3")), {"spoken": 11}),
    "no version": (packet(said(SERVER_PROTOCOL=None)), {"spoken": 11}),
    # modifier2 says which plugin's thing it is, for other modifiers than 0
    "modifier2 does not matter": (packet(said(), modifier2=7), {"method": b"GET"}),
    # paths
    "an escaped path stays as the client wrote it": (
        packet(said(b"/%7Ea%2Fb")),
        {"target": b"/%7Ea%2Fb", "path": b"/%7Ea%2Fb"},
    ),
    "a path that the gateway has changed": (
        packet(said(b"/old?x", PATH_INFO=b"/new")),
        {"target": b"/old?x", "path": b"/new", "query": b"x"},
    ),
    "of the same length": (packet(said(b"/a", PATH_INFO=b"/b")), {"target": b"/a", "path": b"/b"}),
    "slashes that the gateway has joined": (packet(said(b"//a//b")), {"target": b"//a//b", "path": b"/a/b"}),
    "what a path cannot hold is escaped": (
        packet(said(b"/", PATH_INFO=b"/ \xc3\xa9%?#\x00z")),
        {"path": b"/%20%C3%A9%25%3F%23%00z"},
    ),
    "no PATH_INFO": (packet(said(b"/a%20b", PATH_INFO=None)), {"path": b"/a%20b"}),
    "an empty PATH_INFO": (packet(said(b"/", PATH_INFO=b"")), {"path": b""}),
    "no REQUEST_URI": (
        packet(said(b"/a b?c=d", REQUEST_URI=None)),
        {"target": b"/a%20b?c=d", "path": b"/a%20b", "query": b"c=d"},
    ),
    "neither, but a mount": (
        packet(said(b"/", REQUEST_URI=None, PATH_INFO=b"", SCRIPT_NAME=b"/app")),
        {"target": b"/app", "path": b"/app", "script": b"/app"},
    ),
    "a query that the gateway has changed": (
        packet(said(b"/a?b", QUERY_STRING=b"c??d")),
        {"target": b"/a?b", "query": b"c??d"},
    ),
    "a query that the gateway has taken away": (packet(said(b"/a?b", QUERY_STRING=b"")), {"query": None}),
    "no QUERY_STRING": (packet(said(b"/a?b", QUERY_STRING=None)), {"query": b"b"}),
    "a target without a path": (
        packet(said(b"?b", PATH_INFO=b"/")),
        {"target": b"/?b", "path": b"/", "query": b"b"},
    ),
    "the server as a whole": (packet(said(b"*", method=b"OPTIONS")), {"target": b"*", "path": b"*"}),
    "the same, below a mount": (
        packet(said(b"*", method=b"OPTIONS", SCRIPT_NAME=b"/app")),
        {"target": b"*", "path": b"*", "script": b""},
    ),
    # mounts
    "a mount that is cut off already": (
        packet(said(b"/app/x", PATH_INFO=b"/x", SCRIPT_NAME=b"/app")),
        {"script": b"/app", "path": b"/app/x"},
    ),
    "a mount that is not": (
        packet(said(b"/app/x", SCRIPT_NAME=b"/app")),
        {"script": b"/app", "path": b"/app/x"},
    ),
    "a mount that looks so twice": (
        packet(said(b"/app/app/x", PATH_INFO=b"/app/x", SCRIPT_NAME=b"/app")),
        {"script": b"/app", "path": b"/app/app/x"},
    ),
    "a mount that the client does not see": (
        packet(said(b"/x", SCRIPT_NAME=b"/app")),
        {"script": b"/app", "path": b"/app/x"},
    ),
    "the same, without PATH_INFO": (
        packet(said(b"/x", PATH_INFO=None, SCRIPT_NAME=b"/app")),
        {"script": b"/app", "path": b"/app/x"},
    ),
    "a mount without PATH_INFO": (
        packet(said(b"/app/x", PATH_INFO=None, SCRIPT_NAME=b"/app")),
        {"script": b"/app", "path": b"/app/x"},
    ),
    "the mount alone": (
        packet(said(b"/app", PATH_INFO=b"", SCRIPT_NAME=b"/app")),
        {"script": b"/app", "path": b"/app"},
    ),
    "a name that only begins so": (
        packet(said(b"/apple", SCRIPT_NAME=b"/app")),
        {"script": b"/app", "path": b"/app/apple"},
    ),
    "a mount that ends in a slash": (
        packet(said(b"/app/x", PATH_INFO=b"/x", SCRIPT_NAME=b"/app/")),
        {"script": b"/app", "path": b"/app/x"},
    ),
    "a slash is no mount": (packet(said(b"/x", SCRIPT_NAME=b"/")), {"script": b"", "path": b"/x"}),
    # the client
    "a client on a Unix socket": (packet(said(REMOTE_ADDR=b"unix:")), {"address": b"unix:"}),
    "no client": (packet(said(REMOTE_ADDR=None, REMOTE_PORT=None)), {"address": b"", "port": -1}),
    "a port that is none": (packet(said(REMOTE_PORT=b"65536")), {"port": -1}),
    "the highest port": (packet(said(REMOTE_PORT=b"65535")), {"port": 65535}),
    "the last of two counts": (
        packet([*said(), (b"REMOTE_ADDR", b"192.0.2.8")]),
        {"address": b"192.0.2.8"},
    ),
    # … as a line behind `include uwsgi_params` wants it
    "the last of two hosts": (
        packet([*said(b"/", (b"a", b"b")), (b"HTTP_HOST", b"b.example")]),
        {"fields": ((b"host", b"b.example"), (b"a", b"b"))},
    ),
    "the last of two lengths": (
        packet([*said(method=b"POST", body=b"abc"), (b"CONTENT_LENGTH", b"1")], b"a"),
        {"fields": ((b"content-length", b"1"), HOST), "content_length": 1},
    ),
    "a length that is taken away": (
        packet([*said(method=b"POST", body=b"abc"), (b"CONTENT_LENGTH", b"")]),
        {"fields": (HOST,), "framing": "none"},
    ),
    "a length that was none": (
        packet([(b"CONTENT_LENGTH", b"x"), *said(method=b"POST", body=b"abc")], b"abc"),
        {"fields": ((b"content-length", b"3"), HOST)},
    ),
    "the last of two types": (
        packet([*said(CONTENT_TYPE=b"a/b"), (b"CONTENT_TYPE", b"c/d")]),
        {"fields": ((b"content-type", b"c/d"), HOST)},
    ),
    # its scheme
    "https by its switch": (packet(said(HTTPS=b"on")), {"is_secure": True}),
    "https by the scheme": (packet(said(REQUEST_SCHEME=b"https")), {"is_secure": True}),
    "https by word of uWSGI's users": (packet(said(UWSGI_SCHEME=b"https")), {"is_secure": True}),
    "https by Gunicorn's name": (
        packet([*said(), (b"wsgi.url_scheme", b"https")]),
        {"is_secure": True},
    ),
    "http by it, whatever the rest says": (
        packet(said(UWSGI_SCHEME=b"http", HTTPS=b"on")),
        {"is_secure": False},
    ),
    "a switch that is off": (packet(said(HTTPS=b"off")), {"is_secure": False}),
    # what is for others to read
    "variables": (
        packet(
            [
                (b"REQUEST_METHOD", b"GET"),
                (b"REQUEST_URI", b"/"),
                (b"X", b""),
                (b"CERT", b"a\nb"),
                (b"X", b"y"),
            ]
        ),
        {
            "variables": (
                (b"REQUEST_METHOD", b"GET"),
                (b"REQUEST_URI", b"/"),
                (b"X", b""),
                (b"CERT", b"a\nb"),
                (b"X", b"y"),
            ),
            "fields": (),
        },
    ),
    "a packet of the most bytes": (
        packet([*said(), (b"X", b"x" * (65535 - 5 - len(packet(said())) + 4))]),
        {"method": b"GET"},
    ),
    "a thousand variables": (
        packet([*said(), *[(b"X%d" % k, b"") for k in range(1000 - len(said()))]]),
        {"method": b"GET"},
    ),
}


@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(name: str, delivery: str) -> None:
    data, expected = ACCEPTED[name]
    events = read(data, delivery)
    assert [type(event) for event in events if not isinstance(event, Data)] == [Head, End], events
    head = events[0]
    for attribute, value in expected.items():
        assert getattr(head, attribute) == value, attribute


VARIABLE = text(b"X") + text(b"y")
NOT_REQUESTS = "RFC 3875"

#: Name → the bytes, the status, and how the reason begins. `uwsgi` as the rule: nobody is answered.
REFUSED: dict[str, tuple[bytes, int, str, str]] = {
    # what is no packet
    "HTTP": (b"GET / HTTP/1.1\r\n\r\n", 400, "uwsgi", "the client speaks HTTP"),
    "TLS": (b"\x16\x03\x01\x02", 400, "uwsgi", "the client speaks TLS"),
    "a PROXY header": (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", 400, "uwsgi", "the client speaks HTTP"),
    "another modifier": (packet(said(), modifier1=5), 400, "uwsgi", "modifier1 of the packet is not 0"),
    "a ping of uWSGI's": (packet([], modifier1=100), 400, "uwsgi", "modifier1 of the packet is not 0"),
    "the last modifier": (packet(said(), modifier1=255), 400, "uwsgi", "modifier1 of the packet is not 0"),
    "a name beyond the end": (b"\0\5\0\0" + b"\4\0abc", 400, "uwsgi", "a variable is longer than the packet"),
    "a value beyond the end": (
        b"\0\7\0\0" + b"\1\0X\5\0ab",
        400,
        "uwsgi",
        "a variable is longer than the packet",
    ),
    "no value": (b"\0\3\0\0" + b"\1\0X", 400, "uwsgi", "a variable is longer than the packet"),
    "half a length": (b"\0\1\0\0\1", 400, "uwsgi", "a variable is longer than the packet"),
    "a byte behind the last": (
        packet(said(), size=len(packet(said())) - 4 + 1) + b"\1",
        400,
        "uwsgi",
        "a variable",
    ),
    "the longest length": (b"\0\4\0\0\xff\xffab", 400, "uwsgi", "a variable is longer than the packet"),
    "a variable without a name": (
        packet([*said(), (b"", b"x")]),
        400,
        "uwsgi",
        "the name of a variable is empty",
    ),
    "a line end in a name": (packet([*said(), (b"A\nB", b"x")]), 400, "uwsgi", "the name of a variable"),
    "a blank in a name": (packet([*said(), (b"A B", b"x")]), 400, "uwsgi", "the name of a variable"),
    "NUL in a name": (packet([*said(), (b"A\0", b"x")]), 400, "uwsgi", "the name of a variable"),
    "a name that is not ASCII": (
        packet([*said(), (b"\xc3\xa9", b"x")]),
        400,
        "uwsgi",
        "the name of a variable",
    ),
    "too many variables": (
        packet([*said(), *[(b"X%d" % k, b"") for k in range(1001 - len(said()))]]),
        400,
        "uwsgi",
        "the packet has more than 1000 variables",
    ),
    "a packet that is cut": (packet(said())[:-1], 400, "uwsgi", "the connection ended before the packet did"),
    "half a header": (b"\0\1", 400, "uwsgi", "the connection ended before the packet did"),
    # what is no request
    "an empty packet": (packet([]), 400, NOT_REQUESTS, "the packet has no REQUEST_METHOD"),
    "no method": (packet(said(REQUEST_METHOD=None)), 400, NOT_REQUESTS, "the packet has no REQUEST_METHOD"),
    "an empty method": (packet(said(method=b"")), 400, NOT_REQUESTS, "the packet has no REQUEST_METHOD"),
    "a method that is no token": (packet(said(method=b"GE T")), 400, "RFC 9112", "the method"),
    "a long method": (packet(said(method=b"M" * 33)), 400, "RFC 9112", "the method"),
    "no target": (
        packet(said(REQUEST_URI=None, PATH_INFO=None)),
        400,
        NOT_REQUESTS,
        "the packet has neither REQUEST_URI nor PATH_INFO",
    ),
    "a target with a blank": (packet(said(b"/a b", PATH_INFO=b"/")), 400, "RFC 9112", "the request target"),
    "a target with a line end": (
        packet(said(b"/\r\n", PATH_INFO=b"/")),
        400,
        "RFC 9112",
        "the request target",
    ),
    "a target without a slash": (packet(said(b"a")), 400, "RFC 9112", "the request target"),
    "a tunnel": (packet(said(b"a:1", method=b"CONNECT")), 400, "RFC 9112", "the request target"),
    "the server as a whole, for GET": (packet(said(b"*")), 400, "RFC 9112", "the request target"),
    "a query with a line end": (packet(said(QUERY_STRING=b"a\nb")), 400, "RFC 9112", "the request target"),
    "a query that is not ASCII": (packet(said(QUERY_STRING=b"\xe9")), 400, "RFC 9112", "the request target"),
    "a path without a slash": (packet(said(PATH_INFO=b"x")), 400, NOT_REQUESTS, "PATH_INFO does not begin"),
    "a star for a path": (packet(said(PATH_INFO=b"*")), 400, NOT_REQUESTS, "PATH_INFO does not begin"),
    "a path for a star": (
        packet(said(b"*", method=b"OPTIONS", PATH_INFO=b"/x")),
        400,
        NOT_REQUESTS,
        "PATH_INFO does not begin",
    ),
    "a mount without a slash": (packet(said(SCRIPT_NAME=b"app")), 400, NOT_REQUESTS, "SCRIPT_NAME does not"),
    "an address of several lines": (
        packet(said(REMOTE_ADDR=b"1\n2")),
        400,
        NOT_REQUESTS,
        "REMOTE_ADDR is no",
    ),
    "a long address": (packet(said(REMOTE_ADDR=b"1" * 65)), 400, NOT_REQUESTS, "REMOTE_ADDR is no"),
    **{
        f"the length {length!r}": (
            packet(said(CONTENT_LENGTH=length)),
            400,
            "RFC 9112 §6.3",
            "Content-Length",
        )
        for length in (b"-1", b"+1", b"1 1", b"0x1", b"1" * 19, b"1,1")
    },
    "two hosts, in different case": (
        packet([*said(), (b"HTTP_Host", b"b.example")]),
        400,
        "RFC 9112 §3.2",
        "Host",
    ),
    "a host that is none": (packet(said(b"/", (b"host", b"a b"))), 400, "RFC 9112 §3.2", "Host"),
    "a line end in a field": (
        packet(said(b"/", (b"a", b"b\r\nC: d"))),
        400,
        "RFC 9110 §5.5",
        "a field value",
    ),
    "NUL in a field": (packet(said(b"/", (b"a", b"b\0"))), 400, "RFC 9110 §5.5", "a field value"),
    "a field name that is no token": (
        packet([*said(), (b"HTTP_A(B", b"x")]),
        400,
        "RFC 9112 §5.1",
        "a field name",
    ),
    "another expectation": (packet(said(b"/", (b"expect", b"more"))), 417, "RFC 9110", "100-continue"),
    # limits
    "a long target": (packet(said(b"/" + b"a" * 8190)), 414, "limit_request_line", "the request line"),
    "a long field": (
        packet(said(b"/", (b"a", b"b" * 8190))),
        431,
        "limit_request_field_size",
        "a field line",
    ),
    "many fields": (
        packet(said(b"/", *[(b"f%d" % k, b"") for k in range(100)])),
        431,
        "limit_request_fields",
        "there are too many",
    ),
}


@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, delivery: str) -> None:
    data, status, rule, reason = REFUSED[name]
    (event,) = read(data, delivery)
    assert isinstance(event, Refused), event
    assert (event.status, event.rule[: len(rule)]) == (status, rule), event
    assert event.reason.startswith(reason), event


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_the_limit_of_a_head_holds_for_a_packet(delivery: str) -> None:
    """It is told by the size, before the packet is there. The boundary itself is allowed."""
    data = packet(said())
    assert isinstance(read(data, delivery, Limits(head=len(data) - 4))[0], Head)
    (event,) = read(data[:4], delivery, Limits(head=len(data) - 5))
    assert isinstance(event, Refused)
    assert (event.status, event.rule) == (431, "limit_request_head")


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_the_body_is_as_long_as_its_length_says(delivery: str) -> None:
    body = bytes(range(256)) * 300
    events = read(packet(said(b"/", method=b"POST", body=body), body) + b"more", delivery)
    assert events[1:] == [Data(body), End(())]


def test_a_body_that_is_too_long() -> None:
    (event,) = read(packet(said(method=b"POST", body=b"x" * 11), b""), limits=Limits(body=10))
    assert isinstance(event, Refused)
    assert event.status == 413


def test_a_body_that_is_cut() -> None:
    *_, event = read(packet(said(method=b"POST", body=b"hello"), b"hel"))
    assert isinstance(event, Refused)
    assert event.reason == "the connection ended before the request body did"


def test_nothing_is_read_behind_a_request() -> None:
    """A connection carries one packet."""
    reader = RequestReader(packets=True)
    reader.feed(packet(said()) + packet(said(b"/smuggled")))
    assert reader.is_closed


NAMES = st.binary(max_size=12) | st.sampled_from([name for name, _ in said()] + [b"SCRIPT_NAME", b"HTTPS"])
VALUES = st.binary(max_size=40) | st.sampled_from([b"", b"/", b"/a/../b", b"%2F", b"GET", b"7", b"on"])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(NAMES, VALUES), max_size=12), st.binary(max_size=8), st.integers(0, 400))
def test_whatever_comes_is_the_same_however_it_is_cut(
    more: list[tuple[bytes, bytes]], rest: bytes, at: int
) -> None:
    data = packet([*said(b"/a%20b?c"), *more]) + rest
    data = data if at >= len(data) else data[:at]
    whole = read(data)
    assert read(data, "bytes") == whole
    assert read(data, "cuts") == whole
    if whole and isinstance(head := whole[0], Head):
        assert b"\r" not in head.target
        assert b"\n" not in head.target
        assert not any(c in value for _, value in head.fields for c in b"\r\n\0")
        assert not head.script or head.path.startswith(b"/")
