"""What the older of two masters does about the newer one. Values and pure functions; time is an argument.

Knows: how far the newer one is, what the older one is about, limits. Must not know: processes, descriptors,
clocks, settings. What a verdict leads to is in upgrade.py.

                          the older one runs          it was told to stop
    on trial              wait; too late: end it      end it
    ready, automatic      hand over                   end it
    ready, manual         wait                        hand over
    told to end           wait; too late: kill it     the same; in a hurry: hurry it

So a stop before the hand-over stops the service, whoever serves it by then. Only with a manual upgrade does
it mean the older one alone: there it is how the operator says that the newer one shall stay.
"""

from __future__ import annotations

from enum import Enum

from tricorn.arbiter.target import STOPPING, Mode
from tricorn.records import dataclass


class Verdict(Enum):
    WAIT = "wait"
    #: The newer one serves from now on; the older one finishes what it has.
    HAND_OVER = "hand over"
    #: It failed, or nobody wants it any more: it finishes what it has and goes (SIGTERM).
    END = "end"
    #: The same, and finishes nothing (SIGINT).
    HURRY = "hurry"
    KILL = "kill"


#: The newer one has these on top of its own limits, seconds: for the start of an interpreter and what a
#: master reads before it has a limit to tell of; for the end of a process, whatever an application has left
#: in it.
START_ALLOWANCE = 30.0
END_ALLOWANCE = 15.0


@dataclass(frozen=True)
class Progress:
    """How far the newer master is. All instants are monotonic seconds, 0 is no limit.

    due: when its trial ends. grace: how long it may take to finish what it has.
    told_at, hurried_at, killed_at: when the older one told it to go, else None.
    """

    due: float
    grace: float
    is_automatic: bool
    is_ready: bool = False
    told_at: float | None = None
    hurried_at: float | None = None
    killed_at: float | None = None

    @property
    def was_told(self) -> bool:
        return self.told_at is not None or self.hurried_at is not None


def judge(newer: Progress, mode: Mode, now: float) -> Verdict:
    is_stopping = mode in STOPPING
    if newer.killed_at is not None:
        return Verdict.WAIT
    if newer.was_told:
        last = _last_instant(newer)
        if last is not None and now >= last:
            return Verdict.KILL
        return Verdict.HURRY if mode is Mode.QUICK and newer.hurried_at is None else Verdict.WAIT
    if newer.is_ready and newer.is_automatic != is_stopping:
        return Verdict.HAND_OVER
    if is_stopping:
        return Verdict.HURRY if mode is Mode.QUICK else Verdict.END
    is_late = not newer.is_ready and 0 < newer.due <= now
    return Verdict.END if is_late else Verdict.WAIT


def next_deadline(newer: Progress) -> float | None:
    """When judging again makes sense by itself."""
    if newer.killed_at is not None:
        return None
    if newer.was_told:
        return _last_instant(newer)
    return None if newer.is_ready else newer.due or None


def _last_instant(newer: Progress) -> float | None:
    """When one that was told to go has had its time; None if it may take any."""
    limits = []
    if newer.hurried_at is not None:
        limits.append(newer.hurried_at + END_ALLOWANCE)
    if newer.told_at is not None and newer.grace:
        limits.append(newer.told_at + newer.grace + END_ALLOWANCE)
    return min(limits, default=None)
