"""What comes over the control socket: commands are obeyed, questions answered, and who waits is told in time.

Knows: the words of signals.py and those that say more than a signal can, goals, how a request reads. Must not
know: how anything is done (the master does it), sockets (control/endpoint.py).

A command takes the same way as a signal (`Arbiter._obey`). What differs is that somebody waits. So a command
leaves a goal behind (goals.py), which is compared with what is in every turn of the loop, until there is an
answer or the client has gone.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from tricorn import __version__, scoreboard
from tricorn.arbiter import refork, reports, silence
from tricorn.arbiter import target as targets
from tricorn.arbiter.children import ChildRecord
from tricorn.arbiter.events import Events
from tricorn.arbiter.goals import (
    Answer,
    Goal,
    Happened,
    Killed,
    Paused,
    Picture,
    PoolScaled,
    Problem,
    Profiled,
    Reforked,
    Reloaded,
    Replaced,
    Scaled,
    Shown,
    Told,
    Upgraded,
    maybe_answer,
    refusal,
)
from tricorn.arbiter.reports import Sight
from tricorn.arbiter.signals import COMMANDS, Meaning
from tricorn.arbiter.slow import KEPT, SlowRequests
from tricorn.arbiter.target import ATTENDANT, STOPPING, Mode, Pool, Target, how_it_stops
from tricorn.config.errors import did_you_mean, reason_of
from tricorn.config.settings import Settings
from tricorn.control import protocol
from tricorn.control.door import Door
from tricorn.control.endpoint import Client, Endpoint, Peer
from tricorn.control.place import ControlSocket, open_socket
from tricorn.log import setup as log_setup
from tricorn.log.outlets import LEVELS
from tricorn.net.listener import ListenError
from tricorn.records import dataclass, field, replace
from tricorn.wishes import Wishes

log = logging.getLogger("tricorn.error")

#: Of problems that nobody waits for any more, none is needed; of a storm of them, these are enough.
PROBLEMS_KEPT = 100

#: Users that were refused and are named in the log, once each.
REFUSED_KEPT = 20

#: How often it is looked whether workers have told of their requests, seconds. Being woken by each of sixteen
#: costs 35 ms of a processor, and this a third of that: each turn of the master's loop looks at all children.
REQUESTS_LOOK = 0.3

#: Of a profile, seconds.
PROFILE_MAX = 600.0

#: Of a word that is none, what is looked at.
WORD_MAX = 50

#: Of the name of a client, what the log says.
CALLER_MAX = 100

#: Does what a word means; the name says who wants it, for the log. None: it is under way, or done.
Obey = Callable[[Meaning, str], Answer | None]


@dataclass(frozen=True)
class Order:
    """One request of a client. who: has sent it."""

    what: protocol.Message
    who: str

    @property
    def word(self) -> str:
        word = self.what.get("do")
        return word if isinstance(word, str) else ""

    @property
    def name(self) -> str:
        """For the log, where a signal's name would stand. The word is one of ours by then."""
        return f"ctl {self.word} ({self.who})"

    def number(self, key: str) -> int | None:
        value = self.what.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else None


@dataclass(frozen=True)
class Waiting:
    """A client that is told when its goal is reached. problems_before: of those that are known, so many."""

    client: Client
    goal: Goal
    problems_before: int


@dataclass
class Problems:
    """Why processes were never ready, in their order. The oldest are forgotten."""

    kept: list[Problem] = field(default_factory=list)
    forgotten: int = 0

    def add(self, problem: Problem) -> None:
        self.kept.append(problem)
        if len(self.kept) > PROBLEMS_KEPT:
            del self.kept[0]
            self.forgotten += 1

    @property
    def count(self) -> int:
        return self.forgotten + len(self.kept)

    def since(self, count: int) -> Sequence[Problem]:
        return self.kept[max(0, count - self.forgotten) :]


