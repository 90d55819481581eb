"""All that can happen to a few workers, in every order: a model of how `decide()` replaces them.

The plan. A state is the target and the children, as the master sees them, at the instant 0. An event changes
it as the shell does (arbiter.py: `_bury`, `_note_ready`, a signal), then the master acts until it has nothing
more to say. Time is no number here: whatever waits for an instant (a grace, a back-off, a limit) waits until
an event says that it has waited long enough. So all deadlines come in all orders, more than real ones could.
Events are of two kinds:

    inner     what workers do that are neither broken nor told by anybody else: boot, fail to boot, leave when
              told, die when killed; and the end of a wait
    outer     HUP, TTIN, TTOU, TERM, INT, WINCH; a newer master that takes over, an older one that goes;
              a pool that grows or shrinks; a crash, a hang, a worker that is worn or ends by itself;
              forks that fail, and that succeed again; a worker that is to be the next mold

From the first start on, all orders of inner events are followed until nothing new comes, with up to `outer`
outer events in between. States that only differ in what nobody will ever look at are one (`canonical`), so
this ends, and soon.

What must hold is said in `Explorer._check` about each step, in `Turn._perform` about each action, and in
`converges`, `gives_up_well`, `gives_up_late` and `ends` about each state: that from there on everything goes
well if all are healthy, if the new generation never boots, and if nobody obeys. `_circle` finds forks that
follow each other without time passing between them.

Molds (`preloads`), the process that answers health checks (`attended`) and heavy workers (`pooled`) are
children like the workers. A
worker that a mold forks is at first an order, which is carried out or comes to nothing; one that was chosen
for it (`is_candidate`) becomes the mold when it is drained, or just leaves.

    PYTHONPATH=tests python -m arbiter.explorer WORKERS OUTER SURGE UNAVAILABLE [preloads] [attended] …

goes further than the tests do: 2 2 1 0 has some 50,000 states and takes a minute.

Knows: decide.py, target.py. Must not know: processes, clocks.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from tricorn.arbiter import decide as decisions
from tricorn.arbiter import target as targets
from tricorn.arbiter.decide import Child, State
from tricorn.arbiter.target import ATTENDANT, Mode, Plan, Target
from tricorn.records import dataclass as record

GRACEFUL, HEARTBEAT, BOOT = 20.0, 30.0, 60.0
#: Longer ago than anybody waits.
LONG_AGO = -1000.0
ROOM = 24
#: What nobody has asked for, and takes no time: these alone must not lead to one fork after another.
UNASKED = (
    *("boots", "fails to boot", "leaves", "dies", "is aborted", "crashes"),
    *("is forked", "comes to nothing", "becomes the mold"),
)
#: Steps after which whatever has been going on is over.
PATIENCE = 300

T = TypeVar("T")


def replace(value: T, **changes: object) -> T:
    """As `records.replace`, which looks at every field and takes five times as long."""
    other = object.__new__(type(value))
    other.__dict__.update(vars(value), **changes)
    return other


TOLD = {
    decisions.Drain: "drained_at",
    decisions.Interrupt: "interrupted_at",
    decisions.Abort: "aborted_at",
    decisions.Kill: "killed_at",
}


@record(frozen=True)
class Process(Child):
    """is_candidate: it was chosen to become the mold."""

    is_candidate: bool = False

    @property
    def was_asked_to_leave(self) -> bool:
        return self.drained_at is not None or self.interrupted_at is not None


@dataclass(frozen=True)
class World:
    """Everything at one instant, which is 0.

    A child without a `timeout` beats. One that has one has stopped, which the master learns at its end.
    """

    children: tuple[Process, ...]
    target: Target
    can_fork: bool = True
    exit_code: int | None = None

    @property
    def serving(self) -> int:
        """As far as the master can know."""
        ready = [child for child in self.workers if child.state is State.READY and not child.is_leaving]
        return sum(child.heartbeat != LONG_AGO and not child.is_condemned for child in ready)

    @property
    def staying(self) -> int:
        return sum(not c.is_leaving for c in self.workers)

    @property
    def workers(self) -> list[Process]:
        return [child for child in self.children if child.is_worker]

    @property
    def molds(self) -> list[Process]:
        return [child for child in self.children if child.is_mold]

    @property
    def heavy(self) -> list[Process]:
        return [child for child in self.children if child.is_heavy]

    @property
    def attendants(self) -> list[Process]:
        return [child for child in self.children if child.is_attendant]


class WrongError(AssertionError):
    """What must hold does not; `steps` lead there."""


@dataclass
class Turn:
    """The master's turn: it decides, and acts, until it has nothing more to say."""

    children: dict[int, Process]
    target: Target
    can_fork: bool
    spawned: int = 0
    exit_code: int | None = None

    def act(self) -> None:
        for _ in range(5):
            actions = decisions.decide(list(self.children.values()), self.target, 0.0)
            for action in actions:
                self._perform(action)
            if not any(isinstance(action, decisions.CHANGES) for action in actions):
                break
        else:
            raise WrongError("it changes its mind for ever")
        if self.exit_code is None and self.can_fork:
            again = decisions.decide(list(self.children.values()), self.target, 0.0)
            assert not again, f"it has not said everything at once: {again}"

    def _perform(self, action: decisions.Action) -> None:
        match action:
            case decisions.Spawn(generation) if self._is_preloaded(generation):
                # The mold finds out whether there can be one.
                self._add(generation, is_ordered=True, mold=self._mold_of(generation))
            case decisions.Spawn(generation) if self.can_fork:
                self._add(generation)
            case decisions.SpawnMold(generation) if self.can_fork:
                self._add(generation, is_mold=True)
            case decisions.Spawn(generation) | decisions.SpawnMold(generation):
                self.target = targets.with_failed_fork(self.target, generation, 0.0)
            case decisions.Abandon(generation) if targets.pool_number(generation):
                before = self.target
                self.target = targets.abandoned(before, generation)
                assert self.target.plan == before.plan, "a pool takes web workers along"
                if not before.pools[0].plan.max_boot_failures or before.pools[0].fallback is not None:
                    assert self.target.mode is before.mode, "a pool ends the service"
            case decisions.Abandon():
                ready = [child for child in self.children.values() if child.state is State.READY]
                serving = sum(child.is_worker for child in ready)
                self.target = targets.abandoned(self.target)
                assert self.target.is_serving or not serving, "it stops although workers serve"
            case decisions.EndDelay():
                self.target = targets.delayed(self.target)
            case decisions.Exit(code):
                assert not self.children, "it exits and leaves workers behind"
                self.exit_code = code
            case _:
                child, name = self.children[action.pid], TOLD[type(action)]
                assert getattr(child, name) is None, f"told twice: {action}"
                self._look_before(action, child)
                becomes = child.is_candidate and self._may_become(action, child)
                self.children[child.pid] = _told(replace(child, **{name: 0.0}, is_candidate=becomes))

    def _add(self, generation: int, **more: object) -> None:
        self.spawned += 1
        pid = max(self.children, default=0) + 1
        child = Process(pid, generation, State.BOOTING, 0.0, 0.0, 0.0, GRACEFUL, boot_timeout=BOOT)
        self.children[pid] = replace(child, **more)

    def _is_preloaded(self, generation: int) -> bool:
        plans = [plan for plan in (self.target.plan, self.target.fallback) if plan]
        return any(plan.generation == generation and plan.preloads for plan in plans)

    def _mold_of(self, generation: int) -> int:
        """As Registry.mold_of."""
        for child in self.children.values():
            is_usable = child.is_mold and child.state is State.READY and not child.is_superseded
            if is_usable and child.generation == generation and not child.was_asked_to_leave:
                return child.pid
        raise AssertionError("a worker is ordered, and there is no mold")

    def _may_become(self, action: decisions.Action, child: Process) -> bool:
        """As Arbiter._perform: what it was told as the first thing stands in its row."""
        if not isinstance(action, decisions.Drain):
            return child.drained_at is not None
        return self.target.mode is Mode.RUNNING and child.generation == self.target.plan.generation

    def _look_before(self, action: decisions.Action, child: Process) -> None:
        """Who may be sent away only when others have gone."""
        if not isinstance(action, decisions.Drain | decisions.Interrupt):
            return
        others = [other for other in self.children.values() if other is not child]
        if child.is_mold and child.state is not State.BOOTING:
            uses = any(each.mold == child.pid and each.is_worker and not each.is_ordered for each in others)
            assert not uses, "a mold is sent away before its workers have gone"
        if child.is_heavy and not self.target.is_serving and self.target.mode is not Mode.QUICK:
            assert not any(other.is_worker for other in others), "heavy workers leave before who calls them"
        if child.is_attendant and self.target.attends and self.target.mode is not Mode.QUICK:
            assert all(other.is_attendant for other in others), "nobody answers health checks"


