"""Which worker serves whom, where some have more to do than others."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from harness.client import Client
from harness.server import frozen, wait_for
from integration.live import Live, entered, message

#: How many requests make a worker of the kind busy.
THREADS = {"sync": 1, "gthread": 4}

#: `/block?GATE` as in tests/apps/life.py; `/late?GATE` answers, and is not over before GATE exists;
#: everything else says who answers whom.
APP = """
import os, time
from pathlib import Path
from life import app as life

def late(gate):
    try:
        yield b"late"
    finally:
        Path(gate + ".in").write_text(str(os.getpid()))
        while not Path(gate).exists():
            time.sleep(0.002)

def app(environ, start_response):
    if environ["PATH_INFO"] == "/late":
        start_response("200 OK", [("Content-Length", "4")])
        return late(environ["QUERY_STRING"])
    if environ["PATH_INFO"] == "/block":
        return life(environ, start_response)
    start_response("200 OK", [])
    names = ("REMOTE_ADDR", "REMOTE_PORT", "PROXY_PROTOCOL", "PROXY_ADDR", "PROXY_PORT")
    return [" ".join([str(os.getpid()), *(environ[name] for name in names if name in environ)]).encode()]
"""


class Pair:
    """Two workers, one with all its threads in the application; on `kept` it has answered before."""

    def __init__(
        self, live: Live, stack: ExitStack, kind: str, gate: Path, kept: int, about: str | None
    ) -> None:
        self.live = live
        self.stack = stack
        self.gates = [Path(f"{gate}{number}") for number in range(THREADS[kind])]
        self.free = live.untouched()
        (self.busy,) = set(live.workers()) - {self.free}
        with frozen(self.free):  # so that all come to the other one
            self.kept = [self.came("/") for _ in range(kept)]
            assert {served_by(client, about) for client in self.kept} == {self.busy}
            self.blocked = [self.came(f"/block?{gate}") for gate in self.gates]
            assert {entered(gate) for gate in self.gates} == {self.busy}

    def came(self, path: str) -> Client:
        client = self.stack.enter_context(self.live.connect())
        client.send(self.live.preamble + message(path))
        return client

    def release(self) -> None:
        for gate in self.gates:
            gate.touch()


@contextmanager
def pair(
    tmp_path: Path, kind: str, *options: str, kept: int = 1, preamble: bytes = b"", about: str | None = None
) -> Iterator[Pair]:
    """preamble: what each connection sends first; about: whose it is then (the client's own address)."""
    (tmp_path / "who.py").write_text(APP)
    places = (str(Path(__file__).parents[1] / "apps"), os.environ.get("PYTHONPATH"))
    environ = {"PYTHONPATH": os.pathsep.join(filter(None, places))}
    live = Live("who:app", *options, kind=kind, workers=2, chdir=tmp_path, environ=environ)
    live.preamble = preamble
    with live, ExitStack() as stack:
        yield Pair(live, stack, kind, tmp_path / "gate", kept, about)


def served_by(client: Client, about: str | None = None) -> int:
    response = client.response()
    assert response.status == 200
    worker, _, whose = response.body.decode().strip().partition(" ")
    assert whose == (about or f"{client.name[0]} {client.name[1]}")
    return int(worker)


def sockets(pid: int) -> int:
    links = []
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            links.append(os.readlink(fd))
    return sum(link.startswith("socket:") for link in links)


@pytest.mark.parametrize("kind", THREADS)
def test_a_kept_connection_goes_on_at_a_free_worker(kind: str, tmp_path: Path) -> None:
    with pair(tmp_path, kind) as workers:
        (client,) = workers.kept
        for _ in range(2):
            client.send(message("/"))
            assert served_by(client) == workers.free
        workers.release()
        assert {client.response().body for client in workers.blocked} == {b"released"}


@pytest.mark.parametrize(
    ("source", "destination", "about"),
    [
        ("192.0.2.9", "192.0.2.80", "192.0.2.9 4711 TCP4 192.0.2.80 443"),
        ("2001:db8::9", "2001:db8::80", "2001:db8::9 4711 TCP6 2001:db8::80 443"),
    ],
)
def test_what_a_proxy_has_said_goes_along(source: str, destination: str, about: str, tmp_path: Path) -> None:
    version = about.split()[2]
    header = f"PROXY {version} {source} {destination} 4711 443\r\n".encode()
    with pair(tmp_path, "sync", "--proxy-protocol=v1", preamble=header, about=about) as workers:
        (client,) = workers.kept
        client.send(message("/"))
        assert served_by(client, about) == workers.free
        workers.release()


def pass_on(workers: Pair) -> Client:
    """A connection that the busy worker has passed on, with a request, to a free one that stands still."""
    (client,) = workers.kept
    before = sockets(workers.busy)
    client.send(message("/"))
    wait_for(lambda: sockets(workers.busy) == before - 1, "it is passed on")
    return client


def test_a_worker_that_dies_takes_nothing_with_it_that_was_passed_on(tmp_path: Path) -> None:
    with pair(tmp_path, "sync") as workers:
        with frozen(workers.free):
            client = pass_on(workers)
            os.kill(workers.free, 9)
        workers.release()
        assert served_by(client) != workers.free


def test_what_nobody_takes_goes_back(tmp_path: Path) -> None:
    with pair(tmp_path, "sync") as workers, frozen(workers.free):
        client = pass_on(workers)
        workers.release()
        assert served_by(client) == workers.busy


def test_a_worker_that_has_answered_is_not_free_before_its_application_is_done(tmp_path: Path) -> None:
    with pair(tmp_path, "sync") as workers:
        late = tmp_path / "late"
        other = workers.came(f"/late?{late}")
        assert other.response().body == b"late"
        assert entered(late) == workers.free
        (client,) = workers.kept
        before = sockets(workers.busy)
        client.send(message("/"))
        assert client.is_quiet(0.05)
        assert sockets(workers.busy) == before
        workers.release()
        assert served_by(client) == workers.busy
        late.touch()


def test_new_connections_go_where_fewer_wait(tmp_path: Path) -> None:
    with pair(tmp_path, "sync", kept=10) as workers:
        other = tmp_path / "other"
        workers.blocked.append(workers.came(f"/block?{other}"))
        assert entered(other) == workers.free
        for client in workers.kept:  # nobody is free: they wait where they are
            client.send(message("/"))
            assert client.is_quiet(0.01)
        before = sockets(workers.free)
        late = [workers.came("/") for _ in range(3)]
        wait_for(lambda: sockets(workers.free) == before + 3, "they are taken")
        other.touch()
        workers.release()
        assert {served_by(client) for client in late} == {workers.free}
        assert {served_by(client) for client in workers.kept} == {workers.busy}


def test_a_loop_leaves_new_connections_to_one_that_has_fewer() -> None:
    with Live("life:app", kind="asgi", workers=2) as live, ExitStack() as stack:

        def came() -> int:
            client = stack.enter_context(live.connect())
            client.send(message("/"))
            return int(client.response().body.split()[0])

        empty = live.untouched()
        (full,) = set(live.workers()) - {empty}
        with frozen(empty):
            assert {came() for _ in range(12)} == {full}
            before = time.monotonic()
            assert [came() for _ in range(4)] == [full] * 4
            # For 5 ms each it has left them to the other one, which is there, for all that anybody knows.
            assert time.monotonic() - before > 4 * 0.004
        # A busy machine may let the other one run too late for some of them.
        assert empty in [came() for _ in range(8)]
