"""The layout of a worker's figures, and how single ones come to be."""

from __future__ import annotations

from array import array

import pytest

from tricorn.metrics import figures
from tricorn.metrics.table import (
    BEGUN,
    ENDED,
    METHODS,
    NO_ROUTE,
    OF_GROUP,
    OF_WORKER,
    OTHERS,
    STATUSES,
    groups_of,
    words_of,
)
from tricorn.scoreboard import Board


def test_each_word_of_a_worker_has_one_name() -> None:
    taken = [place for family in OF_WORKER for place in range(family.place, family.place + family.words)]
    assert sorted(taken) == list(range(figures.COMMON_WORDS))


def test_so_has_each_of_a_group() -> None:
    taken = [place for family in OF_GROUP for place in range(family.place, family.place + family.words)]
    assert sorted([BEGUN, ENDED, *taken]) == list(range(figures.GROUP_WORDS))


def test_names_follow_the_conventions() -> None:
    for family in (*OF_WORKER, *OF_GROUP):
        assert family.name.startswith("tricorn_")
        assert family.name.endswith("_total") == (family.kind.value == "counter")
        assert family.name.endswith("_seconds") or family.kind.value != "histogram"
        assert family.help.endswith(".")


@pytest.mark.parametrize(
    ("ns", "bucket"),
    [(-5, 0), (0, 0), (1, 0), (32_000, 0), (32_001, 1), (64_000, 1), (64_001, 2), (1 << 62, 22)],
)
def test_a_bound_belongs_to_what_is_below_it(ns: int, bucket: int) -> None:
    *buckets, total = figures.observed(ns)
    assert buckets.index(1) == bucket
    assert sum(buckets) == 1
    assert total == max(ns, 0)


def test_every_bound_holds() -> None:
    """What takes just as long as a bound says, and one nanosecond more."""
    for index, bound in enumerate(figures.BOUNDS):
        ns = round(bound * 1e9)
        assert figures.observed(ns)[index] == 1
        assert figures.observed(ns + 1)[index + 1] == 1


def test_methods_and_statuses_have_classes() -> None:
    for index, name in enumerate(METHODS[1][:-1]):
        assert figures.classes(name, "200 OK") == (index, 2)
    assert figures.classes("BREW", "418 I am a teapot") == (len(METHODS[1]) - 1, 4)
    for status in (None, "", "999 Odd", "xyz", "\u0660"):
        assert figures.classes("GET", status) == (0, 0)
    assert STATUSES[1][figures.classes("GET", "503 Busy")[1]] == "5xx"


def test_groups_are_bounded() -> None:
    assert groups_of([]) == (NO_ROUTE,)
    many = [f"/{number}" for number in range(200)]
    assert len(groups_of(many)) == figures.GROUPS_MAX
    assert groups_of(many)[-1] == OTHERS
    assert groups_of(many[: figures.GROUPS_MAX - 1])[-1] == many[figures.GROUPS_MAX - 2]
    assert words_of(groups_of(["/a"])) == figures.COMMON_WORDS + 2 * figures.GROUP_WORDS


def test_a_row_has_figures_and_forgets_them() -> None:
    row, other = Board(2, 1, 0, 3)
    into = array("q", [1, 2, 3])
    row.add_figures(into)
    assert list(into) == [1, 2, 3]
    assert row.figure_count == other.figure_count == 3
    with pytest.raises(ValueError, match="3 figures"):
        row.add_figures(array("q", [0]))
    assert Board(1, 1)[0].figure_count == 0
