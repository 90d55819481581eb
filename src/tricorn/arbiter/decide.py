"""The master's one decision: what is to be done now, given what is and what shall be.

Knows: children as values, the target, an instant. Must not know: processes, clocks, signals, settings.

    decide(children, target, now)        → the actions to perform now
    next_deadline(children, target, now) → the instant at which deciding again makes sense by itself

Guarantees, as long as nobody crashes:

- A worker is replaced in one way, whatever the reason (a reload, its age, its memory, its own wish): a
  successor is started, and only when that is READY the old one is drained. `plan.surge` bounds how many
  there are too many meanwhile, and `plan.unavailable`, usually 0, how many may be missing.
- A generation of which no worker was ever READY replaces nobody.
- Each child gets each action at most once, and the later one only after the earlier one's grace: the caller
  records an action on the child before it asks again.
- Where the application is preloaded, workers come from a mold, a child that has loaded it. There is at most
  one for each generation, beside those whose place a worker has taken. It is made when a worker is wanted, is
  left alone as long as there are workers that it has forked, or may be, and does not count as one.
- Attendants, if there shall be any, are the last that end. They are neither workers nor molds.
- Heavy workers are in pools. Each pool is kept and replaced by the rules for workers, for itself. They are
  told to stop when no worker is left that could call them, the stash when no heavy worker is. While another
  master serves, web workers are started when a heavy worker of each pool is READY; if none ever is, this one
  gives up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum

from tricorn.arbiter.target import ATTENDANT, Mode, Plan, Pool, Target, pool_number
from tricorn.records import dataclass

#: From SIGABRT to SIGKILL: enough for faulthandler to write the stacks of a few hundred threads.
ABORT_GRACE = 2.0

#: The same where it leaves a core as well, which may be gigabytes.
CORE_GRACE = 60.0

#: From SIGTERM or SIGINT to SIGKILL for a worker that was never READY: no client can lose anything. Enough
#: for a start-up that was cancelled to close what it had opened.
BOOT_GRACE = 1.0

#: From SIGINT to SIGKILL in a quick stop: for the application's atexit hooks, not for requests.
QUICK_GRACE = 5.0

#: From SIGTERM or SIGINT to SIGKILL for a mold. It bounds its own end, and says what it waits for: this is
#: longer than that (farewell.LAST_RESORT).
MOLD_GRACE = 8.0


class State(Enum):
    BOOTING = "booting"
    READY = "ready"
    DRAINING = "draining"


@dataclass(frozen=True)
class Child:
    """A worker, a mold, an attendant or a heavy worker, as the master sees it at one instant. All instants
    are monotonic seconds.

    heartbeat: its last sign of life; the master counts the moment in which it saw READY as one.
    timeout, graceful_timeout, boot_timeout: from the settings of its generation; 0 is no limit.
    drained_at, interrupted_at, aborted_at, killed_at: when the master told it so, else None. A worker
        that drains by itself has the instant in which the master noticed.
    leaves_core: if it is aborted.
    is_worn: it has to be replaced. worn_at: the instant from which on it has to be, else None.
    is_too_large: it has more memory than any worker may have.
    is_condemned: somebody wants it killed.
    is_mold: it has loaded the application and forks workers.
    mold: the pid of the mold that has forked it. is_superseded: a mold, and a worker has taken its place.
    slot: the place of a heavy worker in its pool, from 1: the first ones have applications that others have
        not, so the last ones leave first.
    is_ordered: a mold was told to fork it and has not said yet that it did. `pid` stands for the order. How
        long that may take is the mold's affair.
    """

    pid: int
    generation: int
    state: State
    started_at: float
    heartbeat: float
    timeout: float
    graceful_timeout: float
    drained_at: float | None = None
    interrupted_at: float | None = None
    aborted_at: float | None = None
    killed_at: float | None = None
    boot_timeout: float = 0.0
    leaves_core: bool = False
    is_worn: bool = False
    worn_at: float | None = None
    is_too_large: bool = False
    is_condemned: bool = False
    is_mold: bool = False
    is_ordered: bool = False
    mold: int = 0
    is_superseded: bool = False
    slot: int = 0

    def has_had_its_time(self, now: float) -> bool:
        """One that still boots has not begun its own."""
        is_old = self.worn_at is not None and now >= self.worn_at
        return self.state is State.READY and (self.is_worn or is_old)

    @property
    def is_attendant(self) -> bool:
        """It answers health checks, or serves control, and is neither a worker nor a mold."""
        return self.generation <= ATTENDANT

    @property
    def is_heavy(self) -> bool:
        """It is in a pool."""
        return pool_number(self.generation) > 0

    @property
    def is_worker(self) -> bool:
        """It serves clients, or will."""
        return not (self.is_mold or self.is_attendant or self.is_heavy)

    @property
    def is_leaving(self) -> bool:
        told = (self.drained_at, self.interrupted_at, self.aborted_at, self.killed_at)
        return self.state is State.DRAINING or any(instant is not None for instant in told)


@dataclass(frozen=True)
class Spawn:
    """Start a worker, or an attendant."""

    generation: int


@dataclass(frozen=True)
class SpawnMold:
    """Start a process that loads the application and forks workers."""

    generation: int


@dataclass(frozen=True)
class Drain:
    """Tell it to finish what it has and leave (SIGTERM)."""

    pid: int


@dataclass(frozen=True)
class Interrupt:
    """Tell it to leave now (SIGINT)."""

    pid: int


@dataclass(frozen=True)
class Abort:
    """It is stuck: make it show its stacks and die (SIGABRT)."""

    pid: int
    silent_for: float


@dataclass(frozen=True)
class Kill:
    """It had its chance (SIGKILL)."""

    pid: int


@dataclass(frozen=True)
class Abandon:
    """The generation cannot boot: apply target.abandoned() and decide again."""

    generation: int


@dataclass(frozen=True)
class EndDelay:
    """The service has said long enough that it will stop: apply target.delayed() and decide again."""


@dataclass(frozen=True)
class Exit:
    """The master has nothing left to do."""

    code: int


Action = Spawn | SpawnMold | Drain | Interrupt | Abort | Kill | Abandon | EndDelay | Exit

#: After these there is another target, so there is something else to decide.
CHANGES = (Abandon, EndDelay)


def decide(children: Sequence[Child], target: Target, now: float) -> list[Action]:
    overdue = [action for child in children if (action := _overdue(child, now))]
    condemned = {action.pid for action in overdue}
    attendants = [child for child in children if child.is_attendant]
    molds = [child for child in children if child.is_mold]
    workers = [child for child in children if child.is_worker]
    heavy = [child for child in children if child.is_heavy]
    remaining = [child for child in children if not child.is_leaving and child.pid not in condemned]
    staying = [child for child in remaining if not (child.is_attendant or child.is_heavy)]
    useless = _useless_molds(molds, workers, target)
    dying = [child for child in children if child.pid in condemned or child.aborted_at is not None]
    stuck = _stuck_in_boot([child for child in dying if not child.is_mold])
    attend = _attend(
        [*workers, *molds, *heavy], [child for child in attendants if child in remaining], stuck, target, now
    )
    match target.mode:
        case Mode.QUICK:
            hurried = [*workers, *heavy, *useless, *attendants]
            return [*overdue, *_interrupt(hurried, condemned), *_exit(children, target)]
        case Mode.DRAINING | Mode.RETIRING | Mode.RESTING | Mode.PAUSED:
            told = map(_drain, (child for child in staying if not child.is_mold or child in useless))
            behind = _end_pools(workers, heavy, remaining, target)
            ends = () if target.goes_on else _exit(children, target)
            return [*overdue, *told, *behind, *attend, *ends]
        case Mode.LEAVING if now >= target.drain_at:
            return [*overdue, EndDelay()]
        case Mode.RUNNING | Mode.LEAVING if _has_failed(target, children):
            return [*overdue, Abandon(target.plan.generation)]
        case Mode.RUNNING | Mode.LEAVING if failed := [
            pool for pool in target.pools if _has_failed(pool, heavy)
        ]:
            return [*overdue, Abandon(failed[0].plan.generation)]
        case Mode.RUNNING | Mode.LEAVING:
            serving = [child for child in staying if not child.is_mold]
            waits = not workers and any(pool.comes_first for pool in target.pools)
            wanted = () if waits else _keep_serving(serving, stuck, target, now)
            possible = _within_room(wanted, target.room - len(workers))
            ready = [mold for mold in molds if mold in staying and mold.state is State.READY]
            usable = [mold for mold in ready if not mold.is_superseded]
            left = (mold for mold in useless if mold in staying)
            actions = [*overdue, *_through_molds(possible, molds, usable, target), *map(_drain, left)]
            for pool in target.pools:
                actions += _keep_pool(pool, heavy, remaining, stuck, now)
            return [*actions, *attend]


def next_deadline(children: Sequence[Child], target: Target, now: float) -> float | None:
    """When something becomes due although nothing happens: a limit of a child, the end of a back-off."""
    instants = [due[0] for child in children if (due := _due(child))]
    instants += [child.worn_at for child in children if child.worn_at is not None and _will_wear(child, now)]
    plans = [target.plan, target.fallback] if target.is_serving else []
    plans += [plan for pool in target.pools for plan in pool.plans] if target.is_serving else []
    plans += target.attendants if target.attends and target.mode is not Mode.QUICK else ()
    instants += [target.drain_at] if target.mode is Mode.LEAVING else []
    instants += [plan.retry_at for plan in plans if plan and plan.retry_at > now]
    return min(instants, default=None)


def serves(children: Sequence[Child], target: Target) -> bool:
    """Whether there is what was promised: somebody who serves, unless nobody shall. One is enough. Where one
    of four fails again and again, a restart of everything (the service manager's watchdog) would end the
    other three as well."""
    if target.mode is not Mode.RUNNING:
        return True
    return any(map(is_serving, children))


def is_serving(child: Child) -> bool:
    """A worker that is READY and stays."""
    return child.is_worker and child.state is State.READY and not child.is_leaving


def _will_wear(child: Child, now: float) -> bool:
    return not child.is_leaving and child.worn_at is not None and child.worn_at > now


# -- limits of one child ---------------------------------------------------------------------------------


def _overdue(child: Child, now: float) -> Abort | Kill | None:
    due = _due(child)
    if due is None or now < due[0]:
        return None
    if due[1] is Kill:
        return Kill(child.pid)
    since = child.started_at if child.state is State.BOOTING else child.heartbeat
    return Abort(child.pid, silent_for=now - since)


def _due(child: Child) -> tuple[float, type[Abort] | type[Kill]] | None:
    """The next limit of this child, and what reaching it means."""
    if child.killed_at is not None or child.is_ordered:
        return None
    if child.is_too_large or child.is_condemned:
        return child.started_at, Kill
    if child.aborted_at is not None:
        return child.aborted_at + (CORE_GRACE if child.leaves_core else ABORT_GRACE), Kill
    told_at = min((at for at in (child.drained_at, child.interrupted_at) if at is not None), default=None)
    if told_at is not None and child.state is State.BOOTING:
        return told_at + BOOT_GRACE, Kill
    if told_at is not None and child.is_mold:
        return told_at + MOLD_GRACE, Kill
    if child.interrupted_at is not None:
        # No abort in between: a quick stop does not ask why.
        return child.interrupted_at + QUICK_GRACE, Kill
    limits: list[tuple[float, type[Abort] | type[Kill]]] = []
    if child.drained_at is not None and child.graceful_timeout:
        limits.append((child.drained_at + child.graceful_timeout, Kill))
    if child.state is State.BOOTING:
        if child.boot_timeout:
            limits.append((child.started_at + child.boot_timeout, Abort))
    elif child.timeout:
        limits.append((child.heartbeat + child.timeout, Abort))
    return min(limits, key=lambda limit: limit[0], default=None)


# -- stopping --------------------------------------------------------------------------------------------


def _drain(child: Child) -> Drain:
    return Drain(child.pid)


def _interrupt(children: Sequence[Child], condemned: set[int]) -> Iterator[Interrupt]:
    for child in children:
        told = (child.interrupted_at, child.aborted_at, child.killed_at)
        if all(instant is None for instant in told) and child.pid not in condemned:
            yield Interrupt(child.pid)


def _exit(children: Sequence[Child], target: Target) -> list[Action]:
    return [] if children else [Exit(target.exit_code)]


# -- serving ---------------------------------------------------------------------------------------------


def _has_failed(target: Target | Pool, children: Sequence[Child]) -> bool:
    """Whether the generation is given up: it was tried often enough, and nobody is still trying. A mold has
    done its part when it is READY.

    One that has a fallback is tried once: who has asked for it waits for the answer, and can ask again.
    """
    plan = target.plan
    trying = any(
        child.generation == plan.generation and not (child.is_mold and child.state is not State.BOOTING)
        for child in children
    )
    return not trying and (plan.is_hopeless or (plan.is_in_doubt and target.fallback is not None))


def _stuck_in_boot(dying: Sequence[Child]) -> Counter[int]:
    """For each generation, the workers that are being aborted because they never got READY.

    They keep their places until they are dead: only their exit tells that the generation fails to boot, or
    has to be backed off, and a successor that is started before would not have heard of it. The exit of one
    that somebody has condemned tells nothing.
    """
    return Counter(
        child.generation
        for child in dying
        if child.state is State.BOOTING and child.drained_at is None and not child.is_condemned
    )


def _keep_serving(
    staying: Sequence[Child], stuck: Counter[int], target: Target | Pool, now: float
) -> Iterator[Spawn | Drain]:
    plan, fallback = target.plan, target.fallback
    mine = [child for child in staying if child.generation == plan.generation]
    others = [child for child in staying if child.generation != plan.generation]
    if fallback is None:
        worn = [child for child in mine if child.has_had_its_time(now)]
        fresh = [child for child in mine if child not in worn]
        yield from _replace(fresh, others + worn, plan, stuck[plan.generation], now)
        return
    # The new generation is on trial: one worker of it, and the old ones as if nothing had happened.
    if not mine and not stuck[plan.generation] and not plan.is_in_doubt and plan.may_spawn(now):
        yield Spawn(plan.generation)
    superseded = [
        child for child in others if child.state is State.BOOTING and child.generation != fallback.generation
    ]
    yield from map(_drain, superseded)
    remaining = [child for child in others if child not in superseded]
    # Those that are worn wait for the trial's end: there is one too many as it is.
    yield from _fill(remaining, fallback, stuck[fallback.generation], now)


def _replace(
    mine: Sequence[Child], old: Sequence[Child], plan: Plan, stuck: int, now: float
) -> Iterator[Spawn | Drain]:
    """Put workers of the plan in the place of old ones, a few at a time."""
    old_ready = [child for child in old if child.state is State.READY]
    # An old one that is still booting serves nobody.
    yield from (_drain(child) for child in old if child.state is State.BOOTING)
    if not old_ready:
        yield from _fill(mine, plan, stuck, now)
        return
    ready = len(old_ready) + sum(child.state is State.READY for child in mine)
    booting = sum(child.state is State.BOOTING for child in mine)
    leaving = _least_useful(old_ready, ready - plan.workers + plan.unavailable)
    if plan.may_spawn(now):
        # A few at a time, or as many as were lost meanwhile, or are about to be.
        at_once = max(plan.surge, plan.workers - ready + len(leaving))
        for _ in range(min(at_once - booting, plan.startable - len(mine)) - stuck):
            yield Spawn(plan.generation)
    yield from map(_drain, leaving)
    # TTOU may have made the plan smaller than what of it has been started.
    yield from map(_drain, _least_useful(mine, len(mine) - plan.workers))


def _fill(members: Sequence[Child], plan: Plan, stuck: int, now: float) -> Iterator[Spawn | Drain]:
    """Have exactly as many as the plan says."""
    if plan.may_spawn(now):
        yield from (Spawn(plan.generation) for _ in range(plan.startable - len(members) - stuck))
    yield from map(_drain, _least_useful(members, len(members) - plan.workers))


def _least_useful(members: Sequence[Child], count: int) -> Sequence[Child]:
    """Who leaves first: who does not serve yet, then who has served longest (it has grown the most). Of heavy
    workers those with the last places."""
    ranked = sorted(
        members, key=lambda child: (-child.slot, child.state is State.READY, child.started_at, child.pid)
    )
    return ranked[: max(0, count)]


def _within_room(actions: Iterable[Spawn | Drain], room: int) -> Iterator[Spawn | Drain]:
    """Leave out what the scoreboard has no rows for; workers that are draining free theirs soon."""
    for action in actions:
        if isinstance(action, Spawn):
            if room <= 0:
                continue
            room -= 1
        yield action


# -- pools -----------------------------------------------------------------------------------------------


def _keep_pool(
    pool: Pool, heavy: Sequence[Child], remaining: Sequence[Child], stuck: Counter[int], now: float
) -> list[Spawn | Drain]:
    """As web workers are kept."""
    mine = [child for child in heavy if pool_number(child.generation) == pool.number]
    staying = [child for child in mine if child in remaining]
    return list(_within_room(_keep_serving(staying, stuck, pool, now), pool.room - len(mine)))


def _end_pools(
    workers: Sequence[Child], heavy: Sequence[Child], remaining: Sequence[Child], target: Target
) -> list[Drain]:
    """Whoever may be called ends after those who may call. One that is paused has them ready: what they have
    loaded is what took long."""
    if workers or target.mode is Mode.PAUSED:
        return []
    last = {pool.number for pool in target.pools if pool.is_last}
    calling = [child for child in heavy if pool_number(child.generation) not in last]
    return [_drain(child) for child in (calling or heavy) if child in remaining]


# -- attendants ------------------------------------------------------------------------------------------


def _attend(
    others: Sequence[Child], attendants: Sequence[Child], stuck: Counter[int], target: Target, now: float
) -> Iterator[Spawn | Drain | Interrupt]:
    """Whoever speaks of the service is there for as long as there is somebody to speak of. others: all other
    children. attendants: those that stay.

    Where another master answers, it begins when all workers serve: one that says "not ready" beside it would
    have the whole service taken for that.
    """
    if not target.attends:
        yield from map(_drain, attendants)
    elif not others and not target.goes_on:
        yield from (Interrupt(child.pid) for child in attendants)
    else:
        may_begin = not target.is_beside or sum(map(is_serving, others)) >= target.plan.workers
        for plan in target.attendants:
            mine = [child for child in attendants if child.generation == plan.generation]
            if mine or may_begin:
                yield from _fill(mine, plan, stuck[plan.generation], now)


# -- molds -----------------------------------------------------------------------------------------------


def _useless_molds(molds: Sequence[Child], workers: Sequence[Child], target: Target) -> list[Child]:
    """Those of generations that will have no workers any more. With a mold ends what the application has
    started while it was loaded, so it outlives the workers that came from it; an order has brought none.
    That of a master at rest stays, or of one that is paused: it has the code to go back to."""
    plans = [target.plan, target.fallback] if target.goes_on else []
    wanted = {plan.generation for plan in plans if plan}
    used = {child.mold for child in workers if not child.is_ordered}
    return [
        mold
        for mold in molds
        if (mold.generation not in wanted or mold.is_superseded)
        and (mold.state is State.BOOTING or mold.pid not in used)
    ]


def _through_molds(
    actions: Iterable[Spawn | Drain], molds: Sequence[Child], usable: Sequence[Child], target: Target
) -> Iterator[Spawn | SpawnMold | Drain]:
    """Put a mold before the workers that need one and have none. One that ends is waited for."""
    preloading = {plan.generation for plan in (target.plan, target.fallback) if plan and plan.preloads}
    ready = {mold.generation for mold in usable}
    present = {mold.generation for mold in molds if not mold.is_superseded}
    for action in actions:
        if not isinstance(action, Spawn) or action.generation in ready or action.generation not in preloading:
            yield action
        elif action.generation not in present:
            present.add(action.generation)
            yield SpawnMold(action.generation)
