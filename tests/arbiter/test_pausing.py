"""When the service may pause and resume, and what is said where it may not."""

from __future__ import annotations

import pytest

from tricorn.arbiter.pausing import maybe_refusal
from tricorn.arbiter.signals import Change, pause, resume
from tricorn.arbiter.target import (
    Mode,
    Target,
    first_target,
    paused,
    reloaded,
    rested,
    resumed,
    stopped,
    with_ready,
)

STARTS = first_target(2, 10)
SERVES = with_ready(STARTS, 1)
RELOADS = reloaded(SERVES, 2, 10)
STOPS = stopped(SERVES, Mode.DRAINING)

CASES: list[tuple[Change, Target, bool, str]] = [
    (pause, SERVES, True, ""),
    (pause, SERVES, False, "An upgrade is under way: a pause would not stop the other master"),
    (pause, rested(SERVES), True, "An upgrade is under way: a pause would not stop the other master"),
    (pause, RELOADS, True, "A reload is under way"),
    (pause, with_ready(RELOADS, 2), True, ""),
    (pause, STARTS, True, "No worker has been ready yet"),
    (pause, STOPS, True, "The server is stopping"),
    (pause, paused(SERVES), True, "The server is paused already"),
    (resume, paused(SERVES), True, ""),
    (resume, SERVES, True, "The server is not paused"),
    (resume, STOPS, True, "The server is stopping"),
    (resume, stopped(paused(SERVES), Mode.DRAINING), True, "The server is stopping"),
]


@pytest.mark.parametrize(("change", "target", "is_alone", "said"), CASES)
def test_refusals(change: Change, target: Target, is_alone: bool, said: str) -> None:
    answer = maybe_refusal(change, target, is_alone=is_alone)
    assert ("" if answer is None else answer.say) == said


def test_only_who_runs_is_paused_and_only_who_is_paused_resumes() -> None:
    assert resumed(paused(SERVES)) == SERVES
    for target in (STOPS, rested(SERVES), stopped(SERVES, Mode.QUICK)):
        assert paused(target) is resumed(target) is target
