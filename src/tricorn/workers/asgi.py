"""The worker for ASGI applications: one event loop, one thread.

Knows: a worker's life (lifespan, ready, drain, exit), which transport and which gateway, event loops by
name. Must not know: the master.
"""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import importlib.util
import logging
import math
import os
import signal
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Thread, get_ident  # bound before the application can put others in their place
from typing import TYPE_CHECKING, Any

from tricorn import drain, forks, kinds, scoreboard
from tricorn.gateway.lifespan import Lifespan, LifespanError
from tricorn.gateway.scope import ScopeBuilder
from tricorn.gateway.waiting import TaskRunner, as_coroutine_function
from tricorn.handover import EXIT_BOOT, EXIT_OK, LOOP_EXECUTOR, Assignment
from tricorn.http.forwarded import HeaderPolicy
from tricorn.log import setup as log_setup
from tricorn.net.listener import Listener
from tricorn.transport.failures import report
from tricorn.transport.loop_context import LoopContext
from tricorn.transport.loop_server import LoopServer
from tricorn.transport.opening import Entrance
from tricorn.workers.asgi_drain import Drain
from tricorn.workers.boot import end_stranger, failed, hold_signals
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
from tricorn.workers.mending import bare, maybe_page
from tricorn.workers.protocols import spoken
from tricorn.workers.signals import Command, SignalPipe
from tricorn.workers.streams import StreamLimits
from tricorn.workers.warmup import Warmup, pages

if TYPE_CHECKING:
    from tricorn.transport.opening import Security

log = logging.getLogger("tricorn.error")

#: Close codes of WebSockets (RFC 6455 §7.4.1 and its registry): the server ends; a new worker will take over.
GOING_AWAY, SERVICE_RESTART = 1001, 1012

#: How long cancelled tasks and other leftovers may take at the end, seconds.
LEFTOVERS = 1.0

#: What else the end may take, beyond the requests and the application's own shutdown, seconds.
FAREWELL = 3.0

#: What a shutdown without a limit is given before the master kills, seconds.
UNLIMITED = 86400.0

#: How often a worker that is busy with its lifespan shows that it lives, seconds.
BEAT = 1.0

#: For how long its loop may be blocked before it finds out by what, for the master; less where `timeout` is
#: short. Seconds.
PATIENCE = 1.0

#: How often it looks for renewed certificates, seconds.
RENEWAL = 1.0


class LoopError(Exception):
    """`asgi_loop` names no event loop. The text is for the user."""


def serve_asgi(assignment: Assignment, application: Any, signals: SignalPipe) -> int:
    """Serve until told to stop, or until the master is gone. Returns the exit code of the process."""
    try:
        loop = new_loop(assignment.settings.asgi_loop)
    except LoopError as error:
        assignment.fail(str(error))
        return EXIT_BOOT
    asyncio.set_event_loop(loop)
    # Under uvloop its threads would have another name.
    loop.set_default_executor(ThreadPoolExecutor(thread_name_prefix=LOOP_EXECUTOR))
    return Worker(assignment, application, signals, loop).run()


def new_loop(name: str) -> asyncio.AbstractEventLoop:
    """The event loop that `asgi_loop` names. Raises LoopError, or what a factory of the user's raises."""
    if name == "auto":
        name = "uvloop" if importlib.util.find_spec("uvloop") else "asyncio"
    if name == "asyncio":
        return asyncio.new_event_loop()
    if name == "uvloop":
        name = "uvloop:new_event_loop"
    made = factory(name)()
    if not isinstance(made, asyncio.AbstractEventLoop):
        raise LoopError(f"asgi_loop = {name!r} returned {type(made).__name__}, which is not an event loop")
    return made


def factory(name: str) -> Callable[[], Any]:
    module, colon, attribute = name.partition(":")
    if not colon:
        module, _, attribute = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise LoopError(
            f"asgi_loop = {name!r} cannot be used: {error}; write auto, asyncio, uvloop, or module:factory"
        ) from error
    if not callable(found):
        raise LoopError(f"asgi_loop = {name!r} cannot be called")
    made: Callable[[], Any] = found
    return made


