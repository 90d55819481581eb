"""Many signals at once, as a process gets them that could not run for a while."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from harness.server import wait_for
from integration.live import Live

BURST = range(signal.SIGRTMIN, signal.SIGRTMIN + 16)
APP = """
import asyncio, faulthandler, os, signal

faulthandler.enable()
for number in range(signal.SIGRTMIN, signal.SIGRTMIN + 16):
    signal.signal(number, lambda *_: None)
FULL = [bytearray(200) for _ in range(50_000)]  # so that something lies wherever memory is overwritten

def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]

async def asgi(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
"""


def burst(live: Live, pid: int) -> None:
    """Stopped while they are sent, the process gets all of them before any handler returns."""
    live.signal(signal.SIGSTOP, pid)
    wait_for(lambda: ") T " in Path(f"/proc/{pid}/stat").read_text(), "it stands still")
    for number in BURST:
        live.signal(number, pid)  # type: ignore[arg-type]  # real-time signals have no names
    live.signal(signal.SIGCONT, pid)


@pytest.mark.parametrize("who", ["worker", "mold"])
def test_a_burst_of_signals_harms_nobody(tmp_path: Path, kind: str, who: str) -> None:
    """faulthandler's stack for signal handlers would overflow, and memory behind it be overwritten."""
    (tmp_path / "burst.py").write_text(APP)
    app = "burst:asgi" if kind == "asgi" else "burst:wsgi"
    options = ["--preload"] if who == "mold" else []
    with Live(app, *options, kind=kind, chdir=tmp_path) as live:
        before = live.request("/").body
        for _ in range(20):
            burst(live, live.molds()[0] if who == "mold" else int(before))
            assert live.request("/").body == before
        if who == "mold":
            live.signal(signal.SIGTERM, int(before))
            live.wait_log("is ready", times=2)
            assert live.request("/").status == 200
