"""The master process: a small shell around decide().

Knows: the target, the children, generations and their listeners, what each part of the master is asked in a
turn, and in which order; what becomes of a start, a reload, an end. Must not know: HTTP, applications,
workers (it gets one as a callable), where settings come from; how children are told (signalling.py) and
waited for (reaping.py), what foreign code may do (foreign.py, hooking.py).

One turn of its loop: take the signals, look at the children, do what decide() says, wait until something
happens. Nothing in it sleeps, and no operation (a reload, a stop) has a loop of its own: while one is under
way all others still work.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from select import POLLIN
from typing import TYPE_CHECKING, Any

from setproctitle import setproctitle

from tricorn import __version__, forks
from tricorn.arbiter import administration, announcing, attendant, pausing, queues, refork, silence
from tricorn.arbiter import decide as decisions
from tricorn.arbiter import target as targets
from tricorn.arbiter.administration import Administration, RunAdmin
from tricorn.arbiter.alarming import Alarming
from tricorn.arbiter.attendant import Attendance, Health, RunHealth
from tricorn.arbiter.certifying import Certifier, certificates_for
from tricorn.arbiter.children import (
    ChildRecord,
    Generation,
    Registry,
    boot_timeout_of,
    lifetime_of,
)
from tricorn.arbiter.control import Control
from tricorn.arbiter.ends import Ends, after_failure, judged, log_kill, without_fork
from tricorn.arbiter.foreign import CONFIGURATION, MODULE_OF_HOOKS, ForeignCode
from tricorn.arbiter.generations import Generations
from tricorn.arbiter.goals import Answer, refusal
from tricorn.arbiter.headcount import Headcount
from tricorn.arbiter.hooking import PRE_FORK, MasterHooks, report
from tricorn.arbiter.ledger import Ledger
from tricorn.arbiter.load import Autoscaler, bounds_of, first_of
from tricorn.arbiter.mold import Casting, Load, order, start_mold
from tricorn.arbiter.patience import patience_over
from tricorn.arbiter.pidfile import PidfileError
from tricorn.arbiter.pools import Pools, RunHeavy, boot_timeouts
from tricorn.arbiter.presence import Presence
from tricorn.arbiter.privileges import identity_for
from tricorn.arbiter.reaping import Reaper
from tricorn.arbiter.reports import Sight
from tricorn.arbiter.signalling import Signaller
from tricorn.arbiter.signals import (
    MEANING,
    Change,
    Interrupted,
    Meaning,
    Request,
    SignalPipe,
    become_stranger,
    drain,
    end,
    one_fewer,
    one_more,
    signal_name,
)
from tricorn.arbiter.spawn import Job, process_title, spawn
from tricorn.arbiter.systemd import ServiceManager
from tricorn.arbiter.target import ADMIN, ATTENDANT, Mode, how_it_stops
from tricorn.arbiter.upgrade import Start, Upgrade
from tricorn.arbiter.waiting import Waiting
from tricorn.arbiter.weighing import Weighing
from tricorn.config.errors import ConfigError
from tricorn.config.settings import Settings
from tricorn.handover import EXIT_FAILURE, EXIT_OK, RunWorker
from tricorn.hooks.found import HookError, Hooks, hooks_of
from tricorn.hooks.worker import WorkerHooks
from tricorn.log import setup as log_setup
from tricorn.log.error import block_of
from tricorn.net.listener import Listener, ListenError
from tricorn.scoreboard import REFORK, Row
from tricorn.wishes import Wishes

if TYPE_CHECKING:
    from tricorn.hooks.objects import Worker
    from tricorn.tls.renewal import Renewal

log = logging.getLogger("tricorn.error")

#: The loop wakes for signals, notifications and deadlines. Once a second it looks anyway, in case a worker
#: changed its row without saying so.
TICK = 1.0

#: What `errorlog` may be if its lines are on the terminal anyway.
SEEN = ("-", "/dev/stderr", "/dev/stdout")

#: How often an address is tried that somebody else has, or that is not there yet, seconds.
ADDRESS_RETRY = 0.1


def no_heavy(pool: object, queues: object, assignment: object) -> int:
    """What a master runs in heavy workers whose program has none."""
    del pool, queues, assignment
    return EXIT_FAILURE


class StoppedError(Exception):
    """The master was told to stop before it had begun to serve."""


class Arbiter:
    """Keeps the workers of a service running until it is told to stop.

    run_worker: called in each worker; its result is the worker's exit code.
    reload: reads the settings again (HUP); may raise ConfigError.
    load_application: used for preload_app only, in the molds; may raise BootError.
    start: how this process was started, for an upgrade (USR2).
    run_health: called in the process that answers health checks, where there is to be one. run_admin: in the
        one that serves control and metrics.
    run_heavy: in each heavy worker. run_stash: in the process that keeps the stash.
    """

    def __init__(
        self,
        settings: Settings,
        run_worker: RunWorker,
        reload: Callable[[], Settings],
        load_application: Load,
        start: Start | None = None,
        run_health: RunHealth | None = None,
        run_admin: RunAdmin | None = None,
        run_heavy: RunHeavy = no_heavy,
        run_stash: RunHeavy = no_heavy,
    ) -> None:
        self._settings = settings
        self._run_worker = run_worker
        self._read_settings = reload
        self._load_application = load_application
        self._registry = Registry()
        self._signaller = Signaller(self._registry)
        self._reload_under_way = False
        start = start or Start(environ=os.environ)
        self._started = start.ready
        self._manager = ServiceManager(start.environ)
        self._wishes = Wishes()
        self._health = Health(run_health)
        self._administration = Administration(run_admin)
        self._attendances = {
            ATTENDANT: Attendance(attendant.POST, self._health.prepare),
            ADMIN: Attendance(administration.POST, self._administration.prepare),
        }
        self._generations = Generations(self._attendances, self._wishes)
        self._pools = Pools(run_heavy, run_stash, self._generations)
        self._upgrade = Upgrade(start, self._manager, self._generations.listeners)
        #: Strays that were spoken of: a timer may send them by the hundred.
        self._strays: set[int] = set()
        self._waiting = Waiting()
        #: Whether this process runs the loop: its children are copies of this object, too.
        self._is_master = False
        self._lifeline = self._lifeline_writer = -1
        self._presence = Presence(time.monotonic())
        self._weighing = Weighing()
        self._reaper = Reaper(self._registry, self._upgrade.note_end)
        self._ends = Ends()
        self._autoscaler = Autoscaler()
        self._control = Control(self._sight, self._obey, self._wishes, self._signaller.have_look)
        self._headcount = Headcount()
        self._ledger = Ledger()
        self._alarming = Alarming(self._ledger)

    def run(self) -> int:
        """Serve until told to stop; gives the exit code. A ConfigError is the caller's to show."""
        with ExitStack() as cleanup:
            # Entered first, so left last: a second Ctrl-C while everything is being closed finds the master's
            # handlers still in place.
            self._signals = cleanup.enter_context(SignalPipe())
            self._foreign = ForeignCode(self._signals)
            self._certifier = Certifier(self._foreign)
            self._hooks = MasterHooks(self._settings, self._signals, self._registry, self._foreign.hold)
            forks.let_go(self._let_go)
            # Before there is anything to clear away: from here on no signal ends the process by itself. What
            # arrives before the loop runs is dealt with in its first turn.
            self._signals.install()
            try:
                self._start(cleanup)
            except StoppedError:
                return self._stopped(EXIT_OK)
            except ConfigError as error:
                self._upgrade.failed(str(error))
                raise
            except HookError as error:
                report(error)
                self._not_started(str(error))
                return error.code
            except (ListenError, PidfileError) as error:
                _report(str(error))
                self._not_started(str(error))
                return EXIT_FAILURE
            return self._serve()

    def _not_started(self, why: str) -> None:
        self._upgrade.failed(why)
        self._tell_beside_the_log(why)

    def _tell_beside_the_log(self, text: str) -> None:
        """A start has failed. Who has made it looks at the terminal first, and a log that is a file may be on
        a disk that is full."""
        settings = self._settings
        is_seen = settings.errorlog in SEEN or settings.capture_output
        if not is_seen and not settings.daemon and not self._upgrade.is_on_trial:
            with suppress(OSError):
                print(f"tricorn: error: {text[:1].lower()}{text[1:]}", file=sys.stderr, flush=True)

    # -- start -------------------------------------------------------------------------------------------

    def _start(self, cleanup: ExitStack) -> None:
        settings = self._settings
        setproctitle(process_title("master", settings))
        self._is_master = True
        cleanup.callback(self._clear_away)
        self._control.begin()
        log.info("Tricorn %s starts (pid %d)%s", __version__, os.getpid(), self._upgrade.origin)
        self._upgrade.begin(settings, _boot_limit(settings))
        # Only the master holds the writing end, so all workers see its end of file when the master is gone.
        self._lifeline, self._lifeline_writer = os.pipe()
        workers = first_of(settings)
        hooks = self._first_hooks(settings, workers)
        certificates = self._certifier.first(settings, self._end_while_loading)
        # The port first: that it is taken is known at once, that an application imports is not.
        first = self._first_generation(settings, certificates, hooks)
        self._upgrade.keep([*first.listeners, *self._generations.attendants_listeners])
        announcing.announce(first)
        if settings.reload:
            # Imported where code is written, and not where it runs.
            from tricorn.arbiter.reloading import start_watching

            start_watching(settings, self._lifeline)
        self._control.open(settings, on_trial=self._upgrade.is_on_trial, door=self._administration.door)
        self._hooks.ready(first, self._end_while_loading)
        self._started_at = time.monotonic()
        self._presence.begin(self._started_at)
        self._target = targets.first_target(workers, len(first.board), **_terms(settings))
        for each in self._attendances.values():
            self._target = each.wanted(self._target, is_beside=self._upgrade.is_on_trial)
        self._target = self._pools.wanted(self._target, first, self._hooks, **self._terms_of_pools(settings))
        log.info(
            "Starting %d worker%s%s",
            workers,
            "" if workers == 1 else "s",
            f" with {settings.threads} threads each" if settings.threads > 1 else "",
        )

    def _terms_of_pools(self, settings: Settings) -> dict[str, Any]:
        """What plans of heavy workers say beyond their number. Web workers serve without them, and they are
        tried for ever; but beside another master, whose heavy workers serve, it is the upgrade that fails."""
        return {
            "surge": settings.reload_max_surge,
            "unavailable": settings.reload_max_unavailable,
            "max_boot_failures": settings.max_boot_failures if self._upgrade.is_on_trial else 0,
        }

    def _first_hooks(self, settings: Settings, workers: int) -> Hooks:
        """Imports what they are in, and calls the first of them. Raises ConfigError, HookError."""
        hooks = self._foreign.run(MODULE_OF_HOOKS, partial(hooks_of, settings))
        self._hooks.start(hooks, workers, self._end_while_loading)
        return hooks

    def _first_generation(self, settings: Settings, certificates: Renewal | None, hooks: Hooks) -> Generation:
        """The first one, once its addresses are free. StoppedError: told to stop meanwhile."""
        started = time.monotonic()
        patience, said = 0.0, None
        while True:
            try:
                first = self._new_generation(1, settings, certificates, hooks)
                self._generations.open_attendants(first, certificates_for)
                return first
            except ListenError as error:
                awaited = error.taken or error.missing
                if awaited is None or self._upgrade.is_on_trial:
                    raise
                if awaited != said:
                    said, patience = awaited, patience_over(error, settings)
                    self._manager.status(f"Waiting for {said}")
                if time.monotonic() - started > patience:
                    raise
            self._signals.wait(ADDRESS_RETRY)
            if (number := self._signals.stop_asked()) is not None:
                log.info("%s: stopping; nothing was started", signal_name(number))
                raise StoppedError

    def _end_while_loading(self, number: int) -> None:
        """In the watching thread: there are no workers yet, and nobody else can end the process."""
        log.info("%s: stopping at once, while the application is being loaded", signal_name(number))
        self._clear_away()
        os._exit(self._stopped(EXIT_OK))

    def _new_generation(
        self, number: int, settings: Settings, certificates: Renewal | None, hooks: Hooks
    ) -> Generation:
        """Everything a generation needs, or an exception and nothing changed."""
        self._pools.open(settings, identity_for(settings.user, settings.group))
        generation = self._generations.add(number, settings, certificates, hooks)
        if settings.preload_app:
            self._reaper.adopt()
        return generation

    def _clear_away(self) -> None:
        """What the master leaves behind: nothing. A child that comes by here has no part in that."""
        if not self._is_master:
            return
        self._is_master = False
        self._control.close(was_handed_over=self._upgrade.has_handed_over)
        self._administration.close()
        self._pools.close()
        self._wishes.close()
        self._generations.close_listeners()
        for fd in (self._lifeline, self._lifeline_writer):
            if fd >= 0:
                os.close(fd)
        self._upgrade.clear_away()

    def _stopped(self, code: int) -> int:
        log.info("Tricorn has stopped (pid %d)", os.getpid())
        return code

    # -- one turn ----------------------------------------------------------------------------------------

    def _serve(self) -> int:
        while True:
            self._take_signals()
            self._look_at_children()
            # Whoever hears of a heavy worker that it is ready may call it.
            self._target = self._pools.attend(self._target, self._registry, time.monotonic())
            self._weigh_children()
            self._ledger.weigh(self._registry, time.monotonic())
            self._attend_upgrade()
            self._control.attend()
            if self._target.mode is Mode.RUNNING and self._target.fallback is None:
                refork.attend(self._generations[self._target.plan.generation], self._registry)
            self._target = self._autoscaler.attend(self._target, self._registry, time.monotonic())
            plan = self._target.plan
            self._hooks.attend(self._generations[plan.generation], plan.workers)
            exit_code = self._act()
            if exit_code is not None:
                hooks = self._generations[self._target.plan.generation].hooks
                return self._stopped(exit_code if self._hooks.exits(hooks) else exit_code or EXIT_FAILURE)
            self._control.tell()
            self._forget_old_generations()
            self._certifier.attend(self._generations.values())
            self._headcount.attend(
                self._registry, self._generations.workers_listeners, self._settings, time.monotonic()
            )
            self._look_for_alarms()
            self._wait()

    def _look_for_alarms(self) -> None:
        self._alarming.attend()
        # Who starts, stops or pauses has other figures.
        if self._target.mode is Mode.RUNNING and not self._upgrade.is_on_trial:
            sight = self._sight()
            if sight.serving is not None:
                self._alarming.look(sight.serving, sight.children, time.monotonic())

    def _take_signals(self) -> None:
        requests: dict[Meaning, str] = {}
        for number in self._signals.arrived():
            meaning = MEANING.get(number)
            if meaning is None:
                self._note_stray(number)
            elif isinstance(meaning, Request):
                # Of several reloads that wait, one is enough.
                requests[meaning] = signal_name(number)
            else:
                self._obey(meaning, signal_name(number))
        # In the order in which they are declared: a reload before an upgrade, which would put it off.
        for request in Request:
            if request in requests:
                self._obey(request, requests[request])

    def _obey(self, meaning: Meaning, name: str) -> Answer | None:
        """Do what a signal or a command means; its name is for the log. Why it is refused, or put off; None:
        it is done, or under way."""
        match meaning:
            case Request.RELOAD:
                return self._reload(name)
            case Request.REOPEN_LOGS:
                self._reopen_logs(name)
                self._upgrade.reopen_logs()
            case Request.UPGRADE:
                hooks = self._generations[self._target.plan.generation].hooks
                before_exec = partial(self._hooks.before_exec, hooks)
                limit = _boot_limit(self._settings)
                return self._upgrade.start(self._target, self._settings, limit, name, before_exec)
            case Request.REST:
                before, self._target = self._target, self._upgrade.rest(self._target, name)
                if self._target is not before:
                    return None
                # In the background it is no terminal that tells, but somebody who waits for something.
                if self._settings.daemon and self._upgrade.newer_pid is None:
                    log.warning(
                        "%s: no newer master serves, so the workers stay; tricorn ctl pause sends them away",
                        name,
                    )
                return refusal("No newer master is ready")
            case Request.REAP:
                return None
            case change:
                return self._change_target(change, name)
        return None

    def _sight(self) -> Sight:
        return Sight(
            self._settings,
            self._target,
            tuple(child for child in self._registry if not (child.is_attendant or child.is_heavy)),
            self._generations,
            self._upgrade,
            self._started_at,
            self._ledger,
            self._pools,
            tuple(child for child in self._registry if child.is_heavy),
        )

    def _attend_upgrade(self) -> None:
        self._target = self._upgrade.attend(self._target, self._complete_listeners(), time.monotonic())
        wishes = self._upgrade.wishes()
        if Request.RELOAD in wishes:
            self._reload("SIGHUP")
        if Request.REOPEN_LOGS in wishes:
            self._reopen_logs("SIGUSR1")

    def _complete_listeners(self) -> Sequence[Listener] | None:
        """Where all workers that are wanted serve; None if they are not all ready."""
        plan = self._target.plan
        ready = [
            child for child in self._registry if child.serves and child.generation.number == plan.generation
        ]
        is_complete = len(ready) >= plan.workers and self._target.mode is Mode.RUNNING
        is_complete = is_complete and self._pools.are_ready(self._target, self._registry)
        listeners = list(ready[0].generation.listeners) if is_complete else []
        for attendance in self._attendances.values():
            answers_at = attendance.maybe_listeners(self._registry)
            if answers_at is None:
                return None
            listeners += answers_at
        return listeners if is_complete else None

    def _note_stray(self, number: int) -> None:
        if self._signals.is_stray(number) and number not in self._strays:
            self._strays.add(number)
            log.warning("%s: ignored; the master does not use this signal", signal_name(number))

    def _look_at_children(self) -> None:
        now = time.monotonic()
        for child in self._registry:
            child.read_status()
            if child.is_ordered and not self._is_carried_out(child):
                continue
            if child.observe(now):
                self._note_ready(child)
                self._signaller.say_again(child)
                self._weighing.hasten(now)
            if not child.is_announced and not child.was_asked_to_leave and (why := child.why_worn(now)):
                child.is_announced = True
                log.info("%s %s: a successor takes its place", child.name, why)
                self._target = after_failure(self._target, child, now)
        # After the rows were read: a worker that was READY and has ended since was READY.
        for pid, status in self._reaper.ended():
            ended = self._registry.get(pid)
            if ended is not None and status is not None and os.WCOREDUMP(status):
                log.info("%s has left a core", ended.name)
            self._bury(pid, None if status is None else os.waitstatus_to_exitcode(status))

    def _weigh_children(self) -> None:
        now = time.monotonic()
        if not self._weighing.is_due(now):
            return
        self._ends.look(now)
        for child, size in self._weighing.attend(self._registry):
            self._hooks.tell(child.generation.hooks, "on_memory_limit", child.worker, size)

    def _note_ready(self, child: ChildRecord) -> None:
        if child.is_mold:
            refork.note_mold(child, self._registry)
            self._hooks.ended(child)  # if it was a worker until now
            return
        if child.is_attendant:
            log.debug("%s is ready", child.name)
            return
        log.info("%s is ready", child.name)
        if child.is_heavy:
            self._target = targets.with_ready(self._target, child.generation.number)
            return
        was_proven = self._target.plan.proven
        self._target = targets.with_ready(self._target, child.generation.number)
        plan = self._target.plan
        # The first of all workers means that the service is up; a reload is over with the last old one.
        if (
            plan.proven
            and not was_proven
            and not self._reload_under_way
            and self._target.mode is Mode.RUNNING
        ):
            self._manager.ready(f"Serving, generation {plan.generation}")
            self._started()
        self._hooks.tell(child.generation.hooks, "when_worker_ready", child.worker)

    def _act(self) -> int | None:
        """Do what is to be done now; gives the exit code when that is to exit."""
        while True:
            now = time.monotonic()
            self._presence.note_turn(now, self._presence.turned_at, self._hooks.returned_at)
            views = [child.view(self._presence.alive_at) for child in self._registry]
            # Before anything is started: a health process answers with this from its first moment on.
            self._health.sum_up(views, self._target, now)
            actions = decisions.decide(views, self._target, now)
            for action in actions:
                if not isinstance(action, decisions.Exit):
                    self._perform(action)
                elif self._upgrade.may_end():
                    return action.code
            if not any(isinstance(action, decisions.CHANGES) for action in actions):
                return None

    def _wait(self) -> None:
        now = time.monotonic()
        views = [child.view(self._presence.alive_at) for child in self._registry]
        self._health.sum_up(views, self._target, now)
        self._manager.attend(
            now, is_well=decisions.serves(views, self._target), takes_long=self._takes_long()
        )
        deadlines = [decisions.next_deadline(views, self._target, now), self._upgrade.next_deadline()]
        deadlines += [self._control.next_deadline(now), self._alarming.next_deadline()]
        waits = [max(0.0, deadline - now) for deadline in deadlines if deadline is not None]
        wait = min([TICK, self._manager.patience or TICK, *waits])
        self._waiting.until(self._watched(now), wait)
        self._presence.note_turn(time.monotonic(), now + wait, self._hooks.returned_at)

    def _watched(self, now: float) -> Iterator[tuple[int, int]]:
        """Whatever tells that something has happened: descriptors, each with its events."""
        yield self._signals.fileno(), POLLIN
        for channel in self._upgrade.channels():
            yield channel.fileno(), POLLIN
        yield from self._control.watched(now)
        yield from self._pools.watched(self._target)
        for child in self._registry:
            if child.status_is_open:
                yield child.status, POLLIN

    def _takes_long(self) -> bool:
        """Whether the start or the stop of the service is under way, and has an end that the settings set."""
        settings = self._settings
        if self._target.mode in targets.STOPPING:
            return bool(settings.graceful_timeout)
        is_starting = not self._target.plan.proven and self._target.fallback is None
        return is_starting and bool(boot_timeout_of(settings))

    # -- signals -----------------------------------------------------------------------------------------

    def _change_target(self, change: Change, name: str) -> Answer | None:
        if change in pausing.CHANGES:
            return self._pause_or_resume(change, name)
        before, self._target = self._target, change(self._target, time.monotonic())
        target = self._target
        if target.mode is not before.mode:
            how = how_it_stops(target)
            log.info("%s: stopping, %s", name, how)
            if target.mode is Mode.QUICK:
                self._upgrade.hurry()
            # First: a newer master may take over now, and then the service does not stop.
            self._attend_upgrade()
            self._manager.stopping(f"Stopping, {how}")
            for child in self._registry:
                if not child.row.stopping and child.is_worker and self._has_no_successor(child):
                    child.row.stopping = 1
            if before.mode is Mode.RUNNING and target.mode is not Mode.QUICK:
                hooks = self._generations[target.plan.generation].hooks
                self._hooks.tell(hooks, "on_drain")
        elif target.plan.workers != before.plan.workers:
            log.info("%s: changing to %d workers", name, target.plan.workers)
        elif change in (one_more, one_fewer):
            said = f"there are {target.plan.workers} workers already, which is the limit"
            log.warning("%s: %s", name, said)
            return refusal(said)
        elif change in (drain, end):
            self._signaller.hurry_molds()
        return None

    def _pause_or_resume(self, change: Change, name: str) -> Answer | None:
        others = (self._upgrade.older_pid, self._upgrade.newer_pid)
        if (refused := pausing.maybe_refusal(change, self._target, is_alone=not any(others))) is not None:
            return refused
        self._target = change(self._target, time.monotonic())
        log.info("%s: %s", name, pausing.SAID[self._target.mode])
        self._manager.status(pausing.STATUS[self._target.mode])
        return None

    def _reload(self, name: str) -> Answer | None:
        if self._target.mode is Mode.RESTING:
            self._target = targets.woken(self._target)
            log.info("%s: the workers come back, with the settings that they had", name)
            return None
        if (postponed := self._upgrade.postpones_reload(name)) is not None:
            return postponed
        if self._target.mode is not Mode.RUNNING:
            state = "paused; resume first" if self._target.mode is Mode.PAUSED else "stopping"
            log.warning("%s: no reload while %s", name, state)
            return refusal(f"No reload while {state}")
        self._manager.reloading()
        listeners = tuple(self._generations.listeners)
        try:
            settings = self._foreign.run_interruptible(CONFIGURATION, self._read_settings)
            certificates = self._certifier.again(settings, self._generations.latest)
            hooks = self._foreign.run_interruptible(MODULE_OF_HOOKS, partial(hooks_of, settings))
            generation = self._new_generation(self._target.latest + 1, settings, certificates, hooks)
            # Where load decides how many there are, what it has decided so far holds.
            bounds = bounds_of(settings)
            workers = bounds.clamp(self._target.plan.workers) if bounds else first_of(settings)
            self._hooks.reload(generation, workers)
        except Interrupted:
            # The signal is in the pipe, and the loop obeys it in its next turn.
            said = "Reload abandoned: told to stop while the settings were being read"
            log.info("%s", said)
            return refusal(said)
        except (ConfigError, ListenError) as error:
            _report(f"Reload failed; nothing has changed: {error}")
            return self._reload_failed(str(error))
        except HookError as error:
            report(error)
            log.error("Reload failed; workers stay as they are, because %s", error)  # noqa: TRY400 - just told
            self._hooks.stay(self._generations[self._target.plan.generation], self._target.plan.workers)
            return self._reload_failed(str(error))
        except Exception as error:
            log.exception("Reload failed; nothing has changed")
            return self._reload_failed(f"{type(error).__name__} was raised")
        self._target = targets.reloaded(self._target, workers, len(generation.board), **_terms(settings))
        terms = self._terms_of_pools(settings)
        self._target = self._pools.wanted(self._target, generation, self._hooks, **terms)
        self._reload_under_way = True
        self._wishes.level = 0
        log.info("%s: reloading, generation %d", name, generation.number)
        announcing.announce(generation, known=listeners)
        announcing.warn_about_reload(self._settings, settings)
        self._settings = settings
        return None

    def _reload_failed(self, why: str) -> Answer:
        if self._wishes.level:
            log_setup.set_level(self._wishes.level)  # the settings were read, and have set theirs
        # Not before the start is over, nor while an earlier reload is under way: their ends say READY.
        is_up = self._target.mode is Mode.RUNNING and self._target.plan.proven
        if is_up and not self._reload_under_way:
            self._manager.ready(f"Reload failed: {why}")
        return refusal(f"Reload failed; nothing has changed: {why}")

    def _reopen_logs(self, name: str) -> None:
        log_setup.reopen()
        for child in self._registry:
            self._signaller.have_look(child)
        log.info("%s: reopened the log files", name)

    # -- actions -----------------------------------------------------------------------------------------

    def _perform(self, action: decisions.Action) -> None:
        now = time.monotonic()
        match action:
            case decisions.Spawn(generation):
                self._spawn(self._generations[generation], now)
            case decisions.SpawnMold(generation):
                self._spawn_mold(self._generations[generation], now)
            case decisions.Drain(pid):
                child = self._registry.get(pid)
                if child is not None and self._has_no_successor(child):
                    child.row.stopping = 1
                elif child is not None and child.is_candidate and self._is_current(child.generation):
                    child.row.stopping = REFORK
                self._signaller.drain(pid).drained_at = now
            case decisions.Interrupt(pid):
                self._signaller.interrupt(pid).interrupted_at = now
            case decisions.Abort(pid, silent_for):
                child = self._signaller.child(pid)
                child.aborted_at = now
                if not child.was_ready:
                    self._upgrade.failed(
                        f"worker {pid} was not ready after {silent_for:.0f} s (boot_timeout)"
                    )
                evidence = silence.evidence_of(child, now)
                silence.log_abort(child, silent_for, now, evidence)
                silence.abort(child, evidence.state)
            case decisions.Kill(pid):
                child = self._signaller.kill(pid)
                child.killed_at = now
                log_kill(child)
            case decisions.Abandon(generation):
                self._abandon(generation)
            case decisions.EndDelay():
                log.info("The drain_delay is over: workers finish their requests")
                self._target = targets.delayed(self._target)
            case decisions.Exit():
                raise AssertionError("the loop ends by itself")

    def _is_current(self, generation: Generation) -> bool:
        return generation.number == self._target.plan.generation

    def _has_no_successor(self, child: ChildRecord) -> bool:
        """At one of its addresses at least: a reload may have taken it away."""
        served = self._upgrade.served_elsewhere()
        if self._target.mode in (Mode.RUNNING, Mode.PAUSED):
            served += self._generations[self._target.plan.generation].listeners
        return any(listener not in served for listener in child.generation.listeners)

    def _spawn(self, generation: Generation, now: float) -> None:
        row = self._registry.free_row(generation.board)
        if row is None:
            log.error("No worker started: the scoreboard has no free row")
            self._target = targets.with_failed_fork(self._target, generation.number, now)
            return
        row.stopping = int(self._target.mode in targets.STOPPING)
        if targets.pool_number(generation.number):
            self._spawn_heavy(generation, row, now)
            return
        row.queue = queues.assign(generation, self._registry, now)
        attendance = self._attendances.get(generation.number)
        worker = None if attendance else self._hooks.new_worker(generation, row)
        with self._forking(generation, attendance.post.role if attendance else "worker", now):
            if worker is not None and generation.settings.preload_app:
                mold = self._registry.mold_of(generation)
                wanted = self._hooks.server.num_workers or 0
                number, leaving = self._registry.order_number(), self._hooks.leaving()
                child = order(mold, row, number, worker, wanted, leaving)
            else:
                if worker is not None:
                    self._hooks.before_fork(generation, worker)
                pid, status = spawn(self._job(generation, row, worker))
                child = ChildRecord(pid, generation, row, status, started_at=now, worker=worker)
                if worker is not None:
                    worker.pid = pid
                _log_start(child)
            child.lifetime = lifetime_of(generation.settings)
            self._registry.add(child)
            if child.is_worker:
                self._ledger.note_start()

    def _spawn_heavy(self, generation: Generation, row: Row, now: float) -> None:
        row.queue = self._pools.slot(generation, self._registry, now)
        job = self._pools.job(generation, row, self._lifeline, partial(self._forget, ()), self._hooks)
        with self._forking(generation, generation.role, now):
            pid, status = spawn(job)
            child = ChildRecord(pid, generation, row, status, started_at=now)
            _log_start(child)
            self._registry.add(child)
            self._pools.note_start(child, job)

    def _job(self, generation: Generation, row: Row, worker: Worker | None) -> Job:
        forget = partial(self._forget, generation.listeners)
        if (attendance := self._attendances.get(generation.number)) is not None:
            return attendance.job(row, self._lifeline, forget)
        hooks = None
        if worker is not None and generation.hooks:
            hooks = WorkerHooks(generation.hooks, self._hooks.server, worker)
        return Job(self._run_worker, generation, row, self._lifeline, forget, hooks=hooks)

    def _spawn_mold(self, generation: Generation, now: float) -> None:
        forget = partial(self._forget, generation.listeners)
        with self._forking(generation, "mold", now):
            casting = Casting(
                generation,
                self._load_application,
                self._run_worker,
                self._lifeline,
                forget,
                self._hooks.server,
            )
            self._registry.add(start_mold(casting))

    @contextmanager
    def _forking(self, generation: Generation, what: str, now: float) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            _report(f"No {what} started: {error.strerror}")
            self._control.note_problem(generation.number, f"No {what} started: {error.strerror}")
            self._target = targets.with_failed_fork(self._target, generation.number, now)
        except HookError as error:
            report(error)
            self._upgrade.failed(str(error))
            self._target = without_fork(self._target, generation.number, now)
        except Interrupted:
            # Told to stop in a hook. The signal is in the pipe, and the loop obeys it in its next turn.
            self._target = targets.with_failed_fork(self._target, generation.number, now)

    def _is_carried_out(self, child: ChildRecord) -> bool:
        """Whether the worker that was ordered is there. If it never will be, it is given up."""
        if self._registry.has_identified(child):
            _log_start(child)
            if child.was_asked_to_leave:  # meanwhile
                self._signaller.drain(child.pid)
            return True
        if not child.status_is_open:
            # Without a reason the mold has ended, which the log tells anyway.
            if reason := child.failure_text():
                _report(reason[:1].upper() + reason[1:])
                self._control.note_problem(child.generation.number, reason)
            self._registry.remove(child)
            number = child.generation.number
            judge = without_fork if reason.startswith(PRE_FORK) else targets.with_failed_fork
            self._target = judge(self._target, number, time.monotonic())
        return False

    def _forget(self, keep: Sequence[Listener] = (), queues: Collection[str] = ()) -> None:
        """In a child: close what only the master may hold. queues: of calls, that it takes from."""
        self._is_master = False
        self._signals.close()
        os.close(self._lifeline_writer)
        self._upgrade.forget()
        self._control.forget()
        self._administration.forget(self._attendances[ADMIN].listeners, keep)
        self._alarming.forget()
        self._pools.forget(queues)
        for child in self._registry:
            child.forget()
        self._generations.close_listeners(keep)

    def _let_go(self) -> None:
        """In a process that foreign code has forked from the master: a configuration file, a hook.

        Whatever such a process lives on for, it must not keep the port, or make the workers believe that
        their master lives, or tell it of signals that it gets.
        """
        become_stranger()
        log_setup.let_go()
        if self._is_master:
            self._forget()
            os.close(self._lifeline)

    def _abandon(self, generation: int) -> None:
        self._target = targets.abandoned(self._target, generation)
        pool = targets.maybe_pool(self._target, targets.pool_number(generation))
        if pool is not None and self._target.is_serving:
            log.error(
                "The pool %s keeps its heavy workers of generation %d, because those of generation %d do not "
                "start",
                pool.name,
                pool.plan.generation % targets.HEAVY,
                generation % targets.HEAVY,
            )
            return
        if self._target.is_serving:
            log.error(
                "Reload failed: generation %d does not start; generation %d keeps serving",
                generation,
                self._target.plan.generation,
            )
            self._reload_under_way = False
            self._reload_failed(f"generation {generation} does not start")
        else:
            what = "worker" if pool is None else self._generations[generation].role
            log.error("Stopping: no %s could start", what)
            for text in self._generations[generation].reported:
                self._tell_beside_the_log(f"no {what} could start: {text}")
            self._manager.stopping(f"No {what} could start")

    # -- ends --------------------------------------------------------------------------------------------

    def _bury(self, pid: int, code: int | None) -> None:
        child = self._registry.find(pid)
        if child is None:
            return
        now = time.monotonic()
        child.read_status()
        if child.observe(now):
            self._note_ready(child)
        if problem := self._ends.maybe_problem(child, code, now):
            self._upgrade.failed(problem)
        self._control.note_end(child)
        self._ledger.note_end(child, code, self._target, now)
        if child.is_heavy:
            self._pools.note_end(child, self._hooks)
        self._registry.remove(child)
        self._target = judged(self._target, child, code, now)
        self._hooks.ended(child)

    def _forget_old_generations(self) -> None:
        """Give up generations that have no workers and will have none, and listeners that nobody needs."""
        target = self._target
        plans = [plan for plan in (target.plan, target.fallback, *target.attendants) if plan]
        plans += [plan for pool in target.pools for plan in pool.plans]
        needed = {plan.generation for plan in plans} | {child.generation.number for child in self._registry}
        self._generations.give_up(needed, self._upgrade.served_elsewhere)
        self._pools.forget_old(needed)
        if self._reload_under_way and self._generations.of_workers == 1:
            self._reload_under_way = False
            log.info("Reload done: generation %d serves", self._target.plan.generation)
            if self._target.mode is Mode.RUNNING:
                self._manager.ready(f"Serving, generation {self._target.plan.generation}")


def _report(message: str) -> None:
    """Log a failure that was expected: its text says everything, a traceback would show our own lines."""
    line, extra = block_of(message)
    log.error("%s", line, extra=extra)


def _log_start(child: ChildRecord) -> None:
    log.debug("%s was started, generation %d", child.name, child.generation.shown)


def _terms(settings: Settings) -> dict[str, Any]:
    """What a plan says beyond the number of its workers."""
    bounds = bounds_of(settings)
    return {
        "surge": settings.reload_max_surge,
        "unavailable": settings.reload_max_unavailable,
        "max_boot_failures": settings.max_boot_failures,
        "preloads": settings.preload_app,
        "drain_delay": settings.drain_delay,
        "least": bounds.least if bounds else 1,
        "most": bounds.most if bounds else None,
    }


def _boot_limit(settings: Settings) -> float:
    """How long it may take until all workers are ready, seconds; 0: any time."""
    limits = [boot_timeout_of(settings) * (2 if settings.preload_app else 1), *boot_timeouts(settings)]
    return sum(limits) if all(limits) else 0.0
