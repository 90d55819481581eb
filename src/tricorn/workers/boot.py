"""How every worker begins: signals noted, application loaded, and the server chosen that it is for.

Knows: applications and their interfaces, what the row of a kind says, how a boot fails. Must not know: which
kinds there are, their servers (it is given a way to get them), the master.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any, NoReturn

from tricorn import forks, kinds, patches, scoreboard
from tricorn.config import bulkheads
from tricorn.config.settings import Settings
from tricorn.gateway.loader import AppLoadError, checked, kind_of, load_application, maybe_kind_of
from tricorn.handover import EXIT_BOOT, Assignment
from tricorn.hooks.found import HookError, said_of
from tricorn.hooks.worker import WorkerHooks
from tricorn.kinds import Runner, WorkerKind
from tricorn.log import setup as log_setup
from tricorn.sigaction import allow_core, restore_default, use_usual_stack
from tricorn.workers import spew
from tricorn.workers.context import ask_for_successor
from tricorn.workers.looking import Look
from tricorn.workers.mending import bare, maybe_page
from tricorn.workers.paste import load_paste
from tricorn.workers.signals import SignalPipe

log = logging.getLogger("tricorn.error")

#: Serves until told to stop, or until the master is gone. Returns the exit code of the process.
Serve = Callable[[Assignment, Any, SignalPipe], int]

#: (interface of the application, interface wanted) → what makes one of the other.
WRAPPERS: Mapping[tuple[str, str], str] = {
    (kinds.WSGI, kinds.ASGI): "asgiref.wsgi.WsgiToAsgi(…)",
}


def listen_to_the_master(assignment: Assignment) -> tuple[SignalPipe, Look | None]:
    """From here on signals are for the house. With them: what looks at the master's wishes, if it has any."""
    signals = SignalPipe()
    signals.open()
    forks.let_go(signals.let_go)
    look = None if assignment.wishes is None else Look(assignment.wishes, assignment.notify)
    if look is not None:
        signals.look, signals.look_at_once = look.at_house, look.in_handler
    return signals, look


def run_worker(server_for: Callable[[WorkerKind], Serve], assignment: Assignment) -> int:
    """A worker's life. Returns the exit code of the process."""
    signals, look = listen_to_the_master(assignment)
    if look is not None:
        signals.tell, signals.note = look.tell, look.note
    if assignment.hooks is not None and assignment.hooks.wants_abort:
        answer_abort(assignment.hooks)
    # The master ends a frozen worker with SIGABRT: its stacks go to standard error, whatever sys.stderr is
    # by now.
    faulthandler.enable(2)
    use_usual_stack()
    sockets = [sock for listener in assignment.listeners for sock in listener.sockets]
    watched = Watched([*(sock.fileno() for sock in sockets), signals.fd, assignment.lifeline])
    settings = assignment.settings
    if assignment.application is None:
        log_setup.heed_access_logger(settings)
    if settings.abort_core:
        allow_core()
    wanted = kinds.maybe_kind(settings.worker_class)
    if wanted is not None:
        if assignment.application is None and (said := maybe_too_late(wanted, settings)) is not None:
            log.warning("%s", said)
        if (reason := maybe_unprepared(wanted)) is not None:
            return failed(assignment, reason)
    if settings.spew:
        spew.start()
    reason = ""
    try:
        application = assignment.application
        if application is None:
            application = load(settings)
        check_kind(settings, application)  # a preloaded one too: a reload may have changed `worker_class`
        watched.check()
    except AppLoadError as error:
        reason = str(error)
    except BaseException as error:  # noqa: BLE001 - foreign code; its traceback is what the user needs
        reason = raised(settings, error)
    if reason:
        return show_or_fail(server_for, assignment, signals, reason)
    assignment.row.loaded_ns = scoreboard.monotonic_ns()
    hold_signals(signals, "while it was loaded")
    if assignment.hooks is not None:
        assignment.hooks.worker.on_wish(partial(ask_for_successor, assignment, scoreboard.ASKED))
        try:
            if assignment.hooks.loaded(application):
                hold_signals(signals, "in the hook post_worker_init")
        except HookError as error:
            return failed(assignment, said_of(error))
    if wanted is not None:
        return server_for(wanted)(assignment, application, signals)
    found = kinds.usual(kind_of(application).value)
    for line in remarks(settings, application, found):
        log.info(line)
    return server_for(found)(assignment, application, signals)


