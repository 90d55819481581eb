"""The error log: its logger, the form of a record, and the handler that writes it.

Knows: `logging`. Must not know: which file, settings, who logs what, HTTP; how bytes are written (writer.py).

Records go to the logger "tricorn.error":

    [2026-11-21 09:00:00 +0000] [4711] [INFO] message

- A message stays one line whatever it quotes (`escape_line`). Text over several lines is `exc_info`,
  `stack_info`, or `extra={"block": text}`; `block_of` makes the two of a text that has both.
- Logging never stops serving: a full disk or a closed or stalled stream loses the record and counts it. Nor
  does lack of memory; so no generator makes a part of one: CPython 3.12 and 3.13 crash where it gets none.

The logger lives in the application's process, and applications configure logging. The rule: what is asked of
our logger by its name is done (handlers, filters, formatters, level, `propagate`); what is done to all
loggers alike passes it by (`disable_existing_loggers`, `logging.disable()`, the root's level). A logger
that is left without any handler gets its own back, so silence has to be asked for (`logging.NullHandler`, or
a level).

The logger "tricorn.access" is the access log's where that passes through `logging` at all (access.pyx is the
usual way). The same rule holds for it.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from tricorn.log.escape import escape_block, escape_line
from tricorn.log.exceptions import format_exception
from tricorn.log.levels import of_level
from tricorn.log.request_id import request_id
from tricorn.log.writer import STALLED_READER, Writer

ERROR_LOGGER = "tricorn.error"
ACCESS_LOGGER = "tricorn.access"
#: Names under which applications look for their server's log, to give its handlers to their own loggers.
ALIASES = ("gunicorn.error", "uvicorn.error")
ACCESS_ALIASES = ("gunicorn.access", "uvicorn.access")


def block_of(text: str) -> tuple[str, dict[str, str]]:
    """`text` as a message and the `extra` of its record: the first line, and the lines behind it."""
    line, _, rest = text.partition("\n")
    return line, {"block": rest}


def id_of(record: logging.LogRecord) -> str:
    """Of the request that a record is about; an empty text: of none that has one."""
    return getattr(record, "request_id", None) or request_id()


class ErrorFormatter(logging.Formatter):
    """One escaped line for the message; tracebacks behind it, on lines that cannot pass for records."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(record.created))
        level = escape_line(record.levelname)
        return f"[{moment}] [{os.getpid()}] [{level}] {self.text(record)}"

    def text(self, record: logging.LogRecord) -> str:
        """Without what the receiver may know by itself: time, process, level."""
        name = id_of(record)
        parts = [escape_line(record.getMessage() + (f" (request {name})" if name else ""))]
        if record.exc_info:
            parts.append(escape_block(self.formatException(record.exc_info)))
        if record.stack_info:
            parts.append(escape_block(self.formatStack(record.stack_info)))
        block = getattr(record, "block", None)
        if block:
            parts.append(escape_block(str(block)))
        return "\n".join([part.rstrip("\n") for part in parts])

    def note(self, text: str) -> str:
        """What the log says of itself."""
        return escape_line(text)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - the name that logging calls
        _, error, trace = ei
        return format_exception(error, trace) if error is not None else "NoneType: None"


class TextFormatter(ErrorFormatter):
    """For syslog, which has time and process by itself."""

    def format(self, record: logging.LogRecord) -> str:
        return self.text(record)


class JSONFormatter(ErrorFormatter):
    """One JSON object per record, in ASCII, so that it is one line whatever it quotes."""

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, object] = {
            "time": _instant(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": os.getpid(),
            "message": record.getMessage(),
        }
        if name := id_of(record):
            said["request_id"] = name
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info).rstrip("\n")
        if record.stack_info:
            said["stack"] = self.formatStack(record.stack_info)
        if block := getattr(record, "block", None):
            said["detail"] = str(block).rstrip("\n")
        return json.dumps(said)

    def note(self, text: str) -> str:
        said = {"time": _instant(time.time()), "level": "warning", "pid": os.getpid(), "message": text}
        return json.dumps(said)


