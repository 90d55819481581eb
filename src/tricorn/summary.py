"""How the service is, in a few numbers: a page of shared memory that the master writes and its health process
reads.

Knows: the numbers. Must not know: who counts them, what is answered with them.

Each number is one aligned 64-bit word, so none is ever seen half written. All of them together may be, for an
instant, from two turns of the master's loop; who reads them asks again in a few seconds.
"""

from __future__ import annotations

import mmap

from tricorn.records import dataclass, fields


@dataclass(frozen=True)
class Numbers:
    """beat_ns: CLOCK_MONOTONIC, when the master wrote them; 0: it has not yet.
    wanted: workers that shall be READY. ready: that are, and show signs of life. stuck: that are and do not.
    starting: that are on their way to it.
    stopping: 1 from the moment in which the service was told to stop.
    """

    beat_ns: int = 0
    wanted: int = 0
    ready: int = 0
    starting: int = 0
    stuck: int = 0
    stopping: int = 0


class Summary:
    """Made by the master before it forks whoever reads it."""

    def __init__(self) -> None:
        self._words = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("q")

    def write(self, numbers: Numbers) -> None:
        for index, number in enumerate(vars(numbers).values()):
            self._words[index] = number

    def read(self) -> Numbers:
        return Numbers(*self._words[: len(fields(Numbers))])
