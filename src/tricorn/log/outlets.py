"""Where the two logs end: files, standard streams, syslog, statsd, as the settings say.

Knows: the settings of `LogSettings`, ConfigError, which file is for what. Must not know: who logs what,
signals, HTTP; how records are made (error.py, access.pyx) and how files reach the workers (files.py).

`-` is the standard error for all levels: scripts written for Gunicorn and `2>` expect it there. For a
platform that calls every such line an error there is `info_to_stdout`.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol

from tricorn.config.errors import ConfigError
from tricorn.log import writer
from tricorn.log.access import AccessLog
from tricorn.log.error import (
    DescriptorHandler,
    ErrorFormatter,
    JSONFormatter,
    TextFormatter,
)
from tricorn.log.files import Files
from tricorn.log.logconfig import ConfigSettings
from tricorn.log.statsd import Statsd, parse_host
from tricorn.log.syslog import Syslog, SyslogHandler, SyslogLines, parse_address
from tricorn.records import dataclass, field

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
#: The setting of each log → what `-` means there: the descriptor, and its name.
STANDARD = {"accesslog": (1, "standard output"), "errorlog": (2, "standard error")}


class LogSettings(ConfigSettings, Protocol):
    """The part of `Settings` that this room reads."""

    @property
    def errorlog(self) -> str: ...
    @property
    def error_log_json(self) -> bool: ...
    @property
    def info_to_stdout(self) -> bool: ...
    @property
    def loglevel(self) -> str: ...
    @property
    def accesslog(self) -> str | None: ...
    @property
    def access_log_format(self) -> str: ...
    @property
    def disable_redirect_access_to_syslog(self) -> bool: ...
    @property
    def capture_output(self) -> bool: ...
    @property
    def logger_class(self) -> type | str | None: ...
    @property
    def syslog(self) -> bool: ...
    @property
    def syslog_addr(self) -> str: ...
    @property
    def syslog_prefix(self) -> str | None: ...
    @property
    def syslog_facility(self) -> str: ...
    @property
    def statsd_host(self) -> str | None: ...
    @property
    def statsd_prefix(self) -> str: ...
    @property
    def dogstatsd_tags(self) -> str: ...
    @property
    def proc_name(self) -> str | None: ...
    @property
    def wsgi_app(self) -> str | None: ...


@dataclass
class Process:
    """What this process has open. wanted: the paths that the settings in force name. kept: copies of the
    standard streams, while these are the error log. logger: what `logger_class` has made. root: handlers
    and level of the root logger before a configuration of `logging` was carried out."""

    files: Files = field(default_factory=Files)
    wanted: set[str] = field(default_factory=set)
    error_fd: int = 2
    access_log: AccessLog | None = None
    syslog: Syslog | None = None
    statsd: Statsd | None = None
    kept: dict[int, int] = field(default_factory=dict)
    logger: Any = None
    settings: LogSettings | None = None
    root: tuple[list[logging.Handler], int] | None = None


process = Process()


def start_afresh() -> None:
    """In a process that becomes another one of ours: nothing is open, and nothing is set up."""
    release()
    process.files.close()
    for each in (process.syslog, process.statsd):
        if each is not None:
            each.close()
    for name, value in vars(Process()).items():
        setattr(process, name, value)


# ---- files and standard streams ------------------------------------------------------------------------


def path_of(settings: LogSettings, value: str) -> str:
    # From the settings' directory: neither the application's chdir nor a daemon's may move the file.
    return os.path.abspath(os.path.join(settings.chdir, value))


def fd_of(settings: LogSettings, name: str, value: str) -> int:
    """The descriptor that `value` of the setting names. ConfigError if it cannot be opened."""
    standard, called = STANDARD[name]
    if value == "-":
        with suppress(Exception):  # the application may have put anything in its place, or None
            (sys.stdout, sys.stderr)[standard - 1].flush()
        return standard
    path = path_of(settings, value)
    try:
        fd = process.files.open(path)
    except OSError as error:
        raise ConfigError(
            name,
            settings.origins.get(name, ""),
            f"cannot open {path}: {error.strerror}",
            f"name a file in a directory that exists and can be written to, or - for the {called}",
        ) from None
    process.wanted.add(path)
    return fd


def low_of(settings: LogSettings) -> int | None:
    """Where what is below WARNING goes, if it goes elsewhere."""
    return 1 if settings.info_to_stdout and settings.errorlog == "-" else None


def formatter_of(settings: LogSettings) -> ErrorFormatter:
    return JSONFormatter() if settings.error_log_json else ErrorFormatter()


def handler_for(
    settings: LogSettings, output: str, formatter: logging.Formatter, *, is_access: bool
) -> DescriptorHandler:
    name = "accesslog" if is_access else "errorlog"
    handler = DescriptorHandler(
        fd_of(settings, name, output),
        low=None if is_access else low_of(settings),
        log="access log" if is_access else "error log",
        patience=0 if is_access else writer.STALLED_READER,
        one_line=is_access,
    )
    handler.setFormatter(formatter)
    return handler


def capture(settings: LogSettings) -> None:
    """Let standard output and standard error be the error log's file, or themselves again."""
    if not settings.capture_output or settings.errorlog == "-":
        release()
        return
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # as in fd_of
            stream.flush()
    for fd in (1, 2):
        if fd not in process.kept:
            with suppress(OSError):  # it was closed
                process.kept[fd] = os.dup(fd)
    hold()


