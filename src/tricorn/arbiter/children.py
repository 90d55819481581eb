"""The master's records of its workers and molds: one class that does all the book-keeping.

Knows: process ids, rows of the scoreboard, status pipes. Must not know: what is decided by them, how
processes are started, what a signal means.

A record is the master's view of a worker and holds what only the master knows (when it asked whom for
what); what the worker says about itself stands in its row, and why it cannot boot comes through its pipe.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tricorn import scoreboard
from tricorn.arbiter.decide import Child, State
from tricorn.arbiter.privileges import Identity
from tricorn.arbiter.target import ADMIN, ATTENDANT, HEAVY, pool_number
from tricorn.config.settings import Settings
from tricorn.hooks.found import NONE, Hooks
from tricorn.net.listener import Listener
from tricorn.records import dataclass, field
from tricorn.scoreboard import Board, Row
from tricorn.tls.rules import called
from tricorn.wishes import Wishes

if TYPE_CHECKING:
    from tricorn.hooks.objects import Worker
    from tricorn.tls.renewal import Renewal

#: On the status pipe: this byte only wakes the master, all others are the text of a failure.
WAKE = b"\0"

#: A text is written at once, and must fit into an empty pipe (64 KiB on Linux) with some wakes before it.
FAILURE_TEXT_MAX = 60_000


#: A worker has this long to become READY if `boot_timeout` is not set, or as long as `timeout`, or as the
#: application's start-up may take and some time for its import. With a cold disk some take half a minute.
BOOT_ALLOWANCE = 60.0
IMPORT_ALLOWANCE = 15.0

#: A mold may be silent for this long at least, seconds: it shows once a second that it lives.
MOLD_SILENCE = 10.0

#: Where the numbers of orders begin: beyond all process ids, so that no system call takes one for such.
FIRST_ORDER = 1 << 40

#: What attendants are called in the log.
NAMES = {ATTENDANT: "Health process", ADMIN: "Admin process"}

#: Why a worker asks for a successor.
WORN = {
    scoreboard.SERVED_ENOUGH: "has served its max_requests",
    scoreboard.STUCK: "has a request that does not end",
    scoreboard.FAILED: "has raised what reload_on_exception names",
    scoreboard.ASKED: "was told by the application or a hook to be alive no longer",
}


@dataclass
class Generation:
    """One configuration, and what its workers share. role: what these are called, if they are heavy ones."""

    number: int
    settings: Settings
    listeners: Sequence[Listener]
    board: Board
    identity: Identity
    certificates: Renewal | None = None
    hooks: Hooks = NONE
    wishes: Wishes | None = None
    role: str = ""
    #: How many times a worker was to become the mold.
    reforks: int = 0
    #: Failures that were logged already: four workers that fail alike are one message.
    reported: set[str] = field(default_factory=set)

    @property
    def shown(self) -> int:
        """Its number for people: of the web workers that it came with."""
        return self.number % HEAVY if self.number > 0 else self.number

    @property
    def addresses(self) -> list[str]:
        """Where it listens, in the order of `bind`, as the log and clients call it."""
        pairs = zip(self.settings.bind, self.listeners, strict=True)
        return [called(self.settings, bind, listener.address) for bind, listener in pairs]


def boot_timeout_of(settings: Settings) -> float:
    """Seconds; 0: no limit."""
    if settings.boot_timeout is not None:
        return settings.boot_timeout
    if not settings.timeout:
        return 0.0
    start_up = settings.asgi_lifespan_startup_timeout + IMPORT_ALLOWANCE
    return max(BOOT_ALLOWANCE, settings.timeout, start_up)


def lifetime_of(settings: Settings) -> float:
    """Of one worker, which is not that of its siblings, seconds; 0: no limit."""
    if not settings.max_lifetime:
        return 0.0
    return settings.max_lifetime + random.uniform(0, settings.max_lifetime_jitter)


@dataclass
class ChildRecord:
    """One worker, a mold, an attendant, or a heavy worker. All instants are monotonic seconds.

    pid: of a worker that a mold was told to fork, and of which nobody has heard yet, the number of the order.
    row: on its generation's board. A mold that was never a worker has one of its own.
    mold: the process id of the one that has forked it, 0: the master has.
    orders: the end of the socket pair by which a mold is told to fork workers, and a worker once it is one.
    """

    pid: int
    generation: Generation
    row: Row
    status: int
    started_at: float
    ready_at: float | None = None
    drained_at: float | None = None
    interrupted_at: float | None = None
    aborted_at: float | None = None
    killed_at: float | None = None
    #: How long it may serve, seconds; 0: for ever.
    lifetime: float = 0.0
    #: Bytes of memory, when it was looked at for the first time.
    size_at_first: int | None = None
    #: More memory than `max_memory`, and than `max_memory_hard`.
    is_large: bool = False
    is_too_large: bool = False
    #: The log says why it is replaced.
    is_announced: bool = False
    status_is_open: bool = True
    failure: bytearray = field(default_factory=bytearray)
    is_mold: bool = False
    mold: int = 0
    orders: socket.socket | None = None
    #: What hooks are given of it, until it serves no more.
    worker: Worker | None = None
    #: It shall become the next mold, when it has been replaced.
    is_candidate: bool = False
    #: A worker: it comes from a mold that has a successor. A mold: it has one.
    is_outdated: bool = False
    #: Somebody wants another in its place.
    is_unwanted: bool = False
    #: Somebody wants it to end at once.
    is_condemned: bool = False

    @property
    def is_ordered(self) -> bool:
        return self.pid >= FIRST_ORDER

    @property
    def name(self) -> str:
        kind = self.generation.role or NAMES.get(self.generation.number, "Worker")
        kind = "Mold" if self.is_mold else kind[:1].upper() + kind[1:]
        return f"{kind} {self.pid}"

    @property
    def is_attendant(self) -> bool:
        return self.generation.number <= ATTENDANT

    @property
    def is_heavy(self) -> bool:
        return pool_number(self.generation.number) > 0

    @property
    def is_worker(self) -> bool:
        return not (self.is_mold or self.is_attendant or self.is_heavy)

    @property
    def was_ready(self) -> bool:
        return self.ready_at is not None

    @property
    def was_asked_to_leave(self) -> bool:
        return self.drained_at is not None or self.interrupted_at is not None

    @property
    def was_told_to_end(self) -> bool:
        told = (self.drained_at, self.interrupted_at, self.aborted_at, self.killed_at)
        return any(instant is not None for instant in told)

    def is_leaving(self, now: float) -> bool:
        """It was told to end, or another one is to take its place."""
        return self.was_told_to_end or self.why_worn(now) is not None

    @property
    def stays(self) -> bool:
        """READY, and nobody has told it to end: whatever it is."""
        return self.was_ready and not self.was_told_to_end

    @property
    def serves(self) -> bool:
        return self.is_worker and self.stays

    def observe(self, now: float) -> bool:
        """Take over what the worker says about itself; True if it has become READY since the last time, or a
        mold."""
        state = self.row.state
        if state == scoreboard.MOLD and not self.is_mold:
            self._become_mold(now)
            return True
        if state == scoreboard.DRAINING and self.drained_at is None and self.interrupted_at is None:
            # Nobody asked it to.
            self.drained_at = now
        # Who drains had been READY, although perhaps never while somebody looked.
        is_new = self.ready_at is None and state in (scoreboard.READY, scoreboard.DRAINING, scoreboard.MOLD)
        if is_new:
            self.ready_at = now
        return is_new

    def _become_mold(self, now: float) -> None:
        """What it was told as a worker is done."""
        self.is_mold, self.is_candidate, self.is_outdated = True, False, False
        self.is_large, self.is_unwanted, self.lifetime = False, False, 0.0
        self.drained_at = self.interrupted_at = None
        self.ready_at = now

    @property
    def worn_at(self) -> float | None:
        """When its lifetime is over, or was."""
        return None if self.ready_at is None or not self.lifetime else self.ready_at + self.lifetime

    def why_worn(self, now: float) -> str | None:
        """The reason why it has to be replaced, for the log."""
        if self.ready_at is None or self.is_mold or self.is_attendant:
            return None
        if self.is_candidate:
            return "becomes the mold"
        if self.is_outdated:
            return "was forked from the mold before"
        if self.is_unwanted:
            return "is to be replaced"
        if self.row.worn:
            return WORN[self.row.worn]
        if self.is_large:
            return "has more memory than max_memory"
        if self.worn_at is not None and now >= self.worn_at:
            return f"has served for {now - self.ready_at:.0f} s (max_lifetime)"
        return None

    def read_status(self) -> None:
        """Empty the pipe; what was written before the worker's end is still there after it."""
        while self.status_is_open:
            try:
                data = os.read(self.status, 65536)
            except BlockingIOError:
                return
            if not data:
                self.close()
            self.failure += data.replace(WAKE, b"")

    def failure_text(self) -> str:
        return self.failure.decode("utf-8", "replace").strip()

    def close(self) -> None:
        if self.status_is_open:
            self.status_is_open = False
            os.close(self.status)

    def forget(self) -> None:
        """Close what belongs to the record."""
        self.close()
        if self.orders is not None:
            self.orders.close()

    def view(self, alive_at: float) -> Child:
        """What decide() sees. alive_at: an instant before which no silence counts."""
        settings = self.generation.settings
        ready_at = self.ready_at
        if self.drained_at is not None:
            state = State.DRAINING if ready_at is not None else State.BOOTING
        else:
            state = State.BOOTING if ready_at is None else State.READY
        return Child(
            pid=self.pid,
            generation=self.generation.number,
            state=state,
            started_at=max(self.started_at, alive_at),
            heartbeat=max(
                self.row.heartbeat_ns / 1e9, self.started_at if ready_at is None else ready_at, alive_at
            ),
            timeout=max(settings.timeout, MOLD_SILENCE)
            if self.is_mold and settings.timeout
            else settings.timeout,
            graceful_timeout=self._drain_limit(),
            drained_at=self.drained_at,
            interrupted_at=self.interrupted_at,
            aborted_at=self.aborted_at,
            killed_at=self.killed_at,
            boot_timeout=boot_timeout_of(settings),
            leaves_core=settings.abort_core,
            is_worn=self._is_worn(),
            worn_at=self.worn_at,
            is_too_large=self.is_too_large,
            is_condemned=self.is_condemned,
            is_mold=self.is_mold,
            is_ordered=self.is_ordered,
            mold=self.mold,
            is_superseded=self.is_mold and self.is_outdated,
            slot=self.row.queue if self.is_heavy else 0,
        )

    def _is_worn(self) -> bool:
        marks = (self.is_large, self.is_candidate, self.is_outdated, self.is_unwanted)
        return bool(self.row.worn) or any(marks)

    def _drain_limit(self) -> float:
        """From the wish to end to the kill, seconds; 0: none."""
        limit = self.generation.settings.graceful_timeout
        return limit + self.row.farewell_ns / 1e9 if limit else 0

    def running_requests(self, now: float) -> str:
        """What its threads are busy with, for the log: "GET /report (31 s)"."""
        busy = [cell for cell in self.row.cells if cell.busy_since_ns]
        # The text is the client's: !a keeps it on its line.
        named = [f"{cell.request!a} ({now - cell.busy_since_ns / 1e9:.0f} s)" for cell in busy[:10]]
        # An event loop has one cell for all of its requests; there the one that it began last is named.
        more = max(len(busy), self.row.running if busy else 0) - len(named)
        return ", ".join(named) + (f" and {more} more" if more > 0 else "")


