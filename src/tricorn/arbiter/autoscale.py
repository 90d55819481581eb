"""How many workers there shall be, by how busy they are. A policy: values, no clock.

Knows: samples of load, bounds. Must not know: processes, clocks, settings, how load is measured.

    maybe_change(samples, workers, bounds) → another number of workers and why, or None

More at once, fewer slowly. Load is in workers: 2.5 is what keeps two and a half of them busy all the time.

Guarantees:

- No flapping. A worker is taken away only if for the last DOWN_OVER seconds the others would not have been
  busier than LOW; one is added only at HIGH, half as much again. A load that stays the same makes at most
  one change in each direction.
- Nobody is added because of workers that do not serve yet: there is no change up until all of them do, and
  for UP_OVER seconds have.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tricorn.records import dataclass

#: Busy share from which on there are too few. At 75 % a request finds all of four threads busy in one case
#: of three.
HIGH = 0.75

#: The busy share that is aimed at when workers are added, and the highest that a worker may leave behind.
AIM = 0.6
LOW = 0.5

#: Seconds that requests wait on the average before there are too few workers, and before none may go.
LONG_WAIT = 0.1
SHORT_WAIT = 0.02

#: For how long the load has to be high, seconds: a burst of a second is what queues are for.
UP_OVER = 2.0

#: For how long it has to have been low, seconds. What comes every minute finds its workers still there.
DOWN_OVER = 60.0

#: Between two changes down, seconds: what the first one leads to shows before the second.
STEP_DOWN = 10.0


@dataclass(frozen=True)
class Sample:
    """What was measured up to an instant, since the sample before.

    at: monotonic seconds. ready: workers that serve. busy: the load, in workers (0 to `ready`).
    waited: seconds that requests had to wait, on the average.
    """

    at: float
    ready: int
    busy: float
    waited: float = 0.0


@dataclass(frozen=True)
class Bounds:
    least: int
    most: int

    def clamp(self, workers: int) -> int:
        return max(self.least, min(self.most, workers))


@dataclass(frozen=True)
class Change:
    workers: int
    why: str


def remembered(samples: Sequence[Sample], latest: Sample) -> tuple[Sample, ...]:
    """The samples that may still matter."""
    return (*(sample for sample in samples if latest.at - sample.at <= DOWN_OVER + STEP_DOWN), latest)


def maybe_change(
    samples: Sequence[Sample],
    workers: int,
    bounds: Bounds,
    changed_at: float = -math.inf,
    what: str = "requests",
) -> Change | None:
    """samples: oldest first, since the beginning or for DOWN_OVER at least. workers: how many are wanted now.
    changed_at: when that number was last changed, by whomever. what: they are asked for."""
    if not samples:
        return None
    return _maybe_more(samples, workers, bounds, what) or _maybe_fewer(samples, workers, bounds, changed_at)


def _maybe_more(samples: Sequence[Sample], workers: int, bounds: Bounds, what: str) -> Change | None:
    recent = _since(samples, UP_OVER)
    if workers >= bounds.most or not recent or any(sample.ready < workers for sample in recent):
        return None
    busy = _mean([sample.busy for sample in recent])
    waited = _mean([sample.waited for sample in recent])
    # In workers' time: while some are replaced there may be one more than is wanted.
    share = busy / workers
    if share < HIGH and waited < LONG_WAIT:
        return None
    wanted = bounds.clamp(max(workers + 1, min(math.ceil(busy / AIM), 2 * workers)))
    if share >= HIGH:
        return Change(wanted, f"they are busy for {min(share, 1):.0%} of the time")
    return Change(wanted, f"{what} wait for {waited * 1000:.0f} ms")


def _maybe_fewer(samples: Sequence[Sample], workers: int, bounds: Bounds, changed_at: float) -> Change | None:
    recent = _since(samples, DOWN_OVER)
    if workers <= bounds.least or not recent or samples[-1].at - changed_at < STEP_DOWN:
        return None
    peak = max(sample.busy for sample in recent)
    if peak > LOW * (workers - 1) or max(sample.waited for sample in recent) >= SHORT_WAIT:
        return None
    # Many leave in steps of a quarter.
    wanted = bounds.clamp(max(math.ceil(peak / LOW), workers - max(1, workers // 4)))
    return Change(wanted, f"{peak:.1f} would have been busy in the last {DOWN_OVER:.0f} s")


def _since(samples: Sequence[Sample], seconds: float) -> Sequence[Sample]:
    """Those of the last so many seconds; none if they do not go back that far."""
    start = samples[-1].at - seconds
    if samples[0].at > start:
        return []
    return [sample for sample in samples if sample.at > start]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
