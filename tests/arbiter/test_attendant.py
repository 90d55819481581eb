"""The process that answers health checks: when there is one, and what it is told. Values only."""

from __future__ import annotations

from typing import Any

import pytest

from tricorn.arbiter.attendant import STUCK_AFTER, numbers, settings_of
from tricorn.arbiter.decide import (
    Abort,
    Action,
    Child,
    Drain,
    Exit,
    Interrupt,
    Spawn,
    SpawnMold,
    State,
    decide,
    next_deadline,
    serves,
)
from tricorn.arbiter.target import (
    ADMIN,
    ATTENDANT,
    Mode,
    Target,
    alone,
    attended,
    first_target,
    paused,
    rested,
    retired,
    stopped,
    with_exit,
    with_failed_fork,
    with_ready,
    woken,
)
from tricorn.arbiter.target import (
    Exit as Ended,
)
from tricorn.config.settings import SETTINGS, Settings
from tricorn.records import replace
from tricorn.summary import Numbers

NOW = 1000.0
READY = State.READY


def child(pid: int, generation: int = 1, state: State = READY, **more: Any) -> Child:
    return Child(pid, generation, state, NOW, NOW, 30.0, 20.0, **more)


def serving(workers: int, **bounds: Any) -> Target:
    return with_ready(attended(first_target(workers, room=10, **bounds)), 1)


def beside(workers: int) -> Target:
    """Of a master that another one serves beside."""
    return attended(serving(workers), is_beside=True)


HEALTH = child(9, ATTENDANT)
WORKER = child(1)
MOLD = child(8, is_mold=True)
PRELOADED = serving(1, preloads=True)
STUCK_HEALTH = replace(
    child(9, ATTENDANT, State.BOOTING, boot_timeout=60.0), started_at=NOW - 90, heartbeat=NOW - 90
)
TOLD = child(9, ATTENDANT, interrupted_at=NOW)
SECOND_TO_STOP = stopped(beside(1), Mode.DRAINING)

CASES: list[tuple[str, list[Child], Target, list[Action]]] = [
    ("start", [], attended(first_target(1, 10)), [Spawn(1), Spawn(ATTENDANT)]),
    ("it is there", [WORKER, HEALTH], serving(1), []),
    ("it is no worker", [HEALTH], serving(1), [Spawn(1)]),
    ("it takes no row of theirs", [WORKER, HEALTH], replace(serving(2), room=2), [Spawn(1)]),
    ("it is gone", [WORKER], serving(1), [Spawn(ATTENDANT)]),
    ("it crashed", [WORKER], with_failed_fork(serving(1), ATTENDANT, NOW), []),
    ("they drain", [WORKER, HEALTH], stopped(serving(1), Mode.DRAINING), [Drain(1)]),
    ("they drain without it", [WORKER], stopped(serving(1), Mode.DRAINING), [Drain(1), Spawn(ATTENDANT)]),
    ("they have gone", [HEALTH], stopped(serving(1), Mode.DRAINING), [Interrupt(9)]),
    ("it was told", [TOLD], stopped(serving(1), Mode.DRAINING), []),
    ("they leave", [WORKER, HEALTH], stopped(serving(1, drain_delay=5.0), Mode.DRAINING, NOW), []),
    ("it is no mold", [HEALTH], PRELOADED, [SpawnMold(1)]),
    ("it does not come from one", [WORKER, MOLD], PRELOADED, [Spawn(ATTENDANT)]),
    ("the mold is there still", [MOLD, HEALTH], stopped(PRELOADED, Mode.DRAINING), [Drain(8)]),
    ("another master has taken over", [WORKER, HEALTH], retired(serving(1)), [Drain(1), Drain(9)]),
    ("another one serves for a while", [WORKER, HEALTH], rested(serving(1)), [Drain(1), Drain(9)]),
    ("it is back", [], woken(rested(serving(1))), [Spawn(1)]),
    ("it is back, and serves", [WORKER], woken(rested(serving(1))), [Spawn(ATTENDANT)]),
    ("it is back, alone", [], alone(woken(rested(serving(1)))), [Spawn(1), Spawn(ATTENDANT)]),
    ("beside another, some are there", [WORKER], beside(2), [Spawn(1)]),
    ("beside another, all are", [WORKER], beside(1), [Spawn(ATTENDANT)]),
    ("beside another, all were", [HEALTH], beside(1), [Spawn(1)]),
    ("beside another that stays", [WORKER, HEALTH], SECOND_TO_STOP, [Drain(1), Drain(9)]),
    ("a pause", [WORKER, HEALTH], paused(serving(1)), [Drain(1)]),
    ("it speaks of the pause", [HEALTH], paused(serving(1)), []),
    ("it never boots", [WORKER, STUCK_HEALTH], serving(1), [Abort(9, silent_for=90.0)]),
    ("all have gone", [], stopped(serving(1), Mode.DRAINING), [Exit(0)]),
    ("INT", [WORKER, HEALTH], stopped(serving(1), Mode.QUICK), [Interrupt(1), Interrupt(9)]),
]


