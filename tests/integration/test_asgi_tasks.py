"""An application is a task: how it hears that its client has gone, who cancels it, what asyncio does."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from asgi_pages import TOOLS
from harness.client import Client, ClosedError
from harness.server import Server, Servers, wait_for
from integration.asgi import PAGES, Notes, ask, get, open_gate

GRACE = 0.3
SHORT_GRACE = (f"--asgi-disconnect-grace-period={GRACE}",)
LONG_GRACE = ("--asgi-disconnect-grace-period=20",)

_names = itertools.count()


@pytest.fixture
def server(servers: Servers) -> Server:
    return servers.get(*LONG_GRACE, kind="asgi", app=PAGES)


@pytest.fixture
def gate() -> str:
    return f"tasks-{next(_names)}"


def leave(client: Client, how: str) -> None:
    {"close": client.close, "reset": client.abort}[how]()


# -- disconnects


@pytest.mark.parametrize("how", ["close", "reset"])
def test_receive_tells_at_once_that_the_client_has_gone(server: Server, how: str) -> None:
    """Behind the body receive() waits for it; afterwards send() raises OSError (ASGI 2.4)."""
    notes = Notes(server)
    client = server.connect()
    client.send(get("/disconnect"))
    notes.wait("entered")
    assert "message" not in notes
    leave(client, how)
    assert notes.wait("message") == {"type": "http.disconnect"}
    assert notes.wait("error")
    assert notes.wait("again") == {"type": "http.disconnect"}


def test_a_disconnect_is_no_error(server: Server) -> None:
    """Clients leave all day: no traceback."""
    mark, notes = server.log_mark(), Notes(server)
    client = server.connect()
    client.send(get("/disconnect"))
    notes.wait("entered")
    client.close()
    notes.wait("again")
    assert "Traceback" not in server.log(mark)


def test_a_stream_that_ends_stops_its_listener(server: Server, gate: str) -> None:
    """Two tasks of one request: one in receive(), one that sends."""
    notes = Notes(server)
    with server.connect() as client:
        client.send(get(f"/stream-and-listen?{gate}"))
        client.read_until(b"piece;\r\n6\r\npiece;\r\n6\r\npiece;\r\n")
        open_gate(server, gate)
        assert client.read_until(b"0\r\n\r\n") == b"4\r\nlast\r\n"
        notes.wait("over", times=2)
        assert notes.all == [("over", "stream"), ("over", "listen")]
        assert ask(client, "/quick").body == b"quick"


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_leaves_stops_the_stream(server: Server, gate: str, how: str) -> None:
    mark, notes = server.log_mark(), Notes(server)
    client = server.connect()
    client.send(get(f"/stream-and-listen?{gate}"))
    client.read_until(b"piece;\r\n6\r\npiece;\r\n6\r\npiece;\r\n")
    leave(client, how)
    notes.wait("over", times=2)
    assert notes.all == [("over", "listen"), ("over", "stream")]
    assert "Traceback" not in server.log(mark)


def test_a_task_that_goes_on_is_cancelled_after_the_grace_period(servers: Servers, gate: str) -> None:
    server = servers.get(*SHORT_GRACE, kind="asgi", app=PAGES)
    mark, notes = server.log_mark(), Notes(server)
    client = server.connect()
    client.send(get(f"/ignores-disconnect?{gate}"))
    notes.wait("entered")
    client.close()
    assert notes.wait("message") == "http.disconnect"
    assert GRACE - 0.1 <= notes.wait("cancelled") < GRACE + 2.5
    assert "Traceback" not in server.log(mark)


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_stream_that_never_asks_is_cancelled_too(servers: Servers, gate: str, how: str) -> None:
    """Since ASGI 2.4 frameworks wait for send() to raise; with nothing to send they would wait for ever."""
    server = servers.get(*SHORT_GRACE, kind="asgi", app=PAGES)
    notes = Notes(server)
    client = server.connect()
    client.send(get(f"/never-asks?{gate}"))
    client.read_until(b"first;\r\n")
    leave(client, how)
    assert "CancelledError" in notes.wait("stopped")


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_stream_that_never_asks_is_told_by_send(server: Server, gate: str, how: str) -> None:
    mark, notes = server.log_mark(), Notes(server)
    client = server.connect()
    client.send(get(f"/never-asks?{gate}"))
    client.read_until(b"first;\r\n")
    leave(client, how)
    server.seen()
    open_gate(server, gate)
    assert "OSError" in notes.wait("stopped")
    assert "Traceback" not in server.log(mark)


@pytest.mark.parametrize("grace", [0, GRACE])
@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_goes_during_the_first_step(
    servers: Servers, tmp_path: Path, how: str, grace: float
) -> None:
    """Nobody could cancel its task then; it is cancelled like any other afterwards."""
    server = servers.get(f"--asgi-disconnect-grace-period={grace}", kind="asgi", app=PAGES)
    notes = Notes(server)
    client = server.connect()
    go_on = tmp_path / "go-on"
    client.send(get(f"/blocks-first?{go_on}"))
    wait_for(go_on.with_suffix(".in").exists, "the application is in its first step")
    leave(client, how)
    go_on.touch()
    notes.wait("cancelled")


def test_a_task_that_ends_within_the_grace_period_is_left_alone(server: Server, gate: str) -> None:
    notes = Notes(server)
    client = server.connect()
    client.send(get(f"/ignores-disconnect?{gate}"))
    notes.wait("entered")
    client.close()
    assert notes.wait("message") == "http.disconnect"
    open_gate(server, gate)
    notes.wait("finished")
    assert "cancelled" not in notes


def test_a_task_that_nobody_can_cancel_harms_nobody(servers: Servers, gate: str) -> None:
    server = servers.get(*SHORT_GRACE, kind="asgi", app=PAGES)
    notes = Notes(server)
    client = server.connect()
    client.send(get(f"/ignores-cancel?{gate}"))
    notes.wait("entered")
    client.close()
    notes.wait("cancelled")
    assert server.get("/quick") == (200, b"quick")
    open_gate(server, gate)
    notes.wait("finished")


def test_background_tasks_are_not_cancelled_with_the_connection(servers: Servers, gate: str) -> None:
    """The client has had its response, so it has not gone too early."""
    server = servers.get(*SHORT_GRACE, kind="asgi", app=PAGES)
    notes = Notes(server)
    with server.connect() as client:
        assert ask(client, f"/background-task?{gate}").body == b"answered"
    with server.connect() as other:  # until the first one would have been cancelled
        other.send(get(f"/ignores-disconnect?{gate}-other"))
        notes.wait("entered")
    notes.wait("cancelled")
    open_gate(server, gate)
    assert notes.wait("finished") == gate


# -- contexts


@pytest.mark.parametrize("app", [PAGES, "asgi_pages:application_object"], ids=["function", "object"])
@pytest.mark.parametrize("pipelined", [False, True], ids=["one by one", "pipelined"])
def test_no_request_sees_the_variables_of_another(servers: Servers, app: str, pipelined: bool) -> None:
    """Whether the application is a function or an object whose call itself sets one."""
    server = servers.get(kind="asgi", app=app)
    path = "/context"
    with server.connect() as client:
        if pipelined:
            client.send(get(path) * 4)
            told = [client.response().body for _ in range(4)]
        else:
            told = [ask(client, path).body for _ in range(4)]
    assert told == [b"unset"] * 4


# -- what asyncio and anyio do with receive() and send()


@pytest.mark.parametrize("loop", ["auto", "asyncio", "uvloop"])
@pytest.mark.parametrize("name", TOOLS)
def test_tool(servers: Servers, loop: str, name: str) -> None:
    server = servers.get(f"--asgi-loop={loop}", kind="asgi", app=PAGES)
    mark = server.log_mark()
    with server.connect(timeout=8) as client:
        response = ask(client, f"/tool?{name}")
        assert (response.status, response.body) == (200, b"True"), server.log(mark)
        assert ask(client, "/quick").body == b"quick"
    server.seen()
    assert "Traceback" not in server.log(mark)


@pytest.mark.parametrize("path", ["/cancels-itself", "/raises-cancelled", "/raises-group"])
def test_an_application_that_ends_by_cancellation_is_500(server: Server, path: str) -> None:
    """A CancelledError that is not the server's is an exception of the application like any other."""
    mark = server.log_mark()
    with server.connect() as client:
        response = ask(client, path)
        assert response.status == 500
        if "close" not in response.connection:
            assert ask(client, "/quick").body == b"quick"
    server.seen()
    assert path in server.log(mark), "the operator can read which request it was"


