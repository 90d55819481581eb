"""The load of WebSocket messages, compiled and let loose on servers that echo rightly and wrongly.

The `websockets` package is the judge of what our frames say; its handlers give the wrong answers too."""

import shutil
import socket
import threading
from contextlib import contextmanager
from dataclasses import replace

import pytest
from websockets.sync.server import serve

from bench import environment, frames, idle, paths, wsload
from bench.scenarios import Form, Message, by_name
from bench.wrk import WrkError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(map(shutil.which, ("cc", "taskset"))), reason="needs cc and util-linux"),
]

SECONDS = 0.2
MESSAGES = (
    Message(1),
    Message(125),
    Message(126),
    Message(65535),
    Message(65536, Form.BINARY),
    Message(300_000, Form.BINARY),
    Message(2048, Form.DEFLATE),
)


@pytest.fixture(scope="module", autouse=True)
def work(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setattr(paths, "WORK", tmp_path_factory.mktemp("work"))
    patch.setattr(paths, "WSLOAD", paths.WORK / "wsload")
    assert environment.compile_program("wsload", paths.WSLOAD) == ""
    yield
    patch.undo()


@contextmanager
def echo_server(handler, **settings):
    with serve(handler, "127.0.0.1", 0, **settings) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.socket.getsockname()[1]
        finally:
            server.shutdown()
            thread.join()


def echo(connection):
    for message in connection:
        connection.send(message)


def scenario(message, connections=3):
    return replace(by_name("asgi-websocket-32b"), name="test", message=message, connections=connections)


def drive(port, message, connections=3):
    with wsload.connected(scenario(message, connections), port) as run:
        return run(SECONDS)


@pytest.mark.parametrize("message", MESSAGES, ids=str)
def test_each_echo_is_counted(message):
    got = []

    def counting(connection):
        for text in connection:
            got.append(text)
            connection.send(text)

    with echo_server(counting) as port:
        result = drive(port, message)
    assert (result.requests, result.failures) == (len(got), 0)
    assert result.requests >= 3
    assert 0 < result.p50_ms <= result.p99_ms < 1000 * SECONDS + 1000
    plain = wsload.plain(message)
    assert set(got) == {plain if message.form is Form.BINARY else plain.decode()}


@pytest.mark.parametrize("message", MESSAGES, ids=str)
def test_the_check_before_a_measurement_takes_a_right_echo(message):
    with echo_server(echo) as port:
        answer = frames.echo_once(port, wsload.frame(message), wsload.plain(message))
    assert answer.compressed == (message.form is Form.DEFLATE)


@pytest.mark.parametrize("wrong", [str.upper, str.encode])
def test_the_check_refuses_another_text_and_another_opcode(wrong):
    def handler(connection):
        for message in connection:
            connection.send(wrong(message))

    with echo_server(handler) as port, pytest.raises(frames.FrameError, match="another echo"):
        frames.echo_once(port, frames.Frame(frames.TEXT, b"x"), b"x")


def test_the_check_refuses_a_server_that_does_not_compress():
    message = Message(2048, Form.DEFLATE)
    with echo_server(echo, compression=None) as port, pytest.raises(frames.FrameError, match="deflate"):
        frames.echo_once(port, wsload.frame(message), wsload.plain(message))


def test_echoes_in_fragments_and_pings_between_them_are_one_message():
    def fragmenting(connection):
        for message in connection:
            connection.send(iter([message[:3], message[3:5], message[5:]]))
            connection.ping()

    with echo_server(fragmenting) as port:
        result = drive(port, Message(32))
        assert frames.echo_once(port, frames.Frame(frames.TEXT, b"abcdefg"), b"abcdefg").payload == b"abcdefg"
    assert result.requests >= 3
    assert result.failures == 0


@pytest.mark.parametrize(
    "wrong",
    [
        lambda message: message.upper(),
        lambda message: message[:-1],
        lambda message: message + "x",
        lambda message: message.encode(),
    ],
    ids=["other text", "shorter", "longer", "binary"],
)
def test_a_wrong_echo_is_a_failure(wrong):
    def handler(connection):
        for message in connection:
            connection.send(wrong(message))

    with echo_server(handler) as port:
        assert drive(port, Message(32)).failures >= 3


def test_a_connection_that_the_server_closes_is_a_failure():
    def once(connection):
        connection.send(connection.recv())

    with echo_server(once) as port:
        result = drive(port, Message(32), connections=5)
    assert (result.requests, result.failures) == (5, 5)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
    ],
    ids=["no upgrade", "wrong accept"],
)
def test_a_failed_handshake_is_a_failure(answer):
    sent = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse():
            for _ in range(2):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(answer)
                    sent.append(connection.recv(4096))

        thread = threading.Thread(target=refuse)
        thread.start()
        with wsload.connected(scenario(Message(32), 2), listener.getsockname()[1]) as run:
            result = run(SECONDS)
        thread.join()
    assert (result.requests, result.failures) == (0, 2)
    assert sent == [b"", b""]  # no message on such a connection


def test_a_client_that_ends_early_is_an_error(monkeypatch):
    monkeypatch.setattr(paths, "WSLOAD", "/bin/false")
    with pytest.raises(WrkError, match="ended early"), wsload.connected(scenario(Message(32)), 1):
        pytest.fail("it was never ready")


def test_idle_websockets_have_echoed_and_stay_open():
    steps = idle.websocket(wsload.frame(Message(32)))
    with echo_server(echo) as port:
        sockets = idle.open_all(port, 60, steps)
        assert len(sockets) == 60
        assert all(idle.still_open(sock) for sock in sockets)
        for sock in sockets:
            sock.close()
