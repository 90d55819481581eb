"""What `tricorn WORD` can be besides the name of an application.

Knows: the words, and where each is done. Must not know: what they do; nothing is imported before its word is
said, so a server starts as fast as without them.

An application is a name with a colon or a dot in it, or a single word; so a module that is called like a
command is written `ctl:app`, `./ctl.py`, or behind `--`. Only the first word of a command line is a command.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from tricorn.records import dataclass

if TYPE_CHECKING:
    from pathlib import Path

    from tricorn.config.settings import Settings

#: Gets the words behind its own; gives the exit status.
Run = Callable[[Sequence[str]], int]


@dataclass(frozen=True)
class Service:
    """A command that serves, with settings that it reads in its own way.

    maybe_words: from the words behind its own, the text of --help if that is asked for.
    read: from these words, an environment and a directory, the settings. Raises ConfigError.
    """

    maybe_words: Callable[[Sequence[str]], str | None]
    read: Callable[[Sequence[str], Mapping[str, str], Path], Settings]


@dataclass(frozen=True)
class Command:
    """module: has a function `main`; or, if it serves, a Service of the name SERVICE. summary: for --help."""

    module: str
    summary: str
    serves: bool = False


COMMANDS: Mapping[str, Command] = {
    "check": Command(
        "tricorn.commands.check",
        "Translate a configuration of Gunicorn, Uvicorn, Granian, Hypercorn or uWSGI.",
    ),
    "ctl": Command("tricorn.commands.ctl", "Control a running server: status, reload, scale, replace, stop."),
    "metrics": Command("tricorn.commands.metrics", "Print what a running server counts, for Prometheus."),
    "top": Command(
        "tricorn.commands.top.command", "Watch a running server: workers, what each request does, latencies."
    ),
    "dev": Command("tricorn.commands.dev", "Serve an application while you write it.", serves=True),
    "doctor": Command(
        "tricorn.commands.doctor", "Say what this machine offers to a configuration, and lacks."
    ),
}


def maybe_command(words: Sequence[str]) -> Run | None:
    """What the first of these words stands for; None: it is no command, or one that serves."""
    command = _of(words)
    if command is None or command.serves:
        return None
    run: Run = import_module(command.module).main
    return run


def maybe_service(words: Sequence[str]) -> Service | None:
    """The command that serves, if the first of these words is one."""
    command = _of(words)
    if command is None or not command.serves:
        return None
    service: Service = import_module(command.module).SERVICE
    return service


def _of(words: Sequence[str]) -> Command | None:
    return COMMANDS.get(words[0]) if words else None


def summaries() -> Mapping[str, str]:
    return {name: command.summary for name, command in COMMANDS.items()}
