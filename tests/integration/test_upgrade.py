"""USR2: a newer master in the place of this one, and that no client notices."""

from __future__ import annotations

import operator
import os
import pwd
import re
import signal
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from harness.axes import ONE_OF_EACH
from harness.server import wait_for
from integration.answering import write_site
from integration.live import Load, Started, children, entered, is_alive, message

TERM, INT, QUIT, HUP, KILL = signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGKILL
USR1, USR2, WINCH = signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH

signal_name = operator.attrgetter("name")

#: As pip writes it into an environment.
SCRIPT = f"""#!{sys.executable}
import sys
from tricorn.cli import main
sys.exit(main())
"""

#: It is on trial for as long as the file is there.
SLOW_START = """
from pathlib import Path
while Path("hold").exists():
    time.sleep(0.005)
MASTER = os.getppid()
def answer(path):
    return f"{MASTER}"
"""


class Service(Started):
    """One whose master may change. program: what starts it. binds_itself: without the harness's socket."""

    program: Path | None = None
    binds_itself = False

    @property
    def command(self) -> list[str]:
        command = super().command
        if self.binds_itself:
            place = command.index("--bind")
            del command[place : place + 2]
        if self.program is not None:
            command[:3] = [str(self.program)]
        return command

    def newer(self, times: int = 1) -> int:
        """The latest master that was started in the place of another, once it has begun."""
        log = self.wait_log(", to take over from process", times=times)
        return int(re.findall(r"starts \(pid (\d+)\), to take over", log)[-1])

    def upgrade(self) -> int:
        """The new master, once it serves alone."""
        self.signal(USR2)
        log = self.wait_log(f"This master has taken over from process {self.pid}")
        assert self.wait_exit() == 0
        (newer,) = re.findall(r"\[(\d+)\] \[INFO\] This master has taken over", log)
        return int(newer)

    def stop_newer(self, pid: int) -> None:
        self.signal(TERM, pid)
        wait_for(lambda: not is_alive(pid), "the newer master ends", deadline=10)
        assert f"Tricorn has stopped (pid {pid})" in self.log()


@pytest.fixture
def hold(tmp_path: Path) -> Path:
    """Newer masters stay on trial while it is there."""
    return tmp_path / "hold"


def slow_start(home: Path, *options: str, kind: str = "sync", **more: object) -> Service:
    write_site(home, SLOW_START, kind)
    return Service("site_app:app", *options, kind=kind, chdir=home, **more)  # type: ignore[arg-type]


def answering(live: Service, patience: float) -> int:
    """The worker that answers; 0 if nobody does so in time."""
    with live.connect(timeout=patience) as client:
        client.send(message("/"))
        try:
            return int(client.response().body.split()[0])
        except AssertionError:
            return 0


@contextmanager
def on_trial(live: Service, hold: Path) -> Iterator[int]:
    """The newer master, whose workers do not get ready until this is left."""
    hold.touch()
    live.signal(USR2)
    newer = live.newer()
    wait_for(lambda: children(newer), "its worker boots")
    try:
        yield newer
    finally:
        hold.unlink(missing_ok=True)


# -- nothing is lost


