"""From answers to figures: rates between two snapshots, percentiles of the last minute, new beginnings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from commands.top.frames import STATUS

from tricorn.metrics.frames import WHOLE, WINDOW, History, Process, Quantiles, Snapshot, quantile

BOUNDS = [0.001, 0.01, 0.1]


def worker(pid: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "pid": pid,
        "is_mold": False,
        "state": "ready",
        "generation": 1,
        "age": 10.0,
        "requests": 0,
        "busy": 0,
        "threads": 1,
        "waiting": 0,
        "connections": 0,
        "websockets": 0,
        "replaced_because": None,
        **more,
    }


def families(
    *, ok: int = 0, failed: int = 0, sent: int = 0, buckets: Sequence[int] = (0, 0, 0, 0)
) -> list[dict[str, Any]]:
    """Of two routes: the second one has half of what there is."""
    return [
        {
            "name": "tricorn_requests_total",
            "samples": [
                [{"route": "", "method": "GET", "status": "2xx"}, ok],
                [{"route": "/x", "method": "POST", "status": "5xx"}, failed],
                [{"route": "/x", "method": "GET", "status": "4xx"}, 0],
            ],
        },
        {"name": "tricorn_sent_bytes_total", "samples": [[{}, sent]]},
        {"name": "tricorn_idle_connections", "samples": [[{}, 41]]},
        {
            "name": WHOLE,
            "bounds": BOUNDS,
            "samples": [[{"route": route}, list(buckets), 0.0] for route in ("", "/x")],
        },
    ]


def snapshot(at: float, **more: Any) -> Snapshot:
    return Snapshot(at, more.pop("status", STATUS), more.pop("workers", [worker()]), **more)


def test_rates_are_between_two_snapshots() -> None:
    history = History()
    first = history.frame(snapshot(100.0, families=families(ok=1000, sent=50)))
    assert (first.is_counted, first.rate, first.shares, first.latencies) == (True, None, {}, {})
    frame = history.frame(
        snapshot(102.0, families=families(ok=1018, failed=2, sent=1050, buckets=(0, 5, 0, 0)))
    )
    assert frame.rate == 10.0
    assert frame.shares == {"2xx": 0.9, "5xx": 0.1}
    assert (frame.sent, frame.received, frame.idle, frame.backlog) == (500.0, 0.0, 41, None)
    assert frame.latencies[WHOLE].p50 == pytest.approx(0.0055)
    assert (list(frame.durations), list(frame.bounds)) == ([0, 10, 0, 0], BOUNDS)
    again = history.frame(
        snapshot(103.0, families=families(ok=1018, failed=2, sent=1050, buckets=(0, 5, 0, 0)))
    )
    assert (again.rate, again.shares) == (0.0, {})
    assert again.latencies == frame.latencies
    assert list(again.durations) == [0, 0, 0, 0]  # of the last look alone


def test_latencies_are_of_the_last_minute() -> None:
    history = History()
    history.frame(snapshot(0.0, families=families()))
    assert WHOLE in history.frame(snapshot(1.0, families=families(buckets=(9, 0, 0, 0)))).latencies
    late = snapshot(1.0 + WINDOW, families=families(buckets=(9, 0, 1, 0)))
    assert history.frame(late).latencies[WHOLE].p50 == pytest.approx(0.055)
    assert history.frame(snapshot(200.0, families=families(buckets=(9, 0, 1, 0)))).latencies == {}


@pytest.mark.parametrize(
    "new",
    [
        {"families": families(ok=3, buckets=(1, 0, 0, 0))},
        {"families": families(ok=3, buckets=(1, 0, 0, 0)), "status": {**STATUS, "pid": 2}},
        {"families": None},
    ],
    ids=["counted from zero", "another master", "not counted any more"],
)
def test_a_new_beginning_is_no_rate(new: dict[str, Any]) -> None:
    history = History()
    history.frame(snapshot(0.0, families=families(ok=500, buckets=(5, 0, 0, 0))))
    frame = history.frame(snapshot(1.0, workers=[], **new))
    assert (frame.rate, frame.shares, frame.sent, frame.latencies) == (None, {}, None, {})


def test_of_workers() -> None:
    history = History()
    processes = {1: Process(5.0, 100), 2: Process(1.0, 50)}
    workers = [worker(1, requests=10), worker(2, requests=700), worker(3, is_mold=True)]
    first = history.frame(snapshot(0.0, workers=workers, processes=processes))
    assert [(each.rate, each.cpu, each.memory) for each in first.workers] == [
        (None, None, 100),
        (None, None, 50),
        (None, None, 0),
    ]
    # 2 is another worker with the same process id; 4 is new.
    workers = [
        worker(1, requests=30, age=12.0, replaced_because="max_requests"),
        worker(2, requests=5, age=1.0),
        worker(3, is_mold=True, age=12.0),
        worker(4, requests=9),
    ]
    processes = {1: Process(6.0, 110), 2: Process(0.5, 50)}
    frame = history.frame(snapshot(2.0, workers=workers, processes=processes))
    assert [(each.rate, each.cpu) for each in frame.workers] == [
        (10.0, 0.5),
        (None, None),
        (None, None),
        (None, None),
    ]
    assert [each.state for each in frame.workers] == ["ready", "ready", "mold", "ready"]
    assert (frame.rate, frame.memory, frame.is_counted) == (10.0, 160, False)
    assert frame.workers[0].note == "max_requests"


def test_requests_of_all_workers() -> None:
    known = {"phase": "application", "method": "GET", "target": "/", "client": "::1", "seconds": 1.5}
    unknown: dict[str, Any] = dict.fromkeys([*known, "http", "sent", "id"])
    answers = [
        {"pid": 1, "requests": [{**known, "http": 20, "sent": 7, "id": "abc"}], "left_out": 2},
        {"pid": 2, "requests": [unknown], "left_out": 1, "silent": ""},
    ]
    frame = History().frame(snapshot(0.0, requests=answers))
    first, second = frame.requests
    assert (first.pid, first.client, first.seconds, first.http, first.sent, first.id) == (
        1,
        "::1",
        1.5,
        20,
        7,
        "abc",
    )
    assert (second.pid, second.method, second.seconds, second.http, second.id) == (2, "", None, 0, "")
    assert (frame.left_out, frame.silent) == (3, {2: "it is busy"})


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        ((4, 0, 0, 0), 0.5, 0.0005),
        ((0, 4, 0, 0), 1.0, 0.01),
        ((1, 1, 0, 2), 0.5, 0.01),
        ((0, 0, 0, 5), 0.5, 0.1),
        ((50, 0, 50, 0), 0.99, 0.01 + 0.09 * 49 / 50),
    ],
)
def test_a_quantile(counts: Sequence[int], share: float, expected: float) -> None:
    assert quantile(BOUNDS, counts, share) == pytest.approx(expected)


def test_quantiles_are_in_order() -> None:
    history = History()
    history.frame(snapshot(0.0, families=families()))
    found = history.frame(snapshot(1.0, families=families(buckets=(50, 40, 9, 1)))).latencies[WHOLE]
    assert found == Quantiles(
        quantile(BOUNDS, (50, 40, 9, 1), 0.5),
        quantile(BOUNDS, (50, 40, 9, 1), 0.95),
        quantile(BOUNDS, (50, 40, 9, 1), 0.99),
    )
    assert found.p50 < found.p95 < found.p99
