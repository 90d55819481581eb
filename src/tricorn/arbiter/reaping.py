"""Which children have ended: wait(2), and whose orphans come to the master.

Knows: process ids, wait statuses, that foreign code in the master may wait for children too. Must not know:
what an end means, what was wanted of the child.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from tricorn.arbiter.children import Registry
from tricorn.parentage import adopt_orphans


class Reaper:
    """registry: those whose ends are asked for. note_end: is told of others too, with their wait status, once
    orphans come to this process."""

    def __init__(self, registry: Registry, note_end: Callable[[int, int], None]) -> None:
        self._registry = registry
        self._note_end = note_end
        #: The first process of a container inherits the orphans of its workers without asking for them.
        self._adopts_orphans = os.getpid() == 1

    def adopt(self) -> None:
        """Workers that a mold forks have to be children of this process. It inherits other orphans, too."""
        if not self._adopts_orphans:
            adopt_orphans()
            self._adopts_orphans = True

    def ended(self) -> Iterator[tuple[int, int | None]]:
        """Children that have ended, with their wait status; None if somebody else has taken that."""
        if self._adopts_orphans:
            for pid, status in _all_ended():
                self._note_end(pid, status)
                yield pid, status
        # By name: a configuration that is a program may have children of its own, and waits for them itself.
        for child in self._registry:
            if child.is_ordered:
                continue
            try:
                pid, status = os.waitpid(child.pid, os.WNOHANG)
            except ChildProcessError:
                # Foreign code has waited for any child, or has let the kernel drop them (SIGCHLD ignored).
                yield child.pid, None
                continue
            if pid:
                yield pid, status


def _all_ended() -> Iterator[tuple[int, int]]:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        yield pid, status
