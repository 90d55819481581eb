"""The master when the machine has nothing left for it: no process, no descriptor, no memory.

It goes on, says what it could not do, and does it when that is possible again.
"""

from __future__ import annotations

import errno
import os
import re
import signal
from contextlib import suppress
from pathlib import Path

import pytest
from arbiter.scarcity import Scarcity, without_descriptors
from arbiter.service import Service, is_alive
from harness.client import Client
from harness.server import wait_for
from integration.answering import serving
from integration.live import Live, message

from tricorn.commands.ctl import main as ctl


@pytest.fixture
def scarcity(tmp_path: Path) -> Scarcity:
    return Scarcity(tmp_path)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("fork", errno.EAGAIN),
        pytest.param("fork", errno.ENOMEM, marks=pytest.mark.slow),
        pytest.param("pipe", errno.EMFILE, marks=pytest.mark.slow),
    ],
)
def test_no_process_for_a_worker(service: Service, scarcity: Scarcity, call: str, error: int) -> None:
    victim = min(service.start(workers=2, environ=scarcity.environ).workers())
    scarcity.begin(service.pid, call, error, 3)
    os.kill(victim, signal.SIGKILL)
    scarcity.wait_over()
    service.wait(lambda: len(service.ready()) == 2)
    assert service.log().count(f"No worker started: {os.strerror(error)}") == 3
    assert is_alive(service.pid)


@pytest.mark.parametrize(
    ("call", "error"),
    [("fork", errno.EAGAIN), pytest.param("pipe", errno.EMFILE, marks=pytest.mark.slow)],
)
def test_no_process_for_a_mold_and_none_from_it(
    service: Service, scarcity: Scarcity, call: str, error: int
) -> None:
    service.start(workers=1, environ=scarcity.environ, preload_app=True)
    scarcity.begin(service.pid, call, error, 1)
    service.signal(signal.SIGHUP)
    service.wait_for_log("Reload done: generation 2 serves")
    assert service.log().count(f"No mold started: {os.strerror(error)}") == 1
    (worker,), molds = service.workers(), service.molds()
    scarcity.begin(service.pid, call, error, 2, in_master=False)
    os.kill(worker, signal.SIGKILL)
    scarcity.wait_over()
    service.wait(lambda: service.ready().keys() - {worker})
    assert service.log().count(f"No worker started: {os.strerror(error)}") == 2
    assert service.molds() == molds


#: What fails in an upgrade → the error, and what is said of it.
UPGRADES = {
    "fork": (errno.EAGAIN, r"no process could be started: "),
    "exec": (errno.ENOMEM, r"process \d+ exited with code 1: .*python[0-9.]*: "),
}


def test_no_process_for_a_newer_master(scarcity: Scarcity, tmp_path: Path) -> None:
    with serving(tmp_path, "def answer(path): return 'ok'", kind="sync", environ=scarcity.environ) as live:
        workers = live.workers()
        for times, (call, (error, said)) in enumerate(UPGRADES.items(), start=1):
            scarcity.begin(live.pid, call, error, 1, in_master=call == "fork")
            live.signal(signal.SIGUSR2)
            log = live.wait_log("Upgrade failed; nothing has changed: ", times=times)
            assert re.search(f"has changed: {said}{re.escape(os.strerror(error))}$", log, re.MULTILINE)
            assert live.workers() == workers
        assert live.request("/").body == b"ok"


def test_no_memory_for_a_scoreboard(service: Service, scarcity: Scarcity) -> None:
    old = service.start(workers=1, environ=scarcity.environ).workers()
    scarcity.begin(service.pid, "mmap", errno.ENOMEM, 1)
    service.settings(workers=1, threads=4)
    service.signal(signal.SIGHUP)
    service.wait_for_log("Reload failed; nothing has changed")
    scarcity.wait_over()
    assert service.workers() == old
    service.signal(signal.SIGHUP)
    service.wait_for_log("Reload done: generation 2 serves")


def test_no_memory_to_wait_with(service: Service, scarcity: Scarcity) -> None:
    victim = min(service.start(workers=1, environ=scarcity.environ).workers())
    scarcity.begin(service.pid, "poll", errno.ENOMEM, 3)
    os.kill(victim, signal.SIGKILL)
    scarcity.wait_over()
    service.wait(lambda: service.ready().keys() - {victim})
    assert service.log().count("The master cannot wait for anything") == 1


