"""The master when the machine has nothing left for it: no process, no descriptor, no memory.

It goes on, says what it could not do, and does it when that is possible again.
"""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest
from arbiter.scarcity import Scarcity
from arbiter.service import Service, is_alive
from harness.server import wait_for
from integration.answering import serving


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
