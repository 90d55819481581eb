"""A number of workers that follows the load, with all times shortened.

More of them, fewer again, and no request is lost on the way.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from harness.server import wait_for
from integration.answering import write_site
from integration.live import Live, Load

#: The configuration is a program that runs in the master.
QUICK = """
from tricorn.arbiter import arbiter, autoscale, load

arbiter.TICK = load.SAMPLE_EVERY = 0.1
autoscale.UP_OVER, autoscale.DOWN_OVER, autoscale.STEP_DOWN = 0.3, 0.6, 0.2
workers, workers_max = {workers}, {most}
"""

APP = """
def answer(path):
    end = time.monotonic() + 0.01
    while path == "/work" and time.monotonic() < end:
        pass
    return str(os.getpid())
"""


def scaling(directory: Path, *options: str, kind: str = "sync", workers: int = 1, most: int = 3) -> Live:
    write_site(directory, APP, kind)
    (directory / "quick.py").write_text(QUICK.format(workers=workers, most=most))
    return Live(
        "site_app:app",
        "-c",
        str(directory / "quick.py"),
        *options,
        kind=kind,
        workers=workers,
        chdir=directory,
    )


@pytest.mark.parametrize("kind", ["sync", pytest.param("asgi", marks=pytest.mark.slow)])
def test_up_and_down_without_a_lost_request(kind: str, tmp_path: Path) -> None:
    # A client that keeps its connection stays with its worker.
    with scaling(tmp_path, "--keep-alive=0", kind=kind) as live:
        with Load(live, "/work") as load:
            live.wait_log("Changing from 1 to 2 workers: ")
            live.wait_log("Changing from 2 to 3 workers: ")
            live.wait_log("is ready", times=3)
            load.wait_served(50)
            assert len(load.bodies) > 1
            live.signal(signal.SIGHUP)
            live.wait_log("Reload done: generation 2 serves")
            # It has kept the number.
            assert live.log().count("Changing from 1 to 2 workers") == 1
        live.wait_log("Changing from 2 to 1 workers: 0.")
        wait_for(lambda: len(live.workers()) == 1, "the others have left")
        load.check()


def test_signals_and_reloads_stay_within_the_bounds(tmp_path: Path) -> None:
    with scaling(tmp_path, workers=2, most=3) as live:
        live.signal(signal.SIGTTIN)
        live.wait_log("SIGTTIN: changing to 3 workers")
        live.signal(signal.SIGTTIN)
        live.wait_log("SIGTTIN: there are 3 workers already, which is the limit")
        # Nobody needs the third.
        live.wait_log("Changing from 3 to 2 workers: 0.")
        live.signal(signal.SIGTTOU)
        live.wait_log("SIGTTOU: there are 2 workers already, which is the limit")
        (tmp_path / "quick.py").write_text(QUICK.format(workers=2, most=0))
        live.signal(signal.SIGHUP)
        live.wait_log("Reload done: generation 2 serves")
        # The number is fixed now.
        live.signal(signal.SIGTTOU)
        live.wait_log("SIGTTOU: changing to 1 workers")
