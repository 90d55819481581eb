"""A WebSocket's life: how it ends from either side, who waits for whom, and what an operator sees of it."""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from asgi_sockets import BROKEN_BEHIND
from harness.client import ClosedError
from harness.server import Server, Servers, wait_for
from harness.websocket import BINARY, CLOSE, PING, PONG, TEXT, Socket, close_payload, for_websockets, frame
from integration.asgi import Notes, ask, open_gate, resident, worker_of
from integration.live import Live
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

TERM, HUP = signal.SIGTERM, signal.SIGHUP
SOCKETS = "asgi_sockets:app"
MEGABYTE = 1 << 20
BOUND = 16 * MEGABYTE
RESTART, GOING_AWAY = 1012, 1001

_names = itertools.count()


@pytest.fixture
def server(servers: Servers) -> Server:
    return servers.get(kind="asgi", app=SOCKETS)


@pytest.fixture
def gate() -> str:
    return f"life-{next(_names)}"


# -- the client closes


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999])
@pytest.mark.parametrize("reason", ["", "caf\xe9 \N{SNOWMAN}", "r" * 123])
def test_a_close_of_the_client(server: Server, code: int, reason: str) -> None:
    """Its code comes back, and the application hears code and reason, however often it asks."""
    notes = Notes(server)
    with Socket(server, "/echo") as socket:
        assert socket.close(code, reason.encode()).code == code
    expected = {"type": "websocket.disconnect", "code": code, "reason": reason}
    assert notes.wait("disconnect") == expected
    assert notes.wait("again") == expected


def test_a_close_without_a_code_is_1005(server: Server) -> None:
    notes = Notes(server)
    with Socket(server, "/echo") as socket:
        socket.send(CLOSE)
        assert socket.receive().code in {1000, 1005}
        socket.client.wait_closed()
    assert notes.wait("disconnect")["code"] == 1005


@pytest.mark.parametrize("how", ["close", "abort"])
def test_a_client_that_goes_without_a_word_is_1006(server: Server, how: str) -> None:
    mark, notes = server.log_mark(), Notes(server)
    with Socket(server, "/echo") as socket:
        socket.text("hello")
        assert socket.message() == "hello"
        getattr(socket.client, how)()
        assert notes.wait("disconnect")["code"] == 1006
    assert "Traceback" not in server.log(mark)


def test_messages_before_the_close_are_delivered(server: Server, gate: str) -> None:
    """The application is slow, the client has long gone: it gets all that was said, then the end."""
    notes = Notes(server)
    behind = frame(BINARY, b"one") + frame(BINARY, b"two") + frame(CLOSE, close_payload(4000))
    with Socket(server, f"/counts-late?{gate}", behind=behind) as socket:
        assert socket.receive().code == 4000
        socket.client.wait_closed()
    open_gate(server, gate)
    assert notes.wait("count") == 2
    assert notes.wait("disconnect")["code"] == 4000


def test_nothing_is_read_behind_a_close(server: Server) -> None:
    with Socket(server, "/echo") as socket:
        socket.client.send(frame(CLOSE, close_payload(1000)) + frame(TEXT, b"behind"))
        assert socket.receive().code == 1000
        assert socket.client.read_to_end() == b""


# -- the application closes


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 3000, 4999])
def test_a_close_of_the_application(server: Server, code: int) -> None:
    notes = Notes(server)
    with Socket(server, f"/closes?{code},bye") as socket:
        got = socket.receive()
        assert (got.code, got.reason) == (code, "bye")
        socket.send(CLOSE, got.payload)
        socket.client.wait_closed()
    message = notes.wait("message")
    assert (message["type"], message["code"]) == ("websocket.disconnect", code)


def test_a_long_reason_is_cut_between_characters(server: Server) -> None:
    """RFC 6455 §5.5: a control frame has room for 123 bytes of it."""
    with Socket(server, "/closes?3000,LONG") as socket:
        assert socket.receive().reason == "r" + "\N{SNOWMAN}" * 40


def test_a_close_without_a_code_is_1000(server: Server) -> None:
    with Socket(server, "/closes-plainly") as socket:
        assert socket.closed_with() == 1000


def test_an_application_that_returns_is_1000(server: Server) -> None:
    """It has said all it wanted to say."""
    with Socket(server, "/returns") as socket:
        assert socket.message() == "that was all"
        assert socket.closed_with() == 1000


