"""What the service survives: deaths of workers and of the master, requests that hang, crowds."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import select
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.axes import FREQUENT, KINDS, KINDS_OF, ONE_OF_EACH, USUAL_WIRE, WIRES
from harness.client import Client, ClosedError
from harness.server import APPS, frozen, wait_for
from integration.answering import serving, told
from integration.live import Live, Load, Started, entered, is_alive, message, poll_until

KILL, TERM = signal.SIGKILL, signal.SIGTERM


# -- deaths


def test_a_killed_worker_is_replaced_and_the_others_go_on(kind: str, gate: Path) -> None:
    with Live("life:app", kind=kind, workers=2) as live, live.connect() as client:
        client.send(message(f"/block?{gate}"))
        busy = entered(gate)
        victim = next(pid for pid in live.workers() if pid != busy)
        live.signal(KILL, victim)
        live.wait_log("is ready", times=3)
        assert victim not in live.workers()
        assert len(live.workers()) == 2
        assert live.request("/").status == 200
        gate.touch()
        assert client.response().body == b"released"
        client.close()
        live.stop()


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_workers_killed_one_after_the_other_under_load(kind: str) -> None:
    """Only requests that were inside the victim may fail, and there are at most as many as clients."""
    with Live("life:app", kind=kind, workers=2) as live, Load(live, clients=2) as load:
        for number in range(3):
            load.wait_served(20)
            live.signal(KILL, live.workers()[0])
            live.wait_log("is ready", times=3 + number)
        failed = len(load.failures)
        load.failures.clear()
        load.wait_served(50)
        load.check()
        assert failed <= 6


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_crashing_request_takes_down_only_its_worker(kind: str) -> None:
    with Live("life:app", kind=kind, workers=2) as live:
        with live.connect() as client:
            client.send(message("/exit"))
            with pytest.raises(ClosedError):
                client.response()
        live.wait_log("is ready", times=3)
        assert live.request("/").status == 200
        assert len(live.workers()) == 2


def test_workers_of_a_killed_master_finish_and_end(kind: str, gate: Path) -> None:
    with Live("life:app", kind=kind, workers=2) as live, live.connect(timeout=10) as client:
        client.send(message(f"/block?{gate}"))
        entered(gate)
        workers = live.workers()
        live.signal(KILL)
        live.wait_log("The master is gone", times=2)
        assert client.is_quiet(0.05)
        gate.touch()
        assert client.response().body == b"released"
        client.close()
        wait_for(lambda: not any(map(is_alive, workers)), "the workers end by themselves", deadline=10)


class Bound(Live):
    """One that binds its address itself, as services do; the harness's own socket is only there for tests."""

    def __init__(self, bind: str, *options: str) -> None:
        scheme = WIRES[USUAL_WIRE].scheme  # of unix sockets it has to be said
        super().__init__("life:app", "--bind", scheme + bind, *options)
        self.address = bind.removeprefix("unix:")
        if not bind.startswith("unix:"):
            host, _, port = bind.rpartition(":")
            self.address = (host, int(port))


def free_address(where: str, home: Path) -> str:
    if where == "unix":
        return f"unix:{home / 'sock'}"
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.mark.parametrize("where", ["tcp", "unix"])
def test_the_next_instance_waits_for_the_workers_of_a_killed_master(
    where: str, gate: Path, tmp_path: Path
) -> None:
    """They finish what they have, and it says whom it waits for; then it serves."""
    bind = free_address(where, tmp_path)
    with Bound(bind) as live, live.connect() as client:
        client.send(message(f"/block?{gate}"))
        worker = entered(gate)
        live.signal(KILL)
        live.wait_exit()
        successor = Bound(bind)
        try:
            successor.start(wait=False)
            log = successor.wait_log("waiting up to 36 s for it")
            assert f"is in use by process {worker} (tricorn: worker [life:app])" in log
            gate.touch()
            assert client.response().body == b"released"
            client.close()
            successor.wait_log("is ready")
            assert successor.request("/").status == 200
            successor.signal(TERM)
            assert successor.wait_exit() == 0
        finally:
            successor.kill()


