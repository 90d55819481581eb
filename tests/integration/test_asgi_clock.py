"""An application that blocks the loop: what its clients have done in time counts, even if it is read late."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest
from harness.cases import post
from harness.server import Server, Servers, wait_for
from harness.websocket import PING, PONG, Socket
from integration.asgi import PAGES, ask, get

Blocked = Callable[[], AbstractContextManager[None]]

#: The page `/blocks-the-loop` takes longer than any of these.
LIMITS = (
    "--keep-alive=0.4",
    "--header-timeout=0.4",
    "--body-timeout=0.4",
    "--websocket-ping-interval=0.3",
    "--websocket-ping-timeout=0.4",
)


@pytest.fixture(params=["asyncio", "uvloop"])
def server(servers: Servers, request: pytest.FixtureRequest) -> Server:
    return servers.get(f"--asgi-loop={request.param}", *LIMITS, kind="asgi", app=PAGES)


@pytest.fixture
def blocked(server: Server, tmp_path: Path) -> Blocked:
    """A block of code during which the loop is blocked."""

    @contextmanager
    def block() -> Iterator[None]:
        begun = tmp_path / "begun"
        with server.connect() as blocker:
            blocker.send(get(f"/blocks-the-loop?{begun}"))
            wait_for(begun.exists, "the loop is blocked")
            yield
            assert blocker.response().body == b"unblocked"

    return block


def test_the_next_request(server: Server, blocked: Blocked) -> None:
    """Of more clients than one turn of the loop deals with."""
    with ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(150)]
        for client in clients:
            client.send(get("/quick"))
        assert {client.response().body for client in clients} == {b"quick"}
        with blocked():
            for client in clients:
                client.send(get("/quick"))
        assert {client.response().body for client in clients} == {b"quick"}


def test_the_rest_of_a_head(server: Server, blocked: Blocked) -> None:
    with server.connect() as client:
        client.send(get("/quick")[:-2])
        server.seen()
        with blocked():
            client.send(b"\r\n")
        assert client.response().body == b"quick"


def test_the_rest_of_a_body(server: Server, blocked: Blocked) -> None:
    with server.connect() as client:
        client.send(post(b"he", b"Content-Length: 5", path=b"/reads-pieces"))
        server.seen()
        with blocked():
            client.send(b"llo")
        assert client.response("POST").body == b"read"


def test_the_answer_to_a_ping(server: Server, blocked: Blocked) -> None:
    with Socket(server, "/echo-socket") as client:
        ping = client.receive()
        assert ping.opcode == PING
        with blocked():
            client.send(PONG, ping.payload)
        client.text("still here")
        assert client.message() == "still here"


def test_a_response_before_others_block_the_loop(server: Server, blocked: Blocked) -> None:
    """Deadlines are counted from when they are set, not from when the turn of the loop began."""
    with server.connect() as first, server.connect() as second:
        assert ask(second, "/quick").body == b"quick"
        with blocked():
            first.send(get("/blocks-the-loop?/dev/null"))
            second.send(get("/quick"))
        assert first.response().body == b"unblocked"
        assert second.response().body == b"quick"
        assert second.is_quiet(0.2)
        assert ask(second, "/quick").body == b"quick"