def _instant(when: float) -> str:
    """As the access log's JSON has it: UTC, with milliseconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(when)) + f".{int(when * 1000) % 1000:03}Z"


class DescriptorHandler(logging.Handler):
    """Writes each record with write(2). What cannot be written is counted; the next record mentions it.

    low: where records below WARNING go; None: where all go. log: its name, as the mention has it. one_line:
    whatever formats a record, it is one line.
    """

    #: Gunicorn's mark of the handlers that are its own: subclasses of its logger look for it.
    _gunicorn = True

    def __init__(
        self,
        fd: int,
        *,
        low: int | None = None,
        log: str = "error log",
        patience: float = STALLED_READER,
        one_line: bool = False,
    ) -> None:
        super().__init__()
        self._log = log
        self._one_line = one_line
        self._patience = patience
        self._writer = Writer(fd, patience)
        self._low = self._writer if low is None else Writer(low, patience)
        self.latest = 0  # id() of the record that came last

    @property
    def fd(self) -> int:
        return self._writer.fd

    @property
    def lost(self) -> int:
        """Since the last one that was written."""
        return self._writer.lost

    def use(self, fd: int, low: int | None = None) -> None:
        """Write to another descriptor from now on; nobody writes to the old one when this returns."""
        self.acquire()
        try:
            if fd != self._writer.fd:
                self._writer.fd = fd
            if low is None:
                self._low = self._writer
            elif self._low.fd != low or self._low is self._writer:
                self._low = Writer(low, self._patience)
        finally:
            self.release()

    def emit(self, record: logging.LogRecord) -> None:
        self.latest = id(record)
        note = getattr(self.formatter, "note", escape_line)
        try:
            text = escape_line(self.format(record)) if self._one_line else self.format(record)
        except Exception as error:  # noqa: BLE001  # a foreign object's __str__ or __repr__ may do anything
            text = note(f"A log message could not be formatted: {type(error).__name__}: {record.msg}")
        writer = self._low if record.levelno < logging.WARNING else self._writer
        lost = f"({self._log}: {writer.lost} records lost before this one)"
        writer.write(f"{text}\n", f"{note(lost)}\n" if writer.lost else "")


class Front(Protocol):
    """What a `logger_class` makes: records go to its methods first, if it has changed what they do."""

    def critical(self, msg: Any, *args: Any, **kwargs: Any) -> None: ...
    def error(self, msg: Any, *args: Any, **kwargs: Any) -> None: ...
    def exception(self, msg: Any, *args: Any, **kwargs: Any) -> None: ...
    def warning(self, msg: Any, *args: Any, **kwargs: Any) -> None: ...
    def info(self, msg: Any, *args: Any, **kwargs: Any) -> None: ...
    def debug(self, msg: Any, *args: Any, **kwargs: Any) -> None: ...


class Counter(Protocol):
    """What counts records for statsd."""

    def count(self, record: logging.LogRecord) -> None: ...
    def take(self, extra: Mapping[str, Any]) -> None: ...


class SteadyLogger(logging.Logger):
    """A logger that only what names it can change. See the rule at the top."""

    own_level: int

    @property
    def disabled(self) -> bool:
        """Never: dictConfig and fileConfig disable every logger that they do not name."""
        return False

    @disabled.setter
    def disabled(self, value: bool) -> None:
        del value

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - overrides
        """Without `logging.disable()`, which means everyone's loggers and names none."""
        return level >= self.getEffectiveLevel()

    def getEffectiveLevel(self) -> int:  # noqa: N802 - overrides
        """Its own, else that of a logger "tricorn", else the setting's; never the root logger's."""
        parent = self.parent
        inherited = parent.level if parent is not None and parent is not self.root else logging.NOTSET
        return self.level or inherited or self.own_level


class ErrorLogger(SteadyLogger):
    """The logger "tricorn.error" in a process that serves."""

    own: DescriptorHandler
    front: Front | None = None
    counter: Counter | None = None
    #: Sees each record too; ours, so it raises nothing.
    witness: Callable[[logging.LogRecord], None] | None = None

    def handle(self, record: logging.LogRecord) -> None:
        """A foreign handler or filter that raises costs its own output, not ours and not the request."""
        if record.args:
            record.args = _harmless(record.args)
        if not _passing.forwarded and self.counter is not None:
            self.counter.count(record)
        if not record.msg and hasattr(record, "metric"):
            return  # it is nothing else
        if self.witness is not None and not _passing.forwarded:
            self.witness(record)
        self.own.latest = 0
        try:
            if self.front is not None and not _passing.direct and not _passing.forwarded:
                _forward(self.front, record)
            else:
                super().handle(record)
        except Exception as error:  # noqa: BLE001 - foreign code
            if self.own.latest != id(record):
                self.own.handle(record)
            what = f"A log handler or filter of the application raised {type(error).__name__}"
            self.own.handle(self.makeRecord(self.name, logging.WARNING, "", 0, what, (), None))

    def callHandlers(self, record: logging.LogRecord) -> None:  # noqa: N802 - overrides
        if not self.hasHandlers():
            self.addHandler(self.own)
        super().callHandlers(record)


class _Passing(threading.local):
    """What this thread does with a record just now."""

    direct = False  # a method of the front's has been called by itself, and hands it on
    forwarded = False  # … has been called for a record that came here


_passing = _Passing()


class passed_on:  # noqa: N801 - it reads as what it does
    """While a front hands its record on to this logger, that must not go to the front again."""

    def __enter__(self) -> None:
        self._before = _passing.direct
        _passing.direct = True

    def __exit__(self, *_: object) -> None:
        _passing.direct = self._before


