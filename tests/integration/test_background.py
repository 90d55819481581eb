"""`daemon`: the command tells how the start went, and leaves a server without a terminal behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.client import Client
from harness.server import wait_for
from integration.live import children, is_alive, message

#: How long the import takes is the test's to say; what it prints must not need a terminal.
SITE = """
import os, time
from pathlib import Path

print("imported", flush=True)
if Path("broken").exists():
    raise RuntimeError("no database")
Path("importing").write_text(str(os.getppid()))
while Path("hold").exists():
    time.sleep(0.005)

def app(environ, start_response):
    start_response("200 OK", [])
    return [b"%d" % os.getppid()]
"""


class Site:
    """A directory with an application, and what was started in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "site_app.py").write_text(SITE)
        self.log = directory / "error.log"
        self.pidfile = directory / "pid"
        self.hold = directory / "hold"
        self.started: list[subprocess.Popen[str]] = []

    def command(self, *options: str, **environ: str) -> subprocess.Popen[str]:
        bind = ("--bind", f"unix:{self.directory}/socket", "--pid", str(self.pidfile))
        process = subprocess.Popen(
            [sys.executable, "-m", "tricorn", *bind, *options, "site_app:app"],
            cwd=self.directory,
            env={**os.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def daemon(self, **environ: str) -> subprocess.Popen[str]:
        return self.command("--daemon", "--error-logfile", str(self.log), **environ)

    def pid(self) -> int:
        return int(self.pidfile.read_text())

    def importing(self) -> int:
        """Once the application is being imported: the master."""
        mark = self.directory / "importing"
        return int(wait_for(lambda: mark.exists() and mark.read_text(), "the import has begun", deadline=15))

    def ask(self) -> bytes:
        with Client(f"{self.directory}/socket", timeout=10) as client:
            client.send(message("/", fields=("Connection: close",)))
            return client.response().body

    def end(self) -> None:
        """Whatever is left: the commands, and the servers whose number is known."""
        masters = [
            int(file.read_text()) for file in (self.pidfile, self.directory / "importing") if file.exists()
        ]
        for pid in masters:
            if is_alive(pid):
                with_workers = [*children(pid), pid]
                for each in with_workers:
                    os.kill(each, signal.SIGKILL)
        for process in self.started:
            process.kill()
            process.communicate()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Site]:
    found = Site(tmp_path)
    yield found
    found.end()


def streams(pid: int) -> list[str]:
    return [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)]


@pytest.mark.slow
def test_returns_when_the_server_is_ready(place: Site) -> None:
    place.hold.touch()
    command = place.daemon()
    master = place.importing()
    assert command.poll() is None, "it waits while the application is being imported"
    place.hold.unlink()
    out, err = command.communicate(timeout=15)  # ends only if nobody keeps the pipes
    assert command.returncode == 0, err
    assert out == ""
    assert err.startswith("tricorn: note: daemon: nobody starts the server again when it ends (command line)")
    assert place.ask() == str(master).encode(), "it serves from that moment on"
    assert place.pid() == master
    assert os.getsid(master) == master
    for pid in (master, *children(master)):
        assert streams(pid) == ["/dev/null"] * 3

    second = place.daemon()
    _, err = second.communicate(timeout=15)
    assert second.returncode == 1
    assert f"{place.log} says:" in err
    assert f"Already running: process {master} holds the pidfile" in err

    os.kill(master, signal.SIGUSR2)  # the successor is in the background already, and nobody waits for it
    wait_for(lambda: place.pidfile.exists() and place.pid() != master, "a newer master", deadline=15)
    wait_for(lambda: not is_alive(master), "the older one ends", deadline=15)
    successor = place.pid()
    assert place.ask() == str(successor).encode()
    assert streams(successor) == ["/dev/null"] * 3

    (worker,) = children(successor)
    os.kill(successor, signal.SIGWINCH)  # for which Gunicorn, in the background, would serve nobody
    said = "SIGWINCH: no newer master serves, so the workers stay; tricorn ctl pause sends them away"
    wait_for(lambda: said in place.log.read_text(), "it says that it stays")
    assert children(successor) == [worker]

    os.kill(successor, signal.SIGTERM)
    wait_for(lambda: not is_alive(successor), "it ends", deadline=15)
    assert not place.pidfile.exists()


