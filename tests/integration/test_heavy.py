"""Heavy workers in real servers: calls from each kind of worker, crashes, hangs, reloads, upgrades, stops.

The forms in which applications are written and called are those that Gunicorn documents for dirty arbiters.
A server takes most of the time here, so what can be asked of one is.
"""

from __future__ import annotations

import os
import pwd
import re
import signal
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from harness.axes import KINDS
from harness.server import wait_for
from integration.heavy_site import Site
from integration.live import Load, children, in_background, is_alive, message

TERM, KILL, QUIT, USR2 = signal.SIGTERM, signal.SIGKILL, signal.SIGQUIT, signal.SIGUSR2

#: Each kind of worker, and from where its application has the names: the old import works, too.
CALLERS = {
    "sync": "gunicorn.dirty",
    "gthread": "tricorn.heavy",
    "asgi": "tricorn.heavy",
    "tornado": "gunicorn.dirty",
    "gevent": "tricorn.heavy",
    "eventlet": "gunicorn.dirty",
}

#: Those that serve others while one waits.
SHARING = ("asgi", "tornado", "gevent", "eventlet")


@pytest.mark.parametrize("kind", [kind for kind in CALLERS if kind in KINDS])
def test_every_kind_of_worker_calls(kind: str, tmp_path: Path) -> None:
    options = ("--asgi-disconnect-grace-period=0.1", "--metrics")
    with Site(tmp_path, *options, kind=kind, package=CALLERS[kind]) as site:
        (heavy,) = site.pids()
        assert site.call("Models/pid") == heavy
        assert site.call("Models/inference", "base", "four") == 4
        assert site.answer("Models/inference", "large", "x") == (
            500,
            ["DirtyAppError", "Model not loaded: large"],
        )
        assert site.call("Models/load_model", "large") == {"loaded": True, "name": "large"}
        assert site.call("Models/inference", "large", "x") == "X"
        assert site.answer("Nobody/pid")[1][0] == "DirtyAppNotFoundError"
        stream = site.request("/Models/stream-tokens", fields=["X-Args: [3]"])
        assert stream.body == b"token 0\ntoken 1\ntoken 2\n"
        if kind == "asgi":
            assert site.call("Models/loop") == "uvloop"
        if kind in ("asgi", "tornado"):
            assert site.call("Models/thread-inference", "base", "three") == 5
        if kind in SHARING:
            _whoever_waits_holds_nobody_up(site)
        _a_client_that_leaves_ends_the_stream(site)
        _a_client_that_leaves_ends_the_call(site)
        assert site.call("Models/pid") == heavy
        site.signal(TERM)
        assert site.wait_exit() == 0
        assert (tmp_path / "closed").read_text() == f"{heavy}\n"
        assert "Traceback" not in site.log()


def _whoever_waits_holds_nobody_up(site: Site) -> None:
    with in_background(site.call, "Models/wait", "gate") as found:
        site.is_inside("gate")
        assert site.request("/").body == b"ok"
        site.open("gate")
    assert found == ["gate"]


def _a_client_that_leaves_ends_the_stream(site: Site) -> None:
    with site.connect(timeout=10) as client:
        client.send(message("/Models/stream-endless"))
        wait_for(lambda: client.more() and b"more" in client.buffer, "it streams")
    wait_for((site.home / "endless.out").exists, "the generator is closed")


def _a_client_that_leaves_ends_the_call(site: Site) -> None:
    before = site.figures()["calls", "cancelled"]
    with site.connect(timeout=10) as client:
        client.send(message("/Models/wait", fields=['X-Args: ["never"]']))
        site.is_inside("never")
    wait_for(lambda: site.figures()["calls", "cancelled"] > before, "the call is given up")


class Calls(Load):
    """A few each second are enough to be lost, and leave the processor to what is tested."""

    PAUSE = 0.03


# -- what goes wrong ---------------------------------------------------------------------------------------


def test_a_crash_is_its_callers_error_and_nobody_elses(tmp_path: Path) -> None:
    with Site(tmp_path, "--dirty-max-queue=1", "--threads=4", "--metrics") as site:
        (before,) = site.pids()
        web = [pid for pid in site.workers() if pid != before]
        _too_many_are_refused(site)
        status, (kind, said) = site.answer("Models/crash")
        assert (status, kind) == (500, "DirtyWorkerError")
        assert "has ended" in said
        log = site.wait_log(f"Heavy worker {before} was killed by SIGSEGV")
        assert "it was busy with 'heavy_app:Models crash'" in log
        assert site.call("Models/pid") != before
        wait_for(lambda: site.figures()["calls", "lost"] == 1, "it is counted")
        assert set(web) <= set(site.workers())


