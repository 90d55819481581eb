"""What systemd hands over (sd_listen_fds(3)) and is told (sd_notify(3)); this process is in its place."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from harness.server import wait_for

from tricorn.arbiter.systemd import ServiceManager
from tricorn.net.activation import FIRST

APP = """
import os
def app(environ, start_response):
    names = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "LISTEN_PIDFDID")
    body = " ".join(name for name in names if name in os.environ).encode() or b"clean"
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""

#: What systemd does between its fork and exec.
ACTIVATE = (
    'export LISTEN_PID=$$ LISTEN_FDS={count} LISTEN_FDNAMES=web:secure:web LISTEN_PIDFDID=1 {more}; exec "$@"'
)


def numbering(descriptors: Sequence[int]) -> list[str]:
    """Commands of a shell that give these the numbers 3, 4, …, each by way of one that is beyond all of them:
    whatever numbers they have, none is overwritten before it was moved."""
    beyond = max(FIRST + len(descriptors), *descriptors) + 1
    high = range(beyond, beyond + len(descriptors))
    moves = [f"exec {number}<&{fd}" for number, fd in zip(high, descriptors, strict=True)]
    return [*moves, *(f"exec {place}<&{number} {number}<&-" for place, number in enumerate(high, FIRST))]


class Unit:
    """One started service."""

    def __init__(
        self,
        home: Path,
        *options: str,
        notify: str = "",
        sockets: int = 0,
        pid: str = "$$",
        code: str = APP,
        watchdog: float = 0.0,
    ) -> None:
        (home / "theapp.py").write_text(code)
        self.sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(sockets)]
        self.log_path = home / "log"
        command = [sys.executable, "-m", "tricorn", "--chdir", str(home), *options, "theapp:app"]
        environ = {name: value for name, value in os.environ.items() if name not in ("PORT", "NOTIFY_SOCKET")}
        if notify:
            environ["NOTIFY_SOCKET"] = notify
        if watchdog:
            environ["WATCHDOG_USEC"] = f"{watchdog * 1e6:.0f}"
        if sockets:
            activate = ACTIVATE.format(count=sockets, more="WATCHDOG_PID=$$").replace("$$", pid)
            script = "; ".join([*numbering([each.fileno() for each in self.sockets]), activate])
            command = ["bash", "-c", script, "bash", *command]
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                command,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[each.fileno() for each in self.sockets],
                start_new_session=True,
            )

    def log(self) -> str:
        return self.log_path.read_text()

    def wait_log(self, text: str) -> None:
        wait_for(lambda: text in self.log(), f"{text!r} in the log:\n{self.log()}", deadline=10)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(10) == 0

    def __enter__(self) -> Unit:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            assert self.process.poll() is not None
        self.process.wait(10)
        for each in self.sockets:
            each.close()


def get(listener: socket.socket) -> bytes:
    with socket.create_connection(listener.getsockname(), 10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: unit\r\nConnection: close\r\n\r\n")
        data = b""
        while piece := client.recv(65536):
            data += piece
    return data.partition(b"\r\n\r\n")[2]


# -- sockets


@pytest.mark.parametrize("numbers", [(12, 13, 14), (48, 49, 50), (50, 48, 49), (5, 4, 3), (4, 6, 3)])
def test_the_harness_passes_what_is_meant(tmp_path: Path, numbers: tuple[int, ...]) -> None:
    """Which descriptors this process has free when it starts a service depends on what ran before."""
    opened = []
    for number, name in zip(numbers, "abc", strict=True):
        (tmp_path / name).write_text(name)
        opened.append(f"exec {number}<{name}")
    script = "; ".join([*opened, *numbering(numbers), "exec cat /dev/fd/3 /dev/fd/4 /dev/fd/5"])
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, timeout=10, check=False)
    assert (done.stdout, done.stderr) == (b"abc", b"")


