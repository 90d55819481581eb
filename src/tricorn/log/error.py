"""The error log: its logger, the form of a record, and the handler that writes it.

Knows: `logging`, write(2). Must not know: which file, settings, who logs what, HTTP.

Records go to the logger "tricorn.error":

    [2026-11-21 09:00:00 +0000] [4711] [INFO] message

- A message stays one line whatever it quotes (`escape_line`). Text over several lines is `exc_info`,
  `stack_info`, or `extra={"block": text}`; `block_of` makes the two of a text that has both.
- Logging never stops serving: a full disk or a closed or stalled stream loses the record and counts it.

The logger lives in the application's process, and applications configure logging. The rule: what is asked of
our logger by its name is done (handlers, filters, formatters, level, `propagate`); what is done to all
loggers alike passes it by (`disable_existing_loggers`, `logging.disable()`, the root's level). A logger
that is left without any handler gets its own back, so silence has to be asked for (`logging.NullHandler`, or
a level).
"""

from __future__ import annotations

import logging
import os
import stat
import time
from select import POLLOUT, poll
from typing import Any

from tricorn.log.escape import escape_block, escape_line
from tricorn.log.exceptions import format_exception

ERROR_LOGGER = "tricorn.error"
#: Names under which applications look for their server's log, to give its handlers to their own loggers.
ALIASES = ("gunicorn.error", "uvicorn.error")

# How long a record waits for a pipe whose reader is slow. Records are rare, and a reader that is merely busy
# should not lose them; a reader that is gone must not hold up the thread.
STALLED_READER = 0.25
PIPE_PIECE = 4096  # PIPE_BUF: after POLLOUT, a write up to this size does not block


def block_of(text: str) -> tuple[str, dict[str, str]]:
    """`text` as a message and the `extra` of its record: the first line, and the lines behind it."""
    line, _, rest = text.partition("\n")
    return line, {"block": rest}


class ErrorFormatter(logging.Formatter):
    """One escaped line for the message; tracebacks behind it, on lines that cannot pass for records."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(record.created))
        level = escape_line(record.levelname)
        parts = [f"[{moment}] [{os.getpid()}] [{level}] {escape_line(record.getMessage())}"]
        if record.exc_info:
            parts.append(escape_block(self.formatException(record.exc_info)))
        if record.stack_info:
            parts.append(escape_block(self.formatStack(record.stack_info)))
        block = getattr(record, "block", None)
        if block:
            parts.append(escape_block(str(block)))
        return "\n".join(part.rstrip("\n") for part in parts)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - the name that logging calls
        _, error, trace = ei
        return format_exception(error, trace) if error is not None else "NoneType: None"


class DescriptorHandler(logging.Handler):
    """Writes each record with write(2). What cannot be written is counted; the next record mentions it."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self.fd = fd
        self.lost = 0
        self.torn = False  # the last record was written in part
        self.latest = 0  # id() of the record that came last

    def use(self, fd: int) -> None:
        """Write to another descriptor from now on; nobody writes to the old one when this returns."""
        self.acquire()
        try:
            self.fd = fd
        finally:
            self.release()

    def emit(self, record: logging.LogRecord) -> None:
        self.latest = id(record)
        try:
            text = self.format(record)
        except Exception as error:  # noqa: BLE001  # a foreign object's __str__ or __repr__ may do anything
            message = escape_line(str(record.msg))
            text = f"A log message could not be formatted: {type(error).__name__}: {message}"
        note = f"(error log: {self.lost} records lost before this one)\n" if self.lost else ""
        start = "\n" if self.torn else ""
        try:
            self._write(f"{start}{note}{text}\n".encode("utf-8", "backslashreplace"))
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
            self.torn = bool(data)


class ErrorLogger(logging.Logger):
    """The logger "tricorn.error" in a process that serves. See the rule at the top."""

    own: DescriptorHandler
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

    def handle(self, record: logging.LogRecord) -> None:
        """A foreign handler or filter that raises costs its own output, not ours and not the request."""
        self.own.latest = 0
        try:
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


def take_over(fd: int, level: int) -> ErrorLogger:
    """Have the error log written to `fd`. Again: what an application has changed since stays changed."""
    logger = logging.getLogger(ERROR_LOGGER)
    if isinstance(logger, ErrorLogger):
        logger.own.use(fd)
        if logger.level == logger.own_level:
            logger.setLevel(level)
        logger.own_level = level
        return logger
    # Not made anew: every module of ours holds this one by now.
    logger.__class__ = ErrorLogger
    assert isinstance(logger, ErrorLogger)
    logger.own = DescriptorHandler(fd)
    logger.own.setFormatter(ErrorFormatter())
    logger.own_level = level
    logger.handlers[:] = [logger.own]
    logger.setLevel(level)
    logger.propagate = False  # an application that configures the root logger must not get every record twice
    for name in ALIASES:
        logging.root.manager.loggerDict[name] = logger
    return logger
