"""From one process of ours to the next: the fork, and everything between it and what the new one is for.

Knows: processes, descriptors, privileges. Must not know: why a process is wanted, or what it does.

What a worker gets from the master, or from a mold, by being forked, and loses here: the signal handlers, the
descriptors that only the other may hold, the master's identity. What it keeps: memory (the preloaded
application, the scoreboard) and the listeners. The `random` module seeds itself anew after a fork
(`os.register_at_fork` in the standard library), so workers do not draw the same numbers.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from os import getpid, write  # ours, also when a preloaded application puts others in their place
from socket import socket
from typing import Any, NoReturn

from setproctitle import setproctitle

from tricorn import forks, scoreboard
from tricorn.arbiter import signals
from tricorn.arbiter.children import FAILURE_TEXT_MAX, WAKE, Generation
from tricorn.config.settings import Settings
from tricorn.handover import EXIT_BOOT, EXIT_FAILURE, EXIT_OK, LOOP_EXECUTOR, Assignment, RunWorker
from tricorn.hooks.found import HookError, said_of
from tricorn.hooks.worker import WorkerHooks
from tricorn.log import setup as log_setup
from tricorn.records import dataclass
from tricorn.scoreboard import Row
from tricorn.sigaction import restore_default

log = logging.getLogger("tricorn.error")

#: Beyond `graceful_timeout`, how long threads and exit hooks may go on, seconds.
LAST_GRACE = 5.0

#: What threads that nobody waits for are given all the same, seconds.
LAST_STEPS = 1.0


@dataclass(frozen=True)
class Birth:
    """What a new process does, in this order.

    name: what it is, for the log.
    forget: closes what only the process that it comes from may hold.
    work: what it is for; its argument is the writing end of its status pipe, its result the exit code.
    leave: ends it.
    """

    name: str
    forget: Callable[[], None]
    work: Callable[[int], int]
    leave: Callable[[int], NoReturn]


@dataclass(frozen=True)
class Job:
    """What a worker needs, or the attendant.

    lifeline: the end of the pipe that workers watch.
    forget: closes, in the worker, what only the process may hold that forks it.
    application: what a mold has loaded, else None.
    orders: what the worker is told by if it becomes a mold; None: it will not. promote: makes it one; its
        argument is the writing end of its status pipe.
    role: what the process is called.
    hooks: of this worker; None: there are none.
    """

    run_worker: RunWorker
    generation: Generation
    row: Row
    lifeline: int
    forget: Callable[[], None]
    application: Any = None
    orders: socket | None = None
    promote: Callable[[int], NoReturn] | None = None
    role: str = "worker"
    hooks: WorkerHooks | None = None


def spawn(job: Job) -> tuple[int, int]:
    """Start a worker; gives its process id and the reading end of its status pipe. OSError: no process."""
    begin(job.row, job.generation)
    return start(birth_of(job))


def begin(row: Row, generation: Generation) -> None:
    """Write down that a process is about to come."""
    row.state = scoreboard.BOOTING
    row.generation = generation.number
    row.started_ns = scoreboard.monotonic_ns()


def birth_of(job: Job) -> Birth:
    return Birth(
        job.role.capitalize(), job.forget, lambda writer: _work(job, writer), lambda code: _leave(job, code)
    )


def start(birth: Birth) -> tuple[int, int]:
    """Fork a process; gives its process id and the reading end of its status pipe. OSError: there is none."""
    reader, writer = status_pipe()
    try:
        pid = fork_off(birth, writer, reader=reader)
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    return pid, reader


def status_pipe() -> tuple[int, int]:
    """Its reading end and its writing end. OSError: too many files are open."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    # A full pipe means that the master has not looked for 64 KiB: it needs no further wake.
    os.set_blocking(writer, False)
    return reader, writer


def fork_off(
    birth: Birth, writer: int, *, reader: int | None = None, fork: Callable[[], int] = os.fork
) -> int:
    """Fork a process that has this end of its status pipe; gives its process id. OSError: there is none."""
    # What is buffered now would be written by both processes.
    _flush()
    # A signal between the fork and the reset of the handlers would run our handlers in the child, and its
    # number would come to us through the shared pipe.
    with signals.blocked() as mask, forks.of_our_own():
        pid = fork()
        if pid == 0:
            _live(birth, reader, writer, mask)
    return pid


def process_title(role: str, settings: Settings | None = None) -> str:
    """What `ps` shows; without settings, how all such titles begin."""
    name = settings and (settings.proc_name or settings.wsgi_app)
    return f"tricorn: {role} [{name}]" if name else f"tricorn: {role}"


def _live(birth: Birth, reader: int | None, writer: int, mask: set[int]) -> NoReturn:
    """The child's whole life. Never returns into the frames that it comes from, whatever happens."""
    code = EXIT_FAILURE
    try:
        signals.become_worker()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if reader is not None:
            os.close(reader)
        birth.forget()
        _disown_children()
        code = birth.work(writer)
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else EXIT_FAILURE
    except BaseException:
        log.exception("%s %d failed", birth.name, getpid())
    finally:
        birth.leave(code)


def _disown_children() -> None:
    """A preloaded application may have started processes with multiprocessing, which ends and joins what it
    takes for its own when this process ends. They are the mold's."""
    process = sys.modules.get("multiprocessing.process")
    if process is not None:
        process._children.clear()  # as multiprocessing does in its own processes; there is no public way


