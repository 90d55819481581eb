"""A server that is forked (nursery.py) is what it would be if it had been started."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from integration.answering import write_site
from integration.live import Live, Started, is_alive

from harness.axes import KINDS, WIRES
from harness.nursery import Process
from harness.server import wait_for
from tricorn.parentage import adopts_orphans

#: What `make test` compares: each kind and most wires once.
QUICKLY = {("sync", "plain"), ("gthread", "h2"), ("asgi", "tls")}
#: What a worker sees of its process, and of the master.
SOURCE = """
import gc, json, resource, warnings

def seen(pid):
    place = f"/proc/{pid}"
    status = dict(line.split(":", 1) for line in open(f"{place}/status"))
    names = ("Umask", "Threads", "SigQ", "SigBlk", "SigIgn", "SigCgt", "CapEff", "NoNewPrivs", "Seccomp")
    status = {name: value.strip() for name, value in status.items() if name in names and name != "SigQ"}
    descriptors = {}
    for number in os.listdir(f"{place}/fd"):
        try:
            descriptors[number] = os.readlink(f"{place}/fd/{number}")
        except OSError:  # by which this was listed
            continue
    return {
        "status": status,
        "descriptors": descriptors,
        "limits": open(f"{place}/limits").read(),
        "title": open(f"{place}/cmdline").read().rstrip(chr(0)),
        "directory": os.readlink(f"{place}/cwd"),
        "program": os.readlink(f"{place}/exe"),
        "session": os.getsid(pid) == os.getpgid(pid) == os.getppid(),
        "children": len(open(f"{place}/task/{pid}/children").read().split()),
        "parent": open(f"{place}/stat").read().rpartition(")")[2].split()[1],
    }

def handler(number):
    return str(signal.getsignal(number)).partition(" at 0x")[0]

def stream(file):
    return [file.fileno(), file.encoding, file.errors, file.line_buffering, file.write_through, file.isatty()]

def answer(path):
    return json.dumps({
        "modules": sorted(sys.modules),
        "main": [vars(sys.modules["__main__"]).get(name) for name in ("__name__", "__package__", "__file__")],
        "argv": sys.argv, "orig_argv": sys.orig_argv, "path": sys.path, "flags": list(sys.flags),
        "environ": dict(os.environ), "zone": time.tzname,
        "streams": [stream(sys.stdin), stream(sys.stdout), stream(sys.stderr)],
        "collector": [gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()],
        "signals": {int(number): handler(number) for number in signal.valid_signals()},
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "warnings": str(warnings.filters), "switch interval": sys.getswitchinterval(),
        "recursion": sys.getrecursionlimit(), "hooks": [str(sys.excepthook), str(threading.excepthook)],
        "hash": hash("tricorn") != 0,
        "worker": seen(os.getpid()), "master": seen(os.getppid()),
    })
"""


EXTRA = 77


@pytest.fixture
def extra() -> Iterator[int]:
    """A descriptor that a server is given, by a number far from the others."""
    reader, writer = os.pipe()
    os.close(writer)
    os.dup2(reader, EXTRA)
    os.close(reader)
    yield EXTRA
    os.close(EXTRA)


def told(live: Live) -> dict[str, Any]:
    """With what differs from server to server made the same: process ids, ports, what the kernel numbers."""
    seen = json.loads(live.request("/").body)
    assert seen["master"]["parent"] == str(os.getpid())
    text = json.dumps(seen, sort_keys=True)
    for pid, name in {live.pid: "MASTER", live.workers()[0]: "WORKER"}.items():
        text = re.sub(rf"\b{pid}\b", name, text)
    text = re.sub(r"fd://\d+", "fd://N", text)
    text = re.sub(r"(socket|pipe|memfd|anon_inode):[^\"]*", r"\1", text)
    text = re.sub(r"/tmp/#\d+|/tmp/tmp\w+", "/tmp/FILE", text)
    found: dict[str, Any] = json.loads(text)
    for process in ("worker", "master"):
        numbered = found[process]["descriptors"]
        given = [numbered.pop(number) for number in ("0", "1", "2", str(EXTRA), str(live.listener.fileno()))]
        found[process]["descriptors"] = given, sorted(numbered.values())
    return found


@pytest.mark.parametrize(
    ("kind", "wire"),
    [
        pytest.param(kind, wire, marks=() if (kind, wire) in QUICKLY else pytest.mark.slow)
        for kind, row in KINDS.items()
        if row.shared
        for wire, about in WIRES.items()
        if about.shared
    ],
)
def test_a_forked_server_is_as_a_started_one(tmp_path: Path, kind: str, wire: str, extra: int) -> None:
    write_site(tmp_path, SOURCE, kind)
    environ = {"GIVEN": "é\udcff", "TZ": "Asia/Kathmandu"}
    servers = [
        made("site_app:app", kind=kind, wire=wire, chdir=tmp_path, environ=environ)
        for made in (Live, Started)
    ]
    for live in servers:
        live.pass_fds = (extra,)
    with servers[0] as forked, servers[1] as started:
        assert isinstance(forked.process, Process)
        assert isinstance(started.process, subprocess.Popen)
        # A connection of before may not be gone yet in one of them.
        with contextlib.suppress(AssertionError):
            wait_for(lambda: told(forked) == told(started), "they are alike")
        assert told(forked) == told(started)
        for live in servers:
            live.stop()


def test_what_an_interpreter_reads_at_its_start_starts_one(tmp_path: Path) -> None:
    write_site(tmp_path, "def answer(path):\n    return repr(sys.flags.dev_mode)\n", "sync")
    with Live("site_app:app", chdir=tmp_path, environ={"PYTHONDEVMODE": "1"}) as live:
        assert isinstance(live.process, subprocess.Popen)
        assert live.request("/").body == b"True"
        live.stop()


def test_how_it_ended_is_told() -> None:
    with Live("life:app") as live:
        assert live.process is not None
        assert live.process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            live.process.wait(0.01)
        live.process.send_signal(signal.SIGKILL)
        assert live.process.wait(5) == live.process.poll() == -signal.SIGKILL
        assert not is_alive(live.pid)
        live.process.kill()  # whoever has the number now


def test_a_wrong_directory_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.server.APPS", tmp_path / "nowhere")
    live = Live("life:app")
    try:
        with pytest.raises(AssertionError, match="could not be forked: FileNotFoundError"):
            live.start()
    finally:
        live.kill()


def test_orphans_are_adopted_only_while_a_server_is_forked() -> None:
    with Live("life:app") as live:
        assert isinstance(live.process, Process)
        assert not adopts_orphans()
