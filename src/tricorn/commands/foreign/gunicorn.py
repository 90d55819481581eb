"""Gunicorn's settings, which are ours: what differs in them, in a command line and a file.

Knows: that Tricorn reads Gunicorn's options and files itself, and where it does so. Must not know: who asks.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

from tricorn.commands.foreign.rows import Translation, is_value
from tricorn.compat import gunicorn
from tricorn.config import moving
from tricorn.config.commandline import Options, read_options, split_option
from tricorn.config.errors import ConfigError
from tricorn.config.files import Contents, is_setting, of_module, run, take
from tricorn.config.gunicorn import MISSING, MISSING_FLAGS
from tricorn.config.helpers import Code
from tricorn.config.settings import SETTINGS

FILE = "gunicorn.conf.py"
AS_IT_IS = "{}: Tricorn reads this file itself: tricorn -c {} starts with it as it is"
CALLABLE = "{}: is a function or a class; it stays in the Python file, which Tricorn reads"


def translate(words: Sequence[str], variables: Mapping[str, str], cwd: Path) -> Translation:
    to = Translation()
    above = Translation()
    for text in (shlex.split(variables.get("GUNICORN_CMD_ARGS", "")), words):
        read_words(text, above)
    location = above.settings.pop("config", None)
    if location is not None:
        read_file(str(location), cwd, to)
    elif (cwd / FILE).is_file():
        read_file(FILE, cwd, to)
    to.settings.update(above.settings)
    to.remarks += above.remarks
    to.lost += above.lost
    return finished(to)


def of_file(path: Path) -> Translation:
    to = Translation()
    read_file(path.name, path.parent, to)
    return finished(to)


def finished(to: Translation) -> Translation:
    for name, value in to.settings.items():
        said = in_effect(moving.DIFFERS.get(name, ""))
        if said and (name != "bind" or "/" in str(value)):  # of sockets with a file
            to.remark(f"{name}: {said}")
    for name, theirs in moving.DEFAULTS.items():
        if name not in to.settings:
            ours = SETTINGS[name].kind.show(SETTINGS[name].default)
            to.remark(f"{name}: is {ours} by default, in Gunicorn {theirs}")
    return to


def in_effect(said: str) -> str:
    """Without what one could write besides: that changes nothing for what is written."""
    clauses = said.split("; ")
    return "; ".join(
        clause for clause in clauses if not clause.startswith(("may also", "need not", "1 or more", "or `"))
    )


def read_words(words: Sequence[str], to: Translation) -> None:
    """What Tricorn would refuse is taken out, and told."""
    rest = list(words)
    while True:
        try:
            options = read_options(rest, "")
        except ConfigError as error:
            to.lose(told(error))
            if not without(rest, error.setting):
                return
            continue
        break
    for name, value in options.values.items():
        to.settings[name] = value
    note(options, to)


def without(words: list[str], flag: str) -> bool:
    """Take an option away, with its value. False: it is not there."""
    for place, word in enumerate(words):
        written, value = split_option(word)
        if written != flag and word != flag:
            continue
        missing = MISSING.get(MISSING_FLAGS.get(flag, ""))
        takes_value = is_value(words[place + 1 :]) if missing is None else not missing.switch
        has_value = value is None and takes_value
        del words[place : place + 1 + has_value]
        return True
    return False


def note(read: Options | Contents, to: Translation) -> None:
    for said in (*read.warnings, *read.notes):
        to.remark(said.replace(" ()", ""))
    for name, value in read.values.items():
        if said := SETTINGS[name].kind.remark(value):
            to.remark(f"{name}: {said}")


def told(error: ConfigError) -> str:
    return (
        f"{error.setting}: {error.message}; {error.hint}"
        if error.hint
        else f"{error.setting}: {error.message}"
    )


def read_file(location: str, cwd: Path, to: Translation) -> None:
    """A Python file, which is run, as Gunicorn runs it."""
    try:
        with gunicorn.installed_if_used():
            names, code = (
                of_module(location.removeprefix("python:"), "", cwd)
                if location.startswith("python:")
                else run_file(location.removeprefix("file:"), cwd)
            )
    except ConfigError as error:
        to.lose(told(error))
        return
    contents = Contents(location)
    for name, value in names.items():
        if isinstance(value, ModuleType) or not is_setting(name, value, code):
            continue
        try:
            take(contents, name, value)
        except ConfigError as error:
            to.lose(told(error))
    to.remark(AS_IT_IS.format(location, location))
    for name, value in contents.values.items():
        if is_plain(value):
            to.settings[name] = value
        else:
            to.remark(CALLABLE.format(name))
    note(contents, to)


def run_file(name: str, cwd: Path) -> tuple[Mapping[str, object], Code]:
    path = cwd / name
    try:
        source = path.read_bytes()
    except OSError as error:
        raise ConfigError("config", name, f"{name} cannot be read: {error.strerror}") from error
    return run(source, path, name, cwd)


def is_plain(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    return isinstance(value, str | int | float | bool) or (
        isinstance(value, dict) and all(map(is_plain, value.values()))
    )
