"""Connections that their application takes over (environ["tricorn.socket"], environ["gunicorn.socket"])."""

from __future__ import annotations

import contextlib
import json
import signal
from pathlib import Path
from typing import Any

import pytest
from harness.axes import KINDS_OF
from harness.client import Client
from harness.server import Server, Servers, wait_for
from harness.websocket import for_websockets
from integration.live import Live, message
from taken import HEAD
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

APP = "taken:app"
ASKS = ("Connection: Upgrade", "Upgrade: echo")

each_kind = pytest.mark.parametrize("kind", KINDS_OF["wsgi"])
#: Those on which one request may last while others are served.
overlapping = pytest.mark.parametrize("kind", [kind for kind in KINDS_OF["wsgi"] if kind != "sync"])

SLOWER = [pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS_OF["wsgi"] if kind != "gthread"]


@pytest.fixture
def server(servers: Servers, kind: str) -> Server:
    return servers.get("--access-logfile=-", app=APP, kind=kind)


def taken(server: Server, path: str, first: bytes = b"", **options: Any) -> Client:
    """A client that has read the head that the application sent. first: it sends this with its request."""
    client = server.connect(timeout=10, **options)
    client.send(message(path, fields=ASKS) + first)
    assert client.read_until(b"\r\n\r\n") + b"\r\n\r\n" == HEAD
    return client


def descriptors(server: Server) -> int:
    return len(list(Path(f"/proc/{server.worker_pid}/fd").iterdir()))


def wait_line(server: Server, mark: int, text: str) -> None:
    wait_for(lambda: text in server.log(mark), f"{text!r} in the log")


@each_kind
@pytest.mark.parametrize("first", [b"", b"with the request;"], ids=["alone", "more"])
def test_bytes_go_both_ways_until_the_client_ends(server: Server, first: bytes) -> None:
    mark = server.log_mark()
    with taken(server, "/echo", first) as client:
        assert client.read_exactly(len(first)) == first
        for size in (1, 1000, 200_000, 65536):
            data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
            client.send(data)
            assert client.read_exactly(size) == data
        client.finish()
        assert client.read_to_end() == b"bye"
        assert not client.reset
    wait_line(server, mark, '"GET /echo HTTP/1.1" 101')
    assert "Error" not in server.log(mark)


@each_kind
@pytest.mark.parametrize(
    "path", ["/answers", "/fails?StopIteration", "/fails?ConnectionResetError", "/fails?ValueError"]
)
def test_nothing_of_ours_follows(server: Server, path: str) -> None:
    """Neither the application's response nor an error page; and of its exceptions two are no errors."""
    mark = server.log_mark()
    with taken(server, path, b"once") as client:
        assert client.read_to_end() == b"once"
    wait_line(server, mark, f'"GET {path} HTTP/1.1" 101')
    assert server.log(mark).count("Error in the application") == ("ValueError" in path)


@each_kind
def test_it_may_be_kept_behind_the_request(server: Server) -> None:
    with taken(server, "/keeps") as client, taken(server, "/keeps") as other:
        for each, data in ((client, b"one"), (other, b"two"), (client, b"three")):
            assert server.get("/")[0] == 200
            each.send(data)
            assert each.read_exactly(len(data)) == data


@each_kind
def test_a_thread_of_the_applications_may_take_it(server: Server) -> None:
    with taken(server, "/elsewhere", b"some") as client:
        assert client.read_exactly(4) == b"some"
        client.finish()
        assert client.read_to_end() == b"bye"


@each_kind
def test_what_was_sent_before_comes_first(server: Server) -> None:
    with server.connect(timeout=10, receive_buffer=65536) as client:
        client.send(message("/large") + message("/echo", fields=ASKS) + b"behind")
        assert client.response().body == b"l" * (4 << 20)
        assert client.read_until(b"\r\n\r\n") + b"\r\n\r\n" == HEAD
        assert client.read_exactly(6) == b"behind"


@overlapping
def test_whoever_waits_for_that_holds_up_nobody(server: Server) -> None:
    with server.connect(timeout=10, receive_buffer=65536) as client:
        client.send(message("/hinted", fields=ASKS) + b"behind")
        client.more()
        for _ in range(3):
            assert server.get("/")[0] == 200
        while (head := client.read_until(b"\r\n\r\n")).startswith(b"HTTP/1.1 103 "):
            pass
        assert head + b"\r\n\r\n" == HEAD
        assert client.read_exactly(6) == b"behind"