@pytest.mark.parametrize("count", [1, 3])
def test_sockets_are_used_and_their_variables_removed(tmp_path: Path, count: int) -> None:
    with Unit(tmp_path, sockets=count) as unit:
        unit.wait_log("is ready")
        assert [get(each) for each in unit.sockets] == [b"clean"] * count
        assert "8000" not in unit.log()
        assert "WARNING" not in unit.log()
        unit.process.send_signal(signal.SIGHUP)
        unit.wait_log("Reload done")
        assert "No longer listening" not in unit.log()
        assert [get(each) for each in unit.sockets] == [b"clean"] * count
        unit.stop()


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "unix:sock"])
def test_they_go_before_an_address_that_was_written(tmp_path: Path, bind: str) -> None:
    with Unit(tmp_path, "--bind", bind, sockets=1) as unit:
        unit.wait_log("is ready")
        assert get(unit.sockets[0]) == b"clean"
        said = f"bind: {bind} (command line) is not used, because systemd passes fd://3"
        assert said in unit.log()
        assert unit.log().count("Listening at") == 1


def test_a_bind_that_names_descriptors_says_which(tmp_path: Path) -> None:
    with Unit(tmp_path, "--bind", "fd://4", "--bind", "127.0.0.1:0", sockets=2) as unit:
        unit.wait_log("is ready")
        assert get(unit.sockets[1]) == b"clean"
        assert unit.log().count("Listening at") == 2
        assert "is not used" not in unit.log()


def test_sockets_of_another_process_are_not_ours(tmp_path: Path) -> None:
    with Unit(tmp_path, "--bind", "127.0.0.1:0", sockets=1, pid="1") as unit:
        unit.wait_log("is ready")
        assert f":{unit.sockets[0].getsockname()[1]}" not in unit.log()
        unit.stop()


def test_a_socket_that_is_none(tmp_path: Path) -> None:
    with Unit(tmp_path, sockets=1) as unit:
        unit.wait_log("is ready")
    (tmp_path / "run").write_text('exec 3</dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"')
    command = ["bash", str(tmp_path / "run"), sys.executable, "-m", "tricorn", "theapp:app"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2
    assert "bind: fd://3 is not a socket (LISTEN_FDS)" in done.stderr


def test_sockets_by_their_names(tmp_path: Path) -> None:
    """One name may mean several, and the order in which they are passed does not matter."""
    options = ("--bind", "http://fd://web", "--bind", "127.0.0.1:0", "--health-bind", "fd://secure")
    with Unit(tmp_path, *options, sockets=3) as unit:
        unit.wait_log("is ready")
        assert [get(unit.sockets[place]) for place in (0, 2)] == [b"clean"] * 2
        log = unit.log()
        assert log.count("Listening at") == 3
        port = unit.sockets[1].getsockname()[1]
        assert f"Health checks are answered at http://127.0.0.1:{port}" in log
        assert log.count(f":{port}") == 1
        assert get(unit.sockets[1]).startswith(b"not found; there are /livez")
        unit.stop()


@pytest.mark.parametrize(
    ("sockets", "setting", "says"),
    [
        (3, "bind", "there is secure, web"),
        (0, "bind", "it has passed none with a name"),
        (3, "health_bind", "there is secure, web"),
    ],
)
def test_a_name_that_is_not_there(tmp_path: Path, sockets: int, setting: str, says: str) -> None:
    option = "--" + setting.replace("_", "-")
    with Unit(tmp_path, option, "fd://admin", sockets=sockets) as unit:
        assert unit.process.wait(10) == 2
        said = f"{setting}: 'fd://admin': systemd has not passed a socket called 'admin'; "
        assert said + says in unit.log()


# -- messages


class Manager:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)

    def next(self) -> dict[str, str]:
        assert select.select([self.socket], [], [], 10)[0], "nothing was said"
        lines = self.socket.recv(4096).decode().split("\n")
        return dict(line.split("=", 1) for line in lines)

    def until(self, name: str, value: str) -> list[dict[str, str]]:
        """All messages up to the first that says so."""
        said = [self.next()]
        while said[-1].get(name) != value:
            said.append(self.next())
        return said

    def is_quiet(self) -> bool:
        return not select.select([self.socket], [], [], 0.2)[0]


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    name = str(tmp_path / "notify")
    made = Manager(f"@{name}" if request.param == "abstract" else name)
    yield made
    made.socket.close()


