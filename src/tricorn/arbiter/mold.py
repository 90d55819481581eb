"""The mold: a process that has loaded the application and forks the workers (`preload_app`).

Knows: how the master tells it to fork, how a worker comes out of it, what foreign code may have done to it.
Must not know: how an application is loaded, what a worker does (both are callables), how many are wanted.

    master ──── order(row, status pipe) ──→ mold ── forks ──→ worker, which is the master's child

Why it is not the master that has the application: what is imported cannot be imported anew, so a reload would
not bring new code; and code that hangs, crashes or takes signals would do so in the one process on which all
others depend. Each generation has a mold of its own, and the master never runs a line of the application's.

A worker may become the next mold (`refork_after`, or a command): it ends as any other, and goes on as a mold.

An order is the number of the row on which the worker will write, for hooks its age, how many workers are
wanted and which ones are leaving, the writing end of its status pipe, and the socket by which it gets orders
itself if it becomes a mold. There is no answer on this way: the row tells the process id, the pipe tells why
there is none, and if the pipe ends before there is one, nothing was forked, whatever has become of the mold.
So the master never waits for it.
"""

from __future__ import annotations

import errno
import faulthandler
import gc
import logging
import os
import signal
import threading
from array import array
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from select import POLLIN, poll  # bound before the application can put others in their place
from socket import AF_UNIX, CMSG_LEN, MSG_CMSG_CLOEXEC, SOCK_SEQPACKET, send_fds, socket, socketpair
from time import monotonic
from typing import Any, NoReturn

from setproctitle import setproctitle

from tricorn import forks, scoreboard
from tricorn.arbiter import farewell
from tricorn.arbiter.children import ChildRecord, Generation
from tricorn.arbiter.hooking import tell_who_leaves, worker_of
from tricorn.arbiter.signals import SignalPipe, become_stranger
from tricorn.arbiter.spawn import (
    Birth,
    Job,
    Status,
    begin,
    birth_of,
    fork_off,
    process_title,
    start,
    status_pipe,
)
from tricorn.handover import EXIT_BOOT, EXIT_FAILURE, EXIT_OK, RunWorker
from tricorn.hooks.found import HookError, said_of
from tricorn.hooks.objects import Server, Worker
from tricorn.hooks.worker import WorkerHooks
from tricorn.log import setup as log_setup
from tricorn.parentage import end_with_parent, fork_sibling
from tricorn.records import dataclass, field
from tricorn.scoreboard import Board, Row

log = logging.getLogger("tricorn.error")

#: How often it shows that it lives, seconds.
BEAT = 1.0

#: The master's way to tell a mold to end. Ctrl-C reaches all processes of a terminal's group: this one has to
#: wait for its workers, so INT is for the master to hear.
ENDS = frozenset({signal.SIGTERM})

#: More than an order ever has: so many process ids, and three numbers.
LEAVING_MAX = 4096
ORDER_MAX = 1 << 16

#: Loads the application that the settings name. The descriptors must be what they were when it is there. May
#: raise BootError.
Load = Callable[[Any, Sequence[int]], Any]


class BootError(Exception):
    """Raised by a loader when its text says everything; other exceptions get a traceback."""


# -- in the master -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Casting:
    """What a mold is made with.

    lifeline: the end of the pipe that tells when the master is gone.
    forget: closes, in the mold, what only the master may hold.
    server: what hooks are given of the master.
    """

    generation: Generation
    load: Load
    run_worker: RunWorker
    lifeline: int
    forget: Callable[[], None]
    server: Server


def start_mold(casting: Casting) -> ChildRecord:
    """The record of a mold that has begun to load the application. OSError: there is none."""
    ours, theirs = _orders()
    row = Board(1, 1)[0]
    begin(row, casting.generation)

    def forget() -> None:
        ours.close()
        casting.forget()

    try:
        mold = Mold(casting, row, theirs)
        pid, status = start(Birth("Mold", forget, mold.work, mold.leave))
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    record = ChildRecord(pid, casting.generation, row, status, started_at=monotonic(), orders=ours)
    record.is_mold = True
    return record