def _told(child: Process) -> Process:
    """As ChildRecord.view shows it."""
    if child.drained_at is not None and child.state is State.READY:
        return replace(child, state=State.DRAINING)
    return child


# -- events: each gives the world behind it, before the master acts --------------------------------------

Change = tuple[str, World]


def inner(world: World) -> Iterator[Change]:
    for child in world.children:
        if child.is_ordered:
            yield from _answered(world, child)
            continue
        if child.killed_at is not None:
            yield f"{child.pid} dies", _without(world, child, -9)
            continue
        if child.aborted_at is not None:
            yield f"{child.pid} is aborted", _without(world, child, -6)
            continue
        if child.state is State.BOOTING:
            yield f"{child.pid} boots", _booted(world, child)
            yield f"{child.pid} fails to boot", _without(world, child, targets.EXIT_BOOT)
        if child.is_leaving:
            yield f"{child.pid} leaves", _without(world, child, 0)
            if child.is_candidate:
                yield f"{child.pid} becomes the mold", _molded(world, child)
    # Who is killed is dead before anything else is due.
    if all(child.killed_at is None for child in world.children):
        yield from waited(world)


def outer(world: World) -> Iterator[Change]:
    target = world.target
    for child in world.children:
        if child.is_ordered:
            continue
        if child.state is State.READY and not child.is_leaving and not child.timeout:
            yield f"{child.pid} hangs", _with(world, replace(child, timeout=HEARTBEAT))
            if child.is_worker and not child.is_worn:
                yield f"{child.pid} is worn", _with(world, replace(child, is_worn=True))
            yield f"{child.pid} ends by itself", _without(world, child, 0)
        if child.killed_at is None and child.aborted_at is None:
            yield f"{child.pid} crashes", _without(world, child, -11)
    if _may_refork(world):
        for child in world.workers:
            if not child.is_leaving:
                chosen = replace(child, is_worn=True, is_candidate=True)
                yield f"{child.pid} is to become the mold", _with(world, chosen)
    yield "forks fail" if world.can_fork else "forks succeed", replace(world, can_fork=not world.can_fork)
    ready = [child for child in world.workers if child.state is State.READY]
    for child in [child for child in ready if child.started_at == 0][:1]:
        yield f"{child.pid} has lived", _with(world, replace(child, started_at=-targets.HEALTHY_AFTER))
    yield "TERM", replace(world, target=targets.stopped(target, Mode.DRAINING))
    yield "INT", replace(world, target=targets.stopped(target, Mode.QUICK))
    yield "a newer master takes over", replace(world, target=targets.retired(target))
    if targets.alone(target) is not target:
        yield "the older master has gone", replace(world, target=targets.alone(target))
    yield "WINCH", replace(world, target=targets.rested(target))
    yield "HUP to one that rests", replace(world, target=targets.woken(target))
    if target.mode is Mode.RUNNING:
        names = ("surge", "unavailable", "drain_delay", "preloads")
        terms = {name: getattr(target.plan, name) for name in names}
        again = targets.reloaded(target, target.plan.workers, target.room, **terms)
        for pool in target.pools:
            plan = replace(heavy_plan(again.latest, pool.plan.max_boot_failures), workers=pool.plan.workers)
            again = targets.pooled(again, replace(pool, plan=plan, fallback=None))
        yield "HUP", replace(world, target=again)
    if target.is_serving:
        yield "TTIN", replace(world, target=targets.more(target))
        yield "TTOU", replace(world, target=targets.fewer(target))
        for pool in target.pools:
            name, workers = ("the pool grows", 2) if pool.plan.workers == 1 else ("the pool shrinks", 1)
            yield name, replace(world, target=targets.pool_scaled(target, pool.number, workers))


