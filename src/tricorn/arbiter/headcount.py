"""Tells statsd how many workers there are.

Knows: the master's records of its children, the name of a metric. Must not know: whether and where metrics
are sent, how many workers there should be.
"""

from __future__ import annotations

from collections.abc import Iterable

from tricorn.arbiter.children import ChildRecord
from tricorn.log import setup as log_setup

#: A receiver that has been started anew knows no gauge: it is told again after so long, in seconds.
AGAIN = 10.0


class Headcount:
    def __init__(self) -> None:
        self._told = -1
        self._told_at = 0.0

    def attend(self, children: Iterable[ChildRecord], now: float) -> None:
        workers = sum(not child.is_mold for child in children)
        if workers != self._told or now - self._told_at >= AGAIN:
            self._told, self._told_at = workers, now
            log_setup.gauge("gunicorn.workers", workers)
