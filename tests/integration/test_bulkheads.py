"""Routes that have threads or tasks of their own: whoever fills them is in nobody's way but his own."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from harness.axes import KINDS
from harness.client import Client, Response
from harness.server import wait_for
from integration.live import Live, entered, first_to_hear, message

#: Of each kind: the application, what a route has of its own, and options for what all others share.
APP = {"sync": "apart:app", "gthread": "apart:app", "asgi": "life:app", "gevent": "apart:app"}
OWN = {
    "sync": "threads",
    "gthread": "threads",
    "asgi": "max_concurrency",
    "gevent": "max_concurrency",
}
OPTIONS = {
    "sync": (),
    "gthread": (),
    "asgi": ("--max-concurrency", "1"),
    "gevent": ("--green-requests", "3"),
}
#: How many other requests run at once.
OTHERS = {"sync": 1, "gthread": 4, "asgi": 1, "gevent": 3}
#: A slow page, two of which may run, and one for which nobody waits for long. (For ASGI without prefixes.)
SLOW = {kind: "/block" if kind == "asgi" else "/slow/block" for kind in APP}
URGENT = {kind: "/spin" if kind == "asgi" else "/urgent/block" for kind in APP}

kinds = pytest.mark.parametrize("kind", APP)


def prefix_of(page: str) -> str:
    return page.removesuffix("/block") or page


def apart(kind: str, terms: str = "max_queue=1", *options: str, **more: Any) -> Live:
    routes = (
        f"{prefix_of(SLOW[kind])} {OWN[kind]}=2 {terms}",
        f"{prefix_of(URGENT[kind])} {OWN[kind]}=1 max_queue_time=0.1",
    )
    written = [word for route in routes for word in ("--route", route)]
    return Live(APP[kind], *OPTIONS[kind], *written, *options, kind=kind, **more)


class Crowd:
    """Clients of one server, and the gates that their requests wait at."""

    def __init__(self, live: Live, kind: str, gate: Path, stack: ExitStack) -> None:
        self.live = live
        self.kind = kind
        self.gate = gate
        self.stack = stack
        self.count = 0

    def came(self, path: str) -> Client:
        client = self.stack.enter_context(self.live.connect(timeout=10))
        client.send(message(path))
        return client

    def slow(self) -> tuple[Client, Path]:
        """Somebody on the slow page, and what he waits for."""
        self.count += 1
        gate = Path(f"{self.gate}{self.count}")
        return self.came(f"{SLOW[self.kind]}?{gate}"), gate

    def one_waits(self) -> tuple[tuple[Client, Path], Client]:
        """Of two there is room for one to wait; the other, whom the server has read later, is answered."""
        two = dict([self.slow(), self.slow()])
        answered = first_to_hear(list(two))
        del two[answered]
        (waiting,) = two.items()
        return waiting, answered

    def running(self, count: int) -> list[tuple[Client, Path]]:
        found = [self.slow() for _ in range(count)]
        for _, gate in found:
            entered(gate)
        return found


@pytest.fixture(
    scope="module",
    params=[pytest.param(kind, marks=pytest.mark.slow) if KINDS[kind].rare else kind for kind in APP],
)
def live(request: pytest.FixtureRequest) -> Iterator[Live]:
    with apart(request.param, "max_queue=1", "--max-queue=50", "--access-logfile", "-") as live:
        yield live


@pytest.fixture
def clients(live: Live, gate: Path) -> Iterator[Crowd]:
    (kind,) = [name for name, kind in KINDS.items() if kind is live.kind]
    with ExitStack() as stack:
        yield Crowd(live, kind, gate, stack)


@contextmanager
def crowd(live: Live, kind: str, gate: Path) -> Iterator[Crowd]:
    with live, ExitStack() as stack:
        yield Crowd(live, kind, gate, stack)


def has_begun(gate: Path) -> bool:
    return Path(f"{gate}.in").exists()


def released(waiting: Sequence[tuple[Client, Path]]) -> list[Response]:
    for _, gate in waiting:
        gate.touch()
    return [client.response() for client, _ in waiting]


def test_who_fills_his_own_threads_is_in_nobodys_way(clients: Crowd, gate: Path) -> None:
    slow = clients.running(2)
    waiting, late = clients.one_waits()
    slow.append(waiting)
    refused = late.response()
    assert (refused.status, refused.get("Retry-After"), refused.connection) == (503, "1", set())
    assert not has_begun(slow[2][1])

    # All the others have what they would have alone.
    others = [clients.came(f"/trickle?{gate}-others") for _ in range(OTHERS[clients.kind])]
    for client in others:
        client.read_until(b"first;")
    late = clients.came("/")
    assert late.is_quiet(0.05)
    assert [response.body for response in released(slow[:2])] == [b"released"] * 2

    # And the reverse: the route has its own, whatever the others do. (Answers come before their calls end.)
    entered(slow[2][1])
    assert clients.live.request(f"{SLOW[clients.kind]}?{slow[0][1]}").body == b"released"
    assert released(slow[2:])[0].status == 200
    assert late.is_quiet(0.01)
    Path(f"{gate}-others").touch()
    assert late.response().status == 200
    assert clients.live.log().count("Overloaded: requests below '/") == 1


def test_nobody_waits_for_a_route_longer_than_its_max_queue_time(clients: Crowd, gate: Path) -> None:
    page = f"{URGENT[clients.kind]}?{gate}"
    first = clients.came(page)
    entered(gate)
    late = clients.came(page)
    assert late.response().status == 503
    gate.touch()
    assert first.response().status == 200
    late.send(message(page))
    assert late.response().body == b"released"


def test_who_leaves_while_he_waits_never_begins(clients: Crowd) -> None:
    slow = clients.running(2)
    impatient, unwanted = clients.slow()
    assert impatient.is_quiet(0.15)  # who ends his side at once may just have said all that he had to say
    impatient.close()
    if clients.kind != "asgi":
        released(slow)  # nobody looks before his turn, or an event, comes
    clients.live.wait_log(" 499 ")
    released(slow if clients.kind == "asgi" else [])
    assert not has_begun(unwanted)


def test_one_connection_goes_from_route_to_route(clients: Crowd, gate: Path) -> None:
    """Kept, and with all of them sent at once: answers come in order."""
    gate.touch()
    slow, quick = message(f"{SLOW[clients.kind]}?{gate}"), message("/")
    with clients.live.connect() as client:
        pages = [quick, slow, slow, quick, slow, quick, quick] * 5  # more than are served in a row
        for page in pages[:7]:
            client.send(page)
            assert is_answer(client.response(), page == slow)
        client.send(b"".join(pages))
        for page in pages:
            assert is_answer(client.response(), page == slow)


def is_answer(response: Response, is_slow: bool) -> bool:
    return response.status == 200 and (response.body == b"released") is is_slow


@pytest.mark.slow
def test_a_reload_and_a_stop_serve_those_who_wait_for_a_route(clients: Crowd) -> None:
    """The last test of this server."""
    live = clients.live
    (old,) = live.workers()
    slow = [*clients.running(2), clients.slow()]
    live.signal(signal.SIGHUP)
    live.wait_log("is ready", times=2)
    wait_for(lambda: int(live.request("/").body.split()[0]) != old, "the new worker answers")
    assert {response.status for response in released(slow)} == {200}
    wait_for(lambda: old not in live.workers(), "the old worker is gone")
    slow = [*clients.running(2), clients.slow()]
    live.signal(signal.SIGTERM)
    live.wait_log("stopping, ")
    assert {response.status for response in released(slow)} == {200}
    assert live.wait_exit() == 0


# -- threads


@pytest.fixture(scope="module", params=["sync", "gthread"])
def pages(request: pytest.FixtureRequest) -> Iterator[Live]:
    routes = ("/slow threads=1 request_timeout=20", "/short threads=1 request_timeout=0.3")
    options = [word for route in routes for word in ("--route", route)]
    with Live("apart:app", *options, "--no-request-buffering", kind=request.param) as live:
        yield live
        assert "Error" not in live.log().replace("Error in the application (GET /short/spin", "")
        live.stop()


def who(live: Live, path: str) -> dict[str, Any]:
    response = live.request(path)
    assert [hint.status for hint in response.interim] == [103]
    return json.loads(response.body)  # type: ignore[no-any-return]


def test_a_request_is_told_what_holds_on_its_own_thread(pages: Live) -> None:
    own, other = who(pages, "/slow/who"), who(pages, "/who")
    assert re.fullmatch(r"tricorn-\d /slow", own["thread"])
    assert own["multithread"]
    assert other["multithread"]
    assert 0 < own["remaining"] <= 20 < other["remaining"]
    assert not own["is_main"]
    assert other["is_main"] is (pages.kind.options[1] == "sync")


def test_a_thread_of_a_route_is_interrupted_as_any_other(pages: Live, gate: Path) -> None:
    assert pages.request(f"/short/spin?{gate}").status == 504
    assert who(pages, "/short/who")["thread"].endswith("/short")


def test_a_slow_reader_holds_no_thread_of_its_route(pages: Live) -> None:
    """The iterator waits for its client, and is gone on with by a thread of the same route."""
    with pages.connect(timeout=10, receive_buffer=65536) as reader:
        reader.send(message("/slow/stream?200"))
        for _ in range(3):
            assert who(pages, "/slow/who")["thread"].endswith("/slow")
        body = reader.response().body
    assert body[200 * 65536 :].decode() == who(pages, "/slow/who")["thread"]


def test_a_thread_of_a_route_reads_a_body_that_is_not_buffered(pages: Live) -> None:
    with pages.connect() as client:
        client.send(message("/slow/read", method="POST", body=b"b" * 100_000))
        assert client.response("POST").body == b"100000"
        client.send(message("/"))
        assert client.response().status == 200


def test_idle_threads_of_a_route_make_no_worker_free(gate: Path) -> None:
    """Who comes then is not left to them: where nobody is free, he is taken."""
    with crowd(apart("sync", workers=2), "sync", gate) as clients:
        gate.touch()
        blocked = []
        for number in range(2):
            blocked.append((clients.came(f"/block?{gate}-{number}"), Path(f"{gate}-{number}")))
            entered(blocked[-1][1])
        assert len({entered(closed) for _, closed in blocked}) == 2
        for _ in range(4):
            assert clients.live.request(f"/slow/block?{gate}").status == 200
        released(blocked)


def test_threads_of_a_route_may_be_stuck_when_the_worker_ends(gate: Path) -> None:
    """What they are busy with is known; and a stop at once does not wait for them."""
    with crowd(apart("sync"), "sync", gate) as clients:
        ((_, slow),) = clients.running(1)
        os.kill(entered(slow), signal.SIGABRT)
        assert f"GET /slow/block?{slow}"[:40] in clients.live.wait_log("busy with")
        clients.live.wait_log("is ready", times=2)
        clients.running(2)
        clients.live.signal(signal.SIGINT)
        assert clients.live.wait_exit() == 0


# -- tasks


def test_tasks_of_a_route_take_turns_and_of_one_without_a_limit_nobody_waits(gate: Path) -> None:
    with crowd(apart("asgi", "", "--route", "/trickle max_concurrency=0"), "asgi", gate) as clients:
        for client in [clients.came(f"/trickle?{gate}") for _ in range(5)]:
            client.read_until(b"first;")
        first = clients.running(2)
        line = []
        for _ in range(3):
            line.append(clients.slow())
            assert line[-1][0].is_quiet(0.02)
        released(first[:1])
        entered(line[0][1])
        assert not has_begun(line[1][1])
        released([line[0]])
        entered(line[1][1])
        assert not has_begun(line[2][1])
        released([*first[1:], *line[1:]])


# -- all at once


@pytest.mark.slow
@kinds
def test_all_clients_on_the_slow_page(kind: str, gate: Path) -> None:
    """Hostile: as many as may connect, again and again, some of them gone before their turn."""
    with crowd(apart(kind, "max_queue=20", "--worker-connections=400"), kind, gate) as clients:
        slow = clients.running(2)
        for _ in range(5):
            for number in range(60):
                client, _ = clients.slow()
                if number % 3 == 0:
                    client.abort()
            assert clients.live.request("/").status == 200
        released(slow)
        assert clients.live.request("/").status == 200


@pytest.mark.slow
@kinds
def test_random_routes(kind: str, gate: Path) -> None:
    """Several clients, each with kept connections and pipelines over all routes, and reloads meanwhile."""
    gate.touch()
    size = 131072 if kind == "asgi" else 2
    pages = [f"{SLOW[kind]}?{gate}", "/", f"/stream?{size}", "/other/"]
    options = ("--route", f"{'/stream' if kind == 'asgi' else '/other'} {OWN[kind]}=1")
    failures: list[str] = []
    over = threading.Event()
    with apart(kind, "", *options, workers=2) as live:

        def ask(seed: int) -> None:
            choice = random.Random(seed)
            while not over.is_set():
                with live.connect(timeout=20) as client:
                    asked = [choice.choice(pages) for _ in range(choice.randint(1, 40))]
                    last = len(asked) - 1
                    for number, page in enumerate(asked):
                        fields = ["Connection: close"] if number == last else []
                        client.send(message(page, fields=fields))
                        if choice.random() < 0.3:
                            client.is_quiet(0.001)
                    if choice.random() < 0.1:
                        continue  # gone
                    for page in asked:
                        response = client.maybe_response()
                        if response is None:
                            break  # a drain has closed it between two requests
                        if response.status != 200 or (response.body == b"released") is not ("block" in page):
                            failures.append(f"{page}: {response.status} {response.body[:40]!r}")
                        if "close" in response.connection:
                            break

        askers = [threading.Thread(target=ask, args=(seed,)) for seed in range(8)]
        for asker in askers:
            asker.start()
        try:
            for times in range(2, 5):
                live.signal(signal.SIGHUP)
                live.wait_log("is ready", times=2 * times, deadline=30)  # gevent's import beside all of them
        finally:
            over.set()
        for asker in askers:
            asker.join(30)
        assert failures == []
        assert "Internal error" not in live.log()
        live.stop()
