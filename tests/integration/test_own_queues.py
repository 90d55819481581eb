"""`reuse_port`: each worker has a queue of its own, which is served whatever becomes of the worker."""

from __future__ import annotations

import os
import resource
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from harness.axes import ONE_OF_EACH
from harness.client import Client
from harness.ports import at_free_port
from harness.server import frozen, wait_for
from integration.live import Live, children, entered, message

#: How many requests make a worker of the kind busy.
THREADS = {"sync": 1, "gthread": 4}

#: With so many connections, each of two queues has some: it has none once in a million times.
MANY = 20

kinds = pytest.mark.parametrize("kind", [*ONE_OF_EACH, pytest.param("gthread", marks=pytest.mark.slow)])


class OwnQueues(Live):
    """It opens its sockets itself, beside one that keeps the port for it and does not listen."""

    def __init__(self, kind: str) -> None:
        super().__init__("life:app", "--reuse-port", kind=kind, workers=2)
        self.listener.close()
        self.listener = at_free_port(_reserved)
        self.address = self.listener.getsockname()

    @property
    def command(self) -> list[str]:
        host, port = self.address
        bind = f"{self.wire.scheme}{host}:{port}"
        return [bind if "fd://" in word else word for word in super().command]


def _reserved(port: int) -> socket.socket:
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        reserved.bind(("127.0.0.1", port))
    except OSError:
        reserved.close()
        raise
    return reserved


@contextmanager
def serving(kind: str) -> Iterator[tuple[Live, ExitStack]]:
    with OwnQueues(kind) as live, ExitStack() as stack:
        yield live, stack


def came(live: Live, stack: ExitStack, number: int = MANY) -> list[Client]:
    """Clients with a request each. The worker whose queue they are in may stand still."""
    clients = [stack.enter_context(live.connect(timeout=10)) for _ in range(number)]
    for client in clients:
        client.send_ahead(message("/"))
    return clients


def served(clients: list[Client]) -> Counter[int]:
    """By which workers."""
    responses = [client.response() for client in clients]
    assert {response.status for response in responses} == {200}
    return Counter(int(response.body.split()[0]) for response in responses)


def listening(live: Live) -> int:
    """Sockets at the server's address."""
    port = f":{live.address[1]:04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(words[1].endswith(port) and words[3] == "0A" for words in lines)


@kinds
def test_who_serves_what(kind: str) -> None:
    """Both; one that stands still, or is killed, leaves its queue to the other; and so on to the end."""
    with serving(kind) as (live, stack):
        assert listening(live) == 2
        first, second = live.workers()
        # Who was ready first may still take what comes to the other.
        wait_for(lambda: served(came(live, stack)).keys() == {first, second}, "each has its own queue")
        with frozen(second):
            assert served(came(live, stack)) == {first: MANY}
        with frozen(second), frozen(first):
            clients = came(live, stack)
            os.kill(first, signal.SIGKILL)
            wait_for(lambda: first not in children(live.pid), "it is dead")
        assert first not in served(clients)
        wait_for(lambda: live.log().count("is ready") == 3, "its successor")
        (third,) = set(live.workers()) - {second}
        wait_for(lambda: served(came(live, stack)).keys() == {second, third}, "both have a queue")
        with frozen(second), frozen(third):
            clients = came(live, stack)
            live.signal(signal.SIGTERM)
            live.wait_log("SIGTERM: stopping")
        assert served(clients).total() == MANY
        assert live.wait_exit() == 0


@pytest.mark.parametrize("kind", ["sync", pytest.param("gthread", marks=pytest.mark.slow)])
def test_a_busy_worker_leaves_its_queue_to_a_free_one(kind: str, gate: Path) -> None:
    gates = [Path(f"{gate}{number}") for number in range(THREADS[kind])]
    with serving(kind) as (live, stack):
        free = live.untouched()
        (busy,) = set(live.workers()) - {free}
        with frozen(free):
            blocked = [stack.enter_context(live.connect(timeout=10)) for _ in gates]
            for client, each in zip(blocked, gates, strict=True):
                client.send(message(f"/block?{each}"))
            assert {entered(each) for each in gates} == {busy}
        assert served(came(live, stack)) == {free: MANY}
        for each in gates:
            each.touch()
        assert [client.response().body for client in blocked] == [b"released"] * len(gates)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_fewer_and_more_workers(kind: str) -> None:
    """A queue without a worker is everybody's; workers share where they are more; a newer master goes on."""
    with serving(kind) as (live, stack):
        live.signal(signal.SIGTTOU)
        wait_for(lambda: len(live.workers()) == 1, "one is left")
        (left,) = live.workers()
        assert served(came(live, stack)) == {left: MANY}
        for times in (1, 2):
            live.signal(signal.SIGTTIN)
            live.wait_log("is ready", times=2 + times)
        wait_for(lambda: len(served(came(live, stack))) == 3, "all three serve")
        old = set(live.workers())
        live.signal(signal.SIGUSR2)
        live.wait_log("is ready", times=4 + 2)
        wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in old), "the older ones end")
        assert listening(live) == 2
        clients = came(live, stack)
        assert served(clients).total() == MANY
        assert not served(came(live, stack)).keys() & old


@pytest.mark.parametrize("kind", [*ONE_OF_EACH, pytest.param("gthread", marks=pytest.mark.slow)])
def test_a_backlog_is_served_at_a_stop_although_descriptors_are_lacking(kind: str) -> None:
    """Those who wait come in as others leave."""
    with Live("life:app", kind=kind) as live, ExitStack() as stack:
        (worker,) = live.workers()
        with frozen(worker):
            clients = came(live, stack, 12)
            used = len(list(Path(f"/proc/{worker}/fd").iterdir()))
            resource.prlimit(worker, resource.RLIMIT_NOFILE, (used + 4, used + 4))
            live.signal(signal.SIGTERM)
            live.wait_log("SIGTERM: stopping")
        assert served(clients) == {worker: 12}
