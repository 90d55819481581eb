"""The command line of `tricorn top`, and what it says where it cannot begin."""

from __future__ import annotations

import builtins
from pathlib import Path

import pytest

from tricorn.commands import ctl
from tricorn.commands.top import command
from tricorn.commands.top.command import main, taken_apart

Output = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("words", "interval", "is_once", "line"),
    [
        ([], 1.0, False, {}),
        (["-1", "-s", "/run/ctl"], 1.0, True, {"socket": "/run/ctl"}),
        (["--interval=5", "--pid", "4711"], 5.0, False, {"pidfile": "4711"}),
        (["-i", "0.5", "--bind=:8000", "--once"], 0.5, True, {"bind": ":8000"}),
    ],
)
def test_words(words: list[str], interval: float, is_once: bool, line: dict[str, str]) -> None:
    assert taken_apart(words) == (ctl.Line(**line), interval, is_once)  # type: ignore[arg-type]  # all of them are texts


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["status"], "'status' is not understood; see tricorn top --help"),
        (["--json"], "'--json' is not understood"),
        (["--interval"], "--interval needs a value"),
        (["-i", "0"], "--interval: '0' is not a number of seconds from 0.2 to 3600"),
        (["-i", "nan"], "--interval: 'nan' is not a number"),
        (["-s"], "-s needs a value"),
    ],
)
def test_what_is_not_understood(words: list[str], said: str, capsys: Output) -> None:
    assert main(words) == ctl.USAGE
    error = capsys.readouterr().err
    assert error.startswith(f"tricorn top: {said}")
    assert error.count("\n") == 1


def test_without_rich(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    real = builtins.__import__

    def without(name: str, *more: object) -> object:
        assert not name.startswith("rich"), "it is imported although it was found missing"
        return real(name, *more)  # type: ignore[arg-type]  # as it came

    monkeypatch.setattr(command, "find_spec", lambda _name: None)
    monkeypatch.setattr(builtins, "__import__", without)
    assert main(["--once"]) == ctl.FAILED
    said = "tricorn top: the package rich is missing; write pip install 'tricorn[top]'\n"
    assert capsys.readouterr().err == said


def test_there_is_no_server(tmp_path: Path, capsys: Output) -> None:
    assert main(["--socket", str(tmp_path / "none")]) == ctl.NO_SERVER
    assert capsys.readouterr().err == f"tricorn top: {tmp_path}/none: there is no such file\n"


def test_the_help_fits_a_terminal(capsys: Output) -> None:
    assert main(["--help"]) == ctl.DONE
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 90
    assert all(option in text for option in ("--once", "--interval", "--pid", "--bind", "--socket"))