def test_cancelled_midway_is_cut(server: Server) -> None:
    with server.connect() as client:
        client.send(get("/raises-cancelled-midway"))
        received = client.read_to_end()
    assert received.endswith(b"\r\n5\r\nfirst\r\n")


def test_crowds_of_requests_do_not_mix(server: Server, gate: str) -> None:
    """Many tasks wait at once; each answers on its own connection, whatever the order."""
    clients = [server.connect(timeout=10) for _ in range(50)]
    notes = Notes(server)
    try:
        for number, client in enumerate(clients):
            client.send(get(f"/waits?{gate}{number}"))
        notes.wait("entered", times=50)
        for number in reversed(range(50)):
            open_gate(server, f"{gate}{number}")
            assert clients[number].response().body == b"waited"
    finally:
        for client in clients:
            client.close()


# -- loops


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("auto", "uvloop"),
        ("uvloop", "uvloop"),
        ("asyncio", "asyncio"),
        ("asgi_loops:own_loop", "asgi_loops.OwnLoop"),
        ("asgi_loops.own_loop", "asgi_loops.OwnLoop"),
    ],
)
def test_the_loop_is_the_one_that_was_asked_for(servers: Servers, setting: str, expected: str) -> None:
    server = servers.get(f"--asgi-loop={setting}", kind="asgi", app=PAGES)
    with server.connect() as client:
        assert expected in ask(client, "/loop").body.decode()


