"""The two logs of a process: set up from the settings, reopened on USR1.

Knows: what belongs to a process's logging, in which order it is made; `logger_class`. Must not know: who
logs what, signals (the caller handles USR1), HTTP; where records end (outlets.py).

The master sets up before it forks, so molds and workers have it from the start. Only the access log is each
worker's own.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, TextIO

from tricorn.config.errors import ConfigError
from tricorn.log import error as errors
from tricorn.log import given, logconfig, outlets
from tricorn.log.access import AccessLog
from tricorn.log.access_format import for_terminal
from tricorn.log.error import (
    ACCESS_LOGGER,
    ERROR_LOGGER,
    METHODS,
    DescriptorHandler,
    ErrorLogger,
    start_anew,
    take_over,
    take_over_access,
)
from tricorn.log.logger import Logger
from tricorn.log.outlets import LEVELS, LogSettings, process
from tricorn.log.recorder import Recorder
from tricorn.log.syslog import SyslogHandler
from tricorn.log.writer import Stream

#: How long a rotation waits for a thread that writes to a handler of the application's, in seconds.
PATIENCE = 0.5
#: What of Logger, if it is changed, makes the compiled access log another one.
ACCESS_METHODS = ("access", "atoms", "now", "_get_user", "atoms_wrapper_class")


def configure(settings: LogSettings) -> None:
    """Set up both logs, or set them up anew. ConfigError; then everything is as it was."""
    before = process.settings
    try:
        _configure(settings)
    except ConfigError:
        given.refuse()
        if before is not None:
            _configure(before)
        raise
    given.accept()
    process.settings = settings


def _configure(settings: LogSettings) -> None:
    level = LEVELS.get(settings.loglevel.lower())
    if level is None:
        raise ConfigError(
            "loglevel",
            settings.origins.get("loglevel", ""),
            f"there is no level {settings.loglevel!r}",
            "write one of " + ", ".join(LEVELS),
        )
    process.wanted = set()
    process.error_fd = outlets.fd_of(settings, "errorlog", settings.errorlog)
    if settings.accesslog is not None:
        outlets.fd_of(settings, "accesslog", settings.accesslog)
    formatter = outlets.formatter_of(settings)
    error = take_over(process.error_fd, level, low=outlets.low_of(settings), formatter=formatter)
    take_over_access()
    outlets.capture(settings)
    outlets.open_syslog(settings)
    outlets.open_statsd(settings)
    error.counter = process.statsd
    if _is_special(settings) or process.logger is not None:
        start_anew(level, formatter)
        _restore_root()
    for name in (ERROR_LOGGER, ACCESS_LOGGER):
        given.put(name, logging.getLogger(name))
    process.logger = _logger(settings, error) if _is_special(settings) else None
    outlets.adopt(list(_handlers()) if logconfig.source(settings) else [])
    process.files.keep(process.wanted)


def _restore_root() -> None:
    """What the configuration before has given to the root logger was that one's."""
    if process.root is None:
        process.root = (logging.root.handlers[:], logging.root.level)
    handlers, level = process.root
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def _is_special(settings: LogSettings) -> bool:
    """Whether more than the two files is to be set up. Else the loggers are left as an application has
    them."""
    return bool(
        settings.logger_class or logconfig.source(settings) or settings.syslog or given.changes_requests()
    )


def _logger(settings: LogSettings, error: ErrorLogger) -> Any:
    kind = _class_of(settings)
    # It says itself where records go; ours is put back by `Logger.setup`, unless a class leaves that out.
    error.removeHandler(error.own)
    try:
        logger = kind(settings)
    except ConfigError:
        raise
    except Exception as trouble:  # foreign code
        what = f"{_called(kind)} raised {type(trouble).__name__}: {trouble}"
        raise _bad_class(settings, what) from trouble
    if not error.handlers:
        error.addHandler(error.own)
    if kind is not Logger or given.is_there():
        logconfig.call_as_gunicorn()
    error.front = logger if _is_front(logger, error) else None
    return logger


