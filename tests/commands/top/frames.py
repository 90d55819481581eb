"""Answers of a server, and frames made of them, for the tests of what `tricorn top` shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tricorn.metrics.frames import (
    APPLICATION,
    WAITING,
    WHOLE,
    Frame,
    Quantiles,
    RequestFigures,
    WorkerFigures,
)
from tricorn.records import replace

STATUS: dict[str, Any] = {
    "app": "mysite.wsgi",
    "pid": 4711,
    "mode": "running",
    "generation": 2,
    "uptime": 11520.0,
    "is_on_trial": False,
    "older": None,
    "newer": None,
    "workers": {"wanted": 2, "ready": 2, "booting": 0, "leaving": 0},
}

WORKER = WorkerFigures(
    pid=4913,
    state="ready",
    generation=2,
    age=3720.0,
    requests=18240,
    busy=2,
    threads=8,
    waiting=0,
    connections=31,
    websockets=0,
    rate=602.0,
    cpu=0.123,
    memory=84 << 20,
    is_mold=False,
    note="",
)

REQUEST = RequestFigures(4913, "application", "GET", "/report", "192.0.2.7", 2.1, 11, 0, "")

FRAME = Frame(
    status=STATUS,
    workers=[WORKER, replace(WORKER, pid=4914, rate=598.5, busy=1, connections=28, memory=83 << 20)],
    requests=[
        REQUEST,
        replace(REQUEST, pid=4914, phase="responding", target="/export?all=1", seconds=61.0, sent=3 << 20),
        replace(REQUEST, phase="client", method="", target="", client="2001:db8::7", seconds=0.4),
    ],
    left_out=0,
    silent={},
    is_counted=True,
    rate=1200.5,
    shares={"2xx": 0.991, "4xx": 0.008, "5xx": 0.001},
    received=1258291.2,
    sent=15204352.0,
    idle=41,
    backlog=0,
    latencies={
        WHOLE: Quantiles(0.004, 0.032, 0.13),
        APPLICATION: Quantiles(0.003, 0.03, 0.12),
        WAITING: Quantiles(0.00001, 0.00003, 0.0005),
    },
    memory=167 << 20,
)

NOTHING_COUNTED = replace(
    FRAME, is_counted=False, shares={}, received=None, sent=None, idle=None, backlog=None, latencies={}
)


def many_workers(count: int) -> Sequence[WorkerFigures]:
    return [replace(WORKER, pid=5000 + each, rate=float(each)) for each in range(count)]


def many_requests(count: int) -> Sequence[RequestFigures]:
    return [replace(REQUEST, target=f"/{each}", seconds=float(count - each)) for each in range(count)]