@each_kind
def test_an_end_is_seen_while_the_request_goes_on(server: Server, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with taken(server, f"/closes?{gate}") as client:
        client.wait_closed()
        gate.touch()


@each_kind
def test_when_there_is_none_and_when_it_is_too_late(server: Server) -> None:
    with server.connect(timeout=10) as client:
        for request, expected in (
            (message("/echo"), []),
            (message("/echo", method="POST", body=b"x", fields=ASKS), []),
            (message("/echo", fields=ASKS[1:]), []),
            (message("/other", fields=ASKS), ["tricorn.socket", "gunicorn.socket"]),
        ):
            client.send(request)
            assert json.loads(client.response().body) == expected
        client.send(message("/late", fields=ASKS))
        assert client.response().body == b"first;GatewayError"
        client.send(message("/looks", fields=ASKS))
        found = json.loads(client.response().body)
        assert found.pop("repr") == "<ClientSocket: not taken over>"
        assert found == {"odd": [False] * 4, "peer": True, "own": True, "same": True}


@each_kind
def test_clients_that_leave_anyhow_cost_nothing(server: Server) -> None:
    server.seen()
    before = descriptors(server)
    for number in range(12):
        with taken(server, ("/echo", "/keeps", "/fails?ValueError")[number % 3], b"x") as client:
            assert client.read_exactly(1) == b"x"
            if number % 2:
                client.abort()
    wait_for(lambda: descriptors(server) <= before, "all descriptors are closed")


@pytest.mark.parametrize("kind", ["gthread", *SLOWER])
def test_a_stop_cuts_it_as_an_event_stream(kind: str, wire: str) -> None:
    with (
        Live(APP, "--stream-timeout=0.2", kind=kind, wire=wire) as live,
        contextlib.ExitStack() as clients,
    ):
        client = clients.enter_context(taken(live, "/echo", b"some"))
        assert client.read_exactly(4) == b"some"
        live.signal(signal.SIGTERM)
        live.wait_log("Cut 1 response that still went on")
        with contextlib.suppress(AssertionError):  # of TLS: the end of the socket is all that it is told
            client.read_to_end()
        assert live.wait_exit() == 0
        assert "Traceback" not in live.log()


class TestFlaskSock:
    """What finds its socket in the environ: simple-websocket, which Flask-Sock and Flask-SocketIO use."""

    @pytest.fixture
    def sockets(self, servers: Servers, kind: str) -> Server:
        return servers.get(app="sock_site:served", kind=kind)

    @overlapping
    def test_messages(self, sockets: Server) -> None:
        with connect(**for_websockets(sockets, "/echo")) as socket:
            for text in ("one", "caf\xe9", "x" * 100_000):
                socket.send(text)
                assert socket.recv(10) == text
            socket.send("close")
            with pytest.raises(ConnectionClosed) as ended:
                socket.recv(10)
            assert (ended.value.rcvd.code, ended.value.rcvd.reason) == (4000, "as you say")

    @overlapping
    def test_errors(self, sockets: Server) -> None:
        mark = sockets.log_mark()
        with connect(**for_websockets(sockets, "/fails")) as socket:
            socket.send("one")
            assert socket.recv(10) == "one"
            with pytest.raises(ConnectionClosed):
                socket.recv(10)
        wait_line(sockets, mark, "ValueError: on purpose")
        assert sockets.get("/")[1] == b"hello"
        with pytest.raises(InvalidStatus), connect(**for_websockets(sockets, "/nowhere")):
            pass


class TestEventlet:
    """Eventlet's own WebSockets, which take the socket without a response."""

    @pytest.fixture
    def sockets(self, servers: Servers) -> Server:
        return servers.get(app="websockets_of_eventlet:app", kind="eventlet")

    @pytest.mark.slow
    def test_messages(self, sockets: Server) -> None:
        mark = sockets.log_mark()
        with connect(**for_websockets(sockets, "/echo")) as socket:
            for text in ("one", b"two", "x" * 100_000):
                socket.send(text)
                assert socket.recv(10) == text
            socket.send("close")
            with pytest.raises(ConnectionClosed):
                socket.recv(10)
        assert "Error" not in sockets.log(mark)
