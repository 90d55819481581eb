"""decide() and the target's changes: values in, values out; no process, no clock."""

from __future__ import annotations

from typing import Any

import pytest

from tricorn import handover
from tricorn.arbiter.decide import (
    ABORT_GRACE,
    BOOT_GRACE,
    CORE_GRACE,
    MOLD_GRACE,
    QUICK_GRACE,
    Abandon,
    Abort,
    Action,
    Child,
    Drain,
    EndDelay,
    Exit,
    Interrupt,
    Kill,
    Spawn,
    SpawnMold,
    State,
    decide,
    next_deadline,
    serves,
)
from tricorn.arbiter.target import (
    BACKOFF_LAST,
    EXIT_BOOT,
    HEALTHY_AFTER,
    Mode,
    Plan,
    Target,
    abandoned,
    delayed,
    fewer,
    first_target,
    more,
    paused,
    reloaded,
    rested,
    resumed,
    retired,
    sized,
    stopped,
    with_exit,
    with_failed_fork,
    with_ready,
    woken,
)
from tricorn.arbiter.target import Exit as Ended
from tricorn.records import replace

NOW = 1000.0
B, R = State.BOOTING, State.READY


def child(pid: int, generation: int = 1, state: State = R, age: float = 0.0, **more: Any) -> Child:
    return Child(pid, generation, state, NOW - age, NOW, 30.0, 20.0, **more)


def serving(workers: int) -> Target:
    """Generation 1 is up."""
    return with_ready(first_target(workers, room=100), 1)


def on_trial(workers: int, new_workers: int | None = None) -> Target:
    """Generation 1 is up, generation 2 was asked for."""
    return reloaded(serving(workers), new_workers or workers, room=100)


def taking_over(workers: int, new_workers: int | None = None) -> Target:
    """The first worker of generation 2 was READY."""
    return with_ready(on_trial(workers, new_workers), 2)


def bounded(workers: int, surge: int, unavailable: int) -> Target:
    return with_ready(first_target(workers, room=100, surge=surge, unavailable=unavailable), 1)


def preloading(workers: int) -> Target:
    """Generation 1 is up, and has a mold."""
    return with_ready(first_target(workers, room=100, preloads=True), 1)


def recast(workers: int) -> Target:
    """The same, and generation 2 was asked for."""
    return reloaded(preloading(workers), workers, room=100, preloads=True)


def mold(pid: int, generation: int = 1, state: State = R, **more: Any) -> Child:
    return child(pid, generation, state, is_mold=True, **more)


def leaving(target: Target, since: float = NOW, delay: float = 10.0) -> Target:
    """It was told to stop, with a delay."""
    plans = {
        name: replace(plan, drain_delay=delay)
        for name in ("plan", "fallback")
        if (plan := getattr(target, name)) is not None
    }
    return stopped(replace(target, **plans), Mode.DRAINING, since)


def failing(target: Target) -> Target:
    """A worker of the new generation has tried to boot."""
    return replace(target, plan=replace(target.plan, boot_failures=1))


def backed_off(target: Target) -> Target:
    return replace(target, plan=replace(target.plan, retry_at=NOW + 1))


# -- the table: what there is, what shall be, what is done -------------------------------------------------

