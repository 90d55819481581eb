"""Pools in the target, and what decide() does about them. Values only."""

from __future__ import annotations

from typing import Any

import pytest

from tricorn.arbiter.decide import Abandon, Action, Child, Drain, Exit, Interrupt, Spawn, State, decide
from tricorn.arbiter.target import (
    BACKOFF_FIRST,
    EXIT_BOOT,
    Mode,
    Plan,
    Pool,
    Target,
    abandoned,
    alone,
    attended,
    bounds,
    first_target,
    heavy_generation,
    maybe_pool,
    paused,
    pool_number,
    pool_scaled,
    pooled,
    reloaded,
    rested,
    retired,
    stopped,
    with_exit,
    with_failed_fork,
    with_ready,
)
from tricorn.arbiter.target import Exit as Ended
from tricorn.records import replace

NOW = 1000.0
B, R = State.BOOTING, State.READY

#: The first generation of pools 1 and 2, and the second of pool 1.
ONE, STASH, TWO = heavy_generation(1, 1), heavy_generation(2, 1), heavy_generation(1, 2)


def child(pid: int, generation: int = 1, state: State = R, **more: Any) -> Child:
    return Child(pid, generation, state, NOW, NOW, 30.0, 20.0, **more)


def heavy(pid: int, slot: int = 1, generation: int = ONE, state: State = R, **more: Any) -> Child:
    return child(pid, generation, state, slot=slot, **more)


def pool(workers: int = 2, generation: int = ONE, **more: Any) -> Pool:
    return Pool("heavy", 1, Plan(generation, workers, **{"max_boot_failures": 0, **more}), room=100)


def starting(workers: int = 2) -> Target:
    return pooled(with_ready(first_target(1, room=100), 1), pool(workers))


def serving(workers: int = 2) -> Target:
    return with_ready(starting(workers), ONE)


def with_stash(workers: int = 1) -> Target:
    stash = Pool("stash", 2, Plan(STASH, 1, proven=True), room=10, is_last=True)
    return pooled(serving(workers), stash)


def on_trial(workers: int = 2) -> Target:
    return pooled(with_ready(reloaded(serving(workers), 1, 100), 2), pool(workers, TWO))


#: While another master serves.
BESIDE = pooled(first_target(1, 100), pool(2, max_boot_failures=2))

WEB = child(9)
WEB_2 = child(9, 2)

CASES: list[tuple[str, list[Child], Target, list[Action]]] = [
    ("start", [WEB], starting(), [Spawn(ONE)] * 2),
    ("beside web workers", [], pooled(first_target(1, 100), pool(1)), [Spawn(1), Spawn(ONE)]),
    ("nothing to do", [WEB, heavy(1), heavy(2, 2)], serving(), []),
    ("one is missing", [WEB, heavy(2, 2)], serving(), [Spawn(ONE)]),
    ("beside another master they come first", [], BESIDE, [Spawn(ONE)] * 2),
    ("and are waited for", [heavy(1, state=B), heavy(2, 2, state=B)], BESIDE, []),
    (
        "one is enough",
        [heavy(1), heavy(2, 2, state=B)],
        with_ready(BESIDE, ONE),
        [Spawn(1)],
    ),
    (
        "whoever serves is kept",
        [WEB, child(8, drained_at=NOW)],
        pooled(BESIDE, pool(1, TWO, max_boot_failures=1)),
        [Spawn(TWO)],
    ),
    ("but not if that has gone", [heavy(1, state=B), heavy(2, 2, state=B)], alone(BESIDE), [Spawn(1)]),
    ("they are no web workers", [heavy(1), heavy(2, 2)], serving(), [Spawn(1)]),
    ("one too many: the last place", [WEB, heavy(1), heavy(2, 2), heavy(3, 3)], serving(), [Drain(3)]),
    ("also if another one still boots", [WEB, heavy(1, 1, state=B), heavy(2, 2)], serving(1), [Drain(2)]),
    ("worn: a successor first", [WEB, heavy(1, is_worn=True)], serving(1), [Spawn(ONE)]),
    ("then it leaves", [WEB, heavy(1, is_worn=True), heavy(2)], serving(1), [Drain(1)]),
    # a reload
    ("one tries the new code", [WEB_2, heavy(1), heavy(2, 2)], on_trial(), [Spawn(TWO)]),
    ("while it does, nothing", [WEB_2, heavy(1), heavy(2, 2), heavy(3, 1, TWO, B)], on_trial(), []),
    (
        "it does: one by one",
        [WEB_2, heavy(1), heavy(2, 2), heavy(3, 1, TWO)],
        with_ready(on_trial(), TWO),
        [Spawn(TWO), Drain(2)],
    ),
    ("switched off", [WEB, heavy(1)], pooled(serving(1), pool(0, TWO, proven=True)), [Drain(1)]),
    # ends
    ("web workers first", [WEB, heavy(1)], stopped(serving(1), Mode.DRAINING), [Drain(9)]),
    (
        "not while one drains",
        [child(9, drained_at=NOW), heavy(1)],
        stopped(serving(1), Mode.DRAINING),
        [],
    ),
    ("then they", [heavy(1), heavy(2, 2)], stopped(serving(), Mode.DRAINING), [Drain(1), Drain(2)]),
    (
        "the stash is last",
        [heavy(1), heavy(2, 1, STASH)],
        stopped(with_stash(), Mode.DRAINING),
        [Drain(1)],
    ),
    ("of all", [heavy(2, 1, STASH)], stopped(with_stash(), Mode.DRAINING), [Drain(2)]),
    (
        "attendants come later still",
        [heavy(2, 1, STASH, drained_at=NOW), child(3, 0)],
        attended(stopped(with_stash(), Mode.DRAINING)),
        [],
    ),
    ("over", [], stopped(serving(), Mode.DRAINING), [Exit(0)]),
    ("in a hurry", [WEB, heavy(1)], stopped(serving(1), Mode.QUICK), [Interrupt(9), Interrupt(1)]),
    ("a pause leaves them ready", [heavy(1)], paused(serving(1)), []),
    ("at rest they go", [heavy(1)], rested(serving(1)), [Drain(1)]),
    ("another master serves", [heavy(1)], retired(serving(1)), [Drain(1)]),
]


