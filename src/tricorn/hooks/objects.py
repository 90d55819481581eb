"""What hooks are given of the server and of a worker. Names and meanings are Gunicorn's.

Knows: settings, listeners, the row of a worker. Must not know: processes, signals, when hooks are called.

Hooks of published configurations read these attributes, hang attributes of their own on the objects, and keep
them. So they are plain objects: nothing that is read of one changes anything, all of it can be read for as
long as the object is kept, and from any thread. The one thing that is told by them is `worker.alive = False`.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from tricorn.config.gunicorn import MISSING
from tricorn.config.settings import SETTINGS, Settings
from tricorn.log import setup as log_setup
from tricorn.log.error import ERROR_LOGGER, take_over_access
from tricorn.net.address import TcpAddress, UnixAddress, parse_bind
from tricorn.net.listener import Listener
from tricorn.scoreboard import Row
from tricorn.tls import rules


class Log:
    """`server.log` and `worker.log`: the error log, with the methods of Gunicorn's logger."""

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        self.error_log = logging.getLogger(ERROR_LOGGER)
        self.access_log: logging.Logger = take_over_access()
        self.loglevel = self.error_log.level
        # Bound once: a record tells where it was logged by looking a fixed number of frames up.
        self.critical = self.error_log.critical
        self.error = self.error_log.error
        self.warning = self.error_log.warning
        self.info = self.error_log.info
        self.debug = self.error_log.debug
        self.exception = self.error_log.exception

    def log(self, lvl: int | str, msg: object, *args: object, **kwargs: Any) -> None:
        level = logging.getLevelNamesMapping().get(lvl.upper(), logging.INFO) if isinstance(lvl, str) else lvl
        self.error_log.log(level, msg, *args, **kwargs)

    def access(self, resp: Any, req: Any, environ: Mapping[str, Any], request_time: timedelta) -> None:
        """One line of the access log, if there is one."""
        del req
        log_setup.record_access(
            dict(environ), str(resp.status), list(resp.headers), int(resp.sent), request_time.total_seconds()
        )

    def reopen_files(self) -> None:
        """As on USR1, for this process."""
        log_setup.reopen()


class Setting:
    """One value of `cfg.settings`."""

    def __init__(self, name: str, value: object, section: str, default: object) -> None:
        self.name, self.value, self.section, self.default = name, value, section, default

    def get(self) -> object:
        return self.value


