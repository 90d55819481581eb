"""When a command is done: tables of goals, pictures and answers."""

from __future__ import annotations

from typing import Any

import pytest

from tricorn.arbiter.decide import Child, State
from tricorn.arbiter.goals import (
    REQUESTS_TIME,
    STACKS_TIME,
    Answer,
    Goal,
    Happened,
    Killed,
    Paused,
    Picture,
    Problem,
    Reforked,
    Reloaded,
    Replaced,
    Scaled,
    Shown,
    Told,
    Upgraded,
    maybe_answer,
    refusal,
)
from tricorn.arbiter.target import Mode, Plan, Target, bounds, scaled


def child(pid: int, state: State = State.READY, *, generation: int = 1, **more: Any) -> Child:
    return Child(pid, generation, state, more.pop("started_at", 0.0), 0.0, 30.0, 30.0, **more)


def plan(generation: int = 1, workers: int = 2, *, proven: bool = True) -> Plan:
    return Plan(generation, workers, proven=proven)


def target(current: Plan, fallback: Plan | None = None, mode: Mode = Mode.RUNNING) -> Target:
    return Target(current, 64, fallback, mode)


ONE, TWO = child(1), child(2)
NEW, NEWER = child(3, generation=2), child(4, generation=2)
OLD_LEAVES = child(1, State.DRAINING, drained_at=1.0)
OLD_BOOTS = child(1, State.BOOTING, drained_at=1.0)
BOOTS = child(3, State.BOOTING, generation=2)
MOLD = child(1, is_mold=True)
ERROR = Problem(2, "there is no module 'site'\n  in line 1")
RUNS = target(plan())
PAUSED = target(plan(), mode=Mode.PAUSED)
ON_TRIAL = target(plan(2, proven=False), plan(1))

