"""Which server stands behind which kind of application, and the worker that finds out.

Knows: the names of the servers. Must not know: the master, or what a server does.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib import import_module

from tricorn.config.settings import Settings
from tricorn.gateway.loader import Interface
from tricorn.handover import RunWorker
from tricorn.workers.boot import WANTED, Serve, run_worker

#: Named, not imported: a worker for WSGI never loads an event loop.
SERVERS: Mapping[Interface, str] = {
    Interface.WSGI: "tricorn.workers.threaded:serve_threaded",
    Interface.ASGI: "tricorn.workers.asgi:serve_asgi",
}


def server_for(interface: Interface) -> Serve:
    module, _, function = SERVERS[interface].partition(":")
    serve: Serve = getattr(import_module(module), function)
    return serve


def worker_for(settings: Settings) -> RunWorker:
    """The worker for any settings; a reload may bring another `worker_class`.

    What these settings will need is imported here already, in the master, so that its workers share the
    memory and start at once. With `auto` that is a guess until the application is there.
    """
    server_for(WANTED[settings.worker_class] or Interface.WSGI)
    return partial(run_worker, server_for)
