"""Where which application is called: known to each process of a server, because the master writes it down
before it forks.

Knows: handles of queues, by application. Must not know: what a queue is, processes.

A reload changes the master's copy only: workers that run go on with theirs, and the queue of an application
outlives the reload.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from tricorn.heavy.errors import DirtyAppNotFoundError, DirtyError, DirtyNoWorkersAvailableError
from tricorn.records import dataclass


class Standing:
    """Whether a pool has anybody who will take calls: one word of shared memory, written by the master."""

    def __init__(self) -> None:
        self._words = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("q")

    @property
    def is_failing(self) -> bool:
        """No worker is ready, and the last ones have failed: who calls would wait in vain."""
        return bool(self._words[0])

    @is_failing.setter
    def is_failing(self, value: bool) -> None:
        self._words[0] = value


@dataclass(frozen=True)
class Place:
    """Where calls of one application go. handle, refusals: of its queue."""

    app: str
    handle: int
    refusals: int
    standing: Standing


@dataclass
class _Known:
    places: Mapping[str, Place]
    stash: Place | None = None


_known = _Known(MappingProxyType({}))


def publish(places: Iterable[Place], stash: Place | None) -> None:
    """For this process, and for what it forks from now on."""
    _known.places = MappingProxyType({place.app: place for place in places})
    _known.stash = stash


def place_of(app: str) -> Place:
    """Raises DirtyError: there are no heavy workers, not this application, or nobody who could take it."""
    place = _known.places.get(app)
    if place is None:
        if not _known.places:
            raise DirtyError("there are no heavy workers; set dirty_apps and dirty_workers")
        raise DirtyAppNotFoundError(app, f"there are {', '.join(_known.places)}")
    if place.standing.is_failing:
        raise DirtyNoWorkersAvailableError(app)
    return place


def stash_place() -> Place | None:
    return _known.stash
