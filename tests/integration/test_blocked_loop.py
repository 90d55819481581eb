"""An event loop that does not turn: the log says who holds it, and where."""

from __future__ import annotations

from pathlib import Path

import pytest
from integration.answering import serving, told

SOURCE = """
def answer(path):
    if path == "/held":
        time.sleep(0.5)
    return "done"
"""
SAID = "The event loop has been blocked for "


@pytest.fixture
def kind() -> str:
    return "asgi"


def test_a_blocked_loop_is_told(tmp_path: Path, kind: str) -> None:
    with serving(tmp_path, SOURCE, "--slow-request-time=0.1", kind=kind) as live:
        assert told(live, "/held") == "done"
        log = live.wait_log(SAID)
        assert "s (slow_request_time) by GET /held; it is at\n" in log
        assert "site_app.py" in log.partition(SAID)[2]
        assert "time.sleep(0.5)" in log.partition(SAID)[2]
        assert log.count(SAID) == 1
        live.stop()
