"""The declarations as a whole: every setting can be set everywhere, has words, and clashes with no other."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import get_type_hints

import pytest

from tricorn.config.commandline import HELP, VERSION
from tricorn.config.gunicorn import MISSING, MISSING_FLAGS
from tricorn.config.settings import SETTINGS, Settings
from tricorn.config.sources import load

each_setting = pytest.mark.parametrize("name", SETTINGS)
each_with_flags = pytest.mark.parametrize("name", [name for name in SETTINGS if SETTINGS[name].flags])
each_in_files = pytest.mark.parametrize("name", [name for name in SETTINGS if SETTINGS[name].in_files])


def example_of(name: str, directory: Path) -> str:
    """A text that the setting accepts, and that is not its default."""
    if name == "config":
        (directory / "some.toml").write_text("workers = 2\n")
        return "some.toml"
    if name == "chdir":
        (directory / "site").mkdir()
        return "site"
    return SETTINGS[name].kind.example


def expected_of(name: str, text: str, directory: Path) -> object:
    return str(directory / text) if name == "chdir" else SETTINGS[name].kind.parse(text)


@each_setting
def test_can_be_set_by_its_variable(name: str, tmp_path: Path) -> None:
    text = example_of(name, tmp_path)
    settings = load([], {f"TRICORN_{name.upper()}": text}, tmp_path)
    assert getattr(settings, name) == expected_of(name, text, tmp_path)
    assert settings.origins[name] == f"environment TRICORN_{name.upper()}"


@each_with_flags
def test_can_be_set_by_each_of_its_options(name: str, tmp_path: Path) -> None:
    text = example_of(name, tmp_path)
    for flag in SETTINGS[name].flags:
        for words in ([f"{flag}={text}"], [flag, text]) if not SETTINGS[name].kind.is_switch else ([flag],):
            settings = load(words, {}, tmp_path)
            assert getattr(settings, name) == expected_of(name, text, tmp_path)
            assert settings.origins[name] == "command line"


@each_in_files
@pytest.mark.parametrize("suffix", ["py", "toml"])
def test_can_be_set_in_a_file(name: str, suffix: str, tmp_path: Path) -> None:
    text = example_of(name, tmp_path)
    (tmp_path / f"my.{suffix}").write_text(f"{name} = {json.dumps(text)}\n")
    settings = load(["-c", f"my.{suffix}"], {}, tmp_path)
    assert getattr(settings, name) == expected_of(name, text, tmp_path)
    assert settings.origins[name] == f"my.{suffix}"


@each_setting
def test_default_is_what_the_parser_makes_of_it(name: str) -> None:
    """So a default can be written down and means itself. A text that is shown as a word is no value."""
    declared = SETTINGS[name]
    if declared.default is not None:
        assert declared.kind.parse(declared.default) == declared.default


@each_setting
def test_has_words_and_a_section(name: str) -> None:
    declared = SETTINGS[name]
    assert declared.doc.endswith(".")
    assert declared.section
    assert declared.kind.words
    assert declared.kind.example or name in ("chdir", "config")


@each_with_flags
def test_switch_has_both_forms(name: str, tmp_path: Path) -> None:
    declared = SETTINGS[name]
    if not declared.kind.is_switch:
        return
    flag = declared.long_flag
    (tmp_path / "tricorn.toml").write_text(f"{name} = true\n")
    assert getattr(load([f"{flag}=no"], {}, tmp_path), name) is False
    for negative in declared.negative_flags:
        assert getattr(load([negative], {}, tmp_path), name) is False
        assert getattr(load([negative, flag], {}, tmp_path), name) is True
    assert bool(declared.negative_flags) is not flag.startswith("--no-")


def test_options_do_not_clash() -> None:
    flags = [flag for declared in SETTINGS.values() for flag in (*declared.flags, *declared.negative_flags)]
    counted = Counter([*flags, *MISSING_FLAGS, *HELP, *VERSION])
    assert [flag for flag, times in counted.items() if times > 1] == []


def test_a_setting_that_we_have_is_not_listed_as_missing() -> None:
    assert set(SETTINGS) & set(MISSING) == set()


def test_every_field_is_a_setting_but_five() -> None:
    assert set(get_type_hints(Settings)) - set(SETTINGS) == {
        "loader",
        "is_object",
        "origins",
        "warnings",
        "notes",
    }


def test_is_frozen_and_equal_by_value() -> None:
    assert Settings(workers=4) == Settings(workers=4, origins={"workers": "somewhere"})
    with pytest.raises(AttributeError, match="Settings is not changed: 'workers'"):
        Settings().workers = 5  # type: ignore[misc]  # that it is refused is the point
    with pytest.raises(TypeError):
        Settings().secure_scheme_headers["X"] = "y"  # type: ignore[index]  # the same
