"""Whose is which queue: a table."""

from __future__ import annotations

import pytest

from tricorn.arbiter.queues import choose

CASES = [
    ("the first worker", [], 2, 1),
    ("the second one", [1], 2, 2),
    ("a third one shares", [1, 2], 2, 1),
    ("and a fourth", [1, 2, 1], 2, 2),
    ("one has gone", [2], 2, 1),
    ("of four the third has gone", [4, 1, 2], 4, 3),
    ("a worker of before there were queues", [0, 1], 2, 2),
]


@pytest.mark.parametrize(
    ("taken", "count", "chosen"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_choose(taken: list[int], count: int, chosen: int) -> None:
    assert choose(taken, count) == chosen
