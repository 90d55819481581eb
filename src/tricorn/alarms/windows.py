"""What has happened in the last minute or so, of numbers that only grow.

Knows: numbers, histograms, time as an argument. Must not know: what is counted, clocks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from tricorn.metrics.frames import quantile
from tricorn.records import dataclass

#: Fewer failures than these in a window are no share of anything: at night one request of three would be.
FAILURES_LEAST = 5

#: The share of requests that have waited no longer.
QUANTILE = 0.95


@dataclass(frozen=True)
class Counted:
    """Since the service began. begun: calls of the application. ended: requests, with those that were refused
    because too many waited; failed: of these, with a status of 5xx. waiting: how long requests have waited in
    the server, a histogram; queue: the same since a proxy had them, of those of which one says so. pending:
    those that wait now. restarts: workers that nobody wanted to end."""

    begun: int
    ended: int
    failed: int
    waiting: Sequence[int]
    queue: Sequence[int]
    pending: int
    restarts: int


class Window:
    """seconds: how long it is. bounds: of histograms."""

    def __init__(self, seconds: float, bounds: Sequence[float]) -> None:
        self._seconds = seconds
        self._bounds = bounds
        self._kept: deque[tuple[float, Counted]] = deque()
        #: Since when requests wait and none begins.
        self._stands_since: float | None = None

    def values(self, counted: Counted, now: float) -> dict[str, float]:
        """By the names of rules."""
        last = self._kept[-1] if self._kept else (now, counted)
        self._note_standstill(last, counted)
        self._kept.append((now, counted))
        # The oldest that is kept is the youngest of those that are at least as old as the window.
        while len(self._kept) > 1 and self._kept[1][0] <= now - self._seconds:
            self._kept.popleft()
        before = self._kept[0][1]
        ended, failed = counted.ended - before.ended, counted.failed - before.failed
        return {
            "queue_time": self._queue_time(before, counted, now),
            "error_share": failed / ended if failed >= FAILURES_LEAST else 0.0,
            "restarts": counted.restarts - before.restarts,
        }

    def _note_standstill(self, last: tuple[float, Counted], counted: Counted) -> None:
        at, before = last
        if not (counted.pending and before.pending) or counted.begun != before.begun:
            self._stands_since = None
        elif self._stands_since is None:
            self._stands_since = at

    def _queue_time(self, before: Counted, counted: Counted, now: float) -> float:
        """Seconds. Requests that never begin are in no histogram: where none has begun for a while, those
        that wait have waited for that while at least."""
        found = [0.0 if self._stands_since is None else now - self._stands_since]
        for old, new in ((before.waiting, counted.waiting), (before.queue, counted.queue)):
            grown = [b - a for a, b in zip(old, new, strict=True)]
            if sum(grown) > 0:
                found.append(quantile(self._bounds, grown, QUANTILE))
        return max(found)