class Status:
    """The writing end of a status pipe."""

    def __init__(self, writer: int) -> None:
        self._writer = writer

    def notify(self) -> None:
        self._tell(WAKE)

    def fail(self, text: str) -> None:
        self._tell(text.encode("utf-8", "backslashreplace").replace(WAKE, b"\\0")[:FAILURE_TEXT_MAX])

    def _tell(self, message: bytes) -> None:
        if forks.is_stranger():
            return  # the number may be another file's here
        # BlockingIOError: it has been told enough. BrokenPipeError: the master is gone, the lifeline says so.
        with suppress(BlockingIOError, BrokenPipeError):
            write(self._writer, message)

    def close(self) -> None:
        os.close(self._writer)


def _work(job: Job, writer: int) -> int:
    generation = job.generation
    # First: from a mold the master hears of this process by nothing else.
    job.row.pid = getpid()
    is_retired = False

    def let_go() -> None:
        _let_go(job, writer)

    def retired() -> None:
        nonlocal is_retired
        is_retired = True

    forks.let_go(let_go)
    status = Status(writer)
    setproctitle(process_title(job.role, generation.settings))
    if job.hooks is not None:
        try:
            job.hooks.forked(getpid())
        except HookError as error:
            status.fail(said_of(error))
            return EXIT_BOOT
    if generation.settings.umask is not None:
        os.umask(generation.settings.umask)
    try:
        # Before any line of the application runs (with preload_app it has run already, as the master).
        generation.identity.assume()
    except OSError as error:
        status.fail(
            f"Cannot become user {generation.identity.uid}, group {generation.identity.gid}: {error.strerror}"
        )
        return EXIT_BOOT
    if generation.certificates is not None:
        # A mold has those that there were when it was made.
        generation.certificates.take()
    code = job.run_worker(
        Assignment(
            settings=generation.settings,
            listeners=generation.listeners,
            row=job.row,
            lifeline=job.lifeline,
            notify=status.notify,
            fail=status.fail,
            leave=lambda code: _leave(job, code),
            application=job.application,
            certificates=generation.certificates,
            retired=retired,
            hooks=job.hooks,
            wishes=generation.wishes,
        )
    )
    if code == EXIT_OK and job.promote is not None and job.row.stopping == scoreboard.REFORK:
        if job.hooks is not None:
            job.hooks.ends()
        if (reason := _maybe_obstacle(is_retired=is_retired)) is None:
            forks.retire(let_go)
            job.promote(writer)
        log.warning("Worker %d cannot become the mold, and ends: %s", getpid(), reason)
    return code


def _maybe_obstacle(*, is_retired: bool) -> str | None:
    """Why nobody may be forked from this process. Threads of ours have some time to end."""
    if not is_retired:
        return "an event loop has run in it"
    end = scoreboard.monotonic_ns() + int(LAST_STEPS * 1e9)
    while len(os.listdir("/proc/self/task")) > 1:
        if scoreboard.monotonic_ns() >= end:
            names = [repr(each.name) for each in threading.enumerate() if each is not threading.main_thread()]
            return f"the application has threads: {', '.join(sorted(names)) or 'of a compiled extension'}"
        time.sleep(0.002)
    return None


def _let_go(job: Job, writer: int) -> None:
    """In a process that the application forks: what is the worker's own, or shared with the master."""
    os.close(writer)
    os.close(job.lifeline)
    for listener in job.generation.listeners:
        listener.close()
    if job.orders is not None:
        job.orders.close()
    job.generation.board.detach()
    log_setup.let_go()


def _leave(job: Job, code: int) -> NoReturn:
    """End the process as the interpreter would, but without going back through the frames that it comes from.

    Threads and exit hooks of the application (a pool's last jobs, telemetry being sent) get their turn; the
    port does not wait for them, else a worker that hangs here would keep the next instance from it.
    """
    if forks.is_stranger():
        os._exit(code)  # neither our exit hooks nor what is buffered are its business
    try:
        for listener in job.generation.listeners:
            with suppress(OSError):  # the application has closed it
                listener.close()
        _end_in(job.generation.settings.graceful_timeout)
        if job.hooks is not None:
            job.hooks.ends()
        # The two halves of the interpreter's own end, in its order; multiprocessing does the same.
        if not _only_executors_run(LAST_STEPS):
            threading._shutdown()  # type: ignore[attr-defined]  # not public, and there is no public way
        atexit._run_exitfuncs()
        _flush()
    except BaseException:
        log.exception("Worker %d failed while exiting", os.getpid())
    finally:
        os._exit(code)


def _only_executors_run(patience: float) -> bool:
    """Whether only threads of event loops' executors are left. They have `patience` seconds to end.

    Those of a loop that runs in a daemon thread are daemons too, and would be waited for all the same.
    """
    end = time.monotonic() + patience
    here = (threading.main_thread(), threading.current_thread())
    while True:
        threads = [each for each in threading.enumerate() if each not in here]
        left = [each for each in threads if each.name.startswith(LOOP_EXECUTOR)]
        if any(not each.daemon for each in threads if each not in left):
            return False
        if not left or time.monotonic() >= end:
            return bool(left)
        left[0].join(max(0.0, end - time.monotonic()))


def _end_in(graceful_timeout: float) -> None:
    """The master kills who does not end. If it is gone itself, the kernel has to: nothing in this process is
    sure to run."""
    if graceful_timeout:
        restore_default(signal.SIGALRM)  # this need not be the main thread
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
        signal.setitimer(signal.ITIMER_REAL, graceful_timeout + LAST_GRACE)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        # A closed stream or a reader that has gone must not keep a worker from starting or ending, nor what
        # the application has put in its place.
        with suppress(Exception):
            stream.flush()