class Apart(Bound):
    """In a network of its own, with no other addresses than those of every machine."""

    @property
    def command(self) -> list[str]:
        begin = 'ip link set lo up && exec "$@"'
        return ["unshare", "--net", "sh", "-c", begin, "sh", *super().command]

    def add_address(self, address: str) -> None:
        assert self.process is not None
        inside = ["nsenter", f"--net=/proc/{self.process.pid}/ns/net"]
        subprocess.run([*inside, "ip", "address", "add", address, "dev", "lo"], check=True, timeout=10)


needs_namespaces = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "nsenter", "ip"))),
    reason="no network namespace can be made here",
)


@needs_namespaces
def test_an_address_may_come_late() -> None:
    live = Apart("198.51.100.7:8000")
    try:
        live.start(wait=False)
        place = f"{live.wire.url_scheme}://198.51.100.7:8000"
        line = f"{place}: this machine has no such address: waiting up to 5 s for it"
        assert live.wait_log("waiting up to").count(line) == 1
        live.add_address("198.51.100.7")
        live.wait_log("is ready")
        live.signal(TERM)
        assert live.wait_exit() == 0
    finally:
        live.kill()


class Unnamed(Apart):
    """The same, and what it knows by name stands in a file of its own; there is no server of names."""

    def __init__(self, bind: str, hosts: Path) -> None:
        super().__init__(bind)
        self.hosts = hosts

    @property
    def command(self) -> list[str]:
        mount = f"mount --bind {shlex.quote(str(self.hosts))} /etc/hosts"
        return ["unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh", *super().command]


@needs_namespaces
def test_a_name_may_come_late(tmp_path: Path) -> None:
    """As in a container that is started before its names are known."""
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n")
    live = Unnamed("late.example:8000", hosts)
    try:
        live.start(wait=False)
        place = f"{live.wire.url_scheme}://late.example:8000"
        log = live.wait_log("waiting up to 5 s for it")
        assert log.count(f"Cannot listen on {place}: host 'late.example' not found (") == 1
        with hosts.open("a") as file:
            file.write("127.0.0.1 late.example\n")
        log = live.wait_log("is ready")
        assert f"Listening at {place}" in log
        assert log.count("not found") == 1
        live.signal(TERM)
        assert live.wait_exit() == 0
    finally:
        live.kill()


@pytest.mark.parametrize("bind", ["192.0.2.1:8000", "nowhere.invalid:8000"])
def test_a_stop_ends_the_wait_for_an_address_that_is_not_there(bind: str) -> None:
    live = Bound(bind)
    try:
        live.start(wait=False)
        live.wait_log("waiting up to 5 s for it")
        live.signal(TERM)
        assert live.wait_exit() == 0
        assert "TERM: stopping; nothing was started" in live.log()
    finally:
        live.kill()


@pytest.mark.parametrize("where", ["tcp", "unix"])
@pytest.mark.parametrize("number", [TERM, signal.SIGINT, signal.SIGQUIT], ids=lambda number: number.name)
def test_a_stop_ends_the_wait_for_an_address(where: str, number: signal.Signals, tmp_path: Path) -> None:
    bind = free_address(where, tmp_path)
    with Bound(bind) as living:
        second = Bound(bind, "--pid", str(tmp_path / "pid"))
        try:
            second.start(wait=False)
            log = second.wait_log("waiting up to 5 s for it")
            assert f"is in use by process {living.pid} (tricorn: master [life:app]), process " in log
            for harmless in (signal.SIGHUP, signal.SIGUSR2, signal.SIGALRM):
                second.signal(harmless)
            began = time.monotonic()
            second.signal(number)
            assert second.wait_exit() == 0
            assert time.monotonic() - began < 2
            assert f"{number.name}: stopping; nothing was started" in second.log()
            assert not (tmp_path / "pid").exists()
        finally:
            second.kill()
        assert living.request("/").status == 200, "its socket file is still there, too"


# -- a start that is disturbed


#: Moments of a start: what has to be in the log, or which file has to exist.
MOMENTS = ["config", "starts (pid", "Listening at", "import", "Starting 1 worker", "boot", "is ready"]

