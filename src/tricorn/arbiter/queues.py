"""Whose is which queue, where each worker has one of its own at each address (`reuse_port`).

Knows: listeners, records of children. Must not know: what a worker does with its queue, and with those that
are nobody's.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable

from tricorn.arbiter.children import ChildRecord, Generation
from tricorn.net.address import TcpAddress

log = logging.getLogger("tricorn.error")


def assign(generation: Generation, children: Iterable[ChildRecord], now: float) -> int:
    """The queue (`Row.queue`) of a worker that is about to start; 0: there is one for all.

    Who is being replaced does not count, so its successor gets the same.
    """
    count = max(len(listener.sockets) for listener in generation.listeners)
    taken = (child.row.queue for child in children if _stays(child, generation, now))
    return choose(taken, count) if count > 1 else 0


def _stays(child: ChildRecord, generation: Generation, now: float) -> bool:
    return child.generation is generation and child.is_worker and not child.is_leaving(now)


def choose(taken: Iterable[int], count: int) -> int:
    """The first of those that the fewest have. Numbers begin at 1."""
    users = Counter(taken)
    return min(range(1, count + 1), key=lambda number: (users[number], number))


def report(generation: Generation) -> None:
    """Say where the setting does nothing: the sockets were opened by another program, or are of Unix."""
    if generation.settings.reuse_port:
        for listener in generation.listeners:
            if not isinstance(listener.wanted, TcpAddress):
                log.warning("reuse_port has no effect on %s", listener.wanted)
