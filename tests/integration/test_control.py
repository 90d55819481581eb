"""`tricorn ctl` and a real master: when the answer comes it is done, or the answer says why not."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from harness.client import ClosedError
from harness.server import wait_for
from integration.answering import serving, told, write_site
from integration.live import Live, entered, in_background, is_alive, is_mold, message

from tricorn.commands.ctl import main
from tricorn.control import finding
from tricorn.control.endpoint import CLIENTS_MAX

#: `/hold/FILE` is not answered before there is such a file, and FILE.in says that it is being served.
SITE = """
import logging
from pathlib import Path
def answer(path):
    if path.startswith("/hold"):
        gate = path.removeprefix("/hold")
        Path(gate + ".in").write_text(str(os.getpid()))
        while not Path(gate).exists():
            time.sleep(0.005)
    if path == "/level":
        return str(logging.getLogger("tricorn.error").getEffectiveLevel())
    return f"{os.getpid()} VERSION"
"""


@dataclass
class Site:
    """One server and its control socket."""

    live: Live
    home: Path
    path: Path

    def code(self, version: str) -> None:
        """Of the application, from the next load on."""
        write_site(self.home, SITE.replace("VERSION", version), "sync")

    def break_code(self) -> None:
        (self.home / "site_app.py").write_text("import a_module_that_is_not_there\n")

    def status(self) -> Any:
        return self.ask({"do": "status"})["data"]["status"]

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(str(self.path))
            lines = client.makefile("rb")
            assert json.loads(lines.readline())["protocol"] == 1
            client.sendall(json.dumps(question).encode() + b"\n")
            answer: dict[str, Any] = json.loads(lines.readline())
            return answer

    def ctl(self, *words: str) -> int:
        return main(["--socket", str(self.path), *words])


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("site")
    options = ("--control-socket=run/tricorn.ctl", "--env=PASSWORD=sesame", f"--pid={home}/pid")
    with serving(home, SITE.replace("VERSION", "one"), *options, kind="sync", workers=2) as live:
        yield Site(live, home, home / "run" / "tricorn.ctl")


def serving_of(site: Site) -> list[int]:
    workers = site.ask({"do": "workers"})["data"]
    return sorted(each["pid"] for each in workers if each["state"] == "ready" and not each["is_mold"])


@pytest.fixture
def served(running: Site) -> Iterator[Site]:
    """As a test expects it: two workers that have good code, and will have it; those of before have gone."""
    wait_for(lambda: serving_of(running) == sorted(running.live.workers()), "nobody leaves any more")
    yield running
    running.code("one")
    if running.status()["workers"]["wanted"] != 2:
        running.ctl("scale", "2")


Output = pytest.CaptureFixture[str]


# -- questions


def test_status(served: Site, capsys: Output) -> None:
    assert served.ctl("status") == 0
    text = capsys.readouterr().out
    assert f"site_app:app, process {served.live.pid}, Tricorn" in text
    assert "serving, generation" in text
    assert "2 of 2 workers ready" in text
    assert f"listening at {served.live.url}" in text
    rows = re.findall(r"^ *(\d+)  ready .* (\d+) MB$", text, re.MULTILINE)
    assert {int(pid) for pid, _ in rows} == set(served.live.workers())
    assert all(int(memory) > 5 for _, memory in rows)


def test_json(served: Site, capsys: Output) -> None:
    assert served.ctl("workers", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"]
    assert {each["pid"] for each in answer["data"]} == set(served.live.workers())


def test_the_settings_without_secrets(served: Site, capsys: Output) -> None:
    assert served.ctl("config") == 0
    text = capsys.readouterr().out
    assert re.search(r"^workers +2 +command line$", text, re.MULTILINE)
    assert re.search(r"^raw_env +PASSWORD=… +command line$", text, re.MULTILINE)
    assert "sesame" not in text


def test_it_answers_while_all_workers_are_stuck(served: Site, tmp_path: Path, capsys: Output) -> None:
    gates = [tmp_path / "one", tmp_path / "two"]
    with (
        in_background(told, served.live, f"/hold{gates[0]}"),
        in_background(told, served.live, f"/hold{gates[1]}"),
    ):
        pids = {entered(gate) for gate in gates}
        assert pids == set(served.live.workers())
        assert served.ctl("workers") == 0
        text = capsys.readouterr().out
        for gate in gates:
            assert f"GET /hold{gate}"[:40] in text
            gate.touch()


def test_a_command_that_there_is_not(served: Site) -> None:
    answer = served.ask({"do": "relaod"})
    assert answer == {"ok": False, "done": True, "say": "There is no command 'relaod'; did you mean reload?"}
    for question in ({}, {"do": None}, {"do": ["stop"]}, {"do": "scale"}, {"do": "replace", "pid": "x"}):
        assert served.ask(question)["ok"] is False
    assert served.ask({"do": "scale", "workers": True})["ok"] is False


# -- commands


def test_a_reload_is_done_when_it_says_so(served: Site, capsys: Output) -> None:
    before = set(served.live.workers())
    served.code("two")
    assert served.ctl("reload") == 0
    assert capsys.readouterr().out.startswith("Generation ")
    workers = served.ask({"do": "workers"})["data"]
    assert not before & {each["pid"] for each in workers if each["state"] != "draining"}
    wait_for(lambda: not any(map(is_alive, before)), "the old ones have gone")
    assert {told(served.live, "/").split()[1] for _ in range(4)} == {"two"}
    assert f"ctl reload (process {os.getpid()} of user {os.getuid()}): reloading" in served.live.log()


def test_a_reload_of_code_that_does_not_load(served: Site, capsys: Output) -> None:
    before = set(served.live.workers())
    served.break_code()
    assert served.ctl("reload") == 1
    error = capsys.readouterr().err
    assert error.startswith("The new code does not start, and nothing has changed: ")
    assert "ModuleNotFoundError: No module named 'a_module_that_is_not_there'" in error
    assert set(served.live.workers()) == before
    assert served.status()["is_on_trial"] is False


def test_a_reload_that_is_not_waited_for(served: Site, capsys: Output) -> None:
    before = set(served.live.workers())
    assert served.ctl("reload", "--no-wait") == 0
    assert capsys.readouterr().out == "It is under way\n"
    wait_for(
        lambda: len(served.live.workers()) == 2 and not before & set(served.live.workers()),
        "all are replaced",
    )
    wait_for(lambda: not served.status()["workers"]["leaving"], "it is over")


def test_a_worker_is_replaced(served: Site, tmp_path: Path, capsys: Output) -> None:
    """Although it is busy, and by one that is ready before it goes."""
    gate = tmp_path / "gate"
    with in_background(told, served.live, f"/hold{gate}") as results:
        pid = entered(gate)
        (other,) = set(served.live.workers()) - {pid}
        assert served.ctl("replace", str(pid)) == 0
        said = capsys.readouterr().out
        (successor,) = re.findall(
            rf"Worker {pid} finishes its requests; worker (\d+) serves in its place", said
        )
        assert int(successor) not in (pid, other)
        assert served.ctl("replace", str(pid)) == 1
        assert f"Worker {pid} ends already" in capsys.readouterr().err
        gate.touch()
    assert results == [f"{pid} one"]
    wait_for(lambda: not is_alive(pid), "it ends")
    assert served.ctl("replace", "1") == 1
    assert f"There is no worker 1; the workers are {other}, {successor}" in capsys.readouterr().err


def test_a_worker_whose_successor_does_not_start_serves_on(served: Site, capsys: Output) -> None:
    pid = served.live.workers()[0]
    served.break_code()
    assert served.ctl("replace", str(pid)) == 1
    error = capsys.readouterr().err
    assert error.startswith(
        f"Worker {pid} serves on, because its successor does not start; it is tried again: "
    )
    assert "No module named 'a_module_that_is_not_there'" in error
    assert pid in served.live.workers()
    served.code("one")
    wait_for(lambda: not is_alive(pid), "it is tried again", deadline=10)
    wait_for(lambda: served.status()["workers"]["ready"] == 2, "the other one is there")


def test_more_and_fewer(served: Site, capsys: Output) -> None:
    assert served.ctl("scale", "3") == 0
    assert served.status()["workers"]["ready"] == 3
    assert served.ctl("scale", "-2") == 0
    assert capsys.readouterr().out == "3 workers serve\n1 worker serves\n"
    assert served.status()["workers"]["ready"] == 1
    assert served.ctl("scale", "0") == 1
    assert capsys.readouterr().err == "There can be 1 to 36 workers, and not 0\n"
    assert served.ctl("-c", "worker add") == 0
    assert served.status()["workers"]["ready"] == 2


def test_what_takes_too_long(served: Site, tmp_path: Path, capsys: Output) -> None:
    """The server goes on; and once nobody waits any more it is not remembered."""
    hold = tmp_path / "hold"
    hold.touch()
    (served.home / "site_app.py").write_text(
        f"import os, time\nwhile os.path.exists({str(hold)!r}):\n    time.sleep(0.01)\n"
        + (served.home / "site_app.py").read_text()
    )
    assert served.ctl("reload", "--timeout", "0.2") == 4
    assert capsys.readouterr().out == "It is not done after 0.2 s, and goes on\n"
    assert served.status()["is_on_trial"]
    hold.unlink()
    wait_for(lambda: not served.status()["is_on_trial"], "the reload goes on")
    assert served.ctl("scale", "2") == 0


def test_refusals(served: Site, capsys: Output) -> None:
    assert served.ctl("refork") == 1
    assert served.ctl("rest") == 1
    assert capsys.readouterr().err.splitlines() == [
        "No worker becomes the mold: workers have a mold with preload_app only",
        "No newer master is ready",
    ]


def test_a_worker_is_killed(served: Site, tmp_path: Path, capsys: Output) -> None:
    """Although it is busy, and at once; it is no crash, so nobody waits for the next one."""
    gate, since = tmp_path / "gate", len(served.live.log())
    with served.live.connect(timeout=10) as client:
        client.send(message(f"/hold{gate}"))
        pid = entered(gate)
        assert served.ctl("kill", str(pid)) == 0
        assert capsys.readouterr().out == f"Worker {pid} was killed; 2 workers serve\n"
        with pytest.raises(ClosedError):
            client.response("GET")
    assert pid not in served.live.workers()
    log = served.live.log(since)
    assert f"ctl kill (process {os.getpid()} of user {os.getuid()}): worker {pid}" in log
    assert f"Worker {pid} is killed as it was wished" in log
    assert "ERROR" not in log
    assert "crashing" not in log
    assert served.ctl("kill", str(pid)) == 1
    assert f"There is no worker {pid}; the workers are" in capsys.readouterr().err
    served.break_code()
    assert served.ctl("kill", str(served.live.workers()[0])) == 1
    error = capsys.readouterr().err
    assert "was killed, and its successor does not start; it is tried again: " in error
    assert "No module named 'a_module_that_is_not_there'" in error
    served.code("one")
    wait_for(lambda: served.status()["workers"]["ready"] == 2, "it is tried again", deadline=10)


def test_stacks(served: Site, tmp_path: Path, capsys: Output) -> None:
    gate = tmp_path / "gate"
    with in_background(told, served.live, f"/hold{gate}") as results:
        pid = entered(gate)
        assert served.ctl("dump", str(pid)) == 0
        text = capsys.readouterr().out
        assert text.startswith(f"Worker {pid}\n  Thread MainThread\n")
        assert 'site_app.py", line' in text
        assert "in answer" in text
        assert served.ctl("dump", "--json") == 0
        shown = {each["pid"]: each for each in json.loads(capsys.readouterr().out)["data"]}
        assert set(shown) == set(served.live.workers())
        (other,) = set(shown) - {pid}
        assert "in answer" not in str(shown[other])
        gate.touch()
    assert results == [f"{pid} one"]  # it was asked, and went on
    assert served.ctl("dump", "1") == 1
    assert "There is no such worker; the workers are" in capsys.readouterr().err


@pytest.mark.slow
def test_the_stacks_of_one_that_is_stopped(served: Site, capsys: Output) -> None:
    pid, other = served.live.workers()
    os.kill(pid, signal.SIGSTOP)
    try:
        assert served.ctl("dump") == 0
        text = capsys.readouterr().out
        assert f"Worker {pid} does not answer: it is stopped (SIGSTOP)" in text
        assert f"Worker {other}\n" in text
        assert served.ctl("dump", str(pid)) == 1
    finally:
        os.kill(pid, signal.SIGCONT)


def test_the_level_of_the_log(served: Site, capsys: Output) -> None:
    """In the master and in workers that there are, in those that come, and until the next reload."""
    assert served.ctl("log-level", "lots") == 1
    error = "There is no level 'lots'; there are debug, info, warning, error, critical\n"
    assert capsys.readouterr().err == error
    assert served.ctl("log-level", "DEBUG") == 0
    assert capsys.readouterr().out == "The log level is debug, until the next reload\n"
    wait_for(lambda: {told(served.live, "/level") for _ in range(4)} == {"10"}, "all workers know")
    assert served.ctl("replace", str(served.live.workers()[0])) == 0
    assert {told(served.live, "/level") for _ in range(4)} == {"10"}
    served.ctl("log-level")
    assert "The log level is debug\n" in capsys.readouterr().out
    assert served.ctl("reload") == 0
    served.ctl("log-level")
    assert "The log level is info\n" in capsys.readouterr().out
    assert {told(served.live, "/level") for _ in range(4)} == {"20"}


def test_events(served: Site, capsys: Output) -> None:
    assert served.ctl("events") == 0
    text = capsys.readouterr().out
    assert re.search(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  info      Worker \d+ is ready$", text, re.MULTILINE)
    assert served.ctl("events", "--json") == 0
    last = json.loads(capsys.readouterr().out)["data"][-1]["number"]
    assert served.ask({"do": "events", "after": last})["data"] == []
    with in_background(served.ask, {"do": "events", "after": last, "wait": True}) as answers:
        assert served.ctl("reopen") == 0
    (event,) = answers[0]["data"]
    assert event["number"] == last + 1
    assert event["text"].startswith("ctl reopen (process ")
    assert served.ask({"do": "events", "after": last})["data"] == [event]


def test_events_as_they_come(served: Site) -> None:
    command = [sys.executable, "-m", "tricorn", "ctl", "-s", str(served.path), "events", "-f", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as follower:
        try:
            assert follower.stdout is not None
            numbers = [json.loads(follower.stdout.readline())["number"]]
            served.ctl("reopen")
            for line in follower.stdout:
                event = json.loads(line)
                numbers.append(event["number"])
                if event["text"].startswith(f"ctl reopen (process {os.getpid()} "):
                    break
            assert numbers == list(range(numbers[0], numbers[-1] + 1))
        finally:
            follower.kill()


def test_there_are_no_certificates(served: Site, capsys: Output) -> None:
    assert served.ctl("certs") == 0
    assert capsys.readouterr().out == "The server has no certificates: it is not set up for TLS\n"


def test_a_pause(served: Site, tmp_path: Path, capsys: Output) -> None:
    """What runs is finished, and who comes meanwhile waits."""
    assert served.ctl("resume") == 1
    assert capsys.readouterr().err == "The server is not paused\n"
    gate = tmp_path / "gate"
    with in_background(told, served.live, f"/hold{gate}") as results:
        pid = entered(gate)
        with in_background(served.ctl, "pause") as paused:
            wait_for(lambda: served.status()["mode"] == "paused", "it pauses")
            assert is_alive(pid)
            assert paused == []
            gate.touch()
    assert results == [f"{pid} one"]
    assert paused == [0]
    assert capsys.readouterr().out == "The server is paused: nothing runs, and new connections wait\n"
    assert served.live.workers() == []
    for words in (["pause"], ["reload"], ["scale", "3"], ["upgrade"]):
        assert served.ctl(*words) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[:3] == [
        "The server is paused already",
        "No reload while paused; resume first",
        "The server is paused; resume first",
    ]
    assert "the server is paused" in said[3]
    with in_background(told, served.live, "/") as results:
        assert served.ctl("resume") == 0
    assert results[0].endswith(" one")
    assert capsys.readouterr().out == "2 workers serve\n"


def test_logs_are_opened_again(served: Site, capsys: Output) -> None:
    assert served.ctl("reopen") == 0
    assert capsys.readouterr().out == "The log files are open again\n"
    assert re.search(r"ctl reopen \(process \d+ of user \d+\): reopened the log files", served.live.log())


# -- who may


def test_nobody_else_can_come_near(served: Site) -> None:
    assert stat.S_IMODE(served.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(served.path.parent.stat().st_mode) == 0o700


def as_nobody(path: Path) -> bytes:
    """What a process of another user is told there; or the name of its error."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(5)
                client.connect(str(path))
                os.write(writer, client.recv(4096))
        except OSError as error:
            os.write(writer, type(error).__name__.encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as told_by:
        text = told_by.read()
    os.waitpid(pid, 0)
    return text


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")  # the child only connects
def test_another_user_is_refused(served: Site) -> None:
    """Also where somebody has let everybody come near: the kernel says who it is."""
    assert as_nobody(served.path) == b"PermissionError"
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        os.chmod(directory, 0o755)
        door = Path(directory) / "door"
        # A second name, so that the directories on the way do not keep it out.
        os.link(served.path, door)
        os.chmod(door, 0o666)
        try:
            said = json.loads(as_nobody(door))
        finally:
            os.chmod(door, 0o600)
    assert said == {"ok": False, "say": "not allowed: the server is another user's"}
    assert "Control socket: refused process" in served.live.log()
    assert served.ctl("status") == 0


def test_clients_that_stay_cost_the_master_nothing(served: Site, capsys: Output) -> None:
    clients = []
    for _ in range(CLIENTS_MAX):
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(served.path))
        clients.append(client)
    clients[0].send(b"GET / HTTP/1.1\r\n\r\n")
    clients[1].send(b"x" * 4096)
    clients[2].send(b'{"do": "workers"}\n' * 500)
    wait_for(lambda: clients[0].recv(4096) == b"", "who talks nonsense is sent away")
    extra = socket.socket(socket.AF_UNIX)
    extra.connect(str(served.path))
    assert served.ctl("status") == 3
    assert "there are 16 clients already" in capsys.readouterr().err
    before = set(served.live.workers())
    served.live.signal(signal.SIGHUP)
    wait_for(lambda: not before & set(served.live.workers()), "the master does its work", deadline=10)
    for client in (*clients, extra):
        client.close()
    wait_for(lambda: served.ctl("status") == 0, "there is room again")
    wait_for(lambda: not served.status()["workers"]["leaving"], "it is over")


