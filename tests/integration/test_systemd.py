"""What systemd hands over (sd_listen_fds(3)) and is told (sd_notify(3)); this process is in its place."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.server import wait_for

APP = """
import os
def app(environ, start_response):
    names = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "LISTEN_PIDFDID")
    body = " ".join(name for name in names if name in os.environ).encode() or b"clean"
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""

#: What systemd does between its fork and exec.
ACTIVATE = 'export LISTEN_PID=$$ LISTEN_FDS={count} LISTEN_FDNAMES=web LISTEN_PIDFDID=1; exec "$@"'


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
    ) -> None:
        (home / "theapp.py").write_text(code)
        self.sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(sockets)]
        self.log_path = home / "log"
        command = [sys.executable, "-m", "tricorn", "--chdir", str(home), *options, "theapp:app"]
        environ = {name: value for name, value in os.environ.items() if name not in ("PORT", "NOTIFY_SOCKET")}
        if notify:
            environ["NOTIFY_SOCKET"] = notify
        if sockets:
            # The shell gives the descriptors their numbers; first the highest, so that none is overwritten.
            numbers = {each.fileno(): 50 + place for place, each in enumerate(self.sockets)}
            moves = [f"exec {high}<&{fd}" for fd, high in numbers.items()]
            moves += [f"exec {3 + place}<&{50 + place} {50 + place}<&-" for place in range(sockets)]
            script = "; ".join([*moves, ACTIVATE.format(count=sockets).replace("$$", pid)])
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
