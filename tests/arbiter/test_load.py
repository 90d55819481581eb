"""What makes of rows of the scoreboard a number of workers: web workers, and each pool for itself."""

from __future__ import annotations

import os
import time
from types import SimpleNamespace
from typing import Any

import pytest

from tricorn.arbiter.autoscale import UP_OVER
from tricorn.arbiter.load import Autoscaler
from tricorn.arbiter.target import (
    Mode,
    Plan,
    Pool,
    Target,
    first_target,
    heavy_generation,
    maybe_pool,
    paused,
    pooled,
)
from tricorn.records import replace
from tricorn.scoreboard import Board

HEAVY = heavy_generation(1, 1)
START = time.monotonic()


def target(workers: int = 1, most: int | None = 4, web_most: int | None = None) -> Target:
    plan = Plan(HEAVY, workers, proven=True, most=most)
    return pooled(first_target(1, 100, most=web_most, proven=True), Pool("heavy", 1, plan, room=100))


class Children:
    """Workers of one generation; each has as many threads as its row has cells."""

    def __init__(self, generation: int, workers: int = 1, threads: int = 1) -> None:
        self.rows = list(Board(workers, threads))
        self.all: list[Any] = [
            SimpleNamespace(
                pid=os.getpid() + place,
                row=row,
                generation=SimpleNamespace(number=generation),
                stays=True,
                is_heavy=generation == HEAVY,
                serves=generation != HEAVY,
            )
            for place, row in enumerate(self.rows)
        ]


def followed(asked: Target, children: Children, each_second: Any = lambda: None) -> Target:
    """What the load makes of it, at the first moment at which it may."""
    autoscaler = Autoscaler()
    for second in range(int(UP_OVER) + 2):
        each_second()
        asked = autoscaler.attend(asked, children.all, START + 10 + second)
    return asked


def workers_of(found: Target) -> tuple[int, int]:
    pool = maybe_pool(found, 1)
    assert pool is not None
    return found.plan.workers, pool.plan.workers


def test_heavy_workers_that_are_busy_get_another(caplog: pytest.LogCaptureFixture) -> None:
    children = Children(HEAVY)
    children.rows[0].cells[0].begin("site:App", "work")
    with caplog.at_level("INFO"):
        assert workers_of(followed(target(), children)) == (1, 2)
    assert "Changing from 1 to 2 heavy workers: they are busy for 100% of the time" in caplog.text


def test_one_that_has_a_thread_left_does_not() -> None:
    children = Children(HEAVY, threads=2)
    children.rows[0].cells[0].begin("site:App", "work")
    assert workers_of(followed(target(), children)) == (1, 1)


def test_what_computes_beside_the_calls_keeps_nobody_waiting() -> None:
    """This process does, and is taken for the worker."""

    def compute() -> None:
        end = time.process_time() + 0.01
        while time.process_time() < end:
            pass

    assert workers_of(followed(target(), Children(HEAVY), compute)) == (1, 1)


def test_calls_that_wait_get_another(caplog: pytest.LogCaptureFixture) -> None:
    children = Children(HEAVY)
    (row,) = children.rows

    def wait() -> None:
        row.waits += 10
        row.waited_ns += 3_000_000_000

    with caplog.at_level("INFO"):
        assert workers_of(followed(target(), children, wait)) == (1, 2)
    assert "Changing from 1 to 2 heavy workers: calls wait for 300 ms" in caplog.text


def test_each_has_its_own_load() -> None:
    heavy = Children(HEAVY)
    heavy.rows[0].cells[0].begin("site:App", "work")
    web = Children(1)
    heavy.all += web.all
    assert workers_of(followed(target(web_most=4), heavy)) == (1, 2)


@pytest.mark.parametrize(
    "asked",
    [
        target(most=None),
        target(workers=4),
        paused(target()),
        replace(target(), mode=Mode.DRAINING),
    ],
    ids=["fixed", "the most", "paused", "stopping"],
)
def test_nothing_is_changed(asked: Target) -> None:
    children = Children(HEAVY, workers=4)
    for row in children.rows:
        row.cells[0].begin("site:App", "work")
    assert followed(asked, children) == asked


def test_one_that_leaves_is_not_counted() -> None:
    """So the others are too few, and nobody is added before its successor is there."""
    children = Children(HEAVY, workers=2)
    for row, child in zip(children.rows, children.all, strict=True):
        row.cells[0].begin("site:App", "work")
        child.stays = child.row is not children.rows[0]
    asked = target(workers=2)
    assert followed(asked, children) == asked
