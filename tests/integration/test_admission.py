"""Requests that wait for the application: how many may, how long, what becomes of those that are left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from harness.client import Client
from harness.server import frozen
from integration.answering import serving
from integration.live import Live, entered, first_to_hear, message

#: How many requests make the worker of each kind busy, and what it is started with.
BUSY = {"sync": 1, "gthread": 4, "asgi": 1, "gevent": 2, "eventlet": 2}
GREEN = ("--green-requests", "2")
OPTIONS = {
    "sync": (),
    "gthread": (),
    "asgi": ("--max-concurrency", "1"),
    "gevent": GREEN,
    "eventlet": GREEN,
}

kinds = pytest.mark.parametrize("kind", BUSY)


@contextmanager
def busy(kind: str, gate: Path, *options: str) -> Iterator[tuple[Live, ExitStack]]:
    """A worker in which everything waits for `gate`, and a stack for its clients."""
    with Live("life:app", *OPTIONS[kind], *options, kind=kind) as live, ExitStack() as stack:
        for number in range(BUSY[kind]):
            client = stack.enter_context(live.connect())
            client.send(message(f"/block?{gate}{number}"))
            entered(Path(f"{gate}{number}"))
        yield live, stack


def release(kind: str, gate: Path) -> None:
    for number in range(BUSY[kind]):
        Path(f"{gate}{number}").touch()


def came(live: Live, stack: ExitStack, request: bytes) -> Client:
    client = stack.enter_context(live.connect())
    client.send(request)
    return client


@kinds
def test_more_than_max_queue_are_refused_at_once_and_stay_connected(kind: str, gate: Path) -> None:
    with busy(kind, gate, "--max-queue", "2") as (live, stack):
        clients = [came(live, stack, message("/", method="POST", body=b"body")) for _ in range(3)]
        refused = first_to_hear(clients)
        response = refused.response("POST")
        assert (response.status, response.body) == (503, b"503 Service Unavailable\n")
        assert (response.get("Retry-After"), response.connection) == ("1", set())
        clients.remove(refused)
        release(kind, gate)
        assert [client.response("POST").status for client in clients] == [200, 200]
        refused.send(message("/"))
        assert refused.response().status == 200
        assert live.log().count("Overloaded") == 1


@kinds
def test_nobody_waits_longer_than_max_queue_time(kind: str, gate: Path) -> None:
    with busy(kind, gate, "--max-queue-time", "0.1") as (live, stack):
        client = came(live, stack, message("/"))
        assert client.response().status == 503
        release(kind, gate)
        client.send(message("/"))
        assert client.response().status == 200


def reset(client: Client) -> None:
    client.abort()


def leave(client: Client) -> None:
    time.sleep(0.15)  # who ends its side at once may just have said all that it had to say
    client.close()


@pytest.mark.parametrize(
    ("kind", "go"),
    [
        *[("sync", reset), ("gthread", leave), ("asgi", reset), ("asgi", leave)],
        *[("gevent", reset), ("gevent", leave), ("eventlet", reset), ("eventlet", leave)],
    ],
)
def test_a_request_that_its_client_has_given_up_never_begins(
    kind: str, go: Callable[[Client], None], gate: Path
) -> None:
    with busy(kind, gate, "--max-queue", "1", "--access-logfile", "-") as (live, stack):
        two = [came(live, stack, message(f"/block?{gate}-left")) for _ in range(2)]
        refused = first_to_hear(two)
        assert refused.response().status == 503  # so the other one waits
        two.remove(refused)
        go(*two)
        release(kind, gate)
        live.wait_log(" 499 ")
        assert live.request("/").status == 200
        assert not Path(f"{gate}-left.in").exists()
        assert "CRITICAL" not in live.log()


@kinds
def test_a_client_that_has_said_all_is_answered(kind: str, gate: Path) -> None:
    with busy(kind, gate) as (live, stack):
        (worker,) = live.workers()
        client = stack.enter_context(live.connect().secured())
        with frozen(worker):  # so that the end of its side comes with the request, on a busy machine too
            client.send(message("/"))
            client.finish()
        assert client.is_quiet(0.15)
        release(kind, gate)
        assert client.response().status == 200


def test_tasks_take_turns(gate: Path) -> None:
    """As many run as may, and those who wait begin in the order in which they came."""
    with busy("asgi", gate) as (live, stack):
        clients = []
        for number in range(1, 4):
            clients.append(came(live, stack, message(f"/block?{gate}{number}")))
            assert clients[-1].is_quiet(0.02)
        release("asgi", gate)
        for number, client in enumerate(clients, 1):
            entered(Path(f"{gate}{number}"))
            assert not Path(f"{gate}{number + 1}.in").exists()
            Path(f"{gate}{number}").touch()
            assert client.response().body == b"released"


def test_a_request_whose_body_was_not_asked_for_is_refused_with_its_connection(gate: Path) -> None:
    with busy("asgi", gate, "--max-queue", "1") as (live, stack):
        came(live, stack, message("/"))
        head = message("/", method="POST", fields=["Expect: 100-continue", "Content-Length: 4"])
        response = first_to_hear([came(live, stack, head), came(live, stack, head)]).response("POST")
        assert (response.status, response.connection) == (503, {"close"})


def test_short_requests_wait_too(tmp_path: Path) -> None:
    """No single one keeps a thread for long, but those who come last would wait for long."""
    source = """
    def answer(path):
        time.sleep(0.004)
        return "answered"
    """
    options = ("--max-queue", "3", "--max-requests", "20")
    with serving(tmp_path, source, *options, kind="sync") as live, ExitStack() as stack:
        (worker,) = live.workers()
        clients = [stack.enter_context(live.connect().secured()) for _ in range(40)]
        with frozen(worker):
            for client in clients:
                client.send(message("/"))
        statuses = [client.response().status for client in clients]
        assert statuses.count(503) == 40 - statuses.count(200)
        assert 4 <= statuses.count(200) <= 12
        assert live.log().count("Overloaded") == 1
        assert live.workers() == [worker]
