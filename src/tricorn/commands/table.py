"""What `tricorn WORD` can be besides the name of an application.

Knows: the words, and where each is done. Must not know: what they do; nothing is imported before its word is
said, so a server starts as fast as without them.

An application is a name with a colon or a dot in it, or a single word; so a module that is called like a
command is written `ctl:app`, `./ctl.py`, or behind `--`. Only the first word of a command line is a command.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module

#: Gets the words behind its own; gives the exit status.
Run = Callable[[Sequence[str]], int]


@dataclass(frozen=True)
class Command:
    """module: has a function `main`. summary: for --help."""

    module: str
    summary: str


COMMANDS: Mapping[str, Command] = {
    "ctl": Command("tricorn.commands.ctl", "Control a running server: status, reload, scale, replace, stop."),
}


def maybe_command(words: Sequence[str]) -> Run | None:
    """What the first of these words stands for; None: it is no command."""
    command = COMMANDS.get(words[0]) if words else None
    if command is None:
        return None
    run: Run = import_module(command.module).main
    return run


def summaries() -> Mapping[str, str]:
    return {name: command.summary for name, command in COMMANDS.items()}
