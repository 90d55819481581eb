"""The worker for Tornado's applications: handlers and routers on the loop, without Tornado's HTTP server.

A worker's life is that of the worker for ASGI. The loop is asyncio's, and is there before the application is
imported: what it makes at import (a PeriodicCallback, say) belongs to the loop that will run. WSGI
applications, which Gunicorn's worker of this name serves too, get threads: on a loop each would block all
others.

Knows: what an application of Tornado's is served with. Must not know: the master, what handlers do.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tricorn.gateway.lifespan import Lifespan
from tricorn.gateway.loader import is_tornado
from tricorn.gateway.scope import ScopeBuilder
from tricorn.handover import LOOP_EXECUTOR, Assignment
from tricorn.http.forwarded import HeaderPolicy
from tricorn.net.listener import Listener
from tricorn.transport.loop_context import LoopContext
from tricorn.transport.loop_server import LoopServer
from tricorn.transport.opening import Entrance
from tricorn.transport.tornado_request import new_tornado_server
from tricorn.workers import asgi
from tricorn.workers.signals import SignalPipe
from tricorn.workers.threaded import serve_threaded

log = logging.getLogger("tricorn.error")

#: The loop that prepare() has made: the application may have set another one meanwhile, or none.
_loops: list[asyncio.AbstractEventLoop] = []


def prepare() -> None:
    """Before the application is imported."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    _loops.append(loop)


def serve_tornado(assignment: Assignment, application: Any, signals: SignalPipe) -> int:
    """Serve until told to stop, or until the master is gone. Returns the exit code of the process."""
    if not is_tornado(application):
        log.info("The application is for WSGI: it is served as by gthread, with threads")
        return serve_threaded(assignment, application, signals)
    loop = _loops.pop()
    asyncio.set_event_loop(loop)
    loop.set_default_executor(ThreadPoolExecutor(thread_name_prefix=LOOP_EXECUTOR))
    return Worker(assignment, application, signals, loop).run()


class Worker(asgi.Worker):
    """One process's service. `application` is a tornado.httputil.HTTPServerConnectionDelegate."""

    interface = "Tornado"

    def _adapted(self, application: Any) -> Any:
        return application

    def _new_lifespan(self) -> Lifespan:
        return Lifespan(self.application, mode="off", log=log, startup_timeout=0, shutdown_timeout=0)

    def _farewell(self) -> float:
        return 0

    def _server_of(self, loop_context: LoopContext, entrances: list[Entrance]) -> LoopServer:
        return new_tornado_server(loop_context, entrances, self._look)

    def _builder(self, policy: HeaderPolicy, listener: Listener, is_tls: bool) -> ScopeBuilder:
        return ScopeBuilder(policy, asgi.server_of(listener), scheme="https" if is_tls else "http")