def hold() -> None:
    """After the error log's descriptor has got another file: so do the streams that are captured."""
    for fd in process.kept:
        os.dup2(process.error_fd, fd)


def release() -> None:
    """Give back the standard streams as they were; before another program takes the place of this one,
    too."""
    for fd, kept in process.kept.items():
        os.dup2(kept, fd)
        os.close(kept)
    process.kept.clear()


def adopt(handlers: list[logging.Handler]) -> None:
    """Have handlers that a configuration has made wait for nobody, and their files rotate as ours do.

    A file is opened by the master, which may; a worker could often not open it again, neither on a rotation
    nor when the application's own configuration closes all handlers.
    """
    for handler in handlers:
        if type(handler) is logging.FileHandler:
            _adopt_file(handler)
        else:
            writer.unblock(handler)


def _adopt_file(handler: logging.FileHandler) -> None:
    if (handler.encoding or "utf-8").lower().replace("_", "-") not in ("utf-8", "utf8", "locale", "ascii"):
        return
    path = os.path.abspath(handler.baseFilename)
    try:
        stream = writer.Stream(process.files.open(path), path)
    except OSError:
        return  # its own first record tells
    process.wanted.add(path)
    handler.acquire()
    try:
        if handler.stream is not None:
            handler.stream.close()
        handler.stream = stream  # type: ignore[assignment]  # it writes text, which is all that is asked of it
        handler._open = lambda: stream  # type: ignore[assignment, return-value]
    finally:
        handler.release()


# ---- syslog and statsd -----------------------------------------------------------------------------------


def open_syslog(settings: LogSettings) -> None:
    before, process.syslog = process.syslog, None
    if before is not None:
        before.close()
    if settings.syslog:
        try:
            process.syslog = Syslog(parse_address(settings.syslog_addr), settings.syslog_facility)
        except (OSError, ValueError) as error:
            raise _no_place(settings, "syslog_addr", error) from None


def open_statsd(settings: LogSettings) -> None:
    before, process.statsd = process.statsd, None
    if before is not None:
        before.close()
    if settings.statsd_host is not None:
        try:
            place = parse_host(settings.statsd_host)
            process.statsd = Statsd(place, settings.statsd_prefix, settings.dogstatsd_tags)
        except (OSError, ValueError) as error:
            raise _no_place(settings, "statsd_host", error) from None


def _no_place(settings: LogSettings, name: str, error: Exception) -> ConfigError:
    said = str(error)
    if isinstance(error, OSError):
        said = f"{getattr(settings, name)} cannot be used: {error.strerror or error}"
    return ConfigError(name, settings.origins.get(name, ""), said, "name a host that has an address")


def sends_access_to_syslog(settings: LogSettings) -> bool:
    return settings.syslog and not settings.disable_redirect_access_to_syslog


def syslog_prefix(settings: LogSettings) -> str:
    return settings.syslog_prefix or (settings.proc_name or settings.wsgi_app or "tricorn").replace(":", ".")


def syslog_handler(settings: LogSettings, log: str) -> logging.Handler:
    assert process.syslog is not None
    handler = SyslogHandler(process.syslog, syslog_prefix(settings), log)
    handler.setFormatter(TextFormatter() if log == "error" else logging.Formatter("%(message)s"))
    return handler


def syslog_lines(settings: LogSettings) -> SyslogLines | None:
    """What takes the lines of the access log there."""
    if process.syslog is None or not sends_access_to_syslog(settings):
        return None
    return SyslogLines(process.syslog, syslog_prefix(settings))


def put_metric(name: str, value: float, kind: str) -> None:
    if process.statsd is not None:
        process.statsd.put(name, value, kind)


def put_event(title: str, text: str, *, is_bad: bool) -> None:
    if process.statsd is not None:
        process.statsd.tell(title, text, is_bad=is_bad)


def take_metric(extra: Mapping[str, Any]) -> None:
    if process.statsd is not None:
        process.statsd.take(extra)


# ---- loggers ---------------------------------------------------------------------------------------------


def set_up(error: logging.Logger, access: logging.Logger, settings: LogSettings) -> None:
    """Give the loggers the handlers that the settings name."""
    own = getattr(error, "own", None)
    if own is not None and own not in error.handlers:
        error.handlers.insert(0, own)
    if settings.accesslog is not None:
        line = logging.Formatter("%(message)s")
        access.addHandler(handler_for(settings, settings.accesslog, line, is_access=True))
    if process.syslog is not None:
        error.addHandler(syslog_handler(settings, "error"))
        if sends_access_to_syslog(settings):
            access.addHandler(syslog_handler(settings, "access"))