def show_or_fail(
    server_for: Callable[[WorkerKind], Serve], assignment: Assignment, signals: SignalPipe, reason: str
) -> int:
    """The application cannot be loaded: who develops it may see why as a page, where nobody else can."""
    settings = assignment.settings
    kind = kinds.maybe_kind(settings.worker_class) or kinds.usual(kinds.WSGI)
    page = maybe_page(settings, assignment.listeners, reason, kind.interface)
    if page is None:
        return failed(assignment, reason)
    assignment.row.loaded_ns = scoreboard.monotonic_ns()
    hold_signals(signals, "while it was loaded")
    return server_for(kind)(bare(assignment), page, signals)


def answer_abort(hooks: WorkerHooks) -> None:
    """Call hooks at SIGABRT, where the main thread comes to run anything, and then end by it.

    Set before faulthandler, which writes the stacks first, in any case, and raises the signal again for whom
    it finds. Where nothing runs any more the master kills.
    """

    def end(_number: int, _frame: object) -> None:
        if not forks.is_stranger():
            hooks.aborted()
            hooks.ends()
        restore_default(signal.SIGABRT)
        os.kill(os.getpid(), signal.SIGABRT)

    signal.signal(signal.SIGABRT, end)


def function_at(path: str | Callable[..., Any]) -> Any:
    """The function that a row names, as module:function, or has."""
    if callable(path):
        return path
    module, _, function = path.partition(":")
    return getattr(import_module(module), function)


def maybe_unprepared(kind: WorkerKind, *, is_mold: bool = False) -> str | None:
    """Do what this kind needs before the application is imported. Why that cannot be done, or None."""
    steps = (kind.patch,) if is_mold else (kind.patch, kind.prepare)
    try:
        for step in steps:
            if step is not None:
                function_at(step)()
    except Exception as error:  # noqa: BLE001 - the library that the kind is made of is foreign code
        return f"worker_class {kind.name!r} cannot be used: {type(error).__name__}: {error}"
    return None


def maybe_too_late(kind: WorkerKind, settings: Settings) -> str | None:
    """What to say where the application is there before the library can be patched for this kind; None: it is
    not."""
    module = (settings.wsgi_app or "").partition(":")[0]
    if settings.is_object:
        what, hint = f"the application {settings.wsgi_app!r}", "name it to tricorn.run() as 'module:app'"
    elif settings.loader is None and module in sys.modules:
        what = f"the module {module!r} of the application"
        hint = "do not import it in the configuration file"
    else:
        return None
    if kind.patch is None or patches.is_undone():
        return None  # where it is undone, configuration or program have patched first, as they are told to
    return (
        f"{what} has been imported before the standard library was patched for worker_class {kind.name!r}, "
        f"so what it has taken from that may hold up all other requests; {hint}"
    )


def failed(assignment: Assignment, text: str) -> int:
    try:
        assignment.fail(text)
    except OSError:  # the application has closed that pipe, too
        log.error("Worker %d cannot boot: %s", os.getpid(), text)  # noqa: TRY400 - `text` is the reason
    return EXIT_BOOT


class Watched:
    """Descriptors that must still be what they are when the application is there: some close all that they
    find."""

    def __init__(self, fds: Sequence[int]) -> None:
        self._numbers = [fd for fd in fds if fd >= 0]
        self._before = self._identities()

    def _identities(self) -> list[tuple[int, int]]:
        return [(status.st_dev, status.st_ino) for status in map(os.fstat, self._numbers)]

    def check(self) -> None:
        """Raises AppLoadError."""
        try:
            is_same = self._identities() == self._before
        except OSError:
            is_same = False
        if not is_same:
            raise AppLoadError(
                "the application closed descriptors of the server while it was imported (os.closerange?), "
                "so it cannot be served"
            )


