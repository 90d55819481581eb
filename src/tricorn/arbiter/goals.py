"""When what somebody has asked for is done, or has failed. Values and pure functions; time is an argument.

Knows: the target, children as decide() sees them, how boots have failed. Must not know: processes, clocks,
who has asked, how he is answered.

Each request that takes a while has a goal; `maybe_answer` compares it with the picture of the moment. A goal
asks what is, not what was done about it: a reload that another one has overtaken is done when that is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tricorn.arbiter.decide import Child, State
from tricorn.arbiter.target import HEAVY, STOPPING, Mode, Pool, Target, maybe_pool
from tricorn.records import dataclass, field

#: How long a worker may take to show its stacks, seconds. One that runs Python code takes milliseconds.
STACKS_TIME = 2.0

#: The same of what its requests do. It looks about once a second whether somebody wants to know.
REQUESTS_TIME = 1.5

#: To tell of a profile when its time is over, seconds: the text of it has to be made.
PROFILE_TIME = 5.0

TOLD_TO_STOP = "the server was told to stop meanwhile"


@dataclass(frozen=True)
class Answer:
    """What becomes of a request: it is done, or it is under way (not `done`), or it has failed (not `ok`).

    say: a sentence. detail: lines that belong to it, such as a traceback. data: what was asked for.
    """

    ok: bool
    say: str
    done: bool = True
    detail: str = ""
    data: object = None


def refusal(say: str) -> Answer:
    return Answer(False, say)


@dataclass(frozen=True)
class Problem:
    """Why a worker, or a mold, of this generation was never ready. pool: of a heavy worker, the number of its
    pool; else 0."""

    generation: int
    text: str
    pool: int = 0


@dataclass(frozen=True)
class Picture:
    """The master at one instant.

    problems: since the goal was set, of web workers. heavy: the others. heavy_problems: theirs.
    upgrade: how the last upgrade has ended; None: it goes on.
    accepting: processes that say themselves that they take connections. One that was told to leave does so
        until it has heard.
    now: the instant. stacks: by process id, what workers have answered who were asked for theirs.
    silent: of those who might not, why. requests: what workers have told of theirs, by process id;
    known: what can be said of those of the others. events: the latest. profiles: as stacks.
    """

    target: Target
    children: Sequence[Child]
    problems: Sequence[Problem] = ()
    upgrade: Answer | None = None
    accepting: frozenset[int] = frozenset()
    now: float = 0.0
    stacks: Mapping[int, object] = field(default_factory=dict)
    silent: Mapping[int, str] = field(default_factory=dict)
    requests: Mapping[int, object] = field(default_factory=dict)
    known: Mapping[int, object] = field(default_factory=dict)
    events: Sequence[Mapping[str, object]] = ()
    profiles: Mapping[int, object] = field(default_factory=dict)
    heavy: Sequence[Child] = ()
    heavy_problems: Sequence[Problem] = ()

    @property
    def everybody(self) -> Sequence[Child]:
        return (*self.children, *self.heavy)

    @property
    def serving(self) -> list[Child]:
        """Workers that are ready, and not told to leave."""
        return [
            child
            for child in self.children
            if child.state is State.READY and not child.is_mold and not child.is_leaving
        ]

    @property
    def leaving(self) -> int:
        """Workers that still finish requests."""
        return sum(child.state is State.DRAINING and not child.is_mold for child in self.children)


@dataclass(frozen=True)
class Reloaded:
    """This generation, or a later one, has all its workers, and those of before have gone, or finish what
    they have: one that was told to leave while it boots may yet say that it is READY."""

    generation: int

    def maybe_answer(self, now: Picture) -> Answer | None:
        plan = now.target.plan
        if plan.generation < self.generation:
            reasons = [each.text for each in now.problems if each.generation >= self.generation]
            return _failure("The new code does not start, and nothing has changed", reasons)
        ready = now.serving
        if now.target.fallback is not None or not plan.proven or len(ready) < plan.workers:
            return None
        others = [child for child in now.children if child.is_worker]
        others = [child for child in others if child.generation != plan.generation]
        if any(child.state is not State.DRAINING or child.pid in now.accepting for child in others):
            return None
        rest = f"; {_workers(now.leaving)} of before finish their requests" if now.leaving else ""
        said = f"Generation {plan.generation} serves with {_workers(len(ready))}{rest}"
        for pool in now.target.pools:
            if pool.fallback is not None or _count_ready(now.heavy, pool) < pool.plan.workers:
                reasons = [each.text for each in now.heavy_problems if each.pool == pool.number]
                if pool.fallback is None and reasons:
                    return _failure(f"{said}, but heavy workers do not start; it is tried again", reasons)
                return None
            if not pool.is_last and pool.plan.generation % HEAVY < plan.generation and pool.plan.workers:
                reasons = [each.text for each in now.heavy_problems if each.pool == pool.number]
                return _failure(
                    f"{said}, but its heavy workers do not start, and those of before stay", reasons
                )
        return Answer(True, said)


@dataclass(frozen=True)
class Scaled:
    """So many workers serve."""

    workers: int

    def maybe_answer(self, now: Picture) -> Answer | None:
        plan = now.target.plan
        if plan.workers != self.workers:
            return Answer(True, f"Somebody else has changed it to {_workers(plan.workers)} meanwhile")
        if now.problems:
            why = "Not all workers start; it is tried again"
            return _failure(why, [each.text for each in now.problems])
        if len(now.serving) != self.workers or len(now.accepting) > self.workers:
            return None
        return Answer(True, f"{_workers(self.workers).capitalize()} serve{'s' * (self.workers == 1)}")


@dataclass(frozen=True)
class PoolScaled:
    """So many workers of this pool take calls."""

    pool: int
    workers: int

    def maybe_answer(self, now: Picture) -> Answer | None:
        pool = maybe_pool(now.target, self.pool)
        if pool is None or pool.plan.workers != self.workers:
            found = _workers(pool.plan.workers) if pool else "none"
            return Answer(True, f"Somebody else has changed it to {found} meanwhile")
        reasons = [each.text for each in now.heavy_problems if each.pool == self.pool]
        if reasons:
            return _failure("Not all heavy workers start; it is tried again", reasons)
        if _count_ready(now.heavy, pool) != self.workers:
            return None
        return Answer(True, f"{pool.name}: {_workers(self.workers)}")


def _count_ready(heavy: Sequence[Child], pool: Pool) -> int:
    return sum(_is_ready(child) for child in heavy if child.generation == pool.plan.generation)


def _is_ready(child: Child) -> bool:
    return child.state is State.READY and not child.is_leaving


@dataclass(frozen=True)
class Replaced:
    """This worker serves no more. since: when that was asked for; its successor has started later."""

    pid: int
    since: float
    is_heavy: bool = False

    def maybe_answer(self, now: Picture) -> Answer | None:
        still = next((child for child in now.everybody if child.pid == self.pid), None)
        if still is not None and (not still.is_leaving or self.pid in now.accepting):
            problems = now.heavy_problems if self.is_heavy else now.problems
            if problems:
                why = f"Worker {self.pid} serves on, because its successor does not start; it is tried again"
                return _failure(why, [each.text for each in problems])
            return None
        serving = [child for child in now.heavy if _is_ready(child)] if self.is_heavy else now.serving
        successors = [child.pid for child in serving if child.started_at >= self.since]
        by = f"worker {successors[0]} serves in its place" if successors else "it is being replaced"
        how = "has ended" if still is None else "finishes its requests"
        return Answer(True, f"Worker {self.pid} {how}; {by}")


@dataclass(frozen=True)
class Reforked:
    """This worker is the mold, and all that serve come from it."""

    pid: int

    def maybe_answer(self, now: Picture) -> Answer | None:
        chosen = next((child for child in now.children if child.pid == self.pid), None)
        if chosen is None:
            return refusal(f"Worker {self.pid} has ended without becoming the mold; the log says why")
        if now.problems:
            why = "A worker that is needed for it does not start; it is tried again"
            return _failure(why, [each.text for each in now.problems])
        ready = now.serving
        if not chosen.is_mold or len(ready) < now.target.plan.workers:
            return None
        if any(child.mold != self.pid for child in ready):
            return None
        return Answer(True, f"{_workers(len(ready)).capitalize()} come from worker {self.pid}, now the mold")


@dataclass(frozen=True)
class Upgraded:
    """The upgrade has ended, one way or the other."""

    def maybe_answer(self, now: Picture) -> Answer | None:
        return now.upgrade


@dataclass(frozen=True)
class Killed:
    """This worker has ended, and there are as many as there should be."""

    pid: int
    is_heavy: bool = False

    def maybe_answer(self, now: Picture) -> Answer | None:
        if any(child.pid == self.pid for child in now.everybody):
            return None
        said = f"Worker {self.pid} was killed"
        if self.is_heavy or not now.target.is_serving:
            return Answer(True, said)
        ready = len(now.serving)
        if ready < now.target.plan.workers:
            if now.problems:
                why = f"{said}, and its successor does not start; it is tried again"
                return _failure(why, [each.text for each in now.problems])
            return None
        return Answer(True, f"{said}; {_workers(ready)} serve{'s' * (ready == 1)}")


@dataclass(frozen=True)
class Paused:
    """No worker is left."""

    def maybe_answer(self, now: Picture) -> Answer | None:
        if now.target.mode is not Mode.PAUSED:
            return refusal("Somebody else has resumed it meanwhile")
        if any(not child.is_mold for child in now.children):
            return None
        return Answer(True, "The server is paused: nothing runs, and new connections wait")


@dataclass(frozen=True)
class Shown:
    """Each of these workers has shown its stacks, has ended, or has had its time.

    since: when they were asked.
    """

    pids: Sequence[int]
    since: float

    def maybe_answer(self, now: Picture) -> Answer | None:
        there = {child.pid for child in now.everybody}
        missing = [pid for pid in self.pids if pid in there and pid not in now.stacks]
        if missing and now.now < self.since + STACKS_TIME:
            return None
        shown = [now.stacks[pid] for pid in self.pids if pid in now.stacks]
        silent = [{"pid": pid, "silent": now.silent.get(pid, "")} for pid in missing]
        return Answer(bool(shown or not missing), _shown(len(shown), missing), data=[*shown, *silent])


@dataclass(frozen=True)
class Profiled:
    """Each of these workers has told where it was until this instant, has ended, or has had its time."""

    pids: Sequence[int]
    until: float

    def maybe_answer(self, now: Picture) -> Answer | None:
        there = {child.pid for child in now.children}
        missing = [pid for pid in self.pids if pid in there and pid not in now.profiles]
        if missing and now.now < self.until + PROFILE_TIME:
            return None
        found = [now.profiles[pid] for pid in self.pids if pid in now.profiles]
        if not found:
            return refusal("No worker has told where it was")
        return Answer(True, f"{_workers(len(found))} looked at", data=found)


@dataclass(frozen=True)
class Told:
    """Each of these workers has told what its requests do, has ended, or has had its time.

    since: when they were asked.
    """

    pids: Sequence[int]
    since: float

    def is_late(self, now: float) -> bool:
        return now >= self.since + REQUESTS_TIME

    def maybe_answer(self, now: Picture) -> Answer | None:
        there = {child.pid for child in now.children}
        missing = [pid for pid in self.pids if pid in there and pid not in now.requests]
        if missing and not self.is_late(now.now):
            return None
        found = {**now.known, **now.requests}
        return Answer(True, "", data=[found[pid] for pid in self.pids if pid in found])


@dataclass(frozen=True)
class Happened:
    """Something has, after this event."""

    after: int

    def maybe_answer(self, now: Picture) -> Answer | None:
        new = [event for event in now.events if int(str(event["number"])) > self.after]
        return Answer(True, f"{len(new)} event{'' if len(new) == 1 else 's'}", data=new) if new else None


Asked = Shown | Profiled | Told | Happened
Goal = Reloaded | Scaled | PoolScaled | Replaced | Reforked | Upgraded | Killed | Paused | Asked

#: Goals that are reached, or not, whatever becomes of the service.
APART = (Killed, Shown, Profiled, Told, Happened)


def maybe_answer(goal: Goal, now: Picture) -> Answer | None:
    """None: it takes a while yet."""
    if isinstance(goal, APART):
        return goal.maybe_answer(now)
    if now.target.mode is Mode.PAUSED and not isinstance(goal, Paused):
        return refusal("the server was paused meanwhile")
    if now.target.mode in STOPPING:
        return refusal(TOLD_TO_STOP)
    if now.target.mode is Mode.RETIRING and not isinstance(goal, Upgraded):
        return refusal("a newer master has taken over meanwhile")
    return goal.maybe_answer(now)


def _failure(what: str, reasons: Sequence[str]) -> Answer:
    """With the first reason; what follows is often a consequence of that, or the same."""
    if not reasons:
        return refusal(f"{what}; the log says why")
    line, _, block = reasons[0].strip().partition("\n")
    return Answer(False, f"{what}: {line}", detail=block)


def _shown(count: int, missing: Sequence[int]) -> str:
    said = f"{_workers(count)} {'shows its' if count == 1 else 'show their'} stacks"
    silent = ", ".join(map(str, missing))
    return said + (f"; no Python code runs in {silent} that could" if missing else "")


def _workers(number: int) -> str:
    return f"{number} worker{'' if number == 1 else 's'}"
