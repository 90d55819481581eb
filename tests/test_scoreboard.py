"""The shared page: one writer's values are seen by another process, and rows do not touch each other."""

from __future__ import annotations

import gc
import itertools
import os
import signal
from array import array
from functools import partial
from typing import Any

import pytest
from harness.server import wait_for

from tricorn import scoreboard
from tricorn.scoreboard import Board

FIELDS = ("pid", "state", "generation", "heartbeat_ns", "started_ns", "connections", "accepted", "errors")


def test_what_a_child_writes_the_parent_reads() -> None:
    board = Board(2, 3)
    pid = os.fork()
    if pid == 0:
        board[1].state = scoreboard.READY
        board[1].beat()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert board[1].state == scoreboard.READY
    assert 0 < board[1].heartbeat_ns <= scoreboard.monotonic_ns()


def test_rows_do_not_touch_each_other() -> None:
    board = Board(3, 2)
    for number, field in enumerate(FIELDS, 1):
        setattr(board[1], field, number)
    assert [getattr(board[1], field) for field in FIELDS] == list(range(1, len(FIELDS) + 1))
    for other in (board[0], board[2]):
        assert [getattr(other, field) for field in FIELDS] == [0] * len(FIELDS)
        assert other.requests == 0


def test_a_cleared_row_is_empty() -> None:
    row = Board(1, 1)[0]
    for field in FIELDS:
        setattr(row, field, 7)
    row.clear()
    assert [getattr(row, field) for field in FIELDS] == [0] * len(FIELDS)


def test_cells() -> None:
    cells = Board(1, 4)[0].cells
    assert len(cells) == 4
    assert all(
        (cell.busy_since_ns, cell.busy_ns, cell.requests, cell.request) == (0, 0, 0, "") for cell in cells
    )
    assert len(cells[0].durations) == 24


def test_cells_for_all_that_comes_stand_first() -> None:
    board = Board(1, 3, 2)
    assert (board.cells, board.reserved) == (5, 2)
    assert (len(board[0].cells), len(board[0].shared_cells)) == (5, 3)


def test_a_row_keeps_its_page_alive() -> None:
    row = Board(1, 1)[0]
    gc.collect()
    row.state = scoreboard.DRAINING
    assert row.state == scoreboard.DRAINING


@pytest.mark.parametrize("shape", [(0, 1), (1, 0), (1, 0, 2), (1, 2, -1)])
def test_an_empty_board_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        Board(*shape)


# -- exemplars


TRACE, SPAN = 0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7
WRITTEN = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")


def test_an_exemplar_is_read_as_it_was_written() -> None:
    board = Board(2, 1, 0, 5, 3)
    assert (board.exemplars, board[0].exemplar_count, Board(1, 1)[0].exemplar_count) == (3, 3, 0)
    assert board[0].exemplars() == []
    board[0].exemplify(2, TRACE, SPAN, 64_000, 7)
    board[0].exemplify(1, 1, 2, 3, 4)
    board[0].exemplify(1, TRACE, SPAN, 5, 8)
    assert board[0].exemplars() == [(1, *WRITTEN, 5, 8), (2, *WRITTEN, 64_000, 7)]
    assert board[1].exemplars() == []
    into = array("q", [0] * 5)
    for row in board:
        row.add_figures(into)
    assert list(into) == [0] * 5  # they lie beside what is counted
    board[0].clear()
    assert board[0].exemplars() == []
    with pytest.raises(IndexError, match="3 exemplars"):
        board[0].exemplify(3, 1, 1, 1, 1)


def _looks_whole(row: Any, seen: set[int]) -> bool:
    """Whether one was seen that is not among `seen`, in a hundred looks that are all of whole ones."""
    known = len(seen)
    for _ in range(100):
        for _, trace, span, ns, at_ns in row.exemplars():
            assert trace == span * 2
            assert int(span, 16) == ns == at_ns
            seen.add(ns)
    return len(seen) > known


def test_no_exemplar_is_half_another() -> None:
    """A reader in one process, a writer in another, which is killed while it writes."""
    row = Board(1, 1, 0, 0, 1)[0]
    pid = os.fork()
    if pid == 0:
        for number in itertools.count(1):
            row.exemplify(0, number << 64 | number, number, number, number)
    try:
        wait_for(row.exemplars, "one is written")
        seen: set[int] = set()
        for _ in range(50):
            wait_for(partial(_looks_whole, row, seen), "another is written")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