def _class_of(settings: LogSettings) -> Any:
    named = settings.logger_class
    if named is None:
        return Logger
    if not isinstance(named, str):
        return named
    module, _, name = named.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except Exception as trouble:  # foreign code
        raise _bad_class(settings, f"{named} cannot be imported: {trouble}") from trouble
    if not callable(found):
        raise _bad_class(settings, f"{named} is not a class")
    return found


def _called(kind: Any) -> str:
    return f"{getattr(kind, '__module__', '?')}.{getattr(kind, '__qualname__', kind)}"


def _bad_class(settings: LogSettings, what: str) -> ConfigError:
    hint = "write a class as module.Class, derived from tricorn.log.logger.Logger"
    return ConfigError("logger_class", settings.origins.get("logger_class", ""), what, hint)


def _is_front(logger: Any, error: ErrorLogger) -> bool:
    """Whether records have to go through its methods: it does something else with them."""
    if not isinstance(logger, Logger) or logger.error_log is not error:
        return True
    return any(_changes(logger, name) for name in (*METHODS.values(), "exception"))


def _changes(logger: Logger, name: str) -> bool:
    return getattr(type(logger), name) is not getattr(Logger, name) or name in vars(logger)


def _wants_calls(settings: LogSettings) -> bool:
    """Whether requests have to be told in Python. Else compiled code writes the same lines."""
    logger = process.logger
    if logger is None:
        return False
    if not isinstance(logger, Logger) or any(_changes(logger, name) for name in ACCESS_METHODS):
        return True
    access = logger.access_log
    return bool(
        logconfig.source(settings)
        or access is not take_over_access()
        or access.filters
        or any(_is_unusual(handler) for handler in access.handlers)
    )


def _is_unusual(handler: logging.Handler) -> bool:
    own = type(handler) in (DescriptorHandler, SyslogHandler)
    form = handler.formatter
    plain = type(form) is logging.Formatter and form._fmt == Logger.access_fmt
    return not own or not plain or bool(handler.filters) or handler.level > logging.INFO


def heed_access_logger(settings: LogSettings) -> None:
    """Before the application is loaded: what hooks have put on the access log's logger counts."""
    access = take_over_access()
    error = logging.getLogger(ERROR_LOGGER)
    if process.logger is None and (access.handlers or access.filters) and isinstance(error, ErrorLogger):
        process.logger = _logger(settings, error)


def open_access_log(settings: LogSettings) -> AccessLog | None:
    """What a worker tells of its requests, or None. ConfigError for a bad format or path.

    Each worker makes its own after the fork, on the descriptor that it has from the master: what is buffered
    belongs to one process.
    """
    process.files.catch_up(_complain)
    outlets.hold()
    _call("close_on_exec")
    meter = process.statsd.meter if process.statsd is not None else None
    if meter is not None:
        meter.forget()
    if _wants_calls(settings):
        access = getattr(process.logger, "access", None)
        recorder = Recorder(access) if access is not None else None
        process.access_log = AccessLog(None, -1, None, meter, recorder)
    else:
        process.access_log = _maybe_lines(settings, meter)
    return process.access_log


def _maybe_lines(settings: LogSettings, meter: Any) -> AccessLog | None:
    deliver = outlets.syslog_lines(settings)
    if settings.accesslog is None and deliver is None:
        return None if meter is None else AccessLog(None, -1, None, meter)
    fd = -1 if settings.accesslog is None else outlets.fd_of(settings, "accesslog", settings.accesslog)
    try:
        return AccessLog(_seen_as(settings.access_log_format, fd), fd, deliver, meter)
    except ValueError as error:
        origin = settings.origins.get("access_log_format", "")
        raise ConfigError(
            "access_log_format", origin, str(error), "docs/logging.md lists the atoms"
        ) from None


def _seen_as(form: str, fd: int) -> str:
    """In colour on a terminal, unless its owner wants none (no-color.org)."""
    is_coloured = (
        fd >= 0 and os.isatty(fd) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )
    return for_terminal(form) if is_coloured else form


