"""Reads a configuration file: finds it, runs or parses it, and returns the names that are meant as settings.

Knows: file forms, and which names of a Python file are settings. Must not know: the other sources.

Names of a Python file with an underscore in front, in capitals (constants), of one or two letters (loop
variables), modules, and values that no setting could have are the file's own business. Of the rest,
helpers.py tells a helper from a setting that was misspelt, which is an error. In a TOML file all names are
settings.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from types import ModuleType
from typing import Any

from tricorn.config.errors import ConfigError, did_you_mean
from tricorn.config.gunicorn import CALLED, HOOKS, MISSING, NOTE, OWN_HOOKS, UNSET_BY_NONE
from tricorn.config.helpers import Code, code_of, maybe_nearest, spellings
from tricorn.config.settings import SETTINGS
from tricorn.records import dataclass, field

#: What is looked for in the working directory when no file is named; the first that exists is read.
DEFAULT_FILES = ("tricorn.conf.py", "gunicorn.conf.py", "tricorn.toml", "pyproject.toml")
PYPROJECT = "pyproject.toml"
PLAIN = (bool, int, float, str, bytes, list, tuple, set, frozenset, dict, type(None))
#: Of these, no plain value is a misspelt one.
FUNCTIONS = frozenset({*HOOKS, *OWN_HOOKS})
#: What may be written in a file → the setting that it means, ours or Gunicorn's.
MEANT = spellings(
    {name: each.flags for name, each in SETTINGS.items() if each.in_files and name not in FUNCTIONS}
    | {name: missing.flags for name, missing in MISSING.items()}
)


@dataclass
class Contents:
    """What a file says. origin: how messages call the file."""

    origin: str
    values: dict[str, object] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_named(location: str, named_by: str, cwd: Path) -> Contents:
    """The file that `-c` names: PATH, file:PATH or python:MODULE."""
    if location.startswith("python:"):
        return of_python(location, *of_module(location.removeprefix("python:"), named_by, cwd))
    name = location.removeprefix("file:")
    path = cwd / name
    if not path.is_file() and not path.is_char_device():  # /dev/null: no file at all
        raise ConfigError(
            "config", named_by, f"there is no file {name!r}", "write PATH, file:PATH or python:MODULE"
        )
    contents = read_path(path, name, cwd)
    if contents is None:
        raise ConfigError(
            "config", named_by, f"{name} has no table [tool.tricorn]", "add the table, or name another file"
        )
    return contents


def maybe_read_default(cwd: Path) -> Contents | None:
    """The first default file. A pyproject.toml that does not speak of us is not ours."""
    for name in DEFAULT_FILES:
        path = cwd / name
        if path.is_file():
            contents = read_path(path, name, cwd)
            if contents is not None:
                return contents
    return None


def read_path(path: Path, name: str, cwd: Path) -> Contents | None:
    try:
        source = path.read_bytes()
    except OSError as error:
        raise ConfigError("config", name, f"cannot be read: {error.strerror}") from error
    if path.suffix != ".toml":
        return of_python(name, *run(source, path, name, cwd))
    import tomllib  # most files are programs, or are not there

    try:
        table: Any = tomllib.loads(source.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("config", name, f"is not valid TOML: {error}") from error
    if path.name == PYPROJECT:
        table = table.get("tool", {}).get("tricorn")
        if table is None:
            return None
    return of_toml(name, table)


# ------------------------------------------------------------------------------------- Python files


@contextmanager
def importable(cwd: Path) -> Iterator[None]:
    """A configuration file may import what stands beside it; the lasting entry of sys.path is made later."""
    sys.path.insert(0, str(cwd))
    try:
        yield
    finally:
        sys.path.remove(str(cwd))


def run(source: bytes, path: Path, name: str, cwd: Path) -> tuple[Mapping[str, object], Code]:
    """Runs the file anew each time: a reload must see what it says now, so nothing is cached."""
    module = ModuleType("__config__")
    module.__file__ = str(path)
    # Functions of the file may be looked up through their module later (pickle, dataclasses).
    sys.modules[module.__name__] = module
    with importable(cwd):
        try:
            tree = ast.parse(source, str(path))
            exec(compile(tree, str(path), "exec"), vars(module))
        except (Exception, SystemExit) as error:  # the file is foreign code: it may raise anything
            raise failed(error, str(path), name) from error
    return vars(module), code_of(tree)


def of_module(name: str, named_by: str, cwd: Path) -> tuple[Mapping[str, object], Code]:
    with importable(cwd):
        try:
            loaded = sys.modules.get(name)
            module = importlib.import_module(name) if loaded is None else importlib.reload(loaded)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise failed(error, error.name or name, f"python:{name}") from error
            raise ConfigError("config", named_by, f"there is no module {error.name!r}") from error
        except (Exception, SystemExit) as error:  # foreign code, as above
            raise failed(error, "", f"python:{name}") from error
    try:
        return vars(module), code_of(ast.parse(inspect.getsource(module)))
    except (OSError, TypeError):  # compiled, or without its source: nobody can tell what it uses
        return vars(module), Code()


def failed(error: BaseException, path: str, name: str) -> ConfigError:
    """The file raised. Its last line that ran is what the reader needs; the rest is in the chained error."""
    line = error.lineno if isinstance(error, SyntaxError) and error.filename == path else None
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == path:
            line = frame.lineno
    place = name if line is None else f"{name}, line {line}"
    what = error.msg if isinstance(error, SyntaxError) else str(error)
    return ConfigError("config", place, f"{type(error).__name__}: {what}" if what else type(error).__name__)


def of_python(origin: str, names: Mapping[str, object], code: Code) -> Contents:
    contents = Contents(origin)
    for name, value in names.items():
        if is_setting(name, value, code):
            take(contents, name, value)
        elif not is_private(name, value) and name not in code.used:
            judge(contents, name, code)
    return contents


def is_private(name: str, value: object) -> bool:
    """Whether a name is the file's own business at first sight."""
    return name.startswith("_") or name.isupper() or len(name) <= 2 or type(value) not in PLAIN