def _too_many_are_refused(site: Site) -> None:
    with in_background(site.call, "Models/wait", "gate") as first:
        site.is_inside("gate")
        with in_background(site.call, "Models/pid") as second:
            wait_for(lambda: site.pool()["waiting"] == 1, "one waits")
            assert site.answer("Models/pid")[1][0] == "DirtyQueueFullError"
            site.open("gate")
    assert (first, second) == (["gate"], site.pids())
    site.answer("Models/inference", "none", "x")
    counted = {"ok": 2, "refused": 1, "failed": 1}
    wait_for(lambda: all(site.figures()["calls", each] == n for each, n in counted.items()), "all is counted")


def test_a_pool_that_does_not_start_leaves_the_web_workers_alone(tmp_path: Path) -> None:
    """Nor does one whose worker holds the GIL, which is aborted."""
    site = Site(tmp_path, "--dirty-timeout=1", heavy=0)
    site.break_app()
    site.options = (*site.options, "--dirty-workers=1")
    with site:
        site.wait_log("raised while it was loaded")
        assert "no_such_package" in site.log()
        wait_for(lambda: site.answer("Models/pid")[1][0] == "DirtyNoWorkersAvailableError", "it is said")
        site.write()
        (before,) = wait_for(site.pids, "there is one")
        assert site.call("Models/pid") == before
        assert site.answer("Models/hold")[1][0] == "DirtyWorkerError"
        log = site.wait_log(f"Heavy worker {before} has shown no sign of life")
        assert "in hold" in log  # its stacks
        wait_for(lambda: site.pids() not in ([], [before]), "there is another")
        assert site.call("Models/pid") != before


# -- a life ------------------------------------------------------------------------------------------------

HOOKS = """
import os
def note(*what):
    with open("notes", "a") as file:
        print(os.getpid(), *what, file=file)
def on_dirty_starting(arbiter): note("starting", arbiter.pid)
def dirty_post_fork(arbiter, worker): note("forked", worker.pid)
def dirty_worker_init(worker): note("loaded", worker.pid)
def dirty_worker_exit(arbiter, worker): note("ended", worker.pid)
"""


def test_a_stop_finishes_what_requests_wait_for(tmp_path: Path) -> None:
    """And hooks are called where Gunicorn says."""
    config = tmp_path / "own.conf.py"
    config.write_text(HOOKS.replace('"notes"', repr(str(tmp_path / "notes"))))
    with Site(tmp_path, f"--config={config}") as site:
        (heavy,) = site.pids()
        with in_background(site.call, "Models/wait", "gate") as found:
            site.is_inside("gate")
            site.signal(TERM)
            site.wait_log("stopping")
            assert is_alive(heavy)
            site.open("gate")
        assert found == ["gate"]
        assert site.wait_exit() == 0
        assert "failed" not in site.log()
        assert (tmp_path / "notes").read_text().splitlines() == [
            f"{site.pid} starting {site.pid}",
            f"{heavy} forked {heavy}",
            f"{heavy} loaded {heavy}",
            f"{site.pid} ended {heavy}",
        ]


def test_a_reload_brings_new_code_and_loses_nothing(tmp_path: Path, capsys: Any) -> None:
    """If that is broken, what works is kept; so is the stash by each. A quick stop waits for nobody."""
    with Site(tmp_path, heavy=2) as site:
        before = site.pids()
        assert site.pool("stash")["workers"] == []  # nobody has asked
        assert site.call("Models/visit") == 1
        (stash,) = [each["pid"] for each in site.pool("stash")["workers"]]
        assert site.call("Models/version") == 1
        with Calls(site, "/Models/pid", clients=2) as load:
            load.wait_served(5)
            site.write(version=2)
            assert site.ctl("reload") == 0
            load.wait_served(5)
            load.check()
        assert site.call("Models/version") == 2
        after = site.pids()
        assert not set(before) & set(after)

        site.break_app()
        assert site.ctl("reload") == 1
        assert "heavy workers do not start" in capsys.readouterr().err
        assert site.pids() == after
        assert site.call("Models/pid") in after
        assert site.call("Models/visit") == 2
        assert [each["pid"] for each in site.pool("stash")["workers"]] == [stash]
        with site.connect(timeout=10) as client:
            client.send(message("/Models/wait", fields=['X-Args: ["never"]']))
            site.is_inside("never")
            site.signal(QUIT)
            assert site.wait_exit(5) == 0


