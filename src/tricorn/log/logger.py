"""`Logger`, to derive a `logger_class` from: what Gunicorn's users have derived from
`gunicorn.glogging.Logger`.

    from tricorn.log.logger import Logger

    class QuietLogger(Logger):
        def access(self, resp, req, environ, request_time):
            if environ["PATH_INFO"] != "/healthz":
                super().access(resp, req, environ, request_time)

Knows: Gunicorn's names of methods and attributes, the two loggers. Must not know: files, where records end
(outlets.py), how requests are served.

The server makes one, in the master, before it forks. Without a class of the user's it makes one of these,
which does what the settings say; its requests are then written by compiled code, and `access` is not called.
"""

from __future__ import annotations

import base64
import binascii
import logging
import os
import time
import traceback
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from tricorn.log import logconfig, outlets
from tricorn.log.access_format import FRIENDLY, FRIENDLY_ATOMS
from tricorn.log.error import passed_on, take_over_access
from tricorn.log.escape import escape_quoted


class Escaped(str):
    """A text that may be written as it is."""

    __slots__ = ()


class SafeAtoms(dict[str, Any]):
    """The values of an access log line. No text in it can end a line or a quotation; what is missing is a
    dash."""

    def __init__(self, atoms: Mapping[str, Any]) -> None:
        super().__init__(
            (key, escape_quoted(value) if isinstance(value, str) and type(value) is not Escaped else value)
            for key, value in atoms.items()
        )

    def __getitem__(self, key: str) -> Any:
        if key.startswith("{"):
            key = key.lower()
        return super().__getitem__(key) if key in self else "-"


