"""The settings logconfig_dict, logconfig_json and logconfig: read, merged and carried out as Gunicorn does.

Knows: the three forms, Gunicorn's defaults, what `logging.config` raises. Must not know: what is logged.

One of them counts: logconfig_dict goes before logconfig_json, and that before logconfig. What such a dict
does not name at its top level is taken from `defaults`. A mistake is a ConfigError that names the file and
the line or key.
"""

from __future__ import annotations

import configparser
import json
import logging
import logging.config
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from tricorn.config.errors import ConfigError
from tricorn.log.error import ACCESS_LOGGER, ERROR_LOGGER

#: Gunicorn's names of the two logs, by ours.
GUNICORN = {ERROR_LOGGER: "gunicorn.error", ACCESS_LOGGER: "gunicorn.access"}


class ConfigSettings(Protocol):
    """The part of `Settings` that says how logging is configured."""

    @property
    def chdir(self) -> str: ...
    @property
    def logconfig(self) -> str | None: ...
    @property
    def logconfig_json(self) -> str | None: ...
    @property
    def logconfig_dict(self) -> Mapping[str, Any]: ...
    @property
    def origins(self) -> Mapping[str, str]: ...


def defaults() -> dict[str, Any]:
    """What Gunicorn starts from. Only whole entries of the top level are replaced."""
    form = "%(asctime)s [%(process)d] [%(levelname)s] %(message)s"
    stream = "logging.StreamHandler"
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "root": {"level": "INFO", "handlers": ["console"]},
        "loggers": {
            "gunicorn.error": {"level": "INFO", "handlers": ["error_console"], "propagate": True},
            "gunicorn.access": {"level": "INFO", "handlers": ["console"], "propagate": True},
        },
        "handlers": {
            "console": {"class": stream, "formatter": "generic", "stream": "ext://sys.stdout"},
            "error_console": {"class": stream, "formatter": "generic", "stream": "ext://sys.stderr"},
        },
        "formatters": {
            "generic": {"format": form, "datefmt": "[%Y-%m-%d %H:%M:%S %z]", "class": "logging.Formatter"}
        },
    }


def source(settings: ConfigSettings) -> str | None:
    """The setting that counts; None: none is set."""
    for name in ("logconfig_dict", "logconfig_json", "logconfig"):
        if getattr(settings, name):
            return name
    return None


def apply(settings: ConfigSettings) -> None:
    """Configure `logging` by the setting that counts, if one is set. ConfigError."""
    match source(settings):
        case "logconfig_dict":
            _apply_dict(settings, "logconfig_dict", settings.logconfig_dict, "")
        case "logconfig_json":
            path = _path(settings, "logconfig_json")
            _apply_dict(settings, "logconfig_json", _read_json(settings, path), f"{path}: ")
        case "logconfig":
            _apply_file(settings, _path(settings, "logconfig"))


def _apply_dict(settings: ConfigSettings, name: str, written: Mapping[str, Any], place: str) -> None:
    config = {**defaults(), **written}
    try:
        logging.config.dictConfig(config)
    except Exception as error:  # it makes objects of classes that the dict names, which may raise anything
        raise _wrong(settings, name, place + _said(error)) from error
    loggers = config.get("loggers")
    _call_as_written(loggers.keys() if isinstance(loggers, Mapping) else ())


def _said(error: BaseException) -> str:
    """With its reasons: dictConfig itself only says which handler or formatter it was."""
    said: list[str] = []
    link: BaseException | None = error
    while link is not None and len(said) < 4:
        text = str(link) or type(link).__name__
        said.append(f"{type(link).__name__}: {text}" if isinstance(link, KeyError | TypeError) else text)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return ": ".join(said)


def _read_json(settings: ConfigSettings, path: str) -> Mapping[str, Any]:
    text = _read(settings, "logconfig_json", path)
    try:
        found = json.loads(text)
    except ValueError as error:
        raise _wrong(settings, "logconfig_json", f"{path} is not valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise _wrong(settings, "logconfig_json", f"{path} has no JSON object at its top")
    return found


def _apply_file(settings: ConfigSettings, path: str) -> None:
    """As Gunicorn: the file may use %(here)s, its directory, and %(__file__)s, its path."""
    text = _read(settings, "logconfig", path)
    parser = configparser.ConfigParser({"__file__": path, "here": os.path.dirname(path)})
    try:
        parser.read_string(text, source=path)
        logging.config.fileConfig(parser, disable_existing_loggers=False)
    except configparser.Error as error:  # names file, line and section itself
        raise _wrong(settings, "logconfig", " ".join(f"{path}: {error.message}".split())) from error
    except KeyError as error:
        raise _wrong(settings, "logconfig", f"{path}: there is no section or key {error}") from error
    except Exception as error:  # as in _apply_dict
        raise _wrong(settings, "logconfig", f"{path}: {_said(error)}") from error
    named = parser["loggers"]["keys"].split(",")
    sections = (f"logger_{name.strip()}" for name in named)
    _call_as_written([parser[each].get("qualname", "") for each in sections if parser.has_section(each)])


def _call_as_written(names: Any) -> None:
    """Records are called as the configuration calls the logger: filters and formatters may compare it."""
    for ours, theirs in GUNICORN.items():
        logging.getLogger(ours).name = theirs if theirs in names else ours


def call_as_gunicorn() -> None:
    """A class that was written for Gunicorn may have filters that compare names, too."""
    _call_as_written(tuple(GUNICORN.values()))


def _path(settings: ConfigSettings, name: str) -> str:
    return os.path.abspath(os.path.join(settings.chdir, getattr(settings, name)))


def _read(settings: ConfigSettings, name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise _wrong(settings, name, f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _wrong(settings, name, f"{path} is not UTF-8") from error


def _wrong(settings: ConfigSettings, name: str, said: str) -> ConfigError:
    hint = "the form is that of Python's logging.config; docs/logging.md has examples"
    return ConfigError(name, settings.origins.get(name, ""), said, hint)
