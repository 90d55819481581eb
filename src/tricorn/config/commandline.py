"""Reads options, and writes --help. Both are made from the declarations of the settings.

Knows: how options look. Must not know: what the values mean (parsers.py), other sources.

Not argparse: it accepts abbreviations that change their meaning with the next release, its messages cannot
name the nearest option, and `--proxy-protocol app:app` would swallow the application as the option's value.
Gunicorn uses it, so command lines that are older than we are may have abbreviations. Those of Gunicorn's own
options are understood, with a warning.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

from tricorn import __version__
from tricorn.config.declaration import Declared
from tricorn.config.errors import ConfigError, did_you_mean
from tricorn.config.gunicorn import MISSING, MISSING_FLAGS, NAMES, NOTE
from tricorn.config.settings import SETTINGS
from tricorn.records import dataclass, field

HELP = ("-h", "--help")
VERSION = ("-v", "--version")
WIDTH = 100
COLUMN = 34
NEGATIVE_NUMBER = re.compile(r"-[0-9.]+")

FLAGS = {flag: declared for declared in SETTINGS.values() for flag in declared.flags}
NEGATIVES = {flag: declared for declared in SETTINGS.values() for flag in declared.negative_flags}
#: The options of Gunicorn. Ours alone cannot have been abbreviated by anybody.
GUNICORNS = sorted({*MISSING_FLAGS, *(flag for flag in FLAGS if FLAGS[flag].name in NAMES)})
APPLICATION = next(declared for declared in SETTINGS.values() if declared.positional)


@dataclass
class Options:
    """What was written: a text for each setting, a list of texts for one that may be repeated."""

    origin: str
    values: dict[str, object] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_options(
    words: Sequence[str], origin: str, positional: Callable[[Options, str], None] | None = None
) -> Options:
    """positional: takes what is no option, if that need not be one application."""
    take_word = positional or read_application
    options = Options(origin)
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            for application in rest:
                take_word(options, application)
            break
        if not is_option(word):
            take_word(options, word)
            continue
        written, value = split_option(word)
        flag = maybe_whole_flag(written) or written
        if flag != written:
            options.warnings.append(f"{written} is read as {flag} ({origin}); write it in full")
        if flag in FLAGS:
            read_flag(options, FLAGS[flag], flag, value, rest)
        elif flag in NEGATIVES:
            read_negative(options, NEGATIVES[flag], flag, value)
        elif flag in MISSING_FLAGS:
            read_missing(options, flag, value, rest)
        else:
            raise ConfigError(
                flag, origin, "there is no such option", nearest_flag(flag) or "see tricorn --help"
            )
    return options


def is_option(word: str) -> bool:
    """`-` alone is a value: the standard output."""
    return word.startswith("-") and word != "-"


def split_option(word: str) -> tuple[str, str | None]:
    """`--workers=4` and `-w4` carry their value with them."""
    if word.startswith("--"):
        flag, equals, value = word.partition("=")
        return flag, value if equals else None
    return word[:2], word[2:].removeprefix("=") or None


def maybe_whole_flag(flag: str) -> str | None:
    """The one option of Gunicorn's that `flag` is the beginning of."""
    is_known = flag in FLAGS or flag in NEGATIVES or flag in MISSING_FLAGS
    if is_known or not flag.startswith("--") or len(flag) < 4:
        return None
    whole = [each for each in GUNICORNS if each.startswith(flag)]
    return whole[0] if len(whole) == 1 else None


def read_application(options: Options, word: str) -> None:
    if APPLICATION.name in options.values:
        first = options.values[APPLICATION.name]
        raise ConfigError(
            word, options.origin, f"is a second application, after {first!r}", "only one can be given"
        )
    options.values[APPLICATION.name] = word


def read_flag(options: Options, declared: Declared, flag: str, value: str | None, rest: list[str]) -> None:
    kind = declared.kind
    if kind.is_switch:
        options.values[declared.name] = value if value is not None else "true"
    elif kind.split is not None:
        items = options.values.setdefault(declared.name, [])
        assert isinstance(items, list)
        items.append(needed_value(options, flag, value, rest))
    elif kind.bare is not None and value is None and not (rest and rest[0] in kind.choices):
        options.values[declared.name] = kind.bare
    else:
        options.values[declared.name] = needed_value(options, flag, value, rest)