CASES: list[tuple[str, list[Child], Target, list[Action]]] = [
    ("start", [], first_target(3, 100), [Spawn(1)] * 3),
    ("booting ones count", [child(1, state=B)], first_target(2, 100), [Spawn(1)]),
    ("nothing to do", [child(1), child(2)], serving(2), []),
    ("one is missing", [child(1)], serving(2), [Spawn(1)]),
    ("one drains by itself", [child(1), child(2, state=State.DRAINING)], serving(2), [Spawn(1)]),
    ("one too many: the oldest", [child(1, age=5), child(2, age=9)], serving(1), [Drain(2)]),
    ("one too many: who still boots", [child(1, age=5), child(2, state=B)], serving(1), [Drain(2)]),
    ("told once", [child(1), child(2, drained_at=NOW)], serving(1), []),
    # killed by wish
    ("one is to be killed", [child(1), child(2, is_condemned=True)], serving(2), [Kill(2), Spawn(1)]),
    ("it is killed once", [child(1), child(2, is_condemned=True, killed_at=NOW)], serving(1), []),
    (
        "also while it boots",
        [child(1), child(2, state=B, is_condemned=True)],
        serving(2),
        [Kill(2), Spawn(1)],
    ),
    # a pause
    ("all leave", [child(1), child(2, state=B)], paused(serving(2)), [Drain(1), Drain(2)]),
    ("nobody comes", [], paused(serving(2)), []),
    ("the mold stays", [mold(9)], paused(preloading(2)), []),
    ("it ends with the pause", [mold(9)], stopped(paused(preloading(2)), Mode.DRAINING), [Drain(9)]),
    ("they come back", [], resumed(paused(serving(2))), [Spawn(1), Spawn(1)]),
    ("they come back from the mold", [mold(9)], resumed(paused(preloading(1))), [Spawn(1)]),
    ("a stop in it", [], stopped(paused(serving(2)), Mode.DRAINING, NOW), [Exit(0)]),
    # a reload
    ("one successor", [child(1), child(2)], on_trial(2), [Spawn(2)]),
    ("nobody is drained for a promise", [child(1), child(2), child(3, 2, B)], on_trial(2), []),
    ("a worker lost during the trial", [child(1), child(3, 2, B)], on_trial(2), [Spawn(1)]),
    ("fewer during the trial", [child(1, age=2), child(2), child(3, 2, B)], fewer(on_trial(2)), [Drain(1)]),
    (
        "one for one",
        [child(1, age=5), child(2, age=9), child(3, 2)],
        taking_over(2),
        [Spawn(2), Drain(2)],
    ),
    ("the next one boots", [child(1), child(3, 2), child(4, 2, B)], taking_over(2), []),
    ("the last one goes", [child(1), child(3, 2), child(4, 2)], taking_over(2), [Drain(1)]),
    (
        "fewer wanted",
        [child(1), child(2), child(3), child(9, 2)],
        taking_over(3, 1),
        [Drain(1), Drain(2), Drain(3)],
    ),
    ("more wanted", [child(1), child(9, 2)], taking_over(1, 3), [Spawn(2)]),
    ("two were lost", [child(1), child(9, 2)], taking_over(4), [Spawn(2)] * 2),
    ("old and still booting", [child(1), child(2, 1, B), child(9, 2)], taking_over(2), [Drain(2), Spawn(2)]),
    (
        "reload during a trial",
        [child(1), child(9, 2, B)],
        reloaded(on_trial(1), 1, 100),
        [Spawn(3), Drain(9)],
    ),
    # workers that have to be replaced
    ("worn: a successor first", [child(1, is_worn=True), child(2)], serving(2), [Spawn(1)]),
    ("worn: it boots", [child(1, is_worn=True), child(2), child(3, state=B)], serving(2), []),
    ("worn: it is ready", [child(1, is_worn=True), child(2), child(3)], serving(2), [Drain(1)]),
    ("worn: one at a time", [child(n, is_worn=True) for n in (1, 2, 3)], serving(3), [Spawn(1)]),
    ("worn and not wanted", [child(1, is_worn=True), child(2)], serving(1), [Drain(1)]),
    ("old enough", [child(1, worn_at=NOW), child(2, worn_at=NOW + 1)], serving(2), [Spawn(1)]),
    ("still booting is not old", [child(1, state=B, worn_at=NOW)], serving(1), []),
    ("worn during a trial", [child(1, is_worn=True), child(9, 2, B)], on_trial(1), []),
    (
        "worn and old",
        [child(1, is_worn=True), child(2), child(9, 2)],
        taking_over(2),
        [Spawn(2), Drain(1)],
    ),
    ("worn while crashing", [child(1, is_worn=True)], backed_off(serving(1)), []),
    ("two at once", [child(n, is_worn=True) for n in (1, 2, 3)], bounded(3, 2, 0), [Spawn(1)] * 2),
    ("one may be missing", [child(1, is_worn=True), child(2)], bounded(2, 0, 1), [Spawn(1), Drain(1)]),
    (
        "one is missing already",
        [child(1, is_worn=True, drained_at=NOW), child(2)],
        bounded(2, 0, 1),
        [Spawn(1)],
    ),
    ("too large", [child(1, is_too_large=True), child(2)], serving(2), [Kill(1), Spawn(1)]),
    ("too large and killed", [child(1, is_too_large=True, killed_at=NOW)], serving(1), [Spawn(1)]),
    # the board is full
    ("no room", [child(1), child(2, drained_at=NOW)], replace(serving(2), room=2), []),
    ("room for one", [child(1)], replace(serving(5), room=2), [Spawn(1)]),
    # told to stop, with a delay: as if nothing had happened
    ("delay: nothing to do", [child(1), child(2)], leaving(serving(2)), []),
    ("delay: one is missing", [child(1)], leaving(serving(2)), [Spawn(1)]),
    ("delay: worn", [child(1, is_worn=True), child(2)], leaving(serving(1)), [Drain(1)]),
    ("delay: during a trial", [child(1), child(9, 2, B)], leaving(on_trial(1)), []),
    ("delay: nobody boots", [child(1)], leaving(failing(on_trial(1))), [Abandon(2)]),
    ("delay: the mold is needed", [child(1, mold=9), mold(9)], leaving(preloading(1)), []),
    ("delay: it is over", [child(1)], leaving(serving(1), NOW - 10), [EndDelay()]),
    ("delay: it was over", [child(1)], delayed(leaving(serving(1), NOW - 10)), [Drain(1)]),
    ("delay: nobody to wait for", [child(1, state=B)], leaving(first_target(1, 100)), [Drain(1)]),
    # stopping
    ("TERM", [child(1), child(2, state=B)], stopped(serving(2), Mode.DRAINING), [Drain(1), Drain(2)]),
    ("TERM was said", [child(1, drained_at=NOW)], stopped(serving(1), Mode.DRAINING), []),
    ("TERM is done", [], stopped(serving(1), Mode.DRAINING), [Exit(0)]),
    (
        "INT",
        [child(1), child(2, drained_at=NOW)],
        stopped(serving(2), Mode.QUICK),
        [Interrupt(1), Interrupt(2)],
    ),
    ("INT was said", [child(1, interrupted_at=NOW)], stopped(serving(1), Mode.QUICK), []),
    ("INT is done", [], stopped(serving(1), Mode.QUICK), [Exit(0)]),
    # a newer master serves
    ("rest", [child(1), child(2, state=B)], rested(serving(2)), [Drain(1), Drain(2)]),
    ("at rest", [], rested(serving(2)), []),
    ("woken", [child(1, drained_at=NOW)], woken(rested(serving(2))), [Spawn(1), Spawn(1)]),
    ("retire", [child(1), child(2, drained_at=NOW)], retired(serving(2)), [Drain(1)]),
    ("retired", [], retired(serving(2)), [Exit(0)]),
    ("rest: the mold stays", [child(1), mold(9)], rested(preloading(1)), [Drain(1)]),
    ("at rest, with a mold", [mold(9)], rested(preloading(1)), []),
    ("retire: the mold goes last", [mold(9)], retired(preloading(1)), [Drain(9)]),
    # molds
    ("a mold comes first", [], first_target(2, 100, preloads=True), [SpawnMold(1)]),
    ("it loads the application", [mold(9, state=B)], first_target(2, 100, preloads=True), []),
    ("it forks", [mold(9)], first_target(2, 100, preloads=True), [Spawn(1)] * 2),
    ("an order counts", [mold(9), child(1, state=B, is_ordered=True)], preloading(2), [Spawn(1)]),
    ("nobody is wanted: no new mold", [child(1), child(2)], preloading(2), []),
    ("a worker is wanted: a new mold", [child(1)], preloading(2), [SpawnMold(1)]),
    ("the old one still ends", [child(1), mold(9, drained_at=NOW)], preloading(2), []),
    ("a new mold while crashing", [child(1)], backed_off(preloading(2)), []),
    ("it needs no row", [mold(9), child(1)], replace(preloading(2), room=2), [Spawn(1)]),
    ("a mold of the trial", [mold(9), child(1)], recast(1), [SpawnMold(2)]),
    ("the trial's first", [mold(9), child(1), mold(8, 2)], recast(1), [Spawn(2)]),
    (
        "an old worker lost during the trial",
        [mold(9), child(1), mold(8, 2, B)],
        recast(2),
        [Spawn(1)],
    ),
    (
        "an old mold has workers",
        [mold(9), child(1, drained_at=NOW, mold=9), child(2, 2)],
        with_ready(recast(1), 2),
        [],
    ),
    ("and none any more", [mold(9), child(2, 2)], with_ready(recast(1), 2), [Drain(9)]),
    (
        "a trial of a trial",
        [mold(9), child(1), mold(8, 2, B)],
        reloaded(recast(1), 1, 100, preloads=True),
        [SpawnMold(3), Drain(8)],
    ),
    ("no longer preloaded", [mold(9), child(1)], reloaded(preloading(1), 1, 100), [Spawn(2)]),
    (
        "the mold failed",
        [mold(9), child(1)],
        with_exit(recast(1), Ended(2, False, False, EXIT_BOOT, 0.1), NOW),
        [Abandon(2)],
    ),
    (
        "the trial's worker failed, its mold is there",
        [mold(9), child(1), mold(8, 2)],
        with_exit(recast(1), Ended(2, False, False, EXIT_BOOT, 0.1), NOW),
        [Abandon(2)],
    ),
    ("after that its mold goes", [mold(9), child(1), mold(8, 2)], abandoned(recast(1)), [Drain(8)]),
    # a worker becomes the mold
    (
        "two molds, one superseded",
        [mold(9, is_superseded=True), mold(8), child(1, mold=9)],
        preloading(2),
        [Spawn(1)],
    ),
    (
        "workers are replaced from the new one",
        [mold(9, is_superseded=True), mold(8), child(1, mold=9, is_worn=True)],
        preloading(1),
        [Spawn(1)],
    ),
    (
        "the superseded one goes with its last worker",
        [mold(9, is_superseded=True), mold(8), child(1, mold=8)],
        preloading(1),
        [Drain(9)],
    ),
    (
        "a superseded one forks nobody",
        [mold(9, is_superseded=True), child(1, mold=9)],
        preloading(2),
        [SpawnMold(1)],
    ),
    ("TERM: workers first", [mold(9), child(1, mold=9)], stopped(preloading(1), Mode.DRAINING), [Drain(1)]),
    ("TERM: then the mold", [mold(9)], stopped(preloading(1), Mode.DRAINING), [Drain(9)]),
    (
        "TERM: it loads",
        [mold(9, state=B), child(1, mold=9)],
        stopped(preloading(1), Mode.DRAINING),
        [Drain(9), Drain(1)],
    ),
    (
        "TERM: an order keeps nobody",
        [mold(9), child(1, state=B, is_ordered=True, mold=9)],
        stopped(preloading(1), Mode.DRAINING),
        [Drain(9), Drain(1)],
    ),
    ("INT: workers first", [mold(9), child(1, mold=9)], stopped(preloading(1), Mode.QUICK), [Interrupt(1)]),
    ("INT: then the mold", [mold(9, drained_at=NOW)], stopped(preloading(1), Mode.QUICK), [Interrupt(9)]),
]


