"""All that can happen to a few workers, in every order: a model of how `decide()` replaces them.

The plan. A state is the target and the children, as the master sees them, at the instant 0. An event changes
it as the shell does (arbiter.py: `_bury`, `_note_ready`, a signal), then the master acts until it has nothing
more to say. Time is no number here: whatever waits for an instant (a grace, a back-off, a limit) waits until
an event says that it has waited long enough. So all deadlines come in all orders, more than real ones could.
Events are of two kinds:

    inner     what workers do that are neither broken nor told by anybody else: boot, fail to boot, leave when
              told, die when killed; and the end of a wait
    outer     HUP, TTIN, TTOU, TERM, INT, WINCH; a newer master that takes over; a crash, a hang, a worker
              that is worn or ends by itself; forks that fail, and that succeed again

From the first start on, all orders of inner events are followed until nothing new comes, with up to `outer`
outer events in between. States that only differ in what nobody will ever look at are one (`canonical`), so
this ends, and soon.

What must hold is said in `Explorer._check` about each step, and in `converges`, `gives_up_well` and `ends`
about each state: that from there on everything goes well if all are healthy, if the new generation never
boots, and if nobody obeys. `_circle` finds forks that follow each other without time passing between them.

    PYTHONPATH=tests python -m arbiter.explorer WORKERS OUTER SURGE UNAVAILABLE

goes further than the tests do: 2 2 1 0 has some 50,000 states and takes a minute.

Nothing is preloaded here: workers come from the master, and there are no molds.

Knows: decide.py, target.py. Must not know: processes, clocks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from tricorn.arbiter import decide as decisions
from tricorn.arbiter import target as targets
from tricorn.arbiter.decide import Child, State
from tricorn.arbiter.target import Mode, Plan, Target

GRACEFUL, HEARTBEAT, BOOT = 20.0, 30.0, 60.0
#: Longer ago than anybody waits.
LONG_AGO = -1000.0
ROOM = 24
#: What nobody has asked for, and takes no time: these alone must not lead to one fork after another.
UNASKED = ("boots", "fails to boot", "leaves", "dies", "is aborted", "crashes")
#: Steps after which whatever has been going on is over.
PATIENCE = 300

T = TypeVar("T")


def replace(value: T, **changes: object) -> T:
    """As dataclasses.replace, which looks at every field and takes five times as long."""
    other = object.__new__(type(value))
    other.__dict__.update(vars(value), **changes)
    return other


TOLD = {
    decisions.Drain: "drained_at",
    decisions.Interrupt: "interrupted_at",
    decisions.Abort: "aborted_at",
    decisions.Kill: "killed_at",
}


@dataclass(frozen=True)
class World:
    """Everything at one instant, which is 0.

    A child without a `timeout` beats. One that has one has stopped, which the master learns at its end.
    """

    children: tuple[Child, ...]
    target: Target
    can_fork: bool = True
    exit_code: int | None = None

    @property
    def serving(self) -> int:
        """As far as the master can know."""
        ready = [child for child in self.children if child.state is State.READY and not child.is_leaving]
        return sum(child.heartbeat != LONG_AGO for child in ready)

    @property
    def staying(self) -> int:
        return sum(not c.is_leaving for c in self.children)


class WrongError(AssertionError):
    """What must hold does not; `steps` lead there."""


@dataclass
class Turn:
    """The master's turn: it decides, and acts, until it has nothing more to say."""

    children: dict[int, Child]
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
            case decisions.Spawn(generation) if self.can_fork:
                self.spawned += 1
                pid = max(self.children, default=0) + 1
                self.children[pid] = Child(
                    pid, generation, State.BOOTING, 0.0, 0.0, 0.0, GRACEFUL, boot_timeout=BOOT
                )
            case decisions.Spawn(generation):
                self.target = targets.with_failed_fork(self.target, generation, 0.0)
            case decisions.Abandon():
                serving = sum(child.state is State.READY for child in self.children.values())
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
                self.children[child.pid] = _told(replace(child, **{name: 0.0}))


def _told(child: Child) -> Child:
    """As ChildRecord.view shows it."""
    if child.drained_at is not None and child.state is State.READY:
        return replace(child, state=State.DRAINING)
    return child


# -- events: each gives the world behind it, before the master acts --------------------------------------

Change = tuple[str, World]


def inner(world: World) -> Iterator[Change]:
    for child in world.children:
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
    # Who is killed is dead before anything else is due.
    if all(child.killed_at is None for child in world.children):
        yield from waited(world)


def outer(world: World) -> Iterator[Change]:
    target = world.target
    for child in world.children:
        if child.state is State.READY and not child.is_leaving and not child.timeout:
            yield f"{child.pid} hangs", _with(world, replace(child, timeout=HEARTBEAT))
            if not child.is_worn:
                yield f"{child.pid} is worn", _with(world, replace(child, is_worn=True))
            yield f"{child.pid} ends by itself", _without(world, child, 0)
        if child.killed_at is None and child.aborted_at is None:
            yield f"{child.pid} crashes", _without(world, child, -11)
    yield "forks fail" if world.can_fork else "forks succeed", replace(world, can_fork=not world.can_fork)
    ready = [child for child in world.children if child.state is State.READY]
    for child in [child for child in ready if child.started_at == 0][:1]:
        yield f"{child.pid} has lived", _with(world, replace(child, started_at=-targets.HEALTHY_AFTER))
    yield "TERM", replace(world, target=targets.stopped(target, Mode.DRAINING))
    yield "INT", replace(world, target=targets.stopped(target, Mode.QUICK))
    yield "a newer master takes over", replace(world, target=targets.retired(target))
    yield "WINCH", replace(world, target=targets.rested(target))
    yield "HUP to one that rests", replace(world, target=targets.woken(target))
    if target.mode is Mode.RUNNING:
        terms = {name: getattr(target.plan, name) for name in ("surge", "unavailable", "drain_delay")}
        again = targets.reloaded(target, target.plan.workers, target.room, **terms)
        yield "HUP", replace(world, target=again)
    if target.is_serving:
        yield "TTIN", replace(world, target=targets.more(target))
        yield "TTOU", replace(world, target=targets.fewer(target))