@pytest.mark.parametrize(
    ("children", "target", "expected"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_what_is_done(children: list[Child], target: Target, expected: list[Action]) -> None:
    assert decide(children, target, NOW) == expected


def ended(generation: int, *, was_ready: bool = False, uptime: float = 1.0) -> Ended:
    return Ended(generation, was_ready, False, 1, uptime)


def test_numbers_tell_whose_they_are() -> None:
    assert [pool_number(each) for each in (-1, 0, 1, 7, ONE, TWO, STASH)] == [0, 0, 0, 0, 1, 1, 2]


def test_one_that_does_not_start_is_tried_again_and_web_workers_serve() -> None:
    target = with_exit(starting(), ended(ONE), NOW)
    assert decide([WEB], target, NOW) == []
    assert decide([WEB], target, NOW + BACKOFF_FIRST) == [Spawn(ONE)]
    for _ in range(50):
        target = with_exit(target, ended(ONE), NOW + 1e6)
    assert target.mode is Mode.RUNNING
    assert target.plan == starting().plan


def test_beside_another_master_it_is_the_upgrade_that_fails() -> None:
    """Its heavy workers serve on."""
    beside = with_exit(BESIDE, ended(ONE), NOW)
    assert decide([], beside, NOW + BACKOFF_FIRST) == [Spawn(ONE)]
    hopeless = with_exit(beside, ended(ONE), NOW + 10)
    assert decide([], hopeless, NOW + 10) == [Abandon(ONE)]
    given_up = abandoned(hopeless, ONE)
    assert (given_up.mode, given_up.exit_code) == (Mode.DRAINING, EXIT_BOOT)
    assert decide([WEB], given_up, NOW + 10) == [Drain(9)]
    assert decide([], given_up, NOW + 10) == [Exit(EXIT_BOOT)]


def test_but_not_if_that_has_gone_by_then() -> None:
    target = pooled(with_ready(first_target(1, 100), 1), pool(2, max_boot_failures=1))
    target = alone(with_exit(target, ended(ONE), NOW))
    assert decide([WEB], target, NOW + 10) == [Spawn(ONE)]
    assert alone(target) is target


def test_a_pool_that_gives_up_takes_no_reload_of_web_workers_back() -> None:
    target = pooled(with_ready(first_target(1, 100), 1), pool(1, max_boot_failures=1))
    target = with_exit(reloaded(target, 1, 100), ended(ONE), NOW)
    assert abandoned(target, ONE).plan == target.plan


def test_new_code_that_does_not_start_leaves_the_one_before() -> None:
    target = with_exit(on_trial(), ended(TWO), NOW)
    assert decide([WEB_2, heavy(1), heavy(2, 2)], target, NOW) == [Abandon(TWO)]
    target = abandoned(target, TWO)
    assert decide([WEB_2, heavy(1), heavy(2, 2)], target, NOW) == []
    assert decide([WEB_2, heavy(1)], target, NOW) == [Spawn(ONE)]
    assert target.mode is Mode.RUNNING


def test_a_reload_on_a_reload_goes_back_to_what_was_proven() -> None:
    target = pooled(on_trial(), pool(2, heavy_generation(1, 3)))
    found = maybe_pool(target, 1)
    assert found is not None
    assert found.fallback is not None
    assert (found.plan.generation, found.fallback.generation) == (heavy_generation(1, 3), ONE)


def test_what_never_started_is_nothing_to_go_back_to() -> None:
    found = maybe_pool(pooled(starting(), pool(2, TWO)), 1)
    assert found is not None
    assert found.fallback is None


def test_both_generations_get_a_new_size() -> None:
    found = maybe_pool(pool_scaled(on_trial(), 1, 5), 1)
    assert found is not None
    assert [plan.workers for plan in found.plans] == [5, 5]


def test_where_the_calls_decide_a_size_is_within_bounds() -> None:
    target = pooled(serving(), pool(2, TWO, least=2, most=4))
    found = [maybe_pool(pool_scaled(target, 1, workers), 1) for workers in (1, 3, 9)]
    assert [each.plan.workers for each in found if each] == [2, 3, 4]
    assert bounds(found[0] or target) == (2, 4)
    assert bounds(pool()) == (1, 50)


def test_a_machine_that_has_no_process_left_is_asked_later() -> None:
    target = with_failed_fork(serving(), ONE, NOW)
    assert decide([WEB, heavy(1)], target, NOW) == []
    assert decide([WEB, heavy(1)], target, NOW + BACKOFF_FIRST) == [Spawn(ONE)]


def test_there_are_never_more_than_there_is_room_for() -> None:
    target = serving(3)
    target = replace(target, pools=tuple(replace(each, room=4) for each in target.pools))
    leaving = [heavy(pid, pid, drained_at=NOW) for pid in (1, 2, 3)]
    assert decide([WEB, *leaving], target, NOW) == [Spawn(ONE)]
