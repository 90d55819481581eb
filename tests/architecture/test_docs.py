"""The pages say what is true: settings, options, files and links that they name exist."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from architecture.source import ROOT

from tricorn.commands import ctl
from tricorn.config.settings import SETTINGS

PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        ROOT / "examples/README.md",
        *(ROOT / "docs").glob("*.md"),
        ROOT / "bench/README.md",
        ROOT / "tests/conformance/README.md",
    ]
)

#: Written by a command that takes half an hour (`make bench`), so a checkout may be without them.
GENERATED = {ROOT / "docs" / "benchmarks.md"}

FLAGS = {flag for declared in SETTINGS.values() for flag in declared.flags} | {"--help", "--version"}
#: Of `tricorn ctl`.
CTL = {*ctl.VALUES, *ctl.SWITCHES}
NEGATIVE = {f"--no-{flag.removeprefix('--')}" for flag in FLAGS}

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^\s*(?:\$ )?(?:\w+=\S+ )*(?:\S*/)?tricorn\s.*$", re.MULTILINE)


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


every_page = pytest.mark.parametrize("page", PAGES, ids=named)


def commands(text: str) -> Iterator[str]:
    """Command lines of `tricorn`, with their continuations; also those in the text, between backquotes."""
    joined = text.replace("\\\n", " ")
    yield from (match[0] for match in _COMMAND.finditer(joined))
    yield from re.findall(r"`(tricorn [^`]*)`", joined)
    yield from re.findall(r"ExecStart=(.*)", joined)


def test_every_setting_is_in_the_reference() -> None:
    reference = (ROOT / "docs/settings.md").read_text()
    headings = re.findall(r"^### (\w+)$", reference, re.MULTILINE)
    assert sorted(headings) == sorted(SETTINGS)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_is_explained(name: str) -> None:
    declared = SETTINGS[name]
    assert declared.doc.endswith(".")
    assert len(declared.doc) > 30


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    text = _FENCE.sub("", page.read_text())
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if not re.match(r"https?:|mailto:", target):
            file = (page.parent / target).resolve()
            assert file.exists() or file in GENERATED, target


@every_page
def test_options_exist(page: Path) -> None:
    for command in commands(page.read_text()):
        words = re.split(r"\s#\s|[;|]", command)[0]
        if "tricorn check" in words:
            continue  # the options are of other servers
        known = CTL if "tricorn ctl" in words else FLAGS | NEGATIVE | {"--json"}
        for option in re.findall(r"(?<![\w-])(--?[a-zA-Z][\w-]*)", re.sub(r"\S*gunicorn.*", "", words)):
            assert option in known, f"{option} in {command.strip()!r}"


@every_page
def test_settings_in_examples_exist(page: Path) -> None:
    for language, block in _FENCE.findall(page.read_text()):
        if language == "toml":
            table = tomllib.loads(block)
            table = table.get("tool", {}).get("tricorn", table) if "tool" in table else table
            assert not set(table) - set(SETTINGS), named(page)


@every_page
def test_variables_exist(page: Path) -> None:
    known = {f"TRICORN_{name.upper()}" for name in SETTINGS} | {"TRICORN_CMD_ARGS"}
    ours = {"TRICORN_TEST_COMMAND", "TRICORN_TEST_WIRE", "TRICORN_SANITIZE", "TRICORN_ANNOTATE"}
    assert not set(re.findall(r"\bTRICORN_[A-Z_]+[A-Z]\b", page.read_text())) - known - ours


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs/index.md").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        if page.name != "index.md":
            assert f"]({page.name})" in index, page.name
