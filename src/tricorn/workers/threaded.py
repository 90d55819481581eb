"""The worker for WSGI applications: N threads that call the application, one that keeps house.

With one thread the application is called where it was imported: in the main thread, and from the context that
its import left. What it has set up for its thread and its context is there, and what works only in the main
thread (signal.signal(), say) works in a request. Another thread keeps house. Several threads cannot all be
the main one, so they are alike: the main thread keeps house, and a request begins with an empty context.

Knows: a worker's life (ready, drain, exit), which transport and which gateway. Must not know: the
master.
"""

from __future__ import annotations

import contextvars
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Lock, Thread  # bound before the application can put others in their place
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Protocol

from tricorn import __version__, drain, forks, scoreboard
from tricorn.config.bulkheads import reserved_threads
from tricorn.config.settings import Settings
from tricorn.gateway.environ import EnvironBuilder
from tricorn.gateway.input import EMPTY_INPUT
from tricorn.gateway.wsgi import FileWrapper
from tricorn.handover import EXIT_OK, Assignment
from tricorn.http.forwarded import HeaderPolicy
from tricorn.log import setup as log_setup
from tricorn.net.address import Address, TcpAddress
from tricorn.net.listener import Listener
from tricorn.transport.deadline import callers_deadline
from tricorn.transport.errors import ClientLeft
from tricorn.transport.opening import Entrance
from tricorn.transport.thread_server import ThreadServer
from tricorn.transport.worker_context import WorkerContext
from tricorn.workers.boot import failed
from tricorn.workers.context import (
    ask_for_successor,
    end_of_drain,
    header_policy,
    is_readable,
    maybe_tracing,
    maybe_visitors,
    tell_interrupted,
    worker_context,
)
from tricorn.workers.protocols import spoken
from tricorn.workers.signals import Command, SignalPipe
from tricorn.workers.streams import StreamLimits
from tricorn.workers.warmup import Warmup, pages

if TYPE_CHECKING:
    from tricorn.transport.opening import Security

log = logging.getLogger("tricorn.error")

#: How long the monitor may go without looking at commands and deadlines of the worker itself, seconds.
WATCH = 1.0

#: How long the application's threads have to come back when the worker ends at once, seconds.
LAST_CALL = 0.2

#: How long those have whose responses were cut, before the worker ends without them, seconds.
LAST_PIECE = 1.0


def serve_threaded(assignment: Assignment, application: Any, signals: SignalPipe) -> int:
    """Serve a WSGI application until told to stop, or until the master is gone. Returns the exit code of the
    process."""
    return ThreadWorker(assignment, application, signals).run()


class Server(Protocol):
    """What a worker wants of its transport: see transport/thread_server.pyx."""

    stuck: bool

    @property
    def running(self) -> int: ...
    @property
    def unfinished(self) -> int: ...
    def watch(self, interrupt: int, lifeline: int, timeout: float) -> None: ...
    def drain(self, backlog: bool) -> None: ...
    def take_remaining(self) -> bool: ...
    def cut_streams(self, events_only: bool) -> list[str]: ...
    def stop(self) -> None: ...
    def nudge(self) -> None: ...
    def forsake(self) -> None: ...
    def hold_back(self) -> None: ...
    def let_in(self) -> None: ...
    def admit(self, fd: int) -> None: ...