class Control:
    """The control socket of this master, if it has one.

    sight: what there is to see of the master. obey: has it do something. wishes: of all workers; have_look:
        has one look at them.
    """

    def __init__(
        self, sight: Callable[[], Sight], obey: Obey, wishes: Wishes, have_look: Callable[[ChildRecord], None]
    ) -> None:
        self._sight = sight
        self._obey = obey
        self._wishes = wishes
        self._have_look = have_look
        self._events = Events()
        self._stacks: dict[int, object] = {}
        self._requests: dict[int, object] = {}
        self._profiles: dict[int, object] = {}
        self._slow = SlowRequests()
        self._endpoint: Endpoint | None = None
        self._waiting: list[Waiting] = []
        self._problems = Problems()
        self._refused: set[int] = set()
        self._is_on_trial = False

    # -- its life ------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """What is logged from here on, the events are made of."""
        self._events.begin()

    def open(self, settings: Settings, *, on_trial: bool, door: Door | None = None) -> None:
        """door: for the admin process. ConfigError, ListenError: the socket cannot be where the settings want
        it."""
        place = None if settings.control_socket_disable else self._maybe_place(settings, on_trial=on_trial)
        if place is not None or door is not None:
            self._is_on_trial = on_trial
            self._endpoint = Endpoint(place, self._greeting, self._refuse, door)

    def _maybe_place(self, settings: Settings, *, on_trial: bool) -> ControlSocket | None:
        mode = settings.control_socket_mode
        try:
            place = open_socket(settings.control_socket, mode, on_trial=on_trial, environ=os.environ)
        except ListenError as error:
            if settings.control_socket is not None:
                raise
            # Nobody has asked for one: a container with a read-only file system need not hear of it as a
            # problem.
            log.info("No control socket: %s; control_socket names another place", error)
            return None
        log.debug("Control socket at %s", place.path)
        return place

    def close(self, *, was_handed_over: bool) -> None:
        """was_handed_over: another master has the socket now. Nothing else of the master is looked at: its
        start may have failed half-way."""
        self._events.end()
        if self._endpoint is not None:
            self._endpoint.close(was_handed_over=was_handed_over)
            self._endpoint = None

    def forget(self) -> None:
        """In a child."""
        self._events.end()
        if self._endpoint is not None:
            self._endpoint.forget()
            self._endpoint = None

    def watched(self, now: float) -> Iterator[tuple[int, int]]:
        """Descriptors, and what to wait for at each."""
        if self._endpoint is not None:
            yield from self._endpoint.watched(now)

    def next_deadline(self, now: float) -> float | None:
        if self._endpoint is None:
            return None
        instants = [self._endpoint.next_deadline(now)]
        if any(isinstance(each.goal, Told) for each in self._waiting):
            instants.append(now + REQUESTS_LOOK)
        return min((each for each in instants if each is not None), default=None)

    def note_problem(self, generation: int, text: str) -> None:
        """A worker or a mold of it could not start."""
        if generation > ATTENDANT:  # nobody has asked for those
            self._problems.add(Problem(generation, text, targets.pool_number(generation)))

    def note_end(self, child: ChildRecord) -> None:
        """It has ended. If it was never ready, somebody may wait for it."""
        if child.was_ready or child.was_asked_to_leave:
            return
        text = child.failure_text() or f"{child.name} ended before it was ready"
        if child.aborted_at is not None:
            seconds = child.aborted_at - child.started_at
            text = f"{child.name} was not ready after {seconds:.0f} s (boot_timeout)"
        self.note_problem(child.generation.number, text)

    def attend(self) -> None:
        """One turn."""
        endpoint = self._endpoint
        if endpoint is None:
            return
        now = time.monotonic()
        self._slow.add(self._wishes.noted())
        if self._is_on_trial and not self._sight().upgrade.is_on_trial:
            self._is_on_trial = False
            if endpoint.place is not None:
                _take_over(endpoint.place)
        for client, question in endpoint.attend(now):
            self._deal_with(endpoint, client, question)
        self.tell()

    def tell(self) -> None:
        """Those whose goals are reached. Called again after the master has acted: what that has changed need
        not wait for the next turn."""
        waiting, self._waiting = [each for each in self._waiting if each.client.is_open], []
        if self._wishes.profile_until and not any(isinstance(each.goal, Profiled) for each in waiting):
            self._wishes.end_profile()  # who wanted it has gone, or has it
        if not waiting or self._endpoint is None:
            return
        now = self._picture([each.goal for each in waiting])
        for each in waiting:
            problems = self._problems.since(each.problems_before)
            mine = [problem for problem in problems if not problem.pool]
            heavy = [problem for problem in problems if problem.pool]
            answer = maybe_answer(each.goal, replace(now, problems=mine, heavy_problems=heavy))
            if answer is None:
                self._waiting.append(each)
            else:
                self._endpoint.answer(each.client, _message(answer), time.monotonic())

    def _picture(self, waited_for: Sequence[Goal]) -> Picture:
        """waited_for: what it is to be compared with."""
        sight, now = self._sight(), time.monotonic()
        goals = {type(each) for each in waited_for}
        picture = Picture(
            sight.target,
            [child.view(0.0) for child in sight.children],
            upgrade=sight.upgrade.outcome,
            accepting=frozenset(child.pid for child in sight.children if child.row.state == scoreboard.READY),
            now=now,
            heavy=[child.view(0.0) for child in sight.heavy],
        )
        if Shown in goals:
            self._stacks |= {int(each["pid"]): each for each in self._wishes.answers() if _has_pid(each)}
            silent = {
                child.pid: silence.reason(silence.evidence_of(child, now))
                for child in sight.everybody
                if not child.is_mold and child.pid not in self._stacks
            }
            picture = replace(picture, stacks=self._stacks, silent=silent)
        if Profiled in goals:
            self._profiles |= {int(each["pid"]): each for each in self._wishes.profiles() if _has_pid(each)}
            picture = replace(picture, profiles=self._profiles)
        if Told in goals:
            answers = (each for each in self._wishes.told() if _has_pid(each))
            self._requests |= {int(each["pid"]): reports.requests_told(each, now) for each in answers}
            picture = replace(picture, requests=self._requests)
        if any(isinstance(each, Told) and each.is_late(now) for each in waited_for):
            others = (child for child in sight.children if child.pid not in self._requests)
            picture = replace(picture, known={each.pid: reports.requests_known(each, now) for each in others})
        if Happened in goals:
            picture = replace(picture, events=self._events.after(0))
        return picture

    def _greeting(self) -> protocol.Message:
        sight = self._sight()
        return {
            "tricorn": __version__,
            "protocol": protocol.VERSION,
            "pid": os.getpid(),
            "app": sight.settings.wsgi_app,
            "listeners": reports.addresses(sight),
            # Whether this is the master of the service: while an upgrade is under way there are two.
            "is_main": not (sight.upgrade.is_on_trial or sight.upgrade.has_handed_over),
        }

    def _refuse(self, peer: Peer) -> None:
        if peer.uid not in self._refused and len(self._refused) < REFUSED_KEPT:
            self._refused.add(peer.uid)
            log.warning("Control socket: refused %s", peer)

    # -- questions -----------------------------------------------------------------------------------------

    def _deal_with(self, endpoint: Endpoint, client: Client, question: protocol.Message) -> None:
        outcome = self._outcome_of(Order(question, _who(client, question)))
        if question.get("wait") is False and not isinstance(outcome, Answer | dict):
            outcome = Answer(True, "It is under way", done=False)
        match outcome:
            case Answer():
                endpoint.answer(client, _message(outcome), time.monotonic())
            case dict():
                endpoint.answer(client, outcome, time.monotonic())
            case goal:
                self._waiting.append(Waiting(client, goal, self._problems.count))

    def _outcome_of(self, order: Order) -> protocol.Message | Answer | Goal:
        word = order.word
        if word in REPORTS:
            return {"ok": True, "done": True, "data": REPORTS[word](self._sight())}
        if word in COMMANDS:
            return self._obey(COMMANDS[word], order.name) or GOALS[word](self._sight().target)
        if word in MORE:
            return MORE[word](self, order)
        near = did_you_mean(word[:WORD_MAX], KNOWN)
        return refusal(f"There is no command {word[:WORD_MAX]!r}; {near or 'there are ' + ', '.join(KNOWN)}")

    def _scale(self, order: Order) -> Answer | Goal:
        if order.what.get("pool") is not None:
            return self._scale_pool(order)
        target = self._sight().target
        wanted = _wanted(order, target, "There can be")
        if not isinstance(wanted, int):
            return wanted
        if reason := _maybe_reason_to_refuse(target):
            return refusal(reason)
        return self._obey(partial(_scaled, wanted), order.name) or Scaled(wanted)

    def _scale_pool(self, order: Order) -> Answer | Goal:
        sight, name = self._sight(), str(order.what["pool"])[:WORD_MAX]
        number = sight.pools.maybe_number(name)
        pool = None if number is None else targets.maybe_pool(sight.target, number)
        if pool is None or not pool.plan.workers:
            there = ", ".join(sight.pools.names) or "none"
            return refusal(f"There is no pool {name!r} of heavy workers; there are: {there}")
        wanted = _wanted(order, pool, f"{name} can have")
        if not isinstance(wanted, int):
            return wanted
        if reason := _maybe_reason_to_refuse(sight.target):
            return refusal(reason)
        self._obey(partial(_pool_scaled, pool.number, wanted), order.name)
        return PoolScaled(pool.number, wanted)

    def _replace(self, order: Order) -> Answer | Goal:
        sight = self._sight()
        if reason := _maybe_reason_to_refuse(sight.target):
            return refusal(reason)
        pid = order.number("pid")
        child = next((child for child in sight.everybody if child.pid == pid), None)
        if child is None:
            return refusal(f"There is no worker {pid}; the workers are {self._pids()}")
        if child.is_mold:
            return refusal(f"Process {pid} is the mold; a reload makes a new one")
        if not child.stays:
            return refusal(f"Worker {pid} {'is not ready yet' if not child.was_ready else 'ends already'}")
        log.info("%s: worker %d", order.name, child.pid)
        child.is_unwanted = True
        return Replaced(child.pid, time.monotonic(), child.is_heavy)

    def _refork(self, order: Order) -> Answer | Goal:
        sight = self._sight()
        if reason := _maybe_reason_to_refuse(sight.target):
            return refusal(reason)
        if sight.target.fallback is not None:
            return refusal("A reload is under way")
        log.info("%s", order.name)
        chosen = refork.begin(sight.generations[sight.target.plan.generation], sight.children)
        return (
            refusal(f"No worker becomes the mold: {chosen}") if isinstance(chosen, str) else Reforked(chosen)
        )

    def _kill(self, order: Order) -> Answer | Goal:
        pid = order.number("pid")
        child = next((each for each in self._sight().everybody if each.pid == pid), None)
        if child is None or child.is_ordered:
            return refusal(f"There is no worker {pid}; the workers are {self._pids()}")
        if child.is_mold:
            return refusal(f"Process {pid} is the mold; a reload makes a new one")
        log.info("%s: worker %d", order.name, child.pid)
        child.is_condemned = True
        return Killed(child.pid, child.is_heavy)

    def _dump(self, order: Order) -> Answer | Goal:
        if any(isinstance(each.goal, Shown) for each in self._waiting):
            return refusal("Somebody else is waiting for stacks just now; ask again")
        workers = [each for each in self._sight().everybody if not (each.is_mold or each.is_ordered)]
        if "pid" in order.what:
            workers = [each for each in workers if each.pid == order.number("pid")]
        if not workers:
            return refusal(f"There is no such worker; the workers are {self._pids()}")
        self._stacks = {}
        self._wishes.want_stacks()
        for child in workers:
            self._have_look(child)
        return Shown([child.pid for child in workers], time.monotonic())

    def _profile(self, order: Order) -> Answer | Goal:
        seconds = order.what.get("seconds", 10)
        if type(seconds) not in (int, float) or not 0 < seconds <= PROFILE_MAX:
            return refusal(f"A profile takes more than 0 and at most {PROFILE_MAX:.0f} seconds")
        if order.what.get("wait") is False:
            return refusal("A profile is for who waits for it")
        if self._wishes.profile_until:
            return refusal("Somebody else has a profile made just now; ask again")
        workers = [each for each in self._sight().children if each.serves]
        if "pid" in order.what:
            workers = [each for each in workers if each.pid == order.number("pid")]
        if not workers:
            return refusal(f"There is no such worker; the workers are {self._pids()}")
        log.info("%s: looking where workers are, for %g s", order.name, seconds)
        self._profiles = {}
        until = time.monotonic() + seconds
        self._wishes.want_profile(until)
        for child in workers:
            self._have_look(child)
        return Profiled([child.pid for child in workers], until)

    def _requests_told(self, _order: Order) -> Goal:
        for each in self._waiting:
            if isinstance(each.goal, Told):
                return each.goal  # somebody else has asked just now
        self._requests = {}
        self._wishes.want_requests()
        pids = [child.pid for child in self._sight().children if child.is_worker and child.was_ready]
        return Told(pids, time.monotonic())

    def _pids(self) -> str:
        there = (child for child in self._sight().everybody if child.serves or child.is_heavy)
        pids = ", ".join(str(child.pid) for child in there)
        return pids or "not ready yet"

    def _log_level(self, order: Order) -> Answer:
        wanted = order.what.get("level")
        if wanted is None:
            now = logging.getLevelName(log.getEffectiveLevel()).lower()
            return Answer(True, f"The log level is {now}", data={"level": now})
        level = LEVELS.get(wanted.lower()) if isinstance(wanted, str) else None
        if level is None:
            return refusal(f"There is no level {str(wanted)[:WORD_MAX]!r}; there are {', '.join(LEVELS)}")
        log.info("%s: log level %s", order.name, wanted.lower())
        log_setup.set_level(level)
        self._wishes.level = level
        for child in self._sight().everybody:
            if not child.is_mold:
                self._have_look(child)
        return Answer(True, f"The log level is {wanted.lower()}, until the next reload")

    def _metrics(self, _order: Order) -> protocol.Message | Answer:
        sight = self._sight()
        serving = sight.serving
        if serving is None or not serving.settings.metrics:
            return refusal("Nothing is counted: set metrics (--metrics), and reload")
        now = time.monotonic()
        data = sight.ledger.report(sight.target, sight.children, serving, now)
        data += sight.pools.report(sight.target, sight.heavy, now)
        return {"ok": True, "done": True, "data": data}

    def _slow_after(self, order: Order) -> protocol.Message | Answer:
        serving = self._sight().serving
        if serving is None or not _records_slow(serving.settings):
            return refusal("No request is recorded as slow: set slow_request_time (seconds), and reload")
        most = order.number("last")
        found = self._slow.after(order.number("after") or 0, KEPT if most is None else max(0, most))
        return {"ok": True, "done": True, "data": found}

    def _events_after(self, order: Order) -> protocol.Message | Goal:
        after = order.number("after")
        found = self._events.after(after or 0)
        if after is not None and not found and after <= self._events.last and order.what.get("wait"):
            return Happened(after)
        return {"ok": True, "done": True, "data": found}


