"""RFC 9110 §6.4, §8.6, §15; RFC 9112 §4, §6: what the engine writes for what an application says."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tricorn.http.errors import ResponseError
from tricorn.http.writer import ResponseHead, chunk_size, error_response, interim_response, response_head

Headers = list[tuple[str, str]]

DATE = ("date", "Thu, 01 Jan 1970 00:00:00 GMT")
SERVER = ("server", "tricorn")
CONTROLS = [*map(chr, range(9)), *map(chr, range(10, 32)), "\x7f"]


def parsed(head: bytes, method: str = "GET") -> h11.Response | h11.InformationalResponse:
    """What h11 reads, as the client that asked."""
    client = h11.Connection(h11.CLIENT)
    target = "a:443" if method == "CONNECT" else "/"
    client.send(h11.Request(method=method, target=target, headers=[("Host", "a")]))
    client.receive_data(head)
    event = client.next_event()
    assert isinstance(event, h11.Response | h11.InformationalResponse), (head, event)
    return event


def fields(head: bytes, method: str = "GET") -> Headers:
    return [(name.decode(), value.decode("latin-1")) for name, value in parsed(head, method).headers]


# ---- the status line ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "line"),
    [
        ("200 OK", b"HTTP/1.1 200 OK\r\n"),
        ("200", b"HTTP/1.1 200 \r\n"),
        ("200 ", b"HTTP/1.1 200 \r\n"),
        ("404 Not Found, at all", b"HTTP/1.1 404 Not Found, at all\r\n"),
        ("599 \xe9", b"HTTP/1.1 599 \xe9\r\n"),
        ("200 a\tb", b"HTTP/1.1 200 a\tb\r\n"),
    ],
)
def test_status_line(status: str, line: bytes) -> None:
    assert response_head(status, []).data.startswith(line)


LENGTHS = (45, 49, 50, 51, 100)  # around the longest status line that is kept
STATUSES = ["200 OK", "201 OK", "200 Ok", "200 OK ", "200", "200 ", "404 " + "y" * 49]
STATUSES += ["404 " + "x" * length for length in LENGTHS]


@pytest.mark.parametrize("first", STATUSES)
@pytest.mark.parametrize("second", STATUSES)
def test_status_line_behind_another(first: str, second: str) -> None:
    """What the response before said makes no difference."""
    for status in (first, second, first):
        head = response_head(status, [])
        assert head.data.startswith(f"HTTP/1.1 {status}{' ' * (len(status) == 3)}\r\n".encode())
        assert head.status == int(status[:3])


@pytest.mark.parametrize("octets", [False, True])
@pytest.mark.parametrize("size", [*range(41), 47, 48, 49, 63, 64, 65, 100])
def test_every_byte_of_a_field_is_looked_at_and_written(size: int, octets: bool) -> None:
    def lines(name: str, value: str) -> list[bytes]:
        if octets:
            raw = (name.encode("latin-1"), value.encode("latin-1"))
            return response_head("200 OK", [raw], octets=True).data.split(b"\r\n")
        return response_head("200 OK", [(name, value)]).data.split(b"\r\n")

    text = "".join(chr(0x21 + (7 * i) % 0x5D) for i in range(size))
    assert lines("X-Name", text)[1] == f"X-Name: {text}".encode()
    for at in range(size):
        for good in "\t \x80\xff":
            value = text[:at] + good + text[at + 1 :]
            assert lines("X-Name", value)[1] == f"X-Name: {value}".encode("latin-1")
        for bad in ("\0", "\r", "\n", "\x1f", "\x7f"):
            with pytest.raises(ResponseError, match="control"):
                lines("X-Name", text[:at] + bad + text[at + 1 :])
    name = "".join(chr(0x61 + (7 * i) % 26) for i in range(size))
    if name:
        assert lines(name, "v")[1] == f"{name}: v".encode()
    for at in range(size):
        with pytest.raises(ResponseError, match="token"):
            lines(name[:at] + ":" + name[at + 1 :], "v")


@pytest.mark.parametrize(
    "status",
    [
        "", "2", "20", "OK", "2000", "200OK", "200\tOK", " 200 OK", "+20 OK", "20x OK", "-200 OK",
        "\xb200 OK", "100 Continue",
        "103 Early Hints", "199 x", "000 x", "200 \u20ac", "٢00 OK",
        *[f"200 a{control}b" for control in CONTROLS],
        *[f"200{control}" for control in CONTROLS],
    ],
)  # fmt: skip
def test_bad_status(status: str) -> None:
    with pytest.raises(ResponseError):
        response_head(status, [])


# ---- fields -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        *[("A", f"b{control}c") for control in CONTROLS],
        *[("A", f"b{control}") for control in CONTROLS],
        *[(f"A{control}", "b") for control in CONTROLS],
        ("A", "b\r\n\r\nHTTP/1.1 200 OK"),
        ("A", "b\nSet-Cookie: c"),
        ("A: b\r\nC", "d"),
        ("", "b"),
        ("A ", "b"),
        (" A", "b"),
        ("A:", "b"),
        ("A\t", "b"),
        ("A(", "b"),
        ("\xe9", "b"),
        ("A", "\u20ac"),
        ("A", "\u010a"),  # whose low byte is LF
        ("A", "\u010d\u010a"),
        ("\u20ac", "b"),
        ("A", b"b"),
        (b"A", "b"),
        ("A", None),
        ("A", 1),
        ("A",),
        ("A", "b", "c"),
        ["A", "b"],
        "Ab",
        None,
    ],
)
def test_bad_fields(header: object) -> None:
    headers: list[object] = [("Fine", "x"), header]
    with pytest.raises(ResponseError):
        response_head("200 OK", headers)  # type: ignore[arg-type]
    with pytest.raises(ResponseError):
        interim_response(headers)  # type: ignore[arg-type]


def test_fields_keep_their_order_and_spelling() -> None:
    headers = [("X-b", "1"), ("x-A", "2"), ("X-b", "3"), ("Set-Cookie", "a"), ("Set-Cookie", "b")]
    head = response_head("200 OK", headers, length=0).data
    assert head.split(b"\r\n")[1:6] == [f"{name}: {value}".encode() for name, value in headers]


class Text(str):
    """A str of an application's own."""


