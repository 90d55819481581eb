"""Each warning and each error that Tricorn logs is in docs/troubleshooting.md, with what to do about it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from architecture.source import MODULES, ROOT

LEVELS = {"warning", "error", "exception", "critical"}
PAGE = ROOT / "docs" / "troubleshooting.md"

#: A call of a compiled module, whose text the syntax of Python does not read.
_COMPILED = re.compile(rf'\.(?:{"|".join(sorted(LEVELS))})\(\s*((?:"(?:[^"\\]|\\.)*"\s*)+)')

#: Nothing but what somebody else says: the end of a worker, an answer to a signal, a traceback.
OF_OTHERS = {"…", "…: …"}


def logged() -> set[str]:
    """The texts, with … for what is filled in."""
    found = set()
    for module in MODULES:
        texts = compiled(module.text) if module.is_compiled else written(module.text)
        found |= {re.sub(r"%[-.\d]*[sdrfg]", "…", text) for text in texts}
    return found - OF_OTHERS


def compiled(source: str) -> Iterator[str]:
    for match in _COMPILED.finditer(source):
        yield "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', match[1]))


def written(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args
        if is_call and node.func.attr in LEVELS:
            text = node.args[0]
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                yield text.value


LOGGED = sorted(logged())


def test_the_texts_are_found() -> None:
    assert len(LOGGED) > 80
    assert "Cannot accept connections: …" in LOGGED  # of a compiled module
    assert "The hook … raised" in LOGGED


@pytest.mark.parametrize("text", LOGGED)
def test_a_text_is_explained(text: str) -> None:
    assert f"`{text}`" in PAGE.read_text(), f"docs/troubleshooting.md does not say what to do about {text!r}"


def test_nothing_is_explained_that_is_not_logged() -> None:
    """A text that was changed is changed on the page too: whoever looks for it copies it from the log."""
    tables = re.findall(r"^\| the log says \|.*?(?=^$)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    named = {
        text
        for table in tables
        for cell in re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE)
        for text in re.findall(r"`([^`]+)`", cell)
    }
    assert named - set(LOGGED) - OF_THE_LOADER == set()


#: From the messages of gateway/loader.py, in short.
OF_THE_LOADER = {
    "there is no module …",
    "module … has neither 'application' nor 'app'",
    "… is not callable",
    "… is a factory",
}
