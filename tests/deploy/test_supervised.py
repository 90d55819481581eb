"""What the files for systemd, supervisord and a Procfile say starts a server, which stops as it should."""

from __future__ import annotations

import configparser
import os
import shlex
import shutil
import subprocess
import urllib.request
from pathlib import Path

import pytest
from deploy.programs import EXAMPLES, TRICORN, accepts, environ, example, free_port, program, running

#: Of the files, in the place of the one in production.
COMMAND = "/srv/mysite/venv/bin/tricorn"

APP = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A directory as /srv/mysite: an application, and the settings of the examples."""
    (tmp_path / "mysite").mkdir()
    (tmp_path / "mysite" / "__init__.py").touch()
    (tmp_path / "mysite" / "wsgi.py").write_text(APP)
    (tmp_path / "tricorn.toml").write_text(example("tricorn.toml", {"workers = 4": "workers = 1"}))
    return tmp_path


def fetched(port: int, path: str = "/") -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
        body: bytes = response.read()
        return body


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(EXAMPLES / name)
    return parser


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def test_the_service_behind_its_socket(site: Path) -> None:
    """What systemd does with mysite.socket does systemd-socket-activate here; the command is the unit's."""
    activate = program("systemd-socket-activate")
    service, socket = unit("mysite.service")["Service"], unit("mysite.socket")["Socket"]
    port = free_port()
    assert socket["ListenStream"].endswith(":8000")
    words = shlex.split(service["ExecStart"].replace("/srv/mysite/tricorn.toml", str(site / "tricorn.toml")))
    assert words[0] == COMMAND
    passed = [f"-E{name}={value}" for name, value in environ().items() if name in {"PATH", "PYTHONPATH"}]
    command = [activate, "-l", f"127.0.0.1:{port}", f"--fdname={socket['FileDescriptorName']}", *passed]
    with running([*command, *TRICORN, *words[1:]], site) as started:
        started.wait(lambda: f"{port}" in started.log(), "the socket is there")
        assert fetched(port) == b"hello"
        assert "is not used" not in started.log(), started.log()
        assert started.stop() == 0


def test_the_units_are_as_systemd_wants_them(site: Path) -> None:
    analyze = program("systemd-analyze")
    places = {"/srv/mysite/venv/bin/tricorn": shutil.which("true"), "/srv/mysite": site}
    service = (
        example("mysite.service", places).replace("User=mysite", "User=root").replace("=mysite\n", "=root\n")
    )
    (site / "mysite.service").write_text(service)
    (site / "mysite.socket").write_text(example("mysite.socket", {}))
    done = subprocess.run(
        [analyze, "verify", "--man=no", "mysite.service", "mysite.socket"],
        cwd=site,
        capture_output=True,
        text=True,
        timeout=60,
    )
    if "Failed to initialize manager" in done.stderr:
        pytest.skip(f"systemd-analyze cannot run here: {done.stderr.strip()}")
    ours = [line for line in done.stderr.splitlines() if "mysite" in line]
    assert (done.returncode, ours) == (0, []), done.stderr


@pytest.mark.slow
def test_supervisord(site: Path) -> None:
    supervisord = program("supervisord")
    port = free_port()
    tricorn = shlex.join(TRICORN)
    text = example(
        "supervisord.conf",
        {
            COMMAND: tricorn,
            "/srv/mysite/tricorn.toml": site / "tricorn.toml",
            "directory=/srv/mysite": f"directory={site}",
            "user=mysite\n": "",
            "/var/log/supervisor/mysite.log": site / "mysite.log",
            "startsecs=5": f'startsecs=0\nenvironment=PORT="{port}"',
        },
    )
    conf = site / "supervisord.conf"
    head = "[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\n"
    conf.write_text(f"{head}pidfile={site}/pid\nchildlogdir={site}\n\n{text}")
    with running([supervisord, "-c", conf], site) as started:
        started.wait(lambda: accepts("127.0.0.1", port), "it listens")
        assert fetched(port) == b"hello"
        started.stop()
    log = (site / "mysite.log").read_text()
    assert "is ready" in log
    assert "Killed" not in log
    assert "Tricorn has stopped" in log.splitlines()[-1], log


def test_the_procfile(site: Path) -> None:
    """Heroku and its like run the line in a shell, and say by $PORT where to listen."""
    (line,) = (EXAMPLES / "Procfile").read_text().splitlines()
    kind, _, command = line.partition(": ")
    assert kind == "web"
    port = free_port()
    (site / "tricorn.toml").unlink()
    exact = command.replace("tricorn ", f"exec {shlex.join(TRICORN)} ", 1)
    env = environ(PORT=str(port), WEB_CONCURRENCY="1")
    with running(["sh", "-c", exact], site, env=env) as started:
        started.wait_log("is ready")
        assert f"0.0.0.0:{port}" in started.log()
        assert fetched(port) == b"hello"
        assert started.stop() == 0


def test_whoever_stops_it_waits_long_enough() -> None:
    """graceful_timeout (30 s) and what comes behind it."""
    service = unit("mysite.service")["Service"]
    assert seconds(service["TimeoutStopSec"]) >= 35
    supervised = unit("supervisord.conf")["program:mysite"]
    assert seconds(supervised["stopwaitsecs"]) >= 35
    assert os.path.isabs(supervised["directory"])
