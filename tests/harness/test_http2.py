"""The client of HTTP/2 itself: it notices what a server must not send; what its face makes of a connection.

The server is a few lines around the `h2` package, in this process: it answers by the path.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
import hpack
import pytest

from harness.cases import chunked, head, post
from harness.client import BadResponseError, Client
from harness.http2 import frames
from harness.http2.bridge import bridged
from harness.http2.connection import Connection
from harness.http2.face import Face, over_plain
from harness.http2.frames import Code, Flag, Setting, Type, block
from harness.http2.messages import Content, Head, NotTranslatableError, Reader
from harness.http2.strict import Strict
from harness.listening import talking
from harness.websocket import ACCEPT, UPGRADE

# -- what a server must not send

SAYS_SETTINGS = frames.settings()
OK = ((b":status", b"200"), (b"content-length", b"5"))


def answer(*fields: tuple[bytes, bytes], stream: int = 1, **how: Any) -> bytes:
    return frames.headers(stream, block(*fields), **how)


GOOD = {
    "settings": SAYS_SETTINGS,
    "an answer": answer(*OK) + frames.data(1, b"hello", end=True),
    "an answer without content": answer((b":status", b"204"), end=True),
    "interim answers": answer((b":status", b"103"), (b"link", b"</a>"))
    + answer((b":status", b"100"))
    + answer(*OK),
    "trailers": answer((b":status", b"200")) + frames.data(1, b"x") + answer((b"x", b"y"), end=True),
    "padding": answer(*OK, pad=3) + frames.data(1, b"hello", pad=9, end=True),
    "a block in pieces": b"".join(frames.in_pieces(1, block(*OK), 7)),
    "something unknown": frames.frame(0x99, 0xFF, 7, b"x"),
    "a reset behind the end": answer(*OK) + frames.data(1, b"hello", end=True) + frames.rst_stream(3, 0),
    "farewells": frames.goaway(frames.LARGEST_WINDOW) + frames.goaway(1),
    "credit": frames.window_update(0, 1) + frames.window_update(1, 1000),
}

BAD = {
    "no :status": answer((b"x", b"y")),
    "no field": answer(),
    ":status behind another": answer((b"x", b"y"), (b":status", b"200")),
    ":status twice": answer((b":status", b"200"), (b":status", b"200")),
    ":status that is none": answer((b":status", b"20")),
    "101": answer((b":status", b"101")),
    "an interim answer that ends": answer((b":status", b"103"), end=True),
    "an upper-case name": answer(*OK, (b"X", b"y")),
    "a name that is none": answer(*OK, (b"x y", b"y")),
    "a value with LF": answer(*OK, (b"x", b"a\nb")),
    "a value with white space around it": answer(*OK, (b"x", b"a ")),
    "a field of HTTP/1": answer(*OK, (b"connection", b"close")),
    "content-length twice": answer(*OK, OK[1]),
    "too much content": answer(*OK) + frames.data(1, b"hello!"),
    "too little content": answer(*OK) + frames.data(1, b"hell", end=True),
    "an end in the head, and a length": answer(*OK, end=True),
    "content of 204": answer((b":status", b"204")) + frames.data(1, b"x"),
    "content before the head": frames.data(1, b"x"),
    "more behind the end": answer((b":status", b"204"), end=True) + answer(*OK),
    "content behind a reset": answer(*OK) + frames.rst_stream(1) + frames.data(1, b"x"),
    "trailers that do not end": answer(*OK) + answer((b"x", b"y")),
    "a pseudo-header field in trailers": answer((b":status", b"200"))
    + answer((b":status", b"200"), end=True),
    "a stream that nobody opened": answer(*OK, stream=5),
    "a reset of such a one": frames.rst_stream(5),
    "a push": frames.push_promise(1, 2, block(*OK)),
    "a priority": frames.priority_update(1, b"u=1"),
    "content on stream 0": frames.data(0, b"x"),
    "settings on a stream": frames.settings(stream=1),
    "settings of 5 bytes": frames.frame(Type.SETTINGS, 0, 0, bytes(5)),
    "push allowed": frames.settings({Setting.ENABLE_PUSH: 1}),
    "a frame size that is none": frames.settings({Setting.MAX_FRAME_SIZE: 1}),
    "an acknowledgement of nothing": frames.SETTINGS_ACK,
    "an answer to no PING": frames.ping(ack=True),
    "PING of 7 bytes": frames.ping(b"1234567"),
    "an increment of 0": frames.window_update(0, 0),
    "too much credit": frames.window_update(0, frames.LARGEST_WINDOW),
    "a farewell that takes more than the last": frames.goaway(1) + frames.goaway(3),
    "a frame that is too large": frames.frame(0x99, 0, 0, bytes(16_385)),
    "the head of one": frames.frame(0x99, 0, 0, b"", length=16_385),
    "the reserved bit": frames.ping(stream=1 << 31),
    "a flag without a meaning": frames.frame(Type.PING, 0x40, 0, bytes(8)),
    "padding that is not zero": frames.frame(Type.DATA, Flag.PADDED, 1, b"\1x\1"),
    "another frame within a block": answer(*OK, whole=False) + frames.ping(),
    "CONTINUATION behind nothing": frames.continuation(1, b""),
    "a block that is none": frames.headers(1, b"\xff\xff\xff\xff\xff\xff"),
    "a table that is too large": frames.headers(1, frames.integer(5000, 5, 0x20) + block(*OK)),
    "more than the stream's window": answer((b":status", b"200")) + frames.data(1, bytes(16_384)) * 4,
}


def asked() -> Strict:
    """Two requests have left."""
    strict = Strict()
    encoder = hpack.Encoder()
    for stream in (1, 3):
        fields = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/")]
        strict.sends(frames.headers(stream, encoder.encode(fields), end=True))
    return strict


@pytest.mark.parametrize("name", GOOD)
def test_what_a_server_may_send(name: str) -> None:
    for size in (1, 100_000):
        strict = asked()
        data = SAYS_SETTINGS + GOOD[name]
        for at in range(0, len(data), size):
            strict.receive(data[at : at + size])
        assert strict.unread == b""


@pytest.mark.parametrize("name", BAD)
def test_what_a_server_must_not_send(name: str) -> None:
    strict = asked()
    strict.receive(SAYS_SETTINGS)
    with pytest.raises(BadResponseError):
        strict.receive(BAD[name])


def test_settings_come_first() -> None:
    for first in (frames.ping(), answer(*OK), frames.goaway()):
        with pytest.raises(BadResponseError, match=r"3\.4"):
            asked().receive(first)


def test_windows_are_counted() -> None:
    """Those of both sides, as credit and settings change them."""
    strict = asked()
    strict.receive(SAYS_SETTINGS + answer((b":status", b"200")))
    strict.sends(frames.window_update(1, 10) + frames.window_update(0, 10))
    strict.receive(frames.data(1, bytes(16_384)) * 3 + frames.data(1, bytes(16_383)))
    strict.receive(frames.data(1, bytes(10)))
    with pytest.raises(BadResponseError, match="window"):
        strict.receive(frames.data(1, b"x"))
    strict = asked()
    strict.receive(
        SAYS_SETTINGS + frames.settings({Setting.INITIAL_WINDOW_SIZE: 10}) + frames.window_update(3, 5)
    )
    assert strict.credits == {1: 10, 3: 15}
    strict.sends(frames.data(1, b"four"))
    assert (strict.credits[1], strict.credit) == (6, 65_531)


def test_a_smaller_window_counts_from_its_acknowledgement() -> None:
    strict = asked()
    strict.receive(SAYS_SETTINGS + answer((b":status", b"200")))
    strict.sends(frames.settings({Setting.INITIAL_WINDOW_SIZE: 100}))
    strict.receive(frames.data(1, bytes(101)))
    with pytest.raises(BadResponseError, match="window"):
        strict.receive(frames.SETTINGS_ACK + frames.data(1, b"x"))


# -- messages


def test_messages_are_taken_apart() -> None:
    text = head(b"Cookie: a=b; c=d", b"TE: trailers", b"Connection: te, close") + post(
        b"hello", b"Content-Length: 5"
    )
    text += chunked(b"3\r\nabc\r\n2;x\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n")
    for size in (1, 7, 1000):
        reader = Reader()
        items = [item for at in range(0, len(text), size) for item in reader.feed(text[at : at + size])]
        heads = [item for item in items if isinstance(item, Head)]
        assert [(each.method, each.ends, each.closes) for each in heads] == [
            (b"GET", True, True),
            (b"POST", False, False),
            (b"POST", False, False),
        ]
        assert heads[0].translated("http", tunnel=False)[4:] == [
            (b"cookie", b"a=b"),
            (b"cookie", b"c=d"),
            (b"te", b"trailers"),
        ]
        contents = [item for item in items if isinstance(item, Content)]
        assert b"".join(each.data for each in contents) == b"helloabcde"
        assert contents[-1].trailers == [(b"x-sum", b"1")]
        assert reader.is_between


@pytest.mark.parametrize(
    "text",
    [
        b"GET  / HTTP/1.1\r\n\r\n",
        head(b"X : y"),
        post(b"", b"Content-Length: +5"),
        chunked(b"x\r\n"),
        b"BAD\r\n\r\n",
    ],
)
def test_what_has_no_words_in_http_2(text: bytes) -> None:
    with pytest.raises(NotTranslatableError):
        list(Reader().feed(text))


# -- the face, before a server of another's making


Page = Callable[[h2.connection.H2Connection, int, dict[bytes, bytes], bytes], None]


def served(
    connection: h2.connection.H2Connection, stream: int, fields: dict[bytes, bytes], body: bytes
) -> None:
    """One request, whole: answered by its path."""
    path = fields[b":path"].decode()
    length = ("content-length", "5")
    if path == "/hint":
        connection.send_headers(stream, [(":status", "103"), ("link", "</a>")])
    if path == "/trailers":
        connection.send_headers(stream, [(":status", "200")])
        connection.send_data(stream, b"hello")
        connection.send_headers(stream, [("x-sum", "1")], end_stream=True)
    elif path == "/cut":
        connection.send_headers(stream, [(":status", "200"), ("content-length", "9")])
        connection.send_data(stream, b"hello")
        connection.reset_stream(stream, Code.INTERNAL_ERROR)
    elif path == "/refused":
        connection.reset_stream(stream, Code.REFUSED_STREAM)
    elif path == "/nothing":
        connection.send_headers(stream, [(":status", "204")], end_stream=True)
    elif path == "/pieces":
        connection.send_headers(stream, [(":status", "200")])
        for piece in (b"he", b"", b"llo"):
            connection.send_data(stream, piece)
        connection.send_data(stream, b"", end_stream=True)
    elif path == "/echo":
        connection.send_headers(stream, [(":status", "200"), ("content-length", str(len(body)))])
        connection.send_data(stream, body[:16_000], end_stream=True)
    elif fields[b":method"] == b"HEAD":
        connection.send_headers(stream, [(":status", "200"), length], end_stream=True)
    else:
        told = b";".join(b"%b=%b" % pair for pair in sorted(fields.items()))
        connection.send_headers(stream, [(":status", "200"), ("content-length", str(len(told)))])
        connection.send_data(stream, told, end_stream=True)


def echoed(connection: h2.connection.H2Connection, stream: int, owed: bytes) -> bytes:
    """As far as there is credit. What is left."""
    while owed and (
        most := min(connection.local_flow_control_window(stream), connection.max_outbound_frame_size)
    ):
        connection.send_data(stream, owed[:most])
        owed = owed[most:]
    return owed


def talk(raw: socket.socket) -> None:
    """A server of HTTP/2, as small as can be: WebSockets are echoed byte by byte, unmasked or not."""
    configuration = h2.config.H2Configuration(client_side=False, header_encoding=None)
    connection = h2.connection.H2Connection(configuration)
    offered = {h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL: 1}
    connection.local_settings = h2.settings.Settings(client=False, initial_values=offered)
    connection.initiate_connection()
    raw.sendall(connection.data_to_send())
    requests: dict[int, dict[bytes, bytes]] = {}
    bodies: dict[int, bytes] = {}
    with raw, contextlib.suppress(OSError):
        while data := raw.recv(65536):
            try:
                events = connection.receive_data(data)
            except h2.exceptions.ProtocolError:
                raw.sendall(connection.data_to_send())
                return
            for event in events:
                stream = getattr(event, "stream_id", 0)
                if isinstance(event, h2.events.RequestReceived):
                    requests[stream], bodies[stream] = dict(event.headers), b""
                    if b":protocol" in requests[stream]:
                        connection.send_headers(
                            stream, [(":status", "200"), ("sec-websocket-protocol", "chat")]
                        )
                elif isinstance(event, h2.events.DataReceived):
                    connection.acknowledge_received_data(event.flow_controlled_length, stream)
                    bodies[stream] += event.data
                    if b":protocol" in requests[stream]:
                        bodies[stream] = echoed(connection, stream, bodies[stream])
                elif isinstance(event, h2.events.WindowUpdated):
                    for tunnel in (each for each in requests if b":protocol" in requests[each]):
                        bodies[tunnel] = echoed(connection, tunnel, bodies[tunnel])
                elif isinstance(event, h2.events.StreamEnded):
                    if b":protocol" in requests[stream]:
                        connection.end_stream(stream)
                    else:
                        served(connection, stream, requests[stream], bodies[stream])
            raw.sendall(connection.data_to_send())


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with talking(talk) as port:
        yield port


@pytest.fixture
def client(port: int) -> Iterator[Client]:
    with Client(("127.0.0.1", port), wrap=over_plain) as client:
        yield client


def get(path: str, *lines: bytes, version: str = "1.1") -> bytes:
    return head(*lines, start=f"GET {path} HTTP/{version}".encode())


def test_a_request_and_its_answer(client: Client) -> None:
    client.send(get("/a?b", b"X-Y: z", b"Connection: x-dropped", b"X-Dropped: yes"))
    response = client.response()
    assert (response.status, response.reason, response.framing) == (200, "OK", "length")
    assert response.body == b":authority=a.example;:method=GET;:path=/a?b;:scheme=http;x-y=z"
    assert client.multiplexed


def test_answers_come_in_the_order_of_requests(client: Client) -> None:
    client.send(b"".join(get(f"/{number}") for number in range(100)))
    for number in range(100):
        assert b":path=/%d;" % number in client.response().body


def test_a_body_in_either_framing(client: Client) -> None:
    client.send(post(b"hello", b"Content-Length: 5", path=b"/echo"))
    assert client.response().body == b"hello"
    client.send(chunked(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", path=b"/echo"))
    assert client.response().body == b"abcde"
    client.send(post(b"b" * 200_000, b"Content-Length: 200000", path=b"/echo"))
    with pytest.raises(BadResponseError, match="less content"):
        client.response()


def test_framings_of_answers(client: Client) -> None:
    client.takes_trailers = True
    client.send(get("/pieces") + get("/trailers") + get("/nothing") + get("/hint"))
    pieces, trailers, nothing, hint = (client.response() for _ in range(4))
    assert (pieces.framing, pieces.body) == ("chunked", b"hello")
    assert (trailers.body, trailers.trailers) == (b"hello", [("x-sum", "1")])
    assert (nothing.status, nothing.framing) == (204, "none")
    assert [each.status for each in hint.interim] == [103]
    client.send(head(start=b"HEAD / HTTP/1.1"))
    assert client.response("HEAD").get("Content-Length") == "5"


def test_a_reset_is_the_end(client: Client) -> None:
    client.send(get("/cut"))
    response = client.response()
    assert (response.body, response.complete) == (b"hello", False)
    client.wait_closed()


def test_a_reset_in_place_of_an_answer(client: Client) -> None:
    client.send(get("/refused"))
    assert client.maybe_response() is None


def test_close_and_http_1_0(client: Client, port: int) -> None:
    client.send(get("/", b"Connection: close"))
    assert "close" in client.response().connection
    client.wait_closed()
    with Client(("127.0.0.1", port), wrap=over_plain) as old:
        old.send(get("/pieces", version="1.0"))
        response = old.response()
        assert (response.framing, response.body) == ("close", b"hello")


def test_a_websocket_is_a_tunnel(client: Client) -> None:
    client.send(get("/socket", *UPGRADE) + b"ab")
    response = client.response()
    assert (response.status, response.get("Sec-WebSocket-Accept")) == (101, ACCEPT)
    assert response.get("Sec-WebSocket-Protocol") == "chat"
    client.send(b"\xff\r\n\r\n")
    assert client.read_exactly(7) == b"ab\xff\r\n\r\n"
    client.finish()
    client.wait_closed()


def test_a_bridge(port: int) -> None:
    """A client of HTTP/1 alone."""
    with bridged(("127.0.0.1", port)) as front, Client(("127.0.0.1", front)) as client:
        for path in ("/pieces", "/", "/pieces"):
            client.send(get(path))
            assert client.response().status == 200
        client.send(get("/socket", *UPGRADE))
        assert client.response().status == 101
        client.send(b"x" * 100_000)
        assert client.read_exactly(100_000) == b"x" * 100_000


class _Late:
    """A socket on which bytes come when the time for them is over, and which sends nothing without time."""

    def __init__(self, below: socket.socket) -> None:
        self.below = below

    def recv(self, size: int) -> bytes:
        limit = self.below.gettimeout()
        self.below.settimeout(5)
        try:
            return self.below.recv(size)
        finally:
            time.sleep(limit or 0)

    def sendall(self, data: bytes) -> None:
        if (self.below.gettimeout() or 0) < 1:
            raise TimeoutError("timed out")
        self.below.sendall(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.below, name)


def test_what_came_at_the_last_moment_is_answered() -> None:
    """A bridge waited for credit for ever that had come with other frames."""
    near, far = socket.socketpair()
    with near, far:
        near.settimeout(5)
        face = Face(_Late(near), "http", 5)
        face.sendall(get("/"))
        far.sendall(SAYS_SETTINGS)
        with pytest.raises(TimeoutError):
            face.recv(1, within=0.01)
        far.settimeout(5)
        sent = b""
        while frames.SETTINGS_ACK not in sent:
            sent += far.recv(65536)


def test_nothing_is_read_unasked(port: int) -> None:
    """Neither is credit given: the window of the stream stays as it is."""
    with Client(("127.0.0.1", port), wrap=over_plain) as client:
        client.send(get("/pieces"))
        face = client.socket
        assert face.connection.strict.seen == []
        assert client.response().body == b"hello"
        assert face.connection.strict.answers[1].size == 5


# -- the connection


def test_what_is_awaited_in_vain_is_told(port: int) -> None:
    with Connection(socket.create_connection(("127.0.0.1", port)), timeout=0.2) as connection:
        connection.handshake()
        assert connection.get("/").status == 200
        stream = connection.begin_request(connection.fields("POST", "/"), end=False)
        with pytest.raises(AssertionError, match="frames came"):
            connection.answer(stream)


def test_the_end_and_its_code(port: int) -> None:
    with Connection(socket.create_connection(("127.0.0.1", port))) as connection:
        connection.send(frames.ping(b"short"))
        assert connection.ended_with() == Code.FRAME_SIZE_ERROR