# -- clients of the time limits that only tasks have


def request_timeout_server(servers: Servers) -> Server:
    return servers.get("--request-timeout=0.4", kind="asgi", app=PAGES)


def test_a_task_that_ignores_request_timeout(servers: Servers, gate: str) -> None:
    """The client is answered or cut all the same, and the worker serves others."""
    server = request_timeout_server(servers)
    notes = Notes(server)
    with server.connect(timeout=10) as client:
        client.send(get(f"/ignores-cancel?{gate}"))
        response = client.maybe_response()
        assert response is None or response.status == 504
        if response is None or not client.multiplexed:
            client.wait_closed()
    notes.wait("cancelled")
    assert server.get("/quick") == (200, b"quick")
    open_gate(server, gate)
    notes.wait("finished")


def test_request_timeout_counts_from_the_last_piece(servers: Servers, gate: str) -> None:
    """An event stream that is behind its head and says nothing is cut."""
    server = request_timeout_server(servers)
    mark = server.log_mark()
    with server.connect(timeout=10) as client:
        client.send(get(f"/event-stream?{gate}"))
        with pytest.raises(ClosedError):
            client.read_until(b"data")
    wait_for(lambda: "_event_stream" in server.log(mark), "its stack is in the log")


def test_background_tasks_have_no_request_timeout(servers: Servers, gate: str) -> None:
    server = request_timeout_server(servers)
    notes = Notes(server)
    with server.connect(timeout=10) as client:
        assert ask(client, f"/background-task?{gate}").body == b"answered"
        client.send(get(f"/waits?{gate}-other"))
        assert client.response().status == 504  # a request that began later has run into it
    open_gate(server, gate)
    assert notes.wait("finished") == gate


def test_no_request_timeout_by_default(servers: Servers, gate: str) -> None:
    """Long polls hold a task only: `timeout` is about the process, whose loop lives."""
    server = servers.get("--timeout=0.5", kind="asgi", app=PAGES)
    notes = Notes(server)
    with server.connect(timeout=10) as client:
        client.send(get(f"/waits?{gate}"))
        notes.wait("entered")
        assert client.is_quiet(1.5)
        open_gate(server, gate)
        assert client.response().body == b"waited"
