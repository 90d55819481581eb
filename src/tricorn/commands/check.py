"""`tricorn check`: what another server's command line or file is for Tricorn.

Knows: what it is given, how an answer looks. Must not know: what the names of any server mean.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from tricorn import __version__
from tricorn.commands.foreign.places import (
    SERVERS,
    USUAL,
    Found,
    in_file,
    in_shell,
    in_words,
    quoted,
    usual_files,
)
from tricorn.commands.foreign.rows import Translation
from tricorn.config.commandline import HELP, VERSION
from tricorn.config.declaration import Declared
from tricorn.config.errors import BadValueError
from tricorn.config.settings import SETTINGS
from tricorn.log.escape import escape_block, escape_line
from tricorn.net.address import parse_bind

SAME = 0
DIFFERENT = 1
USAGE = 2

HELP_TEXT = """\
Usage: tricorn check [--json] [COMMAND | FILE …]

Reads how another server is started, and prints how Tricorn is started for the same: as a command line and as
a table for tricorn.toml or pyproject.toml; what is different then; and what there is not.

  tricorn check gunicorn shop.wsgi -w 4 --threads 8
  tricorn check "uvicorn main:app --host 0.0.0.0 --port 80 --workers 4"
  tricorn check Procfile Dockerfile
  tricorn check /etc/systemd/system/shop.service
  tricorn check gunicorn.conf.py
  tricorn check                      what it finds here

Servers: {servers}.
Files: a Procfile, a Dockerfile (CMD and ENTRYPOINT, both forms), a unit of systemd (ExecStart), supervisord's
(command), those of Compose and Kubernetes (entrypoint, command, args), a shell script; gunicorn.conf.py
(which is run, as Gunicorn runs it), hypercorn.toml, uwsgi.ini.
Without a word it looks for those, by their usual names.

Options:
  -j, --json    Print the answer as JSON.
  -h, --help    Show this text and exit.

Exit status: 0 all of it is there, 1 something is not (it is listed), 2 nothing was understood.

