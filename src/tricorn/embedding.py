"""A server that a program starts in its own process: `run()`, and what it shares with the classes of app/.

The process becomes the master, as the command's does, and when the server has stopped it is the program's
again: signal handlers, directory, environment, sys.path, log and title are what they were.

Knows: what the master changes in its process, and what a program may have there that does not go with it.
Must not know: what is served.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from setproctitle import getproctitle, setproctitle

from tricorn import forks, patches
from tricorn.config.errors import ConfigError
from tricorn.config.program import Application, ProgramSettings
from tricorn.config.settings import Settings
from tricorn.config.uvicorn import run_settings
from tricorn.console import fill_standard_streams
from tricorn.launch import Launch, Read, carry_out
from tricorn.log import afresh
from tricorn.parentage import adopt_orphans, adopts_orphans

RUN = "tricorn.run()"

#: Whether a server runs in this process, or this process is one of its workers.
_is_serving = False


def run(app: str | Callable[..., Any], settings: Mapping[str, Any]) -> None:
    """See `tricorn.run`."""
    code = serve(partial(_settings_of_run, app, dict(settings)), RUN)
    if code:
        sys.exit(code)


def serve(read: Read, caller: str = "run()") -> int:
    """Serve until told to stop; gives the exit code. read: the settings, at the start and at each reload."""
    refuse_where_it_cannot_run(caller)
    with restored():
        launch = Launch((), fill_standard_streams(), read)
        try:
            return carry_out(launch)
        finally:
            launch.leave()


def settings_of(
    app: str | Callable[..., Any], given: Mapping[str, Any], values: ProgramSettings, origin: str
) -> Settings:
    """values: what is so below what is given. Raises ConfigError."""
    given = dict(given)
    is_factory = given.pop("factory", False)
    if "wsgi_app" in given:
        raise ConfigError("wsgi_app", origin, "the application is the first argument", "leave it out")
    wanted = run_settings(given, origin)
    if (config := wanted.pop("config", None)) is not None:
        values.add_file(str(config), origin)
        values.add_variables()
    for name, value in wanted.items():
        values.set(name, value, origin)
    if isinstance(app, str):
        name = f"{app}()" if is_factory and not app.endswith(")") else app
        values.set("wsgi_app", name, origin)
        return values.settings()
    load = app if is_factory else partial(_same, app)
    return values.settings(Application(name_of(app), load, is_object=True))


def _settings_of_run(
    app: str | Callable[..., Any], given: Mapping[str, Any], environ: Mapping[str, str], cwd: Path
) -> Settings:
    values = ProgramSettings(environ, cwd)
    values.add_environment()
    return settings_of(app, given, values, RUN)


def _same(app: Callable[..., Any]) -> Callable[..., Any]:
    return app


def name_of(app: object) -> str:
    """What messages call an application that was given as an object; nothing that it says of itself."""
    named = app if hasattr(app, "__qualname__") else type(app)
    return f"{getattr(named, '__module__', '')}.{getattr(named, '__qualname__', '')}"


# ---- where a server cannot run ---------------------------------------------------------------------------


def refuse_where_it_cannot_run(caller: str) -> None:
    """Raises RuntimeError."""
    if _is_serving:
        raise RuntimeError(
            f"{caller} was called in a process that serves already: a worker imports the module that calls "
            'it; put the call below if __name__ == "__main__":'
        )
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(
            f"{caller} has to be called in the main thread, which signals come to; "
            "for a server beside other threads use tricorn.testing.serve(), or start a process"
        )
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None and asyncio._get_running_loop() is not None:
        raise RuntimeError(
            f"{caller} returns when the server has stopped, so it cannot be called while an event loop runs; "
            "call it outside of asyncio.run()"
        )


# ---- what is put back ------------------------------------------------------------------------------------


def is_serving() -> bool:
    """Whether a server runs in this process, or this process is one of its workers."""
    return _is_serving


@contextmanager
def restored() -> Iterator[None]:
    """The process's state, as it was before. A child never comes back here."""
    global _is_serving
    with ExitStack() as after:
        after.callback(_put_back_signals, _handlers())
        after.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(-1))
        after.callback(
            signal.pthread_sigmask, signal.SIG_SETMASK, signal.pthread_sigmask(signal.SIG_BLOCK, ())
        )
        after.callback(adopt_orphans, adopts_orphans())
        after.callback(patches.redo)
        after.callback(setproctitle, getproctitle())
        after.callback(_put_back_directory, os.getcwd())
        logger = logging.getLogger("tricorn.error")
        after.callback(_put_back_logger, logger, logger.handlers[:], logger.level, logger.propagate)
        for room in (forks, afresh):
            room.start_afresh()
            after.callback(room.start_afresh)
        _is_serving = True
        try:
            yield
        finally:
            _is_serving = False


def _handlers() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


def _put_back_signals(before: Mapping[int, Any]) -> None:
    """Until now they are ignored, as the master has left them. One that C code has set, and not Python,
    cannot be set again."""
    for number, handler in before.items():
        if handler is not None and signal.getsignal(number) is not handler:
            signal.signal(number, handler)


def _put_back_logger(
    logger: logging.Logger, handlers: list[logging.Handler], level: int, propagate: bool
) -> None:
    logger.handlers[:] = handlers
    logger.setLevel(level)
    logger.propagate = propagate


def _put_back_directory(directory: str) -> None:
    with suppress(OSError):  # it has been removed meanwhile
        os.chdir(directory)
