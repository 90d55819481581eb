"""judge(): what the older master does about the newer one. Values in, a verdict out."""

from __future__ import annotations

import pytest

from tricorn.arbiter.succession import END_ALLOWANCE, Progress, Verdict, judge, next_deadline
from tricorn.arbiter.target import Mode
from tricorn.records import replace

NOW = 1000.0
END, HAND_OVER, HURRY, KILL, WAIT = (
    *(Verdict.END, Verdict.HAND_OVER, Verdict.HURRY, Verdict.KILL, Verdict.WAIT),
)

TRIAL = Progress(due=NOW + 60, grace=30.0, is_automatic=True)
LATE = replace(TRIAL, due=NOW)
READY = replace(TRIAL, is_ready=True)
MANUAL = replace(READY, is_automatic=False)
TOLD = replace(TRIAL, told_at=NOW - 1)
HURRIED = replace(TOLD, hurried_at=NOW - 1)

#: What it has come to → the verdict while the older one runs, drains, and stops quickly.
TABLE: dict[str, tuple[Progress, Verdict, Verdict, Verdict]] = {
    "on trial": (TRIAL, WAIT, END, HURRY),
    "on trial, without a limit": (replace(TRIAL, due=0.0), WAIT, END, HURRY),
    "on trial for too long": (LATE, END, END, HURRY),
    "ready": (READY, HAND_OVER, END, HURRY),
    "ready after its time": (replace(READY, due=NOW - 1), HAND_OVER, END, HURRY),
    "ready, manual": (MANUAL, WAIT, HAND_OVER, HAND_OVER),
    "told to end": (TOLD, WAIT, WAIT, HURRY),
    "ready when it was told": (replace(TOLD, is_ready=True), WAIT, WAIT, HURRY),
    "told and hurried": (HURRIED, WAIT, WAIT, WAIT),
    "hurried at once": (replace(HURRIED, told_at=None), WAIT, WAIT, WAIT),
    "told too long ago": (replace(TOLD, told_at=NOW - 30 - END_ALLOWANCE), KILL, KILL, KILL),
    "told long ago, without a limit": (replace(TOLD, told_at=1.0, grace=0.0), WAIT, WAIT, HURRY),
    "hurried too long ago": (replace(HURRIED, hurried_at=NOW - END_ALLOWANCE), KILL, KILL, KILL),
    "killed": (replace(TOLD, told_at=1.0, killed_at=NOW - 1), WAIT, WAIT, WAIT),
}


@pytest.mark.parametrize("name", TABLE)
def test_verdicts(name: str) -> None:
    progress, *verdicts = TABLE[name]
    assert [judge(progress, mode, NOW) for mode in (Mode.RUNNING, Mode.DRAINING, Mode.QUICK)] == verdicts


@pytest.mark.parametrize("name", TABLE)
def test_resting_is_running(name: str) -> None:
    """Without its workers the older one waits for the same things. One that is LEAVING does stop."""
    progress = TABLE[name][0]
    assert judge(progress, Mode.RESTING, NOW) == judge(progress, Mode.RUNNING, NOW)
    assert judge(progress, Mode.LEAVING, NOW) == judge(progress, Mode.DRAINING, NOW)


#: The instant at which the older one has to look again.
DEADLINES = {
    "on trial": NOW + 60,
    "on trial, without a limit": None,
    "ready, manual": None,
    "told to end": NOW - 1 + 30 + END_ALLOWANCE,
    "told and hurried": NOW - 1 + END_ALLOWANCE,
    "told long ago, without a limit": None,
    "killed": None,
}


@pytest.mark.parametrize("name", DEADLINES)
def test_deadlines(name: str) -> None:
    progress = TABLE[name][0]
    deadline = next_deadline(progress)
    assert deadline == DEADLINES[name]
    if deadline is not None:
        assert judge(progress, Mode.RUNNING, deadline) is not judge(progress, Mode.RUNNING, deadline - 0.1)
