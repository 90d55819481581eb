"""RFC 9113 §5.2, §6.9: credit in both directions follows who reads, and no stream takes it from another."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness.axes import ONE_OF_EACH
from harness.http2.frames import USUAL_WINDOW, Code, Setting, Type, data, settings, window_update
from harness.patience import PATIENCE
from harness.server import Server, Servers, wait_for
from http2.cases import EITHER_KIND, opened

NO_CREDIT = {Setting.INITIAL_WINDOW_SIZE: 0}
MEGABYTE = 1 << 20


@pytest.fixture
def asgi(running_servers: Servers) -> Server:
    """Its applications read when they like, so credit is theirs to give."""
    return running_servers.on("h2c").get(kind="asgi")


ENDS = """
import pathlib

OVER = pathlib.Path(__file__).with_name("over")
SIZE = 4_000_000  # more than waits for a client while the application goes on
HEADERS = [("Content-Type", "text/plain"), ("Content-Length", str(SIZE))]

def application(environ, start_response):
    start_response("200 OK", HEADERS)
    try:
        yield b"a" * SIZE
    finally:
        OVER.touch()

async def asgi_application(scope, receive, send):
    headers = [(name.lower().encode(), value.encode()) for name, value in HEADERS]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"a" * SIZE, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
    OVER.touch()