class Config:
    """`server.cfg` and `worker.cfg`: the settings by Gunicorn's names, lists as lists.

    What Gunicorn has and Tricorn has not is there, too: None, or False where it is a switch.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in SETTINGS:
            value = getattr(self._settings, name)
            return list(value) if isinstance(value, tuple) else value
        if name in MISSING:
            return False if MISSING[name].switch else None
        raise AttributeError(f"there is no setting {name!r}")

    def __iter__(self) -> Iterator[str]:
        return iter(self.settings)

    def __contains__(self, name: str) -> bool:
        return name in SETTINGS or name in MISSING

    @property
    def settings(self) -> dict[str, Setting]:
        known = {
            name: Setting(name, getattr(self, name), declared.section, declared.default)
            for name, declared in SETTINGS.items()
        }
        return known | {name: Setting(name, getattr(self, name), "", None) for name in MISSING}

    @property
    def address(self) -> list[tuple[str, int] | str]:
        """What `bind` says: (host, port), or the path of a unix socket."""
        return [_plain(parse_bind(each).address) for each in self._settings.bind]

    @property
    def proc_name(self) -> str | None:
        """Where it is not set, the name of the application."""
        return self._settings.proc_name or self._settings.wsgi_app

    @property
    def uid(self) -> int:
        return os.geteuid() if self._settings.user is None else self._settings.user

    @property
    def gid(self) -> int:
        return os.getegid() if self._settings.group is None else self._settings.group

    @property
    def env(self) -> dict[str, str]:
        """What `raw_env` says."""
        pairs = (each.partition("=") for each in self._settings.raw_env)
        return {name: value for name, _, value in pairs}

    @property
    def is_ssl(self) -> bool:
        return rules.is_wanted(self._settings)

    @property
    def worker_class_str(self) -> str:
        return self._settings.worker_class


def _plain(address: object) -> tuple[str, int] | str:
    if isinstance(address, TcpAddress):
        return address.host, address.port
    return address.path if isinstance(address, UnixAddress) else str(address)


class Listening:
    """One of `server.LISTENERS` and `worker.sockets`."""

    def __init__(self, listener: Listener, text: str) -> None:
        """text: as the log calls it."""
        self._text = text
        self.sock = listener.socket
        self.cfg_addr = _plain(listener.address)

    def fileno(self) -> int:
        return self.sock.fileno()

    def getsockname(self) -> Any:
        return self.sock.getsockname()

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"<Listening {self._text}>"


def listening(settings: Settings, listeners: Sequence[Listener]) -> list[Listening]:
    pairs = zip(settings.bind, listeners, strict=True)
    return [Listening(each, rules.called(settings, bind, each.address)) for bind, each in pairs]


class Server:
    """`server`: the master, as far as hooks are concerned.

    In a worker it is what the master was when the worker was forked.
    """

    def __init__(self, settings: Settings, workers: Callable[[], dict[int, Worker]]) -> None:
        self.pid = os.getpid()
        self._workers = workers
        self.LISTENERS: list[Listening] = []
        self.num_workers: int | None = None
        self.worker_age = 0
        self.master_pid = 0
        self.master_name = "Master"
        self.reexec_pid = 0
        self.use(settings)

    def use(self, settings: Settings) -> None:
        """From a reload on."""
        self.cfg = Config(settings)
        self._log = Log(self.cfg)
        self.timeout = settings.timeout
        self.proc_name = self.cfg.proc_name
        self.worker_class = settings.worker_class
        self.pidfile = settings.pidfile
        self.app = App(settings)

    @property
    def address(self) -> list[tuple[str, int] | str]:
        """What `bind` says."""
        return self.cfg.address

    def in_another_process(self, workers: Callable[[], dict[int, Worker]]) -> None:
        """What there is to say of workers here."""
        self._workers = workers

    @property
    def log(self) -> Any:
        """The error log: of the class that `logger_class` names, if it names one."""
        return log_setup.maybe_logger() or self._log

    @property
    def WORKERS(self) -> dict[int, Worker]:  # noqa: N802 - Gunicorn's name
        """The workers that there are, by process id."""
        return self._workers()


class App:
    """`worker.app` and `server.app`."""

    def __init__(self, settings: Settings) -> None:
        self.cfg = Config(settings)
        self.app_uri = settings.wsgi_app
        self.chdir = settings.chdir
        #: The application; None where it is not loaded (yet).
        self.callable: Any = None

    def wsgi(self) -> Any:
        return self.callable


class Heartbeat:
    """`worker.tmp`: how the master sees that a worker lives."""

    def __init__(self, row: Row | None) -> None:
        self._row = row
        self._last = 0.0

    def last_update(self) -> float:
        """When it was seen to live, as time.monotonic() has it."""
        row = self._row
        return self._last if row is None else row.heartbeat_ns / 1e9

    def notify(self) -> None:
        """The server does this by itself."""

    def close(self) -> None:
        """The row may be another worker's from here on."""
        self._last = self.last_update()
        self._row = None


class Worker:
    """`worker`: one worker, in the process that forks it, in itself and in the master.

    age: how many there were before it, and one. row: where it writes; in a row is where it is looked at.
    """

    def __init__(
        self, age: int, server: Server, settings: Settings, sockets: list[Listening], row: Row
    ) -> None:
        self.age = age
        self.pid: Any = "[booting]"
        self.ppid = server.pid
        self.sockets = sockets
        self.cfg = Config(settings)
        self._log = Log(self.cfg)
        self.timeout = settings.timeout / 2
        self.app = App(settings)
        self.wsgi: Any = None
        self.tmp = Heartbeat(row)
        self.booted = False
        self.aborted = False
        self.reloader = None
        #: What Gunicorn has for "no limit": recipes subtract `nr` from it.
        self.max_requests = settings.max_requests or sys.maxsize
        self._row: Row | None = row
        self._served = 0
        self._alive = True
        self._wish: Callable[[], object] | None = None

    def __str__(self) -> str:
        return f"<Worker {self.pid}>"

    @property
    def log(self) -> Any:
        """The error log: of the class that `logger_class` names, if it names one."""
        return log_setup.maybe_logger() or self._log

    @property
    def nr(self) -> int:
        """How many requests it has finished."""
        row = self._row
        return self._served if row is None else row.requests

    @property
    def alive(self) -> bool:
        return self._alive

    @alive.setter
    def alive(self, value: bool) -> None:
        """False, said in the worker: it finishes what it has, and another one takes its place."""
        self._alive = bool(value)
        if not value and self._wish is not None:
            self._wish()

    def is_seen(self, *, alive: bool) -> None:
        """As the process sees it that forks workers."""
        self._alive = alive

    def notify(self) -> None:
        """The server does this by itself."""

    def on_wish(self, wish: Callable[[], object]) -> None:
        """What to do when it is said to be alive no longer."""
        self._wish = wish

    def bury(self) -> None:
        """It has ended, and its row is free for another one."""
        self._served = self.nr
        self._row = None
        self.tmp.close()
        self._alive = False
