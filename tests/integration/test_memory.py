"""What a burst of slow readers took is given back when it is over."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from harness.axes import ONE_OF_EACH
from harness.server import wait_for
from integration.live import Live, message

CLIENTS = 30
PIECES = 200
PIECE = 40_000
SIZE = PIECES * PIECE  # of a response; all of it may be queued
MEGABYTE = 1_000_000

#: Each piece is an object of its own, and between them lies something that stays.
APP = f"""
KEPT = []

def piece():
    KEPT.append([object()])
    return bytes([len(KEPT) % 250 + 1]) * {PIECE}

def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"] if environ["PATH_INFO"] == "/" else (piece() for _ in range({PIECES}))

async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    for _ in range(0 if scope["path"] == "/" else {PIECES}):
        await send({{"type": "http.response.body", "body": piece(), "more_body": True}})
    await send({{"type": "http.response.body"}})
"""


def resident(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * 4096


@pytest.mark.slow
@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_burst_of_slow_readers(kind: str, tmp_path: Path) -> None:
    (tmp_path / "large.py").write_text(APP)
    app = "large:asgi" if kind == "asgi" else "large:wsgi"
    options = (f"--response-buffer-size={SIZE}", "--write-timeout=60")
    with Live(app, *options, kind=kind, chdir=tmp_path) as live, contextlib.ExitStack() as end:
        (worker,) = live.workers()
        before = resident(worker)
        clients = [end.enter_context(live.connect(receive_buffer=4096)) for _ in range(CLIENTS)]
        for client in clients:
            client.send(message("/large"))
        wait_for(
            lambda: resident(worker) > before + CLIENTS * SIZE // 4, "the responses are queued", deadline=10
        )
        for client in clients:
            assert len(client.response().body) == SIZE
        wait_for(
            lambda: resident(worker) < before + 25 * MEGABYTE,
            "the memory is given back",
            deadline=10,
        )
