"""Compiled code leaves no except clause half-way, and has no context managers.

Where no memory is left for a traceback there is none. What Cython makes of the end of an except clause knows
that; what it makes of a `return`, `break` or `continue` in one does not, nor what it makes of `with`: it
takes a reference of NULL, and the process dies of what it was about to deal with. So what has happened is
kept in a variable, and acted upon behind the clause.

Knows: the sources, their indentation. Must not know: what is handled.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from architecture.source import MODULES, Module

SOURCES = [module for module in MODULES if module.path.suffix == ".pyx"]

_EXCEPT = re.compile(r"( +)except\b.*:$")
_WAY_OUT = re.compile(r"(return|break|continue)\b")
_WITH = re.compile(r" *with (?!nogil\b|gil\b)")


def ways_out(code: str) -> Iterator[str]:
    """Lines that leave an except clause, and those that begin a context."""
    indent = None  # of the clause that we are in
    for line in code.splitlines():
        text = line.strip()
        if not text:
            continue
        if indent is not None and len(line) - len(line.lstrip()) <= indent:
            indent = None
        if indent is None and (clause := _EXCEPT.match(line.rstrip())):
            indent = len(clause[1])
        elif (indent is not None and _WAY_OUT.match(text)) or _WITH.match(line):
            yield text


@pytest.mark.parametrize("module", SOURCES, ids=lambda module: module.name)
def test_a_handler_runs_to_its_end(module: Module) -> None:
    assert list(ways_out(module.code)) == []


def test_the_rule_sees_what_it_is_about() -> None:
    code = """
    try:
        return 1
    except ValueError:
        if x:
            return 2
        y = 3
    except OSError as error:
        break
    with suppress(OSError):
        with nogil:
            return 4
    """
    assert list(ways_out(code)) == ["return 2", "break", "with suppress(OSError):"]
