"""Tricorn: a pre-fork application server for Python."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from tricorn.drain import draining
from tricorn.log.request_id import request_id

__all__ = ["draining", "request_id", "run"]
__version__ = "0.1.0"


def run(app: str | Callable[..., Any], /, **settings: Any) -> None:
    """Serve an application, and return when the server has stopped.

    app: what the command line has, `module:attribute`; or the application itself.
    settings: by their names, and by Uvicorn's where they mean the same (`host`, `port`, `log_level` …). What
        a program says wins over the environment (`TRICORN_WORKERS`). A configuration file is read if `config`
        names one.

    It is called in the main thread, which is the master's until the end, below `if __name__ == "__main__":`.
    Raises SystemExit with the command's exit code if the server cannot start or a setting is wrong, and
    RuntimeError where it cannot run: in another thread, while an event loop runs, or in a worker.
    """
    # By its name: nothing of the server is imported before it is used.
    import_module("tricorn.embedding").run(app, settings)
