"""A worker that is told to stop while it boots stops, at whichever step it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

#: Is told to stop while it is imported, which is before anybody listens for that.
SITE = """
import os, signal

os.kill(os.getpid(), signal.SIGTERM)

def web(environ, start_response): return []

async def live(scope, receive, send):
    raise RuntimeError("no lifespan here")

async def whole(scope, receive, send):
    await receive()
    print("started")
    try:
        await send({"type": "lifespan.startup.complete"})
        await receive()
    finally:
        print("stopped")
    await send({"type": "lifespan.shutdown.complete"})
"""

#: A worker without a master. Arguments: the application, options.
WORKER = """
import sys
from pathlib import Path
from tricorn.config.sources import load
from tricorn.handover import Assignment
from tricorn.records import replace
from tricorn.scoreboard import Board
from tricorn.workers.registry import worker_for

sys.path.insert(0, ".")
settings = replace(load(sys.argv[1:], {}, Path.cwd()), bind=())
board = Board(1, 1)
sys.exit(worker_for(settings)(Assignment(settings, [], board[0], -1, lambda: None, print, sys.exit)))
"""

CASES = {
    "WSGI": ["site_app:web"],
    "without lifespan": ["site_app:live"],
    "lifespan off": ["--asgi-lifespan", "off", "site_app:live"],
    "with lifespan": ["site_app:whole"],
}


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("arguments", CASES.values(), ids=CASES)
def test_the_worker_ends(arguments: list[str], loop: str, tmp_path: Path) -> None:
    (tmp_path / "site_app.py").write_text(SITE)
    command = [sys.executable, "-c", WORKER, "--asgi-loop", loop, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split() in ([], ["started", "stopped"])
