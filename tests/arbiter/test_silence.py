"""Why a worker is silent: a table of what is known of it, and what is said."""

from __future__ import annotations

import os
import resource
import signal
import subprocess

import pytest
from harness.server import wait_for

from tricorn.arbiter.silence import Evidence, allow_core, reason, state_of

BLOCKED = "GET /nap, task 'Task-5', at site.py:12"
TICKS = Evidence(ticked=0.1)


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        (Evidence(), ""),
        (TICKS, ""),
        (Evidence("R"), "its event loop is blocked: its thread computes"),
        (Evidence("S"), "its event loop is blocked: its thread waits"),
        (Evidence(ticked=1.9), ""),
        (
            Evidence("S", ticked=30.0),
            "none of its threads has run for 30 s: it is suspended, or gets no processor",
        ),
        (Evidence("T", ticked=30.0), "it is stopped (SIGSTOP)"),
        (Evidence("t", ticked=30.0), "it is stopped by a debugger"),
        (
            Evidence("D", ticked=30.0),
            "it waits for the kernel, perhaps for a disk (state D)",
        ),
        (Evidence("D", ticked=29.0, awaits_gil=29.0), "one of its threads holds the GIL, for 29 s"),
        (Evidence("R", ticked=29.0, awaits_gil=29.0), "one of its threads holds the GIL, for 29 s"),
        (Evidence("R", ticked=0.0, awaits_gil=0.1), ""),
        (Evidence("S", ticked=0.0, obstacle=BLOCKED), f"its event loop is blocked by {BLOCKED}"),
        (Evidence("R", 29.0, 29.0, BLOCKED), "one of its threads holds the GIL, for 29 s"),
        (Evidence("T", 29.0, 29.0, BLOCKED), "it is stopped (SIGSTOP)"),
    ],
)
def test_reasons(evidence: Evidence, expected: str) -> None:
    assert reason(evidence) == expected


def test_a_core_is_allowed_from_outside() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    process = subprocess.Popen(["sh", "-c", "ulimit -S -c 0; echo; exec sleep 60"], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        assert resource.prlimit(process.pid, resource.RLIMIT_CORE) == (0, hard)
        allow_core(process.pid)
        assert resource.prlimit(process.pid, resource.RLIMIT_CORE) == (hard, hard)
    finally:
        process.kill()
        process.communicate()
    assert resource.getrlimit(resource.RLIMIT_CORE) == (soft, hard)


def test_the_state_of_a_process() -> None:
    process = subprocess.Popen(["sleep", "60"])
    try:
        os.kill(process.pid, signal.SIGSTOP)
        wait_for(lambda: state_of(process.pid) == "T", "it is stopped")
        process.kill()
        process.wait()
        assert state_of(process.pid) == ""
    finally:
        process.kill()
        process.wait()
