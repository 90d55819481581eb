"""admin_bind: control over HTTP by a process of its own, beside a real master."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pwd
import re
import signal
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from harness.server import wait_for
from harness.tls import NAME
from integration.answering import serving, told
from integration.live import Live, children, in_background, is_alive
from tls.authority import Authority, need_openssl

TOKEN = "0123456789abcdef0123456789abcdef"

SITE = """
def answer(path):
    return f"{os.getpid()} one"
"""


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=20)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


@dataclass
class Site:
    """One server, and where its admin process answers."""

    live: Live
    home: Path
    path: Path

    def ask(self, method: str, path: str, **values: Any) -> tuple[int, Any]:
        return asked(UnixConnection(self.path), method, path, **values)

    def status(self) -> Any:
        return self.ask("GET", "/v1/status")[1]["data"]["status"]


def asked(
    connection: http.client.HTTPConnection, method: str, path: str, token: str = "", **values: Any
) -> tuple[int, Any]:
    headers = {"Content-Type": "application/json"} if values else {}
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    try:
        connection.request(method, path, json.dumps(values) if values else None, headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def admin_of(master: int) -> int:
    (pid,) = wait_for(lambda: admins(master), "there is an admin process")
    return int(pid)


def admins(master: int) -> list[int]:
    return [pid for pid in children(master) if title(pid).startswith("tricorn: admin process [")]


def title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("site")
    path = home / "admin.sock"
    options = (f"--admin-bind=unix:{path}", "--no-control-socket", "--umask=0")
    with serving(home, SITE, *options, kind="sync", workers=2) as live:
        wait_for(lambda: is_there(path), "the admin process answers")
        yield Site(live, home, path)


def is_there(path: Path) -> bool:
    try:
        return asked(UnixConnection(path), "GET", "/v1/log-level")[0] == 200
    except OSError:
        return False


def test_questions(running: Site) -> None:
    """Although there is no control socket; and nobody takes the process for a worker."""
    status, answer = running.ask("GET", "/v1/status")
    assert status == 200
    assert answer["data"]["status"]["workers"]["ready"] == 2
    admin = admin_of(running.live.pid)
    pids = {each["pid"] for each in running.ask("GET", "/v1/workers")[1]["data"]}
    assert pids == set(children(running.live.pid)) - {admin}
    assert running.ask("GET", "/v1/config")[1]["data"][0]["name"] == "wsgi_app"
    names = [[NAME]] if running.live.wire.url_scheme == "https" else []
    assert [each["names"] for each in running.ask("GET", "/v1/certs")[1]["data"]] == names
    assert {each["pid"] for each in running.ask("GET", "/v1/stacks")[1]["data"]} == pids
    assert running.ask("GET", "/openapi.json")[1]["openapi"] == "3.1.0"


def test_commands(running: Site) -> None:
    assert running.ask("POST", "/v1/scale", workers=3) == (
        200,
        {"ok": True, "done": True, "say": "3 workers serve"},
    )
    assert running.status()["workers"]["ready"] == 3
    assert running.ask("POST", "/v1/scale", by=-1)[0] == 200
    workers = running.ask("GET", "/v1/workers")[1]["data"]
    pid = next(each["pid"] for each in workers if each["state"] == "ready")
    assert running.ask("POST", "/v1/kill", pid=pid)[0] == 200
    assert not is_alive(pid)
    assert running.ask("POST", "/v1/reload")[0] == 200
    status, answer = running.ask("POST", "/v1/kill", pid=1)
    assert (status, answer["ok"]) == (409, False)
    assert running.ask("POST", "/v1/pause")[0] == 200
    assert running.status()["mode"] == "paused"  # it is there also while nobody else is
    assert running.ask("POST", "/v1/resume")[0] == 200
    assert told(running.live, "/").endswith("one")
    assert re.search(r"ctl reload \(a local process, at admin_bind\): reloading", running.live.log())


def test_a_reload_of_code_that_does_not_load(running: Site) -> None:
    site = running.home / "site_app.py"
    good = site.read_text()
    site.write_text("import a_module_that_is_not_there\n")
    try:
        status, answer = running.ask("POST", "/v1/reload", timeout=20)
    finally:
        site.write_text(good)
    assert status == 409
    assert answer["say"].startswith("The new code does not start, and nothing has changed")
    assert "No module named 'a_module_that_is_not_there'" in answer["say"] + answer["detail"]


def test_events_as_they_come(running: Site) -> None:
    last = running.ask("GET", "/v1/events")[1]["data"][-1]["number"]
    connection = UnixConnection(running.path)
    headers = {"Accept": "text/event-stream", "Last-Event-ID": str(last)}
    connection.request("GET", "/v1/events", headers=headers)
    response = connection.getresponse()
    assert response.headers["Content-Type"] == "text/event-stream"
    assert running.ask("POST", "/v1/reopen")[0] == 200
    assert response.readline() == f"id: {last + 1}\n".encode()
    assert b"ctl reopen (a local process, at admin_bind): reopened" in response.readline()
    connection.close()


def test_the_socket_is_for_its_user_alone(running: Site) -> None:
    """Whatever umask says."""
    assert stat.S_IMODE(running.path.stat().st_mode) == 0o600


def test_it_comes_back_when_it_is_killed(running: Site) -> None:
    pid = admin_of(running.live.pid)
    with in_background(running.ask, "GET", "/v1/events") as results:
        pass
    assert results[0][0] == 200
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: admins(running.live.pid) not in ([], [pid]), "there is another")
    wait_for(lambda: is_there(running.path), "it answers", deadline=10)
    running.live.wait_log("The admin process has failed: starting the next one in 0.1 s")
    assert running.status()["workers"]["ready"] == 2


# -- other addresses


def test_a_port_needs_a_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n")
    options = ("--admin-bind=127.0.0.1:0", f"--admin-token-file={tmp_path}/token")
    with serving(tmp_path, SITE, *options, kind="sync") as live:
        port = int(re.findall(r"Control and metrics are served at http://127.0.0.1:(\d+)", live.log())[0])

        def ask(token: str, method: str, path: str, **values: Any) -> tuple[int, Any]:
            return asked(
                http.client.HTTPConnection("127.0.0.1", port, timeout=20), method, path, token, **values
            )

        wait_for(lambda: admins(live.pid), "there is an admin process")
        assert ask(TOKEN, "GET", "/v1/status")[0] == 200
        assert ask("", "GET", "/v1/status")[0] == 401
        assert ask(TOKEN[:-1] + "0", "POST", "/v1/stop")[0] == 401
        live.wait_log("Admin process: refused 127.0.0.1, which has not shown the token")
        assert TOKEN not in live.log()
        assert TOKEN not in str(ask(TOKEN, "GET", "/v1/config")[1])
        with contextlib.suppress(http.client.RemoteDisconnected):
            assert ask(TOKEN, "POST", "/v1/stop")[0] == 202
        assert live.wait_exit() == 0
        assert "ctl stop (127.0.0.1:" in live.log()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--admin-bind=127.0.0.1:9000",), "nobody is asked who he is; write a token into a file"),
        pytest.param(
            ("--admin-bind=127.0.0.1:9000", "--admin-token-file={home}/none"),
            "No such file or directory",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ("--admin-bind=unix:{home}/sock", "--bind=unix:{home}/sock"),
            "are the same; use another",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ("--admin-bind=https://127.0.0.1:9000",),
            "needs a certificate; set certfile and keyfile",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_is_refused_at_the_start(options: tuple[str, ...], said: str, tmp_path: Path) -> None:
    words = [option.format(home=tmp_path) for option in options]
    bind = () if any(word.startswith("--bind") for word in words) else (f"--bind=unix:{tmp_path}/bind",)
    command = [sys.executable, "-m", "tricorn", "answering:app", *bind, *words]
    run = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert run.returncode == 2, run.stderr
    assert said in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.slow
def test_certificates_instead_of_a_token(tmp_path: Path) -> None:
    need_openssl()
    authority = Authority(tmp_path)
    site = tmp_path / "site.pem"
    site.write_text(authority.issue("localhost").both())
    operator = authority.issue("operator")
    options = (
        "--admin-bind=https://localhost:0",
        f"--certfile={site}",
        f"--ca-certs={authority.certfile}",
        "--cert-reqs=required",
    )
    with serving(tmp_path, SITE, *options, "--bind=http://127.0.0.1:0", kind="sync") as live:
        found = re.findall(r"Control and metrics are served at https://localhost:(\d+)", live.log())

        def ask(context: ssl.SSLContext) -> tuple[int, Any]:
            connection = http.client.HTTPSConnection("localhost", int(found[0]), timeout=20, context=context)
            return asked(connection, "GET", "/v1/certs")

        wait_for(lambda: admins(live.pid), "there is an admin process")
        status, answer = ask(authority.client(operator))
        assert status == 200
        (shown,) = answer["data"]
        assert (shown["file"], shown["names"], shown["is_expiring"]) == (str(site), ["localhost"], False)
        assert shown["days_left"] in (89, 90)
        assert "Test Authority" in shown["issuer"]
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.BadStatusLine)):
            ask(authority.client())


# -- its life


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_it_has_given_up_root_and_may_control(tmp_path: Path) -> None:
    """Its socket stays root's: the application's user may not control the server."""
    path = tmp_path / "admin.sock"
    options = ("--user=daemon", "--preload", f"--admin-bind=unix:{path}")
    with serving(tmp_path, SITE, *options, kind="sync") as live:
        wait_for(lambda: is_there(path), "the admin process answers")
        lines = Path(f"/proc/{admin_of(live.pid)}/status").read_text().splitlines()
        (uids,) = [line.split()[1:] for line in lines if line.startswith("Uid:")]
        assert uids == [str(pwd.getpwnam("daemon").pw_uid)] * 4
        found = path.stat()
        assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (0, 0o600)
        assert asked(UnixConnection(path), "POST", "/v1/scale", workers=2)[0] == 200


@pytest.mark.slow
def test_it_goes_with_an_upgrade(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    with serving(tmp_path, SITE, f"--admin-bind=unix:{path}", kind="sync") as live:
        wait_for(lambda: is_there(path), "the admin process answers")
        inode = path.stat().st_ino
        with contextlib.suppress(http.client.RemoteDisconnected):
            status, answer = asked(UnixConnection(path), "POST", "/v1/upgrade")
            assert (status, answer["ok"]) == (200, True), answer
        assert live.wait_exit() == 0
        wait_for(lambda: is_there(path), "the newer one answers")
        said = asked(UnixConnection(path), "GET", "/v1/status")[1]["data"]["status"]
        assert said["pid"] != live.pid
        assert path.stat().st_ino == inode
        with contextlib.suppress(http.client.RemoteDisconnected):  # it may end before it has answered
            assert asked(UnixConnection(path), "POST", "/v1/quit")[0] == 202
        wait_for(lambda: not is_alive(said["pid"]), "it stops")
        assert not path.exists()