def heavy_plan(generation: int, max_boot_failures: int = 0) -> Plan:
    return Plan(targets.heavy_generation(1, generation), 1, max_boot_failures=max_boot_failures)


def commanded(world: World) -> Iterator[Change]:
    """Outer events, too."""
    target = world.target
    if target.fallback is None and target.plan.proven:
        yield "pause", replace(world, target=targets.paused(target))
    yield "resume", replace(world, target=targets.resumed(target))
    for child in world.workers:
        if child.killed_at is None and not child.is_ordered:
            yield f"{child.pid} is to be killed", _with(world, replace(child, is_condemned=True))


def _answered(world: World, order: Process) -> Iterator[Change]:
    """What becomes of it. A mold that hangs says nothing; one that was told to leave may do either."""
    (mold,) = [child for child in world.children if child.pid == order.mold] or [None]
    if mold is not None and world.can_fork and not mold.timeout:
        yield f"{order.pid} is forked", _with(world, replace(order, is_ordered=False))
    if mold is None or not world.can_fork or mold.is_leaving:
        yield f"{order.pid} comes to nothing", _unanswered(world, order)


def _unanswered(world: World, order: Process) -> World:
    children = tuple(child for child in world.children if child is not order)
    target = targets.with_failed_fork(world.target, order.generation, 0.0)
    return replace(world, children=children, target=target)


