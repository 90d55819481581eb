"""Tells the helpers of a Python configuration file from settings that were misspelt.

Knows: Python's syntax, what names resemble each other. Must not know: what a file or a setting is for.

A Python file is a program: it has helpers beside its settings, and Gunicorn ignores every name that it does
not know, so that `worker = 4` starts one worker. What the file uses is a helper, whatever it is called. What
it does not use and what resembles a setting was meant as one. The rest is worth a line: a setting of another
version, or a value that nothing takes.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

from tricorn.records import dataclass

#: By these a file reaches its names without writing them as names: "{host}:{port}".format(**locals()).
BY_TEXT = frozenset({"locals", "globals", "vars", "eval", "exec"})
#: What difflib calls the same: `worker` and `workers` have 0.92, `max_workers` and `workers` 0.78.
NEAR = 0.8
#: A shorter option is also an everyday word (--env, --name, --pid).
SHORTEST_FLAG = 5


@dataclass(frozen=True)
class Code:
    """The names of a file. written: it assigns them. used: it reads them. imported: others gave them."""

    written: frozenset[str] = frozenset()
    used: frozenset[str] = frozenset()
    imported: frozenset[str] = frozenset()


def code_of(tree: ast.AST) -> Code:
    written, read, imported, texts = set(), set(), set(), set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(name, ast.Load()):
                read.add(name)
            case ast.Name(name):
                written.add(name)
            case ast.alias(name, other):
                imported.add(other or name)
            case ast.Constant(str(text)):
                texts.update(re.findall(r"\w+", text))
    return Code(frozenset(written), frozenset(read | texts if read & BY_TEXT else read), frozenset(imported))


def maybe_nearest(name: str, known: Mapping[str, str]) -> str | None:
    """What `name` was meant for, by a table that `spellings` has made."""
    from difflib import get_close_matches  # in most files every name is known

    near = get_close_matches(_bare(name), known, n=1, cutoff=NEAR)
    return known[near[0]] if near else None


def spellings(settings: Mapping[str, tuple[str, ...]]) -> Mapping[str, str]:
    """From the settings with their options: what one may write → the setting that it means.

    An option's name counts too: `access_logfile` is --access-logfile, and that is `accesslog`.
    """
    flags = {
        _bare(flag): name
        for name, flags in settings.items()
        for flag in flags
        if flag.startswith("--") and len(_bare(flag)) >= SHORTEST_FLAG
    }
    return flags | {_bare(name): name for name in settings}


def _bare(name: str) -> str:
    return name.replace("-", "").replace("_", "").lower()