def _records_slow(settings: Settings) -> bool:
    routes = settings.routes.values()
    return bool(settings.slow_request_time or any(each.get("slow_request_time") for each in routes))


def _take_over(place: ControlSocket) -> None:
    try:
        place.take_over()
    except (OSError, ListenError) as error:
        log.warning("The control socket stays %s: %s", place.path, reason_of(error))


def _who(client: Client, question: protocol.Message) -> str:
    """For the log. Whom it speaks for, the admin process may say; nobody else."""
    caller = question.get("caller")
    if client.is_visitor and isinstance(caller, str):
        return f"{caller[:CALLER_MAX]}, at admin_bind"
    return str(client.peer)


def _has_pid(answer: Mapping[str, object]) -> bool:
    return type(answer.get("pid")) is int


def _message(answer: Answer) -> protocol.Message:
    message: protocol.Message = {"ok": answer.ok, "done": answer.done, "say": answer.say}
    message |= {"detail": answer.detail} if answer.detail else {}
    return message | ({"data": answer.data} if answer.data is not None else {})


def _scaled(workers: int, target: Target, _now: float) -> Target:
    return targets.scaled(target, workers)


def _wanted(order: Order, group: Target | Pool, said: str) -> int | Answer:
    """How many workers there shall be of all, or in a pool; or why there cannot be."""
    workers, step = order.number("workers"), order.number("by")
    if workers is None and step is None:
        return refusal('How many workers? Say "workers", a number, or "by", a difference')
    wanted = group.plan.workers + (step or 0) if workers is None else workers
    least, most = targets.bounds(group)
    if not least <= wanted <= most:
        return refusal(f"{said} {least} to {most} workers, and not {wanted}")
    return wanted


