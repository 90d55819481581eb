"""A kept connection whose time is up, on a worker that is busy: what has been sent by then is answered."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from harness.axes import ONE_OF_EACH
from integration.answering import serving
from integration.live import Live, Load, message

LIMIT = 0.5
CLIENTS, TURNS = 24, 2

#: So short that the server does not take it for being blocked, and reads for it.
BUSY = """
def answer(path):
    if path == "/busy":
        time.sleep(0.009)
    return "ok"
"""


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_request_of_the_last_moment_is_answered(kind: str, tmp_path: Path) -> None:
    """A connection may be closed between two requests, but not over one that is here. (Nobody can see one
    that is on its way: that a client sends in the instant of the close is possible, and rare.)"""
    outcomes: Counter[str] = Counter()
    with serving(tmp_path, BUSY, f"--keep-alive={LIMIT}", kind=kind) as live, Load(live, "/busy") as load:
        clients = [threading.Thread(target=_visit, args=(live, outcomes)) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        load.check()
    assert outcomes["answered"] > 5, outcomes
    assert outcomes["reset"] <= outcomes["answered"] // 5, outcomes


def _visit(live: Live, outcomes: Counter[str]) -> None:
    for _ in range(TURNS):
        with live.connect(timeout=10) as client:
            client.send(message("/"))
            assert client.response().status == 200
            time.sleep(LIMIT + random.uniform(-0.01, 0.05))
            if not client.is_quiet(0.0001):
                outcomes["told"] += 1
                continue
            client.send(message("/"))
            response = client.maybe_response()
            outcomes["reset" if response is None else "answered"] += 1
