"""Which combinations of the axes a run takes: each pair of values once, each value once, or a sample.

Knows: rows, which are combinations of values, one for each column. Must not know: pytest, what values mean.

`pairwise` and `singly` are the greedy algorithm for set cover: the row that adds most that is new is taken,
until none adds any. They choose among rows that exist, so what cannot be combined needs no rule. Where
several rows add as many, a checksum of their names decides: the choice is the same everywhere, and one case
gets other combinations than the next, which it would not if the first were taken.
"""

from __future__ import annotations

import heapq
import random
import zlib
from collections.abc import Hashable, Sequence
from itertools import combinations

Row = Sequence[Hashable]

#: A sample is one in so many.
SAMPLE = 10


def pairwise(rows: Sequence[Row], names: Sequence[str]) -> set[int]:
    """The numbers of rows that together hold each pair of values, of two columns, that any row holds.

    names: of the rows, each another. Rows of a single column hold no pairs, and all of them are taken.
    """
    return _cover([_pairs(row) for row in rows], names)


def singly(rows: Sequence[Row], names: Sequence[str]) -> set[int]:
    """The numbers of rows that together hold each value, of each column, that any row holds."""
    return _cover([{*enumerate(row)} for row in rows], names)


def _cover(missing: list[set[Hashable]], names: Sequence[str]) -> set[int]:
    """missing: of each row, what it holds. The numbers of few that together hold all of it."""
    covered: set[Hashable] = set()
    heap = [(-len(pairs), zlib.crc32(names[number].encode()), number) for number, pairs in enumerate(missing)]
    heapq.heapify(heap)
    taken = set()
    # What a row adds only ever shrinks. So one that still adds as much as it did is the best there is, and
    # the others need not be looked at again.
    while heap:
        gain, tie, number = heap[0]
        missing[number] -= covered
        if -gain != len(missing[number]):
            gain = -len(missing[number])
            heapq.heapreplace(heap, (gain, tie, number)) if gain else heapq.heappop(heap)
            continue
        heapq.heappop(heap)
        if gain:
            taken.add(number)
            covered |= missing[number]
    return taken


def _pairs(row: Row) -> set[Hashable]:
    """Values with their columns, two by two."""
    values: list[Hashable] = list(enumerate(row))
    return set(combinations(values, 2)) if len(values) > 1 else set(values)


def in_sample(name: str, seed: str) -> bool:
    """Whether the sample of that seed has it, whatever else there is: several processes need not agree."""
    return random.Random(f"{seed} {name}").randrange(SAMPLE) == 0