class Worker:
    """One process's service, from the application's start-up to its shutdown."""

    interface = "ASGI"

    def __init__(
        self, assignment: Assignment, application: Any, signals: SignalPipe, loop: asyncio.AbstractEventLoop
    ) -> None:
        settings = assignment.settings
        self.assignment = assignment
        self.settings = settings
        self.signals = signals
        self.loop = loop
        self.thread = get_ident()
        self.lifeline = assignment.lifeline
        self.application = self._adapted(application)
        self.lifespan = self._new_lifespan()
        self.exit_code = EXIT_OK
        self.warmup: Warmup | None = None  # while it is under way
        self.deadline: float | None = None  # of the drain
        self.watch: Thread | None = None  # over the loop
        self.drain = Drain()

    # ---- what depends on the interface -------------------------------------------------------------

    def _adapted(self, application: Any) -> Any:
        """The form in which the transport takes the application."""
        return as_coroutine_function(application)

    def _new_lifespan(self) -> Lifespan:
        settings = self.settings
        return Lifespan(
            self.application,
            mode=settings.asgi_lifespan,
            log=log,
            startup_timeout=settings.asgi_lifespan_startup_timeout,
            shutdown_timeout=settings.asgi_lifespan_shutdown_timeout,
        )

    def _farewell(self) -> float:
        """How long the application's shutdown may take, seconds."""
        if self.settings.asgi_lifespan == "off":
            return 0
        return min(self.settings.asgi_lifespan_shutdown_timeout or UNLIMITED, UNLIMITED)

    def _server_of(self, loop_context: LoopContext, entrances: list[Entrance]) -> LoopServer:
        return LoopServer(loop_context, entrances, self._look)

    # ---- its life ----------------------------------------------------------------------------------

    def run(self) -> int:
        self._beat()
        self._allow(FAREWELL)
        try:
            self._start_up()
        except LifespanError as error:
            page = maybe_page(self.settings, self.assignment.listeners, str(error), kinds.ASGI)
            if page is None:
                self.assignment.fail(str(error))
                self._close_loop()
                return EXIT_BOOT
            self.assignment, self.application = bare(self.assignment), page
            self.settings = self.assignment.settings
        except asyncio.CancelledError:
            self._close_loop()
            return EXIT_OK
        # In the running loop: uvloop forgets a handler in no other.
        self.loop.run_until_complete(self._own_task(self._take_signals_back()))
        self.server = self._make_server()
        forks.let_go(self._let_go)
        self.server.open()
        log.info(
            "Worker %d serves %s on %s",
            os.getpid(),
            self.interface,
            type(self.loop).__module__.partition(".")[0],
        )
        self.loop.add_reader(self.signals.fd, self._obey)
        if self.lifeline >= 0:
            self.loop.add_reader(self.lifeline, self._orphaned)
        if self.server.loop_context.worker.shortest_slow:
            self._watch_loop()
        self._warm_up()
        self._run_until_stopped()
        return self._end()

    def _warm_up(self) -> None:
        """Answer the pages of `warmup`, if there are any, before anybody else comes in."""
        wanted = pages(self.settings)
        if not wanted:
            self._begin()
            return
        self.server.hold_back()
        self.warmup = Warmup(wanted, self.server.admit, self.signals.wake)
        self.warmup.start()

    def _end_warmup(self, failure: str | None) -> None:
        self.warmup = None
        if failure is not None:
            self.exit_code = failed(self.assignment, failure)
            self._stop()
            return
        self.server.let_in()
        self._begin()

    def _begin(self) -> None:
        self.assignment.row.beat()
        self._enter(scoreboard.READY)

    def _start_up(self) -> None:
        """Raises LifespanError; CancelledError when it is told to end before it has begun to serve."""
        starting = self._own_task(self.lifespan.startup())

        def interrupt() -> None:
            if starting.done():
                return  # what comes now stays where it is until the worker serves: nothing is left to cancel
            for command in self.signals.take():
                if command is Command.REOPEN:
                    log_setup.reopen()
                else:
                    if command is Command.QUIT:
                        tell_interrupted(self.assignment)
                    starting.cancel()
            if self.lifeline >= 0 and is_readable(self.lifeline):
                starting.cancel()

        fds = [fd for fd in (self.signals.fd, self.lifeline) if fd >= 0]
        for fd in fds:
            self.loop.add_reader(fd, interrupt)
        try:
            self.loop.run_until_complete(starting)
        finally:
            for fd in fds:
                self.loop.remove_reader(fd)

    def _watch_loop(self) -> None:
        """By a thread, and only if somebody wants to know: where there are two, each system call is dearer
        (glibc), by 1 % of a small request."""
        patience = min(PATIENCE, self.settings.timeout / 4) if self.settings.timeout else PATIENCE
        self.watch = Thread(
            target=self.server.watch, args=(self.thread, patience), name="tricorn-watch", daemon=True
        )
        self.watch.start()

    async def _take_signals_back(self) -> None:
        """After the start-up, in which applications like to add handlers of their own."""
        # Held back meanwhile: without the loop's handler a signal has its default action.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            for number in self.signals.maybe_taken():
                # The loop hears of a signal by a descriptor, and would call what was added to it all the
                # same.
                with suppress(NotImplementedError):
                    self.loop.remove_signal_handler(number)
            hold_signals(self.signals, "in its start-up", wakeup=False)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _let_go(self) -> None:
        """In a process that the application has made. The loop is not its own; if a task comes back to it,
        it ends."""
        self.server.forsake()
        self.stopped = True
        if get_ident() == self.thread:
            self.loop.stop()

    def _make_server(self) -> LoopServer:
        settings = self.settings
        policy = header_policy(settings)
        visitors = maybe_visitors(self.assignment, self.application, is_loop=True)
        self.tracing = maybe_tracing(self.assignment)
        context = worker_context(
            self.assignment,
            None,
            policy,
            settings.request_timeout or 0,
            visitors=visitors,
            tracing=self.tracing,
        )
        task_runner = TaskRunner(self.loop, contextvars.copy_context())
        loop_context = LoopContext(context, task_runner, self.application)
        entrances = []
        places = zip(self.assignment.listeners, self._securities(), spoken(settings), strict=True)
        for listener, security, words in places:
            # What a gateway and we secure between us says nothing of its client.
            builder = self._builder(policy, listener, security is not None and words["gateways"] is None)
            entrances += [
                Entrance(fd, builder, security, owners=owners, **words) for fd, owners in listener.queues
            ]
        return self._server_of(loop_context, entrances)

    def _securities(self) -> Sequence[Security | None]:
        if self.assignment.certificates is None:
            return [None for _ in self.assignment.listeners]
        from tricorn.workers.security import extension, securities  # most servers need no ssl

        self._renew_certificates()
        return securities(self.assignment, extension)

    def _renew_certificates(self) -> None:
        assert self.assignment.certificates is not None
        self.assignment.certificates.take()
        self.loop.call_later(RENEWAL, self._renew_certificates)

    def _builder(self, policy: HeaderPolicy, listener: Listener, is_tls: bool) -> ScopeBuilder:
        state = self.lifespan.state if self.settings.asgi_lifespan != "off" else None
        return ScopeBuilder(
            policy,
            server_of(listener),
            self.settings.root_path,
            state,
            self.settings.asgi_extensions,
            "https" if is_tls else "http",
            self.drain,
        )

    def _enter(self, state: int) -> None:
        self.assignment.row.state = state
        self.assignment.notify()

    def _beat(self) -> None:
        """Show that the loop turns, also while there is no server that would show it."""
        self.assignment.row.beat()
        self._beating = self.loop.call_later(BEAT, self._beat)

    def _run_until_stopped(self) -> None:
        self.stopped = False
        while not self.stopped:
            try:
                self.loop.run_forever()
            except (SystemExit, KeyboardInterrupt) as error:
                if forks.is_stranger():
                    end_stranger("while it served a request", error)
                # A task of the application's raised it; what it means for its request was dealt with there.
                report(log, "The application tried to end the worker", error=error)
            finally:
                if forks.is_stranger():
                    end_stranger("while it served a request")

    # ---- what happens while it serves --------------------------------------------------------------

    def _obey(self) -> None:
        for command in self.signals.take():
            if command is Command.QUIT:
                tell_interrupted(self.assignment)
                self._stop()
            elif command is Command.REOPEN:
                log_setup.reopen()
            else:
                self._drain(backlog=True)
        if self.warmup is not None and self.warmup.is_over and not self.stopped:
            self._end_warmup(self.warmup.failure)

    def _orphaned(self) -> None:
        if is_readable(self.lifeline):
            self.loop.remove_reader(self.lifeline)
            log.warning("The master is gone; this worker finishes its requests and exits")
            self.assignment.row.stopping = 1
            self._drain(backlog=True)

    def _look(self) -> None:
        """Now and then, and when the worker has served its max_requests, or a connection of a drain has
        gone."""
        self.signals.tell(self.server.loop_context.worker.told)
        self.signals.note(self.server.loop_context.worker.take_slow)
        if self.server.loop_context.worker.worn:
            ask_for_successor(self.assignment, scoreboard.SERVED_ENOUGH)
        if self.deadline is None:
            return
        worker = self.server.loop_context.worker
        done = worker.connections == 0 and not worker.owed and not self.server.loop_context.calls
        if done and self.server.take_remaining():
            return
        if done or time.monotonic() >= self.deadline:
            self._stop()

    def _drain(self, *, backlog: bool = False) -> None:
        """backlog: nobody else may come to serve those who wait to be accepted."""
        if self.deadline is not None:
            return
        if self.warmup is not None:
            self._stop()  # nobody is there who could lose anything
            return
        self.deadline = end_of_drain(self.settings)
        drain.begin()
        self.drain.begin()
        self._enter(scoreboard.DRAINING)
        self.server.drain(backlog, GOING_AWAY if self.assignment.row.stopping == 1 else SERVICE_RESTART)
        self.streams = StreamLimits(self.settings, self.server.cut_streams)
        self.streams.begin(time.monotonic())
        self._attend_streams()

    def _attend_streams(self) -> None:
        """And see whether all is done."""
        if self.stopped:
            return
        now = time.monotonic()
        self.streams.attend(now)
        self._look()
        if self.streams.next < math.inf:
            self.loop.call_later(self.streams.next - now, self._attend_streams)

    def _stop(self) -> None:
        if not self.stopped:  # else the loop runs for the end, which must not be cut short
            self.stopped = True
            self.loop.stop()

    # ---- the end -----------------------------------------------------------------------------------

    def _end(self) -> int:
        calls = [call.task for call in self.server.loop_context.calls if call.task is not None]
        self.server.close()
        if self.watch is not None:
            self.watch.join(LEFTOVERS)  # it ends at its next tick; a mold has no threads of ours
        self._finish(self._settle(calls))
        self.signals.note(self.server.loop_context.worker.take_slow)
        self._allow(self._farewell() + FAREWELL)
        self._finish(self.lifespan.shutdown())
        self._allow(FAREWELL + (0 if self.tracing is None else self.tracing.patience))
        self._finish(self.loop.shutdown_asyncgens())
        self._close_loop()
        if self.tracing is not None:
            self.tracing.close(in_haste=self.deadline is None)
        return self.exit_code

    def _allow(self, seconds: float) -> None:
        """Tell the master how long the end may take from here, or from the end of `graceful_timeout`.

        A loop that never gets here, because something in it blocks, is given no time for a shutdown.
        """
        late = 0.0 if self.deadline is None else max(0.0, time.monotonic() - self.deadline)
        self.assignment.row.farewell_ns = int((late + seconds) * 1e9)
        self.assignment.notify()

    async def _settle(self, tasks: list[asyncio.Task[Any]]) -> None:
        """Give cancelled tasks the time to clean up."""
        if tasks:
            await asyncio.wait(tasks, timeout=LEFTOVERS)

    def _finish(self, last: Coroutine[Any, Any, None]) -> None:
        """What comes behind it is done whatever happens here."""
        try:
            self.loop.run_until_complete(self._own_task(last))
        except (SystemExit, KeyboardInterrupt) as error:
            report(log, "The application tried to end the worker", error=error)
        except Exception as error:  # noqa: BLE001 - of the application's loop, or of what it has set on it
            report(log, "A step of the worker's shutdown failed", error=error)

    def _own_task(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task for code of ours: the application's task factory is for the application's."""
        return asyncio.Task(coroutine, loop=self.loop)

    def _close_loop(self) -> None:
        self._beating.cancel()
        # Threads of the default executor end with the process: nobody waits for what they still do.
        asyncio.set_event_loop(None)
        self.loop.close()


def server_of(listener: Listener) -> tuple[str, int | None]:
    """`server` of a scope: host and port, or the path of a unix socket and None."""
    name = listener.socket.getsockname()
    if isinstance(name, tuple):
        return name[0], name[1]
    return os.fsdecode(name) if isinstance(name, bytes) else name, None