def test_a_start_that_fails_is_seen(place: Site) -> None:
    place.log.write_text("an older line\n")
    (place.directory / "broken").touch()
    command = place.daemon(NOTIFY_SOCKET="@nobody listens")
    _, err = command.communicate(timeout=15)
    assert command.returncode == 3
    assert "tricorn: warning: daemon: systemd waits for the process that it has started" in err
    assert "tricorn: error: the server ended with code 3 before it was ready" in err
    assert "RuntimeError: no database" in err
    assert "an older line" not in err
    assert not place.pidfile.exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ("--error-logfile", "log", "--user", "54321"),
            "group: user 54321 has no entry in the user database",
        ),
        (("--error-logfile", "no/such/log"), "errorlog: cannot open"),
    ],
)
def test_a_wrong_setting_is_seen(options: tuple[str, ...], said: str, place: Site) -> None:
    command = place.command("--daemon", *options)
    _, err = command.communicate(timeout=15)
    assert command.returncode == 2
    assert err.count("tricorn: error: ") == 1
    assert said in err
    assert not place.pidfile.exists()


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (signal.SIGINT, 130, "SIGINT: stopped before the server was ready"),
        pytest.param(
            signal.SIGTERM, 143, "SIGTERM: stopped before the server was ready", marks=pytest.mark.slow
        ),
    ],
)
def test_a_signal_to_the_command_stops_the_start(number: int, code: int, said: str, place: Site) -> None:
    place.hold.touch()
    command = place.daemon()
    master = place.importing()
    command.send_signal(number)
    _, err = command.communicate(timeout=15)
    assert (command.returncode, said in err) == (code, True), err
    assert not is_alive(master)
    assert not place.pidfile.exists()


@pytest.mark.slow
def test_a_server_that_is_killed_before_it_is_ready_is_no_success(place: Site) -> None:
    place.hold.touch()
    command = place.daemon()
    master = place.importing()
    (worker,) = children(master)
    os.kill(master, signal.SIGKILL)
    _, err = command.communicate(timeout=15)
    assert is_alive(worker), "it is told by the end of the master alone"
    assert command.returncode == 1
    assert "the server was killed by SIGKILL before it was ready" in err
    place.hold.unlink()
    wait_for(lambda: not is_alive(worker), "the worker ends too", deadline=15)


@pytest.mark.slow
def test_a_server_that_is_stopped_before_it_is_ready_is_no_success(place: Site) -> None:
    place.hold.touch()
    command = place.daemon()
    os.kill(place.importing(), signal.SIGTERM)
    _, err = command.communicate(timeout=15)
    assert command.returncode == 1
    assert "the server ended with code 0 before it was ready" in err


def test_streams_that_are_redirected_may_stay(place: Site) -> None:
    with (place.directory / "both").open("w") as both:
        options = [
            "-D",
            "-R",
            "--bind",
            f"unix:{place.directory}/socket",
            "-p",
            "pid",
            "--access-logfile",
            "-",
        ]
        command = subprocess.run(
            [sys.executable, "-m", "tricorn", *options, "site_app:app"],
            cwd=place.directory,
            stdin=subprocess.DEVNULL,
            stdout=both,
            stderr=both,
            check=False,
            timeout=15,
        )
    assert command.returncode == 0
    place.ask()
    log = place.directory / "both"
    wait_for(lambda: "GET / HTTP/1.1" in log.read_text(), "the access log is there")
    assert "is ready" in log.read_text()
    assert "imported" in log.read_text()
    assert streams(place.pid()) == ["/dev/null", str(log), str(log)]
    os.kill(place.pid(), signal.SIGTERM)
    wait_for(lambda: not place.pidfile.exists(), "it ends", deadline=15)
