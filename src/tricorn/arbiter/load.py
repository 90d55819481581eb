"""How busy the workers are: samples for the policy, and what becomes of its answers. Web workers are one
group, each pool of heavy workers is another.

Knows: rows of the scoreboard, what /proc tells of the CPU (proc_pid_stat(5), the kernel's sched-stats.rst),
the settings that bound the number of workers. Must not know: why a number is wanted (autoscale.py), how
workers are started.

What keeps a worker from serving more is looked for in two places: its threads are taken, or its CPU is. With
many threads the second comes first (one interpreter, one GIL). An event loop marks itself busy while
requests wait in it, so of that only the time counts in which it dealt with events; of a task that blocks
without computing, and was not started by one (before CPython 3.12 none is), only the wait of others shows.
Of heavy workers only the threads count: one takes calls as long as a thread is free, and what computes
outside of the interpreter, on several CPUs, is what they are for.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tricorn.arbiter import autoscale
from tricorn.arbiter import target as targets
from tricorn.arbiter.autoscale import Bounds, Change, Sample
from tricorn.arbiter.children import ChildRecord
from tricorn.arbiter.target import Mode, Plan, Target, pool_number
from tricorn.config.settings import Settings
from tricorn.procfs import seconds_of, stat_of
from tricorn.records import dataclass

log = logging.getLogger("tricorn.error")

#: How often is measured, seconds.
SAMPLE_EVERY = 1.0

#: A loop that has not beaten for so long is blocked, seconds: it does so four times a second.
BLOCKED = 1.0


def bounds_of(settings: Settings) -> Bounds | None:
    """None: the number of workers is fixed."""
    least = settings.workers_min or settings.workers
    return Bounds(least, settings.workers_max) if settings.workers_max > least else None


def most_of(settings: Settings) -> int:
    """The highest number of workers that the load may ask for."""
    return settings.workers_max or settings.workers


def first_of(settings: Settings) -> int:
    """How many to begin with."""
    if not settings.workers_max:
        return settings.workers
    return Bounds(settings.workers_min or settings.workers, settings.workers_max).clamp(settings.workers)


@dataclass(frozen=True)
class Reading:
    """One worker at one instant; all numbers only grow. Times are seconds."""

    at: float
    occupied: float
    running: float
    waited: float
    requests: int


class Autoscaler:
    """Changes the numbers of workers that are wanted, where plans leave that open."""

    def __init__(self) -> None:
        self._groups: dict[int, Group] = {}
        self._next_at = 0.0

    def attend(self, target: Target, children: Iterable[ChildRecord], now: float) -> Target:
        plans = [each for each in _plans(target) if each[1].most is not None]
        if not plans or target.mode is not Mode.RUNNING or now < self._next_at:
            return target
        self._next_at = now + SAMPLE_EVERY
        children = tuple(children)
        for number, plan in plans:
            group = self._groups.setdefault(number, Group("calls" if number else "requests"))
            change = group.maybe_change(plan, [each for each in children if _serves(each, number)], now)
            if change is None:
                continue
            what = "heavy workers" if number else "workers"
            log.info("Changing from %d to %d %s: %s", plan.workers, change.workers, what, change.why)
            if number:
                target = targets.pool_scaled(target, number, change.workers)
            else:
                target = targets.sized(target, change.workers)
        return target


def _plans(target: Target) -> Iterator[tuple[int, Plan]]:
    """By pool; 0: web workers. During the trial of a new generation those of the old one serve."""
    yield 0, target.fallback or target.plan
    for pool in target.pools:
        yield pool.number, pool.fallback or pool.plan


def _serves(child: ChildRecord, pool: int) -> bool:
    if not pool:
        return child.serves
    return pool_number(child.generation.number) == pool and child.stays


class Group:
    """Workers whose number follows their load. what: they are asked for."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._readings: dict[int, Reading] = {}
        self._samples: tuple[Sample, ...] = ()
        self._workers = 0
        self._changed_at = 0.0

    def maybe_change(self, plan: Plan, serving: Sequence[ChildRecord], now: float) -> Change | None:
        assert plan.most is not None
        if plan.workers != self._workers:  # by whomever
            self._workers, self._changed_at = plan.workers, now
        self._measure(serving, now)
        bounds = Bounds(plan.least, plan.most)
        return autoscale.maybe_change(self._samples, plan.workers, bounds, self._changed_at, self._what)

    def _measure(self, serving: Sequence[ChildRecord], now: float) -> None:
        before, self._readings = self._readings, {}
        busy, waited, requests = 0.0, 0.0, 0
        for child in serving:
            reading = self._readings[child.pid] = _read(child, now)
            earlier = before.get(child.pid)
            if earlier is not None and now > earlier.at:
                busy += _share(child, earlier, reading)
                waited += reading.waited - earlier.waited
                requests += reading.requests - earlier.requests
        sample = Sample(now, len(serving), busy, waited / max(requests, 1))
        self._samples = autoscale.remembered(self._samples, sample)


def _read(child: ChildRecord, now: float) -> Reading:
    row = child.row
    # Threads of a route are there for it, however idle, and who waits for them wants no others.
    cells = row.shared_cells
    occupied = sum(cell.busy_ns for cell in cells) / 1e9
    if not row.is_loop:
        occupied += sum(now - cell.busy_since_ns / 1e9 for cell in cells if cell.busy_since_ns)
        occupied /= len(cells)
    waited = row.waited_ns / 1e9
    if child.is_heavy:
        return Reading(now, occupied, 0.0, waited, row.waits)
    running = _running(child.pid, is_loop=bool(row.is_loop))
    return Reading(now, occupied, running, waited, max(sum(cell.requests for cell in cells), row.waits))


def _share(child: ChildRecord, earlier: Reading, reading: Reading) -> float:
    """0 to 1: for how much of the time it could not have taken another request."""
    if child.row.is_loop and reading.at - child.row.heartbeat_ns / 1e9 > BLOCKED:
        return 1.0
    most = max(reading.occupied - earlier.occupied, reading.running - earlier.running)
    # The parts of a row are read one after the other, so the sum may be off for a moment.
    return min(max(most / (reading.at - earlier.at), 0.0), 1.0)


def _running(pid: int, *, is_loop: bool) -> float:
    """Seconds in which it ran on a CPU. Of an event loop those of its own thread, the first one, and also
    those in which it waited for a CPU. 0: it cannot be known."""
    try:
        if is_loop:
            on_cpu, waiting, _ = map(int, Path(f"/proc/{pid}/schedstat").read_text().split())
            if on_cpu:
                return (on_cpu + waiting) / 1e9
    except (OSError, ValueError):
        return 0.0
    stat = stat_of(pid)
    return seconds_of(stat) if stat else 0.0