class Logger:
    """Both logs, with Gunicorn's methods. `cfg` has the settings as attributes."""

    LOG_LEVELS: ClassVar[dict[str, int]] = dict(outlets.LEVELS)
    loglevel = logging.INFO
    error_fmt = r"%(asctime)s [%(process)d] [%(levelname)s] %(message)s"
    datefmt = r"[%Y-%m-%d %H:%M:%S %z]"
    access_fmt = "%(message)s"
    syslog_fmt = "[%(process)d] %(message)s"
    atoms_wrapper_class: type[Any] = SafeAtoms
    #: Its methods take `extra`, and hand it on.
    takes_blocks = True

    def __init__(self, cfg: Any) -> None:
        self.error_log: logging.Logger = logging.getLogger("tricorn.error")
        self.access_log: logging.Logger = take_over_access()
        self.cfg = cfg
        self.setup(cfg)

    def setup(self, cfg: Any) -> None:
        """Give both loggers their levels and handlers. ConfigError where the settings are wrong."""
        self.loglevel = self.LOG_LEVELS.get(str(cfg.loglevel).lower(), logging.INFO)
        self.error_log.setLevel(self.loglevel)
        self.access_log.setLevel(logging.INFO)
        outlets.set_up(self.error_log, self.access_log, cfg)
        if (self.error_fmt, self.datefmt) != (Logger.error_fmt, Logger.datefmt):
            self._set_handler(self.error_log, cfg.errorlog, logging.Formatter(self.error_fmt, self.datefmt))
        if self.access_fmt != Logger.access_fmt:
            self._set_handler(self.access_log, cfg.accesslog, logging.Formatter(self.access_fmt))
        logconfig.apply(cfg)

    # ---- records -------------------------------------------------------------------------------------

    def critical(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        with passed_on():
            self.error_log.critical(msg, *args, **kwargs)

    def error(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        with passed_on():
            self.error_log.error(msg, *args, **kwargs)

    def warning(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        with passed_on():
            self.error_log.warning(msg, *args, **kwargs)

    def info(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        self._with_metric(logging.INFO, msg, args, kwargs)

    def debug(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        self._with_metric(logging.DEBUG, msg, args, kwargs)

    def exception(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        with passed_on():
            self.error_log.exception(msg, *args, **kwargs)

    def log(self, lvl: Any, msg: Any, *args: Any, **kwargs: Any) -> None:
        if isinstance(lvl, str):
            lvl = self.LOG_LEVELS.get(lvl.lower(), logging.INFO)
        self._with_metric(lvl, msg, args, kwargs)

    def _with_metric(self, level: int, msg: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A metric is sent whatever the level: it is no message."""
        if not self.error_log.isEnabledFor(level):
            if extra := kwargs.get("extra"):
                outlets.take_metric(extra)
            return
        with passed_on():
            self.error_log.log(level, msg, *args, **kwargs)

    # ---- the access log --------------------------------------------------------------------------------

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        """Called when a request is over. req: None if nothing more is known of it than the environ says."""
        if not (self.cfg.accesslog or logconfig.source(self.cfg) or outlets.sends_access_to_syslog(self.cfg)):
            return
        atoms = self.atoms_wrapper_class(self.atoms(resp, req, environ, request_time))
        try:
            form = self.cfg.access_log_format
            self.access_log.info(FRIENDLY_ATOMS if form == FRIENDLY else form, atoms)
        except Exception:  # noqa: BLE001 - foreign code: handlers, filters, formatters
            self.error(traceback.format_exc())

    def atoms(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> dict[str, Any]:
        """The values that access_log_format may name."""
        status = resp.status
        if isinstance(status, str):
            status = status.split(None, 1)[0] if status.strip() else "-"
        microseconds = request_time // timedelta(microseconds=1)
        seconds, rest = divmod(microseconds, 1_000_000)
        method, protocol = environ.get("REQUEST_METHOD"), environ.get("SERVER_PROTOCOL")
        atoms = {
            "h": environ.get("REMOTE_ADDR") or "-",
            "l": "-",
            "u": self._get_user(environ) or "-",
            "t": self.now(),
            "r": f"{method} {environ.get('RAW_URI')} {protocol}",
            "s": status,
            "m": method,
            "U": environ.get("PATH_INFO"),
            "q": environ.get("QUERY_STRING"),
            "H": protocol,
            "b": "-" if resp.sent is None else str(resp.sent),
            "B": resp.sent,
            "f": environ.get("HTTP_REFERER", "-"),
            "a": environ.get("HTTP_USER_AGENT", "-"),
            "T": seconds,
            "D": microseconds,
            "M": microseconds // 1000,
            "L": f"{seconds}.{rest:06}",
            "p": f"<{os.getpid()}>",
            "i": environ.get("tricorn.request_id", "-"),
        }
        atoms.update(_named("i", getattr(req, "headers", None) or ()))
        atoms.update(_named("o", resp.headers or ()))
        atoms.update(_named("e", environ.items()))
        return atoms

    def now(self) -> str:
        """The time of a line, as Apache writes it."""
        return time.strftime("[%d/%b/%Y:%H:%M:%S %z]")

    def _get_user(self, environ: dict[str, Any]) -> str | None:
        """RFC 7617: the user-id of Basic credentials."""
        scheme, _, credentials = str(environ.get("HTTP_AUTHORIZATION", "")).partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            decoded = base64.b64decode(credentials.strip().encode(), validate=True)
        except (binascii.Error, UnicodeEncodeError):
            return None
        user, colon, _ = decoded.decode("latin-1").partition(":")
        # In the combined format it stands without quotes.
        return Escaped(escape_quoted(user).replace(" ", "\\x20")) if colon else None

    # ---- files -----------------------------------------------------------------------------------------

    def reopen_files(self) -> None:
        """After USR1, in each process. The server opens its own files again before this is called."""

    def close_on_exec(self) -> None:
        """Before another program takes the place of this one. No file of ours stays open then anyway."""

    # ---- what subclasses call --------------------------------------------------------------------------

    def _get_gunicorn_handler(self, log: logging.Logger) -> logging.Handler | None:
        return next((each for each in log.handlers if getattr(each, "_gunicorn", False)), None)

    def _set_handler(
        self, log: logging.Logger, output: str | None, fmt: logging.Formatter, stream: Any = None
    ) -> None:
        """Put a handler that writes to `output` in the place of the one that the settings gave the logger.

        stream: Gunicorn's, for `-`; here each log has its own.
        """
        del stream
        before = self._get_gunicorn_handler(log)
        if before is not None:
            log.removeHandler(before)
        if output is not None:
            log.addHandler(outlets.handler_for(self.cfg, output, fmt, is_access=log is self.access_log))

    def _set_syslog_handler(self, log: logging.Logger, cfg: Any, fmt: str, name: str) -> None:
        """fmt: Gunicorn's; what a message looks like in syslog is not the class's to say here."""
        del fmt
        log.addHandler(outlets.syslog_handler(cfg, name))


class Statsd(Logger):
    """Gunicorn's class that sends metrics. Here they are sent with any class (`statsd_host`), so it only has
    the methods by which subclasses send their own."""

    def gauge(self, name: str, value: float) -> None:
        outlets.put_metric(name, value, "gauge")

    def increment(self, name: str, value: float, sampling_rate: float = 1.0) -> None:
        """sampling_rate: Gunicorn's, which only says it and samples nothing."""
        del sampling_rate
        outlets.put_metric(name, value, "counter")

    def decrement(self, name: str, value: float, sampling_rate: float = 1.0) -> None:
        self.increment(name, -value, sampling_rate)

    def timer(self, name: str, value: float) -> None:
        """In milliseconds."""
        outlets.put_metric(name, value, "timer")

    def histogram(self, name: str, value: float) -> None:
        outlets.put_metric(name, value, "histogram")


def _named(kind: str, pairs: Any) -> dict[str, Any]:
    found = {}
    for pair in pairs:
        name, value = pair
        if isinstance(name, bytes):
            name = name.decode("latin-1")
        if isinstance(value, bytes):
            value = value.decode("latin-1")
        found[f"{{{str(name).lower()}}}{kind}"] = value
    return found