def _with(world: World, child: Child) -> World:
    return replace(world, children=tuple(child if c.pid == child.pid else c for c in world.children))


def _without(world: World, child: Child, code: int) -> World:
    asked = child.drained_at is not None or child.interrupted_at is not None
    ended = targets.Exit(
        child.generation, child.state is not State.BOOTING, asked, code, uptime=-child.started_at
    )
    return replace(
        world,
        children=tuple(c for c in world.children if c.pid != child.pid),
        target=targets.with_exit(world.target, ended, 0.0),
    )


def _booted(world: World, child: Child) -> World:
    ready = _told(replace(child, state=State.READY, heartbeat=0.0))
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


def _due(child: Child) -> Child | None:
    """When its next limit is reached; None if it has none."""
    if child.killed_at is not None:
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
    numbers = sorted({plan.generation for plan in plans} | {child.generation for child in world.children})
    renamed = {number: index for index, number in enumerate(numbers, 1)}
    children = enumerate(sorted(world.children, key=lambda child: child.pid), 1)
    return replace(
        world,
        children=tuple(_canonical_child(child, pid, renamed[child.generation]) for pid, child in children),
        target=replace(
            target,
            plan=_canonical_plan(target.plan, renamed),
            fallback=target.fallback and _canonical_plan(target.fallback, renamed),
            latest=len(numbers),
            drain_at=target.drain_at if target.mode is Mode.LEAVING else 0.0,
        ),
    )


def _canonical_child(child: Child, pid: int, generation: int) -> Child:
    told = {name: 0.0 for name in TOLD.values() if getattr(child, name)}
    has_lived = child.state is State.READY and child.started_at
    started_at = -targets.HEALTHY_AFTER if has_lived else 0.0
    if (child.pid, child.generation, child.started_at, child.heartbeat) == (pid, generation, started_at, 0.0):
        return replace(child, **told) if told else child
    return replace(child, pid=pid, generation=generation, started_at=started_at, heartbeat=0.0, **told)


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
    whether TERM is followed by one; how long it is does not matter."""

    workers: int
    surge: int = 1
    unavailable: int = 0
    drain_delay: float = 0.0
    came: dict[World, tuple[World, str] | None] = field(default_factory=dict)
    steps: int = 0
    forks: dict[World, list[tuple[World, bool]]] = field(default_factory=dict)
    known: dict[Callable[..., object], set[World]] = field(default_factory=dict)

    def explore(self, outer_events: int) -> int:
        """How many states there are. WrongError: one of them must not be."""
        terms = {"surge": self.surge, "unavailable": self.unavailable, "drain_delay": self.drain_delay}
        target = targets.first_target(self.workers, ROOM, **terms)
        layer = [self._visit(None, "start", World((), target))]
        for left in range(outer_events, -1, -1):
            following: list[World] = []
            while layer:
                world = layer.pop()
                if world is None or world.exit_code is not None:
                    continue
                layer += [self._visit(world, name, after) for name, after in inner(world)]
                following += [self._visit(world, name, after) for name, after in outer(world) if left]
            layer = following
        self._look_for_circles()
        return len(self.came)

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
            for goes_well in (converges, gives_up_well, ends):
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
        assert len(after.children) <= target.room, "more processes than there is room for"
        if not target.is_serving:
            assert not spawned, "it forks while it stops"
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


def _settled(world: World, boots: Callable[[Child], bool]) -> World | None:
    """One step in which everybody who can, does: who is told to leave leaves, who can boot boots."""
    for child in world.children:
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
        assert not world.children, "workers of one that rests never go"
    elif changed is None:
        plan = world.target.plan
        assert world.target.fallback is None, "a reload never ends"
        generations = {child.generation for child in world.children}
        assert generations == {plan.generation}, f"generations {generations} serve at the end"
        assert world.serving == len(world.children) == plan.workers, f"{world.serving} serve at the end"
        assert not any(child.is_worn for child in world.children), "a worn one is never replaced"
    return changed


def gives_up_well(world: World) -> World | None:
    """A generation of which none was READY never boots: the one before it serves, if there was one."""
    if world.exit_code is not None:
        return None
    world = replace(world, can_fork=True)
    plan = world.target.plan
    changed = _settled(world, lambda child: child.generation != plan.generation or plan.proven)
    if changed is None and world.target.mode is not Mode.RESTING:
        assert world.serving == plan.workers, f"{world.serving} serve at the end"
        assert plan.proven
    return changed


def ends(world: World) -> World | None:
    """TERM, and nobody obeys: the limits end it."""
    if world.exit_code is not None:
        return None
    if world.target.mode in (Mode.RUNNING, Mode.RESTING):
        return replace(world, target=targets.stopped(world.target, Mode.DRAINING))
    for child in world.children:
        if child.killed_at is not None:
            return _without(world, child, -9)
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
    workers, outer_events, surge, unavailable = map(int, sys.argv[1:])
    print(f"{Explorer(workers, surge, unavailable).explore(outer_events)} states, and all is well")
