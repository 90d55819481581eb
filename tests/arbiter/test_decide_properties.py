"""decide() in a simulated world: any order of boots, ends, crashes and wishes.

The world performs actions as the shell does, and its clock only moves when told. What must hold is said
about every instant, not about a scenario.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tricorn.arbiter import target as targets
from tricorn.arbiter.decide import (
    BOOT_GRACE,
    CHANGES,
    Abandon,
    Abort,
    Action,
    Child,
    Drain,
    EndDelay,
    Exit,
    Interrupt,
    Kill,
    Spawn,
    SpawnMold,
    State,
    decide,
    next_deadline,
)
from tricorn.arbiter.target import Mode, Target
from tricorn.records import replace

TOLD = {Drain: "drained_at", Interrupt: "interrupted_at", Abort: "aborted_at", Kill: "killed_at"}


@dataclass
class World:
    target: Target
    preloads: bool = False
    now: float = 0.0
    exit_code: int | None = None
    children: dict[int, Child] = field(default_factory=dict)
    was_ready: set[int] = field(default_factory=set)
    ready_at: dict[int, float] = field(default_factory=dict)
    pids: int = 0

    def act(self) -> None:
        for _ in range(10):
            actions = decide(list(self.children.values()), self.target, self.now)
            for action in actions:
                self.perform(action)
            assert len(self.workers()) <= self.target.room
            molds = [
                one.generation for one in self.children.values() if one.is_mold and not one.is_superseded
            ]
            assert len(molds) == len(set(molds))
            if not any(isinstance(action, CHANGES) for action in actions):
                # Everything has been said: deciding again says nothing new.
                assert self.exit_code is not None or not decide(
                    list(self.children.values()), self.target, self.now
                )
                return
        raise AssertionError("abandons for ever")

    def perform(self, action: Action) -> None:
        match action:
            case Spawn(generation) | SpawnMold(generation):
                is_mold = isinstance(action, SpawnMold)
                mold = 0 if is_mold or not self.preloads_in(generation) else self.mold_of(generation)
                self.pids += 1
                one = Child(self.pids, generation, State.BOOTING, self.now, self.now, 30.0, 20.0)
                self.children[self.pids] = replace(one, is_mold=is_mold, mold=mold)
            case Abandon():
                self.target = targets.abandoned(self.target)
            case EndDelay():
                self.target = targets.delayed(self.target)
            case Exit(code):
                assert not self.children
                self.exit_code = code
            case Drain(pid) | Interrupt(pid) | Abort(pid) | Kill(pid):
                one, name = self.children[pid], TOLD[type(action)]
                assert getattr(one, name) is None, "told twice"
                self.children[pid] = replace(one, **{name: self.now})  # type: ignore[arg-type]  # by name

    def workers(self) -> list[Child]:
        return [c for c in self.children.values() if not c.is_mold]

    def ready(self) -> list[Child]:
        return [c for c in self.workers() if c.state is State.READY and not c.is_leaving]

    def preloads_in(self, generation: int) -> bool:
        plans = [plan for plan in (self.target.plan, self.target.fallback) if plan]
        return any(plan.generation == generation and plan.preloads for plan in plans)

    def mold_of(self, generation: int) -> int:
        """The process that forks workers of this generation: it has to be there."""
        (found,) = [
            one.pid
            for one in self.children.values()
            if one.is_mold
            and one.generation == generation
            and one.state is State.READY
            and not one.is_superseded
            and not one.is_leaving
        ]
        return found

    def become_mold(self, pid: int) -> None:
        """A worker that has been replaced takes the place of its mold, as the shell has it."""
        for one in list(self.children.values()):
            if one.generation == self.children[pid].generation:
                self.children[one.pid] = replace(one, is_worn=not one.is_mold, is_superseded=one.is_mold)
        self.children[pid] = replace(
            self.children[pid], is_mold=True, is_worn=False, worn_at=None, drained_at=None, state=State.READY
        )

    def boot(self, pid: int) -> None:
        one = self.children[pid]
        if one.state is State.BOOTING and one.aborted_at is None and one.killed_at is None:
            self.children[pid] = replace(one, state=State.READY, heartbeat=self.now)
            self.was_ready.add(pid)
            self.ready_at[pid] = self.now
            if not one.is_mold:
                self.target = targets.with_ready(self.target, one.generation)

    def end(self, pid: int, code: int) -> None:
        one = self.children.pop(pid)
        asked = one.drained_at is not None or one.interrupted_at is not None
        uptime = self.now - one.started_at
        boot_time = self.ready_at.get(pid, self.now) - one.started_at
        ended = targets.Exit(one.generation, pid in self.was_ready, asked, code, uptime, boot_time)
        self.target = targets.with_exit(self.target, ended, self.now)

    def has_plans(self, deadline: float) -> bool:
        """Whether somebody is meant to come or go then; that everybody must beat is not one."""
        ages = [child.worn_at for child in self.children.values()]
        plans = [plan.retry_at for plan in (self.target.plan, self.target.fallback) if plan]
        return deadline in (*ages, *plans)

    def beat(self) -> None:
        self.children = {pid: replace(c, heartbeat=self.now) for pid, c in self.children.items()}

    def settle(self) -> None:
        """From now on everybody is healthy: who boots gets ready, who is told to leave leaves."""
        for _ in range(500):
            self.act()
            if self.exit_code is not None:
                return
            self.beat()
            before = (self.target, dict(self.children))
            for one in list(self.children.values()):
                if one.is_leaving:
                    self.end(one.pid, 0)
                else:
                    self.boot(one.pid)
            if (self.target, self.children) == before:
                deadline = next_deadline(list(self.children.values()), self.target, self.now)
                deadline = deadline if deadline is None or self.has_plans(deadline) else None
                if deadline is None:
                    return
                self.now = deadline
            else:
                self.now += 0.05
        raise AssertionError("does not converge")


#: What may happen, as (what, how): `how` picks a child.
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *(
                    "boot",
                    "crash",
                    "fail",
                    "retire",
                    "leave",
                    "reload",
                    "more",
                    "fewer",
                    "size",
                    "time",
                    "wear",
                    "age",
                ),
                "refork",
            ]
        ),
        st.integers(0, 7),
    ),
    max_size=60,
)


def step(world: World, what: str, how: int) -> None:
    pids = sorted(world.children)
    one = world.children[pids[how % len(pids)]] if pids else None
    if what == "reload":
        if world.target.mode is not Mode.RUNNING:
            return  # the arbiter refuses it then
        preloads = world.preloads if how < 6 else not world.preloads
        terms: dict[str, Any] = {"preloads": preloads, "least": 1, "most": 8}
        world.target = targets.reloaded(world.target, 1 + how % 4, world.target.room, **terms)
    elif what == "more":
        world.target = targets.more(world.target)
    elif what == "fewer":
        world.target = targets.fewer(world.target)
    elif what == "size":
        world.target = targets.sized(world.target, 1 + how)
    elif what == "time":
        world.now += how
        world.beat()
    elif one is None:
        return
    elif what == "boot":
        world.boot(one.pid)
    elif what == "wear":
        world.children[one.pid] = replace(one, is_worn=True)
    elif what == "age":
        world.children[one.pid] = replace(one, worn_at=world.now + how)
    elif what == "refork" and one.mold and one.pid in world.was_ready and one.drained_at is not None:
        world.become_mold(one.pid)
    elif what == "crash":
        world.end(one.pid, -11)
    elif what == "fail" and one.state is State.BOOTING:
        world.end(one.pid, 3)
    elif (what == "retire" and one.state is State.READY) or (what == "leave" and one.is_leaving):
        world.end(one.pid, 0)


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 5), STEPS, st.booleans(), st.integers(0, 3))
def test_always_converges_on_the_plan(
    workers: int, steps: list[tuple[str, int]], preloads: bool, tries: int
) -> None:
    terms: dict[str, Any] = {"preloads": preloads, "max_boot_failures": tries, "least": 1, "most": 8}
    target = targets.first_target(workers, room=20, **terms)
    world = World(target, preloads)
    world.act()
    for what, how in steps:
        step(world, what, how)
        world.act()
        if world.exit_code is not None:
            break
    world.settle()
    if world.exit_code is not None:
        assert world.exit_code == targets.EXIT_BOOT
        assert 0 < tries <= world.target.plan.boot_failures
        return
    assert world.target.fallback is None
    assert {c.generation for c in world.children.values()} == {world.target.plan.generation}
    assert len(world.ready()) == len(world.workers()) == world.target.plan.workers


#: How many there may be too many, and too few, while workers are replaced.
BOUNDS = st.sampled_from([(1, 0), (3, 0), (0, 1), (2, 1)])


@settings(max_examples=400, deadline=None)
@given(st.integers(1, 5), STEPS, BOUNDS, st.booleans())
def test_replacing_never_leaves_fewer_ready_workers_than_promised(
    workers: int, steps: list[tuple[str, int]], bounds: tuple[int, int], preloads: bool
) -> None:
    """Whatever boots, fails, leaves, wears out or is reloaded meanwhile, in whatever order, as long as no
    READY worker is lost by its own fault: at every instant as many serve as before, but for `unavailable`,
    and there are at most `surge` too many."""
    surge, unavailable = bounds
    first = targets.first_target(workers, room=200, surge=surge, unavailable=unavailable, preloads=preloads)
    world = World(first, preloads)
    world.settle()
    for what, how in steps:
        if what in ("crash", "retire", "more", "fewer", "size"):
            continue
        if what == "reload":
            world.target = targets.reloaded(
                world.target,
                workers,
                world.target.room,
                surge=surge,
                unavailable=unavailable,
                preloads=preloads,
            )
        else:
            step(world, what, how)
        world.act()
        assert len(world.ready()) >= workers - unavailable
        staying = [c for c in world.workers() if not c.is_leaving]
        # The first worker of a new generation is on trial beside all others.
        assert len(staying) <= workers + max(surge, 1)
    world.settle()
    assert len(world.ready()) == workers


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 5),
    STEPS,
    st.sampled_from([Mode.RUNNING, Mode.RESTING, Mode.RETIRING]),
    st.sampled_from([Mode.DRAINING, Mode.QUICK]),
    st.booleans(),
    st.sampled_from([0.0, 7.0]),
)
def test_a_stop_always_ends(
    workers: int, steps: list[tuple[str, int]], before: Mode, mode: Mode, preloads: bool, delay: float
) -> None:
    """Even if no worker ever obeys: the limits end it."""
    world = World(targets.first_target(workers, room=50, preloads=preloads, drain_delay=delay), preloads)
    world.act()
    for what, how in steps:
        step(world, what, how)
        world.act()
    world.target = replace(world.target, mode=before)
    world.act()
    world.target = targets.stopped(world.target, mode, world.now)
    for _ in range(100):
        world.act()
        if world.exit_code is not None:
            return
        for one in list(world.children.values()):
            if one.killed_at is not None:
                world.end(one.pid, -9)
        deadline = next_deadline(list(world.children.values()), world.target, world.now)
        world.now = world.now if deadline is None else max(world.now, deadline)
    raise AssertionError("does not end")


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 5), STEPS, st.sampled_from([Mode.DRAINING, Mode.QUICK]), st.booleans())
def test_a_stop_waits_for_nobody_who_was_never_ready(
    workers: int, steps: list[tuple[str, int]], mode: Mode, preloads: bool
) -> None:
    """Whatever was going on, once BOOT_GRACE has passed only those are left that were READY."""
    world = World(targets.first_target(workers, room=50, preloads=preloads), preloads)
    world.act()
    for what, how in steps:
        step(world, what, how)
        world.act()
    world.target = targets.stopped(world.target, mode)
    world.act()
    world.now += BOOT_GRACE
    world.act()
    for one in list(world.children.values()):
        if one.killed_at is not None:
            world.end(one.pid, -9)
    left = [c for c in world.children.values() if c.pid not in world.was_ready and c.aborted_at is None]
    assert not left