@pytest.mark.slow
def test_no_descriptor_to_look_at_workers_with(service: Service, scarcity: Scarcity) -> None:
    """Their memory, and whether that ran out."""
    service.start(workers=1, environ=scarcity.environ, max_memory=1 << 40)
    scarcity.begin(service.pid, "open", errno.EMFILE, 4)
    scarcity.wait_over()
    service.signal(signal.SIGHUP)
    service.wait_for_log("Reload done: generation 2 serves")
    assert "cannot be read" not in service.log()


def test_no_poller_for_a_new_worker(scarcity: Scarcity, tmp_path: Path) -> None:
    with serving(tmp_path, "def answer(path): return 'ok'", kind="sync", environ=scarcity.environ) as live:
        (worker,) = live.workers()
        scarcity.begin(live.pid, "epoll_create", errno.EMFILE, 2, in_master=False)
        live.signal(signal.SIGKILL, worker)
        scarcity.wait_over()
        live.wait_log("is ready", times=2)
        assert live.request("/").body == b"ok"
        wait_for(lambda: len(live.workers()) == 1, "those that failed are gone")


#: A listener in an epoll set, as the kernel shows it (proc(5)): known by the token that we have given it.
LISTENER = re.compile(r"^tfd: .* data: +8000000\d ", re.MULTILINE)


def watched_listeners(worker: int) -> int:
    """How many listeners the worker waits at."""
    found = 0
    for place in Path(f"/proc/{worker}/fdinfo").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            found += len(LISTENER.findall(place.read_text()))
    return found


@pytest.mark.parametrize("kind", ["sync", pytest.param("asgi", marks=pytest.mark.slow)])
def test_no_memory_to_watch_the_listeners_with(scarcity: Scarcity, tmp_path: Path, kind: str) -> None:
    """The worker goes on with the clients that it has; who comes meanwhile waits."""
    options = ("--worker-connections=1", "--keep-alive=60")
    source = "def answer(path): return 'ok'"
    with (
        serving(tmp_path, source, *options, kind=kind, environ=scarcity.environ) as live,
        live.connect(timeout=10) as first,
    ):
        (worker,) = live.workers()
        assert watched_listeners(worker)
        first.send(b"GET / HT")
        newcomer = came_too_late(live, worker)
        scarcity.begin(live.pid, "epoll_ctl", errno.ENOSPC, 2, in_master=False)
        first.send(b"TP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert first.response().body == b"ok"
        assert newcomer.response().body == b"ok"
        scarcity.wait_over()
        newcomer.close()
        assert live.workers() == [worker]
        assert live.log().count(f"Cannot accept connections: {os.strerror(errno.ENOSPC)}") == 1
        live.stop()


def came_too_late(live: Live, worker: int) -> Client:
    """A client for which there is no room: the worker has ceased to wait for others."""
    newcomer = live.connect(timeout=10)
    newcomer.send(message("/"))
    wait_for(lambda: not watched_listeners(worker), "there is room for one only")
    return newcomer


NONE_LEFT = os.strerror(errno.EMFILE)


def test_a_master_without_descriptors(tmp_path: Path) -> None:
    """Whatever it is told meanwhile: it goes on, and does later what is still wanted."""
    options = (f"--control-socket={tmp_path}/run/ctl", "--max-memory=1g")
    source = "def answer(path): return 'ok'"
    log = tmp_path / "error.log"
    with serving(tmp_path, source, *options, kind="sync", workers=2, errorlog=log) as live:
        victim, _ = live.workers()
        with without_descriptors(live.pid):
            live.signal(signal.SIGTTIN)
            live.wait_log(f"No worker started: {NONE_LEFT}", times=2)
            live.signal(signal.SIGUSR1)
            live.wait_log(f"Cannot reopen {log}: {NONE_LEFT}")
            live.signal(signal.SIGUSR2)
            live.wait_log(f"Upgrade failed; nothing has changed: no process could be started: {NONE_LEFT}")
            live.signal(signal.SIGHUP)
            live.wait_log("SIGHUP: ")
            live.signal(signal.SIGKILL, victim)
            live.wait_log(f"Worker {victim} was killed by SIGKILL")
            assert live.request("/").body == b"ok"
        assert ctl(["--socket", f"{tmp_path}/run/ctl", "reload"]) == 0
        wait_for(lambda: victim not in live.workers() and len(live.workers()) == 2, "all are there")
        assert "Traceback" not in live.log()
        live.stop()
