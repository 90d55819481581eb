"""From the row of a kind of worker to the function that serves, and the worker that finds out which it is.

Knows: how a row names a function. Must not know: the master, which kinds there are, what a server does.
"""

from __future__ import annotations

from functools import partial

from tricorn import kinds
from tricorn.config.settings import Settings
from tricorn.handover import RunWorker
from tricorn.kinds import WorkerKind
from tricorn.workers import protocols
from tricorn.workers.boot import Serve, function_at, run_worker


def server_for(kind: WorkerKind) -> Serve:
    """Imported only when it is asked for: a worker for WSGI never loads an event loop."""
    serve: Serve = function_at(kind.serve)
    return serve


def worker_for(settings: Settings) -> RunWorker:
    """The worker for any settings; a reload may bring another `worker_class`.

    What these settings will need is imported here already, in the master, so that its workers share the
    memory and start at once. With `auto` that is a guess until the application is there.
    """
    server_for(kinds.maybe_kind(settings.worker_class) or kinds.usual(kinds.WSGI))
    protocols.prepare(settings)
    return partial(run_worker, server_for)
