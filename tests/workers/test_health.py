"""What the health process answers: numbers in, answers out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tricorn.summary import Numbers, Summary
from tricorn.workers.health import SILENCE, application

NOW = 10**15
GOOD = {"beat_ns": NOW - 10**9, "wanted": 2, "ready": 2}

#: what is known → (/livez, /readyz)
CASES: dict[str, tuple[dict[str, int], tuple[int, int]]] = {
    "all are ready": ({}, (200, 200)),
    "one more than wanted": ({"ready": 3}, (200, 200)),
    "one is missing": ({"ready": 1}, (200, 503)),
    "one is on its way": ({"ready": 1, "starting": 1}, (200, 200)),
    "of four, one is on its way": ({"wanted": 4, "ready": 2, "starting": 1}, (200, 503)),
    "the first ones are on their way": ({"ready": 0, "starting": 2}, (200, 503)),
    "one is stuck": ({"ready": 1, "stuck": 1}, (200, 503)),
    "one too many is stuck": ({"stuck": 1}, (200, 200)),
    "all are stuck": ({"ready": 0, "stuck": 2}, (503, 503)),
    "nobody is there yet": ({"ready": 0}, (200, 503)),
    "told to stop": ({"stopping": 1}, (200, 503)),
    "they drain": ({"ready": 0, "stopping": 1}, (200, 503)),
    "the master is silent": ({"beat_ns": NOW - SILENCE}, (503, 503)),
    "the master has said nothing": ({"beat_ns": 0, "wanted": 0, "ready": 0}, (503, 503)),
}


def ask(numbers: Numbers, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    said: dict[str, Any] = {}

    def start_response(status: str, fields: list[tuple[str, str]]) -> None:
        said.update(status=int(status.split()[0]), fields=dict(fields))

    app = application(lambda: numbers, lambda: NOW)
    body = b"".join(app({"PATH_INFO": path, "REQUEST_METHOD": method}, start_response))
    return said["status"], said["fields"], body


@pytest.mark.parametrize(("known", "expected"), CASES.values(), ids=CASES)
def test_alive_and_ready(known: dict[str, int], expected: tuple[int, int]) -> None:
    numbers = Numbers(**(GOOD | known))
    assert (ask(numbers, "/livez")[0], ask(numbers, "/readyz")[0]) == expected
    status, fields, body = ask(numbers, "/healthz")
    assert status == expected[0]
    assert fields == {"Content-Type": "application/json", "Cache-Control": "no-store"}
    assert json.loads(body) == {
        "alive": expected[0] == 200,
        "ready": expected[1] == 200,
        "stopping": bool(numbers.stopping),
        "workers": {
            "wanted": numbers.wanted,
            "ready": numbers.ready,
            "starting": numbers.starting,
            "stuck": numbers.stuck,
        },
    }


def test_what_is_not_there() -> None:
    status, _, body = ask(Numbers(), "/")
    assert (status, body) == (404, b"not found; there are /livez, /readyz, /healthz\n")
    status, fields, _ = ask(Numbers(), "/livez", "POST")
    assert (status, fields["Allow"]) == (405, "GET, HEAD")


def test_a_summary_keeps_what_was_written() -> None:
    summary = Summary()
    assert summary.read() == Numbers()
    summary.write(Numbers(NOW, 1, 2, 3, 4, 1))
    assert summary.read() == Numbers(NOW, 1, 2, 3, 4, 1)
