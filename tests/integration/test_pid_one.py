"""The master as process 1 of a container, without an init beside it: in a pid namespace of its own.

Nobody else reaps orphans there, and the kernel drops every signal that process 1 has no handler for.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from harness.axes import ONE_OF_EACH
from harness.server import wait_for
from integration.answering import write_site
from integration.live import Live, children, is_alive

CONTAINER = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")

APP = """
def orphan(lives_on):
    child = os.fork()
    if child == 0:
        os.setsid()
        if os.fork() == 0:
            while os.getppid() != 1 or lives_on:
                time.sleep(0.001)
        os._exit(7)
    os.waitpid(child, 0)
    return "made"

def tell_master(name):
    os.kill(1, getattr(signal, name))
    return "told"

def answer(path):
    what, _, name = path[1:].partition("/")
    if what == "tell":
        return tell_master(name)
    if what == "orphan":
        return orphan(name == "lives_on")
    return str(os.getppid())
"""


def can_contain() -> bool:
    if shutil.which(CONTAINER[0]) is None:
        return False
    return subprocess.run([*CONTAINER, "true"], capture_output=True, timeout=10, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not can_contain(), reason="no pid namespace can be made here")


class Contained(Live):
    """A server whose master is process 1. Process ids are those outside."""

    @property
    def command(self) -> list[str]:
        return [*CONTAINER, *super().command]

    @property
    def pid(self) -> int:
        assert self.process is not None
        (master,) = children(self.process.pid)
        return master


def contained(directory: Path, kind: str = "sync", workers: int = 1) -> Contained:
    write_site(directory, APP, kind)
    return Contained("site_app:app", kind=kind, chdir=directory, workers=workers)


def zombies(live: Live) -> list[int]:
    return [pid for pid in children(live.pid) if not is_alive(pid)]


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_orphans_of_the_application_are_reaped(kind: str, tmp_path: Path) -> None:
    with contained(tmp_path, kind) as live:
        (worker,) = live.workers()
        assert live.request("/").body == b"1"
        for _ in range(10):
            assert live.request("/orphan").body == b"made"
        wait_for(lambda: children(live.pid) == [worker], "the orphans are gone, also as zombies")
        assert "ERROR" not in live.log()


def test_a_worker_among_the_orphans_is_missed(tmp_path: Path) -> None:
    """Its exit code is not lost when all that has ended is reaped."""
    with contained(tmp_path, workers=2) as live:
        victim = min(live.workers())
        live.signal(signal.SIGSTOP)
        for _ in range(3):
            live.request("/orphan")
        live.signal(signal.SIGKILL, victim)
        wait_for(lambda: len(zombies(live)) == 4, "they wait to be reaped")
        live.signal(signal.SIGCONT)
        live.wait_log("was killed by SIGKILL")
        live.wait_log("is ready", times=3)
        wait_for(lambda: not zombies(live), "all are reaped")


@pytest.mark.parametrize(
    "name",
    ["SIGTERM", *(pytest.param(name, marks=pytest.mark.slow) for name in ("SIGINT", "SIGQUIT"))],
)
def test_a_stop_that_comes_from_inside(tmp_path: Path, name: str) -> None:
    with contained(tmp_path) as live:
        (worker,) = live.workers()
        live.request(f"/tell/{name}")
        assert live.wait_exit() == 0
        assert not is_alive(worker)
        assert f"{name}: stopping" in live.log()


@pytest.mark.slow
def test_what_is_no_stop_ends_nothing(tmp_path: Path) -> None:
    with contained(tmp_path) as live:
        for name in ("SIGALRM", "SIGHUP"):
            assert live.request(f"/tell/{name}").body == b"told"
        live.wait_log("SIGALRM: ignored")
        live.wait_log("Reload done: generation 2 serves")


def test_a_stop_does_not_wait_for_orphans(tmp_path: Path) -> None:
    """As `docker stop` does it: TERM from outside. What lives on ends with its container."""
    with contained(tmp_path) as live:
        (worker,) = live.workers()
        live.request("/orphan/lives_on")
        (orphan,) = wait_for(lambda: set(live.workers()) - {worker}, "the orphan is the master's")
        live.signal(signal.SIGTERM)
        assert live.wait_exit() == 0
        wait_for(lambda: not is_alive(orphan), "the kernel ends it")
        assert not os.path.exists(f"/proc/{worker}")
