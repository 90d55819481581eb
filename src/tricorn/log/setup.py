"""The two logs of a process: opened from the settings, reopened on USR1.

Knows: `logging`, file descriptors, the four settings of `LogSettings`, ConfigError.
Must not know: who logs what, signals (the caller handles USR1), HTTP.

Records go to the logger "tricorn.error":

    [2026-11-21 09:00:00 +0000] [4711] [INFO] message

- `-` is the standard error, for all levels: scripts written for Gunicorn and `2>` expect it there. A platform
  that calls every such line an error can read the level in the line, or have a file (docs/logging.md).
- A message stays one line whatever it quotes (`escape_line`). Text over several lines is `exc_info`,
  `stack_info`, or `extra={"block": text}` for a traceback that another process has sent.
- Logging never stops serving: a full disk or a closed or stalled stream loses the record and counts it.

A file is reopened under its old descriptor (dup2), so a thread that is just writing, and the AccessLog, keep
a valid number, and no line is lost between the old file and the new one.
"""

from __future__ import annotations

import logging
import os
import stat
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from select import POLLOUT, poll
from typing import Protocol, TextIO

from tricorn.config.errors import ConfigError
from tricorn.log.access import AccessLog
from tricorn.log.escape import escape_block, escape_line

ERROR_LOGGER = "tricorn.error"
LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
# How long a record waits for a pipe whose reader is slow. Records are rare, and a reader that is merely busy
# should not lose them; a reader that is gone must not hold up the thread.
STALLED_READER = 0.25
PIPE_PIECE = 4096  # PIPE_BUF: after POLLOUT, a write up to this size does not block


class LogSettings(Protocol):
    """The part of `Settings` that this room reads."""

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


class ErrorFormatter(logging.Formatter):
    """One escaped line for the message; tracebacks behind it, on lines that cannot pass for records."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(record.created))
        parts = [f"[{moment}] [{os.getpid()}] [{record.levelname}] {escape_line(record.getMessage())}"]
        if record.exc_info:
            parts.append(escape_block(self.formatException(record.exc_info)))
        if record.stack_info:
            parts.append(escape_block(self.formatStack(record.stack_info)))
        block = getattr(record, "block", None)
        if block:
            parts.append(escape_block(str(block)).rstrip("\n"))
        return "\n".join(parts) + "\n"


class DescriptorHandler(logging.Handler):
    """Writes each record with write(2). What cannot be written is counted; the next record mentions it."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self.fd = fd
        self.lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception as error:  # noqa: BLE001  # a foreign object's __str__ or __repr__ may do anything
            message = escape_line(str(record.msg))
            text = f"a log message could not be formatted: {type(error).__name__}: {message}\n"
        note = f"(error log: {self.lost} records lost before this one)\n" if self.lost else ""
        try:
            self._write((note + text).encode("utf-8", "backslashreplace"))
        except OSError:
            self.lost += 1
        else:
            self.lost = 0

    def _write(self, data: bytes) -> None:
        regular = stat.S_ISREG(os.fstat(self.fd).st_mode)
        waiting = poll()
        waiting.register(self.fd, POLLOUT)
        while data:
            # Only the first record waits for a stalled reader: those after it would add up.
            if not regular and not waiting.poll(0 if self.lost else STALLED_READER * 1000):
                raise TimeoutError("the reader of the error log has stalled")
            written = os.write(self.fd, data if regular else data[:PIPE_PIECE])
            data = data[written:]


@dataclass
class _Opened:
    """A descriptor of a log and the file behind it; no path for the standard streams."""

    setting: str
    fd: int
    path: str | None


@dataclass
class _Process:
    """What this process has open."""

    error: _Opened | None = None
    access: _Opened | None = None
    access_log: AccessLog | None = None


_process = _Process()


def configure(settings: LogSettings) -> None:
    """Set up the error log, or set it up anew. ConfigError if the file cannot be opened."""
    level = LEVELS.get(settings.loglevel.lower())
    if level is None:
        origin = settings.origins.get("loglevel", "")
        raise ConfigError(
            "loglevel", origin, f"there is no level {settings.loglevel!r}", "one of " + ", ".join(LEVELS)
        )
    opened = _open("errorlog", settings.errorlog, 2, settings.origins)
    handler = DescriptorHandler(opened.fd)
    handler.setFormatter(ErrorFormatter())
    logger = logging.getLogger(ERROR_LOGGER)
    old, _process.error = _process.error, opened
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False  # an application that configures the root logger must not get every record twice
    _close(old)


def open_access_log(settings: LogSettings) -> AccessLog | None:
    """The access log that the settings ask for, or None. ConfigError for a bad format or path.

    A worker opens its own after the fork: what is buffered belongs to one process.
    """
    if settings.accesslog is None:
        return None
    opened = _open("accesslog", settings.accesslog, 1, settings.origins)
    try:
        log = AccessLog(settings.access_log_format, opened.fd)
    except ValueError as error:
        _close(opened)
        origin = settings.origins.get("access_log_format", "")
        raise ConfigError(
            "access_log_format", origin, str(error), "docs/logging.md lists the atoms"
        ) from None
    old, _process.access, _process.access_log = _process.access, opened, log
    _close(old)
    return log


def error_stream() -> TextIO:
    """A text stream that ends in the error log, for what the application writes itself (`wsgi.errors`).

    It shares the log's descriptor, which keeps its number over a rotation.
    """
    fd = _process.error.fd if _process.error is not None else 2
    return open(fd, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def reopen() -> None:
    """Open both files again by their paths, after a rotation. What does not open stays as it was."""
    if _process.access_log is not None:
        _process.access_log.flush()
    for opened in (_process.error, _process.access):
        if opened is None or opened.path is None:
            continue
        try:
            fresh = _open_file(opened.path)
        except OSError as error:
            logging.getLogger(ERROR_LOGGER).warning(
                "%s: cannot reopen %s: %s; the old file stays in use",
                opened.setting,
                opened.path,
                error.strerror,
            )
            continue
        os.dup2(fresh, opened.fd, inheritable=False)
        os.close(fresh)
    if _process.access_log is not None:
        _process.access_log.reopen(_process.access_log.fd)  # looks again at what kind of file it is


def _open(setting: str, value: str, standard: int, origins: Mapping[str, str]) -> _Opened:
    if value == "-":
        with suppress(Exception):  # the application may have put anything in its place, or None
            (sys.stdout, sys.stderr)[standard - 1].flush()
        return _Opened(setting, standard, None)
    # As an absolute path: `chdir` or a daemon's `/` must not move the file at the next rotation.
    path = os.path.abspath(value)
    try:
        return _Opened(setting, _open_file(path), path)
    except OSError as error:
        hint = "name a file in a directory that exists and that the user may write to, or - for the "
        raise ConfigError(
            setting,
            origins.get(setting, ""),
            f"cannot open {path}: {error.strerror}",
            hint + ("standard output" if standard == 1 else "standard error"),
        ) from None


def _open_file(path: str) -> int:
    # O_APPEND: several processes write to one file, and `copytruncate` of logrotate works.
    # O_NONBLOCK: opening a FIFO without a reader fails at once instead of stopping the start.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    return os.open(path, flags, 0o644)


def _close(opened: _Opened | None) -> None:
    if opened is not None and opened.path is not None:
        os.close(opened.fd)