class Worker:
    """One process's service, from READY to its end, whatever its applications run on."""

    #: Whether the application may be called while it already runs, beside what the settings say of threads.
    calls_overlap = False

    def __init__(
        self, assignment: Assignment, application: Any, signals: SignalPipe, server: ServerMaker
    ) -> None:
        settings = assignment.settings
        self.assignment = assignment
        self.settings = settings
        self.signals = signals
        self.lifeline = assignment.lifeline
        policy = header_policy(settings)
        visitors = maybe_visitors(assignment, application, is_loop=False)
        self.tracing = maybe_tracing(assignment)
        if self.tracing is not None:
            assignment.row.farewell_ns = int(self.tracing.patience * 1e9)
        self.context = worker_context(
            assignment, application, policy, self._request_timeout(), self._context(), visitors, self.tracing
        )
        self.server = server(self.context, self._entrances(policy))
        if settings.dirty_apps and settings.dirty_workers:
            _tell_heavy_callers()
        self.exit_code = EXIT_OK
        self.warm_pages = pages(settings)
        if self.warm_pages:
            self.server.hold_back()
        self.deadline: float | None = None  # of the drain
        self.wished: list[Command] = []  # and not done yet
        self.streams = StreamLimits(settings, self.server.cut_streams)
        self.next_renewal = 0.0
        forks.let_go(self.server.forsake)

    def _request_timeout(self) -> float:
        raise NotImplementedError

    def _context(self) -> contextvars.Context | None:
        """What each request runs in a copy of; None: an empty one."""
        return contextvars.copy_context()

    def _entrances(self, policy: HeaderPolicy) -> list[Entrance]:
        """The listeners, and where connections come in that came to them and that other workers pass on."""
        entrances = []
        places = zip(self.assignment.listeners, self._securities(), spoken(self.settings), strict=True)
        for listener, security, words in places:
            # What a gateway and we secure between us says nothing of its client.
            builder = self._builder(policy, listener, security is not None and words["gateways"] is None)
            for fd, owners in listener.queues:
                entrances.append(Entrance(fd, builder, security, owners=owners, **words))
            if security is None:
                put, take = listener.passed
                entrances.append(Entrance(take.fileno(), builder, None, put.fileno(), **words))
        return entrances

    def _securities(self) -> Sequence[Security | None]:
        if self.assignment.certificates is None:
            return [None for _ in self.assignment.listeners]
        from tricorn.workers.security import securities, variables  # most servers need no ssl

        return securities(self.assignment, variables)

    def _builder(self, policy: HeaderPolicy, listener: Listener, is_tls: bool) -> EnvironBuilder:
        environ = base_environ(self.settings, listener, "https" if is_tls else "http")
        environ["wsgi.multithread"] |= self.calls_overlap
        return EnvironBuilder(environ, policy, os.environ.get("SCRIPT_NAME", ""))

    def _keep(self) -> None:
        """Keep house until the worker's end."""
        self.assignment.row.beat()
        if not self._warm_up():
            self._end()
            return
        self._enter(scoreboard.READY)
        while self._goes_on():
            pass
        self._end()

    def _goes_on(self) -> bool:
        """Wait, and do what is due. False: it is over. What there is no memory for stays due."""
        try:
            self._look_around()
            return self._obey() and not self._is_done()
        except MemoryError:
            with suppress(MemoryError):
                log.error("There was no memory for a moment; this worker serves on")  # noqa: TRY400 - a traceback needs more
            return True

    def _look_around(self) -> None:
        self.server.watch(self.signals.fd, self.lifeline, self._patience())
        self._renew_certificates()
        self.streams.attend(monotonic())
        self.signals.tell(self.context.told)
        self.signals.note(self.context.take_slow)
        if not self.wished:
            self.wished = self.signals.take()

    def _warm_up(self) -> bool:
        """False: it was told to end meanwhile, or is not fit to serve."""
        if not self.warm_pages:
            return True
        warmup = Warmup(self.warm_pages, self.server.admit, self.signals.wake)
        warmup.start()
        while not warmup.is_over:
            self.server.watch(self.signals.fd, self.lifeline, WATCH)
            if self._is_told_to_end():
                return False
        if warmup.failure is not None:
            self.exit_code = failed(self.assignment, warmup.failure)
            return False
        self.server.let_in()
        return True

    def _is_told_to_end(self) -> bool:
        """Of a worker that nobody can lose anything with."""
        commands = self.signals.take()
        self.server.nudge()
        if Command.REOPEN in commands:
            log_setup.reopen()
        if Command.QUIT in commands:
            tell_interrupted(self.assignment)
        is_alone = self.lifeline >= 0 and is_readable(self.lifeline)
        return is_alone or any(command is not Command.REOPEN for command in commands)

    def _patience(self) -> float:
        return min(WATCH, max(0.0, self.streams.next - monotonic()))

    def _renew_certificates(self) -> None:
        certificates = self.assignment.certificates
        if certificates is not None and monotonic() >= self.next_renewal:
            self.next_renewal = monotonic() + WATCH
            certificates.take()

    def _enter(self, state: int) -> None:
        self.assignment.row.state = state
        self.assignment.notify()

    def _obey(self) -> bool:
        """Do what was wished for. False: end now."""
        self.server.nudge()
        while self.wished:
            command = self.wished[0]
            if command is Command.QUIT:
                tell_interrupted(self.assignment)
                return False
            if command is Command.REOPEN:
                log_setup.reopen()
            else:
                self._drain(backlog=True)
            del self.wished[0]  # only now: what fails for lack of memory is done again
        if self.lifeline >= 0 and is_readable(self.lifeline):
            log.warning("The master is gone; this worker finishes its requests and exits")
            self.assignment.row.stopping = 1
            self._drain(backlog=True)
            self.lifeline = -1
        if self.server.stuck and ask_for_successor(self.assignment, scoreboard.STUCK):
            log.error("A request does not end although it was told to; this worker is being replaced")
        if self.context.worn:
            ask_for_successor(self.assignment, scoreboard.SERVED_ENOUGH)
        return True

    def _drain(self, *, backlog: bool = False) -> None:
        """backlog: serve those who wait to be accepted, unless somebody else will."""
        if self.deadline is None:
            deadline = end_of_drain(self.settings)
            self.streams.begin(monotonic())
            drain.begin()
            self._enter(scoreboard.DRAINING)
            # Here they might wait behind a request that does not end in time. Asked after everybody can see
            # that this worker drains: of several that are told to at once, the last one sees no other.
            row = self.assignment.row
            self.server.drain(backlog and (row.stopping == 1 or not row.another_is_ready()))
            self.deadline = deadline

    def _is_done(self) -> bool:
        if self.deadline is None:
            return False
        now = monotonic()
        if now >= self.deadline:
            return True
        if self.context.connections == 0 and not self.context.owed and not self.server.take_remaining():
            return True
        # Threads that have not found out that their responses were cut have nobody to answer.
        return now >= self.streams.cut_at + LAST_PIECE and self.server.unfinished == 0

    def _end(self) -> None:
        self.server.stop()
        self._wait_for_last()
        self.signals.note(self.context.take_slow)

    def _wait_for_last(self) -> None:
        """Those that are inside the application then end with the process."""
        end = monotonic() + LAST_CALL
        while self.server.running and monotonic() < end:
            self._sleep(0.002)

    def _sleep(self, seconds: float) -> None:
        sleep(seconds)

    def _close_tracing(self) -> None:
        """Before the process may end."""
        if self.tracing is not None:
            self.tracing.close(in_haste=self.deadline is None)


