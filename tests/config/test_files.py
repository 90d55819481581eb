"""Configuration files: which one is read, what is a setting in it, and how a broken one is reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from tricorn.config.errors import ConfigError
from tricorn.config.settings import Settings
from tricorn.config.sources import load


def settings_with(name: str, text: str, directory: Path, *words: str) -> Settings:
    (directory / name).write_text(text)
    return load(words, {}, directory)


def refusal(name: str, text: str, directory: Path, *words: str) -> str:
    with pytest.raises(ConfigError) as caught:
        settings_with(name, text, directory, *words)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_default_files_in_their_order(tmp_path: Path) -> None:
    """Each file that is added comes before the ones that are there already."""
    files = {
        "pyproject.toml": "[tool.tricorn]\nworkers = 2\n",
        "tricorn.toml": "workers = 3\n",
        "gunicorn.conf.py": "workers = 4\n",
        "tricorn.conf.py": "workers = 5\n",
    }
    for number, (name, text) in enumerate(files.items(), start=2):
        settings = settings_with(name, text, tmp_path)
        assert (settings.workers, settings.origins["workers"]) == (number, name)


def test_a_pyproject_that_does_not_speak_of_us_is_not_ours(tmp_path: Path) -> None:
    assert settings_with("pyproject.toml", "[tool.other]\nworkers = 2\n", tmp_path).workers == 1


@pytest.mark.parametrize("location", ["etc/my.py", "file:etc/my.py", "python:my_settings.web"])
def test_named_file(location: str, tmp_path: Path) -> None:
    (tmp_path / "tricorn.toml").write_text("threads = 7\n")
    for directory, name in (("etc", "my.py"), ("my_settings", "web.py")):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / name).write_text("workers = 9\n")
    settings = load(["-c", location], {}, tmp_path)
    assert (settings.workers, settings.threads) == (9, 1)


def test_named_pyproject(tmp_path: Path) -> None:
    assert (
        settings_with("pyproject.toml", "[tool.tricorn]\nworkers = 2\n", tmp_path, "-cpyproject.toml").workers
        == 2
    )
    assert "has no table [tool.tricorn]" in refusal(
        "pyproject.toml", "[x]\n", tmp_path, "-c", "pyproject.toml"
    )


def test_no_file_at_all(tmp_path: Path) -> None:
    assert settings_with("tricorn.toml", "workers = 3\n", tmp_path, "-c", "/dev/null").workers == 1


def test_a_python_file_is_read_again_at_each_load(tmp_path: Path) -> None:
    assert settings_with("tricorn.conf.py", "workers = 2", tmp_path).workers == 2
    assert settings_with("tricorn.conf.py", "workers = 3", tmp_path).workers == 3


@pytest.fixture
def module_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("sys.dont_write_bytecode", True)  # two versions within a second share a time stamp
    return tmp_path / "reloaded_settings.py"


def test_a_module_is_read_again_at_each_load(module_file: Path) -> None:
    for number in (2, 3):
        module_file.write_text(f"workers = {number}")
        assert load(["-c", "python:reloaded_settings"], {}, module_file.parent).workers == number


def test_what_is_not_a_setting_in_a_python_file(tmp_path: Path) -> None:
    text = """
