"""Signals that a worker gets while there is no memory for a moment."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from select import select

import pytest
from harness.server import Server, wait_for

from tricorn.workers.signals import Command, SignalPipe

APP = """
import os

from tricorn.workers import threaded
from tricorn.workers.signals import SignalPipe

PLACES = {
    "take": (SignalPipe, "take"),
    "lifeline": (threaded, "is_readable"),
    "state": (threaded.Worker, "_enter"),
    "done": (threaded.Worker, "_is_done"),
}

def fail_once(owner, name):
    right = getattr(owner, name)
    def fail(*_):
        setattr(owner, name, right)
        raise MemoryError
    setattr(owner, name, fail)

def app(environ, start_response):
    if (place := environ["PATH_INFO"][1:]) in PLACES:
        fail_once(*PLACES[place])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""


def test_no_allocation_loses_a_command() -> None:
    testcapi = pytest.importorskip("_testcapi", reason="this CPython has no _testcapi")
    pipe = SignalPipe()
    failures = 0
    for number in range(40):
        os.write(pipe._writer, bytes((signal.SIGTERM, signal.SIGUSR1)))
        testcapi.set_nomemory(number, number + 1)
        try:
            taken = pipe.take()
        except MemoryError:
            testcapi.remove_mem_hooks()
            failures += 1
            assert select([pipe.fd], [], [], 0)[0], "nobody is told to look again"
            taken = pipe.take()
        finally:
            testcapi.remove_mem_hooks()
        assert set(taken) == {Command.DRAIN, Command.REOPEN}, number
        assert pipe.take() == []
    assert failures
    os.close(pipe.fd)
    os.close(pipe._writer)


@pytest.mark.parametrize("place", ["take", "lifeline", "done"])
@pytest.mark.parametrize("kind", ["sync", "gthread", "gevent"])
def test_a_worker_outlives_a_moment_without_memory(kind: str, place: str, tmp_path: Path) -> None:
    (tmp_path / "scarce.py").write_text(APP)
    server = Server("scarce:app", ["--chdir", str(tmp_path)], kind=kind)
    server.start(wait=False)
    try:
        _, pid = server.get(f"/{place}")
        os.kill(int(pid), signal.SIGUSR1)
        wait_for(lambda: "no memory for a moment" in server.log(), "it says so")
        assert server.get("/")[1] == pid
        server.stop()
    finally:
        server.kill()


@pytest.mark.parametrize("kind", ["sync", "gevent"])
def test_a_stop_that_has_no_memory_for_a_moment_is_a_stop(kind: str, tmp_path: Path) -> None:
    (tmp_path / "scarce.py").write_text(APP)
    server = Server("scarce:app", ["--chdir", str(tmp_path), "--graceful-timeout=30"], kind=kind)
    server.start(wait=False)
    try:
        server.get("/state")
        server.terminate()
        assert server.process is not None
        assert server.process.wait(15) == 0
        assert "no memory for a moment" in server.log()
    finally:
        server.kill()
