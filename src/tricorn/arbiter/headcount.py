"""Tells statsd how many workers there are, and how many clients wait for one.

Knows: the master's records of its children, listeners, the names of two metrics. Must not know: whether and
where metrics are sent, how many workers there should be.
"""

from __future__ import annotations

from collections.abc import Iterable

from tricorn.arbiter.children import ChildRecord
from tricorn.config.settings import Settings
from tricorn.log import setup as log_setup
from tricorn.net.listener import Listener

#: A receiver that has been started anew knows no gauge: it is told again after so long, in seconds.
AGAIN = 10.0

#: How often is looked how many wait, seconds: each turn of a loop that makes one a second, and not more.
LOOK_EVERY = 0.9


class Headcount:
    def __init__(self) -> None:
        self._told = -1
        self._told_at = 0.0
        self._look_at = 0.0

    def attend(
        self, children: Iterable[ChildRecord], listeners: Iterable[Listener], settings: Settings, now: float
    ) -> None:
        workers = [child for child in children if child.is_worker]
        if len(workers) != self._told or now - self._told_at >= AGAIN:
            self._told, self._told_at = len(workers), now
            log_setup.metric("gunicorn.workers", len(workers), "gauge")
        if settings.enable_backlog_metric and now >= self._look_at:
            self._look_at = now + LOOK_EVERY
            # Connections are accepted although all threads are busy, and their requests wait in the worker.
            waiting = sum(worker.row.waiting + worker.row.waiting_apart for worker in workers)
            pending = sum(listener.pending for listener in listeners)
            log_setup.metric("gunicorn.backlog", pending + waiting, "histogram")