import os
import multiprocessing as group          # a module that is called like a setting
from pathlib import Path
from os import cpu_count
_helper = 3
CONSTANT = 4
here = Path(__file__).parent
def compute(): return 5
class Thing: pass
for i in range(3): pass
workers = compute()
"""
    settings = settings_with("tricorn.conf.py", text, tmp_path)
    assert settings.workers == 5
    assert settings.warnings == ()
    assert [name for name, origin in settings.origins.items() if origin != "default"] == ["workers"]


def test_file_may_import_what_stands_beside_it(tmp_path: Path) -> None:
    (tmp_path / "beside_the_file.py").write_text("number = 6")
    text = "from beside_the_file import number as _number\nworkers = _number"
    assert settings_with("tricorn.conf.py", text, tmp_path).workers == 6


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "tricorn.conf.py",
            "worker = 4",
            "worker: there is no such setting (tricorn.conf.py); did you mean workers",
        ),
        ("tricorn.conf.py", "worker = 4", "If it is a helper, call it _worker"),
        (
            "tricorn.toml",
            "timout = 4",
            "timout: there is no such setting (tricorn.toml); did you mean timeout?",
        ),
        ("tricorn.toml", "worker-class = 'sync'", "did you mean worker_class?"),
        ("pyproject.toml", "[tool.tricorn]\nworker = 4", "worker: there is no such setting (pyproject.toml)"),
        ("pyproject.toml", "[tool]\ntricorn = 4", "tool.tricorn is not a table (pyproject.toml)"),
        ("tricorn.toml", "workers = 'x'", "workers: 'x' is not a whole number (tricorn.toml); write"),
        ("tricorn.toml", "workers = ", "config: is not valid TOML: "),
        (
            "tricorn.toml",
            "config = 'x'",
            "config: cannot be set in a file (tricorn.toml); write --config or TRICORN_CONFIG",
        ),
        ("tricorn.conf.py", "a = 1\nworkers = nothing", "(tricorn.conf.py, line 2)"),
        ("tricorn.conf.py", "a = 1\nworkers = nothing", "NameError: name 'nothing' is not defined"),
        ("tricorn.conf.py", "workers =", "config: SyntaxError: invalid syntax (tricorn.conf.py, line 1)"),
        ("tricorn.conf.py", "import sys\nsys.exit('no')", "config: SystemExit: no (tricorn.conf.py, line 2)"),
        (
            "tricorn.conf.py",
            "def f():\n  1/0\n\nf()",
            "ZeroDivisionError: division by zero (tricorn.conf.py, line 2)",
        ),
        ("tricorn.conf.py", "import json\njson.loads('x')", "(tricorn.conf.py, line 2)"),
        ("gunicorn.conf.py", "class worker_class: ...", "worker_class: "),
    ],
)
def test_refuses(name: str, text: str, said: str, tmp_path: Path) -> None:
    assert said in refusal(name, text, tmp_path)


@pytest.mark.parametrize(
    ("location", "said"),
    [
        (
            "missing.py",
            "config: there is no file 'missing.py' (command line); write PATH, file:PATH or python:",
        ),
        ("file:missing.toml", "there is no file 'missing.toml'"),
        (".", "there is no file '.'"),
        ("python:no_such_settings", "config: there is no module 'no_such_settings' (command line)"),
        ("python:json.no_such_part", "config: there is no module 'json.no_such_part' (command line)"),
        ("python:imports_nothing_good", "ModuleNotFoundError: No module named 'not_there'"),
        ("python:raises_at_once", "config: ValueError: wrong (python:raises_at_once)"),
    ],
)
def test_refuses_a_location(location: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "imports_nothing_good.py").write_text("import not_there")
    (tmp_path / "raises_at_once.py").write_text("raise ValueError('wrong')")
    assert said in refusal("unused", "", tmp_path, "-c", location)


def test_gunicorn_settings_that_can_be_left_out_are_mentioned(tmp_path: Path) -> None:
    text = "ssl_version = 5\nworkers = 2\ndef post_fork(server, worker): ...\n"
    settings = settings_with("gunicorn.conf.py", text, tmp_path)
    assert settings.workers == 2
    assert settings.warnings == (
        "ssl_version is ignored (gunicorn.conf.py): Gunicorn ignores it too, since 21.0; tls_minimum_version "
        "sets the lowest version",
    )


def test_gunicorn_settings_that_are_off_are_not_worth_a_word(tmp_path: Path) -> None:
    text = "daemon = False\nkeyfile = None\nreload = False\nprotocol = 'http'\nworker_tmp_dir = None\n"
    settings = settings_with("gunicorn.conf.py", text, tmp_path)
    assert settings.warnings == ()
    assert settings.notes == ()