def _may_refork(world: World) -> bool:
    """As refork.attend: one after the other, and while everybody serves."""
    target = world.target
    workers = [child for child in world.workers if child.generation == target.plan.generation]
    is_quiet = target.plan.preloads and target.mode is Mode.RUNNING and target.fallback is None
    return is_quiet and not any(
        child.is_worn or child.is_ordered or child.state is State.BOOTING for child in workers
    )


def _molded(world: World, chosen: Process) -> World:
    """As ChildRecord._become_mold and refork.note_mold."""
    mold = replace(
        chosen,
        state=State.READY,
        heartbeat=0.0,
        drained_at=None,
        interrupted_at=None,
        is_mold=True,
        is_worn=False,
        is_candidate=False,
        mold=0,
    )
    children = tuple(
        mold
        if child is chosen
        else child
        if child.generation != chosen.generation
        else replace(child, is_superseded=True)
        if child.is_mold
        else replace(child, is_worn=True)
        for child in world.children
    )
    return replace(world, children=children)


def _with(world: World, child: Process) -> World:
    return replace(world, children=tuple(child if c.pid == child.pid else c for c in world.children))


def _without(world: World, child: Process, code: int) -> World:
    asked = child.drained_at is not None or child.interrupted_at is not None or child.is_condemned
    ended = targets.Exit(
        child.generation, child.state is not State.BOOTING, asked, code, uptime=-child.started_at
    )
    return replace(
        world,
        children=tuple(c for c in world.children if c.pid != child.pid),
        target=targets.with_exit(world.target, ended, 0.0),
    )


def _booted(world: World, child: Process) -> World:
    ready = _told(replace(child, state=State.READY, heartbeat=0.0))
    if not (child.is_worker or child.is_heavy):
        return _with(world, ready)
    return replace(_with(world, ready), target=targets.with_ready(world.target, child.generation))