# -- which server


def test_found_by_the_pid_file_and_by_the_bind(
    served: Site, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    pidfile = f"--pid={served.home}/pid"
    # Although its socket has no name of ours.
    assert main([pidfile, "status"]) == main([f"--pid={served.live.pid}", "status"]) == 0
    monkeypatch.setattr(finding, "all_of_masters", lambda: [str(served.path), str(served.home / "gone")])
    bind = "{}:{}".format(*served.live.address)
    assert main(["--bind", bind, "status"]) == main(["--bind", f"http://{bind}", "status"]) == 0
    assert main(["status"]) == 0
    assert capsys.readouterr().out.count(f"process {served.live.pid},") == 5
    assert main(["--bind", "127.0.0.1:1", "status"]) == 3


def test_several(served: Site, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one has a socket of its own, without a setting; a reload is told that a setting is wrong."""
    config = tmp_path / "tricorn.toml"
    config.write_text("timeout = 20\n")
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    options = (f"--config={config}", f"--pid={tmp_path}/pid")
    source = SITE.replace("VERSION", "other")
    with serving(tmp_path, source, *options, kind="sync", environ=environ) as other:
        path = tmp_path / "tricorn" / f"tricorn-{other.pid}.ctl"
        assert str(path) in finding.all_of_masters()
        monkeypatch.setattr(finding, "all_of_masters", lambda: [str(served.path), str(path)])
        assert main(["status"]) == 3
        error = capsys.readouterr().err
        assert "2 servers are running: say which, by --pid, --bind or --socket; process" in error
        assert f"process {other.pid}: site_app:app at {other.url}" in error
        assert main([f"--pid={tmp_path}/pid", "status"]) == 0
        assert f"process {other.pid}," in capsys.readouterr().out
        assert main([f"--pid={tmp_path}/pid", "log-level", "warning"]) == 0
        config.write_text("timeout = 'soon'\n")
        assert main([f"--pid={tmp_path}/pid", "reload"]) == 1
        error = capsys.readouterr().err
        assert error.startswith("Reload failed; nothing has changed: timeout: 'soon' is not a number")
        capsys.readouterr()
        assert main([f"--pid={tmp_path}/pid", "log-level"]) == 0
        assert capsys.readouterr().out == "The log level is warning\n"
        assert main([f"--pid={tmp_path}/pid", "stop"]) == 0
        assert capsys.readouterr().out == f"The server has stopped (process {other.pid})\n"
        assert other.wait_exit() == 0
        assert not path.exists()


@pytest.mark.slow
def test_what_a_killed_server_has_left(
    tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file at which nobody answers: it is not taken for a server, and the next start removes it."""
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    source = SITE.replace("VERSION", "one")
    everybody = finding.all_of_masters
    monkeypatch.setattr(
        finding, "all_of_masters", lambda: [path for path in everybody() if path.startswith(str(tmp_path))]
    )
    with serving(tmp_path, source, kind="sync", environ=environ) as killed:
        path = tmp_path / "tricorn" / f"tricorn-{killed.pid}.ctl"
        assert main(["status"]) == 0
        killed.signal(signal.SIGKILL)
        killed.wait_exit()
        assert path.exists()
        assert main(["status"]) == main([f"--pid={killed.pid}", "status"]) == 3
        assert main([f"--socket={path}", "status"]) == 3
        assert "no server listens there any more" in capsys.readouterr().err
    with serving(tmp_path, source, kind="sync", environ=environ) as live:
        assert os.listdir(path.parent) == [f"tricorn-{live.pid}.ctl"]
        capsys.readouterr()
        assert main(["status"]) == 0
        assert f"process {live.pid}," in capsys.readouterr().out


# -- its life


def test_the_newer_master_takes_the_socket_over(tmp_path: Path, capsys: Output) -> None:
    path = tmp_path / "run" / "tricorn.ctl"
    source = SITE.replace("VERSION", "old")
    with serving(tmp_path, source, f"--control-socket={path}", kind="sync") as live:
        served = Site(live, tmp_path, path)
        served.break_code()
        assert served.ctl("upgrade") == 1
        error = capsys.readouterr().err
        assert error.startswith("Upgrade failed; nothing has changed: process ")
        assert "a_module_that_is_not_there" in error
        assert served.status()["pid"] == live.pid
        served.code("new")
        assert served.ctl("upgrade") == 0
        (newer,) = map(
            int, re.findall(r"^Process (\d+) has taken over$", capsys.readouterr().out, re.MULTILINE)
        )
        assert live.wait_exit() == 0
        wait_for(lambda: served.status()["pid"] == newer, "it answers at the same path")
        assert os.listdir(path.parent) == ["tricorn.ctl"]
        assert told(live, "/").endswith("new")
        # A process of its own, as it is called by a script.
        command = [sys.executable, "-m", "tricorn", "ctl", "-s", str(path), "quit"]
        run = subprocess.run(command, capture_output=True, text=True, timeout=20)
        assert (run.returncode, run.stdout) == (0, f"The server has stopped (process {newer})\n")
        assert os.listdir(path.parent) == []
        assert not is_alive(newer)


def test_workers_are_forked_anew_on_command(tmp_path: Path, capsys: Output) -> None:
    path = tmp_path / "tricorn.ctl"
    source = SITE.replace("VERSION", "one")
    options = ("--preload", f"--control-socket={path}")
    with serving(tmp_path, source, *options, kind="sync", workers=2) as live:
        served, before = Site(live, tmp_path, path), live.workers()
        assert served.ctl("replace", str(live.molds()[0])) == 1
        assert "is the mold; a reload makes a new one" in capsys.readouterr().err
        assert served.ctl("refork") == 0
        (mold,) = map(
            int, re.findall(r"2 workers come from worker (\d+), now the mold", capsys.readouterr().out)
        )
        assert mold in before
        assert is_mold(mold)
        assert {each["mold"] for each in served.ask({"do": "workers"})["data"] if not each["is_mold"]} >= {
            mold
        }


def test_stacks_of_a_loop_that_is_blocked(tmp_path: Path, capsys: Output) -> None:
    """By a request, while another one waits."""
    gate, path = tmp_path / "gate", tmp_path / "tricorn.ctl"
    source = f"""
import asyncio, os, time

async def sleeps():
    await asyncio.sleep(60)

async def app(scope, receive, send):
    if scope["path"] == "/waits":
        await sleeps()
    if scope["path"] == "/blocks":
        open("{gate}.in", "w").write(str(os.getpid()))
        while not os.path.exists("{gate}"):
            time.sleep(0.005)
    await send({{"type": "http.response.start", "status": 204, "headers": []}})
    await send({{"type": "http.response.body"}})
"""
    (tmp_path / "blocked.py").write_text(source)
    options = (f"--control-socket={path}", "--asgi-lifespan=off", "--graceful-timeout=0.1")
    with (
        Live("blocked:app", *options, kind="asgi", chdir=tmp_path) as live,
        live.connect(timeout=10) as waits,
        live.connect(timeout=10) as blocks,
    ):
        served = Site(live, tmp_path, path)
        waits.send(message("/waits"))
        wait_for(lambda: served.ask({"do": "workers"})["data"][0]["busy"], "one waits")
        blocks.send(message("/blocks"))
        pid = entered(gate)
        assert served.ctl("dump", str(pid)) == 0
        text = capsys.readouterr().out
        gate.touch()
        assert blocks.response("GET").status == 204
        assert re.search(r"Thread MainThread\n(.*\n)*.*blocked.py\", line 1[23], in app\n", text)
        assert re.search(r"Task .*\n(.*\n)*.*blocked.py\", line 9, in app\n(.*\n)*.*, in sleeps\n", text)


def test_a_server_without_one(tmp_path: Path, capsys: Output) -> None:
    options = ("--no-control-socket", f"--pid={tmp_path}/pid")
    with serving(tmp_path, SITE, *options, kind="sync") as live:
        assert main([f"--pid={tmp_path}/pid", "status"]) == 3
        assert f"process {live.pid} ({tmp_path}/pid) has no control socket" in capsys.readouterr().err


def test_a_wrong_path_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    command = [
        sys.executable,
        "-m",
        "tricorn",
        "--bind",
        "127.0.0.1:0",
        f"--control-socket={tmp_path}/file",
        "x:y",
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=20, cwd=tmp_path)
    assert run.returncode == 2
    assert f"control_socket: {tmp_path}/file exists and is not a socket (command line)" in run.stderr
