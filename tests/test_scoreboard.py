"""The shared page: one writer's values are seen by another process, and rows do not touch each other."""

from __future__ import annotations

import gc
import os

import pytest

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
