"""The two logs of a process: opened from the settings, reopened on USR1.

Knows: the settings of `LogSettings`, ConfigError, which file is for what.
Must not know: who logs what, signals (the caller handles USR1), HTTP; how records are made (error.py,
access.pyx) and how files reach the workers (files.py).

`-` is the standard error for all levels: scripts written for Gunicorn and `2>` expect it there. A platform
that calls every such line an error can read the level in the line, or have a file (docs/logging.md).
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol, TextIO

from tricorn.config.errors import ConfigError
from tricorn.log.access import AccessLog
from tricorn.log.error import ERROR_LOGGER, take_over
from tricorn.log.files import Files

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
#: The setting of each log → what `-` means there: the descriptor, and its name.
STANDARD = {"accesslog": (1, "standard output"), "errorlog": (2, "standard error")}


class LogSettings(Protocol):
    """The part of `Settings` that this room reads."""

    @property
    def chdir(self) -> str: ...
    @property
    def errorlog(self) -> str: ...
    @property
    def loglevel(self) -> str: ...
    @property
    def accesslog(self) -> str | None: ...
    @property
    def access_log_format(self) -> str: ...
    @property
    def origins(self) -> Mapping[str, str]: ...


@dataclass
class _Process:
    """What this process has open."""

    files: Files = field(default_factory=Files)
    error_fd: int = 2
    access_log: AccessLog | None = None


_process = _Process()


def configure(settings: LogSettings) -> None:
    """Set up the error log, or set it up anew, and open the access log's file for the workers.

    ConfigError if a file cannot be opened.
    """
    level = LEVELS.get(settings.loglevel.lower())
    if level is None:
        origin = settings.origins.get("loglevel", "")
        raise ConfigError(
            "loglevel",
            origin,
            f"there is no level {settings.loglevel!r}",
            "write one of " + ", ".join(LEVELS),
        )
    written = {"errorlog": settings.errorlog, "accesslog": settings.accesslog}
    fds = {name: _open(settings, name, value) for name, value in written.items() if value is not None}
    _process.error_fd = fds["errorlog"]
    take_over(fds["errorlog"], level)
    _process.files.keep(_path(settings, value) for value in written.values() if value not in (None, "-"))


def open_access_log(settings: LogSettings) -> AccessLog | None:
    """The access log that the settings ask for, or None. ConfigError for a bad format or path.

    Each worker makes its own after the fork, on the descriptor that it has from the master: what is buffered
    belongs to one process.
    """
    _process.files.catch_up()
    if settings.accesslog is None:
        return None
    try:
        log = AccessLog(settings.access_log_format, _open(settings, "accesslog", settings.accesslog))
    except ValueError as error:
        origin = settings.origins.get("access_log_format", "")
        raise ConfigError(
            "access_log_format", origin, str(error), "docs/logging.md lists the atoms"
        ) from None
    _process.access_log = log
    return log


def error_stream() -> TextIO:
    """A text stream that ends in the error log, for what the application writes itself (`wsgi.errors`).

    It shares the log's descriptor, which keeps its number over a rotation.
    """
    return open(
        _process.error_fd, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
    )


def reopen() -> None:
    """After a rotation: the new files. The master calls it before it tells its workers to."""
    if _process.access_log is not None:
        _process.access_log.flush()
    _process.files.reopen(_complain)
    if _process.access_log is not None:
        _process.access_log.reopen(_process.access_log.fd)  # looks again at what kind of file it is


def let_go() -> None:
    """In a process that the application has forked from one of ours."""
    _process.files.let_go()


def _complain(path: str, error: OSError) -> None:
    logging.getLogger(ERROR_LOGGER).warning(
        "Cannot reopen %s: %s; the old file stays in use", path, error.strerror
    )


def _path(settings: LogSettings, value: str | None) -> str:
    # From the settings' directory: neither the application's chdir nor a daemon's may move the file.
    return os.path.abspath(os.path.join(settings.chdir, value or ""))


def _open(settings: LogSettings, name: str, value: str) -> int:
    standard, called = STANDARD[name]
    if value == "-":
        with suppress(Exception):  # the application may have put anything in its place, or None
            (sys.stdout, sys.stderr)[standard - 1].flush()
        return standard
    path = _path(settings, value)
    try:
        return _process.files.open(path)
    except OSError as error:
        raise ConfigError(
            name,
            settings.origins.get(name, ""),
            f"cannot open {path}: {error.strerror}",
            f"name a file in a directory that exists and can be written to, or - for the {called}",
        ) from None