METHODS = {
    logging.CRITICAL: "critical",
    logging.ERROR: "error",
    logging.WARNING: "warning",
    logging.INFO: "info",
    logging.DEBUG: "debug",
}


def _forward(front: Front, record: logging.LogRecord) -> None:
    name = of_level(METHODS.items(), record.levelno, "debug")
    keywords: dict[str, Any] = {}
    if record.exc_info:
        keywords["exc_info"] = record.exc_info
        name = "exception" if name == "error" else name
    block, message, args = getattr(record, "block", None), record.msg, record.args
    if block and getattr(front, "takes_blocks", False):
        keywords["extra"] = {"block": block}
    elif block:
        message, args = "%s\n%s", (record.getMessage(), escape_block(str(block)))
    _passing.forwarded = True
    try:
        getattr(front, name)(message, *(args if isinstance(args, tuple) else (args,)), **keywords)
    finally:
        _passing.forwarded = False


def _harmless(args: Any) -> Any:
    """What a message quotes, on one line each: whoever formats it may not escape."""
    if not isinstance(args, tuple):
        return args
    return tuple(map(_harmless_one, args))


def _harmless_one(value: object) -> object:
    if type(value) is str:
        return escape_line(value)
    if issubclass(type(value), BaseException):
        try:
            return escape_line(str(value))
        except BaseException as error:  # noqa: BLE001 - its __str__ is foreign code
            return f"<its __str__ raised {type(error).__name__}>"
    return value


def take_over(
    fd: int, level: int, *, low: int | None = None, formatter: logging.Formatter | None = None
) -> ErrorLogger:
    """Have the error log written to `fd`. Again: what an application has changed since stays changed.

    low: as DescriptorHandler. formatter: of ours; None: ErrorFormatter.
    """
    formatter = formatter or ErrorFormatter()
    logger = logging.getLogger(ERROR_LOGGER)
    if isinstance(logger, ErrorLogger):
        logger.own.use(fd, low)
        if logger.level == logger.own_level:
            logger.setLevel(level)
        logger.own_level = level
    else:
        # Not made anew: every module of ours holds this one by now.
        logger.__class__ = ErrorLogger
        assert isinstance(logger, ErrorLogger)
        logger.own = DescriptorHandler(fd, low=low)
        logger.own_level = level
        logger.handlers[:] = [logger.own]
        logger.setLevel(level)
        logger.propagate = (
            False  # an application that configures the root logger must not get every record twice
        )
        name_alike(ERROR_LOGGER)
    if type(logger.own.formatter) in (type(None), ErrorFormatter, JSONFormatter):
        logger.own.setFormatter(formatter)
    return logger


def set_level(level: int) -> None:
    """Until settings say something else: a level that an application has set is not ours to keep then."""
    logger = logging.getLogger(ERROR_LOGGER)
    assert isinstance(logger, ErrorLogger)
    logger.own_level = level
    logger.setLevel(level)


def start_anew(level: int, formatter: logging.Formatter) -> None:
    """Both loggers as if nobody had changed them: other settings say how they are to be."""
    error = take_over(logging.getLogger(ERROR_LOGGER).own.fd, level)  # type: ignore[attr-defined]
    error.own.filters.clear()
    error.own.setLevel(logging.NOTSET)
    error.own.setFormatter(formatter)
    error.handlers[:] = [error.own]
    error.setLevel(level)
    error.front = None
    access = take_over_access()
    access.handlers.clear()
    access.setLevel(logging.INFO)
    for logger, name in ((error, ERROR_LOGGER), (access, ACCESS_LOGGER)):
        logger.filters.clear()
        logger.propagate = False
        logger.name = name


def take_over_access() -> SteadyLogger:
    """The logger "tricorn.access", which is nobody else's from now on."""
    logger = logging.getLogger(ACCESS_LOGGER)
    if not isinstance(logger, SteadyLogger):
        logger.__class__ = SteadyLogger
        assert isinstance(logger, SteadyLogger)
        logger.own_level = logging.INFO
        logger.propagate = False
        name_alike(ACCESS_LOGGER)
    return logger


def name_alike(name: str) -> logging.Logger:
    """The logger of this name of ours, which Gunicorn's and Uvicorn's names lead to from now on.

    Who has got another one by such a name before has one that hands on to it.
    """
    logger = logging.getLogger(name)
    known = logging.root.manager.loggerDict
    for alias in ALIASES if name == ERROR_LOGGER else ACCESS_ALIASES:
        before = known.get(alias)
        if before is not logger and isinstance(before, logging.Logger):
            logger.handlers += [each for each in before.handlers if each not in logger.handlers]
            logger.filters += [each for each in before.filters if each not in logger.filters]
            before.handlers, before.parent, before.propagate = [], logger, True
        known[alias] = logger
    return logger