#: Makes it of what its connections share and of where clients come in.
ServerMaker = Callable[[WorkerContext, list[Entrance]], Server]


def _tell_heavy_callers() -> None:
    """A thread that waits for a heavy worker asks whether its client has left."""
    # Most servers need none.
    from tricorn.heavy.client import ask_before_waiting
    from tricorn.heavy.errors import CallCancelledError

    class ClientLeftError(ClientLeft, CallCancelledError):
        """To the server one, to the application the other."""

    ask_before_waiting(callers_deadline().client_has_left, ClientLeftError)


class ThreadWorker(Worker):
    """On threads."""

    def __init__(self, assignment: Assignment, application: Any, signals: SignalPipe) -> None:
        self.is_single = assignment.settings.threads == 1
        self.ending = Lock()  # held by who ends the process
        super().__init__(assignment, application, signals, self._make_server)

    def _make_server(self, context: WorkerContext, entrances: list[Entrance]) -> ThreadServer:
        self.threads = ThreadServer(context, entrances)
        return self.threads

    def _request_timeout(self) -> float:
        given = self.settings.request_timeout
        return self.settings.timeout if given is None else given

    def _context(self) -> contextvars.Context | None:
        return super()._context() if self.is_single else None

    def run(self) -> int:
        if self.is_single:
            Thread(target=self._keep_beside, name="tricorn-monitor", daemon=True).start()
            self.threads.serve()
            self._wait_for_last()
        else:
            self.threads.start()
            self._keep()
        self._close_tracing()
        self.ending.acquire()
        self.assignment.retired()
        return self.exit_code

    def _keep_beside(self) -> None:
        """As a thread of its own. Ends the process if the main thread stays inside the application."""
        try:
            self._keep()
        except BaseException:
            log.critical("The monitor of the worker failed", exc_info=True)
            os.abort()
        if not self.server.running:
            return
        self._close_tracing()
        if self.server.running and self.ending.acquire(blocking=False):
            self.assignment.leave(self.exit_code)


def base_environ(settings: Settings, listener: Listener, scheme: str) -> dict[str, Any]:
    """What is the same for all requests of a listener (PEP 3333, "environ Variables").

    The keys that differ have their place here too, so that filling a copy mostly replaces values, and their
    usual values, which then need not be filled in.
    """
    name, port = server_name(listener.address, scheme)
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
        "tricorn.deadline": None,  # the same
        "tricorn.trailers": None,  # the same
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.errors": log_setup.error_stream(),
        "wsgi.multithread": settings.threads + reserved_threads(settings) > 1,
        "wsgi.multiprocess": max(settings.workers, settings.workers_max) > 1,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
        "wsgi.input_terminated": True,
    }


def server_name(address: Address, scheme: str) -> tuple[str, str]:
    """SERVER_NAME and SERVER_PORT. A unix socket has neither, and PEP 3333 allows neither to be empty."""
    if isinstance(address, TcpAddress):
        return address.host, str(address.port)
    return "localhost", "443" if scheme == "https" else "80"
