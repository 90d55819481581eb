"""Which worker stands behind a `worker_class`.

Knows: the names. Must not know: the master, or what a worker does.
"""

from __future__ import annotations

from tricorn.config.settings import Settings
from tricorn.handover import RunWorker
from tricorn.workers.threaded import run_threaded

#: `sync` and `gthread` are Gunicorn's names for one and for N threads; here they are the same worker.
WORKERS: dict[str, RunWorker] = {
    "auto": run_threaded,
    "sync": run_threaded,
    "gthread": run_threaded,
}


def worker_for(settings: Settings) -> RunWorker:
    return WORKERS[settings.worker_class]
