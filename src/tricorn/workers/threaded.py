"""The worker for WSGI applications: N threads that call the application, one that keeps house.

Knows: a worker's life (ready, drain, exit), which transport and which gateway. Must not know: the
master.
"""

from __future__ import annotations

import logging
import os
import time
from typing import Any

from tricorn import __version__, scoreboard
from tricorn.config.settings import Settings
from tricorn.gateway.environ import EnvironBuilder
from tricorn.gateway.input import EMPTY_INPUT
from tricorn.gateway.wsgi import FileWrapper
from tricorn.handover import EXIT_OK, Assignment
from tricorn.log import setup as log_setup
from tricorn.net.address import Address, TcpAddress
from tricorn.net.listener import Listener
from tricorn.transport.reactor import Reactor
from tricorn.workers.service import end_of_drain, header_policy, is_readable, make_service
from tricorn.workers.signals import Inbox, Wish

log = logging.getLogger("tricorn.error")

#: How long the keeper may go without looking at wishes and deadlines of the worker itself, seconds.
WATCH = 1.0


def serve_threaded(assignment: Assignment, application: Any, inbox: Inbox) -> int:
    """Serve a WSGI application until told to stop, or until the master is gone. Returns the exit code of the
    process."""
    return Worker(assignment, application, inbox).run()


class Worker:
    """One process's service, from READY to its end."""

    def __init__(self, assignment: Assignment, application: Any, inbox: Inbox) -> None:
        settings = assignment.settings
        self.assignment = assignment
        self.settings = settings
        self.inbox = inbox
        self.lifeline = assignment.lifeline
        policy = header_policy(settings)
        request_timeout = settings.timeout if settings.request_timeout is None else settings.request_timeout
        self.service = make_service(assignment, application, policy, request_timeout)
        self.reactor = Reactor(
            self.service,
            [
                (
                    listener.fileno(),
                    EnvironBuilder(
                        base_environ(settings, listener), policy, os.environ.get("SCRIPT_NAME", "")
                    ),
                )
                for listener in assignment.listeners
            ],
            settings.threads,
        )
        self.deadline: float | None = None  # of the drain

    def run(self) -> int:
        self.reactor.start()
        self.assignment.row.beat()
        self._enter(scoreboard.READY)
        while not self._is_done():
            self.reactor.watch(self.inbox.fd, self.lifeline, WATCH)
            if not self._obey():
                break
        return self._end()

    def _enter(self, state: int) -> None:
        self.assignment.row.state = state
        self.assignment.notify()

    def _obey(self) -> bool:
        """Do what was wished for. False: end now."""
        for wish in self.inbox.take():
            if wish is Wish.QUIT:
                return False
            if wish is Wish.REOPEN:
                log_setup.reopen()
            else:
                self._drain(backlog=True)
        if self.lifeline >= 0 and is_readable(self.lifeline):
            log.warning("The master is gone; this worker finishes its requests and exits")
            self.lifeline = -1
            self._drain(backlog=True)
        if self.service.draining:  # it has served its max_requests
            self._drain()
        if self.reactor.stuck and self.deadline is None:
            log.error("A request does not end although it was told to; this worker is being replaced")
            self._drain()
        return True

    def _drain(self, *, backlog: bool = False) -> None:
        """backlog: nobody else may come to serve those who wait to be accepted."""
        if self.deadline is None:
            self.deadline = end_of_drain(self.settings)
            self._enter(scoreboard.DRAINING)
            self.reactor.drain(backlog)

    def _is_done(self) -> bool:
        if self.deadline is None:
            return False
        return self.service.connections == 0 or time.monotonic() >= self.deadline

    def _end(self) -> int:
        self.reactor.stop()
        # Threads that are inside the application end with the process.
        end = time.monotonic() + 0.2
        while self.reactor.running and time.monotonic() < end:
            time.sleep(0.002)
        return EXIT_OK


def base_environ(settings: Settings, listener: Listener) -> dict[str, Any]:
    """What is the same for all requests of a listener (PEP 3333, "environ Variables").

    The keys that differ have their place here too, so that filling a copy mostly replaces values, and their
    usual values, which then need not be filled in.
    """
    name, port = server_name(listener.address)
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "",
        "QUERY_STRING": "",
        "RAW_URI": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "",
        "REMOTE_PORT": "",
        "SERVER_NAME": name,
        "SERVER_PORT": port,
        "SERVER_SOFTWARE": f"tricorn/{__version__}",
        "wsgi.input": EMPTY_INPUT,
        "wsgi.early_hints": None,  # the transport's
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": log_setup.error_stream(),
        "wsgi.multithread": settings.threads > 1,
        "wsgi.multiprocess": settings.workers > 1,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
        "wsgi.input_terminated": True,
    }


def server_name(address: Address) -> tuple[str, str]:
    """SERVER_NAME and SERVER_PORT. A unix socket has neither, and PEP 3333 allows neither to be empty."""
    if isinstance(address, TcpAddress):
        return address.host, str(address.port)
    return "localhost", "80"
