"""Pools of heavy workers, as far as the master goes: their queues, what their workers are given, what they
have counted, and what callers can know of them.

A heavy worker is a child like a web worker: a generation, a board and a row are what they are there, so
heartbeat, back-off, time limits, privileges and logs are, too. What shall be of a pool stands in the target,
and decide() does the rest.

Knows: settings, queues, records of children. Must not know: what is called, who calls, when a worker is
started.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from select import POLLIN, poll
from socket import socket
from typing import Any

from tricorn.arbiter import target as targets
from tricorn.arbiter.children import ChildRecord, Generation, boot_timeout_of, rows_for
from tricorn.arbiter.generations import Generations
from tricorn.arbiter.hooking import MasterHooks
from tricorn.arbiter.ledger import STATES, made, state_of
from tricorn.arbiter.load import bounds_of, first_of, most_of
from tricorn.arbiter.privileges import Identity
from tricorn.arbiter.queues import choose
from tricorn.arbiter.spawn import Job
from tricorn.arbiter.target import Plan, Target, heavy_generation, maybe_pool, pool_number
from tricorn.config.errors import ConfigError
from tricorn.config.settings import Settings
from tricorn.handover import Assignment
from tricorn.heavy import directory
from tricorn.heavy.directory import Place, Standing
from tricorn.heavy.pools import STASH, Pool, pools_of, settings_of
from tricorn.heavy.queues import CallQueue
from tricorn.hooks.objects import Worker
from tricorn.hooks.worker import HeavyHooks
from tricorn.records import dataclass, field
from tricorn.scoreboard import Board, Row

log = logging.getLogger("tricorn.error")

#: The life of a heavy worker, in its process; the result is the exit code. It is given its pool, and where
#: calls of each application wait.
RunHeavy = Callable[[Pool, Mapping[str, socket], Assignment], int]

#: How a call that was taken can end, and the word of a row that counts that.
OUTCOMES: Mapping[str, str] = {
    "ok": "accepted",
    "failed": "errors",
    "cancelled": "left",
    "timeout": "refused",
}

#: Of the stash: there is one place for all that is asked, and nobody waits there for long.
STASH_POOL = Pool(STASH, max_queue=1000, timeout=30.0, graceful_timeout=5.0)

#: After so many crashes in a row callers are told at once that nobody is there, for as long as that is so.
#: Behind a single one they wait for the successor.
CRASHES_MANY = 2

#: Crashes are still in a row so long after the last back-off, seconds.
LATELY = 10.0


@dataclass
class Known:
    """One pool, for as long as the master lives.

    pool: as the settings have it now. queues: by application. gone: what workers have counted that are no
    more. pools: by generation.
    """

    number: int
    pool: Pool
    queues: dict[str, CallQueue] = field(default_factory=dict)
    standing: Standing = field(default_factory=Standing)
    gone: Counter[str] = field(default_factory=Counter)
    pools: dict[int, Pool] = field(default_factory=dict)
    role: str = "heavy worker"

    def queues_of(self, pool: Pool) -> dict[str, CallQueue]:
        return {name: self.queues[name] for name in names_of(pool)}


def boot_timeouts(settings: Settings) -> list[float]:
    """How long heavy workers have to become READY, seconds; 0: any time."""
    return [boot_timeout_of(settings_of(settings, pool)) for pool in pools_of(settings)]


def names_of(pool: Pool) -> Sequence[str]:
    """Of its queues."""
    return [STASH] if pool.name == STASH else [spec.path for spec in pool.apps]


class Pools:
    """run_heavy: called in each worker of a pool. run_stash: in the process that keeps the stash."""

    def __init__(self, run_heavy: RunHeavy, run_stash: RunHeavy, generations: Generations) -> None:
        self._run_heavy = run_heavy
        self._run_stash = run_stash
        self._generations = generations
        self._known: dict[str, Known] = {}
        #: By process id; for hooks.
        self._workers: dict[int, Worker] = {}

    # -- what shall be -------------------------------------------------------------------------------------

    def open(self, settings: Settings, identity: Identity) -> None:
        """Queues for what the settings ask for. Raises ConfigError; then nothing has changed."""
        asked = pools_of(settings)
        wanted = (*asked, STASH_POOL) if asked else ()
        made_now: dict[str, dict[str, CallQueue]] = {}
        try:
            for pool in wanted:
                there = self._known[pool.name].queues if pool.name in self._known else {}
                queues = made_now.setdefault(pool.name, {})
                for name in names_of(pool):
                    if name in there:
                        there[name].give_to(identity.uid, identity.gid)
                    else:
                        queues[name] = CallQueue(name, pool.max_queue)
                        queues[name].give_to(identity.uid, identity.gid)
        except OSError as error:
            for each in made_now.values():
                for queue in each.values():
                    queue.close()
            said = f"the sockets of heavy workers cannot be made: {error.strerror}"
            raise ConfigError(
                "dirty_workers", "", said, "they need /proc, and a directory for a moment"
            ) from error
        for pool in wanted:
            if pool.name not in self._known:
                self._known[pool.name] = Known(len(self._known) + 1, pool)
            self._known[pool.name].queues |= made_now[pool.name]

    def wanted(self, target: Target, first: Generation, hooks: MasterHooks, **terms: Any) -> Target:
        """The target with what the settings ask for, at the start and after a reload. first: the generation
        of web workers that it comes with. terms: of plans."""
        asked = {pool.name: pool for pool in pools_of(first.settings)}
        for name, known in self._known.items():
            if name == STASH:
                target = self._with_stash(target, first, known)
            elif name in asked:
                before = maybe_pool(target, known.number)
                if before is None or not before.plan.workers:
                    hooks.tell(first.hooks, "on_dirty_starting")
                target = self._with_pool(target, first, known, asked[name], **terms)
            else:
                target = self._without(target, first, known)
        self._publish(asked.values())
        return target

    def _with_pool(self, target: Target, first: Generation, known: Known, pool: Pool, **terms: Any) -> Target:
        known.pool = pool
        for queue in known.queues_of(pool).values():
            queue.hold(pool.max_queue)
        number = self._add(known, pool, first)
        before = maybe_pool(target, known.number)
        settings = self._generations[number].settings
        bounds = bounds_of(settings)
        # As with web workers, a reload has as many as the settings say, or as the load has asked for.
        workers = first_of(settings)
        if bounds and before is not None and before.plan.workers:
            workers = bounds.clamp(before.plan.workers)
        least, most = (bounds.least, bounds.most) if bounds else (1, None)
        plan = Plan(number, workers, least=least, most=most, **terms)
        if before is None:
            log.info("Starting %d heavy worker%s", workers, "" if workers == 1 else "s")
        return targets.pooled(
            target, targets.Pool(pool.name, known.number, plan, rows_for(most_of(settings)))
        )

    def _without(self, target: Target, first: Generation, known: Known) -> Target:
        """The settings do not ask for it any more."""
        before = maybe_pool(target, known.number)
        if before is None or not before.plan.workers:
            return target
        number = self._add(known, Pool(known.pool.name), first)
        plan = Plan(number, 0, proven=True)
        return targets.pooled(target, targets.Pool(before.name, known.number, plan, before.room))

    def _with_stash(self, target: Target, first: Generation, known: Known) -> Target:
        """It begins when somebody asks, and no reload takes away what it has."""
        if maybe_pool(target, known.number) is not None:
            return target
        known.role = "stash process"
        plan = Plan(self._add(known, STASH_POOL, first), 0, proven=True)
        return targets.pooled(target, targets.Pool(STASH, known.number, plan, rows_for(1), is_last=True))

    def _add(self, known: Known, pool: Pool, first: Generation) -> int:
        """A generation; gives its number."""
        number = heavy_generation(known.number, first.number)
        settings = settings_of(first.settings, pool)
        self._generations.add_heavy(
            Generation(
                number,
                settings,
                (),
                Board(rows_for(most_of(settings)), pool.threads),
                first.identity,
                hooks=first.hooks,
                wishes=first.wishes,
                role=known.role,
            )
        )
        known.pools[number] = pool
        return number

    def _publish(self, pools: Iterable[Pool]) -> None:
        places = [
            place
            for pool in pools
            for place in _places(self._known[pool.name], self._known[pool.name].queues_of(pool))
        ]
        stash = _places(self._known[STASH], self._known[STASH].queues) if places else [None]
        directory.publish(places, stash[0])

    # -- one turn ------------------------------------------------------------------------------------------

    def attend(self, target: Target, children: Iterable[ChildRecord], now: float) -> Target:
        """See how they are. The stash is to begin when somebody asks for it."""
        for known in self._known.values():
            pool = maybe_pool(target, known.number)
            if pool is None:
                continue
            if known.pool.name == STASH:
                if not pool.plan.workers and _is_readable(known.queues[STASH].socket):
                    target = targets.pool_scaled(target, known.number, 1)
                continue
            ready = any(child.stays for child in children if _is_of(child, known))
            is_crashing = pool.plan.crashes >= CRASHES_MANY and now < pool.plan.retry_at + LATELY
            known.standing.is_failing = not ready and (pool.plan.is_in_doubt or is_crashing)
            for queue in known.queues.values() if known.standing.is_failing else ():
                queue.turn_away()  # who has called before that was known
        return target

    def watched(self, target: Target) -> Iterator[tuple[int, int]]:
        """Where somebody may ask for what is not there yet: descriptors, each with its events."""
        known = self._known.get(STASH)
        pool = known and maybe_pool(target, known.number)
        if known is not None and pool and not pool.plan.workers and target.is_serving:
            yield known.queues[STASH].socket.fileno(), POLLIN

    def are_ready(self, target: Target, children: Iterable[ChildRecord]) -> bool:
        """All that are wanted, of the generation that is wanted."""
        for pool in target.pools:
            ready = sum(child.stays for child in children if child.generation.number == pool.plan.generation)
            if ready < pool.plan.workers:
                return False
        return True

    def forget_old(self, needed: Collection[int]) -> None:
        """Queues of applications that nobody has any more. needed: generations that there still are."""
        for known in self._known.values():
            known.pools = {number: pool for number, pool in known.pools.items() if number in needed}
            used = {name for pool in (known.pool, *known.pools.values()) for name in names_of(pool)}
            for name in known.queues.keys() - used:
                known.queues.pop(name).close()

    # -- workers -------------------------------------------------------------------------------------------

    def slot(self, generation: Generation, children: Iterable[ChildRecord], now: float) -> int:
        """The place in its pool of a worker that is about to start. Who is being replaced does not count."""
        taken = {
            child.row.queue
            for child in children
            if child.generation is generation and not child.is_leaving(now)
        }
        return choose(taken, len(taken) + 1)

    def job(
        self,
        generation: Generation,
        row: Row,
        lifeline: int,
        forget: Callable[[Collection[str]], None],
        hooks: MasterHooks,
    ) -> Job:
        """forget: closes, in the worker, what only the master may hold, but for the queues of these
        applications."""
        known = self._of(generation.number)
        pool = known.pools[generation.number]
        is_stash = pool.name == STASH
        queues = known.queues_of(pool)
        sockets = {name: queue.socket for name, queue in queues.items()}
        run = partial(self._run_stash if is_stash else self._run_heavy, pool, sockets)
        called = None
        if generation.hooks and not is_stash:
            called = HeavyHooks(generation.hooks, hooks.server, hooks.new_worker(generation, row))
        return Job(
            run, generation, row, lifeline, partial(forget, queues), role=generation.role, hooks=called
        )

    def note_start(self, child: ChildRecord, job: Job) -> None:
        if job.hooks is not None:
            job.hooks.worker.pid = child.pid
            self._workers[child.pid] = job.hooks.worker

    def note_end(self, child: ChildRecord, hooks: MasterHooks) -> None:
        """Before its row is cleared."""
        known = self._of(child.generation.number)
        known.gone.update(_counted(child.row))
        known.gone["lost"] += child.row.running
        known.gone["restarts"] += not (child.was_asked_to_leave or child.is_condemned)
        worker = self._workers.pop(child.pid, None)
        if worker is not None:
            worker.bury()
            hooks.tell(child.generation.hooks, "dirty_worker_exit", worker)

    def forget(self, keep: Collection[str] = ()) -> None:
        """In a child. keep: queues that it takes from."""
        for known in self._known.values():
            for name, queue in known.queues.items():
                if name not in keep:
                    queue.leave_taking()

    def close(self) -> None:
        """At the end of the master."""
        directory.publish((), None)
        for known in self._known.values():
            for queue in known.queues.values():
                queue.close()
        self._known = {}

    def _of(self, generation: int) -> Known:
        number = pool_number(generation)
        return next(known for known in self._known.values() if known.number == number)

    # -- what there is to tell -----------------------------------------------------------------------------

    def waiting(self, name: str) -> int:
        """Calls that no worker has taken yet."""
        return sum(queue.waiting for queue in self._known[name].queues.values())

    def maybe_number(self, name: str) -> int | None:
        """Of a pool that people may change."""
        known = self._known.get(name)
        return None if known is None or name == STASH else known.number

    @property
    def names(self) -> list[str]:
        """Of pools that there are because the settings say so."""
        return [name for name in self._known if name != STASH]

    def report(self, target: Target, children: Sequence[ChildRecord], now: float) -> Iterator[dict[str, Any]]:
        """Families of figures."""
        if not self._known:
            return
        workers, wanted, calls, running, waiting, restarts = [], [], [], [], [], []
        for name in self.names:
            known = self._known[name]
            pool = maybe_pool(target, known.number)
            mine = [child for child in children if _is_of(child, known)]
            states = Counter(state_of(child, now) for child in mine)
            workers += [({"pool": name, "state": state}, states[state]) for state in STATES]
            wanted.append(({"pool": name}, pool.plan.workers if pool else 0))
            sums = known.gone.copy()
            for child in mine:
                sums.update(_counted(child.row))
            ended = {outcome: sums[outcome] for outcome in (*OUTCOMES, "lost")}
            ended["refused"] = sum(queue.refused for queue in known.queues.values())
            calls += [({"pool": name, "outcome": outcome}, count) for outcome, count in ended.items()]
            running.append(({"pool": name}, sum(child.row.running for child in mine)))
            waiting.append(({"pool": name}, self.waiting(name)))
            restarts.append(({"pool": name}, known.gone["restarts"]))
        yield made("tricorn_heavy_workers", "gauge", "Heavy workers, by pool and state.", workers)
        yield made("tricorn_heavy_workers_wanted", "gauge", "Heavy workers that there shall be.", wanted)
        yield made(
            "tricorn_heavy_worker_restarts_total", "counter", "Heavy workers that ended unasked.", restarts
        )
        yield made(
            "tricorn_heavy_calls_total",
            "counter",
            "Calls of heavy workers, by how they ended (lost: with their worker; refused: too many waited).",
            calls,
        )
        yield made("tricorn_heavy_calls_running", "gauge", "Calls that heavy workers have.", running)
        yield made(
            "tricorn_heavy_calls_waiting", "gauge", "Calls that no heavy worker has taken yet.", waiting
        )


def _places(known: Known, queues: Mapping[str, CallQueue]) -> list[Place]:
    return [Place(name, each.handle, each.refusals, known.standing) for name, each in queues.items()]


def _counted(row: Row) -> dict[str, int]:
    return {name: getattr(row, word) for name, word in OUTCOMES.items()}


def _is_of(child: ChildRecord, known: Known) -> bool:
    return pool_number(child.generation.number) == known.number


def _is_readable(sock: socket) -> bool:
    waiting = poll()
    waiting.register(sock.fileno(), POLLIN)
    return bool(waiting.poll(0))