CASES: list[tuple[str, Goal, Picture, str | None]] = [
    ("a reload is being tried", Reloaded(2), Picture(ON_TRIAL, [ONE, TWO, BOOTS]), None),
    ("one of two has the new code", Reloaded(2), Picture(target(plan(2)), [ONE, TWO, NEW]), None),
    ("an old one still serves", Reloaded(2), Picture(target(plan(2)), [ONE, NEW, NEWER]), None),
    ("a reload is done", Reloaded(2), Picture(target(plan(2)), [NEW, NEWER]), "serves with 2 workers"),
    (
        "old ones still finish",
        Reloaded(2),
        Picture(target(plan(2)), [OLD_LEAVES, NEW, NEWER]),
        "serves with 2 workers; 1 worker of before finish",
    ),
    (
        "an old one has not heard",
        Reloaded(2),
        Picture(target(plan(2)), [OLD_LEAVES, NEW, NEWER], accepting=frozenset({1, 3, 4})),
        None,
    ),
    (
        "an old one was told before it was ready, and may be yet",
        Reloaded(2),
        Picture(target(plan(2)), [OLD_BOOTS, NEW, NEWER]),
        None,
    ),
    (
        "the old mold waits for its last worker",
        Reloaded(2),
        Picture(target(plan(2)), [MOLD, child(2, State.DRAINING, drained_at=1.0), NEW, NEWER]),
        "serves with 2 workers; 1 worker of before finish",
    ),
    (
        "a later one is done",
        Reloaded(2),
        Picture(target(plan(3, 1)), [child(9, generation=3)]),
        "Generation 3",
    ),
    (
        "new code does not start",
        Reloaded(2),
        Picture(RUNS, [ONE, TWO], [Problem(1, "of before"), ERROR]),
        "!nothing has changed: there is no module 'site'",
    ),
    ("nobody knows why", Reloaded(2), Picture(RUNS, [ONE, TWO]), "!the log says why"),
    ("a stop comes first", Reloaded(2), Picture(target(plan(), mode=Mode.DRAINING), []), "!told to stop"),
    ("a newer master comes", Reloaded(2), Picture(target(plan(), mode=Mode.RETIRING), []), "!newer master"),
    ("one is missing", Scaled(2), Picture(RUNS, [ONE]), None),
    ("one is too many", Scaled(1), Picture(target(plan(1, 1)), [ONE, TWO]), None),
    ("as many as wanted", Scaled(2), Picture(RUNS, [ONE, TWO]), "2 workers serve"),
    ("a single one", Scaled(1), Picture(target(plan(1, 1)), [TWO, OLD_LEAVES]), "1 worker serves"),
    ("somebody else", Scaled(2), Picture(target(plan(1, 5)), [ONE]), "Somebody else has changed it to 5"),
    ("it does not start", Scaled(2), Picture(RUNS, [ONE], [ERROR]), "!tried again: there is no module"),
    ("it serves", Replaced(1, 5.0), Picture(RUNS, [ONE, TWO]), None),
    (
        "it leaves",
        Replaced(1, 5.0),
        Picture(RUNS, [OLD_LEAVES, TWO, child(3, started_at=6.0)]),
        "Worker 1 finishes its requests; worker 3 serves in its place",
    ),
    (
        "it has not heard",
        Replaced(1, 5.0),
        Picture(RUNS, [OLD_LEAVES, TWO], accepting=frozenset({1, 2})),
        None,
    ),
    (
        "one has not heard",
        Scaled(1),
        Picture(target(plan(1, 1)), [OLD_LEAVES, TWO], accepting=frozenset({1, 2})),
        None,
    ),
    ("it has gone", Replaced(1, 5.0), Picture(RUNS, [TWO]), "Worker 1 has ended; it is being replaced"),
    ("no successor", Replaced(1, 5.0), Picture(RUNS, [ONE, TWO], [ERROR]), "!Worker 1 serves on"),
    ("it is being replaced", Reforked(1), Picture(RUNS, [ONE, TWO]), None),
    ("it is the mold", Reforked(1), Picture(RUNS, [MOLD, TWO, child(3, mold=1)]), None),
    (
        "one boots",
        Reforked(1),
        Picture(RUNS, [MOLD, child(3, mold=1), child(4, State.BOOTING, mold=1)]),
        None,
    ),
    (
        "all come from it",
        Reforked(1),
        Picture(RUNS, [MOLD, child(3, mold=1), child(4, mold=1)]),
        "now the mold",
    ),
    ("it ended", Reforked(1), Picture(RUNS, [TWO]), "!without becoming the mold"),
    ("a refork fails", Reforked(1), Picture(RUNS, [ONE, TWO], [ERROR]), "!does not start"),
    ("an upgrade goes on", Upgraded(), Picture(RUNS, [ONE]), None),
    (
        "it took over",
        Upgraded(),
        Picture(target(plan(), mode=Mode.RETIRING), [], upgrade=Answer(True, "taken over")),
        "taken over",
    ),
    ("it is not dead yet", Killed(1), Picture(RUNS, [ONE, TWO]), None),
    ("it is dead, and one is missing", Killed(1), Picture(RUNS, [TWO]), None),
    ("it is dead", Killed(1), Picture(RUNS, [TWO, child(3)]), "Worker 1 was killed; 2 workers serve"),
    (
        "its successor does not start",
        Killed(1),
        Picture(RUNS, [TWO], [ERROR]),
        "!its successor does not start",
    ),
    ("dead in a pause", Killed(1), Picture(PAUSED, []), "Worker 1 was killed"),
    ("dead in a stop", Killed(1), Picture(target(plan(), mode=Mode.DRAINING), []), "Worker 1 was killed"),
    ("one still finishes", Paused(), Picture(PAUSED, [OLD_LEAVES]), None),
    ("the mold stays", Paused(), Picture(PAUSED, [MOLD]), "The server is paused"),
    ("somebody resumes", Paused(), Picture(RUNS, [ONE]), "!resumed it meanwhile"),
    (
        "a stop comes first in a pause",
        Paused(),
        Picture(target(plan(), mode=Mode.QUICK), []),
        "!told to stop",
    ),
    ("a pause comes first", Scaled(2), Picture(PAUSED, []), "!paused meanwhile"),
    ("one thinks yet", Shown((1, 2), 5.0), Picture(RUNS, [ONE, TWO], now=6.0, stacks={1: "s"}), None),
    (
        "one has ended",
        Shown((1, 2), 5.0),
        Picture(RUNS, [ONE], now=6.0, stacks={1: "s"}),
        "1 worker shows its",
    ),
    (
        "one is stuck",
        Shown((1, 2), 5.0),
        Picture(RUNS, [ONE, TWO], now=5.0 + STACKS_TIME, stacks={1: "s"}),
        "1 worker shows its stacks; no Python code runs in 2 that could",
    ),
    ("all are stuck", Shown((1,), 5.0), Picture(RUNS, [ONE], now=9.0), "!no Python code runs in 1"),
    ("all have ended", Shown((1,), 5.0), Picture(RUNS, [], now=5.0), "0 workers"),
    ("one has not told yet", Told((1, 2), 5.0), Picture(RUNS, [ONE, TWO], now=5.1, requests={1: {}}), None),
    ("both have told", Told((1, 2), 5.0), Picture(RUNS, [ONE, TWO], now=5.1, requests={1: {}, 2: {}}), ""),
    ("the other one has ended", Told((1, 2), 5.0), Picture(RUNS, [ONE], now=5.1, requests={1: {}}), ""),
    ("nobody was asked", Told((), 5.0), Picture(PAUSED, [], now=5.0), ""),
    ("nothing new", Happened(7), Picture(RUNS, [], events=[{"number": 7}]), None),
    ("something new", Happened(6), Picture(RUNS, [], events=[{"number": 6}, {"number": 7}]), "1 event"),
    ("an upgrade failed", Upgraded(), Picture(RUNS, [ONE], upgrade=refusal("failed")), "!failed"),
]


