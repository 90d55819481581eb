"""What `make test` and `make test-sample` take of the product of the axes."""

from __future__ import annotations

from itertools import combinations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.combinations import in_sample, pairwise, singly

Rows = list[tuple[str, ...]]

#: Sizes of the axes → the most rows that may be taken. The lower bound is the product of the two largest.
SIZES = {
    (3, 4): 12,
    (3, 2, 4): 13,
    (40, 3, 4): 170,
    (40, 3, 2, 4): 170,
    (3, 3, 3, 3): 13,
    (2, 2, 2, 2, 2, 2, 2, 2): 9,
}


def grid(*sizes: int) -> Rows:
    return list(
        product(*(tuple(f"{axis}{value}" for value in range(size)) for axis, size in enumerate(sizes)))
    )


def names_of(rows: Rows) -> list[str]:
    return ["-".join(row) for row in rows]


def taken(rows: Rows) -> Rows:
    return [rows[number] for number in sorted(pairwise(rows, names_of(rows)))]


def pairs(rows: Rows) -> set[object]:
    return {pair for row in rows for pair in combinations(enumerate(row), 2)}


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_each_pair_appears_and_few_rows_are_taken(sizes: tuple[int, ...]) -> None:
    rows = grid(*sizes)
    assert pairs(taken(rows)) == pairs(rows)
    assert len(taken(rows)) <= SIZES[sizes]


@given(st.lists(st.sampled_from(grid(4, 3, 2, 3)), unique=True))
def test_of_rows_with_gaps_each_pair_that_is_there_appears(rows: Rows) -> None:
    assert pairs(taken(rows)) == pairs(rows)


@given(st.permutations(grid(5, 3, 4)))
def test_the_choice_does_not_depend_on_the_order(rows: Rows) -> None:
    assert set(taken(rows)) == set(taken(grid(5, 3, 4)))


def test_cases_get_different_combinations() -> None:
    """Not the same four of twelve for each: then two in three would never be tried."""
    rest = {row[1:] for row in taken(grid(40, 3, 4))}
    assert len(rest) == 12


@given(st.lists(st.sampled_from(grid(4, 3, 2, 3)), unique=True))
def test_each_value_alone_appears_in_no_more_rows_than_there_are_values(rows: Rows) -> None:
    chosen = [rows[number] for number in singly(rows, names_of(rows))]
    assert {value for row in chosen for value in row} == {value for row in rows for value in row}
    assert len(chosen) <= 4 + 3 + 2 + 3


def test_each_value_of_a_whole_product_appears_in_as_many_rows_as_the_longest_column_has() -> None:
    rows = grid(3, 7, 2)
    assert len(singly(rows, names_of(rows))) == 7


def test_rows_of_one_column_are_all_taken() -> None:
    assert taken(grid(5)) == grid(5)


def test_no_rows() -> None:
    assert pairwise([], []) == set()


def test_a_sample_is_a_tenth_and_another_seed_takes_another() -> None:
    names = names_of(grid(40, 3, 4))
    one, again, other = ({name for name in names if in_sample(name, seed)} for seed in ("a", "a", "b"))
    assert one == again != other
    assert len(names) / 14 < len(one) < len(names) / 7