`tricorn check:app`, `tricorn ./check.py` and `tricorn -- check` serve an application of that name.
"""


def main(words: Sequence[str]) -> int:
    rest, as_json = list(words), False
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        if option in HELP:
            print(help_text(), end="")
            return SAME
        if option in VERSION:
            print(f"tricorn {__version__}")
            return SAME
        if option not in ("-j", "--json"):
            return complain(f"there is no option {option}; see tricorn check --help")
        as_json = True
    try:
        found = [each for part in sources(rest) for each in part]
    except (OSError, ValueError) as error:
        return complain(str(error))
    if not found:
        return complain(nothing_in(rest))
    answers = [Answer(each) for each in found]
    if as_json:
        print(json.dumps([answer.data() for answer in answers], indent=2))
    else:
        print("\n\n".join(escape_block(answer.text()) for answer in answers))
    return DIFFERENT if any(answer.translation.lost for answer in answers) else SAME


def help_text() -> str:
    return HELP_TEXT.format(servers=", ".join(SERVERS))


def complain(text: str) -> int:
    print(f"tricorn check: {escape_line(text)}", file=sys.stderr)
    return USAGE


def nothing_in(words: Sequence[str]) -> str:
    if not words:
        return f"there is nothing here to read; name a command or a file. Looked for {', '.join(USUAL)}"
    return f"{quoted(words)} starts no server that is known; these are: {', '.join(SERVERS)}"


def sources(words: Sequence[str]) -> Iterator[Iterator[Found]]:
    """Raises ValueError: a word is neither a file nor a command."""
    here = Path()
    if not words:
        yield from (in_file(path) for path in usual_files(here))
    elif PurePosixPath(words[0]).name in SERVERS or not Path(words[0]).exists():
        if len(words) == 1 and not re.search(r"\s", words[0]) and PurePosixPath(words[0]).name not in SERVERS:
            raise ValueError(f"there is no file {words[0]!r}, and no server is called so")
        yield in_shell(words[0], "", here) if len(words) == 1 else in_words(words, "", here)
    else:
        for word in words:
            if not Path(word).is_file():
                raise ValueError(f"{word!r} is not a file")
            yield in_file(Path(word))


class Answer:
    """What one invocation is for Tricorn."""

    def __init__(self, found: Found) -> None:
        self.found = found
        self.translation = checked(found.translated())
        #: In the order of the reference.
        self.settings = {
            name: self.translation.settings[name] for name in SETTINGS if name in self.translation.settings
        }

    def command(self) -> str:
        words = [*self.found.before, "tricorn"]
        for name, value in self.settings.items():
            words += on_command_line(SETTINGS[name], value)
        return quoted(words)

    def file(self) -> list[str]:
        return [line for name, value in self.settings.items() for line in in_toml(name, value)]

    def text(self) -> str:
        where = f"   ({self.found.where})" if self.found.where and self.found.where != str(self.found) else ""
        lines = [f"{self.found}{where}", "", *indented(["As a command line:", "", f"  {self.command()}", ""])]
        if self.settings:
            title = "In tricorn.toml; in pyproject.toml below [tool.tricorn]:"
            lines += indented([title, "", *(f"  {line}" for line in self.file()), ""])
        for title, texts in (
            ("What is different:", self.translation.remarks),
            ("What there is not:", self.translation.lost),
        ):
            if texts:
                lines += indented([title, "", *(line for text in texts for line in bullet(text)), ""])
        return "\n".join(lines).rstrip()

    def data(self) -> dict[str, Any]:
        return {
            "read": str(self.found),
            "where": self.found.where,
            "command": self.command(),
            "settings": {name: typed(name, value) for name, value in self.settings.items()},
            "different": self.translation.remarks,
            "missing": self.translation.lost,
        }


def indented(lines: Sequence[str]) -> list[str]:
    return [f"  {line}" if line else "" for line in lines]


def bullet(text: str, width: int = 96) -> Iterator[str]:
    import textwrap

    lines = textwrap.wrap(escape_line(text), width, break_long_words=False, break_on_hyphens=False)
    for place, line in enumerate(lines):
        yield f"  {'  ' if place else '- '}{line}"


# ---- values ----------------------------------------------------------------------------------------------


def checked(translation: Translation) -> Translation:
    """Without values that no setting of ours takes; what a shell expands is taken at its word."""
    for name, value in list(translation.settings.items()):
        if is_open(value):
            continue
        kind = SETTINGS[name].kind
        try:
            parsed = kind.parse(value)
            if parsed in kind.choices:
                translation.settings[name] = parsed  # our word for it
            if name == "bind":
                for each in value if isinstance(value, list | tuple) else [value]:
                    parse_bind(str(each))
        except BadValueError as error:
            del translation.settings[name]
            translation.lose(
                f"{name}: {error.message}; {error.hint}" if error.hint else f"{name}: {error.message}"
            )
        except ValueError as error:
            del translation.settings[name]
            translation.lose(f"{name}: {error}")
    return translation


def is_open(value: object) -> bool:
    """Whether a shell has to expand it."""
    return "$" in value if isinstance(value, str) else isinstance(value, list) and any(map(is_open, value))


def on_command_line(declared: Declared, value: object) -> list[str]:
    """The words; none for a setting that has no option."""
    if declared.positional:
        return [str(value)]
    if not declared.flags:
        return []
    if declared.kind.is_switch:
        if is_open(value):
            return [f"{declared.long_flag}={value}"]
        is_on = declared.kind.parse(value)
        return [declared.long_flag] if is_on else list(declared.negative_flags[:1])
    flag = declared.long_flag
    if declared.kind.split is not None:
        return [word for item in items(value) for word in (flag, item)]
    text = ",".join(items(value)) if isinstance(value, list | tuple | Mapping) else str(value)
    return [f"{flag}={text}"] if text.startswith("-") and text != "-" else [flag, text]


def items(value: object) -> list[str]:
    if isinstance(value, Mapping):
        return [f"{name}={text}" for name, text in value.items()]
    return [str(each) for each in value] if isinstance(value, list | tuple) else [str(value)]


def in_toml(name: str, value: object) -> Iterator[str]:
    if is_open(value):
        words = quoted(on_command_line(SETTINGS[name], value))
        yield f"# {name}: a file knows no variables; leave {words} on the command line"
    else:
        yield f"{name} = {toml(typed(name, value))}"


def typed(name: str, value: object) -> object:
    """With the type that the setting has, where the text is a plain one of it."""
    if isinstance(value, list | tuple):
        return [str(each) if not isinstance(each, int) else each for each in value]
    if is_open(value) or isinstance(value, bool | Mapping) or not isinstance(value, str):
        return value
    parsed = SETTINGS[name].kind.parse(value)
    if isinstance(parsed, bool):
        return parsed
    if isinstance(parsed, int | float) and re.fullmatch(r"(0|[1-9]\d*)(\.\d+)?", value):
        return float(value) if "." in value else int(value)
    return value


def toml(value: object) -> str:
    if isinstance(value, Mapping):
        return (
            "{ " + ", ".join(f"{json.dumps(str(key))} = {toml(item)}" for key, item in value.items()) + " }"
        )
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    return json.dumps(value, ensure_ascii=False)  # of these types the same in TOML (1.0, "String")
