"""A worker that has served becomes the mold from which the others are forked anew (`refork_after`)."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from harness.axes import KINDS_OF
from harness.server import wait_for
from integration.answering import serving, told
from integration.live import Live, Load, is_alive

#: Tells which processes have served with this memory: the worker's own, and those that it was forked from.
WARM = """
served = []
def answer(path):
    if os.getpid() not in served:
        served.append(os.getpid())
    return " ".join(map(str, served))
"""


def kinds_of_files(pid: int) -> list[str]:
    """What a process has open, without what tells one pipe from another."""
    names = [os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")]
    return sorted(name.partition(":")[0] for name in names)


def wait_reforked(live: Live, times: int = 1) -> int:
    """The mold, once all workers come from it."""
    live.wait_log("was a worker until now", times=times, deadline=20)
    wait_for(lambda: len(live.molds()) == 1, "the mold before has ended", deadline=20)
    (mold,) = live.molds()
    return mold


@pytest.mark.parametrize("kind", [pytest.param("sync"), pytest.param("gthread", marks=pytest.mark.slow)])
def test_all_workers_come_from_a_warm_one(tmp_path: Path, kind: str) -> None:
    access = tmp_path / "access.log"
    options = ("--preload", "--refork-after=20", f"--access-logfile={access}")
    with serving(tmp_path, WARM, *options, kind=kind, workers=2) as live:
        (before,), workers = live.molds(), live.workers()
        files = kinds_of_files(before)
        with Load(live) as load:
            mold = wait_reforked(live)
            load.wait_served(20)
            load.check()
        assert mold in workers
        assert kinds_of_files(mold) == files
        assert not is_alive(before)
        assert not set(workers) & set(live.workers())
        assert told(live, "/").split()[0] == str(mold)
        victim = live.workers()[0]
        live.signal(signal.SIGTERM, victim)
        wait_for(lambda: len(live.workers()) == 2 and victim not in live.workers(), "another", deadline=10)
        assert told(live, "/").split()[0] == str(mold)
        live.signal(signal.SIGHUP)
        live.wait_log("Reload done", deadline=20)
        assert str(mold) not in told(live, "/").split()
        assert not is_alive(mold)
        assert "ERROR" not in live.log()
        # What was served before it became a mold is written, and not by each worker again.
        count = live.log().count("has served")
        live.terminate()
        assert live.wait_exit() == 0
        assert count == 1
        assert len(access.read_text().splitlines()) == load.served + 4


@pytest.mark.slow
def test_each_number_is_for_one_time(tmp_path: Path) -> None:
    with serving(tmp_path, WARM, "--preload", "--refork-after=5,10", kind="sync") as live, Load(live) as load:
        wait_reforked(live, times=2)
        load.check()
        assert len(told(live, "/").split()) == 3
        live.stop()


#: What stands in the way → the source, and what is said.
OBSTACLES = {
    "a thread": (
        "def answer(path):\n    if path == '/':\n        "
        "threading.Thread(target=time.sleep, args=(600,), name='refresh', daemon=True).start()\n"
        "    return str(os.getpid())",
        "cannot become the mold, and ends: the application has threads: 'refresh'",
    ),
    "a thread of the mold": (
        "threading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
        "def answer(path):\n    return str(os.getpid())",
        "no worker becomes the mold: the application has started threads when it was loaded",
    ),
    "a child of the mold": (
        "import subprocess\nsubprocess.Popen(['sleep', '20'])\n"
        "def answer(path):\n    return str(os.getpid())",
        "no worker becomes the mold: the application has started processes when it was loaded",
    ),
}


@pytest.mark.parametrize(
    "case",
    [case if case == "a thread" else pytest.param(case, marks=pytest.mark.slow) for case in OBSTACLES],
)
def test_what_keeps_a_worker_from_it(tmp_path: Path, case: str) -> None:
    source, said = OBSTACLES[case]
    with serving(tmp_path, source, "--preload", "--refork-after=1", kind="sync") as live:
        molds = live.molds()
        live.wait_log(said)
        wait_for(lambda: len(live.workers()) == 1, "one worker", deadline=10)
        assert told(live, "/again")
        assert live.molds() == molds
        live.stop()


@pytest.mark.parametrize("kind", KINDS_OF["asgi"])
def test_an_event_loop_keeps_a_worker_from_it(tmp_path: Path, kind: str) -> None:
    source = "def answer(path):\n    return str(os.getpid())"
    with serving(tmp_path, source, "--preload", "--refork-after=1", kind=kind) as live:
        live.wait_log("cannot become the mold, and ends: an event loop has run in it")
        wait_for(lambda: len(live.workers()) == 1, "one worker", deadline=10)
        assert told(live, "/")
        live.stop()


def test_it_needs_preload(tmp_path: Path) -> None:
    with serving(tmp_path, WARM, "--refork-after=1", kind="sync") as live:
        assert "refork_after has no effect without preload_app" in live.log()
        live.stop()