"""


# -- down


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_who_waits_for_the_client_hears_that_it_has_all(kind: str, tmp_path: Path) -> None:
    """The last of it makes room and ends the stream as well: the application comes to its own end."""
    (tmp_path / "ends.py").write_text(ENDS)
    name = "asgi_application" if kind == "asgi" else "application"
    live = Server(f"ends:{name}", ["--chdir", str(tmp_path)], kind=kind, wire="h2c")
    live.start(wait=False)
    try:
        with opened(live) as connection:
            connection.gives_credit = False
            answer = connection.head(connection.request("/"))
            connection.until(lambda: answer.size == USUAL_WINDOW, "a window full")
            connection.send(window_update(answer.stream, 4 * MEGABYTE) + window_update(0, 4 * MEGABYTE))
            connection.until(lambda: answer.ended, "the end")
            wait_for((tmp_path / "over").exists, "the end of the application")
        live.stop()
    finally:
        live.kill()


@pytest.mark.parametrize("kind", ONE_OF_EACH)
@pytest.mark.parametrize("path", ["/big?70000", "/stream?70000"])
def test_not_a_byte_without_credit(server: Server, path: str) -> None:
    """§6.9.1. The head needs none; then each byte of credit is one of content. The client counts."""
    with opened(server, settings=NO_CREDIT) as connection:
        connection.gives_credit = False
        answer = connection.head(connection.request(path))
        assert answer.size == 0
        total = 0
        for increment in (1, 10, 16_384, 16_385, 70_000):
            connection.send(window_update(answer.stream, increment))
            connection.send(window_update(0, increment))
            total = min(total + increment, 70_000)
            connection.until(lambda wanted=total: answer.size >= wanted, f"{total} bytes")
        connection.until(lambda: answer.ended, "the end")


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_the_window_of_the_connection(server: Server) -> None:
    """§6.9.1: streams with credit of their own share it."""
    with opened(server, settings={Setting.INITIAL_WINDOW_SIZE: 1 << 24}) as connection:
        connection.gives_credit = False
        answers = [connection.head(connection.request("/big?50000")) for _ in range(4)]
        connection.until(lambda: sum(answer.size for answer in answers) == USUAL_WINDOW, "the whole window")
        connection.ping()
        assert sum(answer.size for answer in answers) == USUAL_WINDOW
        connection.send(window_update(0, 1 << 20))
        for answer in answers:
            connection.until(lambda answer=answer: answer.ended, "the end")


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_stream_without_credit_stops_nobody(server: Server) -> None:
    """Least of all the thread or the loop: others of the connection are answered, and other connections."""
    with opened(server) as connection, opened(server) as neighbour:
        connection.gives_credit = False
        stuck = connection.head(connection.request("/big?1000000"))
        connection.until(lambda: stuck.size == USUAL_WINDOW, "the whole window")
        connection.send(window_update(0, 1 << 20))
        for _ in range(3):
            assert connection.get("/").status == 200
            assert neighbour.get("/").status == 200
        connection.send(window_update(stuck.stream, 1 << 20))
        connection.until(lambda: stuck.ended, "the end")


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_window_that_shrinks_below_zero(server: Server) -> None:
    """§6.9.2: what was sent before counts; nothing comes until the window is above zero again."""
    with opened(server) as connection:
        connection.gives_credit = False
        answer = connection.head(connection.request("/big?200000"))
        connection.until(lambda: answer.size == USUAL_WINDOW, "the whole window")
        connection.send(settings({Setting.INITIAL_WINDOW_SIZE: 100}))
        connection.send(window_update(0, 1 << 20))
        connection.handshake()
        connection.send(window_update(answer.stream, USUAL_WINDOW - 100))  # zero
        connection.ping()
        assert answer.size == USUAL_WINDOW
        connection.send(window_update(answer.stream, 200_000))
        connection.until(lambda: answer.ended, "the end")


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_response_as_large_as_its_window(server: Server) -> None:
    """Where its end is known it comes with the last byte, and else as soon as there is credit."""
    with opened(server, settings={Setting.INITIAL_WINDOW_SIZE: 1000}) as connection:
        connection.gives_credit = False
        assert connection.get("/big?1000").ended
        assert connection.get("/big?0").ended
        assert connection.get("/stream?0").ended
        answer = connection.head(connection.request("/stream?1000"))
        connection.until(lambda: answer.size == 1000, "all of it")
        connection.send(window_update(answer.stream, 1))
        connection.until(lambda: answer.ended, "the end")


# -- up


@pytest.mark.parametrize("size", [1, 65_535, 65_536, 65_537, 3 * MEGABYTE])
@pytest.mark.parametrize(
    "options",
    [(), ("--request-buffer-memory=0",), ("--no-request-buffering",)],
    ids=["memory", "file", "streamed"],
)
@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_an_upload_arrives_whole(
    running_servers: Servers, kind: str, options: tuple[str, ...], size: int
) -> None:
    server = running_servers.on("h2c").get(*options, kind=kind)
    content = (bytes(range(32, 127)) * (size // 95 + 1))[:size]
    server.seen()
    with opened(server) as connection:
        assert connection.get("/", method="POST", body=content).status == 200
        assert connection.get("/", method="POST", body=content, trailers=[("x", "y")]).status == 200
    assert [request["body"] for request in server.seen()] == [content.decode()] * 2


def test_credit_comes_as_the_application_reads(asgi: Server, tmp_path: Path) -> None:
    """What nobody reads stays with the client; the window of the connection does not end with it."""
    gate = tmp_path / "gate"
    with opened(asgi) as connection:
        connection.handshake()
        stream = connection.begin_request(connection.fields("POST", f"/block?{gate}"), end=False)
        sent = 0
        while not connection.is_quiet(0.05 * PATIENCE) or connection.credit(stream) > 0:
            sent += connection.send_data(stream, b"u" * min(connection.credit(stream), 1 << 20))
        assert sent < 4 * MEGABYTE, "it took megabytes that nobody has read"
        assert connection.get("/").status == 200
        assert connection.get("/", method="POST", body=b"v" * 100_000).status == 200
        gate.touch()
        connection.send_data(stream, b"w" * 300_000, end=True)
        assert connection.answer(stream).status == 200


def test_more_than_the_window_is_an_error(asgi: Server, tmp_path: Path) -> None:
    """§6.9.1: FLOW_CONTROL_ERROR, of the stream or of the connection; the neighbour does not feel it."""
    gate = tmp_path / "gate"
    with opened(asgi) as connection, opened(asgi) as neighbour:
        connection.handshake()
        stream = connection.begin_request(connection.fields("POST", f"/block?{gate}"), end=False)
        while not connection.is_quiet(0.05 * PATIENCE) or connection.credit(stream) > 0:
            connection.send_data(stream, b"u" * min(connection.credit(stream), 1 << 20))
        connection.send(data(stream, b"u" * 16_384))
        answer = connection.strict.answers[stream]
        connection.until(lambda: answer.is_over or connection.strict.goaway, "an error")
        goaway = connection.strict.goaway
        assert (goaway[1] if goaway else answer.reset) == Code.FLOW_CONTROL_ERROR
        assert neighbour.get("/").status == 200
    gate.touch()


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_padding_is_credit_too(server: Server) -> None:
    """§6.1: the entire payload counts. A client that pads does not run dry."""
    with opened(server) as connection:
        connection.handshake()
        stream = connection.begin_request(connection.fields("POST", "/"), end=False)
        for _ in range(1500):
            connection.until(
                lambda: connection.credit(stream) > 256 or connection.strict.answers[stream].is_over, "credit"
            )
            connection.send(data(stream, b"x", pad=255))
        connection.send(data(stream, end=True))
        assert connection.answer(stream).status == 200
        assert connection.get("/next").status == 200


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_uploads_that_are_given_up_do_not_eat_the_window(server: Server) -> None:
    """§6.9: what came for a stream that is over counts for the connection, so it has to be given back."""
    with opened(server) as connection:
        connection.handshake()
        for _ in range(60):
            stream = connection.begin_request(connection.fields("POST", "/"), end=False)
            sent = connection.send_data(stream, b"u" * 30_000)
            assert sent == 30_000
            connection.send(b"\0\0\4\3\0" + stream.to_bytes(4) + b"\0\0\0\x08")
        assert connection.get("/", method="POST", body=b"u" * 200_000).status == 200


@pytest.mark.parametrize("kind", EITHER_KIND)
def test_a_body_that_is_refused_does_not_eat_the_window(running_servers: Servers, kind: str) -> None:
    """The answer comes before the body; what was under way is thrown away, and the connection goes on."""
    server = running_servers.on("h2c").get("--limit-request-body=1000", kind=kind)
    with opened(server) as connection:
        connection.handshake()
        for _ in range(30):
            stream = connection.begin_request(
                connection.fields("POST", "/", [("content-length", "60000")]), end=False
            )
            connection.send_data(stream, b"u" * 50_000)
            answer = connection.head(stream)
            assert answer.status == 413
            connection.until(lambda answer=answer: answer.is_over, "its end")
        assert connection.get("/", method="POST", body=b"u" * 1000).status == 200


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_windows_are_no_smaller_than_usual(server: Server) -> None:
    """And credit comes in steps that are worth a frame."""
    with opened(server) as connection:
        connection.get("/", method="POST", body=b"u" * 2_000_000)
        strict = connection.strict
        assert strict.settings.get(Setting.INITIAL_WINDOW_SIZE, USUAL_WINDOW) >= USUAL_WINDOW
        updates = [frame for frame in strict.seen if frame.kind == Type.WINDOW_UPDATE]
        assert len(updates) < 400, f"{len(updates)} updates for 2 MB"
