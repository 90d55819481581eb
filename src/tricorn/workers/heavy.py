"""Processes that take heavy calls, and the one that keeps the stash.

Knows: a worker's life (load, ready, drain, exit), what serves calls. Must not know: the master, what is
called.
"""

from __future__ import annotations

import faulthandler
import logging
import os
from collections.abc import Mapping
from socket import socket
from threading import Lock, Thread
from time import monotonic, sleep
from typing import Any

from tricorn import drain, forks, scoreboard
from tricorn.handover import EXIT_OK, Assignment
from tricorn.heavy.app import LoadError, Spec, class_of, is_loaded_at, maybe_limit
from tricorn.heavy.pools import Pool
from tricorn.heavy.serving import Serving
from tricorn.heavy.tables import Counter, Tables
from tricorn.hooks.found import HookError, said_of
from tricorn.log import setup as log_setup
from tricorn.records import dataclass
from tricorn.sigaction import use_usual_stack
from tricorn.workers.boot import failed, foreign_traceback, hold_signals, listen_to_the_master
from tricorn.workers.context import ask_for_successor, end_of_drain, is_readable
from tricorn.workers.signals import Command, SignalPipe

log = logging.getLogger("tricorn.error")

#: How often the one that keeps the stash looks around if nobody asks, seconds.
LOOK = 0.5

#: How long calls have to end when the worker ends at once, seconds.
LAST_CALL = 0.2


def _begin(assignment: Assignment) -> SignalPipe:
    signals, _ = listen_to_the_master(assignment)
    faulthandler.enable(2)  # the master ends one that shows no sign of life with SIGABRT
    use_usual_stack()
    return signals


def run_heavy(pool: Pool, queues: Mapping[str, socket], assignment: Assignment) -> int:
    """The life of a worker of a pool. queues: where calls wait, by application. Returns its exit code."""
    signals = _begin(assignment)
    try:
        apps = _loaded(pool, assignment.row.queue)
    except _NotLoadedError as error:
        return failed(assignment, str(error))
    assignment.row.loaded_ns = scoreboard.monotonic_ns()
    hold_signals(signals, "while a heavy application was loaded")
    if assignment.hooks is not None:
        try:
            assignment.hooks.loaded(None)
        except HookError as error:
            return failed(assignment, said_of(error))
    return HeavyWorker(pool, queues, assignment, signals, apps).run()


@dataclass(frozen=True)
class Loaded:
    """An application. is_scarce: not all workers have it."""

    app: Any
    is_scarce: bool


class _NotLoadedError(Exception):
    """Its text is for the log."""


def _loaded(pool: Pool, slot: int) -> Mapping[str, Loaded]:
    """By their paths."""
    apps = {}
    for spec in pool.apps:
        try:
            kind = class_of(spec)
            if is_loaded_at(slot, spec, kind):
                apps[spec.path] = Loaded(_made(spec, kind), maybe_limit(spec, kind) is not None)
        except LoadError as error:
            raise _NotLoadedError(str(error)) from error
        except BaseException as error:
            said = f"the heavy application {spec.path} raised while it was loaded"
            raise _NotLoadedError(f"{said}\n{foreign_traceback(error)}") from error
    return apps


def _made(spec: Spec, kind: Any) -> Any:
    log.debug("Loading %s", spec.path)
    for table in getattr(kind, "stashes", None) or ():
        from tricorn.heavy import stash  # for who has some

        stash.ensure(table)
    app = kind()
    app.init()
    return app


class HeavyWorker:
    """One process's service, from READY to its end."""

    def __init__(
        self,
        pool: Pool,
        queues: Mapping[str, socket],
        assignment: Assignment,
        signals: SignalPipe,
        apps: Mapping[str, Loaded],
    ) -> None:
        self.assignment = assignment
        self.signals = signals
        self.apps = {path: each.app for path, each in apps.items()}
        self.lifeline = assignment.lifeline
        self.deadline: float | None = None  # of the drain
        self.ending = Lock()  # held by who ends the process
        row = assignment.row
        scarce = frozenset(path for path, each in apps.items() if each.is_scarce)
        self.serving = Serving(self.apps, queues, row.cells, row, pool.timeout, self._is_stuck, scarce)
        forks.let_go(self.serving.let_go)

    def run(self) -> int:
        self.serving.start_others()
        Thread(target=self._keep, name="tricorn-house", daemon=True).start()
        self.serving.work()
        self.ending.acquire()
        self._close_apps()
        return EXIT_OK

    def _close_apps(self) -> None:
        for path, app in self.apps.items():
            try:
                app.close()
            except Exception:
                log.exception("The heavy application %s raised when it was closed", path)

    def _keep(self) -> None:
        """Keep house until the worker's end, as a thread of its own. Ends the process if the main thread
        stays inside the application."""
        try:
            self._enter(scoreboard.READY)
            while self._goes_on():
                pass
            self._end()
        except BaseException:
            log.critical("The house of a heavy worker failed", exc_info=True)
            os.abort()

    def _goes_on(self) -> bool:
        row = self.assignment.row
        row.beat()
        row.tick_ns = scoreboard.monotonic_ns()
        lifelines = [self.lifeline] if self.lifeline >= 0 else []
        self.serving.look_around([self.signals.fd, *lifelines])
        for command in self.signals.take():
            if command is Command.QUIT:
                return False
            if command is Command.REOPEN:
                log_setup.reopen()
            else:
                self._drain()
        if self.lifeline >= 0 and is_readable(self.lifeline):
            log.warning("The master is gone; this heavy worker finishes its calls and exits")
            self.lifeline = -1
            self._drain()
        if self.deadline is None:
            return True
        return self.serving.running > 0 and not self.serving.is_stuck and monotonic() < self.deadline

    def _enter(self, state: int) -> None:
        row = self.assignment.row
        row.beat()
        row.state = state
        self.assignment.notify()

    def _drain(self) -> None:
        if self.deadline is None:
            self.deadline = end_of_drain(self.assignment.settings)
            drain.begin()
            self.serving.stop_taking()
            self._enter(scoreboard.DRAINING)

    def _is_stuck(self) -> None:
        ask_for_successor(self.assignment, scoreboard.STUCK)

    def _end(self) -> None:
        self.serving.stop_taking()
        self.serving.cut()
        self.serving.finish()
        end = monotonic() + LAST_CALL
        while self.serving.running and monotonic() < end:
            sleep(0.002)
        if self.serving.running and self.ending.acquire(blocking=False):
            # What belongs to the application is the kernel's to clear away: its thread does not come back.
            self.assignment.leave(EXIT_OK)


def run_stash(pool: Pool, queues: Mapping[str, socket], assignment: Assignment) -> int:
    """The life of the process that keeps the stash. Returns its exit code."""
    del pool  # there is one, and it is always the same
    signals = _begin(assignment)
    (queue,) = queues.values()
    counter = Counter(Tables(), queue)
    row, lifeline = assignment.row, assignment.lifeline
    row.beat()
    row.state = scoreboard.READY
    assignment.notify()
    deadline: float | None = None
    while deadline is None or (not counter.is_idle and monotonic() < deadline):
        row.beat()
        counter.look_around([signals.fd, *([lifeline] if deadline is None else [])], LOOK)
        commands = signals.take()
        if Command.REOPEN in commands:
            log_setup.reopen()
        if Command.QUIT in commands:
            break
        if deadline is None and (Command.DRAIN in commands or is_readable(lifeline)):
            deadline = end_of_drain(assignment.settings)
            counter.is_open = False
            row.state = scoreboard.DRAINING
            assignment.notify()
    return EXIT_OK