def hold_signals(signals: SignalPipe, when: str, *, wakeup: bool = True) -> None:
    """Take back the signals that the application has taken, and say so. wakeup: as SignalPipe.hold."""
    taken = signals.maybe_taken()
    signals.hold(wakeup=wakeup)
    if taken:
        log.warning(
            "The application has set its own action for %s %s; the server needs %s and has taken %s back. "
            "To clean up at the end, use atexit, or the lifespan's shutdown",
            ", ".join(number.name for number in taken),
            when,
            *(("it", "it") if len(taken) == 1 else ("them", "them")),
        )


def load(settings: Settings) -> Callable[..., Any]:
    """The application that the settings name, if it is of the kind that they ask for. Raises AppLoadError, or
    what the application raises."""
    try:
        application = found(settings)
    except BaseException as error:
        if forks.is_stranger():
            end_stranger("while it was imported", error)
        raise
    if forks.is_stranger():
        end_stranger("while it was imported")
    check_kind(settings, application)
    return application


def found(settings: Settings) -> Callable[..., Any]:
    if settings.loader is not None:
        return checked(settings.loader(), settings.wsgi_app or "the application")
    if settings.paste is not None:
        return checked(load_paste(settings.paste, settings.raw_paste_global_conf), settings.paste)
    return load_application(settings.wsgi_app or "")


def end_stranger(when: str, error: BaseException | None = None) -> NoReturn:
    """The application came back to us in a process that it has forked: there is one worker too many."""
    reason = error.__cause__ if isinstance(error, AppLoadError) else error
    if isinstance(reason, SystemExit):
        os._exit(reason.code if isinstance(reason.code, int) else int(reason.code is not None))
    log.error(
        "A process that the application forked %s came back to the server, and is ended; "
        "such a process must end by itself, with os._exit()",
        when,
        exc_info=error,
    )
    os._exit(1)


def check_kind(settings: Settings, application: Callable[..., Any]) -> None:
    """An application that does not tell its kind is taken at the settings' word. Raises AppLoadError."""
    wanted, found = kinds.maybe_kind(settings.worker_class), maybe_kind_of(application)
    if wanted is None and found is not None and not kinds.usual(found.value).is_usual:
        raise AppLoadError(
            f"{settings.wsgi_app!r} is an application for {found.value}; write --worker-class "
            f"{kinds.usual(found.value).name}"
        )
    if wanted is not None and found is not None and not wanted.takes(found.value):
        wrapper = WRAPPERS.get((found.value, wanted.interface))
        hint = f"; or wrap it: {wrapper}" if wrapper else ""
        raise AppLoadError(
            f"{settings.wsgi_app!r} is an application for {found.value}, and worker_class "
            f"{wanted.name!r} serves {wanted.interface}; write --worker-class {kinds.AUTO}, or "
            f"{kinds.usual(found.value).name}{hint}"
        )
    kind = wanted or kinds.usual(kind_of(application).value)
    if misfit := bulkheads.maybe_misfit(settings, kind.runner):
        raise AppLoadError(f"routes: {misfit[0]}; {misfit[1]}")


def remarks(settings: Settings, application: Callable[..., Any], kind: WorkerKind) -> list[str]:
    """What shows only when the application is there; with an explicit `worker_class` it is no question."""
    said = []
    if maybe_kind_of(application) is None:
        words = f"{kinds.usual(kinds.ASGI).name} or {kinds.usual(kinds.WSGI).name}"
        said.append(
            f"The parameters of {settings.wsgi_app!r} do not tell whether it is WSGI or ASGI, so it is "
            f"served as {kind.interface}; --worker-class {words} settles it"
        )
    if kind.runner is not Runner.THREADS and settings.threads > 1:
        said.append(
            f"threads = {settings.threads} makes no difference to an {kind.interface} application; "
            "more workers do"
        )
    return said


def raised(settings: Settings, error: BaseException) -> str:
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