SLOW_CONFIG = """
import pathlib, time
pathlib.Path({home!r}, "config").touch()
time.sleep(0.2)
bind = "unix:{home}/sock"
pidfile = "{home}/pid"
"""

SLOW_APP = """
import os, pathlib, time
pathlib.Path({home!r}, "import" if "mold" in open("/proc/self/cmdline").read() else "boot").touch()
time.sleep(0.2)
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


@pytest.mark.parametrize("number", [TERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP], ids=lambda n: n.name)
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["", "preload"])
def test_a_signal_at_any_moment_of_the_start(
    tmp_path: Path, options: tuple[str, ...], moment: str, number: signal.Signals
) -> None:
    """No traceback, nothing left behind, and after HUP it serves."""
    if moment == ("boot" if options else "import"):
        pytest.skip("there is no such moment")
    config = tmp_path / "conf.py"
    config.write_text(SLOW_CONFIG.format(home=str(tmp_path)))
    (tmp_path / "theapp.py").write_text(SLOW_APP.format(home=str(tmp_path)))
    live = Live("theapp:app", "-c", str(config), *options, chdir=tmp_path)
    live.may_be_forked = moment != "config"
    live.start(wait=False)
    try:
        wait_for(
            lambda: moment in live.log() or (tmp_path / moment).exists(), f"the moment {moment}", deadline=20
        )
        live.signal(number)
        if number is signal.SIGHUP:
            live.wait_log("is ready" if moment == "config" else "Reload done", deadline=20)
            assert live.request("/").status == 200
            live.signal(TERM)
        code = live.wait_exit()
        early = {TERM, signal.SIGINT, signal.SIGQUIT}
        assert code == (-number if number in early and moment == "config" else 0)
        assert "Traceback" not in live.log()
        assert "ERROR" not in live.log()
        assert not (tmp_path / "sock").exists()
        assert not (tmp_path / "pid").exists()
    finally:
        live.kill()


@pytest.mark.slow
@pytest.mark.parametrize("number", [TERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT], ids=lambda n: n.name)
def test_a_signal_at_random_moments_of_the_start(tmp_path: Path, number: signal.Signals) -> None:
    """Between the moments that can be seen: from the command's beginning in small steps."""
    config = tmp_path / "conf.py"
    config.write_text(SLOW_CONFIG.format(home=str(tmp_path)).replace("time.sleep(0.2)", ""))
    for step in range(12):
        (tmp_path / "config").unlink(missing_ok=True)
        live = Started("life:app", "-c", str(config))
        live.start(wait=False)
        try:
            wait_for(lambda: (tmp_path / "config").exists(), "it has begun", deadline=20)
            time.sleep(step * 0.01)  # that it is arbitrary is the point
            live.signal(number)
            if number is signal.SIGHUP:
                live.wait_log("is ready", deadline=20)
                live.signal(TERM)
            assert live.wait_exit() in {0, -number}
            assert "Traceback" not in live.log()
            assert not (tmp_path / "sock").exists()
            assert not (tmp_path / "pid").exists()
        finally:
            live.kill()


# -- recycling

#: Seconds for four workers that start one after the other beside a load. Each imports its own library: with
#: gevent that takes a second, and three on a machine that has no time.
FOUR_STARTS = 45.0


def test_max_requests_under_load_loses_nothing(kind: str) -> None:
    options = ("--max-requests=40", "--max-requests-jitter=20")
    with Live("life:app", *options, kind=kind, workers=2) as live:
        with Load(live) as load:
            wait_for(lambda: len(load.bodies) >= 6 or load.failures, "six have served", deadline=FOUR_STARTS)
        load.check()
        assert load.served >= 4 * 40, "none went before its time"
        wait_for(lambda: len(live.workers()) == 2, "those that were replaced end")


def test_max_requests_with_one_client(kind: str) -> None:
    """One connection for each request, none refused while the worker is being replaced."""
    with Live("life:app", "--max-requests=5", kind=kind) as live:
        served: list[bytes] = []
        for _ in poll_until(10):
            response = live.request("/")
            assert response.status == 200
            served.append(response.body.split()[0])
            if len(set(served)) == 4:
                break
        assert len(set(served)) == 4, "workers were replaced on the way"
        assert served.count(served[0]) >= 4, "the harness has sent one to see that it runs"
        assert served.count(served[10]) >= 5
        live.stop()


