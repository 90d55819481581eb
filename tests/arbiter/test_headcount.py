"""What statsd is told of the workers, by the master's records of them."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import pytest

from tricorn.arbiter import headcount
from tricorn.arbiter.children import ChildRecord, Generation
from tricorn.arbiter.privileges import Identity
from tricorn.arbiter.target import ATTENDANT
from tricorn.config.settings import Settings
from tricorn.net.listener import open_listeners
from tricorn.scoreboard import Board

Told = list[tuple[str, int, str]]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    said: Told = []
    monkeypatch.setattr(headcount.log_setup, "metric", lambda *metric: said.append(metric))
    return said


def children(*generations: int, waiting: int = 0, mold: bool = False) -> list[ChildRecord]:
    """One for each number of a generation, each with so many who wait."""
    board = Board(len(generations), 1)
    made = []
    for number, row in zip(generations, board, strict=True):
        row.waiting = waiting
        generation = Generation(number, Settings(), (), board, Identity(None, None, None))
        made.append(ChildRecord(number, generation, row, -1, 0.0, is_mold=mold))
    return made


def test_only_workers_are_counted(told: Told) -> None:
    """Not the process that answers health checks, nor what workers are forked from."""
    all_of_them = [*children(1, 1, ATTENDANT), *children(1, mold=True)]
    count = headcount.Headcount()
    count.attend(all_of_them, (), Settings(), 100.0)
    count.attend(all_of_them, (), Settings(), 101.0)
    assert told == [("gunicorn.workers", 2, "gauge")]
    count.attend(all_of_them, (), Settings(), 110.0)
    count.attend(all_of_them[:1], (), Settings(), 110.5)
    assert told[1:] == [("gunicorn.workers", 2, "gauge"), ("gunicorn.workers", 1, "gauge")]


def test_who_waits_is_in_the_kernel_or_in_a_worker(told: Told) -> None:
    settings = Settings(
        bind=("127.0.0.1:0", "[::1]:0", "unix:@tricorn-headcount"), enable_backlog_metric=True
    )
    with ExitStack() as cleanup:
        listeners = open_listeners(settings)
        for listener in listeners:
            cleanup.callback(listener.close)
            for _ in range(3):
                client = cleanup.enter_context(socket.socket(listener.socket.family))
                client.connect(listener.socket.getsockname())
        count = headcount.Headcount()
        for now in (100.0, 100.5, 101.0):
            count.attend(children(1, 1, waiting=5), listeners, settings, now)
    backlog = [value for name, value, kind in told if (name, kind) == ("gunicorn.backlog", "histogram")]
    assert backlog == [6 + 10] * 2
