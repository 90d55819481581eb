"""What the master wants, and how events change it. Values and pure functions; time is an argument.

Knows: generations, worker counts, modes, back-off. Must not know: processes, signals, clocks, settings,
logs. What follows from a target for the children that exist is in decide.py.

    TERM, INT, QUIT              stopped()               RUNNING → (LEAVING →) DRAINING → QUICK
    decide() said EndDelay       delayed()               LEAVING → DRAINING
    TTIN, TTOU                   more(), fewer()         workers
    somebody says how many       scaled()                workers
    load rises or falls          sized()                 workers
    HUP                          reloaded()              plan → fallback, a new plan
    WINCH, and HUP after it      rested(), woken()       RUNNING → RESTING → RUNNING
    somebody says so             paused(), resumed()     RUNNING → PAUSED → RUNNING
    a newer master serves        retired()               RUNNING → RETIRING
    a child became READY         with_ready()            the plan is proven, the fallback is forgotten
    a child ended                with_exit()             back-off; before READY also one boot failure more
    decide() said Abandon        abandoned()             the fallback is the plan again, or the server stops
    health_bind, admin_bind      attended()              a process that answers health checks, or controls
    dirty_workers                pooled()                a pool of heavy workers; a reload has it anew
    somebody says how many       pool_scaled()           its workers
    its load rises or falls      pool_scaled()           its workers
    no other master is left      alone()                 nobody else answers them
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum
from typing import Any

from tricorn.records import dataclass, replace

#: The generations of the process that answers health checks, and of the one that serves control and metrics.
#: Those of workers begin with 1.
ATTENDANT = 0
ADMIN = -1

#: From here on numbers are of generations of heavy workers: of the n-th pool, n * HEAVY and the number of the
#: web workers' generation that it came with. So each number is of one generation, and tells whose it is.
HEAVY = 1 << 20

#: Exit code of a master whose first generation never became READY. The same number that a worker exits with.
EXIT_BOOT = 3

#: Crash back-off: 0.1 s, doubled with each crash in a row. Five seconds bound what a broken service costs
#: the machine and still bring it back soon after its database does.
BACKOFF_FIRST = 0.1
BACKOFF_LAST = 5.0

#: A worker that served this long was healthy: its end says nothing about the next one's. Twice the longest
#: back-off, so that crashes that wait for each other still count as being in a row.
HEALTHY_AFTER = 10.0


class Mode(Enum):
    RUNNING = "running"
    #: A newer master serves. This one has no workers, and waits to be woken or told to stop.
    RESTING = "resting"
    #: Nobody serves until somebody says so: there are no workers, and connections wait in the kernel.
    PAUSED = "paused"
    #: A newer master has taken over: as DRAINING, but nobody has told this one to stop yet.
    RETIRING = "retiring"
    #: Told to stop, and serving as before: whoever sends requests has to learn of it (drain_delay).
    LEAVING = "leaving"
    #: Every worker finishes what it has begun, then the master exits.
    DRAINING = "draining"
    #: Nobody finishes anything.
    QUICK = "quick"


#: Somebody has told the service to stop.
STOPPING = (Mode.LEAVING, Mode.DRAINING, Mode.QUICK)


@dataclass(frozen=True)
class Plan:
    """One generation and how many workers of it are wanted.

    proven: one of its workers was READY. Until then the generation itself is in doubt, afterwards only the
        worker that failed is.
    boot_failures: tries in a row that ended before a worker was READY, while the generation was unproven.
        All workers that are started together are one try; after a failure one worker tries alone.
    failed_at: when the last of these tries was known to have failed.
    max_boot_failures: so many of them end a generation that there is no other for; 0: it is tried for ever.
    crashes, retry_at: crashes in a row, and the instant before which no worker is started again.
    surge, unavailable: while workers are replaced, how many more than `workers` there may be, and how many
        fewer may be READY. One of the two is at least 1.
    preloads: its workers are forked by a process that has loaded the application.
    least, most: the bounds of `workers` where that follows the load; else 1, and None.
    drain_delay: how long it goes on serving when it is told to stop, seconds.
    """

    generation: int
    workers: int
    proven: bool = False
    boot_failures: int = 0
    crashes: int = 0
    retry_at: float = 0.0
    surge: int = 1
    unavailable: int = 0
    preloads: bool = False
    max_boot_failures: int = 1
    failed_at: float = -math.inf
    least: int = 1
    most: int | None = None
    drain_delay: float = 0.0

    def may_spawn(self, now: float) -> bool:
        return now >= self.retry_at

    @property
    def is_in_doubt(self) -> bool:
        """It was tried and has failed; nobody knows whether it can be READY."""
        return not self.proven and self.boot_failures > 0

    @property
    def is_hopeless(self) -> bool:
        return self.is_in_doubt and 0 < self.max_boot_failures <= self.boot_failures

    @property
    def startable(self) -> int:
        """How many of its workers there may be as long as none more is known of it."""
        if self.is_hopeless:
            return 0
        return 1 if self.is_in_doubt else self.workers


@dataclass(frozen=True)
class Pool:
    """Heavy workers: what shall be of them. They are replaced as web workers are, and for themselves: a new
    generation of a pool that does not start leaves the one before in its place, whatever web workers do.

    number: of the pool, from 1. plan, fallback: as of a Target; `max_boot_failures` is 0 unless another
        master serves. room: how many processes it may have.
    is_last: heavy workers use it, too, so it ends after them (the stash). No reload changes it.
    """

    name: str
    number: int
    plan: Plan
    room: int
    fallback: Plan | None = None
    is_last: bool = False

    @property
    def most_workers(self) -> int:
        """As many as leave room for a draining predecessor of each."""
        return max(1, self.room // 2)

    @property
    def comes_first(self) -> bool:
        """Web workers wait for it. There are others, of the older master, and these would take requests from
        them that they cannot answer."""
        return bool(self.plan.max_boot_failures) and not self.plan.proven and self.fallback is None

    @property
    def plans(self) -> tuple[Plan, ...]:
        return (self.plan,) if self.fallback is None else (self.plan, self.fallback)


def pool_number(generation: int) -> int:
    """Of the pool that a generation is of; 0: of none."""
    return max(0, generation // HEAVY)


def heavy_generation(pool: int, generation: int) -> int:
    """The number of a pool's generation. generation: of the web workers that it comes with."""
    return pool * HEAVY + generation


