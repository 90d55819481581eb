"""Start-up time and the memory of a worker that has answered one request."""

import time

from bench import proc
from bench.process import Running

SPAWNS = 5
SETTLE = 0.2


def measure(starting: Running) -> dict[str, float]:
    with starting as server:
        server.wait_ready()
        ready = time.monotonic() - server.started
        time.sleep(SETTLE)
        return {
            "start_ms": ready * 1000,
            "worker_mb": proc.worker_pss(server.pid) / 1e6,
            "pss_mb": proc.tree_pss(server.pid) / 1e6,
        }
