"""How every worker begins: signals noted, application loaded, and the server chosen that it is for.

Knows: applications and their two kinds, what `worker_class` asks for, how a boot fails. Must not know: the
servers (it is given a way to get them), the master.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from tricorn.config.settings import Settings
from tricorn.gateway.loader import AppLoadError, Interface, kind_of, load_application, maybe_kind_of
from tricorn.handover import EXIT_BOOT, Assignment
from tricorn.workers.signals import Inbox

log = logging.getLogger("tricorn.error")

#: Serves until told to stop, or until the master is gone. Returns the exit code of the process.
Serve = Callable[[Assignment, Any, Inbox], int]

#: What each `worker_class` serves; None: what the application is.
WANTED: Mapping[str, Interface | None] = {
    "auto": None,
    "sync": Interface.WSGI,
    "gthread": Interface.WSGI,
    "asgi": Interface.ASGI,
}

#: The application's kind → what to write instead of a `worker_class` that serves the other one.
INSTEAD = {
    Interface.ASGI: "write --worker-class auto, or asgi",
    Interface.WSGI: "write --worker-class auto, or gthread; or wrap it: asgiref.wsgi.WsgiToAsgi(…)",
}


def run_worker(server_for: Callable[[Interface], Serve], assignment: Assignment) -> int:
    """A worker's life. Returns the exit code of the process."""
    inbox = Inbox()
    inbox.open()
    faulthandler.enable()  # the master ends a frozen worker with SIGABRT: its stacks go to standard error
    settings = assignment.settings
    try:
        application = assignment.application
        if application is None:
            application = load(settings)
        check_kind(settings, application)  # a preloaded one too: a reload may have changed `worker_class`
    except AppLoadError as error:
        assignment.fail(str(error))
        return EXIT_BOOT
    except Exception as error:  # noqa: BLE001 - foreign code; its traceback is what the user needs
        assignment.fail(raised(settings, error))
        return EXIT_BOOT
    interface = WANTED[settings.worker_class] or kind_of(application)
    if settings.worker_class == "auto":
        for line in remarks(settings, application, interface):
            log.info(line)
    return server_for(interface)(assignment, application, inbox)


def load(settings: Settings) -> Callable[..., Any]:
    """The application that the settings name, if it is of the kind that they ask for. Raises AppLoadError, or
    what the application raises."""
    application = load_application(settings.wsgi_app or "")
    check_kind(settings, application)
    return application


def check_kind(settings: Settings, application: Callable[..., Any]) -> None:
    """An application that does not tell its kind is taken at the settings' word."""
    wanted, found = WANTED[settings.worker_class], maybe_kind_of(application)
    if wanted is not None and found is not None and wanted is not found:
        raise AppLoadError(
            f"{settings.wsgi_app!r} is an application for {found.value}, and worker_class "
            f"{settings.worker_class!r} serves {wanted.value}; {INSTEAD[found]}"
        )


def remarks(settings: Settings, application: Callable[..., Any], interface: Interface) -> list[str]:
    """What shows only when the application is there; with an explicit `worker_class` it is no question."""
    said = []
    if maybe_kind_of(application) is None:
        said.append(
            f"The parameters of {settings.wsgi_app!r} do not tell whether it is WSGI or ASGI, so it is "
            "served as WSGI; --worker-class asgi or gthread settles it"
        )
    if interface is Interface.ASGI and settings.threads > 1:
        said.append(
            f"threads = {settings.threads} makes no difference to an ASGI application; more workers do"
        )
    return said


def raised(settings: Settings, error: Exception) -> str:
    """What to say of an application that raised `error` while it was loaded."""
    return f"the application {settings.wsgi_app!r} raised while it was loaded\n{foreign_traceback(error)}"


def foreign_traceback(error: BaseException) -> str:
    """The traceback without the frames by which we and the import system came to the application's code."""
    ours = os.path.dirname(os.path.dirname(__file__))
    step = error.__traceback__
    while step is not None:
        filename = step.tb_frame.f_code.co_filename
        if not (filename.startswith(ours) or "importlib" in filename):
            break
        step = step.tb_next
    return "".join(traceback.format_exception(type(error), error, step)).rstrip()
