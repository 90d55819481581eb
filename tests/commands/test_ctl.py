"""The command line of `tricorn ctl`, without a server: what is understood, and what is said if it is not."""

from __future__ import annotations

import os
import shlex
import time
from pathlib import Path
from typing import Any

import pytest

from tricorn.commands import ctl, ctl_text
from tricorn.commands.ctl import main, meant, taken_apart
from tricorn.control import finding

Output = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("words", "question"),
    [
        ("status", {"do": "status"}),
        ("scale 4", {"do": "scale", "workers": 4}),
        ("scale +2", {"do": "scale", "by": 2}),
        ("scale -1", {"do": "scale", "by": -1}),
        ("replace 4711", {"do": "replace", "pid": 4711}),
        ("stop", {"do": "stop"}),
        ("show all", {"do": "status"}),
        ("show workers", {"do": "workers"}),
        ("show stats", {"do": "status"}),
        ("show config", {"do": "config"}),
        ("show listeners", {"do": "status"}),
        ("worker add", {"do": "scale", "by": 1}),
        ("worker add 3", {"do": "scale", "by": 3}),
        ("worker remove", {"do": "scale", "by": -1}),
        ("worker remove 2", {"do": "scale", "by": -2}),
        ("worker kill 4711", {"do": "replace", "pid": 4711}),
        ("shutdown", {"do": "stop"}),
        ("shutdown graceful", {"do": "stop"}),
        ("shutdown quick", {"do": "quit"}),
        ("reload", {"do": "reload"}),
        ("drain", {"do": "stop"}),
        ("kill 4711", {"do": "kill", "pid": 4711}),
        ("dump", {"do": "dump"}),
        ("dump 4711", {"do": "dump", "pid": 4711}),
        ("slow", {"do": "slow", "last": 10}),
        ("slow 50", {"do": "slow", "last": 50}),
        ("log-level", {"do": "log-level"}),
        ("log-level debug", {"do": "log-level", "level": "debug"}),
        ("pause", {"do": "pause"}),
        ("resume", {"do": "resume"}),
        ("certs", {"do": "certs"}),
        ("events --follow", {"do": "events"}),
        ("-c 'worker add 2'", {"do": "scale", "by": 2}),
    ],
)
def test_words(words: str, question: dict[str, Any]) -> None:
    assert meant(taken_apart(shlex.split(words)).words)[1] == question


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["relaod"], "there is no command 'relaod'; did you mean reload?"),
        (["xyz"], "there is no command 'xyz'; the commands are status, workers"),
        (["scale"], "scale: a word is missing; write tricorn ctl scale [POOL] N"),
        (["scale", "many"], "scale: 'many' is not a number; write 4, +1 or -1"),
        (["worker", "add", "x"], "scale: '+x' is not a number"),
        (["worker", "kill"], "replace: '{}' is not a process id"),
        (["replace", "-1"], "replace: '-1' is not a process id"),
        (["kill"], "kill: a word is missing; write tricorn ctl kill PID"),
        (["dump", "all"], "dump: 'all' is not a process id; `tricorn ctl workers` shows them"),
        (["dump", "1", "2"], "dump: too many words; write tricorn ctl dump [PID]"),
        (["status", "--follow"], "--follow is for events, not for status"),
        (["reload", "now"], "reload: too many words; write tricorn ctl reload"),
        (["dirty", "add", "x"], "scale: '+x' is not a number"),
        (["scale", "heavy", "1", "2"], "scale: too many words; write tricorn ctl scale [POOL] N"),
        (["--sokcet", "x", "status"], "there is no option --sokcet; did you mean --socket?"),
        (["status", "--socket"], "--socket needs a value"),
        (["status", "--timeout", "soon"], "--timeout: 'soon' is not a number of seconds"),
        (["status", "--timeout=-1"], "--timeout: '-1' is not a number of seconds"),
        (["status", "--timeout=nan"], "--timeout: 'nan' is not a number of seconds"),
        (["-c", "show 'x"], '--command: "show \'x"'),
        (["status", "--bind", "ftp://x"], "--bind: 'ftp://x'"),
    ],
)
def test_what_is_not_understood(words: list[str], said: str, capsys: Output) -> None:
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"tricorn ctl: {said}")
    assert error.count("\n") == 1


