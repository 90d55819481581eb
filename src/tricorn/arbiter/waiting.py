"""How the master waits until something happens, also while the kernel refuses that.

Knows: poll(2). Must not know: what the descriptors are, what happens when one is ready.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from select import poll

log = logging.getLogger("tricorn.error")

#: Where waiting itself fails, seconds.
FAILED_WAIT = 0.1


class Waiting:
    def __init__(self) -> None:
        self._has_complained = False

    def until(self, watched: Iterable[tuple[int, int]], seconds: float) -> None:
        """Until one of these is ready, each a descriptor with its events, or the time is over."""
        # Made anew on each turn: turns are rare, and unlike epoll a poll object is no descriptor that
        # workers would have to close.
        waiting = poll()
        for fd, events in watched:
            waiting.register(fd, events)
        try:
            # One millisecond more: waking just before the deadline would be a turn for nothing.
            waiting.poll(seconds * 1000 + 1)
        except OSError as error:
            # No memory for a moment. Workers have their signals and deadlines all the same, only later.
            if not self._has_complained:
                self._has_complained = True
                log.error(  # noqa: TRY400 - the text says everything, a traceback would show our own lines
                    "The master cannot wait for anything (%s): it looks ten times a second", error.strerror
                )
            time.sleep(FAILED_WAIT)