def test_no_connection_waits_for_a_worker_that_has_left(kind: str) -> None:
    """Of all that wait at a listener the kernel may have woken only the one that was just told to stop."""
    most = 6 if KINDS[kind].rare else 16  # they take longer to start
    with Live("life:app", "--max-requests=1", kind=kind) as live:
        served = set()
        for _ in poll_until(20):
            served.add(live.request("/").body.split()[0])
            if len(served) == most:
                break
        assert len(served) == most
        live.stop()


def test_a_worker_serves_until_its_successor_is_ready(kind: str) -> None:
    with Live("life:app", "--max-requests=5", kind=kind) as live:
        first = live.workers()[0]
        for _ in poll_until(10):
            if live.request("/").body.split()[0] != str(first).encode():
                break
        log = live.wait_log(f"Worker {first} has exited")
        live.stop()
    lines = [line.partition("[INFO] ")[2] for line in log.splitlines()]
    asked = lines.index(f"Worker {first} has served its max_requests: a successor takes its place")
    second = next(n for n, line in enumerate(lines) if n > asked and line.endswith("is ready"))
    assert second < lines.index(f"Worker {first} has exited")


def test_a_worker_whose_successor_does_not_boot_goes_on(kind: str, tmp_path: Path) -> None:
    source = f"""
    from pathlib import Path
    if Path({str(tmp_path / "broken")!r}).exists():
        raise RuntimeError("broken meanwhile")
    def answer(path):
        return str(os.getpid())
    """
    with serving(tmp_path, source, "--max-requests=5", kind=kind) as live:
        (tmp_path / "broken").touch()
        served = {told(live, "/") for _ in range(20)}
        live.wait_log("broken meanwhile")
        served |= {told(live, "/") for _ in range(20)}
        assert len(served) == 1
        (tmp_path / "broken").unlink()
        wait_for(lambda: told(live, "/") not in served, "a successor", deadline=15)
        live.stop()


@pytest.mark.parametrize(
    "bounds", [(1, 0), (0, 1), pytest.param((2, 1), marks=pytest.mark.slow, id="(2, 1)")], ids=str
)
def test_a_worker_is_replaced_when_it_is_old(kind: str, bounds: tuple[int, int]) -> None:
    options = ("--max-lifetime=0.4", "--max-lifetime-jitter=0.3")
    options += (f"--reload-max-surge={bounds[0]}", f"--reload-max-unavailable={bounds[1]}")
    with Live("life:app", *options, kind=kind, workers=2) as live:
        with Load(live) as load:
            wait_for(lambda: len(load.bodies) >= 6 or load.failures, "six have served", deadline=FOUR_STARTS)
        load.check()
        assert "(max_lifetime): a successor takes its place" in live.log()
        live.stop()


GROWING = """
kept = []
def answer(path):
    if path == "/grow":
        kept.append(b"x" * (160 << 20))
    return str(os.getpid())
"""


LIMITS = """
import os

def on_memory_limit(server, worker, size):
    with open(os.path.join(os.path.dirname(__file__), "limits"), "a") as file:
        print(os.getpid() == server.pid, worker.pid, size > 150 << 20, file=file)
"""


def with_limits_noted(directory: Path) -> tuple[str, str]:
    (directory / "limits_conf.py").write_text(LIMITS)
    return "--config", str(directory / "limits_conf.py")


def limits_noted(directory: Path) -> str:
    """What the hook on_memory_limit has noted."""
    noted = directory / "limits"
    wait_for(noted.exists, "the hook is called")
    return noted.read_text()


@pytest.mark.parametrize("measure", ["pss", pytest.param("rss", marks=pytest.mark.slow)])
def test_a_worker_that_grows_is_replaced(kind: str, tmp_path: Path, measure: str) -> None:
    options = ("--max-memory=150m", f"--memory-measure={measure}", *with_limits_noted(tmp_path))
    with serving(tmp_path, GROWING, *options, kind=kind) as live, Load(live) as load:
        grown = told(live, "/grow")
        wait_for(lambda: told(live, "/") != grown, "a successor", deadline=15)
        live.wait_log("has more memory than max_memory: a successor takes its place")
        assert limits_noted(tmp_path) == f"True {grown} True\n"
        load.check()