def test_ready_reloading_stopping(tmp_path: Path, manager: Manager) -> None:
    with Unit(tmp_path, "--bind", "127.0.0.1:0", "--workers", "2", notify=manager.address) as unit:
        ready = manager.next()
        assert "is ready" in unit.log()
        assert (ready["READY"], ready["MAINPID"]) == ("1", str(unit.process.pid))
        assert ready["STATUS"] == "Serving, generation 1"
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        unit.process.send_signal(signal.SIGHUP)
        reloading = manager.next()
        assert reloading["RELOADING"] == "1"
        assert (
            before <= int(reloading["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        )
        ready = manager.next()
        assert (ready["READY"], ready["STATUS"]) == ("1", "Serving, generation 2")
        assert "Reload done" in unit.log()
        unit.process.send_signal(signal.SIGTERM)
        stopping = manager.next()
        assert (stopping["STOPPING"], "STATUS" in stopping) == ("1", True)
        assert unit.process.wait(10) == 0
        assert manager.is_quiet()


#: Reloads that fail, and what the status says of them.
FAILURES = {
    "a wrong setting": ("workers = 'many'", "Reload failed: workers: "),
    "a program that raises": ("raise SystemExit", "Reload failed: "),
    "an address in use": ("bind = '127.0.0.1:{port}'", "Reload failed: Cannot listen on "),
    "code that does not boot": ("bind = '127.0.0.1:0'", "Reload failed: generation 2 does not start"),
}


@pytest.mark.parametrize("manager", ["path"], indirect=True)
@pytest.mark.parametrize("name", FAILURES)
def test_a_reload_that_fails_is_over_too(tmp_path: Path, manager: Manager, name: str) -> None:
    text, status = FAILURES[name]
    config = tmp_path / "conf.py"
    config.write_text("bind = '127.0.0.1:0'")
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        Unit(tmp_path, "-c", str(config), notify=manager.address) as unit,
    ):
        assert manager.next()["READY"] == "1"
        (tmp_path / "theapp.py").write_text(
            "raise RuntimeError" if name == "code that does not boot" else APP
        )
        config.write_text(text.format(port=taken.getsockname()[1]))
        unit.process.send_signal(signal.SIGHUP)
        assert manager.next()["RELOADING"] == "1"
        ready = manager.next()
        assert ready["READY"] == "1"
        assert ready["STATUS"].startswith(status)
        unit.stop()


@pytest.mark.parametrize("manager", ["path"], indirect=True)
def test_nothing_is_ready_that_does_not_boot(tmp_path: Path, manager: Manager) -> None:
    unit = Unit(tmp_path, "--bind", "127.0.0.1:0", notify=manager.address, code="raise RuntimeError")
    with unit:
        assert unit.process.wait(10) == 3
        assert "STOPPING" in manager.next()
        assert manager.is_quiet()


@pytest.mark.parametrize("address", ["vsock:2:1", "relative", "@nobody-is-there", "/nobody/is/there"])
def test_a_manager_that_cannot_be_reached_stops_nothing(tmp_path: Path, address: str) -> None:
    with Unit(tmp_path, "--bind", "127.0.0.1:0", notify=address) as unit:
        unit.wait_log("is ready")
        unit.stop()
        assert ("cannot tell the service manager READY=1" in unit.log()) == address.startswith(("@", "/"))


# -- upgrades


@pytest.mark.parametrize("manager", ["path"], indirect=True)
def test_an_upgrade_changes_the_main_process(tmp_path: Path, manager: Manager) -> None:
    """As systemd hears it, which listens to the main process only; with the sockets that it has passed."""
    code = APP.replace('b"clean"', "str(os.getppid()).encode()")
    options = ("--bind", "fd://secure", "--bind", "fd://web")
    with Unit(tmp_path, *options, notify=manager.address, sockets=3, code=code) as unit:
        old = unit.process.pid
        assert manager.next()["MAINPID"] == str(old)
        unit.process.send_signal(signal.SIGUSR2)
        upgrading = manager.next()
        assert (upgrading["RELOADING"], upgrading["STATUS"]) == ("1", "Upgrading")
        handed_over = manager.next()
        new = int(handed_over["MAINPID"])
        assert new != old
        assert (handed_over["READY"], handed_over["STATUS"]) == ("1", f"Process {new} has taken over")
        ready = manager.next()
        assert (ready["READY"], ready["MAINPID"]) == ("1", str(new))
        assert ready["STATUS"] == "Serving, generation 1"
        assert unit.process.wait(10) == 0
        assert [get(each) for each in unit.sockets] == [str(new).encode()] * 3
        assert manager.is_quiet()
        os.kill(new, signal.SIGTERM)
        assert manager.next()["STOPPING"] == "1"


@pytest.mark.slow
@pytest.mark.parametrize("manager", ["path"], indirect=True)
def test_an_upgrade_that_fails_is_over_too(tmp_path: Path, manager: Manager) -> None:
    with Unit(tmp_path, "--bind", "127.0.0.1:0", notify=manager.address) as unit:
        assert manager.next()["READY"] == "1"
        (tmp_path / "theapp.py").write_text("raise RuntimeError('of the new code')")
        unit.process.send_signal(signal.SIGUSR2)
        assert manager.next()["RELOADING"] == "1"
        ready = manager.next()
        assert (ready["READY"], ready["MAINPID"]) == ("1", str(unit.process.pid))
        assert ready["STATUS"].startswith("Upgrade failed: process")
        assert "of the new code" in ready["STATUS"]
        unit.stop()


@pytest.mark.slow
@pytest.mark.parametrize("manager", ["path"], indirect=True)
def test_an_upgrade_by_hand(tmp_path: Path, manager: Manager) -> None:
    options = ("--bind", "127.0.0.1:0", "--upgrade", "manual")
    with Unit(tmp_path, *options, notify=manager.address) as unit:
        old = unit.process.pid
        assert manager.next()["READY"] == "1"
        unit.process.send_signal(signal.SIGUSR2)
        assert manager.next()["RELOADING"] == "1"
        beside = manager.next()
        assert (beside["READY"], beside["MAINPID"]) == ("1", str(old))
        new = int(beside["STATUS"].removeprefix("Serving beside process "))
        unit.process.send_signal(signal.SIGTERM)
        assert manager.next()["MAINPID"] == str(new), "and the service does not stop"
        ready = manager.next()
        assert (ready["READY"], ready["MAINPID"]) == ("1", str(new))
        assert unit.process.wait(10) == 0
        assert manager.is_quiet()


# -- signs of life, and time


@pytest.mark.slow
@pytest.mark.parametrize("manager", ["path"], indirect=True)
def test_signs_of_life(tmp_path: Path, manager: Manager) -> None:
    """While somebody serves. They end when nobody does, and go on after an upgrade."""
    hold = tmp_path / "hold"
    code = APP + f"import time\nwhile os.path.exists({str(hold)!r}): time.sleep(0.01)\n"
    with Unit(tmp_path, notify=manager.address, sockets=1, watchdog=0.3, code=code) as unit:
        assert "WATCHDOG" not in manager.next(), "the first is that it is ready"
        for _ in range(3):
            assert manager.next() == {"WATCHDOG": "1"}
        unit.process.send_signal(signal.SIGUSR2)
        manager.until("STATUS", "Serving, generation 1")
        assert unit.process.wait(10) == 0
        assert manager.next() == {"WATCHDOG": "1"}
        hold.touch()
        log = unit.log()
        (worker,) = re.findall(r"Worker (\d+) is ready", log)[1:]
        os.kill(int(worker), signal.SIGKILL)
        unit.wait_log("was killed by SIGKILL")
        wait_for(manager.is_quiet, "no sign of life without a worker")
        hold.unlink()
        assert manager.next() == {"WATCHDOG": "1"}


def test_signs_of_life_of_another_process() -> None:
    manager = ServiceManager({"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "9", "WATCHDOG_PID": "1"})
    assert manager.patience is None
    manager = ServiceManager(
        {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "9", "WATCHDOG_PID": str(os.getpid())}
    )
    assert manager.patience == pytest.approx(3e-6)
    assert ServiceManager({"WATCHDOG_USEC": "9"}).patience is None


def test_time_for_what_takes_long(tmp_path: Path) -> None:
    """Asked for again and again, while it is under way; never for what does not end by itself."""
    manager = Manager(str(tmp_path / "notify"))
    ours = ServiceManager({"NOTIFY_SOCKET": manager.address})
    for now in (0.0, 4.9):
        ours.attend(now, is_well=True, takes_long=True)
    assert not select.select([manager.socket], [], [], 0)[0]
    ours.attend(5.0, is_well=True, takes_long=True)
    assert manager.next() == {"EXTEND_TIMEOUT_USEC": "15000000"}
    ours.attend(9.0, is_well=True, takes_long=True)
    ours.attend(10.0, is_well=True, takes_long=False)
    ours.attend(11.0, is_well=True, takes_long=True)
    ours.attend(15.9, is_well=True, takes_long=True)
    assert not select.select([manager.socket], [], [], 0)[0]
    manager.socket.close()


@pytest.mark.slow
@pytest.mark.parametrize("manager", ["path"], indirect=True)
@pytest.mark.parametrize("limit", ["--boot-timeout=8", "--boot-timeout=0"])
def test_a_start_that_takes_long(tmp_path: Path, manager: Manager, limit: str) -> None:
    code = APP + "import time\ntime.sleep(6)\n"
    with Unit(tmp_path, "--bind", "127.0.0.1:0", limit, notify=manager.address, code=code) as unit:
        said = manager.until("READY", "1")
        extensions = [message for message in said if "EXTEND_TIMEOUT_USEC" in message]
        assert len(extensions) == (limit == "--boot-timeout=8")
        unit.stop()


# -- the units to copy

DEPLOY = Path(__file__).parent.parent.parent / "examples/deploy"
UNITS = [path for path in DEPLOY.iterdir() if path.suffix in (".service", ".socket")]


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze")
def test_the_units_are_in_order(tmp_path: Path) -> None:
    for unit in UNITS:
        text = unit.read_text().replace("/srv/mysite/venv/bin/tricorn", sys.executable)
        (tmp_path / unit.name).write_text(text)
    units = [str(tmp_path / unit.name) for unit in UNITS]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if "mysite" in line]
    assert (ours, done.returncode) == ([], 0), done.stderr


def test_the_pages_show_the_same_units() -> None:
    """Without the comments, and without what is explained in the file alone."""
    page = (DEPLOY.parent.parent / "docs/deployment.md").read_text()
    blocks = re.findall(r"```ini\n(.*?)```", page, re.DOTALL)
    for unit in UNITS:
        lines = set(unit.read_text().splitlines())
        section = "[Socket]" if unit.suffix == ".socket" else "[Service]"
        (block,) = [block for block in blocks if section in block]
        shown = [
            line for line in block.splitlines() if line and not line.startswith(("After=", "Description="))
        ]
        assert [line for line in shown if line not in lines] == []
