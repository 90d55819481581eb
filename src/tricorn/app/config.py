"""`self.cfg`: the settings of a program under Gunicorn's interface.

Knows: Gunicorn's names for what can be asked and done. Must not know: what the settings are used for.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

from tricorn.config.commandline import HELP, VERSION, Options, help_text, maybe_words, read_options
from tricorn.config.errors import did_you_mean
from tricorn.config.gunicorn import MISSING
from tricorn.config.program import NAMES, ProgramSettings, UnknownSettingError
from tricorn.config.settings import SETTINGS
from tricorn.config.sources import COMMAND_LINE
from tricorn.kinds import AUTO
from tricorn.net.address import FdAddress, TcpAddress, UnixAddress, parse_bind
from tricorn.records import dataclass

EXIT_CONFIG = 2


def place_in(frame: Any) -> str:
    """Where in a program a setting was given, as messages say it."""
    return f"{os.path.basename(frame.f_code.co_filename)}, line {frame.f_lineno}"


@dataclass(frozen=True)
class Entry:
    """One setting as `cfg.settings` and `make_settings()` give it."""

    name: str
    default: Any
    section: str
    desc: str
    cli: tuple[str, ...]
    action: str
    const: Any = None
    meta: str | None = None
    nargs: Any = None
    type: Callable[[str], Any] | None = None
    _values: ProgramSettings | None = None

    @property
    def short(self) -> str:
        return self.desc.split(". ")[0]

    @property
    def value(self) -> Any:
        return self.get()

    def get(self) -> Any:
        return self.default if self._values is None else self._values.get(self.name)

    def set(self, value: object) -> None:
        if self._values is not None:
            self._values.set(self.name, value, place_in(sys._getframe(1)))


def entry(name: str, values: ProgramSettings | None = None) -> Entry:
    declared = SETTINGS.get(name)
    if declared is None:
        missing = MISSING[name]
        action = "store_true" if missing.switch else "store"
        return Entry(name, None, "", missing.says, missing.flags, action, _values=values)
    kind = declared.kind
    action = "store_true" if kind.is_switch else "append" if kind.split is not None else "store"
    return Entry(
        name,
        declared.default,
        declared.section,
        declared.doc,
        declared.flags,
        action,
        const=kind.bare,
        meta=kind.metavar or None,
        nargs="?" if kind.bare else None,
        _values=values,
    )


class Entries(Mapping[str, Entry]):
    """All settings by name; those of Gunicorn's that there is only a word for, too."""

    def __init__(self, values: ProgramSettings | None = None) -> None:
        self._values = values

    def __getitem__(self, name: str) -> Entry:
        if name not in NAMES:
            raise KeyError(name)
        return entry(name, self._values)

    def __iter__(self) -> Iterator[str]:
        return iter(NAMES)

    def __len__(self) -> int:
        return len(NAMES)


class Parser:
    """The command line, as far as `init()` of an Application is given it. Options are read by the server, so
    it is no argparse, and nothing can be added to it."""

    def __init__(self, prog: str, usage: str) -> None:
        self.prog = prog
        self.usage = usage

    def parse_args(self, arguments: Sequence[str] | None = None) -> SimpleNamespace:
        """A name for each setting, None if it was not written, and `args`: what is no option."""
        words = sys.argv[1:] if arguments is None else list(arguments)
        options, args = self.read(words, COMMAND_LINE)
        return SimpleNamespace(**{name: options.values.get(name) for name in NAMES}, args=args)

    def read(self, words: Sequence[str], origin: str) -> tuple[Options, list[str]]:
        args: list[str] = []
        options = read_options(words, origin, lambda _, word: args.append(word))
        return options, args

    def format_usage(self) -> str:
        return f"Usage: {self.usage}\n"

    def format_help(self) -> str:
        return f"{help_text(self.usage)}\n"

    def print_usage(self, file: Any = None) -> None:
        print(self.format_usage(), end="", file=file)

    def print_help(self, file: Any = None) -> None:
        print(self.format_help(), end="", file=file)

    def exit_if_asked_for_words(self, words: Sequence[str]) -> None:
        said = maybe_words(words)
        if said is not None:
            asks_for_help = not any(word in VERSION for word in words) or any(word in HELP for word in words)
            print(self.format_help().rstrip() if asks_for_help else said)
            sys.exit(0)

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        print(f"{self.prog}: error: {message}", file=sys.stderr)
        sys.exit(EXIT_CONFIG)


class Config:
    """The settings that a program makes. A value that is wrong raises ConfigError where it is set.

    A setting is read as an attribute: `cfg.workers` is what is set so far, or the default.
    """

    def __init__(
        self,
        usage: str | None = None,
        prog: str | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        values = ProgramSettings(os.environ if environ is None else environ, cwd or Path.cwd())
        values.add_environment()
        self.__dict__.update(
            usage=usage,
            prog=prog or os.path.basename(sys.argv[0]),
            values=values,
            settings=Entries(values),
        )

    values: ProgramSettings
    settings: Entries
    usage: str | None
    prog: str

    def set(self, name: str, value: object) -> None:
        self.values.set(name, value, place_in(sys._getframe(1)))

    def parser(self) -> Parser:
        usage = (self.usage or "%(prog)s [options] APP").replace("%(prog)s", self.prog)
        return Parser(self.prog, usage)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "values" not in self.__dict__:
            raise AttributeError(name)
        try:
            return self.values.get(name)
        except KeyError:
            raise UnknownSettingError(
                name, "", "there is no such setting", did_you_mean(name, NAMES)
            ) from None

    def __setattr__(self, name: str, value: object) -> None:
        if name in NAMES:
            raise AttributeError(f"a setting cannot be assigned to; write cfg.set({name!r}, …)")
        super().__setattr__(name, value)

    def get_cmd_args_from_env(self) -> list[str]:
        return shlex.split(self.values.environ.get("GUNICORN_CMD_ARGS", ""))

    # ---- what follows from several settings, under Gunicorn's names

    @property
    def worker_class_str(self) -> str:
        word: str = self.values.get("worker_class")
        return ("gthread" if self.values.get("threads") > 1 else "sync") if word == AUTO else word

    @property
    def address(self) -> list[Any]:
        """(host, port), a path, or a descriptor, for each `bind`."""
        return [plain_address(bind) for bind in self.values.get("bind")]

    @property
    def uid(self) -> int:
        user = self.values.get("user")
        return os.geteuid() if user is None else int(user)

    @property
    def gid(self) -> int:
        group = self.values.get("group")
        return os.getegid() if group is None else int(group)

    @property
    def env(self) -> dict[str, str]:
        return dict(each.partition("=")[::2] for each in self.values.get("raw_env"))

    @property
    def is_ssl(self) -> bool:
        return self.values.get("certfile") is not None or bool(self.values.get("certificates"))


def plain_address(bind: str) -> tuple[str, int] | str | int:
    """Raises ValueError."""
    match parse_bind(bind).address:
        case TcpAddress(host, port):
            return (host, port)
        case UnixAddress(path):
            return path
        case FdAddress(fd):
            return fd