def test_a_worker_that_is_large_from_the_start_is_kept(kind: str, tmp_path: Path) -> None:
    with serving(tmp_path, GROWING, "--max-memory=1m", kind=kind) as live:
        (worker,) = live.workers()
        live.wait_log("when it has just started, which is more; it is not replaced for that")
        assert live.workers() == [worker]
        live.stop()


@pytest.mark.slow
def test_a_worker_that_grows_too_much_is_killed(kind: str, tmp_path: Path) -> None:
    options = ("--max-memory-hard=150m", *with_limits_noted(tmp_path))
    with serving(tmp_path, GROWING, *options, kind=kind) as live:
        grown = told(live, "/grow")
        live.wait_log(f"Worker {grown} has more memory than max_memory_hard: killed it")
        assert limits_noted(tmp_path) == f"True {grown} True\n"
        wait_for(lambda: told(live, "/") != grown, "another one", deadline=15)
        live.stop()


def test_a_start_that_takes_too_long_is_aborted(kind: str, tmp_path: Path) -> None:
    source = f"""
    from pathlib import Path
    if Path({str(tmp_path / "slow")!r}).exists():
        time.sleep(60)
    def answer(path):
        return str(os.getpid())
    """
    limit = 4 if KINDS[kind].rare else 0.5
    with serving(tmp_path, source, f"--boot-timeout={limit}", kind=kind) as live:
        (worker,) = live.workers()
        (tmp_path / "slow").touch()
        live.signal(KILL, worker)
        live.wait_log("s (boot_timeout): aborting it; it is importing the application")
        (tmp_path / "slow").unlink()
        assert told(live, "/") != str(worker)
        # On green threads what sleeps is no thread's.
        where = re.search(r'site_app\.py", line \d+ in <module>', live.log())
        assert where or KINDS[kind].rare, "where its thread was"
        live.stop()


# -- requests and processes that hang


@pytest.mark.parametrize("path", ["/spin", "/block"])
def test_request_timeout(kind: str, gate: Path, path: str) -> None:
    """504, the stack in the log; everybody else is served as before."""
    with Live("life:app", "--request-timeout=0.5", kind=kind) as live, live.connect() as client:
        (worker,) = live.workers()
        start = time.monotonic()
        client.send(message(f"{path}?{gate}"))
        entered(gate)
        response = client.response()
        assert response.status == 504
        assert 0.45 < time.monotonic() - start < 3
        log = live.log()
        assert f"GET {path}?{gate}" in log
        assert "life.py" in log
        assert "in _wait" in log
        assert live.request("/").body.split()[0] == str(worker).encode(), "the worker lives on"


@pytest.mark.parametrize("kind", ["gthread", "asgi"])
def test_request_timeout_leaves_other_requests_alone(kind: str, gate: Path) -> None:
    """A stream that hands over a piece in time is not overdue, however long it takes."""
    stuck = gate.with_name("stuck")
    with (
        Live("life:app", "--request-timeout=0.5", kind=kind) as live,
        live.connect() as client,
        live.connect() as other,
    ):
        other.send(message(f"/drip?{gate}"))
        other.read_until(b"drip")
        client.send(message(f"/spin?{stuck}"))
        assert client.response().status == 504
        gate.touch()
        assert b"last" in other.read_until(b"0\r\n\r\n")


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_stream_that_stalls_behind_its_head_is_cut(kind: str, gate: Path) -> None:
    """200 has been sent, so the only way to say it is a connection that ends too early."""
    with Live("life:app", "--request-timeout=0.5", kind=kind) as live, live.connect() as client:
        client.send(message(f"/trickle?{gate}"))
        response = client.response()
        assert response.status == 200
        assert not response.complete
        assert live.request("/").status == 200


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in KINDS_OF["wsgi"] if kind in FREQUENT])
def test_a_request_that_no_exception_reaches_costs_its_worker(kind: str) -> None:
    """It is in C code, so its worker is replaced; nobody waits for it, and nobody else is hurt.

    (On green threads an exception reaches what sleeps.)
    """
    options = ("--request-timeout=0.5", "--graceful-timeout=1")
    with Live("life:app", *options, kind=kind) as live, live.connect(timeout=20) as client:
        (worker,) = live.workers()
        client.send(message("/nap"))
        log = live.wait_log("request_timeout")
        assert "GET /nap" in log
        assert "time.sleep(60)" in log
        live.wait_log("is ready", times=2, deadline=20)
        wait_for(lambda: worker not in live.workers(), "the stuck worker has gone", deadline=10)
        with contextlib.suppress(ClosedError):
            # In the main thread the TERM that ends the worker may end the call, too.
            assert client.response().status == 504
        assert live.request("/").status == 200


