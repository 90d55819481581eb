"""A worker that crashes: what the log says of it, what it costs, what comes after it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from harness.axes import ONE_OF_EACH
from harness.client import ClosedError
from harness.server import wait_for
from integration.answering import serving
from integration.live import Live, entered, message

APP = """
import ctypes, pathlib

def answer(path):
    if path == "/crash":
        ctypes.string_at(0)
    if path == "/wait":
        pathlib.Path(GATE + ".in").write_text(str(os.getpid()))
        while not os.path.exists(GATE):
            time.sleep(0.002)
    return str(os.getpid())
"""


def crash(live: Live, target: str) -> None:
    with live.connect(timeout=10) as client:
        client.send(message(target))
        with pytest.raises((ClosedError, ConnectionError)):
            client.response()


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_the_request_that_a_worker_died_of_is_named(kind: str, tmp_path: Path) -> None:
    with serving(tmp_path, APP, kind=kind) as live:
        (worker,) = live.workers()
        crash(live, "/crash?\\x1b[31m'\"")
        log = live.wait_log(f"Worker {worker} was killed by SIGSEGV; a compiled extension")
        line = next(line for line in log.splitlines() if f"Worker {worker} was killed" in line)
        # What a client may send is shown in a form that no terminal obeys.
        assert re.search(r"it was busy with 'GET /crash\?\\\\x1b\[31m\\'\"' \(0 s\)$", line), line
        wait_for(lambda: live.log().count("is ready") == 2, "a successor")
        live.request("/")


def test_the_requests_of_other_threads_are_named_too(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with serving(tmp_path, f"GATE = {str(gate)!r}\n{APP}", "--threads=2", kind="gthread") as live:
        (worker,) = live.workers()
        with live.connect(timeout=10) as waiting:
            waiting.send(message("/wait"))
            assert entered(gate) == worker
            crash(live, "/crash")
            live.wait_log(f"Worker {worker} was killed by SIGSEGV")
        line = next(line for line in live.log().splitlines() if f"Worker {worker} was killed" in line)
        assert {"'GET /wait'", "'GET /crash'"} == set(re.findall(r"'GET [^']*'", line))
        gate.touch()