def test_subclasses_of_str() -> None:
    assert b"A: b\r\n" in response_head("200 OK", [(Text("A"), Text("b"))]).data
    with pytest.raises(ResponseError):
        response_head("200 OK", [(Text("A"), Text("b\r"))])


@pytest.mark.parametrize(
    "name", ["Transfer-Encoding", "Keep-Alive", "TE", "Trailer", "Upgrade", "Proxy-Connection", "Connection"]
)
def test_connection_fields_are_ours(name: str) -> None:
    """PEP 3333: an application must not send them; RFC 9112 §6.1: two hands on the framing would break it."""
    for spelling in (name, name.lower(), name.upper()):
        found = [name for name, _ in fields(response_head("200 OK", [(spelling, "x")], length=1).data)]
        assert sorted(found) == ["content-length", "date", "server"]


@pytest.mark.parametrize(
    ("value", "closes"), [("close", True), ("TE, Close", True), ("x-close", False), ("", False)]
)
def test_the_application_may_close(value: str, closes: bool) -> None:
    head = response_head("200 OK", [("Connection", value)], length=0)
    assert head.keep_alive is not closes
    assert (b"Connection: close\r\n" in head.data) is closes


def test_date_and_server() -> None:
    assert fields(response_head("200 OK", [], length=0).data)[1:] == [SERVER, DATE]
    own = [("Server", "mine"), ("Date", "then")]
    assert fields(response_head("200 OK", own, length=0).data)[:2] == [("server", "mine"), ("date", "then")]
    assert len(fields(response_head("200 OK", own, length=0).data)) == 3
    assert [name for name, _ in fields(response_head("200 OK", [], length=0, server="").data)] == [
        "content-length",
        "date",
    ]


