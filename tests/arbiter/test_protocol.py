"""The replacement protocol, gone through exhaustively. What may happen, and what must hold: explorer.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from arbiter.explorer import Explorer, WrongError

from tricorn.arbiter import decide as decisions
from tricorn.arbiter import target as targets
from tricorn.arbiter.decide import Child
from tricorn.arbiter.target import Plan, Target

#: surge, unavailable.
BOUNDS = [(1, 0), (2, 0), (0, 1)]


@pytest.mark.parametrize(
    ("workers", "outer", "bounds"), [(1, 2, (1, 0)), (2, 1, (1, 0)), (2, 1, (0, 1))], ids=str
)
def test_every_order(workers: int, outer: int, bounds: tuple[int, int]) -> None:
    """outer: so many things happen that nobody has asked for, or that somebody has."""
    assert Explorer(workers, *bounds).explore(outer) > 1000


@pytest.mark.parametrize(("workers", "outer"), [(1, 2), (2, 1)], ids=str)
def test_every_order_of_a_stop_that_is_announced(workers: int, outer: int) -> None:
    assert Explorer(workers, drain_delay=1.0).explore(outer) > 1000


@pytest.mark.slow
@pytest.mark.parametrize("bounds", BOUNDS, ids=str)
def test_every_order_of_three_workers(bounds: tuple[int, int]) -> None:
    assert Explorer(3, *bounds).explore(1) > 5000


# -- it finds what is wrong

real_reloaded, real_judged = targets.reloaded, targets._judged


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


@pytest.mark.parametrize(
    ("where", "name", "wrong", "outer", "found"), BUGS, ids=[f"{b[1]}-{b[4]}" for b in BUGS]
)
def test_a_bug_is_found(
    monkeypatch: pytest.MonkeyPatch,
    where: object,
    name: str,
    wrong: Callable[..., Any],
    outer: int,
    found: str,
) -> None:
    monkeypatch.setattr(where, name, wrong)
    with pytest.raises(WrongError, match=found):
        Explorer(1).explore(outer)
