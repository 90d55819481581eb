"""The pages that are made from the declarations: docs/settings.md, and the table of --print-config.

    python -m tricorn.config.reference docs/settings.md

writes the page (without a path: to the standard output). tests/config/test_reference.py notices a stale one.

Knows: Markdown. Must not know: where values come from.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from tricorn.config.commandline import usages
from tricorn.config.declaration import Declared
from tricorn.config.settings import SETTINGS, Settings

INTRODUCTION = """\
# Settings

<!-- Written by `python -m tricorn.config.reference docs/settings.md` from src/tricorn/config/settings.py. -->

These are all settings, with their defaults. A setting can be set in four places. If it is set in several,
the one further down this list wins:

1. the environment variables `WEB_CONCURRENCY`, `PORT`, `FORWARDED_ALLOW_IPS` and `SENDFILE`;
2. the configuration file, under the setting's name (see [Configuration](configuration.md));
3. the environment variable `TRICORN_<NAME>`, then options in `GUNICORN_CMD_ARGS` and in `TRICORN_CMD_ARGS`;
4. the command line.

Times are in seconds, and fractions are allowed. Sizes are in bytes; you can write `64k`, `10m` and `1g`. A
switch has two forms: `--preload` turns it on, `--no-preload` off. `tricorn --print-config` shows the value
of each setting and where it comes from.
"""


def page() -> str:
    lines = [INTRODUCTION]
    for section in dict.fromkeys(declared.section for declared in SETTINGS.values()):
        lines.append(f"## {section}\n")
        lines.extend(f"{entry(declared)}\n" for declared in SETTINGS.values() if declared.section == section)
    return "\n".join(lines)


def entry(declared: Declared) -> str:
    rows = [("command line", how_on_command_line(declared)), ("environment", " ".join(variables(declared)))]
    rows.append(("value", declared.kind.words))
    rows.append(("default", f"`{declared.kind.show(declared.default)}`"))
    table = "\n".join(f"| {left} | {right} |" for left, right in rows)
    return f"### {declared.name}\n\n{declared.doc}\n\n| | |\n|---|---|\n{table}"


def how_on_command_line(declared: Declared) -> str:
    if not declared.flags:
        return "the argument" if declared.positional else "(not there)"
    return " ".join(f"`{usage}`" for usage in usages(declared))


def variables(declared: Declared) -> Iterator[str]:
    yield f"`{declared.variable}`"
    if declared.env is not None:
        yield f"`{declared.env.variable}`"


def print_config(settings: Settings) -> str:
    """Name, value and origin of each setting, in columns. A value that is very long pushes its origin out."""
    rows = [
        (name, declared.kind.show(getattr(settings, name)), settings.origins.get(name, "default"))
        for name, declared in SETTINGS.items()
    ]
    first = max(len(name) for name, _, _ in rows)
    second = min(max(len(value) for _, value, _ in rows), 40)
    return "\n".join(f"{name:{first}}  {value:{second}}  {origin}" for name, value, origin in rows)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(page(), encoding="utf-8")
    else:
        sys.stdout.write(page())