@pytest.mark.parametrize(
    "path", ["/raises", "/raises-cancelled", *(f"/broken-behind/{name}" for name in BROKEN_BEHIND)]
)
def test_an_application_that_fails_is_1011(server: Server, path: str) -> None:
    """The client learns that, the operator learns why."""
    mark = server.log_mark()
    with Socket(server, path) as socket:
        got = socket.receive()
        assert got.code == 1011
        assert "s3cr3t" not in got.reason
        socket.send(CLOSE, got.payload)
        socket.client.wait_closed()
    server.seen()
    assert "rror" in server.log(mark)
    assert path in server.log(mark)


def test_a_client_that_does_not_answer_a_close_is_cut(servers: Servers) -> None:
    server = servers.get("--websocket-close-timeout=0.3", kind="asgi", app=SOCKETS)
    with Socket(server, "/closes?1000,") as socket:
        start = time.monotonic()
        assert socket.receive().code == 1000
        socket.client.wait_closed()
        assert 0.2 < time.monotonic() - start < 3


def test_what_the_client_sends_behind_our_close_is_dropped(server: Server) -> None:
    """RFC 6455 §5.5.1: it may not have seen it yet."""
    with Socket(server, "/closes?1000,") as socket:
        assert socket.receive().code == 1000
        socket.text("crossing")
        socket.send(PING, b"x")
        socket.send(CLOSE, close_payload(1000))
        assert socket.client.read_to_end() in (b"", b"\x8a\x01x")


def test_send_raises_when_the_client_has_gone(server: Server) -> None:
    """ASGI 2.4: OSError."""
    notes = Notes(server)
    with Socket(server, "/sends-late") as socket:
        socket.client.abort()
    notes.wait("disconnect")
    assert notes.wait("error")


def test_send_raises_behind_a_close(server: Server) -> None:
    notes = Notes(server)
    with Socket(server, "/sends-behind-close") as socket:
        assert socket.closed_with() == 3000
    notes.wait("error", times=2)
    assert [value[0] for key, value in notes.all if key == "error"] == ["websocket.send", "websocket.close"]


def test_two_tasks(server: Server, gate: str) -> None:
    notes = Notes(server)
    with Socket(server, f"/two-tasks?{gate}") as socket:
        assert socket.message() == "first"
        open_gate(server, gate)
        assert socket.message() == "second"
        assert socket.close().code == 1000
    assert notes.wait("disconnect")["code"] == 1000
    assert notes.wait("cancelled") is True


def test_a_task_that_goes_on_is_cancelled_after_the_grace_period(servers: Servers, gate: str) -> None:
    server = servers.get("--asgi-disconnect-grace-period=0.3", kind="asgi", app=SOCKETS)
    notes = Notes(server)
    with Socket(server, f"/ignores-disconnect?{gate}") as socket:
        socket.client.abort()
        assert notes.wait("disconnect")["code"] == 1006
        assert 0.2 < notes.wait("cancelled") < 3


# -- pings of the server

PINGS = ("--websocket-ping-interval=0.2", "--websocket-ping-timeout=0.4")


def test_a_silent_client_is_pinged(servers: Servers) -> None:
    """And kept, as long as it answers."""
    server = servers.get(*PINGS, kind="asgi", app=SOCKETS)
    with Socket(server, "/echo") as socket:
        start = time.monotonic()
        for _ in range(4):
            got = socket.receive()
            assert got.opcode == PING
            socket.send(PONG, got.payload)
        assert time.monotonic() - start > 0.6
        socket.text("still here")
        assert socket.message() == "still here"


def test_a_client_that_does_not_answer_is_cut(servers: Servers) -> None:
    server = servers.get(*PINGS, kind="asgi", app=SOCKETS)
    notes = Notes(server)
    with Socket(server, "/echo") as socket:
        start = time.monotonic()
        assert socket.receive().opcode == PING
        rest = socket.client.read_to_end()
        assert rest == b"" or rest[0] & 0x0F in {PING, CLOSE}
        assert 0.4 < time.monotonic() - start < 4
    assert notes.wait("disconnect")["code"] == 1006


def test_no_pings_on_request(servers: Servers) -> None:
    server = servers.get("--websocket-ping-interval=0", *PINGS[1:], kind="asgi", app=SOCKETS)
    with Socket(server, "/echo") as socket:
        assert socket.client.is_quiet(1.0)