@pytest.mark.slow
def test_a_frozen_worker_is_replaced(kind: str) -> None:
    """It holds the GIL, so neither its monitor nor an exception can help: the heartbeat stops."""
    with Live("life:app", "--timeout=1.5", "--slow-request-time=1", kind=kind) as live:
        (worker,) = live.workers()
        with live.connect(timeout=10) as client:
            client.send(message("/freeze"))
            with pytest.raises(ClosedError):
                client.response()
        log = live.wait_log("no sign of life", deadline=10)
        assert str(worker) in log
        # On green threads there is one thread, which cannot say what of the two it is.
        why = "its event loop is blocked" if KINDS[kind].rare else "one of its threads holds the GIL, for "
        assert why in log
        assert "GET /freeze" in log
        live.wait_log("life.py", deadline=5)  # the stack that the worker left behind
        live.wait_log("is ready", times=2)
        assert worker not in live.workers()
        assert live.request("/").status == 200


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS_OF["asgi"])
def test_who_blocks_the_loop_is_named(kind: str) -> None:
    with Live("life:app", "--timeout=2", "--slow-request-time=60", kind=kind) as live:
        with live.connect(timeout=10) as client:
            client.send(message("/nap"))
            with pytest.raises(ClosedError):
                client.response()
        log = live.wait_log("no sign of life")
        found = re.search(r"its event loop is blocked by GET /nap, at \S+asgi_life\.py:\d+, in _at_once", log)
        assert found, log
        live.wait_log("is ready", times=2)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_stopped_worker_is_replaced(kind: str) -> None:
    """It is told to go on, so that it can show where it was."""
    with Live("life:app", "--timeout=1", kind=kind) as live:
        (worker,) = live.workers()
        live.signal(signal.SIGSTOP, worker)
        log = live.wait_log("no sign of life")
        assert "; it is stopped (SIGSTOP)" in log
        live.wait_log("Fatal Python error: Aborted")
        live.wait_log("is ready", times=2)
        assert worker not in live.workers()
        assert live.request("/").status == 200


@pytest.mark.slow
@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_an_aborted_worker_leaves_a_core(kind: str, tmp_path: Path) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    if hard == 0 or not Path("/proc/sys/kernel/core_pattern").read_text().startswith("core"):
        pytest.skip("no core is written here, or somewhere else")
    with Live(
        "life:app",
        "--timeout=1",
        "--abort-core",
        f"--chdir={tmp_path}",
        "--pythonpath=" + str(APPS),
        kind=kind,
    ) as live:
        (worker,) = live.workers()
        with live.connect(timeout=20) as client:
            client.send(message("/freeze"))
            live.wait_log(f"Worker {worker} has left a core", deadline=60)
        assert [path for path in tmp_path.iterdir() if path.name.startswith("core")]


# -- crowds


def idle(live: Live, count: int) -> list[Client]:
    """Connections that have had their answer and are kept alive."""
    clients = []
    for _ in range(count):
        client = live.connect()
        clients.append(client)
        client.send(message("/"))
        client.response()
    return clients


def has_ended(client: Client) -> bool:
    return bool(select.select([client.socket], [], [], 0)[0])


