"""How workers end: what the log says of each, and what the target is told.

Knows: exit codes, signals, the records of children, counts of kills for want of memory. Must not know: what
is decided by it, how processes are started.
"""

from __future__ import annotations

import logging
import signal

from tricorn import scoreboard
from tricorn.arbiter import oom
from tricorn.arbiter import target as targets
from tricorn.arbiter.children import NAMES, ChildRecord
from tricorn.arbiter.signals import signal_name
from tricorn.arbiter.target import Plan, Target
from tricorn.handover import EXIT_FAILURE
from tricorn.log.error import block_of

log = logging.getLogger("tricorn.error")

HINTS: dict[int, str] = {signal.SIGSEGV: "; a compiled extension of the application may be at fault"}


class Ends:
    """The ends of all workers."""

    def __init__(self) -> None:
        self._memory = oom.watch()

    def look(self, now: float) -> None:
        """Now and then, so that a rise of the counter is seen when it happens, not when it is asked for."""
        self._memory.look(now)

    def maybe_problem(self, child: ChildRecord, code: int | None, now: float) -> str | None:
        """Log how it has ended, while its row still tells what it was busy with. What was said, if that was
        no wish of ours; None also where it was said before. code: None: nobody can say."""
        text = child.failure_text()
        if not text:
            level, message = self._described(child, code, now)
            log.log(level, "%s", message)
            return message if level >= logging.ERROR else None
        if text in child.generation.reported:
            return None
        child.generation.reported.add(text)
        line, extra = block_of(text)
        log.error("%s could not start: %s", child.name, line, extra=extra)
        return text

    def _described(self, child: ChildRecord, code: int | None, now: float) -> tuple[int, str]:
        """How loud and in which words."""
        name = child.name
        if code is None:
            ended = f"{name} has exited, but something else in the master took its exit code"
            return logging.WARNING, ended
        if code < 0:
            ended = f"{name} was killed by {signal_name(-code)}"
            if child.was_told_to_end:
                return logging.INFO, ended
            return logging.ERROR, ended + self._hint(-code, now) + busy_with(child, now)
        if not child.was_ready and not child.was_asked_to_leave:
            return logging.ERROR, f"{name} exited with code {code} before it was ready"
        if code:
            return logging.ERROR, f"{name} exited with code {code}{busy_with(child, now)}"
        return logging.INFO, f"{name} has exited"

    def _hint(self, number: int, now: float) -> str:
        if number != signal.SIGKILL:
            return HINTS.get(number, "")
        rise = self._memory.maybe_rise(now)
        if rise is not None:
            # Of the whole machine the count may be somebody else's.
            cause = "memory ran out" if rise.counter.is_own else "probably because memory ran out"
            return f"; {cause} ({rise})"
        if self._memory.is_blind or self._memory.counter is None:
            return "; not by Tricorn: if memory ran out, the system log says so (dmesg, memory.events)"
        where = self._memory.counter.path
        return f"; not by Tricorn, and not because memory ran out ({where} counts no such kill)"


def log_kill(child: ChildRecord) -> None:
    """It is killed by us: why."""
    if child.is_condemned:
        log.info("%s is killed as it was wished", child.name)
    elif child.is_too_large:
        log.error("Worker %d has more memory than max_memory_hard: killed it", child.pid)
    elif child.was_ready:
        log.error("%s did not stop in time: killed it", child.name)
    else:
        log.info("%s was not ready yet: killed it", child.name)


def busy_with(child: ChildRecord, now: float) -> str:
    requests = child.running_requests(now)
    return f"; it was busy with {requests}" if requests else ""


def after_failure(target: Target, child: ChildRecord, now: float) -> Target:
    """A worker asks for a successor. Where it has to because of an exception soon after its start, it is as
    if it had crashed: its successor will have the same, and so on."""
    if child.row.worn != scoreboard.FAILED or child.ready_at is None:
        return target
    boot_time = child.ready_at - child.started_at
    ended = targets.Exit(
        child.generation.number, True, False, EXIT_FAILURE, now - child.started_at, boot_time
    )
    why = "Workers have to be replaced soon after their start"
    return _told(target, targets.with_exit(target, ended, now), now, why)


def judged(target: Target, child: ChildRecord, code: int | None, now: float) -> Target:
    """The target after this end; the log says if something is waited for because of it."""
    # An end that nobody saw is taken for a failure: at worst the next worker starts a moment later.
    known = EXIT_FAILURE if code is None else code
    uptime = now - child.started_at
    boot_time = uptime if child.ready_at is None else child.ready_at - child.started_at
    number = child.generation.number
    asked = child.was_asked_to_leave or child.is_condemned
    ended = targets.Exit(number, child.was_ready, asked, known, uptime, boot_time)
    return _told(target, targets.with_exit(target, ended, now), now, "Workers are crashing")


def without_fork(target: Target, generation: int, now: float) -> Target:
    """The hook pre_fork has raised: it is as if the worker could not start."""
    ended = targets.Exit(generation, False, False, EXIT_FAILURE, 0.0)
    return _told(target, targets.with_exit(target, ended, now), now, "Workers cannot be started")


def _told(before: Target, after: Target, now: float, why: str) -> Target:
    """The log says what is waited for from now on."""
    if after.plan.retry_at != before.plan.retry_at:
        _report_wait(after.plan, now, why, is_tried_again=after.fallback is None)
    for was, pool in zip(before.pools, after.pools, strict=True):
        if was.plan.retry_at != pool.plan.retry_at:
            wait = pool.plan.retry_at - now
            log.warning("Workers of the pool %s fail: starting the next one in %.1f s", pool.name, wait)
    for old, new in zip(before.attendants, after.attendants, strict=True):
        if old.retry_at != new.retry_at:
            name = NAMES[new.generation].lower()
            log.warning("The %s has failed: starting the next one in %.1f s", name, new.retry_at - now)
    if before.fallback and after.fallback and after.fallback.retry_at != before.fallback.retry_at:
        _report_wait(after.fallback, now, why, is_tried_again=True)
    return after


def _report_wait(plan: Plan, now: float, why: str, *, is_tried_again: bool) -> None:
    wait = plan.retry_at - now
    if not plan.is_in_doubt:
        log.warning("%s: starting the next one in %.1f s", why, wait)
    elif not plan.is_hopeless and is_tried_again:
        limit = f" of {plan.max_boot_failures}" if plan.max_boot_failures else ""
        log.warning(
            "No worker could start: try %d%s (max_boot_failures); the next one in %.1f s",
            plan.boot_failures,
            limit,
            wait,
        )
