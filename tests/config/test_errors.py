"""ConfigError: one line that says what, where it came from, what to write instead."""

from __future__ import annotations

import pickle

import pytest

from tricorn.config.errors import ConfigError, did_you_mean


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            ConfigError("workers", "tricorn.toml", "is empty", "write 4"),
            "workers: is empty (tricorn.toml); write 4",
        ),
        (ConfigError("bind", "", "is taken"), "bind: is taken"),
        (ConfigError("bind", "x", "has\na line  break"), "bind: has a line break (x)"),
    ],
)
def test_is_one_line(error: ConfigError, line: str) -> None:
    assert str(error) == line


def test_origin_can_be_added_where_it_is_known() -> None:
    assert ConfigError("bind", "", "is taken").at("command line").origin == "command line"
    assert ConfigError("bind", "file", "is taken").at("command line").origin == "file"


def test_survives_pickling() -> None:
    error = ConfigError("bind", "file", "is taken", "choose another")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize(("word", "hint"), [("timout", "did you mean timeout?"), ("foo", "")])
def test_nearest_name(word: str, hint: str) -> None:
    assert did_you_mean(word, ["timeout", "workers"]) == hint