def test_there_can_be_more_and_fewer_and_none(tmp_path: Path, capsys: Any) -> None:
    """And without their master they end."""
    config = tmp_path / "own.conf.py"
    config.write_text("dirty_workers = 1\n")
    site = Site(tmp_path, "--metrics", f"--config={config}")
    site.options = tuple(each for each in site.options if not each.startswith("--dirty-workers"))
    with site:
        (before,) = site.pids()
        assert site.ctl("scale", "heavy", "3") == 0
        assert len(site.pids()) == 3
        assert site.figures()["workers", "ready"] == 3
        assert site.ctl("scale", "heavy", "-2") == 0
        assert site.pids() == [before]
        assert site.ctl("dirty", "add") == 0
        capsys.readouterr()
        assert site.ctl("workers") == 0
        assert capsys.readouterr().out.count("heavy ready") == 2
        assert site.ctl("scale", "heavy", "0") == 1
        assert site.ctl("scale", "nobody", "2") == 1
        assert "There is no pool 'nobody'" in capsys.readouterr().err
        first, second = site.pids()
        assert site.ctl("dump", str(first)) == 0
        assert f"Worker {first}" in capsys.readouterr().out
        assert site.ctl("replace", str(first)) == 0
        assert f"Worker {first}" in capsys.readouterr().out
        assert first not in site.pids()
        assert second in site.pids()
        assert site.ctl("kill", str(second)) == 0
        assert f"Worker {second} was killed" in capsys.readouterr().out
        wait_for(lambda: len(site.pids()) == 2, "there are two again")

        last = site.pids()
        config.write_text("dirty_workers = 0\n")
        assert site.ctl("reload") == 0
        wait_for(lambda: not any(map(is_alive, last)), "they have ended")
        assert site.answer("Models/pid")[1] == [
            "DirtyError",
            "there are no heavy workers; set dirty_apps and dirty_workers",
        ]
        config.write_text("dirty_workers = 2\n")
        assert site.ctl("reload") == 0
        assert len(site.pids()) == 2
        assert site.call("Models/visit") == 1
        everybody = site.workers()
        assert set(site.pids()) < set(everybody)
        assert len(everybody) == 4  # the stash, too
        site.signal(KILL)
        wait_for(lambda: not any(map(is_alive, everybody)), "all have ended", deadline=10)


#: The configuration is a program that runs in the master; all times are shortened.
QUICK = """
from tricorn.arbiter import arbiter, autoscale, load

arbiter.TICK = load.SAMPLE_EVERY = 0.1
autoscale.UP_OVER, autoscale.DOWN_OVER, autoscale.STEP_DOWN = 0.3, 0.6, 0.2
"""


def test_their_number_can_follow_the_calls(tmp_path: Path, capsys: Any) -> None:
    config = tmp_path / "quick.conf.py"
    config.write_text(QUICK)
    options = (f"--config={config}", "--dirty-workers-max=2", "--threads=4")
    with Site(tmp_path, *options) as site:
        with Load(site, "/Models/nap") as load:
            site.wait_log("Changing from 1 to 2 heavy workers: ")
            wait_for(lambda: len(site.pids()) == 2, "there are two")
            assert site.ctl("scale", "heavy", "3") == 1
            assert "heavy can have 1 to 2 workers, and not 3" in capsys.readouterr().err
            site.write(version=2)
            assert site.ctl("reload") == 0
            assert len(site.pids()) == 2  # it has kept the number
            assert site.call("Models/version") == 2
        load.check()
        site.wait_log("Changing from 2 to 1 heavy workers: 0.")
        wait_for(lambda: len(site.pids()) == 1, "the other one leaves")