def test_without_a_command_it_explains_itself(capsys: Output) -> None:
    assert main([]) == 2
    assert "Usage: tricorn ctl" in capsys.readouterr().out
    assert main(["help"]) == main(["status", "-h"]) == main(["-v"]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--socket {home}/none", "{home}/none: there is no such file"),
        ("--socket {home}/file", "{home}/file: no server listens there any more"),
        ("--pid {home}/none", "{home}/none: No such file or directory; the server may not be running"),
        ("--pid {home}/file", "{home}/file: there is no process id in it"),
        ("--pid {home}/pid-of-nobody", "process 99999999 ({home}/pid-of-nobody) is not running"),
        ("--pid {home}/pid", "process {pid} ({home}/pid) has no control socket that can be found"),
        ("--bind 127.0.0.1:1", "no server found at 127.0.0.1:1 that this user may control"),
        ("", "no server found that this user may control; name its control socket"),
    ],
)
def test_no_server(
    words: str, said: str, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "all_of_masters", list)
    monkeypatch.delenv("TRICORN_CONTROL_SOCKET", raising=False)
    for name, text in (("file", "x"), ("pid-of-nobody", "99999999"), ("pid", str(os.getpid()))):
        (tmp_path / name).write_text(text)
    known = {"home": tmp_path, "pid": os.getpid()}
    assert main([*words.format(**known).split(), "status"]) == 3
    assert capsys.readouterr().err.startswith(f"tricorn ctl: {said.format(**known)}")