@pytest.mark.parametrize("wire", ["plain", pytest.param("tls", marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_no_request_is_lost(kind: str, wire: str) -> None:
    with Service("life:app", kind=kind, wire=wire, workers=2) as live, Load(live) as load:
        old_workers = live.workers()
        load.wait_served(50)
        newer = live.upgrade()
        assert children(newer), "it is alone, and it has workers"
        load.bodies.clear()
        load.wait_served(50)
        load.check()
        served_by = {int(body.split()[0]) for body in load.bodies}
        assert served_by <= set(children(newer))
        assert not any(map(is_alive, old_workers))
        assert "Traceback" not in live.log()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_no_request_is_lost_in_many_upgrades(kind: str) -> None:
    """Each time by the one that took over the last time."""
    with Service("life:app", kind=kind, workers=2) as live, Load(live, clients=6) as load:
        master = live.pid
        for number in range(1, 6):
            load.wait_served(100)
            live.signal(USR2, master)
            live.wait_log("This master has taken over from process", times=number)
            before, master = master, live.newer(number)
            if number > 1:
                wait_for(lambda pid=before: not is_alive(pid), "the older master ends", deadline=10)
        load.wait_served(100)
        load.check()
        live.stop_newer(master)


@pytest.mark.parametrize(
    "kind", ["gthread", *(pytest.param(each, marks=pytest.mark.slow) for each in ONE_OF_EACH)]
)
def test_requests_of_the_older_master_are_finished(kind: str, gate: Path) -> None:
    with Service("life:app", kind=kind) as live, live.connect(timeout=10) as client:
        client.send(message(f"/block?{gate}"))
        worker = entered(gate)
        live.signal(USR2)
        newer = live.newer()
        live.wait_log("This master has taken over from process")
        # The old worker hears of it a moment later, and what it takes till then has to wait.
        wait_for(lambda: answering(live, 0.5) in children(newer), "the new worker answers")
        assert is_alive(worker)
        assert client.is_quiet(0.05)
        gate.touch()
        response = client.response()
        assert (response.status, response.body) == (200, b"released")
        assert "close" in response.connection
        client.close()
        assert live.wait_exit() == 0


# -- what is used anew, and what is kept


def test_what_stands_in_the_same_place_is_used(tmp_path: Path) -> None:
    """The program, the configuration, the directory by the name with which it was entered."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_site(
            tmp_path / name, f"def answer(path): return '{name} ' + os.environ.get('TOLD', '')", "sync"
        )
    current, config = tmp_path / "current", tmp_path / "tricorn.toml"
    current.symlink_to("one")
    config.write_text("raw_env = ['TOLD=first']")
    script = tmp_path / "tricorn"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    live = Service("site_app:app", "-c", str(config), chdir=current)
    live.program = script
    with live:
        assert live.request("/").body == b"one first"
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").rename(current)
        config.write_text("workers = 2")
        interpreter = tmp_path / "python"
        interpreter.write_text(f'#!/bin/sh\necho of the new Python\nexec {sys.executable} "$@"\n')
        interpreter.chmod(0o755)
        script.write_text(SCRIPT.replace(sys.executable, str(interpreter)))
        newer = live.upgrade()
        assert live.request("/").body == b"two ", "and the environment is that of the start"
        assert "of the new Python" in live.log()
        live.stop_newer(newer)


def bound(tmp_path: Path, *options: str) -> Service:
    """With a socket file of its own; the harness connects there."""
    write_site(tmp_path, SLOW_START, "sync")
    live = Service("site_app:app", *options, chdir=tmp_path)
    live.binds_itself = True
    live.address = str(tmp_path / "web.sock")
    return live


def test_files_have_an_owner(tmp_path: Path, hold: Path) -> None:
    """Socket file and pid file change hands, and go with the last one."""
    sock, pidfile, second = (tmp_path / name for name in ("web.sock", "pid", "pid.2"))
    with bound(tmp_path, "--bind", f"unix:{sock}", "--pid", str(pidfile)) as live:
        inode = sock.stat().st_ino
        with on_trial(live, hold) as newer:
            assert (pidfile.read_text(), second.read_text()) == (f"{live.pid}\n", f"{newer}\n")
        live.wait_log("This master has taken over")
        assert pidfile.read_text() == f"{newer}\n"
        assert live.wait_exit() == 0
        assert (pidfile.read_text(), second.exists()) == (f"{newer}\n", False)
        assert (sock.stat().st_ino, stat.S_IMODE(sock.stat().st_mode)) == (inode, 0o660)
        assert live.request("/").body == str(newer).encode()
        live.stop_newer(newer)
        assert not sock.exists()
        assert not pidfile.exists()


@pytest.mark.slow
def test_other_addresses(tmp_path: Path) -> None:
    """What is no longer wanted goes with the old master, what is new comes with the new one."""
    sock, other, config = tmp_path / "web.sock", tmp_path / "other.sock", tmp_path / "conf.py"
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config.write_text(f"bind = ['unix:{sock}', 'unix:{other}']")
    live = bound(tmp_path, "-c", str(config))
    with live:
        config.write_text(f"bind = ['unix:{sock}', '127.0.0.1:{port}']")
        newer = live.upgrade()
        assert live.request("/").body == str(newer).encode()
        live.address = ("127.0.0.1", port)
        assert live.request("/").body == str(newer).encode()
        assert not other.exists()
        live.stop_newer(newer)
        assert not sock.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.slow
def test_a_master_that_has_kept_its_rights(tmp_path: Path) -> None:
    """Workers have given theirs up; the newer master has what the older one has, and so can hand them on.
    (Preloaded, because that user may not read this directory.)"""
    source = "def answer(path): return f'{os.getppid()} {os.getuid()}'"
    user = pwd.getpwnam("daemon")
    write_site(tmp_path, source, "sync")
    options = ("--user", "daemon", "--reuse-port", "--bind", "127.0.0.1:0", "--preload")
    with Service("site_app:app", *options, chdir=tmp_path) as live:
        newer = live.upgrade()
        assert live.request("/").body == f"{newer} {user.pw_uid}".encode()
        assert Path(f"/proc/{newer}").stat().st_uid == 0


@pytest.mark.slow
def test_what_is_left_in_the_environment_of_another(tmp_path: Path) -> None:
    """A shell that was started by a newer master's application, say."""
    left = '{"for": 1, "pid": 1, "channel": 0, "listeners": [], "pidfile": null}'
    source = "def answer(path): return os.environ.get('TRICORN_PREDECESSOR', 'clean')"
    write_site(tmp_path, source, "sync")
    with Service("site_app:app", chdir=tmp_path, environ={"TRICORN_PREDECESSOR": left}) as live:
        assert "to take over" not in live.log()
        assert live.request("/").body == b"clean"
        live.upgrade()
        assert live.request("/").body == b"clean"


@pytest.mark.slow
def test_what_a_configuration_starts_inherits_nothing(tmp_path: Path) -> None:
    """It runs before the newer master knows what it has inherited."""
    config, mark = tmp_path / "conf.py", tmp_path / "started"
    config.write_text("")
    write_site(tmp_path, SLOW_START, "sync")
    with Service("site_app:app", "-c", str(config), chdir=tmp_path) as live:
        config.write_text(
            "import subprocess\n"
            "program = subprocess.Popen(['sleep', '60'], close_fds=False)\n"
            f"open({str(mark)!r}, 'w').write(str(program.pid))\n"
        )
        live.upgrade()
        fds = Path(f"/proc/{mark.read_text()}/fd")
        assert [fd.name for fd in fds.iterdir() if os.readlink(fd).startswith("socket:")] == []


# -- what does not come about


def break_by(what: str, home: Path) -> None:
    script, config = home / "tricorn", home / "conf.py"
    replaced = {
        "gone": None,
        "another program": "#!/bin/sh\nexit 7\n",
        "a crash": "#!/bin/sh\nkill -SEGV $$\n",
        "an interpreter that is gone": "#!/nowhere/python\n",
        "a module that is gone": SCRIPT.replace("tricorn.cli", "tricorn.no_such"),
    }
    if what in replaced:
        script.unlink()
        if (text := replaced[what]) is not None:
            script.write_text(text)
            script.chmod(0o755)
    elif what == "a wrong setting":
        config.write_text("timeout = 'long'")
    elif what == "a setting that cannot be":
        config.write_text("certfile = '/nowhere/cert.pem'")
    elif what == "a pid file that cannot be":
        config.write_text("pidfile = '/nowhere/pid'")
    else:
        (home / "site_app.py").write_text("import no_such_module")


#: What is broken → what the log of the older master says of it.
BROKEN = {
    "gone": r"exited with code 1: .*/tricorn: No such file or directory",
    "another program": r"exited with code 7$",
    "a crash": r"was killed by SIGSEGV$",
    "an interpreter that is gone": r"exited with code 1: .*/tricorn: No such file or directory",
    "a module that is gone": r"exited with code 1$",
    "a wrong setting": r"exited with code 2: timeout: ",
    "a setting that cannot be": r"exited with code 2: certfile: ",
    "a pid file that cannot be": r"exited with code 1: Cannot write pidfile /nowhere/pid",
    "an application that does not load": r"exited with code 3: .*no_such_module",
}


#: As different as they can be, for a run that has little time.
FEW = ("another program", "a wrong setting", "an application that does not load")


@pytest.mark.parametrize(
    "breaks", [FEW, pytest.param(tuple(BROKEN), marks=pytest.mark.slow)], ids=["few", "all"]
)
def test_what_is_broken_changes_nothing(tmp_path: Path, breaks: tuple[str, ...]) -> None:
    """One service meets them all; then it is mended, and upgraded."""
    write_site(tmp_path, SLOW_START, "sync")
    site = (tmp_path / "site_app.py").read_text()
    live = Service("site_app:app", "-c", str(tmp_path / "conf.py"), chdir=tmp_path)
    live.program = tmp_path / "tricorn"

    def mend() -> None:
        live.program.write_text(SCRIPT)  # type: ignore[union-attr]
        live.program.chmod(0o755)  # type: ignore[union-attr]
        (tmp_path / "conf.py").write_text("")
        (tmp_path / "site_app.py").write_text(site)

    mend()
    with live:
        workers = live.workers()
        for times, what in enumerate(breaks, start=1):
            mend()
            break_by(what, tmp_path)
            live.signal(USR2)
            log = live.wait_log("Upgrade failed; nothing has changed: ", times=times)
            line = [line for line in log.splitlines() if "Upgrade failed" in line][-1]
            assert re.search(r"nothing has changed: process \d+ " + BROKEN[what], line), what
            assert live.workers() == workers, what
        mend()
        newer = live.upgrade()
        assert live.request("/").body == str(newer).encode()


@pytest.mark.slow
def test_one_that_is_not_ready_in_time(tmp_path: Path, hold: Path) -> None:
    with slow_start(tmp_path, "--boot-timeout", "0.5") as live, on_trial(live, hold):
        log = live.wait_log("Upgrade failed; nothing has changed: process")
        assert re.search(r"exited with code 3: worker \d+ was not ready after \d+ s \(boot_timeout\)", log)
        assert live.request("/").body == str(live.pid).encode()


@pytest.mark.slow
def test_an_older_master_that_dies_meanwhile(tmp_path: Path, hold: Path) -> None:
    pidfile = tmp_path / "pid"
    with slow_start(tmp_path, "--pid", str(pidfile)) as live:
        with on_trial(live, hold) as newer:
            live.signal(KILL)
            live.wait_log(f"Process {live.pid} has gone; this master has taken over")
            assert pidfile.read_text() == f"{newer}\n"
        # A worker of the older one may still have been about to accept.
        wait_for(lambda: live.request("/").body == str(newer).encode(), "the newer one answers")
        live.stop_newer(newer)
        assert not pidfile.exists()


# -- signals while it is under way


@pytest.mark.slow
def test_signals_on_trial(tmp_path: Path, hold: Path) -> None:
    with slow_start(tmp_path) as live:
        workers = live.workers()
        with on_trial(live, hold) as newer:
            live.signal(USR2)
            live.wait_log(f"SIGUSR2: no upgrade: one is under way already, process {newer}")
            live.signal(USR2, newer)
            live.wait_log(f"SIGUSR2: no upgrade: process {live.pid} has not handed over to this master yet")
            live.signal(WINCH)
            live.wait_log(f"SIGWINCH: process {newer} is not ready yet; the workers stay")
            live.signal(USR1)
            live.wait_log("SIGUSR1: reopened the log files", times=2)
            live.signal(HUP)
            live.wait_log(f"SIGHUP: the reload waits until process {newer} is ready, or has failed")
            assert live.workers()[: len(workers)] == workers
        live.wait_log("This master has taken over")
        live.wait_log("Reload done: generation 2 serves")
        assert live.wait_exit() == 0
        assert live.request("/").body == str(newer).encode()


@pytest.mark.slow
def test_a_reload_that_has_waited_for_one_that_fails(tmp_path: Path, hold: Path) -> None:
    with slow_start(tmp_path) as live:
        with on_trial(live, hold) as newer:
            live.signal(HUP)
            live.wait_log("SIGHUP: the reload waits")
            live.signal(KILL, newer)
            live.wait_log(f"Upgrade failed; nothing has changed: process {newer} was killed by SIGKILL")
        live.wait_log("Reload done: generation 2 serves")
        assert live.request("/").body == str(live.pid).encode()
        live.stop()


@pytest.mark.parametrize("number", [TERM, pytest.param(INT, marks=pytest.mark.slow)], ids=signal_name)
def test_a_stop_on_trial_stops_both(tmp_path: Path, hold: Path, number: signal.Signals) -> None:
    pidfile = tmp_path / "pid"
    with slow_start(tmp_path, "--pid", str(pidfile)) as live, on_trial(live, hold) as newer:
        live.signal(number)
        assert live.wait_exit() == 0
        assert not is_alive(newer)
        assert not pidfile.exists()
        assert not Path(f"{pidfile}.2").exists()
        assert "Upgrade failed" not in live.log()


@pytest.mark.slow
def test_the_newer_one_told_to_stop_gives_the_upgrade_up(tmp_path: Path, hold: Path) -> None:
    with slow_start(tmp_path) as live, on_trial(live, hold) as newer:
        live.signal(TERM, newer)
        live.wait_log(f"Upgrade failed; nothing has changed: process {newer} exited with code 0")
        assert live.request("/").body == str(live.pid).encode()
        live.stop()


@pytest.mark.slow
def test_an_older_master_that_is_told_to_stop_when_it_already_does(gate: Path) -> None:
    """The scripts that people have send it TERM: that is no second one, and cuts nothing."""
    with Service("life:app") as live, live.connect(timeout=10) as client:
        client.send(message(f"/block?{gate}"))
        entered(gate)
        live.signal(USR2)
        live.wait_log("This master has taken over")
        for number in (WINCH, TERM):
            live.signal(number)
        live.wait_log("SIGTERM: stopping, workers finish their requests")
        assert client.is_quiet(0.05)
        gate.touch()
        assert client.response().body == b"released"
        client.close()
        assert live.wait_exit() == 0


@pytest.mark.slow
def test_a_newer_master_waits_for_what_the_older_one_still_serves(gate: Path) -> None:
    """A supervisor may kill what is left of the service when its main process is gone."""
    with Service("life:app") as live, live.connect(timeout=10) as client:
        client.send(message(f"/block?{gate}"))
        entered(gate)
        live.signal(USR2)
        newer = live.newer()
        live.wait_log("This master has taken over")
        live.signal(TERM, newer)
        live.wait_log("SIGTERM: stopping")
        live.wait_log(f"Waiting until process {live.pid} has finished")
        assert is_alive(newer)
        assert not children(newer)
        gate.touch()
        assert client.response().body == b"released"
        client.close()
        wait_for(lambda: not is_alive(newer), "it goes when the older one has gone")
        assert live.wait_exit() == 0


# -- by hand


def test_the_dance(tmp_path: Path) -> None:
    """Both serve; the old workers go and come back; the newer one goes. Under load, and with a pid file."""
    pidfile = tmp_path / "pid"
    write_site(tmp_path, SLOW_START, "sync")
    options = ("--upgrade", "manual", "--pid", str(pidfile))
    with (
        Service("site_app:app", *options, workers=2, chdir=tmp_path) as live,
        Load(live, clients=2) as load,
    ):
        workers = live.workers()
        live.signal(USR2)
        newer = live.newer()
        live.wait_log(f"Process {newer} is ready and serves beside this master")
        assert live.workers() == [*workers, newer]
        load.wait_served(20)
        live.signal(WINCH)
        wait_for(lambda: live.workers() == [newer], "the old workers have gone", deadline=10)
        load.bodies.clear()
        load.wait_served(20)
        assert set(load.bodies) == {str(newer).encode()}
        assert pidfile.read_text() == f"{live.pid}\n"
        live.signal(HUP)
        live.wait_log("SIGHUP: the workers come back")
        live.wait_log("is ready", times=6)
        live.signal(TERM, newer)
        live.wait_log(f"Process {newer} exited with code 0; this master goes on")
        load.bodies.clear()
        load.wait_served(20)
        assert set(load.bodies) == {str(live.pid).encode()}
        assert not Path(f"{pidfile}.2").exists()
        load.check()
        live.stop()


@pytest.mark.parametrize("number", [TERM, pytest.param(QUIT, marks=pytest.mark.slow)], ids=signal_name)
def test_the_older_one_goes(tmp_path: Path, number: signal.Signals) -> None:
    pidfile = tmp_path / "pid"
    write_site(tmp_path, SLOW_START, "sync")
    options = ("--upgrade", "manual", "--pid", str(pidfile))
    with Service("site_app:app", *options, chdir=tmp_path) as live:
        live.signal(USR2)
        newer = live.newer()
        live.wait_log("serves beside this master")
        live.signal(WINCH)
        wait_for(lambda: live.workers() == [newer], "the old worker has gone", deadline=10)
        live.signal(number)
        assert live.wait_exit() == 0
        live.wait_log("This master has taken over")
        assert pidfile.read_text() == f"{newer}\n"
        assert live.request("/").body == str(newer).encode()
        live.stop_newer(newer)
        assert not pidfile.exists()


@pytest.mark.slow
def test_a_newer_one_that_dies_wakes_the_older_one(tmp_path: Path) -> None:
    write_site(tmp_path, SLOW_START, "sync")
    with Service("site_app:app", "--upgrade", "manual", chdir=tmp_path) as live:
        live.signal(USR2)
        newer = live.newer()
        live.wait_log("serves beside this master")
        live.signal(WINCH)
        wait_for(lambda: live.workers() == [newer], "the old worker has gone", deadline=10)
        live.signal(KILL, newer)
        live.wait_log(f"Process {newer} was killed by SIGKILL; this master goes on")
        assert live.request("/").status == 200
        assert len(live.workers()) == 1
        live.stop()


def test_winch_alone_means_nothing() -> None:
    with Service("life:app") as live:
        workers, mark = live.workers(), live.log()
        live.signal(WINCH)
        live.signal(USR1)
        log = live.wait_log("SIGUSR1: reopened")
        assert log.count("\n") == mark.count("\n") + 1
        assert live.workers() == workers
        live.stop()


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a pid namespace")
def test_the_first_process_of_a_container(tmp_path: Path) -> None:
    """The container would end with it."""
    live = Service("life:app")
    live.program = tmp_path / "tricorn"
    unshare = "exec unshare --pid --fork --kill-child"
    live.program.write_text(f'#!/bin/sh\n{unshare} {sys.executable} -m tricorn "$@"\n')
    live.program.chmod(0o755)
    with live:
        (master,) = children(live.pid)
        live.signal(USR2, master)
        live.wait_log("SIGUSR2: no upgrade: this is process 1 of its container, which ends with it")
        live.signal(TERM, master)
        assert live.wait_exit() == 0


@pytest.mark.slow
def test_a_reload_of_the_older_one_leaves_what_the_newer_one_serves(tmp_path: Path) -> None:
    """Both serve at a socket file; the older one gives it up, and opens another with the same number."""
    sock, other, config = tmp_path / "web.sock", tmp_path / "other.sock", tmp_path / "conf.py"
    config.write_text(f"bind = 'unix:{sock}'; upgrade = 'manual'")
    with bound(tmp_path, "-c", str(config)) as live:
        live.signal(USR2)
        newer = live.newer()
        live.wait_log("serves beside this master")
        config.write_text(f"bind = 'unix:{other}'; upgrade = 'manual'")
        live.signal(HUP)
        live.wait_log("No longer listening at")
        assert live.request("/").body == str(newer).encode()
        live.signal(TERM)
        assert live.wait_exit() == 0
        live.wait_log("This master has taken over")
        assert (sock.exists(), other.exists()) == (True, False)
        live.stop_newer(newer)
        assert not sock.exists()