def test_what_not_all_have_is_where_it_is(tmp_path: Path) -> None:
    with Site(tmp_path, heavy=2, apps=("Models", "Rare")) as site:
        (rare,) = {site.call("Rare/pid") for _ in range(4)}
        assert rare in site.pids()
        assert site.call("Rare/visit") == 1
        os.kill(rare, KILL)
        wait_for(lambda: rare not in site.pids() and len(site.pids()) == 2, "it is replaced")
        assert site.call("Rare/pid") in site.pids()
        assert site.call("Rare/visit") == 2
        assert site.ctl("scale", "heavy", "1") == 0
        assert site.call("Rare/pid") in site.pids()
        assert site.call("Models/pid") in site.pids()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_calls_and_is_called(tmp_path: Path) -> None:
    """From an application that is preloaded."""
    nobody = pwd.getpwnam("nobody").pw_uid
    for each in (tmp_path, *tmp_path.parents):
        if each.stat().st_uid == 0 and each != Path("/tmp") and str(each).startswith("/tmp/"):
            each.chmod(each.stat().st_mode | 0o055)
    with Site(tmp_path, "--user=nobody", "--preload", f"--env=PYTHONPATH={tmp_path}") as site:
        assert site.call("Models/user") == nobody
        assert site.call("Models/visit") == 1


# -- an upgrade --------------------------------------------------------------------------------------------


class Started(Site):
    """One that knows how it was started."""

    may_be_forked = False


def test_an_upgrade_loses_no_call(tmp_path: Path) -> None:
    """It waits for heavy workers, and fails if they do not start. Requests of the older master have its own
    until they are answered."""
    with (
        Started(tmp_path, "--threads=4", "--request-timeout=0", heavy=2) as site,
        site.connect(timeout=60) as client,
        Calls(site, "/Models/version", clients=2) as load,
    ):
        old = site.pids()
        assert site.call("Models/visit") == 1
        client.send(message("/Models/wait", fields=['X-Args: ["gate"]']))
        site.is_inside("gate")

        site.break_app()
        site.signal(USR2)
        log = site.wait_log("Upgrade failed; nothing has changed")
        (why,) = [line for line in log.splitlines() if "Upgrade failed" in line]
        assert re.search(r"process \d+ exited with code 3: .*no_such_package", why)
        assert "Stopping: no heavy worker could start" in log
        assert site.pids() == old
        mark = len(log)

        site.write(version=2)
        site.open("hold")
        site.signal(USR2)
        log = site.wait_log(", to take over from process", times=2)
        newer = int(re.findall(r"starts \(pid (\d+)\), to take over", log)[-1])
        wait_for(lambda: len(children(newer)) == 2, "its heavy workers boot", deadline=10)
        load.bodies.clear()
        load.wait_served(20)
        assert set(load.bodies) == {b"1"}
        assert len(children(newer)) == 2  # and no web worker, which would serve without them
        (site.home / "hold").unlink()
        site.wait_log(f"This master has taken over from process {site.pid}")
        assert all(map(is_alive, old))
        load.wait_served(20)
        site.open("gate")
        assert client.response().body == b'"gate"'
        client.close()
        assert site.wait_exit() == 0
        load.bodies.clear()
        load.wait_served(20)
        load.check()
        assert set(load.bodies) == {b"2"}
        assert not any(map(is_alive, old))
        assert site.call("Models/visit") == 1  # its stash is its own
        assert "Traceback" not in site.log(mark)


@pytest.mark.slow
def test_calls_go_on_under_load_while_heavy_workers_are_killed(tmp_path: Path) -> None:
    with Site(tmp_path, "--threads=4", heavy=2) as site:
        counts: Counter[str] = Counter()
        is_over = threading.Event()

        def calls() -> None:
            while not is_over.is_set():
                status, found = site.answer("Models/pid")
                counts["ok" if status == 200 else found[0]] += 1

        threads = [threading.Thread(target=calls) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(4):
            wait_for(lambda: len(site.pids()) == 2, "both are there", deadline=15)
            os.kill(site.pids()[0], KILL)
        before = counts["ok"]
        wait_for(lambda: counts["ok"] > before + 20, "calls go on", deadline=15)
        is_over.set()
        for thread in threads:
            thread.join(20)
        # One call with each that was killed, and who called while both were gone.
        assert counts.keys() <= {"ok", "DirtyWorkerError", "DirtyNoWorkersAvailableError"}
