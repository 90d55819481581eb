"""health_bind: a process of its own says how the service is, whatever its workers and its masters do."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import signal
import stat
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from harness.axes import ONE_OF_EACH
from harness.client import Client, ClosedError
from harness.server import wait_for
from integration.answering import write_site
from integration.live import children, entered, is_alive, message
from integration.test_upgrade import SLOW_START, Service, on_trial

from tricorn.commands.ctl import main as ctl

TERM, HUP, KILL = signal.SIGTERM, signal.SIGHUP, signal.SIGKILL
USR2, WINCH = signal.SIGUSR2, signal.SIGWINCH


class Health:
    """Where a server is asked that has these options. Whatever is not an answer is None."""

    def __init__(self, home: Path) -> None:
        self.path = home / "health.sock"
        self.options = ("--health-bind", f"unix:{self.path}")

    def ask(self, path: str) -> tuple[int, bytes] | None:
        try:
            with Client(str(self.path), timeout=10) as client:
                client.send(message(path, fields=["Connection: close"]))
                response = client.response()
                return response.status, response.body
        except (OSError, ClosedError):
            return None

    def is_at(self, path: str, status: int) -> bool:
        answer = self.ask(path)
        return answer is not None and answer[0] == status

    def said(self) -> dict[str, Any]:
        answer = self.ask("/healthz")
        assert answer is not None
        said: dict[str, Any] = json.loads(answer[1])
        return said


class Probing:
    """Asks again and again, as a load balancer does, only faster; each time on a new connection."""

    def __init__(self, health: Health) -> None:
        self.health = health
        self.answers: Counter[int | None] = Counter()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop)

    def __enter__(self) -> Probing:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(15)

    def _loop(self) -> None:
        while not self._stop.wait(0.001):
            answer = self.health.ask("/readyz")
            self.answers[answer and answer[0]] += 1

    def wait(self, count: int = 20) -> None:
        """Until so many more were answered, or something else has come."""
        goal = self.answers.total() + count
        wait_for(lambda: self.answers.total() >= goal, "it is asked", deadline=15)
        assert set(self.answers) == {200}, self.answers


@pytest.fixture
def health(tmp_path: Path) -> Health:
    return Health(tmp_path)


@pytest.fixture
def hold(tmp_path: Path) -> Path:
    """Newer masters stay on trial while it is there."""
    return tmp_path / "hold"


def title(pid: int) -> str:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode()
    return ""


def attendants(master: int) -> list[int]:
    return [pid for pid in children(master) if title(pid).startswith("tricorn: health process [")]


def attendant(master: int) -> int:
    wait_for(lambda: attendants(master), "there is a health process")
    (pid,) = attendants(master)
    return pid


def test_from_the_start_to_the_last_worker(health: Health, gate: Path) -> None:
    control = gate.with_name("ctl.sock")
    with Service("life:app", "--control-socket", str(control), *health.options, workers=2) as live:
        wait_for(lambda: health.is_at("/readyz", 200), "it is ready")
        assert health.is_at("/livez", 200)
        first = attendant(live.pid)
        assert stat.S_IMODE(health.path.stat().st_mode) == 0o660
        assert ctl(["--socket", str(control), "reload"]) == 0  # it does not wait for this one to be replaced
        live.wait_log("Reload done")
        assert health.said()["workers"] == {"wanted": 2, "ready": 2, "starting": 0, "stuck": 0}
        assert attendant(live.pid) == first
        live.signal(KILL, first)
        live.wait_log(f"Health process {first} was killed by SIGKILL")
        live.wait_log("The health process has failed: starting the next one in 0.1 s")
        wait_for(lambda: health.is_at("/readyz", 200), "another one answers")
        with live.connect(timeout=10) as client:
            client.send(message(f"/block?{gate}"))
            entered(gate)
            live.signal(TERM)
            wait_for(lambda: health.is_at("/readyz", 503), "it stops")
            live.signal(TERM, attendant(live.pid))  # a service manager tells all processes
            wait_for(lambda: health.is_at("/livez", 200), "there is still one")
            gate.touch()
            assert client.response().body == b"released"
        assert live.wait_exit() == 0
        assert health.ask("/livez") is None
        assert not health.path.exists()
        assert live.log().count("[ERROR]") == 1  # the one that was killed


@pytest.mark.slow
@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_although_every_worker_is_stuck(kind: str, health: Health) -> None:
    with Service("life:app", "--timeout=60", *health.options, kind=kind, workers=2) as live:
        wait_for(lambda: health.is_at("/readyz", 200), "all are ready")
        workers = set(live.workers()) - {attendant(live.pid)}
        for worker in workers:
            live.signal(signal.SIGSTOP, worker)
        wait_for(lambda: health.is_at("/livez", 503), "all are stuck", deadline=10)
        said = health.said()
        assert said["workers"] == {"wanted": 2, "ready": 0, "starting": 0, "stuck": 2}
        assert (said["alive"], said["ready"], said["stopping"]) == (False, False, False)
        for worker in workers:
            live.signal(signal.SIGCONT, worker)
        wait_for(lambda: health.is_at("/livez", 200) and health.is_at("/readyz", 200), "they go on")
        live.stop()


# -- a newer master


def test_an_upgrade(tmp_path: Path, health: Health, hold: Path) -> None:
    """It fails, and then it does not: whoever asks hears the same all the time, and is never refused."""
    write_site(tmp_path, SLOW_START, "sync")
    site = (tmp_path / "site_app.py").read_text()
    with Service("site_app:app", *health.options, chdir=tmp_path) as live, Probing(health) as probing:
        wait_for(lambda: health.is_at("/readyz", 200), "it is ready")
        probing.answers.clear()
        inode, older = health.path.stat().st_ino, attendant(live.pid)
        (tmp_path / "site_app.py").write_text("import no_such_module")
        live.signal(USR2)
        live.wait_log("Upgrade failed; nothing has changed: ")
        probing.wait()
        assert attendants(live.pid) == [older]
        (tmp_path / "site_app.py").write_text(site)
        hold.touch()
        live.signal(USR2)
        newer = live.newer(times=2)
        wait_for(lambda: children(newer), "its worker boots")
        probing.wait()
        assert not attendants(newer)
        hold.unlink()
        live.wait_log("This master has taken over")
        assert live.wait_exit() == 0
        probing.wait()
        assert attendant(newer) != older
        assert health.path.stat().st_ino == inode
        probing.__exit__()
        live.stop_newer(newer)
        assert not health.path.exists()


@pytest.mark.slow
def test_a_manual_upgrade(tmp_path: Path, health: Health) -> None:
    """There and back again, and there."""
    write_site(tmp_path, SLOW_START, "sync")
    options = ("--upgrade", "manual", *health.options)
    with Service("site_app:app", *options, chdir=tmp_path) as live, Probing(health) as probing:
        wait_for(lambda: health.is_at("/readyz", 200), "it is ready")
        probing.answers.clear()
        live.signal(USR2)
        live.wait_log("is ready and serves beside this master")
        newer = live.newer()
        probing.wait()
        assert attendants(live.pid)
        assert attendants(newer)
        live.signal(WINCH)
        wait_for(lambda: children(live.pid) == [newer], "the older one rests")
        probing.wait()
        live.signal(HUP)
        wait_for(lambda: attendants(live.pid), "the older one is back", deadline=10)
        probing.wait()
        live.signal(TERM, newer)
        wait_for(lambda: not is_alive(newer), "the newer one has gone", deadline=10)
        probing.wait()
        live.signal(USR2)
        live.wait_log("is ready and serves beside this master", times=2)
        newest = live.newer(times=2)
        live.signal(TERM)
        assert live.wait_exit() == 0
        probing.wait()
        assert attendants(newest)
        probing.__exit__()
        live.stop_newer(newest)
        assert not health.path.exists()


#: Whatever the newer master does after a fork, the process that it has forked does first.
SLOW_PARENT = """
import os, time
from pathlib import Path
os.register_at_fork(after_in_parent=lambda: time.sleep(0.4 * Path({slow!r}).exists()))
"""


@pytest.mark.slow
def test_one_that_begins_beside_another_knows_the_workers_from_its_first_moment(
    tmp_path: Path, health: Health
) -> None:
    """They were ready before it was started; a probe that hears otherwise takes the whole service away."""
    slow = tmp_path / "slow"
    (tmp_path / "conf.py").write_text(SLOW_PARENT.format(slow=str(slow)))
    options = ("--upgrade", "manual", "-c", str(tmp_path / "conf.py"), *health.options)
    with Service("life:app", *options) as live, Probing(health) as probing:
        wait_for(lambda: health.is_at("/readyz", 200), "it is ready")
        probing.answers.clear()
        slow.touch()
        live.signal(USR2)
        live.wait_log("is ready and serves beside this master")
        slow.unlink()
        live.signal(TERM)
        assert live.wait_exit() == 0
        probing.wait()
        probing.__exit__()
        live.stop_newer(live.newer())


@pytest.mark.slow
def test_an_older_master_that_dies(tmp_path: Path, health: Health, hold: Path) -> None:
    """Nobody has told the newer one to answer; the older one's end has."""
    write_site(tmp_path, SLOW_START, "sync")
    with Service("site_app:app", *health.options, chdir=tmp_path) as live:
        with on_trial(live, hold) as newer:
            live.signal(KILL)
            live.wait_log("has gone; this master has taken over")
            wait_for(lambda: health.is_at("/readyz", 503), "the newer one says that it starts")
        wait_for(lambda: health.is_at("/readyz", 200), "the newer one is ready")
        live.stop_newer(newer)


# -- whose it is


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_it_has_given_up_root(tmp_path: Path, health: Health) -> None:
    """And whatever `umask` says, its socket is not for the world. (Preloaded, because that user may not read
    this directory; the application's memory is not the health process's.)"""
    write_site(tmp_path, "BALLAST = b'x' * (64 << 20)\ndef answer(path): return ''", "sync")
    options = ("--user", "daemon", "--umask", "0", "--preload", *health.options)
    with Service("site_app:app", *options, chdir=tmp_path) as live:
        wait_for(lambda: health.is_at("/readyz", 200), "it is ready")
        pid, user = attendant(live.pid), pwd.getpwnam("daemon")
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        assert status["Uid"].split() == [str(user.pw_uid)] * 4
        assert status["Gid"].split() == [str(user.pw_gid)] * 4
        assert int(status["VmRSS"].split()[0]) < 48 << 10  # KiB
        found = health.path.stat()
        assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (user.pw_uid, 0o660)
        live.stop()
