"""The worker for WSGI applications on green threads: gevent, Eventlet.

Its life is that of a worker with threads; what differs is that one thread does all of it, the main greenlet
keeps house, and nothing in it may wait but through the library.

Knows: how such a worker begins and ends, which transport it has. Must not know: which library it is (it is
given a hub), the master.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from tricorn.handover import Assignment
from tricorn.transport.green_server import GreenServer
from tricorn.workers.signals import SignalPipe
from tricorn.workers.threaded import Worker

if TYPE_CHECKING:
    from tricorn.transport.green_server import Hub

    class Library(Hub, Protocol):
        """name: for people."""

        name: str

        def sleep(self, seconds: float) -> object: ...


log = logging.getLogger("tricorn.error")


def serve_green(
    assignment: Assignment,
    application: Any,
    signals: SignalPipe,
    library: Library,
    for_upgrades: Callable[..., Any] | None = None,
) -> int:
    """Serve a WSGI application until told to stop, or until the master is gone. Returns the exit code of the
    process.

    for_upgrades: called with the application and its two arguments, for requests that ask for another
    protocol; None: the application is called for them too.
    """
    return GreenWorker(assignment, application, signals, library, for_upgrades).run()


class ElapsedError(Exception):
    """A wait of the library is over, which has no other way to say so."""


class GreenWorker(Worker):
    calls_overlap = True

    def __init__(
        self,
        assignment: Assignment,
        application: Any,
        signals: SignalPipe,
        library: Library,
        for_upgrades: Callable[..., Any] | None,
    ) -> None:
        self.library = library
        make = partial(GreenServer, hub=library, for_upgrades=for_upgrades)
        super().__init__(assignment, application, signals, make)

    def _request_timeout(self) -> float:
        return self.settings.request_timeout or 0

    def run(self) -> int:
        log.info("Worker %d serves WSGI on %s", os.getpid(), self.library.name)
        self._keep()
        self._close_tracing()
        return self.exit_code

    def _sleep(self, seconds: float) -> None:
        self.library.sleep(seconds)
