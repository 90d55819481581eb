"""logconfig_dict, logconfig_json, logconfig: which counts, how they are merged, and what a wrong one is
told."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from log.test_setup import Settings

from tricorn.config.errors import ConfigError
from tricorn.log import logconfig, setup

pytestmark = pytest.mark.usefixtures("own_log")

LOGGER = logging.getLogger("tricorn.error")


def named(path: Path, name: str = "gunicorn.error") -> dict[str, Any]:
    """A configuration that has the logger write to the file."""
    return {
        "formatters": {"short": {"format": "%(name)s %(levelname)s %(message)s"}},
        "handlers": {"file": {"class": "logging.FileHandler", "filename": str(path), "formatter": "short"}},
        "loggers": {name: {"level": "INFO", "handlers": ["file"], "propagate": False}},
        "root": {},
    }


INI = """
[loggers]
keys=root, error

[handlers]
keys=file

[formatters]
keys=short

[logger_root]
handlers=

[logger_error]
qualname=gunicorn.error
handlers=file
propagate=0

[handler_file]
class=FileHandler
args=("%(here)s/ini.log",)
formatter=short

[formatter_short]
format=ini %(message)s
"""


@pytest.mark.parametrize("name", ["gunicorn.error", "tricorn.error"])
def test_a_dict(name: str, tmp_path: Path) -> None:
    path = tmp_path / "own.log"
    setup.configure(Settings(logconfig_dict=named(path, name)))
    LOGGER.info("hello")
    assert path.read_text() == f"{name} INFO hello\n"


def test_which_counts(tmp_path: Path) -> None:
    before = logging.root.handlers[:]
    (tmp_path / "log.json").write_text(json.dumps(named(tmp_path / "json.log")))
    (tmp_path / "log.ini").write_text(INI)
    chosen: dict[str, Any] = {"chdir": str(tmp_path)}
    for setting, value, written in (
        ("logconfig", "log.ini", "ini.log"),
        ("logconfig_json", "log.json", "json.log"),
        ("logconfig_dict", named(tmp_path / "dict.log"), "dict.log"),
    ):
        chosen[setting] = value
        setup.configure(Settings(**chosen))
        LOGGER.info("to %s", setting)
        assert setting in (tmp_path / written).read_text()
    assert "logconfig_dict" not in (tmp_path / "json.log").read_text()
    setup.configure(Settings(str(tmp_path / "plain.log")))
    LOGGER.info("plain again")
    assert (tmp_path / "plain.log").read_text().startswith("[")
    assert LOGGER.name == "tricorn.error"
    assert logging.root.handlers == before


def test_what_is_not_named_is_as_in_gunicorn(capfd: pytest.CaptureFixture[str]) -> None:
    loggers = {"gunicorn.error": {"handlers": ["error_console"], "level": "WARNING", "propagate": False}}
    setup.configure(Settings(logconfig_dict={"loggers": loggers}))
    LOGGER.info("not this")
    LOGGER.warning("hello")
    out, err = capfd.readouterr()
    assert out == ""
    assert err.endswith(f" [{os.getpid()}] [WARNING] hello\n")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"version": 2}, "logconfig_dict.*Unsupported version: 2"),
        ({"handlers": {"x": {"class": "no.such.Handler"}}}, "'x'.*no"),
        (
            {"handlers": {"x": {"class": "logging.FileHandler", "filename": "/no/such/file"}}},
            "'x'.*No such file",
        ),
        ({"loggers": {"gunicorn.error": {"handlers": ["lost"]}}}, "'gunicorn.error'.*'lost'"),
        ({"root": {"level": "LOUD", "handlers": []}}, "root logger.*Unknown level: 'LOUD'"),
        ({"formatters": {"f": {"()": "no.such.factory"}}}, "'f'.*no"),
    ],
)
def test_a_wrong_dict_says_which_key(written: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        setup.configure(Settings(logconfig_dict=written))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", r"log\.json is not valid JSON: .*line 1 column 2"),
        ("[1]", r"log\.json has no JSON object"),
        ('{"version": 3}', r"log\.json: Unsupported version: 3"),
    ],
)
def test_a_wrong_json_file(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "log.json").write_text(text)
    with pytest.raises(ConfigError, match=said) as caught:
        setup.configure(Settings(logconfig_json="log.json", chdir=str(tmp_path)))
    assert caught.value.setting == "logconfig_json"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense", r"log\.ini.*no section headers.*line: 1"),
        (INI.replace("keys=file", "keys=file, none"), r"log\.ini: .*handler_none"),
        (INI.replace("handlers=file\n", "handlers=lost\n"), r"log\.ini: .*lost"),
        (INI.replace("[loggers]\n", "[others]\n"), r"log\.ini: .*loggers"),
        (INI.replace("class=FileHandler", "class=NoHandler"), r"log\.ini: .*NoHandler"),
        ("[loggers]\nkeys=a\nkeys=b\n", r"log\.ini.*line  ?3"),
    ],
)
def test_a_wrong_ini_file(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "log.ini").write_text(text)
    with pytest.raises(ConfigError, match=said):
        setup.configure(Settings(logconfig="log.ini", chdir=str(tmp_path)))


@pytest.mark.parametrize("setting", ["logconfig", "logconfig_json"])
def test_a_file_that_is_not_there(setting: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*missing: No such file"):
        setup.configure(Settings(**{setting: "missing", "chdir": str(tmp_path)}))


def test_a_wrong_one_in_a_reload_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "own.log"
    setup.configure(Settings(logconfig_dict=named(path)))
    with pytest.raises(ConfigError):
        setup.configure(Settings(logconfig_dict={"version": 2}))
    LOGGER.info("as before")
    assert path.read_text() == "gunicorn.error INFO as before\n"


def test_its_files_rotate_and_outlive_the_configuration_of_the_application(tmp_path: Path) -> None:
    path = tmp_path / "own.log"
    setup.configure(Settings(logconfig_dict=named(path)))
    LOGGER.info("one")
    path.rename(tmp_path / "old.log")
    setup.reopen()
    LOGGER.info("two")
    path.chmod(0)
    logging.config.dictConfig({"version": 1, "root": {}})  # which closes all handlers
    LOGGER.info("three")
    assert (tmp_path / "old.log").read_text() == "gunicorn.error INFO one\n"
    assert path.read_text() == "gunicorn.error INFO two\ngunicorn.error INFO three\n"


def test_the_defaults_are_valid() -> None:
    before = logging.root.handlers[:]
    logging.config.dictConfig(logconfig.defaults())
    logging.root.handlers[:] = before


def test_a_full_standard_stream_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tricorn.log.writer.STALLED_READER", 0.01)
    reader, writer = os.pipe()
    kept = os.dup(2)
    os.dup2(writer, 2)
    try:
        handlers = {"h": {"class": "logging.StreamHandler", "stream": "ext://sys.__stderr__"}}
        loggers = {"gunicorn.error": {"handlers": ["h"], "propagate": False}}
        setup.configure(Settings(logconfig_dict={"handlers": handlers, "loggers": loggers, "root": {}}))
        for _ in range(100):
            LOGGER.info("x" * 3000)  # would hang here
        os.read(reader, 1 << 17)
        LOGGER.info("again")
        assert b"records lost before this one)\nagain\n" in os.read(reader, 1 << 17)
    finally:
        os.dup2(kept, 2)
        for fd in (reader, writer, kept):
            os.close(fd)