def _pool_scaled(pool: int, workers: int, target: Target, _now: float) -> Target:
    return targets.pool_scaled(target, pool, workers)


def _maybe_reason_to_refuse(target: Target) -> str | None:
    if target.mode in STOPPING:
        return "The server is stopping"
    if target.mode is Mode.PAUSED:
        return "The server is paused; resume first"
    return None if target.mode is Mode.RUNNING else "A newer master serves"


def _done(say: str) -> Callable[[Target], Answer]:
    return lambda _target: Answer(True, say)


def _stopping(target: Target) -> Answer:
    return Answer(True, f"The server stops: {how_it_stops(target)}", done=False)


#: Questions that change nothing.
REPORTS: Mapping[str, Callable[[Sight], object]] = {
    "status": reports.everything,
    "workers": reports.workers_of_all,
    "config": reports.config,
    "certs": reports.certificates,
}

#: What is waited for after a command that a signal could have given.
GOALS: Mapping[str, Callable[[Target], Answer | Goal]] = {
    "stop": _stopping,
    "quit": _stopping,
    "reload": lambda target: Reloaded(target.latest),
    "reopen": _done("The log files are open again"),
    "upgrade": lambda _target: Upgraded(),
    "rest": _done("The workers of this master finish their requests; reload brings them back"),
    "more": lambda target: Scaled(target.plan.workers),
    "fewer": lambda target: Scaled(target.plan.workers),
    "pause": lambda _target: Paused(),
    "resume": lambda target: Scaled(target.plan.workers),
}

#: Commands and questions that say which, or how many.
MORE: Mapping[str, Callable[[Control, Order], protocol.Message | Answer | Goal]] = {
    "scale": Control._scale,
    "replace": Control._replace,
    "refork": Control._refork,
    "kill": Control._kill,
    "dump": Control._dump,
    "profile": Control._profile,
    "requests": Control._requests_told,
    "log-level": Control._log_level,
    "events": Control._events_after,
    "slow": Control._slow_after,
    "metrics": Control._metrics,
}

KNOWN = (*REPORTS, *GOALS, *MORE)
