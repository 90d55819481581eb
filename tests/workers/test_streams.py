"""When responses that go on are cut: values in, calls out."""

from __future__ import annotations

import logging
import math
from typing import Any

import pytest

from tricorn.config.settings import Settings
from tricorn.transport.streams import is_event_stream
from tricorn.workers.streams import AGAIN, EVENT_STREAM_PATIENCE, StreamLimits

BEGAN = 1000.0
FIRST = EVENT_STREAM_PATIENCE

#: stream_timeout → after how many seconds what is cut: event streams only, or all.
CALLS: dict[float | None, list[tuple[float, bool]]] = {
    None: [(FIRST, True), (FIRST + AGAIN, True), (FIRST + 2 * AGAIN, True)],
    0.0: [],
    0.5: [(0.5, False), (0.5 + AGAIN, False), (0.5 + 2 * AGAIN, False)],
    60.0: [(60.0, False), (60.0 + AGAIN, False), (60.0 + 2 * AGAIN, False)],
}


@pytest.mark.parametrize("timeout", CALLS, ids=str)
def test_when_what_is_cut(timeout: float | None) -> None:
    calls: list[tuple[float, bool]] = []
    now = BEGAN

    def cut(events_only: bool) -> list[str]:
        calls.append((now - BEGAN, events_only))
        return []

    limits = StreamLimits(Settings(stream_timeout=timeout), cut)
    assert limits.next == math.inf  # nothing is due before the drain
    limits.begin(BEGAN)
    for _ in range(3):
        now = limits.next
        if now == math.inf:
            break
        limits.attend(now - 0.001)  # nothing is done before its time
        limits.attend(now)
    assert calls == CALLS[timeout]
    assert limits.cut_at == math.inf


def test_what_was_cut_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    cut = ["GET /a?x=1", "GET /b", "GET /a?x=2", *(f"GET /{n}" for n in range(5))]
    limits = StreamLimits(Settings(stream_timeout=2.0), lambda _: cut)
    limits.begin(BEGAN)
    with caplog.at_level(logging.INFO, logger="tricorn.error"):
        limits.attend(BEGAN + 2.0)
    assert caplog.messages == [
        "Cut 8 responses that still went on 2 s after the drain began (stream_timeout): "
        "GET /a (2), GET /b, GET /0, GET /1, GET /2, …"
    ]
    assert limits.cut_at == BEGAN + 2.0


class Hostile(str):
    def lower(self) -> str:
        raise AssertionError("foreign code was called")


EVENTS = "text/event-stream"
HEADERS: list[tuple[Any, bool]] = [
    ([("Content-Type", EVENTS)], True),
    ([("X", "y"), ("content-type", f"{EVENTS.upper()} ; charset=utf-8")], True),
    ([(b"Content-Type", EVENTS.encode())], True),
    (([b"content-type", b"text/event-stream;charset=utf-8"],), True),
    ([("Content-Type", "text/plain")], False),
    ([("Content-Type", "text/event-streams")], False),
    ([("Accept", EVENTS)], False),
    ([], False),
    ([None, (), ("a",), ("a", "b", "c"), (1, 2), (Hostile("Content-Type"), Hostile(EVENTS))], False),
]


@pytest.mark.parametrize(("headers", "expected"), HEADERS)
def test_event_streams(headers: Any, expected: bool) -> None:
    assert is_event_stream(headers) is expected
