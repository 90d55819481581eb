"""`tricorn doctor`: what is said of a machine, as it is here and as it might be."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tricorn import machine
from tricorn.cli import main
from tricorn.commands import doctor
from tricorn.commands.doctor import GOOD, NOTE, WARNING, Finding
from tricorn.config.settings import Settings
from tricorn.machine import Group, Memory, Processors

Output = pytest.CaptureFixture[str]
Look = Callable[[Settings], Iterator[Finding]]


def states(look: Look, settings: Settings) -> dict[str, str]:
    return {finding.about: finding.state for finding in look(settings)}


def said(look: Look, settings: Settings) -> str:
    return " | ".join(f"{finding.says}; {finding.do}" for finding in look(settings))


@pytest.mark.parametrize(
    ("there", "settings", "expected", "words"),
    [
        (
            Processors(8, 8, None),
            Settings(workers=8),
            {"processors": GOOD, "workers": GOOD},
            "8 workers on 8 processors",
        ),
        (
            Processors(8, 8, None),
            Settings(),
            {"processors": GOOD, "workers": NOTE},
            '-w 8, or workers = "auto"',
        ),
        (
            Processors(8, 8, 1.0),
            Settings(workers=8, threads=4),
            {"processors": GOOD, "workers": WARNING},
            "8 workers with 4 threads each share 1",
        ),
        (
            Processors(8, 8, 0.5),
            Settings(),
            {"processors": GOOD, "workers": GOOD, "processor time": NOTE},
            "0.5 processors are the limit",
        ),
        (
            Processors(1, 1, None),
            Settings(workers_max=9),
            {"processors": GOOD, "workers": WARNING},
            "9 workers share 1",
        ),
    ],
)
def test_processors(
    there: Processors,
    settings: Settings,
    expected: dict[str, str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "processors", lambda: there)
    assert states(doctor.processors, settings) == expected
    assert words in said(doctor.processors, settings)


@pytest.mark.parametrize(
    ("there", "settings", "expected", "words"),
    [
        (Memory(8 << 30, None), Settings(workers=3), {"memory": GOOD}, "2048m for each of 4 workers"),
        (
            Memory(8 << 30, 256 << 20),
            Settings(workers=1),
            {"memory": GOOD, "memory limit": NOTE},
            "max_memory = 128m",
        ),
        (
            Memory(8 << 30, 256 << 20),
            Settings(workers=9),
            {"memory": WARNING, "memory limit": NOTE},
            "have fewer workers",
        ),
        (
            Memory(1 << 30, None),
            Settings(workers=3, max_memory=512 << 20),
            {"memory": WARNING},
            "they may have 2048m",
        ),
        (Memory(0, None), Settings(), {}, ""),
    ],
)
def test_memory(
    there: Memory, settings: Settings, expected: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "memory", lambda: there)
    assert states(doctor.memory, settings) == expected
    assert words in said(doctor.memory, settings)


@pytest.mark.parametrize(
    ("limits", "connections", "state"),
    [
        ((1024, 4096), 900, GOOD),
        ((1024, 4096), 1000, WARNING),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), 10**6, GOOD),
    ],
)
def test_descriptors(
    limits: tuple[int, int], connections: int, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    settings = Settings(worker_connections=connections)
    assert states(doctor.descriptors, settings) == {"descriptors": state}
    assert ("LimitNOFILE=1100" in said(doctor.descriptors, settings)) == (state == WARNING)


@pytest.mark.parametrize(
    ("somaxconn", "settings", "state"),
    [
        ("4096", Settings(), GOOD),
        ("1024", Settings(), NOTE),
        ("128", Settings(), WARNING),
        ("1024", Settings(backlog=2000, origins={"backlog": "command line"}), WARNING),
    ],
)
def test_the_backlog(
    somaxconn: str, settings: Settings, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "somaxconn").write_text(somaxconn + "\n")
    monkeypatch.setattr(doctor, "SOMAXCONN", tmp_path / "somaxconn")
    assert states(doctor.waiting, settings) == {"backlog": state}
    monkeypatch.setattr(doctor, "SOMAXCONN", tmp_path / "nothing")
    assert states(doctor.waiting, settings) == {}


def test_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pids.max").write_text("20\n")
    monkeypatch.setattr(machine, "groups", lambda _: [Group(True, tmp_path, tmp_path)])
    assert states(doctor.tasks, Settings(workers=4)) == {}
    assert states(doctor.tasks, Settings(workers=4, threads=8)) == {"tasks": WARNING}
    (tmp_path / "pids.max").write_text("max\n")
    assert states(doctor.tasks, Settings(workers=4, threads=8)) == {}


def test_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(machine, "file_system", lambda _: "tmpfs")
    assert states(doctor.temporary, Settings()) == {"temporary files": NOTE}
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "nowhere"))
    assert "cannot be written to: No such file" in said(doctor.temporary, Settings())


@pytest.mark.parametrize(
    ("look", "missing", "settings", "state"),
    [
        (doctor.event_loop, "uvloop", Settings(), NOTE),
        (doctor.event_loop, "uvloop", Settings(asgi_loop="uvloop"), WARNING),
        (doctor.http2, doctor.NGHTTP2, Settings(), NOTE),
        (doctor.watching, "watchfiles", Settings(reload=True), NOTE),
    ],
)
@pytest.mark.parametrize("is_there", [True, False])
def test_what_may_be_installed(
    is_there: bool, look: Look, missing: str, settings: Settings, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(doctor, "find_spec", lambda name: asked.append(name) or (is_there or None))
    assert list(states(look, settings).values()) == [GOOD if is_there else state]
    assert asked == [missing]


def test_kernel_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ulp").write_text("espintcp mptcp tls\n")
    monkeypatch.setattr(doctor, "KERNEL_TLS", tmp_path / "ulp")
    is_able = sys.version_info >= (3, 12)
    assert states(doctor.tls, Settings())["kernel TLS"] == (GOOD if is_able else NOTE)
    (tmp_path / "ulp").write_text("mptcp\n")
    assert states(doctor.tls, Settings())["kernel TLS"] == NOTE
    assert "the kernel module tls is not loaded" in said(doctor.tls, Settings())


def test_places_to_listen_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(doctor, "FIRST_PORT", tmp_path / "nothing")
    settings = Settings(
        bind=("0.0.0.0:80", "127.0.0.1:8000", f"unix:{tmp_path}/x", f"unix:{tmp_path}/no/x", "ftp://x")
    )
    texts = [finding.says for finding in doctor.sockets(settings)]
    assert [text.split(": ")[0] for text in texts] == ["0.0.0.0:80", f"unix:{tmp_path}/no/x", "'ftp://x'"]
    assert states(doctor.user, Settings()) == {}
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert states(doctor.user, Settings()) == {"user": NOTE}
    assert states(doctor.user, Settings(user=33)) == {}


def test_where_the_uwsgi_protocol_is_spoken() -> None:
    settings = Settings(bind=("uwsgi://127.0.0.1:3031", "http://127.0.0.1:8000"))
    (finding,) = doctor.sockets(settings)
    assert (finding.about, finding.state) == ("bind", GOOD)
    assert finding.says.startswith("uwsgi://127.0.0.1:3031 speaks the uwsgi protocol, for uwsgi_pass of ")
    assert finding.says.endswith("with 127.0.0.1, ::1, unix")
    (open_to_all,) = doctor.sockets(Settings(bind=(":3031",), protocol="uwsgi", uwsgi_allow_ips=("*",)))
    assert open_to_all.state == WARNING
    assert "whoever connects says who the client is" in open_to_all.says


@pytest.mark.parametrize("as_json", [False, True])
def test_this_machine(as_json: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    (tmp_path / "seen.py").write_text("def app(environ, start_response): ...\n")
    monkeypatch.chdir(tmp_path)
    runs: list[Any] = []

    def elapsed(words: list[str]) -> doctor.Run:
        runs.append(words)
        return doctor.Run(0.1 + len(runs), 0, "")

    monkeypatch.setattr(doctor, "elapsed", elapsed)
    status = main(["doctor", *(["--json"] if as_json else []), "--worker-connections", "10", "seen:app"])
    out = capsys.readouterr().out
    assert runs == [["--version"], ["--check-config", "--worker-connections", "10", "seen:app"]]
    if as_json:
        findings = json.loads(out)["findings"]
        assert {"Python", "TLS", "HTTP/2", "uvloop", "processors", "descriptors"} <= {
            each["about"] for each in findings
        }
        assert status == int(any(each["state"] == WARNING for each in findings))
    else:
        assert "seen:app takes 1.00 s to be imported" in out
        assert max(map(len, out.splitlines())) <= 110
        assert out.rstrip().endswith(("to do", "is to be done"))


def test_an_application_that_cannot_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["doctor", "nowhere:app"]) == 1
    assert "nowhere:app cannot be loaded: tricorn: error: there is no module 'nowhere'" in " ".join(
        capsys.readouterr().out.split()
    )


def test_a_wrong_setting_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["doctor", "--worker", "2"]) == 2
    assert capsys.readouterr().err.startswith("tricorn doctor: error: --worker: there is no such option")