def order(
    mold: ChildRecord, row: Row, number: int, worker: Worker, workers: int, leaving: Sequence[int]
) -> ChildRecord:
    """Tell it to fork a worker for this row; gives the worker's record, with this number of the order.

    worker: what hooks are given of it. workers: how many are wanted. leaving: process ids.

    OSError: it cannot be told; it has ended, or takes no orders.
    """
    assert mold.orders is not None
    generation = mold.generation
    begin(row, generation)
    with ExitStack() as passed, ExitStack() as undo:
        reader, writer = status_pipe()
        undo.callback(os.close, reader)
        passed.callback(os.close, writer)
        ours, theirs = _orders()
        undo.enter_context(ours)
        passed.enter_context(theirs)
        numbers = (row.index, worker.age, workers, *leaving[:LEAVING_MAX])
        send_fds(mold.orders, [" ".join(map(str, numbers)).encode()], [writer, theirs.fileno()])
        undo.pop_all()
    return ChildRecord(
        number, generation, row, reader, started_at=monotonic(), mold=mold.pid, orders=ours, worker=worker
    )


def _orders() -> tuple[socket, socket]:
    """The master's end, and the mold's."""
    ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET)
    ours.setblocking(False)
    return ours, theirs


# -- in the mold -------------------------------------------------------------------------------------------


