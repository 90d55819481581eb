"""A worker that shows no sign of life: why that is, and what is done so that it can tell.

Knows: what a silent worker's row says of it, /proc (proc_pid_stat(5)), limits of core files. Must not know:
when a worker is too silent, or that it is aborted for it.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
from contextlib import suppress

from tricorn.arbiter.children import ChildRecord
from tricorn.arbiter.ends import busy_with
from tricorn.procfs import stat_of
from tricorn.records import dataclass

log = logging.getLogger("tricorn.error")

#: A thread that ticks ten times a second and has not done so for this long does not run. Seconds.
STALE = 2.0

#: Getting the GIL takes milliseconds. Who has waited for this long does not get it. Seconds.
HELD = 0.2

#: By the state of a process in /proc.
STATES = {
    "T": "it is stopped (SIGSTOP)",
    "t": "it is stopped by a debugger",
}
WAITS = "D"


@dataclass(frozen=True)
class Evidence:
    """What is known of a silent worker. All times are seconds ago, None: there is no such time.

    state: of the process, a letter of proc_pid_stat(5); empty: not known.
    ticked: the last sign of a thread that does not need the GIL for it. Beside an event loop there may be no
        such thread.
    awaits_gil: since when that thread waits for the GIL.
    obstacle: what blocks the event loop; empty: nothing that is known.
    """

    state: str = ""
    ticked: float | None = None
    awaits_gil: float | None = None
    obstacle: str = ""


def reason(evidence: Evidence) -> str:
    """Why it is silent, as a clause; empty where nothing tells."""
    if evidence.state in STATES:
        return STATES[evidence.state]
    if evidence.awaits_gil is not None and evidence.awaits_gil >= HELD:
        return f"one of its threads holds the GIL, for {evidence.awaits_gil:.0f} s"
    if evidence.obstacle:
        return f"its event loop is blocked by {evidence.obstacle}"
    if evidence.state == WAITS:  # behind what is known for longer: one page that is read is such a wait, too
        return "it waits for the kernel, perhaps for a disk (state D)"
    if evidence.ticked is None and evidence.state:
        return f"its event loop is blocked: its thread {'computes' if evidence.state == 'R' else 'waits'}"
    if evidence.ticked is not None and evidence.ticked >= STALE:
        return (
            f"none of its threads has run for {evidence.ticked:.0f} s: it is suspended, or gets no processor"
        )
    return ""


def evidence_of(child: ChildRecord, now: float) -> Evidence:
    row = child.row
    return Evidence(
        state=state_of(child.pid),
        ticked=now - row.tick_ns / 1e9 if row.tick_ns else None,
        awaits_gil=now - row.awaits_gil_ns / 1e9 if row.awaits_gil_ns else None,
        obstacle=row.obstacle,
    )


def state_of(pid: int) -> str:
    """The letter; empty: the process has ended, or cannot be looked at."""
    stat = stat_of(pid)
    return stat[0] if stat else ""


def log_abort(child: ChildRecord, silent_for: float, now: float, evidence: Evidence) -> None:
    if not child.was_ready:
        log.error(
            "%s was not ready after %.0f s (boot_timeout): aborting it%s",
            child.name,
            silent_for,
            busy_with(child, now) or f"; {boot_step(child, now)}",  # a request of its own, of `warmup`
        )
        return
    why = reason(evidence)
    log.error(
        "%s has shown no sign of life for %.0f s (timeout): aborting it%s%s",
        child.name,
        silent_for,
        f"; {why}" if why else "",
        busy_with(child, now),
    )


def boot_step(child: ChildRecord, now: float) -> str:
    """What of its start takes so long."""
    if not child.row.loaded_ns:
        return "it is importing the application"
    loaded = child.row.loaded_ns / 1e9
    return (
        f"the application was imported after {loaded - child.started_at:.1f} s, and its start-up (lifespan) "
        f"has taken {now - loaded:.0f} s since then"
    )


def abort(child: ChildRecord, state: str) -> None:
    """Have it write its stacks and end; with `abort_core` also a core."""
    if child.is_ordered:
        return  # it has no process yet
    with suppress(ProcessLookupError):
        if child.generation.settings.abort_core:
            allow_core(child.pid)
        os.kill(child.pid, signal.SIGABRT)
        if state == "T":
            os.kill(child.pid, signal.SIGCONT)  # it cannot write anything before


def allow_core(pid: int) -> None:
    """Only now: what the application has started has no part in it. Raises ProcessLookupError."""
    try:
        _, hard = resource.prlimit(pid, resource.RLIMIT_CORE)
        resource.prlimit(pid, resource.RLIMIT_CORE, (hard, hard))
    except PermissionError as error:
        log.warning("abort_core: worker %d may not leave a core: %s", pid, error.strerror)
        return
    if hard == 0:
        log.warning(
            "abort_core: no core can be written, because the hard limit for its size is 0 (ulimit -Hc)"
        )