def test_pings_flow_while_the_application_works(servers: Servers, gate: str) -> None:
    """It does not have to call receive() for its client to be told that somebody is there."""
    server = servers.get(*PINGS, kind="asgi", app=SOCKETS)
    with Socket(server, f"/reads-late?{gate}") as socket:
        socket.send(PING, b"are you there?")
        seen = [socket.receive() for _ in range(2)]
        assert (PONG, b"are you there?") in [(got.opcode, got.payload) for got in seen]
        open_gate(server, gate)


# -- back-pressure


def test_an_application_that_does_not_read_stops_the_client(server: Server, gate: str) -> None:
    """50 MB in messages wait outside; all of them arrive when it reads again."""
    pid, notes = worker_of(server), Notes(server)
    message = frame(BINARY, b"m" * 10_000)
    wire = message * 5000
    with Socket(server, f"/reads-late?{gate}", timeout=30) as socket:
        notes.wait("entered")
        before = resident(pid)
        sent = socket.client.send_some(wire, until=time.monotonic() + 0.5)
        assert sent < BOUND
        assert resident(pid) - before < 4 * MEGABYTE
        open_gate(server, gate)
        socket.client.send(wire[sent:])
        socket.text("end")
        assert socket.message() == f"5000 {5000 * 10_000}"
        assert resident(pid) - before < 8 * MEGABYTE
        assert socket.close().code == 1000


@pytest.mark.slow
def test_the_queue_of_small_messages_is_bounded(servers: Servers, gate: str) -> None:
    """By their number: what a message costs is not its bytes alone."""
    server = servers.get("--websocket-max-queue=4", kind="asgi", app=SOCKETS)
    pid, notes = worker_of(server), Notes(server)
    count = 500_000
    wire = frame(BINARY, b"m") * count
    with Socket(server, f"/reads-late?{gate}", timeout=30) as socket:
        notes.wait("entered")
        before = resident(pid)
        sent = socket.client.send_some(wire, until=time.monotonic() + 0.5)
        assert resident(pid) - before < 4 * MEGABYTE
        open_gate(server, gate)
        socket.client.send(wire[sent:])
        socket.text("end")
        assert socket.message() == f"{count} {count}"


def test_a_client_that_does_not_read_makes_send_wait(server: Server) -> None:
    pid, notes = worker_of(server), Notes(server)
    before = resident(pid)
    with Socket(server, "/sends?3000,10000", receive_buffer=65536, timeout=30) as socket:
        assert notes.wait("waits", deadline=10) * 10_000 < BOUND
        assert "sent" not in notes
        assert resident(pid) - before < 4 * MEGABYTE
        for number in range(3000):
            message = socket.message()
            assert isinstance(message, bytes)
            assert message[:4] == number.to_bytes(4)
        notes.wait("sent")
        assert socket.closed_with() == 1000


def test_a_client_that_never_reads_is_cut(servers: Servers) -> None:
    """By `write_timeout`, as with any response."""
    server = servers.get("--write-timeout=0.4", kind="asgi", app=SOCKETS)
    notes = Notes(server)
    with Socket(server, "/sends?3000,10000", receive_buffer=4096) as socket:
        notes.wait("waits", deadline=10)
        wait_for(socket.is_lost, "the server has given up", deadline=5)
    assert "sent" not in notes


def test_pings_of_a_client_that_never_reads_are_bounded(server: Server) -> None:
    """Each wants an answer; a client that takes none of them does not fill our memory."""
    pid = worker_of(server)
    with Socket(server, "/echo", receive_buffer=4096) as socket:
        before = resident(pid)
        socket.client.send_some(frame(PING, b"p" * 125) * 200_000, until=time.monotonic() + 1.0)
        assert server.get("/quick")[0] == 200
        assert resident(pid) - before < 4 * MEGABYTE


def test_many_sockets_at_once(server: Server) -> None:
    sockets = [Socket(server, "/echo") for _ in range(100)]
    try:
        for number, socket in enumerate(sockets):
            socket.text(f"{number}")
        for number, socket in enumerate(sockets):
            assert socket.message() == f"{number}"
        with server.connect() as client:
            assert ask(client, "/quick").body == b"quick"
    finally:
        for socket in sockets:
            socket.client.close()


# -- limits that are for requests