def waited(world: World) -> Iterator[Change]:
    """For each deadline: it has come."""
    target = world.target
    if target.mode is Mode.LEAVING:
        yield "the delay is over", replace(world, target=replace(target, drain_at=0.0))
    for child in world.children:
        if (due := _due(child)) is not None:
            yield f"{child.pid} is waited for in vain", _with(world, due)
    if target.plan.retry_at > 0:
        plan = replace(target.plan, retry_at=0.0)
        yield "the back-off is over", replace(world, target=replace(target, plan=plan))
    if target.fallback is not None and target.fallback.retry_at > 0:
        fallback = replace(target.fallback, retry_at=0.0)
        yield "the fallback's back-off is over", replace(world, target=replace(target, fallback=fallback))
    for pool in target.pools if target.is_serving else ():
        if any(plan.retry_at > 0 for plan in pool.plans):
            # Whoever is started from here on is another try.
            plan = replace(pool.plan, retry_at=0.0, failed_at=-math.inf)
            fallback = pool.fallback and replace(pool.fallback, retry_at=0.0)
            changed = replace(pool, plan=plan, fallback=fallback)
            yield "the pool's back-off is over", replace(world, target=replace(target, pools=(changed,)))
    if any(plan.retry_at > 0 for plan in target.attendants):
        attendants = tuple(replace(plan, retry_at=0.0) for plan in target.attendants)
        yield (
            "the attendants' back-off is over",
            replace(world, target=replace(target, attendants=attendants)),
        )


def _due(child: Process) -> Process | None:
    """When its next limit is reached; None if it has none."""
    if child.killed_at is not None or child.is_ordered:
        return None
    if child.aborted_at is not None:
        return replace(child, aborted_at=LONG_AGO)
    if child.interrupted_at is not None:
        return replace(child, interrupted_at=LONG_AGO)
    if child.drained_at is not None:
        return replace(child, drained_at=LONG_AGO)
    if child.state is State.BOOTING:
        return replace(child, started_at=LONG_AGO)
    return replace(child, heartbeat=LONG_AGO) if child.timeout else None


# -- what is the same to everybody -----------------------------------------------------------------------


def canonical(world: World) -> World:
    """Children and generations numbered anew in their order, and all instants that were reached made one."""
    target = world.target
    plans = [plan for plan in (target.plan, target.fallback) if plan]
    others = [child.generation for child in world.children if not child.is_attendant]
    others += [plan.generation for pool in target.pools for plan in pool.plans]
    found = {plan.generation for plan in plans}.union(number % targets.HEAVY for number in others)
    numbers = sorted(found)
    renamed = {number: index for index, number in enumerate(numbers, 1)} | {ATTENDANT: ATTENDANT}
    renamed |= {
        targets.heavy_generation(1, number): targets.heavy_generation(1, index)
        for number, index in tuple(renamed.items())
        if number > 0
    }
    children = sorted(world.children, key=lambda child: child.pid)
    pids = {child.pid: pid for pid, child in enumerate(children, 1)}
    return replace(
        world,
        children=tuple(
            _canonical_child(child, pids[child.pid], renamed[child.generation], pids.get(child.mold, 0))
            for child in children
        ),
        target=replace(
            target,
            plan=_canonical_plan(target.plan, renamed),
            fallback=target.fallback and _canonical_plan(target.fallback, renamed),
            attendants=tuple(_canonical_plan(plan, renamed) for plan in target.attendants),
            pools=tuple(
                replace(
                    pool,
                    plan=_canonical_plan(pool.plan, renamed),
                    fallback=pool.fallback and _canonical_plan(pool.fallback, renamed),
                )
                for pool in target.pools
            ),
            latest=len(numbers),
            drain_at=target.drain_at if target.mode is Mode.LEAVING else 0.0,
        ),
    )


def _canonical_child(child: Process, pid: int, generation: int, mold: int) -> Process:
    told = {name: 0.0 for name in TOLD.values() if getattr(child, name)}
    has_lived = child.state is State.READY and child.started_at
    started_at = -targets.HEALTHY_AFTER if has_lived else 0.0
    known = (child.pid, child.generation, child.started_at, child.heartbeat, child.mold)
    if known == (pid, generation, started_at, 0.0, mold):
        return replace(child, **told) if told else child
    new = {"pid": pid, "generation": generation, "started_at": started_at, "heartbeat": 0.0, "mold": mold}
    return replace(child, **new, **told)


