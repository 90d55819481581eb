"""What happens at the wrong moment: bytes that came earlier than their turn, ends that nobody waits for."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from harness.client import Client
from harness.server import Server, Servers, wait_for
from harness.websocket import PING, PONG, UPGRADE, Socket
from integration.asgi import Notes, ask, get, open_gate
from integration.live import Live

EDGES = "asgi_edges:app"
LARGE = 20_000_000

_names = itertools.count()


@pytest.fixture
def server(servers: Servers) -> Server:
    return servers.get(kind="asgi", app=EDGES)


@pytest.fixture
def gate() -> str:
    return f"edges-{next(_names)}"


@contextmanager
def sending(client: Client, data: bytes) -> Iterator[None]:
    """Sends `data` while the client reads."""
    thread = threading.Thread(target=client.send, args=(data,))
    thread.start()
    yield
    thread.join(10)


# -- what has come earlier goes first


def test_requests_that_wait_behind_a_large_response_keep_their_order(server: Server) -> None:
    """Some are read and kept, others still in the socket, when the client has read all of the response."""
    count = 5000
    requests = b"".join(get(f"/query?{number}") for number in range(count))
    with server.connect(timeout=10) as client, sending(client, get("/large") + requests):
        assert len(client.response().body) == LARGE
        assert [int(client.response().body) for _ in range(count)] == list(range(count))


def test_messages_that_wait_behind_a_large_one_keep_their_order(server: Server) -> None:
    """The application falls behind, and catches up when its client has read."""
    count = 6000
    with Socket(server, "/large-first", timeout=10) as socket:
        socket.text("begin")
        for number in range(count):
            socket.text(f"{number:08}" + "." * 40)
        assert len(socket.message()) == LARGE
        assert [int(socket.message()) for _ in range(count)] == list(range(count))


def test_a_body_that_another_request_takes_does_not_overwrite_what_is_behind_that(server: Server) -> None:
    """Requests are served where they were read; a body that is asked for meanwhile is read elsewhere."""
    count = 20
    body = get("/query?from-the-body") * 200
    notes = Notes(server)
    with server.connect() as holder, server.connect() as taker:
        holder.send(get("/keep-receive", b"Content-Length: %d" % (len(body) + 3), method="POST") + b"***")
        notes.wait("kept")
        assert ask(taker, "/take").body == b"3"
        with standing_still(server):
            taker.send(get("/take?last") + b"".join(get(f"/query?{number}") for number in range(count)))
            holder.send(body)
        assert int(taker.response().body) > 0
        assert [int(taker.response().body) for _ in range(count)] == list(range(count))
        assert holder.response().body == b"over"


@contextmanager
def standing_still(server: Server) -> Iterator[None]:
    """What is sent meanwhile is all there when the worker looks again."""
    assert server.worker_pid is not None
    os.kill(server.worker_pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.worker_pid, signal.SIGCONT)


# -- handshakes


def test_a_handshake_with_a_body_is_no_handshake(server: Server) -> None:
    """Nobody reads the body of a WebSocket's request, and what nobody reads must not become a request."""
    inner = get("/query?smuggled")
    with server.connect() as client:
        client.send(get("/query?outer", *UPGRADE, b"Content-Length: %d" % len(inner)) + inner)
        assert client.response().body == b"outer"
        client.send(get("/query?next"))
        assert client.response().body == b"next"


def test_a_handshake_with_an_empty_body_is_one(server: Server) -> None:
    with Socket(server, "/echo", b"Content-Length: 0") as socket:
        assert socket.response.status == 101
        socket.text("here")
        assert socket.message() == "here"


# -- several tasks of one request


def test_who_waits_in_send_goes_on_when_another_ends_the_response(server: Server) -> None:
    notes = Notes(server)
    with server.connect() as client:
        client.send(get("/two-senders"))
        notes.wait("ended")
        assert notes.wait("went on") is None
        assert len(client.response().body) == LARGE + 3


def test_who_waits_in_receive_is_told_when_the_application_fails(server: Server) -> None:
    notes = Notes(server)
    with server.connect() as client:
        assert ask(client, "/leaves-listener").status == 500
    notes.wait("listening")
    assert notes.wait("heard") == "http.disconnect"


def test_work_behind_the_response_goes_on_though_the_client_had_ended_before_it(
    servers: Servers, gate: str
) -> None:
    """It has closed its side only, and has had its response."""
    server = servers.get("--asgi-disconnect-grace-period=0.3", kind="asgi", app=EDGES)
    notes = Notes(server)
    with server.connect() as client, server.connect() as other:
        client.send(get(f"/works-on?{gate}"))
        client.finish()
        notes.wait("entered")
        open_gate(server, f"{gate}-answer")
        assert client.response().body == b"answered"
        other.send(get("/waits"))  # until the first one would have been cancelled
        notes.wait("entered", times=2)
        other.close()
        notes.wait("cancelled")
        open_gate(server, f"{gate}-end")
        wait_for(lambda: "worked" in notes or "stopped working" in notes, "its end")
        assert "stopped working" not in notes


def test_a_task_is_cancelled_once(servers: Servers, gate: str) -> None:
    """Its client has ended, then it is found to be gone, and both mean the same: cleaning up goes on."""
    server = servers.get("--asgi-disconnect-grace-period=0.3", kind="asgi", app=EDGES)
    notes = Notes(server)
    client, other = server.connect(), server.connect()
    client.send(get(f"/cleans-up?{gate}"))
    notes.wait("entered")
    client.finish()
    notes.wait("begins to clean")
    client.abort()
    notes.wait("cleaning")
    other.send(get("/waits"))  # until the first one would have been cancelled again
    notes.wait("entered", times=2)
    other.close()
    notes.wait("cancelled")
    open_gate(server, gate)
    notes.wait("clean")


