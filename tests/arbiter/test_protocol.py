"""The replacement protocol, gone through exhaustively. What may happen, and what must hold: explorer.py."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from arbiter.explorer import Explorer, WrongError

from tricorn.arbiter import decide as decisions
from tricorn.arbiter import target as targets
from tricorn.arbiter.decide import Child
from tricorn.arbiter.target import Plan, Target
from tricorn.records import replace

#: surge, unavailable.
BOUNDS = [(1, 0), (2, 0), (0, 1)]


@pytest.mark.parametrize(
    ("workers", "outer", "bounds"),
    [pytest.param(1, 2, (1, 0), marks=pytest.mark.slow), (2, 1, (1, 0)), (2, 1, (0, 1))],
    ids=str,
)
def test_every_order(workers: int, outer: int, bounds: tuple[int, int]) -> None:
    """outer: so many things happen that nobody has asked for, or that somebody has."""
    assert Explorer(workers, *bounds).explore(outer) > 1000


@pytest.mark.parametrize(("workers", "outer"), [pytest.param(1, 2, marks=pytest.mark.slow), (2, 1)], ids=str)
def test_every_order_of_a_stop_that_is_announced(workers: int, outer: int) -> None:
    assert Explorer(workers, drain_delay=1.0).explore(outer) > 1000


@pytest.mark.parametrize(("workers", "outer"), [(1, 1), pytest.param(2, 1, marks=pytest.mark.slow)], ids=str)
def test_every_order_with_molds(workers: int, outer: int) -> None:
    assert Explorer(workers, preloads=True).explore(outer) > 300


@pytest.mark.slow
def test_every_order_with_molds_that_follow_each_other() -> None:
    """And a crash in between; with all that can come it would be minutes."""
    only = ("HUP", "is to become the mold", "crashes")
    assert Explorer(1, preloads=True, only=only).explore(2) > 5000


@pytest.mark.parametrize(
    ("workers", "outer", "more"),
    [
        (1, 1, {}),
        pytest.param(1, 1, {"drain_delay": 1.0}, marks=pytest.mark.slow),
        pytest.param(1, 1, {"preloads": True}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_every_order_with_somebody_who_answers_health_checks(
    workers: int, outer: int, more: dict[str, Any]
) -> None:
    assert Explorer(workers, attended=True, **more).explore(outer) > 300


@pytest.mark.parametrize(
    ("workers", "outer", "more"),
    [
        (1, 1, {}),
        pytest.param(1, 2, {}, marks=pytest.mark.slow),
        pytest.param(2, 1, {}, marks=pytest.mark.slow),
        pytest.param(1, 1, {"preloads": True}, marks=pytest.mark.slow),
        pytest.param(1, 1, {"attended": True}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_every_order_with_pauses_and_kills(workers: int, outer: int, more: dict[str, Any]) -> None:
    assert Explorer(workers, commanded=True, **more).explore(outer) > 100


@pytest.mark.parametrize("on_trial", [False, True])
@pytest.mark.parametrize(
    "only",
    [
        ("TERM", "WINCH", "crashes", "is worn", "has gone", "grows", "shrinks"),
        pytest.param(("",), marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_every_order_with_heavy_workers(only: tuple[str, ...], on_trial: bool) -> None:
    assert Explorer(1, pooled=True, on_trial=on_trial, only=only).explore(1) > 100


@pytest.mark.slow
@pytest.mark.parametrize("bounds", BOUNDS, ids=str)
def test_every_order_of_three_workers(bounds: tuple[int, int]) -> None:
    assert Explorer(3, *bounds).explore(1) > 5000


# -- it finds what is wrong

real_reloaded, real_judged = targets.reloaded, targets._judged
real_useless, real_through = decisions._useless_molds, decisions._through_molds
real_attend, real_keep_serving = decisions._attend, decisions._keep_serving


def _whoever(members: Sequence[Child], count: int) -> Sequence[Child]:
    """Those that serve leave before those that boot."""
    return sorted(members, key=lambda child: child.state is not decisions.State.READY)[: max(0, count)]


def _falls_back_on_a_trial(target: Target, *arguments: int, **bounds: int) -> Target:
    """A reload of a reload: what it falls back on was never READY."""
    return replace(real_reloaded(target, *arguments, **bounds), fallback=target.plan)


def _never(*_: object) -> bool:
    return False


def _always(*_: object) -> bool:
    return True


def _forgives_crashes(plan: Plan, ended: targets.Exit, now: float) -> Plan:
    return plan if ended.was_ready else real_judged(plan, ended, now)


def _nobody(*_: object) -> list[Child]:
    return []


def _all_at_once(molds: Sequence[Child], workers: Sequence[Child], target: Target) -> list[Child]:
    """Molds that are not needed any more, whoever still lives by them."""
    unused = [replace(child, is_ordered=True) for child in workers]
    return real_useless(molds, unused, target)


def _but_the_superseded(molds: Sequence[Child], workers: Sequence[Child], target: Target) -> list[Child]:
    """The mold whose place a worker has taken stays for ever."""
    return real_useless([mold for mold in molds if not mold.is_superseded], workers, target)


def _whatever_is_there(*arguments: Any) -> Any:
    """Molds that still load, or end, are not waited for."""
    actions, _, usable, target = arguments
    return real_through(actions, usable, usable, target)


def _before_its_successor(staying: Sequence[Child], *arguments: Any) -> Any:
    """Whoever has to be replaced, to become the mold for example, goes at once."""
    yield from (decisions.Drain(child.pid) for child in staying if child.is_worn)
    yield from real_keep_serving([child for child in staying if not child.is_worn], *arguments)


def _as_a_worker(others: Any, attendants: Any, stuck: Any, target: Target, now: float) -> Any:
    """It is told to end when they are."""
    return real_attend([] if not target.is_serving else others, attendants, stuck, target, now)


def _without_waiting(*arguments: Any) -> Any:
    return real_attend(*arguments[:-1], math.inf)


def _all_heavy(
    _workers: object, heavy: Sequence[Child], remaining: Sequence[Child], _target: object
) -> list[decisions.Drain]:
    return [decisions.Drain(child.pid) for child in heavy if child in remaining]


def _at_once(*_: object) -> list[decisions.Exit]:
    return [decisions.Exit(0)]


#: What is put in the place of what, after how many outer events that is wrong, and what is then found.
BUGS: list[tuple[object, str, Callable[..., Any], int, str]] = [
    (decisions, "_least_useful", _whoever, 2, "serve, and"),
    (decisions, "_has_failed", _never, 1, "serve at the end"),
    (decisions, "_exit", _at_once, 1, "leaves workers behind"),
    (targets, "reloaded", _falls_back_on_a_trial, 2, "stops although workers serve"),
    (Plan, "may_spawn", _always, 1, "forks again and again"),
    (targets, "_judged", _forgives_crashes, 1, "forks again and again"),
    (Plan, "may_spawn", _never, 0, "serve at the end"),
]

#: The same where there are molds, and where there is somebody who answers health checks.
BUGS_WITH_MOLDS: list[tuple[object, str, Callable[..., Any], int, str]] = [
    (decisions, "_least_useful", _whoever, 2, "serve, and"),
    (decisions, "_useless_molds", _nobody, 0, "serve at the end"),
    (decisions, "_useless_molds", _but_the_superseded, 1, "a mold outlives its workers"),
    (decisions, "_useless_molds", _all_at_once, 1, "before its workers have gone"),
    (decisions, "_through_molds", _whatever_is_there, 0, "not said everything at once"),
    (decisions, "_keep_serving", _before_its_successor, 1, "0 serve, and 1 did"),
    (Plan, "may_spawn", _always, 1, "forks again and again"),
]
BUGS_WITH_HEALTH: list[tuple[object, str, Callable[..., Any], int, str]] = [
    (decisions, "_attend", _nobody, 0, "nobody answers"),
    (decisions, "_attend", _as_a_worker, 1, "nobody answers"),
    (decisions, "_attend", _without_waiting, 0, "forks again and again"),
]
BUGS_WITH_POOLS: list[tuple[object, str, Callable[..., Any], int, str]] = [
    (decisions, "_end_pools", _nobody, 0, "serve at the end"),
    (decisions, "_end_pools", _all_heavy, 1, "before who calls them"),
    (decisions, "_keep_pool", _nobody, 0, "heavy workers at the end"),
]


@pytest.mark.parametrize(
    ("explorer", "bug"),
    [
        *((Explorer(1), bug) for bug in BUGS),
        *((Explorer(1, preloads=True), bug) for bug in BUGS_WITH_MOLDS),
        *((Explorer(1, attended=True), bug) for bug in BUGS_WITH_HEALTH),
        *((Explorer(1, pooled=True), bug) for bug in BUGS_WITH_POOLS),
    ],
    ids=lambda value: f"{value[1]}-{value[4]}" if isinstance(value, tuple) else "",
)
def test_a_bug_is_found(monkeypatch: pytest.MonkeyPatch, explorer: Explorer, bug: Any) -> None:
    where, name, wrong, outer, found = bug
    monkeypatch.setattr(where, name, wrong)
    with pytest.raises(WrongError, match=found):
        explorer.explore(outer)
