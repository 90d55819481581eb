"""Which workers have more memory than they may.

Knows: how much memory a process has (memory.py), the limits of settings, the records of children. Must not
know: what follows from being too large, who is told of it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from tricorn.arbiter.children import ChildRecord
from tricorn.arbiter.memory import Scale

log = logging.getLogger("tricorn.error")

#: How often the memory of workers is looked at, seconds: the kernel walks through all pages of a process.
WEIGH_EVERY = 2.0


class Weighing:
    """Compares all workers with their limits, now and then, and notes the result in their records."""

    def __init__(self) -> None:
        self._scale = Scale()
        self._due_at = 0.0

    def hasten(self, now: float) -> None:
        """A worker is READY: what it has before it serves is what its size is compared with."""
        self._due_at = now

    def is_due(self, now: float) -> bool:
        """Whether it is time. If so, the next time is counted from now on."""
        if now < self._due_at:
            return False
        self._due_at = now + WEIGH_EVERY
        return True

    def attend(self, children: Iterable[ChildRecord]) -> Iterator[tuple[ChildRecord, int]]:
        """Weigh them; gives each one that is above a limit for the first time, and its size in bytes."""
        for child in children:
            settings = child.generation.settings
            if child.is_mold or child.is_ordered:
                continue
            if not (settings.max_memory or settings.max_memory_hard):
                continue
            size = self._scale.weigh(child.pid, settings.memory_measure)
            was_large = child.is_large, child.is_too_large
            child.is_too_large = size > settings.max_memory_hard > 0
            if child.was_ready and settings.max_memory:
                _compare(child, size, settings.max_memory)
            if (child.is_large, child.is_too_large) > was_large:
                yield child, size


def _compare(child: ChildRecord, size: int, most: int) -> None:
    """One that is large from the start would be followed by one that is, and so on."""
    if child.size_at_first is None:
        child.size_at_first = size
        if size > most and "max_memory" not in child.generation.reported:
            child.generation.reported.add("max_memory")
            log.warning(
                "max_memory: a worker has %d MB when it has just started, which is more; it is not "
                "replaced for that",
                size >> 20,
            )
    child.is_large = child.is_large or size > most >= child.size_at_first