class Registry:
    """All children, by process id."""

    def __init__(self) -> None:
        self._children: dict[int, ChildRecord] = {}
        self._next_order = FIRST_ORDER

    def __iter__(self) -> Iterator[ChildRecord]:
        return iter(tuple(self._children.values()))

    def __len__(self) -> int:
        return len(self._children)

    def get(self, pid: int) -> ChildRecord | None:
        return self._children.get(pid)

    def find(self, pid: int) -> ChildRecord | None:
        """The same, also for one of which only its row tells yet."""
        for child in self:
            if child.is_ordered and child.row.pid == pid:
                self.has_identified(child)
        return self._children.get(pid)

    def mold_of(self, generation: Generation) -> ChildRecord:
        """The one that forks workers of this generation; decide() says that there is one."""
        return next(
            child
            for child in self
            if child.is_mold
            and child.generation is generation
            and child.was_ready
            and not child.is_outdated
            and not child.was_asked_to_leave
        )

    def order_number(self) -> int:
        """What stands for the process id of a worker that is ordered now."""
        self._next_order += 1
        return self._next_order - 1

    def has_identified(self, child: ChildRecord) -> bool:
        """Whether the row of a worker that was ordered tells its process id. The record has that from here
        on."""
        if not child.row.pid:
            return False
        del self._children[child.pid]
        child.pid = child.row.pid
        if child.worker is not None:
            child.worker.pid = child.pid
        self._children[child.pid] = child
        return True

    def add(self, child: ChildRecord) -> None:
        self._children[child.pid] = child

    def remove(self, child: ChildRecord) -> None:
        """Its row is free for another one from now on."""
        del self._children[child.pid]
        child.forget()
        if child.worker is not None:
            child.worker.bury()
        child.row.clear()

    def free_row(self, board: Board) -> Row | None:
        """A row of this board that no living worker writes to, cleared; None if all are taken."""
        # Rows are identified by board and index: two boards exist while a reload changes their shape.
        taken = {child.row for child in self}
        for row in board:
            if row not in taken:
                row.clear()
                return row
        return None


def rows_for(workers: int) -> int:
    """How many rows a board needs, so that it never has to grow.

    Each worker may have a draining predecessor (twice), TTIN may double the workers (four times), and
    64 more let a small service be scaled or reloaded several times while its old workers still drain.
    Rows that are never used cost address space only.
    """
    return 4 * workers + 64