def _canonical_plan(plan: Plan, renamed: dict[int, int]) -> Plan:
    """How long a back-off is does not matter, and it has no end. How many failures there were, neither."""
    return replace(
        plan,
        generation=renamed[plan.generation],
        boot_failures=min(plan.boot_failures, 1),
        crashes=min(plan.crashes, 1),
        retry_at=1.0 if plan.retry_at > 0 else 0.0,
    )


# -- going through all of it -----------------------------------------------------------------------------


@dataclass
class Explorer:
    """surge, unavailable: how many workers too many, and how many READY too few, there may be. drain_delay:
    whether TERM is followed by one; how long it is does not matter. preloads: there are molds. attended:
    there is a process that answers health checks. pooled: there is a pool of one heavy worker. on_trial: an
    older master serves, so one whose heavy worker does not start gives up. commanded: somebody pauses,
    resumes and kills. only: how outer events end that come; without it all do."""

    workers: int
    surge: int = 1
    unavailable: int = 0
    drain_delay: float = 0.0
    preloads: bool = False
    attended: bool = False
    pooled: bool = False
    on_trial: bool = False
    commanded: bool = False
    only: tuple[str, ...] = ("",)
    came: dict[World, tuple[World, str] | None] = field(default_factory=dict)
    steps: int = 0
    forks: dict[World, list[tuple[World, bool]]] = field(default_factory=dict)
    known: dict[Callable[..., object], set[World]] = field(default_factory=dict)

    def explore(self, outer_events: int) -> int:
        """How many states there are. WrongError: one of them must not be."""
        terms = {"surge": self.surge, "unavailable": self.unavailable, "drain_delay": self.drain_delay}
        target = targets.first_target(self.workers, ROOM, **terms, preloads=self.preloads)
        target = targets.attended(target) if self.attended else target
        if self.pooled:
            target = targets.pooled(target, targets.Pool("heavy", 1, heavy_plan(1, int(self.on_trial)), ROOM))
        layer = [self._visit(None, "start", World((), target))]
        for left in range(outer_events, -1, -1):
            following: list[World] = []
            while layer:
                world = layer.pop()
                if world is None or world.exit_code is not None:
                    continue
                layer += [self._visit(world, name, after) for name, after in inner(world)]
                if left:
                    following += [self._visit(world, name, after) for name, after in self._outer(world)]
            layer = following
        self._look_for_circles()
        return len(self.came)

    def _outer(self, world: World) -> Iterator[Change]:
        for change in (*outer(world), *(commanded(world) if self.commanded else ())):
            if change[0].endswith(self.only):
                yield change

    def _visit(self, before: World | None, name: str, changed: World) -> World | None:
        """The world behind the master's turn, if nobody has been there."""
        self.steps += 1
        try:
            after, spawned = self._turned(changed)
            if before is not None:
                self._check(changed, after, spawned)
                if name.endswith(UNASKED):
                    self.forks.setdefault(before, []).append((after, spawned > 0))
            if after in self.came:
                return None
            self.came[after] = None if before is None else (before, name)
            for goes_well in (converges, gives_up_well, gives_up_late, does_without_new_heavy, ends):
                self._follow(after, goes_well)
        except AssertionError as error:
            path = [*self._path(before), name]
            raise WrongError(f"{error}\n    " + "\n    ".join(path) + f"\n{shown(changed)}") from None
        return after

    @staticmethod
    def _turned(changed: World) -> tuple[World, int]:
        turn = Turn({child.pid: child for child in changed.children}, changed.target, changed.can_fork)
        turn.act()
        after = World(tuple(turn.children.values()), turn.target, turn.can_fork, turn.exit_code)
        return canonical(after), turn.spawned

    def _check(self, changed: World, after: World, spawned: int) -> None:
        """One turn of the master's, between `changed` and `after`."""
        target = after.target
        assert len(after.workers) <= target.room, "more processes than there is room for"
        current = [mold.generation for mold in after.molds if not mold.is_superseded]
        assert len(set(current)) == len(current), "a generation has two molds"
        if not target.is_serving:
            attendants = len(after.attendants) - len(changed.attendants)
            assert spawned == attendants, "it forks while it stops"
            return
        is_waiting = next(waited(after), None) is not None
        deadline = decisions.next_deadline(after.children, target, 0.0)
        assert (deadline is not None) == is_waiting, f"the master would wake at {deadline}"
        plans = [plan for plan in (target.plan, target.fallback) if plan]
        wanted = (target.fallback or target.plan).workers
        least = min(changed.serving, wanted - self.unavailable)
        assert after.serving >= least, f"{after.serving} serve, and {changed.serving} did"
        most = max(plan.workers for plan in plans) + max(self.surge, 1)
        assert after.staying <= max(most, changed.staying), (
            f"{after.staying} workers, and at most {most} are wanted"
        )

    def _follow(self, world: World, step: Callable[[World], World | None]) -> None:
        """Until nothing changes any more, or a state that is known to end well."""
        known = self.known.setdefault(step, set())
        path: list[World] = []
        while world not in known:
            path.append(world)
            assert len(path) < PATIENCE, f"{step.__name__}: it goes on for ever"
            changed = step(world)
            if changed is None:
                break
            world = self._turned(changed)[0]
        known.update(path)

    def _path(self, world: World | None) -> list[str]:
        names: list[str] = []
        while world is not None and (came := self.came[world]) is not None:
            world, name = came
            names.append(name)
        return names[::-1]

    def _look_for_circles(self) -> None:
        if (circle := _circle(self.forks)) is not None:
            raise WrongError("it forks again and again, and no time passes\n" + shown(circle))


