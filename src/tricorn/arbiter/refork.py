"""Which worker is to become the next mold, and when.

Knows: the records of workers and molds, what keeps a mold from being replaced. Must not know: how a worker
becomes a mold (mold.py), how workers are replaced (decide.py).

A worker that has served for a while has what a fresh one makes anew: compiled patterns and templates, caches,
objects that were made with the first requests. Workers that are forked from it share these pages, too. So the
one that has served the most is replaced, as one that is worn is; but instead of ending it forks workers from
then on, and all others are replaced from it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress

from tricorn import scoreboard
from tricorn.arbiter.children import ChildRecord, Generation
from tricorn.records import dataclass

log = logging.getLogger("tricorn.error")


def attend(generation: Generation, registry: Iterable[ChildRecord]) -> None:
    """Choose a worker of the generation that serves, if it is time. To be called in each turn of the loop."""
    if generation.reforks >= len(generation.settings.refork_after):
        return
    children = [child for child in registry if child.generation is generation]
    if not _is_quiet(children):
        return
    candidates = [Candidate(each.pid, each.row.requests) for each in _able(children)]
    pid = maybe_next(candidates, generation.settings.refork_after, generation.reforks)
    if pid is not None:
        generation.reforks += 1
        if obstacle := _choose(pid, children):
            log.warning("refork_after: no worker becomes the mold: %s", obstacle)


def begin(generation: Generation, registry: Iterable[ChildRecord]) -> int | str:
    """The same at once, however little they have served: the worker that was chosen, or why none can be."""
    children = [child for child in registry if child.generation is generation]
    if not generation.settings.preload_app:
        return "workers have a mold with preload_app only"
    if any(child.row.is_loop for child in children):
        return "an event loop runs in the workers, and what that has started cannot be forked"
    if not _is_quiet(children):
        return "workers are being started or replaced; try again when they are ready"
    candidates = [Candidate(each.pid, each.row.requests) for each in _able(children)]
    pid = maybe_next(candidates, (0,), 0)
    if pid is None:
        return "no worker serves"
    return _choose(pid, children) or pid


def _is_quiet(children: Iterable[ChildRecord]) -> bool:
    """One after the other; and a mold that has just forked has a child for a moment, which is none of the
    application's."""
    workers = [child for child in children if not child.is_mold]
    return not any(child.is_candidate or child.is_outdated or not child.was_ready for child in workers)


def _able(children: Iterable[ChildRecord]) -> list[ChildRecord]:
    workers = [child for child in children if not child.is_mold]
    return [each for each in workers if each.orders is not None and not each.was_asked_to_leave]


def _choose(pid: int, children: Iterable[ChildRecord]) -> str | None:
    """Have this worker become the mold; or why it cannot."""
    for mold in (each for each in children if each.is_mold):
        obstacle = maybe_obstacle(mold.pid)
        # Asked for last: one that ends has threads of ours.
        if obstacle is not None and mold.row.state == scoreboard.MOLD:
            return obstacle
    for child in (each for each in children if each.pid == pid):
        log.info("Worker %d has served %d requests", child.pid, child.row.requests)
        child.is_candidate = True
    return None


def note_mold(mold: ChildRecord, registry: Iterable[ChildRecord]) -> None:
    """It is READY. If it was a worker, it takes the place of the mold before, and of whom that has forked."""
    if not mold.mold:
        log.info("Mold %d has loaded the application", mold.pid)
        return
    log.info("Mold %d was a worker until now: workers are forked from it", mold.pid)
    for child in registry:
        if child is not mold and child.generation is mold.generation:
            child.is_outdated = child.is_mold or child.mold != mold.pid


@dataclass(frozen=True)
class Candidate:
    """A READY worker of the generation that serves. requests: that it has served."""

    pid: int
    requests: int


def maybe_next(candidates: Sequence[Candidate], refork_after: Sequence[int], done: int) -> int | None:
    """The process id of the worker that is to become the next mold, if one has served enough.

    refork_after: how many requests a worker has to have served, for the first time and for each further one.
    done: how many times it was tried.
    """
    if done >= len(refork_after):
        return None
    most = max(candidates, key=lambda each: (each.requests, each.pid), default=None)
    return most.pid if most is not None and most.requests >= refork_after[done] else None


def maybe_obstacle(mold: int) -> str | None:
    """What would be lost with this mold, in words: it ends when its last worker was replaced."""
    with suppress(OSError):
        tasks = os.listdir(f"/proc/{mold}/task")
        if len(tasks) > 1:
            return "the application has started threads when it was loaded, which would end with the mold"
        for task in tasks:
            with open(f"/proc/{mold}/task/{task}/children", "rb") as children:
                if children.read().split():
                    return (
                        "the application has started processes when it was loaded, which would lose the mold"
                    )
    return None
