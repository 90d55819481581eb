"""How many workers there shall be: a table of what is seen and what is wanted, and simulated services.

Under loads of all shapes the number must follow the load and must not flap.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from tricorn.arbiter.autoscale import (
    DOWN_OVER,
    HIGH,
    LOW,
    STEP_DOWN,
    UP_OVER,
    Bounds,
    Change,
    Sample,
    maybe_change,
    remembered,
)

BOUNDS = Bounds(1, 8)


def seen(
    busy: float, *, ready: int, seconds: float, waited: float = 0.0, until: float = 1000.0
) -> list[Sample]:
    """A load that stays the same, measured every second."""
    return [Sample(until - seconds + n, ready, busy, waited) for n in range(int(seconds) + 1)]


LONG = DOWN_OVER + 1

#: What was seen, how many are wanted now, how many shall be.
CASES: list[tuple[str, Sequence[Sample], int, int]] = [
    ("nothing", [], 2, 2),
    ("too little yet", seen(2.0, ready=2, seconds=UP_OVER - 1), 2, 2),
    ("enough", seen(2 * HIGH - 0.1, ready=2, seconds=LONG), 2, 2),
    ("high", seen(2 * HIGH, ready=2, seconds=UP_OVER), 2, 3),
    ("all are busy: twice as many", seen(2.0, ready=2, seconds=UP_OVER), 2, 4),
    ("never more than twice", seen(1.0, ready=1, seconds=UP_OVER), 1, 2),
    ("the most", seen(6.0, ready=6, seconds=UP_OVER), 6, 8),
    ("at the most", seen(8.0, ready=8, seconds=LONG), 8, 8),
    ("they wait though nobody is busy", seen(0.5, ready=2, seconds=UP_OVER, waited=0.2), 2, 3),
    ("some do not serve yet", seen(2.0, ready=2, seconds=LONG), 4, 4),
    ("one more than wanted, during a reload", seen(2.0, ready=3, seconds=UP_OVER), 2, 4),
    ("low, not for long", seen(0.2, ready=4, seconds=DOWN_OVER - 1), 4, 4),
    ("low", seen(0.2, ready=4, seconds=LONG), 4, 3),
    ("the others could just take it", seen(3 * LOW, ready=4, seconds=LONG), 4, 3),
    ("the others could not", seen(3 * LOW + 0.1, ready=4, seconds=LONG), 4, 4),
    ("low but they wait", seen(0.2, ready=4, seconds=LONG, waited=0.05), 4, 4),
    ("many leave by the quarter", seen(0.0, ready=8, seconds=LONG), 8, 6),
    ("as many as are needed stay", seen(3.4, ready=8, seconds=LONG), 8, 7),
    ("the fewest", seen(0.0, ready=1, seconds=LONG), 1, 1),
    (
        "a peak within the time",
        [*seen(0.2, ready=4, seconds=70, until=990.0), Sample(991.0, 4, 2.0), *seen(0.1, ready=4, seconds=8)],
        4,
        4,
    ),
    (
        "a peak before that",
        [Sample(900.0, 4, 4.0), *seen(0.2, ready=4, seconds=LONG)],
        4,
        3,
    ),
]


@pytest.mark.parametrize(("samples", "workers", "wanted"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_policy(samples: Sequence[Sample], workers: int, wanted: int) -> None:
    change = maybe_change(samples, workers, BOUNDS)
    assert (None if change is None else change.workers) == (None if wanted == workers else wanted)


def test_changes_down_have_a_pause_between_them() -> None:
    samples = seen(0.0, ready=4, seconds=LONG)
    assert maybe_change(samples, 4, BOUNDS, changed_at=1000.0 - STEP_DOWN + 1) is None
    assert maybe_change(samples, 4, BOUNDS, changed_at=1000.0 - STEP_DOWN) is not None


def test_it_is_said_why() -> None:
    assert maybe_change(seen(1.8, ready=2, seconds=3), 2, BOUNDS) == Change(
        3, "they are busy for 90% of the time"
    )
    waiting = seen(0.5, ready=2, seconds=3, waited=0.15)
    assert maybe_change(waiting, 2, BOUNDS) == Change(3, "requests wait for 150 ms")
    idle = seen(0.2, ready=2, seconds=LONG)
    assert maybe_change(idle, 2, BOUNDS) == Change(1, "0.2 would have been busy in the last 60 s")


def test_what_is_old_is_forgotten() -> None:
    samples: tuple[Sample, ...] = ()
    for second in range(1000):
        samples = remembered(samples, Sample(second, 1, 0.0))
    assert len(samples) < 2 * DOWN_OVER
    assert samples[-1].at - samples[0].at >= DOWN_OVER


# -- a simulated service -----------------------------------------------------------------------------------


@dataclass
class Simulation:
    """demand(t): how many workers would be busy if there were enough. A worker serves `boot` seconds after
    it was asked for. What is not served waits."""

    demand: Callable[[float], float]
    boot: float = 3.0
    bounds: Bounds = BOUNDS
    now: float = 0.0
    workers: int = 1
    booting: list[float] = field(default_factory=list)
    samples: tuple[Sample, ...] = ()
    changed_at: float = -math.inf
    backlog: float = 0.0
    #: Of all seconds: how many workers there were.
    course: list[int] = field(default_factory=list)

    def run(self, seconds: int) -> Simulation:
        for _ in range(seconds):
            self.second()
        return self

    def second(self) -> None:
        self.now += 1
        self.booting = [at for at in self.booting if at > self.now]
        ready = self.workers - len(self.booting)
        work = self.demand(self.now) + self.backlog
        busy = min(work, ready)
        self.backlog = min(work - busy, 3 * ready)  # then clients give up
        sample = Sample(self.now, ready, busy, self.backlog / ready if self.backlog > 0.01 else 0.0)
        self.samples = remembered(self.samples, sample)
        change = maybe_change(self.samples, self.workers, self.bounds, self.changed_at)
        if change is not None:
            assert self.bounds.least <= change.workers <= self.bounds.most
            self.booting += [self.now + self.boot] * (change.workers - self.workers)
            self.workers, self.changed_at = change.workers, self.now
        self.course.append(self.workers)

    @property
    def turns(self) -> int:
        """How often a change up was followed by one down, or the reverse."""
        steps = [b - a for a, b in pairwise(self.course) if a != b]
        return sum(a * b < 0 for a, b in pairwise(steps))


HOUR = 3600


@pytest.mark.parametrize("boot", [1.0, 30.0])
@pytest.mark.parametrize("load", [0.0, 0.55, 0.74, 0.76, 1.51, 3.0, 4.4, 7.9, 12.0])
def test_a_steady_load_has_a_steady_number(load: float, boot: float) -> None:
    for first in (1, 8):
        one = Simulation(lambda _: load, boot, workers=first).run(400)
        settled = one.course[250:]
        assert len(set(settled)) == 1
        assert one.turns <= 1
        assert one.course[-1] == 8 or load / one.course[-1] < HIGH


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("load", [0.8, 2.5, 4.0])
def test_noise_is_no_reason(load: float, seed: int) -> None:
    """Each second is off by up to a fifth, as the same load is when requests come at random."""
    noise = random.Random(f"{load} {seed}")
    one = Simulation(lambda _: load * noise.uniform(0.8, 1.2)).run(HOUR // 3)
    assert one.turns <= 1
    assert len(set(one.course[300:])) == 1


def test_a_step_up_is_followed_at_once_and_a_step_down_in_time() -> None:
    one = Simulation(lambda t: 4.5 if 100 <= t < 1000 else 0.4).run(2000)
    assert one.course[:99] == [1] * 99
    assert one.course[125] >= 7
    assert min(one.course[125:1050]) >= 7
    assert one.course[1040] == one.course[990]  # the first minute changes nothing
    assert one.course[1200] == 1
    assert one.turns == 1


def test_a_slow_wave_is_followed() -> None:
    """A day in half an hour."""
    one = Simulation(lambda t: 3 + 2.8 * math.sin(t / HOUR * 4 * math.pi)).run(HOUR)
    assert max(one.course) >= 7
    assert min(one.course[HOUR // 2 :]) <= 2
    assert one.turns <= 4  # two for each wave


def test_a_fast_wave_is_not() -> None:
    """Its peaks come before anybody has left."""
    one = Simulation(lambda t: 2 + 1.5 * math.sin(t / 40 * 2 * math.pi)).run(HOUR // 3)
    assert len(set(one.course[300:])) == 1


@pytest.mark.parametrize("every", [5, 20, 50])
def test_bursts_of_a_second_change_nothing_or_once(every: int) -> None:
    one = Simulation(lambda t: 3.0 if t % every == 0 else 0.3, workers=2).run(HOUR // 3)
    assert one.turns == 0
    assert len(set(one.course[300:])) == 1


def test_rare_bursts_cost_two_changes_each_at_most() -> None:
    one = Simulation(lambda t: 6.0 if t % 600 < 20 else 0.3).run(HOUR // 2)
    assert one.turns <= 2 * 3
    assert one.course[590] == 1


def test_one_that_never_boots_is_waited_for() -> None:
    one = Simulation(lambda _: 5.0, boot=1e9).run(300)
    assert max(one.course) == 2
