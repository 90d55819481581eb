"""The generated pages: docs/settings.md is up to date, --print-config shows what is in force."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tricorn.config.reference import page, print_config
from tricorn.config.settings import SETTINGS
from tricorn.config.sources import load

DOCS = Path(__file__).parents[2] / "docs"


def test_reference_page_is_up_to_date() -> None:
    stale = "run: python -m tricorn.config.reference docs/settings.md"
    assert (DOCS / "settings.md").read_text(encoding="utf-8") == page(), stale


def test_reference_page_has_every_setting() -> None:
    headings = re.findall(r"^### (\w+)$", page(), re.MULTILINE)
    assert sorted(headings) == sorted(SETTINGS)


@pytest.mark.parametrize("language", ["toml", "python"])
def test_examples_of_the_how_to_work(language: str, tmp_path: Path) -> None:
    text = (DOCS / "configuration.md").read_text(encoding="utf-8")
    examples = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert examples
    for example in examples:
        is_pyproject = language == "toml" and "tool" in tomllib.loads(example)
        name = "pyproject.toml" if is_pyproject else f"my.{'py' if language == 'python' else 'toml'}"
        (tmp_path / name).write_text(example)
        assert name in load(["-c", name], {}, tmp_path).origins.values()


def test_print_config_shows_name_value_and_origin_in_columns(tmp_path: Path) -> None:
    (tmp_path / "tricorn.toml").write_text("threads = 8\numask = 0o027\n")
    shown = print_config(load(["-w", "4"], {"PORT": "80"}, tmp_path))
    rows = {line.split()[0]: re.split(r"  +", line)[1:] for line in shown.splitlines()}
    assert list(rows) == list(SETTINGS)
    assert rows["workers"] == ["4", "command line"]
    assert rows["bind"] == ["0.0.0.0:80", "environment PORT"]
    assert rows["threads"] == ["8", "tricorn.toml"]
    assert rows["umask"] == ["0027", "tricorn.toml"]
    assert rows["accesslog"] == ["(not set)", "default"]
    short = [line for line in shown.splitlines() if len(line) < 90]
    assert len({line.index("default") for line in short if line.endswith("default")}) == 1