@pytest.mark.parametrize("server", ["a\r\nb", "a\nb", "a\x00", " a", "a ", "\u20ac"])
def test_bad_server(server: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        response_head("200 OK", [], server=server)


@pytest.mark.parametrize(
    ("second", "date"),
    [
        (0, b"Thu, 01 Jan 1970 00:00:00 GMT"),
        (784111777, b"Sun, 06 Nov 1994 08:49:37 GMT"),  # the example of RFC 9110 §5.6.7
        (951782400, b"Tue, 29 Feb 2000 00:00:00 GMT"),
        (2147483648, b"Tue, 19 Jan 2038 03:14:08 GMT"),
        (253402300799, b"Fri, 31 Dec 9999 23:59:59 GMT"),
    ],
)
def test_date(second: int, date: bytes) -> None:
    assert b"\r\nDate: " + date + b"\r\n" in response_head("200 OK", [], second=second).data


# ---- framing ------------------------------------------------------------------------------------------


def framing(head: ResponseHead) -> tuple[str | None, bool, bool, bool]:
    """Content-Length, whether chunked is said, whether there is a body, whether the connection stays."""
    lines = head.data.decode("latin-1").split("\r\n")
    lengths = [line.partition(": ")[2] for line in lines if line.startswith("Content-Length: ")]
    assert len(lengths) <= 1
    said = "Transfer-Encoding: chunked" in lines
    assert said is head.chunked
    assert ("Connection: close" in lines) is not head.keep_alive
    return (lengths[0] if lengths else None), said, not head.bodyless, head.keep_alive


DECLARED: Headers = [("Content-Length", "5")]
#: status, headers, how it was asked for → framing(). RFC 9110 §8.6, §9.3.2, §9.3.6, §15; RFC 9112 §6.1, §6.3.
FRAMING = [
    ("200 OK", DECLARED, {}, ("5", False, True, True)),
    ("200 OK", DECLARED, {"length": 5}, ("5", False, True, True)),
    ("200 OK", [], {"length": 5}, ("5", False, True, True)),
    ("200 OK", [], {"length": 0}, ("0", False, True, True)),
    ("200 OK", [], {}, (None, True, True, True)),
    ("200 OK", [], {"version": 10}, (None, False, True, False)),
    ("200 OK", DECLARED, {"version": 10}, ("5", False, True, True)),
    ("200 OK", [], {"keep_alive": False}, (None, True, True, False)),
    ("200 OK", DECLARED, {"keep_alive": False}, ("5", False, True, False)),
    ("200 OK", DECLARED, {"method": "HEAD"}, ("5", False, False, True)),
    ("200 OK", [], {"method": "HEAD"}, (None, False, False, True)),
    ("200 OK", [], {"method": "HEAD", "length": 0}, (None, False, False, True)),
    ("200 OK", [], {"method": "HEAD", "length": 5}, ("5", False, False, True)),
    ("200 OK", [], {"method": "HEAD", "version": 10}, (None, False, False, True)),
    ("204 No Content", [], {}, (None, False, False, True)),
    ("204 No Content", DECLARED, {}, (None, False, False, True)),
    ("204 No Content", [], {"length": 5}, (None, False, False, True)),
    ("204 No Content", [], {"version": 10}, (None, False, False, True)),
    ("204 No Content", DECLARED, {"method": "HEAD"}, (None, False, False, True)),
    ("304 Not Modified", [], {}, (None, False, False, True)),
    ("304 Not Modified", DECLARED, {}, ("5", False, False, True)),
    ("304 Not Modified", [], {"length": 5}, (None, False, False, True)),
    ("200 OK", [], {"method": "CONNECT"}, (None, False, False, True)),
    ("200 OK", DECLARED, {"method": "CONNECT"}, (None, False, False, True)),
    ("405 Not Allowed", DECLARED, {"method": "CONNECT"}, ("5", False, True, True)),
    ("205 Reset Content", [], {"length": 0}, ("0", False, True, True)),
    ("500 Oops", [], {}, (None, True, True, True)),
]


@pytest.mark.parametrize(("status", "headers", "asked", "expected"), FRAMING)
def test_framing(status: str, headers: Headers, asked: dict[str, object], expected: object) -> None:
    head = response_head(status, headers, **asked)  # type: ignore[arg-type]
    assert framing(head) == expected
    parsed(head.data, str(asked.get("method", "GET")))


def test_http10_is_told_that_it_may_go_on() -> None:
    assert b"\r\nConnection: keep-alive\r\n" in response_head("200 OK", DECLARED, version=10).data
    assert b"Connection" not in response_head("200 OK", DECLARED).data


@pytest.mark.parametrize(
    "value",
    ["", " ", "+5", "-5", "5,5", "5 5", " 5", "5 ", "0x5", "five", "\xb2", "9" * 19, "5\t", "5.0", "1_0"],
)
def test_bad_content_length(value: str) -> None:
    for status in ("200 OK", "204 No Content", "304 Not Modified"):
        with pytest.raises(ResponseError):
            response_head(status, [("content-length", value)])


def test_content_length_twice() -> None:
    for second in ("5", "6"):
        with pytest.raises(ResponseError):
            response_head("200 OK", [*DECLARED, ("content-LENGTH", second)])


def test_largest_content_length() -> None:
    assert response_head("200 OK", [("Content-Length", "9" * 18)]).length == 999999999999999999


# ---- other heads --------------------------------------------------------------------------------------


def test_interim() -> None:
    link = ("Link", "</a.css>; rel=preload")
    assert interim_response([link]) == b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
    assert isinstance(parsed(interim_response([link])), h11.InformationalResponse)


@pytest.mark.parametrize("name", ["Content-Length", "Transfer-Encoding", "Connection", "Upgrade"])
def test_interim_frames_nothing(name: str) -> None:
    """RFC 9110 §8.6: no Content-Length in a 1xx response."""
    for _ in range(20):
        assert interim_response([(name, "5"), ("A", "b")]) == b"HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n"


@pytest.mark.parametrize("status", [400, 408, 413, 414, 417, 431, 500, 501, 503, 504, 505])
def test_errors_of_our_own(status: int) -> None:
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(error_response(status))
    head, body, end = client.next_event(), client.next_event(), client.next_event()
    assert isinstance(head, h11.Response)
    assert head.status_code == status
    assert (b"connection", b"close") in list(head.headers)
    assert isinstance(body, h11.Data)
    assert isinstance(end, h11.EndOfMessage)
    assert client.next_event() is h11.NEED_DATA or client.their_state is h11.MUST_CLOSE
    assert client.trailing_data == (b"", False)
    assert error_response(status, method="HEAD").endswith(b"\r\n\r\n")


@pytest.mark.parametrize("size", [0, 1, 9, 10, 255, 65536, 2**63 - 1])
def test_chunk_size(size: int) -> None:
    assert chunk_size(size) == b"%x\r\n" % size


# ---- anything at all ----------------------------------------------------------------------------------

NASTY = st.sampled_from(
    [
        "\r",
        "\n",
        "\r\n",
        "\x00",
        ":",
        " ",
        "\t",
        "\x85",
        "\u2028",
        "\u010a",
        "\u560a",
        "\x0b",
        "\x1c",
        "a",
        "é",
    ]
)
TEXT = st.text(max_size=12) | st.lists(NASTY, max_size=6).map("".join)
NAME = TEXT | st.sampled_from(
    ["A", "Content-Length", "content-length", "Transfer-Encoding", "Connection", "Date", "Server", "X" * 60]
)  # fmt: skip
VALUE = (
    TEXT
    | st.sampled_from(["close", "5", "chunked", "", "0"])
    | st.text(st.characters(max_codepoint=255), max_size=40)
)
STATUS = (
    TEXT | st.integers(0, 1200).map(lambda code: f"{code} x") | st.sampled_from(["200 OK", "204 x", "304 x"])
)


@settings(max_examples=250, deadline=None)
@given(
    STATUS,
    st.lists(st.tuples(NAME, VALUE), max_size=5),
    st.sampled_from(["GET", "HEAD", "CONNECT"]),
    st.sampled_from([0, 1]),
    st.booleans(),
    st.sampled_from([-1, 0, 7]),
)
def test_refused_or_right(
    status: str, headers: Headers, method: str, version: int, keep_alive: bool, length: int
) -> None:
    """Either ResponseError, or a head in which another parser finds these fields and nothing else."""
    try:
        head = response_head(
            status, headers, method=method, version=version, keep_alive=keep_alive, length=length
        )
    except ResponseError:
        return
    lines = head.data.split(b"\r\n")
    assert lines[-2:] == [b"", b""]
    assert not any(c in line for line in lines for c in (b"\r", b"\n", b"\x00"))
    event = parsed(head.data, method)
    assert f"{event.status_code:03}" == status[:3]
    assert event.reason.decode("latin-1") == status[4:]
    ours = {
        "transfer-encoding",
        "connection",
        "date",
        "server",
        "content-length",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
    }
    found = [(name, value) for name, value in fields(head.data, method) if name not in ours]
    assert found == [
        (name.lower(), value.strip(" \t")) for name, value in headers if name.lower() not in ours
    ]
    names = [name for name, _ in fields(head.data, method)]
    assert names.count("transfer-encoding") + names.count("content-length") <= 1
    for name in ("date", "server"):
        assert names.count(name) == max(1, sum(given.lower() == name for given, _ in headers))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(NAME, VALUE), max_size=5))
def test_interim_refused_or_right(headers: Headers) -> None:
    try:
        head = interim_response(headers)
    except ResponseError:
        return
    lines = head.split(b"\r\n")
    assert len(lines) <= len(headers) + 3
    assert not any(c in line for line in lines for c in (b"\r", b"\n", b"\x00"))
    assert isinstance(parsed(head), h11.InformationalResponse)