@dataclass(frozen=True)
class Target:
    """What shall be.

    plan: the generation that shall serve.
    fallback: the one that goes on serving until `plan` is proven, and stays if it never is.
    latest: the highest generation number ever given; a failed one's is not used again.
    room: how many processes may exist at once (rows of the scoreboard).
    drain_at: while LEAVING, the instant at which that ends.
    attendants: of the processes beside the workers that speak of the service: one for health checks, one for
        control and metrics.
    is_beside: another master serves, too, and has its own.
    pools: of heavy workers.
    """

    plan: Plan
    room: int
    fallback: Plan | None = None
    mode: Mode = Mode.RUNNING
    drain_at: float = 0.0
    attendants: tuple[Plan, ...] = ()
    is_beside: bool = False
    exit_code: int = 0
    latest: int = 1
    pools: tuple[Pool, ...] = ()

    @property
    def most_workers(self) -> int:
        """As many as leave room for a draining predecessor of each."""
        return max(1, self.room // 2)

    @property
    def serving(self) -> Plan | None:
        """The plan whose workers serve; None: no worker was ever READY."""
        return next((plan for plan in (self.plan, self.fallback) if plan and plan.proven), None)

    @property
    def is_serving(self) -> bool:
        """Workers are started and replaced."""
        return self.mode in (Mode.RUNNING, Mode.LEAVING)

    @property
    def goes_on(self) -> bool:
        """Workers serve, or will again."""
        return self.is_serving or self.mode in (Mode.RESTING, Mode.PAUSED)

    @property
    def attends(self) -> bool:
        """This master speaks of the service. One that stops while another one serves on leaves that to it:
        the service does not stop."""
        if not self.attendants or self.mode is Mode.RESTING:
            return False
        return self.is_serving or not self.is_beside


@dataclass(frozen=True)
class Exit:
    """How a child ended, a worker or a mold.

    was_ready: it had reached READY. asked: the master had told it to leave (not: aborted it).
    code: its exit code, or minus the number of the signal that ended it.
    uptime: seconds from its start to its end. boot_time: of these, before it was READY.
    """

    generation: int
    was_ready: bool
    asked: bool
    code: int
    uptime: float
    boot_time: float = 0.0


def first_target(workers: int, room: int, **terms: Any) -> Target:
    """terms: of the plan, by name."""
    return Target(Plan(1, workers, **terms), room)


def attended(target: Target, generation: int = ATTENDANT, *, is_beside: bool = False) -> Target:
    """There shall be such a process. It runs our own code, so it boots or crashes, but proves nothing."""
    plan = Plan(generation, workers=1, proven=True)
    others = tuple(each for each in target.attendants if each.generation != generation)
    return replace(target, attendants=(*others, plan), is_beside=is_beside)


def alone(target: Target) -> Target:
    """Whom this master leaves without a worker nobody else serves. So heavy workers that do not start are no
    reason to end, as they are for one that is on trial beside another."""
    target = replace(target, is_beside=False) if target.is_beside else target
    for pool in target.pools:
        if pool.plan.max_boot_failures:
            target = _with_pool(target, replace(pool, plan=replace(pool.plan, max_boot_failures=0)))
    return target


def pooled(target: Target, pool: Pool) -> Target:
    """There shall be such a pool. If there is one of this number, `pool` is what it becomes, on trial: what
    was proven of it serves meanwhile."""
    before = maybe_pool(target, pool.number)
    if before is None:
        return replace(target, pools=(*target.pools, pool))
    still_on_trial = before.fallback is not None and not before.plan.proven
    fallback = before.fallback if still_on_trial else before.plan
    if pool.plan.proven or not (fallback and fallback.proven and fallback.workers):
        fallback = None  # there is nothing to try, or nobody who could serve meanwhile
    return _with_pool(target, replace(pool, fallback=fallback))


def maybe_pool(target: Target, number: int) -> Pool | None:
    return next((pool for pool in target.pools if pool.number == number), None)


def pool_scaled(target: Target, number: int, workers: int) -> Target:
    """During a reload both of its generations get the new size, each within its bounds."""
    pool = maybe_pool(target, number)
    if pool is None:
        return target
    fallback = None if pool.fallback is None else _sized(pool.fallback, workers)
    return _with_pool(target, replace(pool, plan=_sized(pool.plan, workers), fallback=fallback))


def _sized(plan: Plan, workers: int) -> Plan:
    bounded = workers if plan.most is None else min(max(plan.least, workers), plan.most)
    return replace(plan, workers=bounded)


def _with_pool(target: Target, changed: Pool) -> Target:
    pools = tuple(changed if pool.number == changed.number else pool for pool in target.pools)
    return replace(target, pools=pools)


def _with_plan(target: Target, generation: int, change: Callable[[Plan], Plan]) -> Target:
    """Of a pool, whichever it is that the generation is of."""
    pool = maybe_pool(target, pool_number(generation))
    if pool is None:
        return target
    if pool.plan.generation == generation:
        return _with_pool(target, replace(pool, plan=change(pool.plan)))
    if pool.fallback is not None and pool.fallback.generation == generation:
        return _with_pool(target, replace(pool, fallback=change(pool.fallback)))
    return target


def stopped(target: Target, mode: Mode, now: float = 0.0) -> Target:
    """TERM asks for DRAINING, INT and QUIT for QUICK; whoever asks a second time is in a hurry.

    So another TERM ends the delay, and one more the drain. Nobody has sent requests to a service that was
    never up, so it has no delay. now: where there is one, it begins then.
    """
    delay = target.serving.drain_delay if target.serving else 0.0
    if target.mode is Mode.RUNNING and mode is Mode.DRAINING and delay:
        return replace(target, mode=Mode.LEAVING, drain_at=now + delay)
    if target.mode in (Mode.DRAINING, Mode.QUICK):
        mode = Mode.QUICK
    return replace(target, mode=mode)


def rested(target: Target) -> Target:
    return replace(target, mode=Mode.RESTING) if target.mode is Mode.RUNNING else target


def woken(target: Target) -> Target:
    """The newer master serves on."""
    return replace(target, mode=Mode.RUNNING, is_beside=True) if target.mode is Mode.RESTING else target


def paused(target: Target) -> Target:
    return replace(target, mode=Mode.PAUSED) if target.mode is Mode.RUNNING else target


def resumed(target: Target) -> Target:
    return replace(target, mode=Mode.RUNNING) if target.mode is Mode.PAUSED else target


def retired(target: Target) -> Target:
    """Who was told to stop is stopping already, unless it only says so yet (LEAVING)."""
    is_serving = target.mode in (Mode.RUNNING, Mode.LEAVING, Mode.RESTING, Mode.PAUSED)
    return replace(target, mode=Mode.RETIRING if is_serving else target.mode, attendants=())


def delayed(target: Target) -> Target:
    """The delay is over."""
    return replace(target, mode=Mode.DRAINING)


def more(target: Target) -> Target:
    return _resized(target, lambda plan: plan.workers + 1)


def fewer(target: Target) -> Target:
    return _resized(target, lambda plan: plan.workers - 1)


def scaled(target: Target, workers: int) -> Target:
    return _resized(target, lambda _plan: workers)


def bounds(target: Target | Pool) -> tuple[int, int]:
    """The fewest and the most workers that it, or a pool, can be given."""
    plan = target.plan
    return plan.least, target.most_workers if plan.most is None else plan.most


def _resized(target: Target, size: Callable[[Plan], int]) -> Target:
    """During a reload both generations get the new size, so that it outlives a reload that fails."""

    def resize(plan: Plan) -> Plan:
        most = target.most_workers if plan.most is None else plan.most
        return replace(plan, workers=min(max(plan.least, size(plan)), most))

    fallback = resize(target.fallback) if target.fallback else None
    return replace(target, plan=resize(target.plan), fallback=fallback)


def sized(target: Target, workers: int) -> Target:
    """So many workers, within the bounds of each generation that has some."""

    def resize(plan: Plan) -> Plan:
        return plan if plan.most is None else replace(plan, workers=min(max(plan.least, workers), plan.most))

    fallback = resize(target.fallback) if target.fallback else None
    return replace(target, plan=resize(target.plan), fallback=fallback)


def reloaded(target: Target, workers: int, room: int, **terms: Any) -> Target:
    """A new generation is wanted. What serves meanwhile is the last one that was proven, if any was. terms:
    of the plan, by name."""
    latest = target.latest + 1
    still_on_trial = target.fallback is not None and not target.plan.proven
    fallback = target.fallback if still_on_trial else target.plan
    plan = Plan(latest, workers, **terms)
    return replace(target, plan=plan, fallback=fallback, latest=latest, room=room)


def with_ready(target: Target, generation: int) -> Target:
    if pool_number(generation):
        pool = maybe_pool(target, pool_number(generation))
        target = _with_plan(target, generation, lambda plan: replace(plan, proven=True, boot_failures=0))
        proven = maybe_pool(target, pool_number(generation))
        if pool is None or proven is None or pool.plan.generation != generation:
            return target
        return _with_pool(target, replace(proven, fallback=None))
    if generation == target.plan.generation and not target.plan.proven:
        plan = replace(target.plan, proven=True, boot_failures=0)
        return replace(target, plan=plan, fallback=None)
    if target.fallback and generation == target.fallback.generation and not target.fallback.proven:
        # A reload was asked for before the first generation was up.
        return replace(target, fallback=replace(target.fallback, proven=True, boot_failures=0))
    return target


def with_exit(target: Target, ended: Exit, now: float) -> Target:
    """What an exit says about its generation. Generations that are not wanted any more are not judged."""
    if pool_number(ended.generation):
        return _with_plan(target, ended.generation, lambda plan: _judged(plan, ended, now))
    if ended.generation == target.plan.generation:
        return replace(target, plan=_judged(target.plan, ended, now))
    if target.fallback and ended.generation == target.fallback.generation:
        return replace(target, fallback=_judged(target.fallback, ended, now))
    return _with_attendant(target, ended.generation, lambda plan: _judged(plan, ended, now))


def with_failed_fork(target: Target, generation: int, now: float) -> Target:
    """The machine refused a process: nobody's fault, and trying again at once would not help."""
    if pool_number(generation):
        return _with_plan(target, generation, lambda plan: _backed_off(plan, now))
    if generation == target.plan.generation:
        return replace(target, plan=_backed_off(target.plan, now))
    if target.fallback and generation == target.fallback.generation:
        return replace(target, fallback=_backed_off(target.fallback, now))
    return _with_attendant(target, generation, lambda plan: _backed_off(plan, now))


def _with_attendant(target: Target, generation: int, change: Callable[[Plan], Plan]) -> Target:
    attendants = tuple(change(each) if each.generation == generation else each for each in target.attendants)
    return replace(target, attendants=attendants)


def abandoned(target: Target, generation: int | None = None) -> Target:
    """The plan will never be READY. generation: of a pool, if it is one of heavy workers."""
    pool = maybe_pool(target, pool_number(generation or 0))
    if pool is not None and pool.fallback is not None:
        return _with_pool(target, replace(pool, plan=pool.fallback, fallback=None))
    if pool is None and target.fallback is not None:
        return replace(target, plan=target.fallback, fallback=None)
    return replace(target, mode=Mode.DRAINING, exit_code=EXIT_BOOT)


def _judged(plan: Plan, ended: Exit, now: float) -> Plan:
    if ended.asked:
        return plan
    if not plan.proven:
        # A mold may have been READY by then: that proves nothing about the workers.
        if now - ended.uptime <= plan.failed_at:
            return plan  # started before that failure was known, so of the same try
        failed = replace(plan, boot_failures=plan.boot_failures + 1, failed_at=now)
        return _backed_off(failed, now, ended.uptime)
    if ended.was_ready and (ended.code == 0 or ended.uptime - ended.boot_time >= HEALTHY_AFTER):
        # Somebody else told it to, or a single misfortune: the successor starts at once.
        return plan
    return _backed_off(plan, now, ended.boot_time if ended.was_ready else ended.uptime)


def _backed_off(plan: Plan, now: float, boot_time: float = 0.0) -> Plan:
    """boot_time: of the worker that crashed. Nobody can crash while it boots, so that is no quiet time."""
    if now < plan.retry_at:
        # Workers that crash together crash once.
        return plan
    crashes = 1 if now - plan.retry_at - boot_time >= HEALTHY_AFTER else plan.crashes + 1
    # The exponent is bounded too: a service may crash for years.
    delay = min(BACKOFF_LAST, BACKOFF_FIRST * 2 ** min(crashes - 1, 10))
    return replace(plan, crashes=crashes, retry_at=now + delay)


def how_it_stops(target: Target) -> str:
    """In words."""
    plan = target.serving
    if target.mode is Mode.LEAVING and plan:
        return f"workers serve for another {plan.drain_delay:g} s (drain_delay)"
    return "workers finish their requests" if target.mode is Mode.DRAINING else "at once"
