"""Which words of a command line are commands, and that they cost nothing until they are said."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tricorn.cli import main
from tricorn.commands.table import COMMANDS, maybe_command, summaries
from tricorn.config.commandline import help_text


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_there_and_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"Usage: tricorn {name}")
    assert max(map(len, text.splitlines())) <= 110
    assert f"tricorn {name}" in help_text(commands=summaries())


@pytest.mark.parametrize("words", [[], ["ctl:app"], ["./ctl.py"], ["--", "ctl"], ["-w", "2", "ctl"], ["ct"]])
def test_an_application_is_no_command(words: list[str]) -> None:
    assert maybe_command(words) is None


def test_an_application_that_is_called_like_a_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ctl.py").write_text("def app(environ, start_response): ...\n")
    assert main(["--check-config", "--chdir", str(tmp_path), "--", "ctl"]) == 0
    assert "'ctl' are in order" in capsys.readouterr().out


def test_a_server_does_not_load_the_commands() -> None:
    code = "import sys, tricorn.cli; print([name for name in sys.modules if 'tricorn.co' in name])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "tricorn.commands.table" in run.stdout
    assert "tricorn.commands.ctl" not in run.stdout
    assert "tricorn.control" not in run.stdout
