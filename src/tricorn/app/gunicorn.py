"""What stands behind names of Gunicorn's (compat/gunicorn.py) that are not ours under another name.

Knows: what code that was written for Gunicorn does with these names. Must not know: when it is imported.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NoReturn

from tricorn.app.base import BaseApplication
from tricorn.app.config import Entries, Entry
from tricorn.compat.gunicorn import VERSION
from tricorn.config.errors import ConfigError as OurConfigError
from tricorn.config.files import DEFAULT_FILES
from tricorn.gateway.loader import AppLoadError
from tricorn.workers.base import Worker as OurWorker

version_info = VERSION
#: Gunicorn's numbers, and who it really is, as far as a version may say that (PEP 440, local version).
__version__ = f"{'.'.join(map(str, VERSION))}+tricorn"
SERVER = SERVER_SOFTWARE = "tricorn"

AppImportError = AppLoadError
ConfigError = OurConfigError


class HaltServer(BaseException):
    """Raised by nobody here."""

    def __init__(self, reason: str, exit_status: int = 1) -> None:
        super().__init__(reason, exit_status)
        self.reason = reason
        self.exit_status = exit_status


class Arbiter:
    """The master, for annotations; and `Arbiter(application).run()`, which serves it."""

    WORKER_BOOT_ERROR = 3
    APP_LOAD_ERROR = 4

    def __init__(self, app: BaseApplication) -> None:
        self.app = app
        self.cfg = app.cfg
        self.pid = os.getpid()

    def run(self) -> NoReturn:
        BaseApplication.run(self.app)


def make_settings(ignore: Any = None) -> dict[str, Entry]:
    """Every setting by its name, for programs that make options of them."""
    return {name: entry for name, entry in Entries().items() if name not in (ignore or ())}


KNOWN_SETTINGS = list(Entries().values())


def get_default_config_file() -> str | None:
    found = (Path.cwd() / name for name in DEFAULT_FILES if name.endswith(".py"))
    return next((str(path) for path in found if path.exists()), None)


def getcwd() -> str:
    return os.environ["PWD"] if is_here(os.environ.get("PWD", "")) else os.getcwd()


def is_here(directory: str) -> bool:
    try:
        return os.path.isabs(directory) and os.path.samefile(directory, ".")
    except OSError:
        return False


class Request:
    """For annotations: what hooks get for a request."""


class Response:
    """For annotations: what hooks get for a response."""


class ParseException(Exception):  # noqa: N818 - Gunicorn's name
    """Raised by nobody here: a request that is wrong does not get as far as foreign code."""


class NoMoreData(IOError):  # noqa: N818 - Gunicorn's name
    """Raised by nobody here."""


CONFIG_DEFAULTS: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "root": {"level": "INFO", "handlers": ["console"]},
    "loggers": {
        "gunicorn.error": {
            "level": "INFO",
            "handlers": ["error_console"],
            "propagate": True,
            "qualname": "gunicorn.error",
        },
        "gunicorn.access": {
            "level": "INFO",
            "handlers": ["console"],
            "propagate": True,
            "qualname": "gunicorn.access",
        },
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "generic", "stream": "ext://sys.stdout"},
        "error_console": {
            "class": "logging.StreamHandler",
            "formatter": "generic",
            "stream": "ext://sys.stderr",
        },
    },
    "formatters": {
        "generic": {
            "format": "%(asctime)s [%(process)d] [%(levelname)s] %(message)s",
            "datefmt": "[%Y-%m-%d %H:%M:%S %z]",
            "class": "logging.Formatter",
        }
    },
}


# ---- classes of workers ----------------------------------------------------------------------------------


class Worker(OurWorker):
    """Gunicorn's base class. What is made of it alone is a server of its own, and has no kind of ours."""

    kind = ""
    alive = True


class AsyncWorker(Worker):
    """For subclasses, which say what they are."""


def worker(name: str, module: str, kind: str, base: type[Worker] = Worker) -> type[Worker]:
    """A class under Gunicorn's name, by which `worker_class` knows it."""
    return type(name, (base,), {"kind": kind, "__module__": f"gunicorn.workers.{module}"})


Worker.__module__ = "gunicorn.workers.base"
SyncWorker = worker("SyncWorker", "sync", "sync")
ThreadWorker = worker("ThreadWorker", "gthread", "gthread")
ASGIWorker = worker("ASGIWorker", "gasgi", "asgi")
EventletWorker = worker("EventletWorker", "geventlet", "eventlet", AsyncWorker)
GeventWorker = worker("GeventWorker", "ggevent", "gevent", AsyncWorker)
GeventPyWSGIWorker = worker("GeventPyWSGIWorker", "ggevent", "gevent", GeventWorker)
TornadoWorker = worker("TornadoWorker", "gtornado", "tornado")

SUPPORTED_WORKERS: dict[str, str] = {
    "sync": "gunicorn.workers.sync.SyncWorker",
    "gthread": "gunicorn.workers.gthread.ThreadWorker",
    "asgi": "gunicorn.workers.gasgi.ASGIWorker",
    "gevent": "gunicorn.workers.ggevent.GeventWorker",
    "gevent_pywsgi": "gunicorn.workers.ggevent.GeventPyWSGIWorker",
    "eventlet": "gunicorn.workers.geventlet.EventletWorker",
}