def test_at_the_limit_idle_connections_make_room(kind: str) -> None:
    options = ("--worker-connections=10", "--keep-alive=60")
    with Live("life:app", *options, kind=kind) as live:
        clients = idle(live, 10)
        newcomer = live.connect()
        newcomer.send(message("/"))
        assert newcomer.response().status == 200
        wait_for(lambda: any(map(has_ended, clients)), "an idle one was closed")
        ended = [client for client in clients if has_ended(client)]
        assert len(ended) <= 3
        assert clients[0] in ended, "the one that was idle for longest"
        clients[-1].send(message("/"))
        assert clients[-1].response().status == 200, "the others are in order"
        for client in [*clients, newcomer]:
            client.close()
        live.stop()


def test_at_the_limit_no_connection_is_closed_over_a_request(kind: str) -> None:
    """Not even the one that was idle for longest; the newcomer waits if that is so of all."""
    options = ("--worker-connections=4", "--keep-alive=60")
    with Live("life:app", *options, kind=kind) as live, contextlib.ExitStack() as stack:
        (worker,) = live.workers()
        kept = idle(live, 4)
        for count in (2, 4):
            with frozen(worker):
                asking = [client for client in kept if not has_ended(client)][:count]
                newcomer = stack.enter_context(live.connect())  # is met first
                newcomer.send_ahead(message("/"))
                for client in asking:
                    client.send(message("/"))
            assert {client.response().status for client in (*asking, newcomer)} == {200}
            kept.append(newcomer)


@pytest.mark.parametrize("kind", ["gthread", "asgi"])
def test_at_the_limit_busy_connections_stay_and_others_wait(kind: str) -> None:
    """Then no more are accepted; they wait in the backlog, and are served when there is room again."""
    options = ("--worker-connections=4", "--keep-alive=60")
    with Live("life:app", *options, kind=kind) as live:
        busy = [live.connect(timeout=10) for _ in range(4)]
        for client in busy:
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nha")
        newcomers = [live.connect(timeout=10) for _ in range(3)]
        for client in newcomers:
            client.send_ahead(message("/"))
        assert newcomers[0].is_quiet(0.3)
        for client in busy:
            client.send(b"lf!")
            assert client.response("POST").status == 200
        for client in newcomers:
            assert client.response().status == 200
        for client in [*busy, *newcomers]:
            client.close()
        live.stop()


def test_at_the_limit_room_is_used_at_once(kind: str) -> None:
    """Whoever waits in the backlog is let in when somebody leaves, not at the next tick of some clock."""
    with Live("life:app", "--worker-connections=2", kind=kind) as live:
        clients = [live.connect() for _ in range(60)]
        waits = []
        for client in clients:  # the first two are let in and say nothing yet
            start = time.monotonic()
            client.send(message("/", fields=["Connection: close"]))
            assert client.response().status == 200
            client.close()
            waits.append(time.monotonic() - start)
        assert max(waits) < 0.3, [round(wait, 3) for wait in waits]


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_no_descriptor_left_for_a_newcomer(kind: str) -> None:
    """The kernel refuses to accept: said in the log, survived, and over when there is room again."""
    with Live("life:app", "--keep-alive=60", kind=kind) as live:
        (worker,) = live.workers()
        used = len(list(Path(f"/proc/{worker}/fd").iterdir()))
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (used + 5, used + 5))
        clients = [live.connect(timeout=10) for _ in range(12)]
        for client in clients:
            client.send_ahead(message("/", fields=["Connection: close"]))
        for client in clients:
            assert client.response().status == 200
            client.close()
        stuck = [live.connect(timeout=10) for _ in range(8)]
        for client in stuck:
            client.send_ahead(b"GET / HT")
        live.wait_log("Cannot accept connections")
        for client in stuck:
            client.close()
        assert live.request("/").status == 200


@contextlib.contextmanager
def no_descriptor_left(live: Live) -> Iterator[None]:
    """More clients come than the worker has descriptors for, and wait."""
    (worker,) = live.workers()
    used = len(list(Path(f"/proc/{worker}/fd").iterdir()))
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (used + 2, used + 2))
    with contextlib.ExitStack() as clients:
        for _ in range(8):
            clients.enter_context(live.connect(timeout=10)).send_ahead(b"GET / HT")
        live.wait_log("Cannot accept connections")
        yield


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_lack_of_descriptors_is_logged_once(kind: str) -> None:
    """At its begin and at its end, however many attempts fail in between."""
    with Live("life:app", "--keep-alive=60", kind=kind) as live:
        with no_descriptor_left(live):
            time.sleep(1.5)  # five attempts
        log = live.wait_log("Accepting connections again")
        assert log.count("Cannot accept connections: Too many open files") == 1
        failed = re.search(r"(\d+) more failures", log)
        assert failed is not None
        assert int(failed[1]) >= 2
        assert live.request("/").status == 200