@pytest.mark.parametrize(
    ("children", "target", "actions"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_decide(children: list[Child], target: Target, actions: list[Action]) -> None:
    assert decide(children, target, NOW) == actions


def test_it_is_backed_off_when_it_crashes_and_nobody_else_is() -> None:
    target = with_exit(serving(1), Ended(ATTENDANT, True, False, -11, 0.1), NOW)
    assert decide([WORKER], target, NOW) == []
    (plan,) = target.attendants
    assert decide([WORKER], target, plan.retry_at) == [Spawn(ATTENDANT)]
    drained = replace(WORKER, graceful_timeout=0.0, timeout=0.0, drained_at=NOW)
    for wakes in (target, stopped(target, Mode.DRAINING)):
        assert next_deadline([drained], wakes, NOW) == plan.retry_at
    assert target.plan == serving(1).plan


def test_two_of_them_are_apart() -> None:
    """One answers health checks, the other serves control."""
    both = attended(serving(1), ADMIN)
    other = child(10, ADMIN)
    assert decide([WORKER], both, NOW) == [Spawn(ATTENDANT), Spawn(ADMIN)]
    assert decide([WORKER, HEALTH], both, NOW) == [Spawn(ADMIN)]
    assert decide([WORKER, HEALTH, other], both, NOW) == []
    assert decide([HEALTH, other], stopped(both, Mode.DRAINING), NOW) == [Interrupt(9), Interrupt(10)]
    assert decide([WORKER, HEALTH, other], retired(both), NOW) == [Drain(1), Drain(9), Drain(10)]
    crashed = with_exit(both, Ended(ADMIN, True, False, -11, 0.1), NOW)
    assert decide([WORKER], crashed, NOW) == [Spawn(ATTENDANT)]
    assert other.is_attendant


def test_it_does_not_count() -> None:
    assert serves([WORKER], serving(1))
    assert not serves([HEALTH], serving(1))


def test_it_has_nothing_of_what_is_set_for_the_application() -> None:
    settings = Settings(
        wsgi_app="site:app",
        health_bind="unix:/run/health.sock",
        user=5,
        umask=0,
        preload_app=True,
        certfile="cert.pem",
        max_requests=10,
        max_memory=1,
        accesslog="-",
        warmup=("/",),
        ready_path="/readyz",
    )
    own = settings_of(settings)
    taken = {"wsgi_app", "bind", "worker_connections", "limit_request_body", "graceful_timeout", "user"}
    differing = {name for name in SETTINGS if getattr(own, name) != getattr(Settings(), name)}
    assert differing == taken
    assert (own.bind, own.user) == (("unix:/run/health.sock",), 5)


SILENT = replace(child(2), heartbeat=NOW - STUCK_AFTER - 1)
BOOTING = child(3, state=State.BOOTING)
LEAVING = child(4, drained_at=NOW)

#: children, target → wanted, ready, starting, stuck, stopping
COUNTS: list[tuple[list[Child], Target, tuple[int, int, int, int, int]]] = [
    ([WORKER, HEALTH], serving(1), (1, 1, 0, 0, 0)),
    ([WORKER, SILENT, BOOTING, LEAVING], serving(3), (3, 1, 1, 1, 0)),
    ([MOLD, child(7, state=State.BOOTING, is_mold=True)], serving(3), (3, 0, 0, 0, 0)),
    ([child(9, ATTENDANT, State.BOOTING), replace(BOOTING, aborted_at=NOW)], serving(3), (3, 0, 0, 0, 0)),
    ([WORKER], serving(3, unavailable=1), (2, 1, 0, 0, 0)),
    ([WORKER], serving(1, unavailable=1), (1, 1, 0, 0, 0)),
    ([WORKER], stopped(serving(1), Mode.DRAINING), (1, 1, 0, 0, 1)),
    ([WORKER], stopped(serving(1, drain_delay=5.0), Mode.DRAINING, NOW), (1, 1, 0, 0, 1)),
    ([], attended(first_target(2, 10)), (2, 0, 0, 0, 0)),
]


@pytest.mark.parametrize(("children", "target", "counts"), COUNTS)
def test_what_it_is_told(
    children: list[Child], target: Target, counts: tuple[int, int, int, int, int]
) -> None:
    assert numbers(children, target, NOW) == Numbers(10**12, *counts)