# -- how things go on from a state, if nothing comes from outside: the next change, None at a good end ----


def _settled(world: World, boots: Callable[[Process], bool]) -> World | None:
    """One step in which everybody who can, does: who is told to leave leaves, who can boot boots."""
    for child in world.children:
        if child.is_ordered:
            answer = next(_answered(world, child), None)
            if answer is not None:
                return answer[1]
            continue
        if child.killed_at is not None or child.aborted_at is not None:
            return _without(world, child, -9)
        if child.is_leaving:
            return _without(world, child, 0)
        if child.state is State.BOOTING:
            return _booted(world, child) if boots(child) else _without(world, child, targets.EXIT_BOOT)
    return _first_waited(world)


def _first_waited(world: World) -> World | None:
    return next((changed for _, changed in waited(world)), None)


def converges(world: World) -> World | None:
    """Everybody is healthy, and forks succeed: as many serve as are wanted, all of the wanted generation."""
    if world.exit_code is not None:
        return None
    world = replace(world, can_fork=True)
    changed = _settled(world, lambda _: True)
    if changed is None and world.target.mode is Mode.RESTING:
        assert not world.workers, "workers of one that rests never go"
        assert not world.attendants, "one that rests answers health checks"
        assert not world.heavy, "heavy workers of one that rests never go"
    elif changed is None and world.target.mode is Mode.PAUSED:
        assert not world.workers, "workers of one that is paused never go"
        assert len(world.attendants) == world.target.attends, "nobody answers health checks in a pause"
    elif changed is None:
        plan = world.target.plan
        assert world.target.fallback is None, "a reload never ends"
        for pool in world.target.pools:
            assert pool.fallback is None, "the reload of a pool never ends"
            found = [child.generation for child in world.heavy]
            wanted = [pool.plan.generation] * pool.plan.workers
            assert found == wanted, f"{found} are the heavy workers at the end"
        others = [child for child in world.children if not (child.is_attendant or child.is_heavy)]
        generations = {child.generation for child in others}
        assert generations == {plan.generation}, f"generations {generations} serve at the end"
        assert world.serving == len(world.workers) == plan.workers, f"{world.serving} serve at the end"
        assert not any(child.is_worn for child in world.workers), "a worn one is never replaced"
        assert not any(mold.is_superseded for mold in world.molds), "a mold outlives its workers"
        assert len(world.attendants) == world.target.attends, "nobody answers health checks at the end"
    return changed


