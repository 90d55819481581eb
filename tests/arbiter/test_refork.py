"""Which worker becomes the next mold: values in, a value out."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tricorn.arbiter.refork import Candidate, maybe_next

A, B = Candidate(1, 499), Candidate(2, 700)

CASES: list[tuple[str, Sequence[Candidate], Sequence[int], int, int | None]] = [
    ("not asked for", [A, B], (), 0, None),
    ("nobody is there", [], (500,), 0, None),
    ("nobody has served enough", [A], (500,), 0, None),
    ("one has", [Candidate(1, 500)], (500,), 0, 1),
    ("who has served the most", [A, B], (100,), 0, 2),
    ("done", [A, B], (100,), 1, None),
    ("for a second time it takes more", [A, B], (100, 2000), 1, None),
    ("for a second time", [A, B], (100, 600), 1, 2),
    ("as many each time", [A, B], (100, 100), 1, 2),
]


@pytest.mark.parametrize(
    ("candidates", "refork_after", "done", "chosen"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_who_is_next(
    candidates: Sequence[Candidate], refork_after: Sequence[int], done: int, chosen: int | None
) -> None:
    assert maybe_next(candidates, refork_after, done) == chosen