@pytest.mark.parametrize(
    ("children", "target", "actions"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_decide(children: list[Child], target: Target, actions: list[Action]) -> None:
    assert decide(children, target, NOW) == actions


# -- limits of one child -----------------------------------------------------------------------------------

READY_CHILD = Child(1, 1, R, started_at=0.0, heartbeat=100.0, timeout=30.0, graceful_timeout=20.0)
BOOTING_CHILD = replace(READY_CHILD, state=B, heartbeat=0.0, boot_timeout=60.0)
UNLIMITED_CHILD = replace(BOOTING_CHILD, timeout=0, graceful_timeout=0, boot_timeout=0)

LIMITS: list[tuple[str, Child, float | None, type[Action] | None]] = [
    ("heartbeat", READY_CHILD, 130.0, Abort),
    ("no heartbeat limit", replace(READY_CHILD, timeout=0), None, None),
    ("boot", BOOTING_CHILD, 60.0, Abort),
    ("boot without a heartbeat limit", replace(BOOTING_CHILD, timeout=0), 60.0, Abort),
    ("no boot limit", replace(BOOTING_CHILD, boot_timeout=0), None, None),
    ("drain", replace(READY_CHILD, drained_at=105.0), 125.0, Kill),
    ("drain without a limit", replace(READY_CHILD, drained_at=105.0, graceful_timeout=0), 130.0, Abort),
    ("frozen while draining", replace(READY_CHILD, drained_at=129.0), 130.0, Abort),
    (
        "aborted, with a core",
        replace(READY_CHILD, aborted_at=130.0, leaves_core=True),
        130.0 + CORE_GRACE,
        Kill,
    ),
    ("aborted", replace(READY_CHILD, aborted_at=130.0), 130.0 + ABORT_GRACE, Kill),
    ("never READY, drained", replace(BOOTING_CHILD, drained_at=5.0), 5.0 + BOOT_GRACE, Kill),
    ("the same without limits", replace(UNLIMITED_CHILD, drained_at=5.0), 5.0 + BOOT_GRACE, Kill),
    ("never READY, interrupted", replace(BOOTING_CHILD, interrupted_at=5.0), 5.0 + BOOT_GRACE, Kill),
    (
        "never READY, told twice",
        replace(BOOTING_CHILD, drained_at=5.0, interrupted_at=5.5),
        5.0 + BOOT_GRACE,
        Kill,
    ),
    ("interrupted", replace(READY_CHILD, interrupted_at=110.0), 110.0 + QUICK_GRACE, Kill),
    ("a mold", replace(READY_CHILD, is_mold=True), 130.0, Abort),
    ("a mold that loads", replace(BOOTING_CHILD, is_mold=True), 60.0, Abort),
    ("a mold, told", replace(READY_CHILD, is_mold=True, drained_at=105.0), 105.0 + MOLD_GRACE, Kill),
    ("a mold, interrupted", replace(READY_CHILD, is_mold=True, interrupted_at=1.0), 1.0 + MOLD_GRACE, Kill),
    ("a mold that loads, told", replace(BOOTING_CHILD, is_mold=True, drained_at=5.0), 5.0 + BOOT_GRACE, Kill),
    ("an order", replace(BOOTING_CHILD, is_ordered=True, drained_at=5.0), None, None),
    ("killed", replace(READY_CHILD, aborted_at=130.0, killed_at=132.0), None, None),
]


@pytest.mark.parametrize(("one", "limit", "kind"), [c[1:] for c in LIMITS], ids=[c[0] for c in LIMITS])
def test_limit(one: Child, limit: float | None, kind: type[Action] | None) -> None:
    target = serving(1)
    assert next_deadline([one], target, 0.0) == limit
    if limit is None or kind is None:
        assert [a for a in decide([one], target, 1e9) if not isinstance(a, Spawn)] == []
        return
    assert not any(isinstance(a, kind) for a in decide([one], target, limit - 0.001))
    assert any(isinstance(a, kind) for a in decide([one], target, limit))


def test_a_stuck_worker_is_replaced_while_it_is_aborted() -> None:
    assert decide([READY_CHILD], serving(1), 130.0) == [Abort(1, silent_for=30.0), Spawn(1)]


def test_a_worker_stuck_in_boot_keeps_its_place_until_it_is_dead() -> None:
    target = first_target(1, 100)
    assert decide([BOOTING_CHILD], target, 60.0) == [Abort(1, silent_for=60.0)]
    assert decide([replace(BOOTING_CHILD, aborted_at=60.0)], target, 61.0) == []


def test_limits_hold_while_stopping() -> None:
    late = replace(READY_CHILD, drained_at=100.0)
    assert decide([late], stopped(serving(1), Mode.DRAINING), 120.0) == [Kill(1)]
    assert decide([late], stopped(serving(1), Mode.QUICK), 120.0) == [Kill(1)]


# -- exits: back-off and boot failures ---------------------------------------------------------------------


def crash(target: Target, now: float, uptime: float = 1.0, code: int = -11, ready: bool = True) -> Target:
    return with_exit(target, Ended(target.plan.generation, ready, False, code, uptime), now)


def test_crashes_in_a_row_are_backed_off_up_to_a_bound() -> None:
    target, now, delays = serving(1), NOW, []
    for _ in range(8):
        target = crash(target, now)
        delays.append(round(target.plan.retry_at - now, 3))
        assert decide([], target, now) == []
        assert next_deadline([], target, now) == target.plan.retry_at
        now = target.plan.retry_at
        assert decide([], target, now) == [Spawn(1)]
        now += 0.5
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_workers_that_crash_together_crash_once() -> None:
    target = crash(crash(crash(serving(3), NOW), NOW + 0.01), NOW + 0.02)
    assert target.plan.crashes == 1


def test_a_quiet_time_ends_the_row() -> None:
    target = serving(1)
    for step in range(10):
        target = crash(target, NOW + 6 * step)
    assert target.plan.retry_at - (NOW + 54) == pytest.approx(BACKOFF_LAST)
    target = crash(target, target.plan.retry_at + HEALTHY_AFTER)
    assert target.plan.crashes == 1


@pytest.mark.parametrize(
    ("code", "uptime"), [(0, 0.5), (-11, HEALTHY_AFTER), (1, 3600.0)], ids=["own wish", "healthy", "long ago"]
)
def test_replaced_at_once(code: int, uptime: float) -> None:
    target = crash(serving(1), NOW, uptime, code)
    assert decide([], target, NOW) == [Spawn(1)]


def test_ending_with_0_before_ready_is_no_wish_of_its_own() -> None:
    assert decide([], crash(serving(1), NOW, 0.1, 0, ready=False), NOW) == []


def test_who_was_asked_to_leave_is_not_judged() -> None:
    ended = Ended(1, was_ready=False, asked=True, code=-15, uptime=0.1)
    target = first_target(1, 100)
    assert with_exit(target, ended, NOW) == target


def test_a_failed_fork_is_tried_again_later() -> None:
    target = with_failed_fork(first_target(2, 100), 1, NOW)
    assert decide([], target, NOW) == []
    assert decide([], target, NOW + 0.1) == [Spawn(1), Spawn(1)]


def test_the_first_generation_fails_when_all_its_workers_have() -> None:
    target = crash(first_target(2, 100), NOW, code=EXIT_BOOT, ready=False)
    # The sibling may still make it.
    assert decide([child(2, state=B)], target, NOW) == []
    target = crash(target, NOW, code=EXIT_BOOT, ready=False)
    assert decide([], target, NOW) == [Abandon(1)]
    target = abandoned(target)
    assert decide([], target, NOW) == [Exit(EXIT_BOOT)]
    # Written twice, because the target knows nothing of workers.
    assert EXIT_BOOT == handover.EXIT_BOOT


def test_a_sibling_that_makes_it_saves_the_generation() -> None:
    target = with_ready(crash(first_target(2, 100), NOW, code=EXIT_BOOT, ready=False), 1)
    assert decide([child(2)], target, target.plan.retry_at) == [Spawn(1)]


def fail(target: Target, now: float, boot_time: float = 0.1) -> Target:
    """A worker that was started so long ago could not start."""
    return with_exit(target, Ended(target.plan.generation, False, False, EXIT_BOOT, boot_time), now)


def test_a_start_is_tried_again_by_one_worker_at_a_time() -> None:
    target, now, delays = first_target(3, 100, max_boot_failures=4), NOW, []
    for _ in range(3):
        target = fail(target, now)
        delays.append(round(target.plan.retry_at - now, 3))
        assert decide([], target, now) == []
        assert next_deadline([], target, now) == target.plan.retry_at
        now = target.plan.retry_at
        assert decide([], target, now) == [Spawn(1)]
        assert decide([child(1, state=B)], target, now) == []
        now += 0.1
    assert delays == [0.1, 0.2, 0.4]
    assert decide([child(1)], with_ready(target, 1), now) == [Spawn(1)] * 2
    target = fail(target, now)
    assert decide([], target, now) == [Abandon(1)]
    assert decide([], abandoned(target), now) == [Exit(EXIT_BOOT)]


def test_workers_that_are_started_together_are_one_try() -> None:
    target = first_target(3, 100, max_boot_failures=2)
    # However far apart they fail, as long as none was started after the first failure.
    target = fail(fail(fail(target, NOW, 3.0), NOW + 1, 4.0), NOW + 20, 23.0)
    assert target.plan.boot_failures == 1
    assert decide([child(3, state=B)], target, NOW + 1) == []
    assert decide([], target, NOW + 20) == [Spawn(1)]


def test_a_start_without_a_bound_is_tried_for_ever() -> None:
    target, now = first_target(1, 100, max_boot_failures=0), NOW
    for _ in range(2000):
        target = fail(target, now)
        now = target.plan.retry_at
        assert decide([], target, now) == [Spawn(1)]
        now += 0.2
    assert target.plan.retry_at - target.plan.failed_at == pytest.approx(BACKOFF_LAST)


def test_a_reload_is_tried_once() -> None:
    target = reloaded(serving(2), 2, 100, max_boot_failures=5)
    target = fail(target, NOW)
    assert decide([child(1), child(2)], target, NOW) == [Abandon(2)]


def test_a_start_is_tried_on_while_a_reload_waits() -> None:
    target = fail(first_target(2, 100, max_boot_failures=3), NOW)
    target = reloaded(target, 2, 100)
    assert decide([child(1, 2, B)], target, target.fallback.retry_at) == [Spawn(1)]  # type: ignore[union-attr]


@pytest.mark.parametrize("boot_time", [0.0, 3.0, 60.0])
def test_a_row_of_crashes_is_no_shorter_for_a_slow_start(boot_time: float) -> None:
    """Workers that crash as soon as they are READY, or before: the pauses grow all the same."""
    for was_ready in (True, False):
        target, now = serving(1), NOW
        for _ in range(8):
            now += boot_time
            ended = Ended(1, was_ready, False, -11, boot_time, boot_time)
            target = with_exit(target, ended, now)
            now = target.plan.retry_at
        assert target.plan.crashes == 8


def test_a_service_may_crash_for_days() -> None:
    target, now = serving(1), NOW
    for _ in range(5000):
        target = crash(target, now)
        now = target.plan.retry_at
    assert target.plan.crashes == 5000
    assert decide([], target, now) == [Spawn(1)]


def test_a_later_generation_that_fails_leaves_the_old_one_serving() -> None:
    target = crash(on_trial(2, new_workers=5), NOW, code=EXIT_BOOT, ready=False)
    old = [child(1), child(2)]
    assert decide(old, target, NOW) == [Abandon(2)]
    target = abandoned(target)
    assert target.plan == Plan(1, workers=2, proven=True)
    assert decide(old, target, NOW) == []
    assert reloaded(target, 2, 100).plan.generation == 3


def test_a_reload_before_the_first_generation_is_up() -> None:
    target = reloaded(first_target(1, 100), 1, 100)
    assert decide([child(1, 1, B)], target, NOW) == [Spawn(2)]
    # The first one makes it, the second does not.
    target = crash(with_ready(target, 1), NOW, code=EXIT_BOOT, ready=False)
    assert decide([child(1)], target, NOW) == [Abandon(2)]
    assert abandoned(target).plan == Plan(1, workers=1, proven=True)


def test_neither_the_first_nor_the_second_generation_boots() -> None:
    target = reloaded(first_target(1, 100), 1, 100)
    target = with_exit(target, Ended(1, False, False, EXIT_BOOT, 0.1), NOW)
    assert decide([child(2, 2, B)], target, NOW) == []
    target = crash(target, NOW, code=EXIT_BOOT, ready=False)
    target = abandoned(target)
    assert decide([], target, NOW) == [Abandon(1)]
    assert decide([], abandoned(target), NOW) == [Exit(EXIT_BOOT)]


# -- changes of the target ---------------------------------------------------------------------------------


def test_ttin_and_ttou() -> None:
    assert more(serving(2)).plan.workers == 3
    assert fewer(serving(2)).plan.workers == 1
    assert fewer(serving(1)).plan.workers == 1
    assert more(replace(serving(5), room=10)).plan.workers == 5


def test_ttin_and_ttou_stay_within_the_bounds_of_the_load() -> None:
    target = with_ready(first_target(3, room=100, least=2, most=4), 1)
    assert more(target).plan.workers == more(more(target)).plan.workers == 4
    assert fewer(target).plan.workers == fewer(fewer(target)).plan.workers == 2


def test_a_size_given_during_a_reload_outlives_its_failure() -> None:
    target = with_ready(first_target(2, room=100, least=1, most=6), 1)
    target = sized(reloaded(target, 2, 100, least=1, most=4), 5)
    assert target.plan.workers == 4
    assert abandoned(target).plan.workers == 5
    # A generation whose number is fixed keeps it.
    assert sized(serving(2), 5) == serving(2)


def test_resizing_during_a_reload_outlives_its_failure() -> None:
    assert abandoned(more(on_trial(2))).plan.workers == 3


def test_a_second_stop_is_quick() -> None:
    once = stopped(serving(1), Mode.DRAINING)
    assert once.mode is Mode.DRAINING
    assert stopped(once, Mode.DRAINING).mode is Mode.QUICK
    assert stopped(once, Mode.QUICK).mode is Mode.QUICK


@pytest.mark.parametrize("mode", [Mode.RESTING, Mode.RETIRING])
def test_the_first_stop_beside_a_newer_master_is_the_first(mode: Mode) -> None:
    beside = replace(serving(1), mode=mode)
    assert stopped(beside, Mode.DRAINING).mode is Mode.DRAINING
    assert stopped(beside, Mode.QUICK).mode is Mode.QUICK


def test_a_newer_master_changes_nothing_for_one_that_stops() -> None:
    for mode in (Mode.DRAINING, Mode.QUICK):
        stopping = stopped(serving(1), mode)
        assert rested(stopping) == woken(stopping) == retired(stopping) == stopping
    assert retired(rested(serving(1))).mode is Mode.RETIRING
    assert woken(retired(serving(1))).mode is Mode.RETIRING
    assert retired(leaving(serving(1))).mode is Mode.RETIRING, "nothing has been finished yet"


#: Is there what was promised, so that the service manager may be told that all is well?
PROMISES = [
    ([child(1), child(2)], serving(2), True),
    ([child(1), child(2, state=B)], serving(2), True),
    ([child(1, state=B)], serving(1), False),
    ([child(1, drained_at=NOW)], serving(1), False),
    ([child(1, aborted_at=NOW)], serving(1), False),
    ([], serving(1), False),
    ([child(1), child(2, generation=2, state=B)], on_trial(1), True),
    ([], rested(serving(1)), True),
    ([], retired(serving(1)), True),
    ([child(1, drained_at=NOW)], stopped(serving(1), Mode.DRAINING), True),
]


@pytest.mark.parametrize(("children", "target", "is_kept"), PROMISES)
def test_promises(children: list[Child], target: Target, is_kept: bool) -> None:
    assert serves(children, target) is is_kept


def test_a_second_term_ends_the_delay_and_a_third_the_drain() -> None:
    once = leaving(serving(1))
    assert (once.mode, once.drain_at) == (Mode.LEAVING, NOW + 10)
    twice = stopped(once, Mode.DRAINING, NOW)
    assert twice.mode is delayed(once).mode is Mode.DRAINING
    assert stopped(twice, Mode.DRAINING, NOW).mode is Mode.QUICK
    assert stopped(once, Mode.QUICK, NOW).mode is Mode.QUICK


def test_the_delay_is_that_of_the_plan_that_serves() -> None:
    quick, slow = first_target(1, 100, drain_delay=1.0), {"drain_delay": 5.0}
    assert stopped(quick, Mode.DRAINING, NOW).mode is Mode.DRAINING, "nobody was ever served"
    trial = reloaded(with_ready(quick, 1), 1, 100, **slow)
    assert stopped(trial, Mode.DRAINING, NOW).drain_at == NOW + 1
    assert stopped(with_ready(trial, 2), Mode.DRAINING, NOW).drain_at == NOW + 5
    assert stopped(with_ready(quick, 1), Mode.QUICK, NOW).mode is Mode.QUICK


def test_the_end_of_the_delay_is_waited_for() -> None:
    silent = replace(READY_CHILD, timeout=0)
    assert next_deadline([silent], leaving(serving(1)), NOW) == NOW + 10
    assert next_deadline([silent], delayed(leaving(serving(1))), NOW) is None


def test_a_reload_of_a_reload_falls_back_on_what_serves() -> None:
    assert reloaded(on_trial(1), 1, 100).fallback == on_trial(1).fallback
    again = reloaded(taking_over(1), 1, 100)
    assert again.fallback is not None
    assert again.fallback.generation == 2
