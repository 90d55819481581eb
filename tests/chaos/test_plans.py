"""Each fault that a plan may hold happens; a harmless one is not seen; and nobody else is hit."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from faults.judge import is_whole
from faults.paths import LAST, NOTHING, PATHS
from harness.axes import AXES, KINDS, ONE_OF_EACH
from harness.cases import head
from harness.server import frozen
from integration.live import Live, entered, message
from wsgi_paths import CONTENT

from chaos.plan import BREAKING, CALLS, HARMLESS, Plan, Rates, rates
from chaos.serving import PATIENCE, Storm

#: What makes each call of a worker that is alone.
MADE_BY = {
    "recv": "a body in memory",
    "send": "a small body",
    "sendmsg": "a large body",
    "sendfile": "a file",
    "accept4": "a small body",
    "epoll_wait": "small pieces",
    "poll": "write() of large pieces",
    "write": "a body in a file",
}
#: A thread asks poll() when the client takes nothing, which this client would never do.
PRESSURE: dict[str, Rates] = {"poll": {"sendmsg": {"EAGAIN": 500}}}
SOME = 300
ALWAYS = 1000
HARMLESS_WAYS = ("short", "EAGAIN", "EINTR", "ECONNABORTED", "nothing", "spurious", "late")


class Storms(dict[str, Storm]):
    """By kind of worker; each is started when it is first asked for."""

    def __init__(self, library: Path, directories: pytest.TempPathFactory, wire: str) -> None:
        super().__init__()
        self._of = library, directories, wire

    def __missing__(self, kind: str) -> Storm:
        library, directories, wire = self._of
        self[kind] = Storm(kind, library, directories.mktemp(kind), "1", wire)
        return self[kind]

    def stop(self) -> None:
        for storm in self.values():
            storm.stop()


@pytest.fixture(scope="module")
def storms(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storms]:
    running = Storms(library, tmp_path_factory, "plain")
    yield running
    running.stop()


@pytest.fixture(scope="module")
def secured(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storms]:
    """Over TLS."""
    running = Storms(library, tmp_path_factory, "tls")
    yield running
    running.stop()


def all_of(way: str) -> Rates:
    return {call: {way: ALWAYS} for call, table in HARMLESS.items() if way in table}


def ways(tables: Rates) -> list[tuple[str, str]]:
    return [(call, way) for call, table in tables.items() for way in table]


def test_each_call_has_its_path() -> None:
    assert set(MADE_BY) == set(CALLS) - {"recvmsg"}


@pytest.mark.parametrize("way", HARMLESS["recvmsg"])
def test_what_is_passed_on_arrives(library: Path, tmp_path: Path, way: str) -> None:
    """A kept connection, from a busy worker to a free one; there its calls misbehave as well."""
    plan = Plan(tmp_path / "plan", "1", {})
    gate = tmp_path / "gate"
    with Live("life:app", workers=2, environ=plan.environ(library)) as live:
        free = live.untouched()
        with ExitStack() as stack:
            with frozen(free):  # so that both come to the other one
                client, other = (stack.enter_context(live.connect()) for _ in range(2))
                client.send(message("/"))
                assert client.response().body != b"%d 1" % free
                other.send(message(f"/block?{gate}"))
                entered(gate)
            plan.change({"recvmsg": {way: ALWAYS}, "send": {"short": ALWAYS}})
            client.send(message("/"))
            assert client.response().body == b"%d 1" % free
            assert plan.struck[f"recvmsg {way}"]
            assert plan.struck["send short"]
            gate.touch()
            assert other.response().body == b"released"


@pytest.mark.parametrize(
    ("call", "way"), [(call, way) for call, way in ways(HARMLESS) + ways(BREAKING) if call in MADE_BY]
)
def test_it_happens(storms: Storms, call: str, way: str) -> None:
    storm = storms["sync"]
    pressure = PRESSURE.get(call, {})
    storm.blow({call: {way: SOME}} | pressure)
    for _ in range(60):
        storm.exchange(PATHS[MADE_BY[call]].steps)
        if storm.plan.struck[f"{call} {way}"]:
            break
    assert f"{call} {way}" in storm.plan.struck
    assert pressure or len(storm.plan.struck) == 1
    storm.calm()


@pytest.mark.parametrize("kind", AXES["kind"])
@pytest.mark.parametrize("way", HARMLESS_WAYS)
def test_what_is_harmless_is_not_seen_however_often_it_comes(storms: Storms, kind: str, way: str) -> None:
    """A call that makes no progress makes some in the end."""
    storm = storms[kind]
    for name, path in PATHS.items():
        if KINDS[kind].interface not in path.interfaces:
            continue
        reference = storm.exchange(path.steps)
        storm.blow(all_of(way))
        got = storm.exchange(path.steps)
        struck = storm.plan.struck
        storm.calm()
        assert is_whole(got, reference), f"{name}: {len(got.data)} bytes of {len(reference.data)}; {struck}"


@pytest.mark.parametrize("kind", AXES["kind"])
@pytest.mark.parametrize("way", ["EAGAIN", "short"])
def test_a_tls_connection_ends_with_a_goodbye_that_the_socket_did_not_take_at_first(
    secured: Storms, kind: str, way: str
) -> None:
    """Where the end of the connection is the framing, it alone tells a whole response (RFC 8446 §6.1)."""
    storm = secured[kind]
    for path in PATHS.values():
        if KINDS[kind].interface not in path.interfaces:
            continue
        reference = storm.exchange(path.steps)
        storm.blow({"send": {way: ALWAYS}})
        got = storm.exchange(path.steps)
        assert storm.plan.struck, "nothing was to happen"
        storm.calm()
        assert is_whole(got, reference)


@pytest.mark.parametrize("kind", AXES["kind"])
@pytest.mark.parametrize("way", HARMLESS_WAYS)
@pytest.mark.parametrize("at_once", [1, 3])
def test_a_connection_serves_many_requests(storms: Storms, kind: str, way: str, at_once: int) -> None:
    """Also where a response is thought to be out, and waits: those that leave together are small ones."""
    storm = storms[kind]
    storm.blow(all_of(way))
    with storm.server.connect(timeout=PATIENCE) as client:
        for _ in range(20):
            client.send(head(start=b"GET /whole?5 HTTP/1.1") * at_once)
            for _ in range(at_once):
                assert client.response().body == CONTENT[:5]
    storm.calm()


@pytest.mark.parametrize("kind", AXES["kind"])
def test_a_body_may_come_in_pieces_when_it_is_asked_for(storms: Storms, kind: str) -> None:
    """Each receive() reads a part of it at once; when there is nothing to read, the socket is watched."""
    storm = storms[kind]
    steps = PATHS["a body in a file"].steps
    reference = storm.exchange(steps)
    storm.blow({"recv": {"short": ALWAYS}})
    for _ in range(60):
        assert is_whole(storm.exchange(steps), reference)
    storm.calm()


@pytest.mark.slow
def test_the_last_bytes_may_be_sent_by_another_thread(storms: Storms) -> None:
    """A thread helps to send what is queued, and is still at it when the owner of the connection has left."""
    storm = storms["gthread"]
    steps = PATHS["a body in a file"].steps
    reference = storm.exchange(steps)
    storm.blow({"sendmsg": {"short": 300, "late": 700}})
    with ThreadPoolExecutor(4) as clients:
        streams = list(clients.map(lambda _: storm.exchange(steps), range(150)))
    assert storm.plan.struck["sendmsg late"]
    assert all(is_whole(stream, reference) for stream in streams)
    storm.calm()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_seed_is_a_plan(library: Path, tmp_path: Path, kind: str) -> None:
    """What befalls a connection is the same again; when the poller is asked is a matter of time."""

    def befallen(seed: str) -> list[bool]:
        directory = tmp_path / f"{seed}-{len(list(tmp_path.iterdir()))}"
        directory.mkdir()
        storm = Storm(kind, library, directory, seed)
        storm.blow({"send": {"EPIPE": SOME}})
        answered = [storm.exchange([(LAST, NOTHING)]).data != b"" for _ in range(40)]
        storm.calm()
        storm.stop()
        return answered

    first = befallen("a")
    assert befallen("a") == first
    assert befallen("b") != first


def test_seeds_differ_in_what_they_leave_out() -> None:
    plans = [rates(str(seed), "breaking") for seed in range(20)]
    assert plans[0] == rates("0", "breaking")
    for call, way in ways(BREAKING):
        assert {way in plan[call] for plan in plans} == {True, False}


#: It says what has befallen its own descriptors.
OWN = """
import os, select, socket, tempfile