def needed_value(options: Options, flag: str, value: str | None, rest: list[str]) -> str:
    if value is not None:
        return value
    if not rest or (is_option(rest[0]) and not NEGATIVE_NUMBER.fullmatch(rest[0])):
        raise ConfigError(
            flag, options.origin, "needs a value", f"write {flag}=VALUE if the value begins with '-'"
        )
    return rest.pop(0)


def read_negative(options: Options, declared: Declared, flag: str, value: str | None) -> None:
    if value is not None:
        raise ConfigError(
            flag, options.origin, "does not take a value", f"write {flag} or {declared.long_flag}={value}"
        )
    options.values[declared.name] = "false"


def read_missing(options: Options, flag: str, value: str | None, rest: list[str]) -> None:
    """An option of Gunicorn's that we lack. Its value goes with it: it must not become the application."""
    missing = MISSING[MISSING_FLAGS[flag]]
    if not missing.switch:
        value = needed_value(options, flag, value, rest)
        if missing.is_harmless(value):
            return
    elif missing.is_harmless("true"):
        return
    said = options.notes if missing.verdict == NOTE else options.warnings
    said.append(missing.remark(flag, options.origin))


def nearest_flag(flag: str) -> str:
    """The nearest option. Who writes a setting's own name (--accesslog) gets the option it is set with."""
    name = flag.lstrip("-").replace("-", "_")
    if name in SETTINGS and SETTINGS[name].flags:
        return f"did you mean {SETTINGS[name].long_flag}?"
    return did_you_mean(flag, [*FLAGS, *NEGATIVES, *HELP, *VERSION])


# -------------------------------------------------------------------------------------- --help


def maybe_words(
    arguments: Sequence[str],
    commands: Mapping[str, str] = MappingProxyType({}),
    about_build: Callable[[], str] | None = None,
) -> str | None:
    """The text of --help or --version if one of them is asked for. commands: what `tricorn WORD` may be
    besides, in words. about_build: what else there is to say of the version."""
    for word in arguments:
        if word == "--":
            break
        if word in HELP:
            return help_text(commands=commands)
        if word in VERSION:
            said = about_build() if about_build is not None else ""
            return f"tricorn {__version__}" + (f"\n{said}" if said else "")
    return None


def help_text(
    usage: str = "tricorn [options] APP", commands: Mapping[str, str] = MappingProxyType({})
) -> str:
    lines = [
        f"Usage: {usage}",
        "",
        "Serves the WSGI or ASGI application APP, written as module:attribute, module:factory(arguments)",
        "or path/to/file.py:attribute.",
        "",
        "Each setting can also be set in a file (see -c) and by the environment variable TRICORN_<SETTING>;",
        "--print-config shows the settings' names, their values, and where each value comes from.",
    ]
    for place, (name, summary) in enumerate(commands.items()):
        lines += ["", "Commands:"] if not place else []
        lines += two_columns(f"tricorn {name} …", f"{summary} See tricorn {name} --help.")
    for section in dict.fromkeys(declared.section for declared in SETTINGS.values()):
        entries = [
            declared for declared in SETTINGS.values() if declared.section == section and declared.flags
        ]
        if entries:
            lines += ["", f"{section}:", *(line for entry in entries for line in help_entry(entry))]
    lines += ["", "Help:"]
    lines += two_columns("-h, --help", "Show this text and exit.")
    lines += two_columns("-v, --version", "Show the version and exit.")
    return "\n".join(lines)


def help_entry(declared: Declared) -> Iterator[str]:
    default = declared.kind.show(declared.default)
    choices = f" One of {', '.join(declared.kind.choices)}." if declared.kind.choices else ""
    yield from two_columns(
        ", ".join(usages(declared)), f"{declared.summary}{choices} [{default}]".replace("`", "")
    )


def usages(declared: Declared) -> Iterator[str]:
    """The option as one writes it: `-w, --workers N`, `--[no-]preload`."""
    if declared.kind.is_switch:
        has_both = bool(declared.negative_flags)
        for flag in declared.flags:
            yield f"--[no-]{flag.removeprefix('--')}" if has_both and flag.startswith("--") else flag
        return
    *others, last = declared.flags
    yield from others
    yield f"{last} [{declared.kind.metavar}]" if declared.kind.bare else f"{last} {declared.kind.metavar}"


def two_columns(left: str, right: str) -> Iterator[str]:
    left = f"  {left}"
    body = textwrap.wrap(right, WIDTH - COLUMN)
    if len(left) >= COLUMN:
        yield left
        left = ""
    for line in body:
        yield f"{left:{COLUMN}}{line}"
        left = ""