def is_setting(name: str, value: object, code: Code) -> bool:
    """Whether a name says what the setting of that name shall be.

    An object that was imported under the name of a setting is something else: `from decouple import config`.
    So is a function under the name of a setting that takes none: `from importlib import reload`.
    """
    is_plain = type(value) in PLAIN or isinstance(value, IntEnum)  # ssl.PROTOCOL_TLS
    if name in MISSING:
        return is_plain or name in CALLED
    if name not in SETTINGS or isinstance(value, ModuleType):
        return False
    if not SETTINGS[name].in_files:
        return is_plain and name not in code.used
    return is_plain or name in CALLED or name not in code.imported


def judge(contents: Contents, name: str, code: Code) -> None:
    """A plain value under a name that is not a setting, and that the file does not use."""
    meant = maybe_nearest(name, MEANT)
    # Not written: it came with `from x import *`, or from the environment by `locals()[name] = value`.
    if meant in SETTINGS and name in code.written:
        raise ConfigError(
            name,
            contents.origin,
            "there is no such setting",
            f"did you mean {meant}? If it is a helper, call it _{name}",
        )
    if meant is not None:
        contents.warnings.append(f"{name} is not a setting ({contents.origin}); did you mean {meant}?")
    elif name in code.written:
        contents.warnings.append(f"{name} is not a setting, and the file does not use it ({contents.origin})")


def of_toml(origin: str, table: object) -> Contents:
    contents = Contents(origin)
    if not isinstance(table, dict):
        raise ConfigError("config", origin, "tool.tricorn is not a table", "write [tool.tricorn]")
    for name, value in table.items():
        if name not in SETTINGS and name not in MISSING:
            raise ConfigError(name, origin, "there is no such setting", did_you_mean(name, SETTINGS))
        take(contents, name, value)
    return contents


def take(contents: Contents, name: str, value: object) -> None:
    """Puts one named value where it belongs."""
    missing = MISSING.get(name)
    if missing is None:
        if not SETTINGS[name].in_files:
            raise ConfigError(
                name,
                contents.origin,
                "cannot be set in a file",
                f"write {SETTINGS[name].long_flag} or {SETTINGS[name].variable}",
            )
        # None is Gunicorn's default for some switches, sendfile among them, whatever that then means.
        if value is not None or not (SETTINGS[name].kind.is_switch or name in UNSET_BY_NONE):
            contents.values[name] = value
    elif not missing.is_harmless(value):
        said = contents.notes if missing.verdict == NOTE else contents.warnings
        said.append(missing.remark(name, contents.origin))