def test_the_variable_names_a_socket(tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRICORN_CONTROL_SOCKET", str(tmp_path / "none"))
    assert main(["status"]) == 3
    assert f"{tmp_path}/none: there is no such file" in capsys.readouterr().err


WORKER = {
    "pid": 12,
    "is_mold": False,
    "state": "ready",
    "generation": 2,
    "age": 3720.0,
    "requests": 1234,
    "busy": 1,
    "threads": 8,
    "waiting": 0,
    "connections": 31,
    "replaced_because": None,
    "running": [{"request": "GET /a\x1b[31m\u202eb", "seconds": 2.1}],
}
STATUS = {
    "app": "site",
    "pid": 11,
    "tricorn": "0.1.0",
    "uptime": 90061.0,
    "mode": "running",
    "generation": 2,
    "is_on_trial": True,
    "older": None,
    "newer": 99,
    "listeners": ["http://127.0.0.1:8000"],
    "workers": {"ready": 1, "wanted": 2, "booting": 1, "leaving": 0},
}


def test_a_status_in_text() -> None:
    mold = {**WORKER, "pid": 7, "is_mold": True, "running": []}
    text = ctl_text.status({"status": STATUS, "workers": [mold, WORKER]}, lambda pid: pid << 20)
    assert text.splitlines() == [
        "site, process 11, Tricorn 0.1.0, up 1 d 1 h",
        "serving, generation 2: 1 of 2 workers ready, 1 booting",
        "a reload is under way: the new generation is being tried",
        "an upgrade is under way: the newer master is process 99",
        "listening at http://127.0.0.1:8000",
        "",
        "PID  STATE  GEN        AGE  REQUESTS  BUSY  WAITING  CONNS  MEMORY",
        "  7  mold     2  1 h 2 min         -     -        -      -    7 MB",
        " 12  ready    2  1 h 2 min      1234   1/8        0     31   12 MB",
        "",
        "12: GET /a\\x1B[31m\\u202Eb for 2.1 s",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.96, "10.0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3661, "1 h 1 min"),
        (90000, "1 d 1 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert ctl_text.duration(seconds) == text


def test_the_commands_of_the_help_are_those_that_there_are() -> None:
    text = ctl.help_text()
    assert all(f"\n  {name}" in text for name in ctl.VERBS)
    assert all(
        option in text for option in ("--socket", "--pid", "--bind", "--no-wait", "--timeout", "--json")
    )


def test_certificates_in_text() -> None:
    assert ctl_text.certificates([]) == "The server has no certificates: it is not set up for TLS"
    each = {
        "file": "/etc/site.pem",
        "names": ["site.test", "www.site.test"],
        "issuer": "CN=An\nauthority",
        "not_before": "2026-01-01T00:00:00+00:00",
        "not_after": "2026-04-01T00:00:00+00:00",
        "days_left": 1,
        "is_expiring": True,
    }
    assert ctl_text.certificates([each, each | {"days_left": -3}]) == (
        "/etc/site.pem\n"
        "  for site.test, www.site.test\n"
        "  by CN=An\\x0Aauthority\n"
        "  until 2026-04-01T00:00:00+00:00, 1 day left; renew it\n"
        "/etc/site.pem\n"
        "  for site.test, www.site.test\n"
        "  by CN=An\\x0Aauthority\n"
        "  until 2026-04-01T00:00:00+00:00, expired; renew it"
    )


def test_events_in_text() -> None:
    assert ctl_text.events([]) == "Nothing has happened"
    event = {"number": 1, "time": 0.0, "level": "info", "text": "GET /a\nb", "detail": "one\ntwo\x1b\n"}
    first, *rest = ctl_text.events([event]).split("\n")
    assert first.endswith("00:00  info      GET /a\\x0Ab")
    assert [line.strip() for line in rest] == ["one", "two\\x1B"]


def test_requests_in_text() -> None:
    one = {"phase": "application", "method": "GET", "target": "/a\x1b[31m", "client": "::1", "seconds": 2.1}
    none: dict[str, Any] = {**dict.fromkeys(one), "phase": "head"}
    data = [
        {"pid": 12, "requests": [none, one], "left_out": 3},
        {"pid": 7, "requests": [], "left_out": 0, "silent": "it is stopped (SIGSTOP)"},
        {"pid": 8, "requests": [], "left_out": 0, "silent": ""},
    ]
    assert ctl_text.requests(data).splitlines() == [
        "PID  PHASE          AGE  CLIENT  REQUEST",
        " 12  application  2.1 s     ::1  GET /a\\x1B[31m",
        " 12  head             -       -",
        "and 3 more",
        "7 does not answer: it is stopped (SIGSTOP)",
        "8 does not answer: it is busy",
    ]
    assert ctl_text.requests(data[2:]) == "Nothing is being served\n8 does not answer: it is busy"


def test_stacks_in_text() -> None:
    busy = {
        "pid": 1,
        "threads": [{"name": "Main\x1b", "stack": '  File "x.py", line 1, in f\n    f()\n'}],
        "tasks": [{"name": "Task-2", "stack": '  File "y.py", line 2, in g\n'}],
        "left_out": 3,
    }
    idle = {"pid": 2, "threads": [], "tasks": [], "left_out": 0}
    silent = {"pid": 3, "silent": "it is stopped (SIGSTOP)"}
    assert ctl_text.stacks([busy, idle, silent, {"pid": 4, "silent": ""}]) == (
        "Worker 1\n"
        "  Thread Main\\x1B\n"
        '    File "x.py", line 1, in f\n'
        "      f()\n"
        "  Task Task-2\n"
        '    File "y.py", line 2, in g\n'
        "  and 3 more\n"
        "\n"
        "Worker 2\n"
        "  runs nothing of the application's\n"
        "\n"
        "Worker 3 does not answer: it is stopped (SIGSTOP)\n"
        "\n"
        "Worker 4 does not answer: its main thread does not come to run Python code"
    )


def test_slow_requests() -> None:
    each = {
        "time": 0,
        "method": "GET",
        "path": "/a\x1b[2J",
        "route": "/a",
        "id": "id-1",
        "pid": 7,
        "status": 200,
    }
    each |= {
        "is_over": True,
        "has_left": True,
        "seconds": 61.0,
        "sent": 5,
        "slow": "server",
        "client_sends": 0.0,
    }
    each |= {"waiting": 60.0, "application": 0.5, "client_reads": 0.5, "stacks": []}
    stack = '  File "views.py", line 7, in report\n    rows = fetch()\n'
    other = each | {"is_over": False, "has_left": False, "route": None, "id": None, "slow": "application"}
    other |= {"stacks": [{"after": 2.0, "stack": stack}]}
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(0))
    parts = "the client sent 0.0 s, waiting 1 min, application 0.5 s, the client read 0.5 s"
    assert ctl_text.slow([each, other]).splitlines() == [
        f"{moment}  GET /a\\x1B[2J  200, the client has left",
        f"  1 min 1 s, mostly waiting for a thread or task: {parts}",
        "  worker 7, 5 bytes sent, route /a, id id-1",
        "",
        f"{moment}  GET /a\\x1B[2J  goes on",
        f"  1 min 1 s, mostly in the application: {parts}",
        "  worker 7, 5 bytes sent",
        "  after 2.0 s of silence",
        '    File "views.py", line 7, in report',
        "      rows = fetch()",
    ]
    assert ctl_text.slow([]) == "No request was slow"
