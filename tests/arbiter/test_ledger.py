"""What the master keeps of workers that are gone: why they have ended, their routes, their exemplars."""

from __future__ import annotations

from typing import Any

import pytest

from tricorn import scoreboard
from tricorn.arbiter.children import ChildRecord, Generation
from tricorn.arbiter.ledger import ENDS, ROUTES_KEPT, Ledger, exemplars_of, figures_of, reason
from tricorn.arbiter.privileges import Identity
from tricorn.arbiter.target import Mode, Target, first_target, with_ready
from tricorn.config.settings import Settings
from tricorn.metrics import figures
from tricorn.records import replace
from tricorn.scoreboard import Board

NOW = 100.0
SERVING = with_ready(first_target(2, room=100), 1)
STOPPING = replace(SERVING, mode=Mode.DRAINING)
RELOADED = replace(SERVING, plan=replace(SERVING.plan, generation=2))

READY: dict[str, Any] = {"ready_at": 50.0}
TOLD: dict[str, Any] = {**READY, "drained_at": 90.0}


def record(
    settings: Settings | None = None, *, pid: int = 12, worn: int = 0, number: int = 1, **marks: Any
) -> ChildRecord:
    settings = settings or Settings(metrics=True)
    board = Board(1, 1, 0, figures_of(settings), exemplars_of(settings))
    board[0].worn = worn
    generation = Generation(number, settings, (), board, Identity(None, None, None))
    return ChildRecord(pid, generation, board[0], -1, 0.0, **marks)


#: Reason, what is known of the worker, its exit code, what shall be.
REASONS: list[tuple[str, ChildRecord, int | None, Target]] = [
    ("stop", record(**TOLD), 0, STOPPING),
    ("reload", record(**TOLD), 0, RELOADED),
    ("scale", record(**TOLD), 0, SERVING),
    ("max_requests", record(worn=scoreboard.SERVED_ENOUGH, **TOLD), 0, SERVING),
    ("stuck", record(worn=scoreboard.STUCK, **TOLD), 0, SERVING),
    ("reload_on_exception", record(worn=scoreboard.FAILED, **TOLD), 0, SERVING),
    ("unhealthy", record(worn=scoreboard.ASKED, **TOLD), 0, SERVING),
    ("max_lifetime", record(lifetime=10.0, **TOLD), 0, SERVING),
    ("max_memory", record(is_large=True, **TOLD), 0, SERVING),
    ("max_memory", record(is_too_large=True, killed_at=99.0, **READY), -9, SERVING),
    ("refork", record(is_candidate=True, **TOLD), 0, SERVING),
    ("refork", record(is_outdated=True, **TOLD), 0, SERVING),
    ("replace", record(is_unwanted=True, **TOLD), 0, SERVING),
    ("kill", record(is_condemned=True, killed_at=99.0, **READY), -9, SERVING),
    ("boot", record(), 3, SERVING),
    ("boot", record(aborted_at=99.0), -6, SERVING),
    ("silent", record(aborted_at=99.0, **READY), -6, SERVING),
    ("late", record(killed_at=99.0, **TOLD), -9, SERVING),
    ("late", record(killed_at=99.0, **TOLD), -9, STOPPING),
    ("signal", record(**READY), -9, SERVING),
    ("exit", record(**READY), 0, SERVING),
    ("exit", record(**READY), None, SERVING),
]


@pytest.mark.parametrize(("why", "child", "code", "target"), REASONS, ids=[each[0] for each in REASONS])
def test_each_end_has_its_reason(why: str, child: ChildRecord, code: int | None, target: Target) -> None:
    assert reason(child, code, target, NOW) == why
    ledger = Ledger()
    ledger.note_end(child, code, target, NOW)
    assert told(ledger, "tricorn_worker_ends_total") == [
        [{"reason": each}, int(each == why)] for each in ENDS
    ]


def test_there_are_no_other_reasons() -> None:
    assert {each[0] for each in REASONS} == set(ENDS)


def told(ledger: Ledger, name: str, key: str = "samples", children: tuple[ChildRecord, ...] = ()) -> Any:
    generation = record().generation
    families = {each["name"]: each for each in ledger.report(SERVING, children, generation, NOW)}
    return [list(each) for each in families[name].get(key, ())]


def on_route(number: int, **marks: Any) -> ChildRecord:
    settings = Settings(metrics=True, routes={f"/{number}": {"request_timeout": 30.0}})
    return record(settings, number=number, **TOLD, **marks)


def test_routes_that_come_and_go_are_not_remembered_for_ever() -> None:
    ledger = Ledger()
    for number in range(1, 2 * ROUTES_KEPT):
        child = on_route(number)
        child.row.exemplify(figures.EXEMPLAR_COUNT, number, number, 40_000, number)
        ledger.note_end(child, 0, RELOADED, NOW)
    routes = [labels["route"] for labels, *_ in told(ledger, "tricorn_request_duration_seconds")]
    assert len(routes) == len(set(routes)) == ROUTES_KEPT + 1
    assert {"", "other", f"/{2 * ROUTES_KEPT - 1}"} <= set(routes)
    assert "/1" not in routes
    exemplars = told(ledger, "tricorn_request_waiting_seconds", "exemplars")
    assert [bool(each) for each in exemplars] == [name not in ("", "other") for name in routes]


def test_of_several_exemplars_the_latest_is_told() -> None:
    """Whoever has served it, and whether it lives."""
    ledger = Ledger()
    whole = 3 * figures.BUCKET_COUNT
    for pid, at_ns in ((1, 70), (2, 30)):
        child = record(pid=pid, **TOLD)
        child.row.exemplify(whole + 1, pid, pid, 40_000, at_ns * 10**9)
        child.row.exemplify(whole + pid + 1, pid, pid, 90_000, at_ns * 10**9)
        ledger.note_end(child, 0, SERVING, NOW)
    living = record(pid=3, **READY)
    living.row.exemplify(whole + 1, 3, 3, 41_000, 50 * 10**9)
    (found,) = told(ledger, "tricorn_request_duration_seconds", "exemplars", (living,))
    assert [(bucket, int(ids["trace_id"], 16), value) for bucket, ids, value, _ in found] == [
        (1, 1, 0.00004),
        (2, 1, 0.00009),
        (3, 2, 0.00009),
    ]
    assert found[0][3] - found[2][3] == pytest.approx(40)
    assert told(ledger, "tricorn_request_queue_seconds", "exemplars") == []


def test_nothing_is_told_of_traces_where_there_are_none() -> None:
    assert told(Ledger(), "tricorn_request_duration_seconds", "exemplars", (record(**READY),)) == []