def test_a_close_that_comes_too_late_is_an_oserror(server: Server, gate: str) -> None:
    """The client was quicker. The application cannot know that: it is no mistake (ASGI 2.4)."""
    mark, notes = server.log_mark(), Notes(server)
    with Socket(server, f"/closes-too-late?{gate}") as socket:
        socket.close()
    open_gate(server, gate)
    assert notes.wait("error") is True
    assert "Traceback" not in server.log(mark)


def test_headers_that_are_none_do_not_keep_the_file_open(server: Server) -> None:
    def files() -> int:
        return int(server.get("/files")[1])

    before = files()
    for _ in range(20):
        with server.connect() as client:
            assert ask(client, "/wrong-file-headers").status == 500
    wait_for(lambda: files() < before + 20, "the files are closed, perhaps not yet all connections")


# -- WebSockets whose application is slow


@pytest.mark.slow
def test_a_client_is_not_blamed_for_an_application_that_reads_nothing(servers: Servers, gate: str) -> None:
    """What the application does not take is not read, and so are the answers to our pings behind it."""
    options = ("--websocket-ping-interval=0.3", "--websocket-ping-timeout=0.3")
    server = servers.get(*options, kind="asgi", app=EDGES)
    notes = Notes(server)
    with Socket(server, f"/late?{gate}") as socket:
        notes.wait("entered")
        for number in range(100):
            socket.text(str(number))
        for _ in range(4):
            got = socket.receive()
            assert got.opcode == PING, got
            socket.send(PONG, got.payload)
        open_gate(server, gate)
        assert [int(socket.message()) for _ in range(100)] == list(range(100))


def test_websockets_count_as_requests_of_max_requests() -> None:
    """Also where the last one is a WebSocket."""
    with Live(EDGES, "--max-requests=3", kind="asgi", ready="/query") as live:
        assert live.get("/query?2")[0] == 200
        with Socket(live, "/echo") as socket:
            socket.text("last")
            assert socket.message() == "last"
            assert socket.close().code == 1000
        live.wait_log("is ready", times=2)


# -- logs


def test_the_target_in_the_log_is_what_came() -> None:
    """Here the path that the application is given is as long: two were decoded, a root path put in front."""
    with Live(EDGES, "--root-path=/api", kind="asgi", ready="/query") as live:
        assert live.request("/%0a%0a").status == 500
        live.wait_log("(GET /%0a%0a)")


# -- clients that are found to be gone when they are answered


@pytest.mark.parametrize("line", [b"Connection: close", b"Connection: keep-alive"])
def test_a_client_that_has_gone_when_its_response_is_sent(
    servers: Servers, tmp_path_factory: pytest.TempPathFactory, line: bytes
) -> None:
    """On a Unix socket that shows in send(), with the request still readable."""
    address = str(tmp_path_factory.mktemp("gone") / "socket")
    server = servers.get(kind="asgi", app=EDGES, address=address)
    for _ in range(3):
        clients = [server.connect().secured() for _ in range(5)]
        with standing_still(server):
            for client in clients:
                client.send(get("/query?x", line))
                client.close()
        assert server.seen() == []  # by the same worker


@pytest.mark.slow
def test_what_is_held_back_stays_behind_what_is_queued(
    servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Its client reads again when some of a response had to be queued and the next piece was held back."""
    address = str(tmp_path_factory.mktemp("slow") / "socket")
    server = servers.get(kind="asgi", app=EDGES, address=address)
    notes = Notes(server)
    with server.connect() as listener, server.connect(timeout=10) as client:
        listener.send(get("/listens"))
        notes.wait("listens")
        client.send(get("/tells-two"))
        while len(client.buffer) < 600_000:  # more slowly than the application sends
            client.buffer += client.socket.recv(8000)
            time.sleep(0.008)
        content = client.response().body
    assert content == b"".join(b"%08d" % number * 750 for number in range(240))


@pytest.mark.slow
def test_a_connection_with_a_response_to_send_is_not_idle(
    servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Responses were handed over before it showed that the client had not read those before; with as many as
    fit but one, the last is such a one."""
    address = str(tmp_path_factory.mktemp("idle") / "socket")
    server = servers.get("--keep-alive=1", kind="asgi", app=EDGES, address=address)
    clients = [server.connect(timeout=10) for _ in range(40)]
    for turn in range(1, len(clients)):
        for client in clients[turn:]:
            client.send(get("/sized"))
        server.seen()
    with server.connect() as idle:
        assert ask(idle, "/query?x").status == 200
        idle.wait_closed()
    for turn, client in enumerate(clients):
        with client:
            assert [len(client.response().body) for _ in range(turn)] == [14_000] * turn


@pytest.mark.slow
def test_the_time_to_close_begins_when_the_close_is_sent(
    servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What was sent before it may take the client longer."""
    address = str(tmp_path_factory.mktemp("close") / "socket")
    server = servers.get("--websocket-close-timeout=0.3", kind="asgi", app=EDGES, address=address)
    notes = Notes(server)
    with Socket(server, "/large-then-close", timeout=10) as slow:
        taken = [slow.client.buffer]
        left = LARGE
        # Asking takes long, over TLS: only where buffers may hold the rest.
        while left > 2_000_000 or "closed" not in notes:
            taken.append(slow.client.socket.recv(50_000))
            left -= len(taken[-1])
        assert left > 0, "it has ended its response before all was taken"
        with Socket(server, "/refuses-to-wait") as other:  # is cut, so the first one would have been too
            other.client.read_to_end()
        slow.client.buffer = b"".join(taken)
        assert len(slow.message()) == LARGE
        assert slow.closed_with() == 1000