def gives_up_well(world: World) -> World | None:
    """A generation of which none was READY never boots: the one before it serves, if there was one."""
    if world.exit_code is not None:
        return None
    world = replace(world, can_fork=True)
    plan = world.target.plan
    return _given_up(world, lambda child: child.generation != plan.generation or plan.proven)


def does_without_new_heavy(world: World) -> World | None:
    """New code of a pool never boots: the heavy worker of before stays, and web workers are as they should
    be."""
    if world.exit_code is not None or not world.target.pools:
        return None
    world = replace(world, can_fork=True)
    tried = [pool for pool in world.target.pools if pool.fallback is not None and not pool.plan.proven]
    if not tried:
        return None
    bad = tried[0].plan.generation
    changed = _settled(world, lambda child: child.generation != bad)
    if changed is None and world.target.mode is Mode.RUNNING:
        assert world.serving == world.target.plan.workers, f"{world.serving} serve at the end"
    return changed


def gives_up_late(world: World) -> World | None:
    """The same, and its mold does load the application."""
    if world.exit_code is not None or not world.target.plan.preloads:
        return None
    world = replace(world, can_fork=True)
    plan = world.target.plan
    return _given_up(world, lambda child: child.is_mold or child.generation != plan.generation or plan.proven)


def _given_up(world: World, boots: Callable[[Process], bool]) -> World | None:
    plan = world.target.plan
    changed = _settled(world, boots)
    if changed is None and world.target.mode not in (Mode.RESTING, Mode.PAUSED):
        assert world.serving == plan.workers, f"{world.serving} serve at the end"
        assert plan.proven
        wanted = sum(pool.plan.workers for pool in world.target.pools)
        assert len(world.heavy) == wanted, f"{len(world.heavy)} heavy workers are there at the end"
    return changed


def ends(world: World) -> World | None:
    """TERM, and nobody obeys: the limits end it."""
    if world.exit_code is not None:
        return None
    if world.target.mode in (Mode.RUNNING, Mode.RESTING, Mode.PAUSED):
        return replace(world, target=targets.stopped(world.target, Mode.DRAINING))
    for child in world.children:
        if child.killed_at is not None:
            return _without(world, child, -9)
        if child.is_ordered and all(child.mold != mold.pid for mold in world.molds):
            return _unanswered(world, child)
    changed = _first_waited(world)
    assert changed is not None, "a stop waits for ever"
    return changed


def _circle(edges: dict[World, list[tuple[World, bool]]]) -> World | None:
    """A state from which one comes back to it by way of a marked edge. (Tarjan, without recursion.)"""
    index: dict[World, int] = {}
    low: dict[World, int] = {}
    part: dict[World, int] = {}
    stack: list[World] = []
    for start in edges:
        if start in index:
            continue
        work = [(start, iter(edges.get(start, ())))]
        index[start] = low[start] = len(index)
        stack.append(start)
        while work:
            world, following = work[-1]
            for after, _ in following:
                if after not in index:
                    index[after] = low[after] = len(index)
                    stack.append(after)
                    work.append((after, iter(edges.get(after, ()))))
                    break
                if after not in part:
                    low[world] = min(low[world], index[after])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[world])
                if low[world] == index[world]:
                    while True:
                        member = stack.pop()
                        part[member] = index[world]
                        if member is world:
                            break
    for world, following in edges.items():
        for after, is_marked in following:
            if is_marked and part[world] == part.get(after):
                return world
    return None


def shown(world: World) -> str:
    lines = [f"    {world.target}"]
    lines += [f"    {child}" for child in world.children]
    return "\n".join(lines)


if __name__ == "__main__":
    workers, outer_events, surge, unavailable = map(int, sys.argv[1:5])
    more = dict.fromkeys(sys.argv[5:], True)
    print(f"{Explorer(workers, surge, unavailable, **more).explore(outer_events)} states, and all is well")
