"""Hooks in the master: what they are called with, and what is done so that the master survives them.

Knows: the hooks of a configuration, signals, the records of children. Must not know: when which hook is due
(the arbiter says that), what is decided.

A hook is foreign code in the one process on which all others depend, and the master's loop waits for it:

- What it takes (signals, the wake-up descriptor, the signal mask) is taken back when it returns.
- Signals that tell the master to stop reach it although the hook does not return. During the first start the
  first of them ends the process. Later, when workers have something to lose, the hook has some seconds from
  then on, or until the next such signal; then it is left by an exception.
- Who wonders why nothing happens finds the name of the hook in the log.
- The silence of workers that the master could not listen to is not held against them.
- A process that it forks and that comes back here is ended.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import Any

from tricorn import forks
from tricorn.arbiter.children import ChildRecord, Generation, Registry
from tricorn.arbiter.signals import Interrupted, SignalPipe
from tricorn.arbiter.watch import watching
from tricorn.config.settings import Settings
from tricorn.handover import EXIT_FAILURE
from tricorn.hooks.found import HookError, Hooks, said_of
from tricorn.hooks.objects import Server, Worker, listening
from tricorn.log.error import block_of
from tricorn.scoreboard import Row

log = logging.getLogger("tricorn.error")

#: After so many seconds the log tells which hook the master waits for; then after twice as many, and so on.
SLOW = 5.0

#: How long a hook may go on when the master is told to stop, seconds.
PATIENCE = 3.0

#: How the log of a mold begins to tell that this hook has raised.
PRE_FORK = "the hook pre_fork"

#: A hook that takes longer has kept the master from looking at its workers, seconds.
STALL = 1.0


class MasterHooks:
    """The hooks as the master calls them.

    hold: takes the master's signals back from whom it is given the name of.
    """

    def __init__(
        self, settings: Settings, signals: SignalPipe, registry: Registry, hold: Callable[[str], None]
    ):
        self._signals = signals
        self._registry = registry
        self._hold = hold
        self.server = Server(settings, self._workers)
        #: When the last hook returned that has taken long.
        self.returned_at = 0.0

    # -- the moments ---------------------------------------------------------------------------------------

    def start(self, hooks: Hooks, workers: int, end: Callable[[int], object]) -> None:
        """The first two, in Gunicorn's order. end: of the process, when it is told to stop meanwhile. Raises
        HookError."""
        with watching(self._signals, end) if hooks.has("nworkers_changed", "on_starting") else _nothing():
            self._count(hooks, workers)
            self._run(hooks, "on_starting", self.server)

    def ready(self, generation: Generation, end: Callable[[int], object]) -> None:
        """The service listens, and has no workers yet. Raises HookError."""
        self._listen(generation)
        with watching(self._signals, end) if generation.hooks.has("when_ready") else _nothing():
            self._run(generation.hooks, "when_ready", self.server)

    def reload(self, generation: Generation, workers: int) -> None:
        """The settings are read again. Raises HookError, or Interrupted: told to stop."""
        self.server.use(generation.settings)
        self._listen(generation)
        self._count(generation.hooks, workers)
        self._run(generation.hooks, "on_reload", self.server)

    def stay(self, generation: Generation, workers: int) -> None:
        """A reload has come to nothing."""
        self.server.use(generation.settings)
        self._listen(generation)
        self.server.num_workers = workers

    def attend(self, generation: Generation, workers: int) -> None:
        """So many workers are wanted now."""
        if workers != self.server.num_workers:
            self._survive(self._count, generation.hooks, workers)

    def tell(self, hooks: Hooks, name: str, *arguments: Any) -> None:
        """The hook is called with the server and these. What it raises is logged; the service goes on."""
        self._survive(self._run, hooks, name, self.server, *arguments)

    def exits(self, hooks: Hooks) -> bool:
        """Everything is over. Whether the hook has come to its end."""
        return self._survive(self._run, hooks, "on_exit", self.server)

    def before_exec(self, hooks: Hooks) -> None:
        """In the process that becomes the newer master, which has no handlers any more. Raises HookError."""
        hooks.call("pre_exec", self.server)

    # -- workers -------------------------------------------------------------------------------------------

    def new_worker(self, generation: Generation, row: Row) -> Worker:
        self.server.worker_age += 1
        return worker_of(self.server, generation, row, self.server.worker_age)

    def before_fork(self, generation: Generation, worker: Worker) -> None:
        """Raises HookError; Interrupted: told to stop."""
        self._run(generation.hooks, "pre_fork", self.server, worker)

    def ended(self, child: ChildRecord) -> None:
        """A worker serves no more, whatever has become of its process."""
        worker, child.worker = child.worker, None
        if worker is not None:
            worker.bury()
            self.tell(child.generation.hooks, "child_exit", worker)

    def leaving(self) -> list[int]:
        """The process ids of workers that go, or are to be replaced."""
        now = monotonic()
        return [child.pid for child in self._registry if child.worker is not None and child.is_leaving(now)]

    def _workers(self) -> dict[int, Worker]:
        there = [child for child in self._registry if child.worker is not None and not child.is_ordered]
        workers = {child.pid: child.worker for child in there if child.worker is not None}
        tell_who_leaves(workers, self.leaving())
        return workers

    # -- details -------------------------------------------------------------------------------------------

    def _listen(self, generation: Generation) -> None:
        self.server.LISTENERS = listening(generation.settings, generation.listeners)

    def _count(self, hooks: Hooks, workers: int) -> None:
        before, self.server.num_workers = self.server.num_workers, workers
        self._run(hooks, "nworkers_changed", self.server, workers, before)

    def _survive(self, call: Callable[..., None], *arguments: Any) -> bool:
        try:
            call(*arguments)
        except HookError as error:
            report(error)
        except Interrupted:
            return False  # the log has told; the signal is in the pipe
        else:
            return True
        return False

    def _run(self, hooks: Hooks, name: str, *arguments: Any) -> None:
        if not hooks.has(name):
            return
        with self._guarded(name):
            hooks.call(name, *arguments)

    @contextmanager
    def _guarded(self, name: str) -> Iterator[None]:
        attendant = Attendant(name)
        try:
            with attendant.beside(), self._signals.patient(attendant.is_enough):
                yield
        except Interrupted:
            log.warning("The hook %s was left, because the master is told to stop", name)
            raise
        finally:
            if forks.is_stranger():
                _end_stranger(name)
            self._hold(f"The hook {name}")
            now = monotonic()
            if now - attendant.started_at > STALL:
                self.returned_at = now


class Attendant:
    """Beside a hook: a thread that tells who is waited for, and sees to it that a stop does not wait long."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.started_at = monotonic()
        self.asked_at: float | None = None
        self._thread = threading.get_ident()
        self._owner = os.getpid()
        self._done = threading.Event()

    def is_enough(self, number: int) -> bool:
        """In a signal handler: whether the hook has to be left now."""
        if number == signal.SIGCHLD:
            return self.asked_at is not None and monotonic() - self.asked_at >= PATIENCE
        is_second = self.asked_at is not None
        self.asked_at = monotonic()
        return is_second

    @contextmanager
    def beside(self) -> Iterator[None]:
        """The thread has gone when this is left, so nothing of ours is forked beside it."""
        thread = threading.Thread(target=self._attend, name="tricorn-hook", daemon=True)
        thread.start()
        try:
            yield
        finally:
            if os.getpid() == self._owner:
                self._done.set()
                thread.join()

    def _attend(self) -> None:
        told = SLOW
        while not self._done.wait(min(1.0, SLOW)):
            took = monotonic() - self.started_at
            if took >= told:
                log.warning("The hook %s has run for %.0f s; the master waits for it", self.name, took)
                told = 2 * took
            if self.asked_at is not None and monotonic() - self.asked_at >= PATIENCE:
                signal.pthread_kill(self._thread, signal.SIGCHLD)


def tell_who_leaves(workers: Mapping[int, Worker], leaving: Collection[int]) -> None:
    """`worker.alive` is False of those for the process that forks. Configurations that number their workers
    look there for the numbers that are free (a successor is forked while the one before still serves)."""
    for pid, worker in workers.items():
        worker.is_seen(alive=pid not in leaving)


def worker_of(server: Server, generation: Generation, row: Row, age: int) -> Worker:
    sockets = listening(generation.settings, generation.listeners)
    return Worker(age, server, generation.settings, sockets, row)


def report(error: HookError) -> None:
    """A hook has raised."""
    line, extra = block_of(said_of(error))
    log.error("%s", line[:1].upper() + line[1:], extra=extra)


def _end_stranger(name: str) -> None:
    log.error(
        "A process that the hook %s forked came back to the server, and is ended; such a process must end by "
        "itself, with os._exit()",
        name,
    )
    os._exit(EXIT_FAILURE)


@contextmanager
def _nothing() -> Iterator[None]:
    yield
