"""What is over leaves nothing behind: no object, no descriptor, no task, whichever way it ended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from harness.cases import chunked, post
from harness.server import Server, Servers, wait_for
from harness.websocket import TEXT, Socket, frame
from integration.asgi import Notes, ask, get, worker_of

ROUNDS = 30


@pytest.fixture
def server(servers: Servers) -> Server:
    return servers.get("--asgi-disconnect-grace-period=0.05", kind="asgi", app="asgi_sockets:app")


def plain(server: Server) -> None:
    with server.connect() as client:
        client.send(get("/quick") * 3)
        for _ in range(3):
            assert client.response().body == b"quick"


def body(server: Server) -> None:
    with server.connect() as client:
        client.send(chunked(b"5\r\nhello\r\n0\r\n\r\n", path=b"/reads-pieces"))
        assert client.response("POST").status == 200


def unread(server: Server) -> None:
    with server.connect() as client:
        client.send(post(b"b" * 100_000, b"Content-Length: 200000", path=b"/quick"))
        assert client.response("POST").status == 200


def cut_body(server: Server) -> None:
    notes = Notes(server)
    with server.connect() as client:
        client.send(post(b"hell", b"Content-Length: 5", path=b"/reads-pieces"))
        notes.wait("entered")
        client.abort()
    notes.wait("message", times=2)


def abandoned(server: Server) -> None:
    """The client leaves, the task is cancelled."""
    notes = Notes(server)
    with server.connect() as client:
        client.send(get("/ignores-disconnect?leak"))
        notes.wait("entered")
        client.abort()
    notes.wait("cancelled")


def stopped_stream(server: Server) -> None:
    notes = Notes(server)
    with server.connect() as client:
        client.send(get("/stream-and-listen?leak"))
        client.read_until(b"piece;")
        client.abort()
    notes.wait("over", times=2)


def failing(server: Server) -> None:
    with server.connect() as client:
        assert ask(client, "/raises-group").status == 500


def refused(server: Server) -> None:
    with server.connect() as client:
        client.send(get("/quick", b"X: " + b"v" * 9000))
        assert client.response().status == 431


def file(server: Server) -> None:
    with server.connect() as client:
        assert ask(client, f"/path?{__file__}").status == 200
        assert ask(client, "/copy-often?20").status == 200


def websocket(server: Server) -> None:
    with Socket(server, "/echo", b"Sec-WebSocket-Extensions: permessage-deflate") as socket:
        socket.client.send(frame(TEXT, b"hello"))
        assert socket.receive().fin
        socket.close()


def lost_websocket(server: Server) -> None:
    notes = Notes(server)
    with Socket(server, "/echo", behind=frame(TEXT, b"h", fin=False)) as socket:
        socket.client.abort()
    notes.wait("again")


def broken_websocket(server: Server) -> None:
    with Socket(server, "/echo") as socket:
        socket.client.send(b"\xff" * 20)
        assert socket.failed_with() == 1002


def failing_websocket(server: Server) -> None:
    with Socket(server, "/raises") as socket:
        assert socket.closed_with() == 1011


def denied_websocket(server: Server) -> None:
    with Socket(server, "/denies") as socket:
        assert socket.response.status == 401


WAYS = [
    plain,
    body,
    unread,
    cut_body,
    pytest.param(abandoned, marks=pytest.mark.slow),  # each round waits for the end of the grace period
    stopped_stream,
    failing,
    refused,
    file,
    websocket,
    lost_websocket,
    broken_websocket,
    failing_websocket,
    denied_websocket,
]


def objects(server: Server) -> int:
    return int(server.get("/objects")[1])


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_nothing_is_left_behind(server: Server, way: Callable[[Server], None]) -> None:
    """What is made once (caches, compiled patterns, free lists) is made in the first rounds."""
    pid = worker_of(server)
    for _ in range(6):
        way(server)
    server.seen()
    wait_for(lambda: descriptors(pid) < 60, "connections of before are closed")
    before, opened = objects(server), descriptors(pid)
    for _ in range(ROUNDS):
        way(server)
    server.seen()
    wait_for(lambda: objects(server) - before < ROUNDS / 2, "objects that were made are gone")
    wait_for(lambda: descriptors(pid) <= opened + 2, "descriptors that were opened are closed")
