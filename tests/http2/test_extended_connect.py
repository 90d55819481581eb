"""RFC 8441: WebSockets as streams. What is said on them has its tests in integration/test_websocket_*.py, on
all wires."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from harness.http2.connection import Connection
from harness.http2.frames import Code, Setting, rst_stream
from harness.http2.strict import Answer
from harness.server import Server, Servers, wait_for
from harness.websocket import CLOSE, PING, PONG, TEXT, close_payload, frame
from http2.cases import AUTHORITY, PATH, SCHEME, Case, cases, malformed, opened, request, run
from integration.asgi import PAGES, Notes, literal
from integration.live import Live

WEBSOCKET = (b"sec-websocket-version", b"13")


@pytest.fixture
def asgi(running_servers: Servers) -> Server:
    return running_servers.on("h2c").get(kind="asgi", app=PAGES)


@pytest.fixture
def sockets(running_servers: Servers) -> Server:
    return running_servers.on("h2c").get(kind="asgi", app="asgi_sockets:app")


def connect(connection: Connection, path: str, *extra: tuple[str, str], protocol: str = "websocket") -> int:
    connection.handshake()
    fields = [
        (":method", "CONNECT"),
        (":protocol", protocol),
        (":scheme", "http"),
        (":authority", "a.example"),
        (":path", path),
        ("sec-websocket-version", "13"),
        *extra,
    ]
    return connection.begin_request(fields, end=False)


def frames_of(data: bytes) -> list[tuple[int, bytes]]:
    """Short frames of a server, taken apart."""
    found = []
    while len(data) >= 2 and len(data) >= 2 + data[1]:
        assert data[1] < 126
        found.append((data[0] & 0x0F, data[2 : 2 + data[1]]))
        data = data[2 + data[1] :]
    return found


def hears(connection: Connection, answer: Answer, opcode: int, payload: bytes) -> None:
    connection.until(lambda: (opcode, payload) in frames_of(answer.content), f"frame {opcode} {payload!r}")


# -- who may


def test_it_is_offered_to_applications_that_have_websockets(running_servers: Servers) -> None:
    """§3: the setting is 1 for ASGI; WSGI has none of it."""
    for kind, offered in (("asgi", 1), ("sync", 0)):
        with opened(running_servers.on("h2c").get(kind=kind)) as connection:
            connection.handshake()
            assert connection.strict.settings.get(Setting.ENABLE_CONNECT_PROTOCOL, 0) == offered


METHOD = (b":method", b"CONNECT")
PROTOCOL = (b":protocol", b"websocket")

WRONG = [
    malformed(
        "4", ":protocol with GET", request((b":method", b"GET"), PROTOCOL, SCHEME, AUTHORITY, PATH, WEBSOCKET)
    ),
    malformed("4", "no :scheme", request(METHOD, PROTOCOL, AUTHORITY, PATH, WEBSOCKET)),
    malformed("4", "no :path", request(METHOD, PROTOCOL, SCHEME, AUTHORITY, WEBSOCKET)),
    malformed("4", "no :authority", request(METHOD, PROTOCOL, SCHEME, PATH, WEBSOCKET)),
    malformed(
        "4", ":protocol twice", request(METHOD, PROTOCOL, PROTOCOL, SCHEME, AUTHORITY, PATH, WEBSOCKET)
    ),
]


@cases(*WRONG)
def test_requests_that_are_malformed(case: Case, worker: str, sends: str, running_servers: Servers) -> None:
    run(case, running_servers.on("h2c").get(kind=worker), sends)


@pytest.mark.parametrize("kind", ["sync", pytest.param("gthread", marks=pytest.mark.slow)])
def test_who_has_none_of_it_refuses(running_servers: Servers, kind: str) -> None:
    server = running_servers.on("h2c").get(kind=kind)
    server.seen()
    with opened(server) as connection:
        answer = connection.answer(connect(connection, "/"))
        assert answer.reset == Code.PROTOCOL_ERROR or answer.status >= 400
        assert connection.get("/next").status == 200
    assert [request["path"] for request in server.seen()] == ["/next"]


def test_another_protocol(asgi: Server) -> None:
    """§4: one that is not known is answered with 501, or as malformed."""
    with opened(asgi) as connection:
        answer = connection.answer(connect(connection, "/echo-socket", protocol="foo"))
        assert answer.reset is not None or answer.status in {400, 404, 501}
        assert connection.get("/quick").status == 200


@pytest.mark.parametrize("version", ["8", "x", ""])
def test_another_version(asgi: Server, version: str) -> None:
    """RFC 6455 §4.4: 426, and which one it should have been."""
    with opened(asgi) as connection:
        connection.handshake()
        fields = [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "http"),
            (":authority", "a.example"),
            (":path", "/echo-socket"),
            ("sec-websocket-version", version),
        ]
        answer = connection.answer(connection.begin_request(fields, end=False))
        assert answer.status in {400, 426}
        if answer.status == 426:
            assert answer.get("sec-websocket-version") == "13"
        assert connection.get("/quick").status == 200


# -- what it is


def test_a_conversation(asgi: Server) -> None:
    """§5: 200, no key, no accept; frames in DATA; END_STREAM at the end."""
    with opened(asgi) as connection:
        stream = connect(connection, "/echo-socket")
        answer = connection.head(stream)
        assert answer.status == 200
        assert answer.get("sec-websocket-accept") is None
        assert answer.get("content-length") is None
        for text in (b"hello", b"again"):
            connection.send_data(stream, frame(TEXT, text))
            hears(connection, answer, TEXT, text)
        for byte in frame(TEXT, b"in pieces"):
            connection.send_data(stream, bytes([byte]))
        hears(connection, answer, TEXT, b"in pieces")
        connection.send_data(stream, frame(PING, b"p"))
        hears(connection, answer, PONG, b"p")
        connection.send_data(stream, frame(CLOSE, close_payload(1000)))
        connection.until(lambda: answer.is_over, "the end of the stream")
        assert answer.ended
        assert frames_of(answer.content)[-1] == (CLOSE, close_payload(1000))
        assert connection.get("/quick").status == 200


def test_many_beside_requests(asgi: Server) -> None:
    """They share a connection, and none stops another."""
    with opened(asgi) as connection:
        sockets = [connection.head(connect(connection, "/echo-socket")) for _ in range(20)]
        for number, answer in enumerate(sockets):
            connection.send_data(answer.stream, frame(TEXT, b"%d" % number))
            assert connection.get("/quick").status == 200
        for number, answer in enumerate(sockets):
            hears(connection, answer, TEXT, b"%d" % number)


@pytest.mark.parametrize("how", ["reset", "end", "connection"])
def test_a_client_that_leaves_without_a_word(sockets: Server, how: str) -> None:
    """§5: END_STREAM is the end of TCP's stream, RST_STREAM its reset; the application hears of a
    disconnect."""
    notes = Notes(sockets)
    with opened(sockets) as connection:
        answer = connection.head(connect(connection, "/echo"))
        assert answer.status == 200
        if how == "reset":
            connection.send(rst_stream(answer.stream, Code.CANCEL))
        elif how == "end":
            connection.send_data(answer.stream, b"", end=True)
            connection.until(lambda: answer.is_over, "its end")
        if how != "connection":
            assert connection.get("/quick").status == 200
    message = notes.wait("disconnect")
    assert (message["type"], message["code"]) == ("websocket.disconnect", 1006)
    assert notes.wait("again")["type"] == "websocket.disconnect"


def test_a_broken_frame_ends_the_stream_and_not_the_connection(asgi: Server) -> None:
    with opened(asgi) as connection:
        answer = connection.head(connect(connection, "/echo-socket"))
        connection.send_data(answer.stream, frame(TEXT, b"x", mask=None))
        connection.until(lambda: answer.is_over, "its end")
        opcode, payload = frames_of(answer.content)[-1]
        assert (opcode, payload[:2]) == (CLOSE, (1002).to_bytes(2))
        assert connection.get("/quick").status == 200


def test_a_client_that_does_not_read_gets_no_more_than_its_window(asgi: Server) -> None:
    """Flow control is the stream's; the application's send() waits."""
    with opened(asgi, settings={Setting.INITIAL_WINDOW_SIZE: 1000}) as connection:
        connection.gives_credit = False
        answer = connection.head(connect(connection, "/echo-socket"))
        for _ in range(20):
            connection.send_data(answer.stream, frame(TEXT, b"t" * 100))
        connection.until(lambda: answer.size == 1000, "the whole window")
        assert connection.get("/quick").status == 200
        connection.give(answer.stream, 5000)
        connection.until(lambda: frames_of(answer.content).count((TEXT, b"t" * 100)) == 20, "all of them")


def test_a_refusal_is_an_answer(sockets: Server) -> None:
    """The application denies, or says what it answers instead."""
    with opened(sockets) as connection:
        answer = connection.answer(connect(connection, "/denies"))
        assert answer.status == 401
        assert connection.get("/quick").status == 200


def test_subprotocols_and_fields(asgi: Server) -> None:
    """What applications choose comes back; they are told of http_version 2."""
    with opened(asgi) as connection:
        stream = connect(
            connection, "/socket-scope", ("sec-websocket-protocol", "a, b"), ("origin", "http://o.example")
        )
        answer = connection.answer(stream)
        scope = literal(answer.content)
        assert scope["type"] == "websocket"
        assert scope["http_version"] == "2"
        assert scope["scheme"] == "ws"
        assert scope["subprotocols"] == ["a", "b"]
        headers = [tuple(pair) for pair in scope["headers"]]
        assert (b"origin", b"http://o.example") in headers
        # What libraries know a WebSocket by, though no client says it here.
        assert headers.count((b"upgrade", b"websocket")) == headers.count((b"connection", b"Upgrade")) == 1


# -- the service


@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(signal.SIGTERM, 1001, id="TERM"),
        pytest.param(signal.SIGHUP, 1012, id="HUP", marks=pytest.mark.slow),
    ],
)
def test_a_drain_tells_why_and_requests_beside_are_answered(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    """The close frame of the session's, the end of its stream, then GOAWAY's; one line of the access log."""
    access = tmp_path / "access.log"
    options = (f"--access-logfile={access}", '--access-logformat="%(r)s" %(s)s')
    with Live("asgi_sockets:app", *options, kind="asgi", wire="h2c", ready="/quick") as live:
        with opened(live) as connection:
            answer = connection.head(connect(connection, "/echo"))
            connection.send_data(answer.stream, frame(TEXT, b"hello"))
            hears(connection, answer, TEXT, b"hello")
            live.signal(number)
            connection.until(lambda: CLOSE in dict(frames_of(answer.content)), "a close frame")
            assert frames_of(answer.content)[-1][1][:2] == code.to_bytes(2)
            assert not answer.is_over
            connection.send_data(answer.stream, frame(CLOSE, close_payload(code)), end=True)
            connection.until(lambda: answer.is_over, "the end of the stream")
            assert answer.ended
            assert connection.ended_with() == Code.NO_ERROR
        wait_for(lambda: "/echo" in access.read_text(), "it is logged")
        assert access.read_text().splitlines().count('"GET /echo HTTP/2.0" 200') == 1
        if number == signal.SIGTERM:
            assert live.wait_exit() == 0