@pytest.mark.parametrize("kind", [*ONE_OF_EACH, "gthread"])
def test_a_long_backlog_is_served_at_a_stop(kind: str) -> None:
    """More than are accepted in a row as a rule, and than there is room for; nobody else will."""
    with Live("life:app", "--worker-connections=10", kind=kind) as live, contextlib.ExitStack() as stack:
        with frozen(live.workers()[0]):
            clients = [stack.enter_context(live.connect()) for _ in range(100)]
            for client in clients:
                client.send(message("/"))
            live.signal(signal.SIGTERM)
            live.wait_log("SIGTERM: stopping")
        assert {client.response().status for client in clients} == {200}


SLOW_LOG = """
import logging

class Slow(logging.Handler):
    def emit(self, record):
        if "accept" in record.msg:
            time.sleep(0.4)     # gives the GIL away, for longer than the next attempt waits

logging.getLogger("tricorn.error").addHandler(Slow())

def answer(path):
    return "answered"
"""


@pytest.mark.parametrize("kind", ["sync", pytest.param("asgi", marks=pytest.mark.slow)])
def test_a_lack_of_descriptors_is_logged_once_by_a_slow_log(tmp_path: Path, kind: str) -> None:
    """Another thread that fails meanwhile finds that it is being said."""
    with serving(tmp_path, SLOW_LOG, kind=kind) as live:
        with no_descriptor_left(live):
            time.sleep(1.2)
        log = live.wait_log("Accepting connections again")
        assert log.count("Cannot accept connections: Too many open files") == 1


@pytest.mark.slow
def test_a_lack_of_descriptors_that_lasts() -> None:
    """The log is reminded of it now and then, with the number of attempts."""
    with Live("life:app", "--header-timeout=60") as live, no_descriptor_left(live):
        log = live.wait_log("more times in 10 s)", deadline=15)
        assert log.count("Cannot accept connections: Too many open files") == 2


@pytest.fixture
def many_descriptors() -> Iterator[int]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, 20_000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    yield wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.slow
def test_ten_thousand_idle_connections(kind: str, many_descriptors: int) -> None:
    """They cost memory only: no thread, and no time of those who are served."""
    count = 10_000
    if many_descriptors < count + 200:
        pytest.skip(f"only {many_descriptors} descriptors are allowed here")
    options = ("--worker-connections=20000", "--keep-alive=120", "--header-timeout=120")
    sockets: list[socket.socket] = []
    with Live("life:app", *options, kind=kind) as live:
        (worker,) = live.workers()
        before = resident(worker)
        request = message("/")
        try:
            for number in range(count):
                # Several addresses: one has 28,000 ports, and those of earlier tests are not free yet.
                client = socket.create_connection(live.address, 10, (f"127.0.0.{2 + number % 8}", 0))
                sockets.append(client)
                client.sendall(request)
                if number % 100 == 99:
                    for each in sockets[-100:]:
                        assert each.recv(4096).startswith(b"HTTP/1.1 200")
            assert len(list(Path(f"/proc/{worker}/fd").iterdir())) > count
            assert resident(worker) - before < count * 2048, "bytes for each connection"
            start = time.monotonic()
            for _ in range(100):
                assert live.request("/").status == 200
            assert time.monotonic() - start < 5
            for client in sockets[:: count // 100]:
                client.sendall(request)
                assert client.recv(4096).startswith(b"HTTP/1.1 200")
        finally:
            for client in sockets:
                client.close()
        wait_for(
            lambda: len(list(Path(f"/proc/{worker}/fd").iterdir())) < 100,
            "all are closed here too",
            deadline=10,
        )
        live.stop()


def resident(pid: int) -> int:
    """Resident memory in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