@dataclass
class Mold:
    """One process's life: load the application, fork workers, end when it is told to, or with the master.

    application: of one that was a worker; else it has to be loaded.
    """

    casting: Casting
    row: Row
    orders: socket
    signals: SignalPipe = field(init=False)
    status: Status = field(init=False)
    application: Any = None
    #: Of the worker that is being forked.
    writer: int | None = None
    orders_of_worker: socket | None = None
    #: What hooks are given of the workers that it has forked, by process id.
    workers: dict[int, Worker] = field(default_factory=dict)
    #: Process ids of those that are leaving.
    leaving: list[int] = field(default_factory=list)

    def work(self, writer: int) -> int:
        self.status = Status(writer)
        self.signals = SignalPipe("the mold")
        setproctitle(process_title("mold", self.casting.generation.settings))
        forks.let_go(self._let_go)
        # While foreign code runs here, nobody looks at the lifeline.
        end_with_parent(signal.SIGTERM)
        # The master ends one that hangs with SIGABRT: its stacks go to standard error.
        faulthandler.enable(2)
        self.signals.install()
        self.casting.server.in_another_process(self._living)
        if self.application is None and not self._load():
            return EXIT_BOOT
        # The collector writes into every object that it looks at, and each write copies a shared page. What
        # exists now is taken out of its reach, so workers go on sharing it.
        gc.collect()
        gc.freeze()
        self.row.beat()
        self.row.state = scoreboard.MOLD
        self.status.notify()
        self._serve()
        # Also if somebody else has told it to: whatever was ordered, and is ordered now, has come to nothing.
        self.row.state = scoreboard.DRAINING
        self.orders.close()
        self.status.notify()
        return EXIT_OK

    def leave(self, code: int) -> NoReturn:
        """Threads and exit hooks of the application get their turn, for some seconds or until somebody asks
        again."""
        try:
            if not forks.is_stranger():
                for listener in self.casting.generation.listeners:
                    with suppress(OSError):  # the application has closed it
                        listener.close()
                farewell.leave(code, ENDS, self._is_asked)
        finally:
            os._exit(code)

    def _is_asked(self) -> bool:
        """Whether it was told again since it has stopped to serve."""
        if self.row.state != scoreboard.DRAINING:
            return False  # its own signals may have been closed by the application
        return self.row.stopping == scoreboard.HURRY or signal.SIGTERM in self.signals.arrived()

    # -- the application

    def _load(self) -> bool:
        threads = set(threading.enumerate())
        ours = [self.orders.fileno(), self.signals.fileno(), self.casting.lifeline]
        listeners = self.casting.generation.listeners
        watched = [*ours, *(sock.fileno() for each in listeners for sock in each.sockets)]
        try:
            with self.signals.mortal():
                self.application = self.casting.load(self.casting.generation.settings, watched)
        except BootError as error:
            self._fail(str(error))
            return False
        for said in self.signals.hold():
            log.warning("The application has changed %s", said)
        if more := set(threading.enumerate()) - threads:
            names = ", ".join(sorted(repr(thread.name) for thread in more))
            log.warning(
                "The application has started threads in the mold; the workers do not have them: %s", names
            )
        return True

    def _fail(self, text: str) -> None:
        try:
            self.status.fail(text)
        except OSError:  # the application has closed that pipe, too
            log.error("Mold %d could not start: %s", os.getpid(), text)  # noqa: TRY400 - `text` is the reason

    # -- workers

    def _serve(self) -> None:
        """Until told to end."""
        orders = self.orders.fileno()
        waiting = poll()
        for fd in (orders, self.signals.fileno(), self.casting.lifeline):
            waiting.register(fd, POLLIN)
        while True:
            self.row.beat()
            ready = {fd for fd, _ in waiting.poll(BEAT * 1000)}
            for number in self.signals.arrived():
                if number == signal.SIGTERM:
                    return
                if number == signal.SIGUSR1:
                    log_setup.reopen()
            if self.casting.lifeline in ready:
                return
            if orders in ready and not self._obey():
                return

    def _obey(self) -> bool:
        """Take one order. False: the master is gone."""
        message, notes, *_ = self.orders.recvmsg(ORDER_MAX, CMSG_LEN(4 * 2), MSG_CMSG_CLOEXEC)
        if not message:
            return False
        fds = array("i", notes[0][2]) if notes else []
        if len(fds) < 2:
            # The kernel has closed what this process has no room for: the master sees the end of the pipe.
            log.error("No worker started: %s", os.strerror(errno.EMFILE))
            for fd in fds:
                os.close(fd)
            return True
        self.writer, theirs = fds
        self.orders_of_worker = socket(AF_UNIX, SOCK_SEQPACKET, 0, theirs)
        status = Status(self.writer)
        index, age, workers, *self.leaving = map(int, message.split())
        row = self.casting.generation.board[index]
        worker = worker_of(self.casting.server, self.casting.generation, row, age)
        try:
            self._before_fork(worker, workers)
            worker.pid = row.pid = fork_off(birth_of(self._job(row, worker)), self.writer, fork=fork_sibling)
            self.workers[row.pid] = worker
            status.notify()
        except HookError as error:
            status.fail(said_of(error))
        except OSError as error:
            status.fail(f"No worker started: {error.strerror}")
        finally:
            self.writer = None
            status.close()
            if self.orders_of_worker is not None:
                self.orders_of_worker.close()
                self.orders_of_worker = None
        return True

    def _before_fork(self, worker: Worker, workers: int) -> None:
        """The hook pre_fork is called in the process that forks: what it closes is closed in the worker, what
        it changes is changed there. Raises HookError."""
        hooks, server = self.casting.generation.hooks, self.casting.server
        server.num_workers = workers
        if not hooks.has("pre_fork"):
            return
        try:
            with self.signals.mortal():
                hooks.call("pre_fork", server, worker)
        finally:
            for said in self.signals.hold():
                log.warning("The hook pre_fork has changed %s", said)

    def _living(self) -> dict[int, Worker]:
        """The workers that it has forked and that there still are: the master clears their rows."""
        pids = {row.pid for row in self.casting.generation.board}
        self.workers = {pid: worker for pid, worker in self.workers.items() if pid in pids}
        tell_who_leaves(self.workers, self.leaving)
        return dict(self.workers)

    def _job(self, row: Row, worker: Worker) -> Job:
        hooks = self.casting.generation.hooks
        return Job(
            self.casting.run_worker,
            self.casting.generation,
            row,
            self.casting.lifeline,
            forget=self._forget,
            application=self.application,
            orders=self.orders_of_worker,
            promote=partial(_promote, self, row, self.orders_of_worker) if self.orders_of_worker else None,
            hooks=WorkerHooks(hooks, self.casting.server, worker) if hooks else None,
        )

    def _forget(self) -> None:
        """In a worker."""
        self.signals.close()
        self.orders.close()
        self.status.close()

    def _let_go(self) -> None:
        """In a process that the application has forked."""
        become_stranger()
        log_setup.let_go()
        self._forget()
        if self.writer is not None:
            os.close(self.writer)
        if self.orders_of_worker is not None:
            self.orders_of_worker.close()
        os.close(self.casting.lifeline)
        for listener in self.casting.generation.listeners:
            listener.close()
        self.casting.generation.board.detach()


def _promote(former: Mold, row: Row, orders: socket, writer: int) -> NoReturn:
    """In a worker that has ended its service: be the next mold."""
    mold = Mold(former.casting, row, orders, application=former.application)
    code = EXIT_FAILURE
    try:
        code = mold.work(writer)
    except BaseException:
        log.exception("Mold %d failed", os.getpid())
    finally:
        mold.leave(code)
