"""From the master's process to a worker's: the fork and everything between it and `run_worker`.

Knows: processes, descriptors, privileges. Must not know: why a worker is wanted, or what it does.

What a worker gets from the master by being forked, and loses here: the signal handlers, the descriptors that
only the master may hold, the master's identity. What it keeps: memory (the preloaded application, the
scoreboard) and the listeners. The `random` module seeds itself anew after a fork
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
from dataclasses import dataclass
from typing import NoReturn

from setproctitle import setproctitle

from tricorn import forks, scoreboard
from tricorn.arbiter import signals
from tricorn.arbiter.children import FAILURE_TEXT_MAX, WAKE, Generation
from tricorn.config.settings import Settings
from tricorn.handover import EXIT_BOOT, EXIT_FAILURE, LOOP_EXECUTOR, Assignment, RunWorker
from tricorn.log import setup as log_setup
from tricorn.scoreboard import Row
from tricorn.sigaction import restore_default

log = logging.getLogger("tricorn.error")

#: Beyond `graceful_timeout`, how long threads and exit hooks may go on, seconds.
LAST_GRACE = 5.0

#: What threads that nobody waits for are given all the same, seconds.
LAST_STEPS = 1.0


@dataclass(frozen=True)
class Job:
    """What one fork needs.

    lifeline: the end of the pipe that workers watch.
    forget: closes, in the child, what only the master may hold.
    """

    run_worker: RunWorker
    generation: Generation
    row: Row
    lifeline: int
    forget: Callable[[], None]


def spawn(job: Job) -> tuple[int, int]:
    """Start a worker; gives its process id and the reading end of its status pipe. OSError: no process."""
    row = job.row
    row.state = scoreboard.BOOTING
    row.generation = job.generation.number
    row.started_ns = scoreboard.monotonic_ns()
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    # A full pipe means that the master has not looked for 64 KiB: it needs no further wake.
    os.set_blocking(writer, False)
    # What is buffered now would be written by both processes.
    _flush()
    try:
        # A signal between the fork and the reset of the handlers would run the master's in the child, and
        # its number would go to the master through the shared pipe.
        with signals.blocked() as mask, forks.of_our_own():
            pid = os.fork()
            if pid == 0:
                _live(job, reader, writer, mask)
    except BaseException:
        os.close(reader)
        os.close(writer)
        raise
    os.close(writer)
    return pid, reader


def process_title(role: str, settings: Settings | None = None) -> str:
    """What `ps` shows; without settings, how all such titles begin."""
    name = settings and (settings.proc_name or settings.wsgi_app)
    return f"tricorn: {role} [{name}]" if name else f"tricorn: {role}"


def _live(job: Job, reader: int, writer: int, mask: set[int]) -> NoReturn:
    """The child's whole life. Never returns into the master's frames, whatever happens."""
    code = EXIT_FAILURE
    try:
        signals.become_worker()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(reader)
        job.forget()
        _disown_children()
        code = _work(job, writer)
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else EXIT_FAILURE
    except BaseException:
        log.exception("Worker %d failed", os.getpid())
    finally:
        _leave(job, code)


def _disown_children() -> None:
    """A preloaded application may have started processes with multiprocessing, which ends and joins what it
    takes for its own when this process ends. They are the master's."""
    process = sys.modules.get("multiprocessing.process")
    if process is not None:
        process._children.clear()  # as multiprocessing does in its own processes; there is no public way


def _work(job: Job, writer: int) -> int:
    generation = job.generation
    forks.let_go(lambda: _let_go(job, writer))

    def notify() -> None:
        _tell(writer, WAKE)

    def fail(text: str) -> None:
        encoded = text.encode("utf-8", "backslashreplace").replace(WAKE, b"\\0")
        _tell(writer, encoded[:FAILURE_TEXT_MAX])

    job.row.pid = os.getpid()
    setproctitle(process_title("worker", generation.settings))
    if generation.settings.umask is not None:
        os.umask(generation.settings.umask)
    try:
        # Before any line of the application runs (with preload_app it has run already, as the master).
        generation.identity.assume()
    except OSError as error:
        fail(
            f"Cannot become user {generation.identity.uid}, group {generation.identity.gid}: {error.strerror}"
        )
        return EXIT_BOOT
    return job.run_worker(
        Assignment(
            settings=generation.settings,
            listeners=generation.listeners,
            row=job.row,
            lifeline=job.lifeline,
            notify=notify,
            fail=fail,
            leave=lambda code: _leave(job, code),
            application=generation.application,
            certificates=generation.certificates,
        )
    )


def _let_go(job: Job, writer: int) -> None:
    """In a process that the application forks: what is the worker's own, or shared with the master."""
    os.close(writer)
    os.close(job.lifeline)
    for listener in job.generation.listeners:
        listener.close()
    job.generation.board.detach()
    log_setup.let_go()


def _tell(writer: int, message: bytes) -> None:
    if forks.is_stranger():
        return  # the number may be another file's here
    # BlockingIOError: it has been told enough. BrokenPipeError: the master is gone, the lifeline says so.
    with suppress(BlockingIOError, BrokenPipeError):
        os.write(writer, message)


def _leave(job: Job, code: int) -> NoReturn:
    """End the process as the interpreter would, but without going back through the master's frames.

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