def test_time_limits_of_requests_do_not_hold(servers: Servers) -> None:
    """An open WebSocket is no idle connection, no slow head, no slow body and no slow application."""
    limits = ("--keep-alive=0.2", "--header-timeout=0.2", "--body-timeout=0.2", "--request-timeout=0.2")
    server = servers.get(*limits, kind="asgi", app=SOCKETS)
    with Socket(server, "/echo") as socket:
        assert socket.client.is_quiet(1.0)
        socket.text("still here")
        assert socket.message() == "still here"


# -- the service


def live_server(*options: str) -> Live:
    return Live(SOCKETS, *options, kind="asgi", ready="/quick")


@pytest.mark.parametrize(
    ("act", "code"),
    [
        (lambda live: live.signal(TERM), GOING_AWAY),
        (lambda live: live.signal(HUP), RESTART),
        pytest.param(lambda live: live.signal(signal.SIGUSR2), RESTART, marks=pytest.mark.slow),
    ],
    ids=["TERM", "HUP", "USR2"],
)
def test_a_drain_tells_why(act: Callable[[Live], None], code: int) -> None:
    """1001: the server goes away. 1012: come back, another worker is there already."""
    with live_server() as live, Socket(live, "/echo", timeout=10) as socket:
        socket.text("hello")
        assert socket.message() == "hello"
        act(live)
        assert socket.closed_with() == code
        if code == RESTART:
            with Socket(live, "/echo") as again:
                again.text("again")
                assert again.message() == "again"
        else:
            assert live.wait_exit() == 0
            assert "Traceback" not in live.log()


def test_a_worker_that_is_replaced_tells_so() -> None:
    """max_requests: the WebSocket has to move, and may at once."""
    with live_server("--max-requests=5") as live, Socket(live, "/echo", timeout=10) as socket:
        for _ in range(5):
            live.request("/quick")
        assert socket.closed_with() == RESTART
        with Socket(live, "/echo") as again:
            again.text("again")
            assert again.message() == "again"


def test_a_client_that_ignores_the_drain_is_bounded() -> None:
    with live_server("--graceful-timeout=1", "--websocket-close-timeout=30") as live:
        with Socket(live, "/echo", timeout=10) as socket:
            live.signal(TERM)
            assert socket.receive().code == GOING_AWAY
            with suppress(ClosedError):
                socket.client.wait_closed()
        live.wait_exit(8)


def test_reconnecting_clients_lose_no_echo_over_reloads() -> None:
    """A client as it should be: closed with 1012 or 1001 it connects again; every message is answered."""
    with live_server() as live:
        for generation in (2, 3):
            with connect(**for_websockets(live, "/echo")) as client:
                client.send("before")
                assert client.recv(timeout=5) == "before"
                live.signal(HUP)
                with pytest.raises(ConnectionClosed) as closed:
                    client.recv(timeout=10)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == RESTART
            with connect(**for_websockets(live, "/echo")) as client:
                client.send("after")
                assert client.recv(timeout=5) == "after"
            live.wait_log(f"Reload done: generation {generation} serves", deadline=20)


def test_the_access_log(tmp_path: Path) -> None:
    """One line at the end of the connection; a refusal has its own."""
    access = tmp_path / "access.log"
    options = (f"--access-logfile={access}", '--access-logformat="%(r)s" %(s)s')
    with live_server(*options) as live:
        with Socket(live, "/echo") as socket:
            socket.text("hello")
            assert socket.message() == "hello"
            live.request("/quick")
            wait_for(lambda: access.read_text().count("/quick") == 2, "the requests are logged")
            assert "/echo" not in access.read_text()
            assert socket.close().code == 1000
        with Socket(live, "/rejects") as socket:
            assert socket.response.status == 403
        wait_for(lambda: "/rejects" in access.read_text(), "the refusal is logged")
        lines = access.read_text().splitlines()
    assert lines.count('"GET /echo HTTP/1.1" 101') == 1
    assert lines.count('"GET /rejects HTTP/1.1" 403') == 1


def test_idle_sockets_cost_little(server: Server) -> None:
    pid = worker_of(server)
    sockets = [Socket(server, "/echo") for _ in range(20)]  # what is made once is there
    try:
        before = resident(pid)
        sockets += [Socket(server, "/echo") for _ in range(400)]
        assert (resident(pid) - before) / 400 < 16_384
    finally:
        for socket in sockets:
            socket.client.close()