@pytest.mark.parametrize(("goal", "picture", "said"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_answers(goal: Goal, picture: Picture, said: str | None) -> None:
    """`!` in front: it has failed."""
    answer = maybe_answer(goal, picture)
    if said is None:
        assert answer is None
        return
    assert answer is not None
    assert answer.ok is not said.startswith("!")
    assert said.removeprefix("!") in answer.say


def test_the_rest_of_a_reason_stands_apart() -> None:
    answer = maybe_answer(Reloaded(2), Picture(RUNS, [ONE, TWO], [ERROR]))
    assert answer is not None
    assert answer.say.endswith("'site'")
    assert answer.detail == "  in line 1"


def test_of_who_tells_nothing_is_told_what_is_known() -> None:
    at = 5.0 + REQUESTS_TIME
    now = Picture(RUNS, [ONE, TWO], now=at, requests={1: "told"}, known={1: "known", 2: "known"})
    answer = maybe_answer(Told((1, 2), 5.0), now)
    assert answer is not None
    assert answer.data == ["told", "known"]


def test_who_is_silent_is_named() -> None:
    now = Picture(RUNS, [ONE, TWO], now=9.0, stacks={1: {"pid": 1}}, silent={2: "it is stopped (SIGSTOP)"})
    answer = maybe_answer(Shown((1, 2), 5.0), now)
    assert answer is not None
    assert answer.data == [{"pid": 1}, {"pid": 2, "silent": "it is stopped (SIGSTOP)"}]


def test_a_number_of_workers_is_for_both_generations() -> None:
    """So that it outlives a reload that fails."""
    changed = scaled(target(plan(2, 4, proven=False), plan(1, 2)), 3)
    assert changed.fallback is not None
    assert (changed.plan.workers, changed.fallback.workers) == (3, 3)


def test_a_number_of_workers_has_bounds() -> None:
    by_load = target(Plan(1, 2, least=2, most=4))
    assert (bounds(RUNS), bounds(by_load)) == ((1, 32), (2, 4))
    assert [scaled(by_load, number).plan.workers for number in (1, 3, 9)] == [2, 3, 4]