def app(environ, start_response):
    told = []
    with tempfile.TemporaryFile(buffering=0) as file:
        told += [file.write(bytes(5000)), os.write(file.fileno(), bytes(5000))]
    one, other = socket.socketpair()
    listener = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listener.getsockname())
    taken = listener.accept()[0]
    poller = select.epoll()
    poller.register(taken, select.EPOLLIN)
    for ours, theirs in ((one, other), (client, taken)):
        told += [ours.send(bytes(5000)), len(theirs.recv(5000)), ours.sendmsg([bytes(10), bytes(10)])]
    told.append(len(poller.poll(1)))
    for each in (one, other, listener, client, taken, poller):
        each.close()
    body = repr(told).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


def test_the_applications_own_calls_are_left_alone(library: Path, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    plan = Plan(tmp_path / "plan", "1", {})
    live = Live("own:app", chdir=tmp_path, environ=plan.environ(library))
    with live:
        plan.change(
            {"write": {"ENOSPC": ALWAYS}, "accept4": {"EINTR": SOME}}
            | {call: {"short": ALWAYS} for call in ("recv", "send", "sendmsg")}
            | {"epoll_wait": {"EINTR": ALWAYS}}
        )
        assert live.request("/").body == b"[5000, 5000, 5000, 5000, 20, 5000, 5000, 20, 1]"
        assert plan.struck["send short"] + plan.struck["sendmsg short"]
        assert not plan.struck["write ENOSPC"]