def record_access(
    environ: dict[str, object], status: str, headers: list[tuple[str, str]], sent: int, seconds: float
) -> None:
    """One line in the access log of this process, if it has one."""
    if process.access_log is not None:
        process.access_log.record(environ, status, headers, sent, int(seconds * 1e9), time.time())


def maybe_logger() -> Any:
    """What `logger_class` or a configuration of `logging` has made; None: there is nothing of that kind."""
    return process.logger


def error_stream() -> TextIO:
    """A text stream that ends in the error log, for what the application writes itself (`wsgi.errors`).

    It shares the log's descriptor, which keeps its number over a rotation.
    """
    return open(
        process.error_fd, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
    )


def metric(name: str, value: int, kind: str) -> None:
    """Send one of the master's, where metrics are sent. kind: as statsd.py has them."""
    outlets.put_metric(name, value, kind)


def happening(title: str, text: str, *, is_bad: bool) -> None:
    """Tell of something, as an event, where metrics are sent."""
    outlets.put_event(title, text, is_bad=is_bad)


def set_level(level: int) -> None:
    """Of the error log of this process, until it is set up anew."""
    errors.set_level(level)


def witness(see: Callable[[logging.LogRecord], None] | None) -> None:
    """Have somebody see what this process logs; None: nobody."""
    logger = logging.getLogger(ERROR_LOGGER)
    if isinstance(logger, ErrorLogger):
        logger.witness = see


def logger() -> Any:
    """What `logger_class` has made; without one a `Logger` for the settings in force, which changes nothing.

    For hooks, which call its methods.
    """
    if process.logger is None:
        made = Logger.__new__(Logger)
        made.error_log, made.access_log = logging.getLogger(ERROR_LOGGER), take_over_access()
        made.cfg = process.settings
        return made
    return process.logger


# ---- rotation --------------------------------------------------------------------------------------------


def reopen() -> None:
    """After a rotation: the new files. The master calls it before it tells its workers to.

    As in Gunicorn, files that handlers of the application write to are opened again as well.
    """
    if process.access_log is not None:
        process.access_log.flush()
    process.files.reopen(_complain)
    outlets.hold()
    if process.access_log is not None:
        process.access_log.reopen(process.access_log.fd)  # looks again at what kind of file it is
    for handler in _handlers():
        if isinstance(handler, logging.FileHandler):
            _reopen(handler)
    _call("reopen_files")


def give_back_streams() -> None:
    """Before another program takes the place of this one: standard streams that are captured are themselves
    again."""
    outlets.release()


def let_go() -> None:
    """In a process that the application has forked from one of ours."""
    process.files.let_go()


def _handlers() -> Iterable[logging.Handler]:
    """Of all loggers, each once."""
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    found = {id(each): each for named in loggers for each in getattr(named, "handlers", ())}
    return found.values()


def _reopen(handler: logging.FileHandler) -> None:
    before = handler.stream
    if before is None or isinstance(before, Stream):
        return  # it is not open, or one of ours
    lock = handler.lock
    if lock is not None and not lock.acquire(timeout=PATIENCE):
        return  # who writes there does not come back
    try:
        handler.stream = handler._open()
        before.close()
    except OSError as error:
        _complain(handler.baseFilename, error)
    except Exception:  # noqa: BLE001 - a class of the application's may do anything
        _complain_of(handler.baseFilename, "its handler raised", exc_info=True)
    finally:
        if lock is not None:
            lock.release()


def _call(method: str) -> None:
    """A method of the logger_class's, if it has it. It is foreign code."""
    function = getattr(process.logger, method, None)
    try:
        if function is not None:
            function()
    except Exception:
        logging.getLogger(ERROR_LOGGER).exception("%s of logger_class raised", method)


def _complain(path: str, error: OSError) -> None:
    _complain_of(path, error.strerror)


def _complain_of(path: str, why: str | None, *, exc_info: bool = False) -> None:
    logging.getLogger(ERROR_LOGGER).warning(
        "Cannot reopen %s: %s; the old file stays in use", path, why, exc_info=exc_info
    )
