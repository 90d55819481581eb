"""A newer master in the place of this one (USR2): how it is started, and what the two tell each other.

Knows: processes and exec, the pipe between two masters, what a master has besides workers: its name (pid
file), its socket files, the ear of the service manager. Must not know: workers, what a signal means, settings
beyond their limits. What the older one does about the newer one is decided in succession.py.

    the older one                                     the newer one
    USR2: fork, exec of its own command line      →   reads the settings, takes the listeners from the table
                                                  ←   limit: how long its boot may take
                                                  ←   failed: an error, for the older one's log
                                                  ←   ready: all its workers are, at these listeners
    hands over: MAINPID, socket files, pid file   →   take over
    its workers finish, it exits                      (end of file)

Guarantees:

- No connection is refused or lost. A listening socket and its queue live as long as anybody has a descriptor
  of them, and the newer one has its own before the older one closes any. What the workers of the older one
  leave in the queue those of the newer one find: their pollers watch the same sockets, level-triggered.
- The older one changes nothing of its own before the newer one is READY with all its workers. Until then it
  may fail in any way: the older one serves, and its log says why.
- Each thing has one owner at each instant. It changes hands when the older one says so, or when the end of
  file says that the older one is no more; never because of what a process id or a file seems to say.
- The two may be of different versions: keys and messages are only ever added, and unknown ones are ignored.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn

from tricorn import forks
from tricorn.arbiter import succession, systemd
from tricorn.arbiter import target as targets
from tricorn.arbiter.goals import Answer, refusal
from tricorn.arbiter.hooking import report
from tricorn.arbiter.pidfile import Pidfile, PidfileError
from tricorn.arbiter.signals import Request, blocked, signal_name
from tricorn.arbiter.succession import Progress, Verdict
from tricorn.arbiter.systemd import ServiceManager
from tricorn.arbiter.target import Mode, Target
from tricorn.config.errors import reason_of
from tricorn.config.settings import Settings
from tricorn.handover import EXIT_FAILURE
from tricorn.hooks.found import HookError
from tricorn.log import setup as log_setup
from tricorn.net import inheritance
from tricorn.net.activation import PREDECESSOR, Passed, handing_on
from tricorn.net.listener import Listener
from tricorn.records import dataclass, field, replace

log = logging.getLogger("tricorn.error")

#: While two masters live, the name of the newer one's pid file, as Gunicorn has it.
SECOND = ".2"

#: A message is small; the longest is the text of an error.
MESSAGE_MAX = 65536
ERROR_MAX = 2000


@dataclass(frozen=True)
class Start:
    """How this process was started: what another one is started with.

    command: the program and its arguments; empty if that is not known.
    environ, directory: as they were at the start.
    sockets: what the service manager has passed.
    predecessor: what an older master has written for this process, else empty.
    ready: called when the service is up.
    """

    command: Sequence[str] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    directory: str = "."
    sockets: Sequence[Passed] = ()
    predecessor: str = ""
    ready: Callable[[], None] = lambda: None


class Channel:
    """One end of the pipe between two masters. Whole messages, in their order; the end of file is the other
    one's end."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.set_inheritable(False)
        self._socket = sock
        self.is_open = True

    def fileno(self) -> int:
        return self._socket.fileno()

    def tell(self, word: str, **more: object) -> None:
        # BrokenPipeError: it has gone, which the end of file says. BlockingIOError: it has not read for
        # hundreds of messages, and will be ended.
        with suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            if self.is_open:
                os.write(self._socket.fileno(), json.dumps({"say": word, **more}).encode())

    def heard(self) -> Iterator[dict[str, Any]]:
        while self.is_open:
            try:
                data = os.read(self._socket.fileno(), MESSAGE_MAX)
            except BlockingIOError:
                return
            except ConnectionResetError:
                data = b""
            if data:
                yield json.loads(data)
            else:
                self.close()

    def close(self) -> None:
        self.is_open = False
        self._socket.close()


@dataclass
class Older:
    """The master that has started this one."""

    pid: int
    channel: Channel
    listeners: inheritance.Table
    pidfile: str | None
    has_handed_over: bool = False
    told: object = None


@dataclass
class Newer:
    """The master that this one has started."""

    pid: int
    channel: Channel
    state: Progress
    has_handed_over: bool = False
    #: It will take the name of our pid file.
    wants_name: bool = False
    #: What it has inherited, by descriptor: each has the same number in both. A number that was closed since
    #: may be another listener's here or there, so numbers are looked up in this, and nowhere else.
    handed: Mapping[int, Listener] = field(default_factory=dict)
    #: Those of them at which its workers serve.
    serves_at: Sequence[Listener] = ()
    error: str = ""
    #: How it has ended, if somebody else has waited for it.
    status: int | None = None
    #: Somebody wants the settings to be read again; who serves in the end does it.
    reload_asked: bool = False

    @property
    def is_on_trial(self) -> bool:
        return not self.state.is_ready


class Upgrade:
    """What a master has to do with an older and a newer one, if there are any.

    listeners: the master's own list; those that are inherited are added to it.
    """

    def __init__(self, start: Start, manager: ServiceManager, listeners: list[Listener]) -> None:
        self._start = start
        self._manager = manager
        self._listeners = listeners
        self._older = older_of(start.predecessor)
        self._newer: Newer | None = None
        self._pidfile: Pidfile | None = None
        self._name: str | None = None
        #: What the other masters want of this one, for the master to do.
        self._wishes: set[Request] = set()
        self._waits_for = 0
        #: How the last upgrade of this master has ended; None: it has not, or there was none.
        self.outcome: Answer | None = None
        #: The listeners of the older one, by their numbers.
        self._inherited: dict[int, Listener] = {}
        if self._older:
            manager.hush()

    # -- the start of a newer master -----------------------------------------------------------------------

    @property
    def is_on_trial(self) -> bool:
        return self._older is not None and not self._older.has_handed_over

    @property
    def has_handed_over(self) -> bool:
        return self._newer is not None and self._newer.has_handed_over

    @property
    def older_pid(self) -> int | None:
        return self._older.pid if self._older else None

    @property
    def newer_pid(self) -> int | None:
        return self._newer.pid if self._newer else None

    @property
    def origin(self) -> str:
        """For the log."""
        return f", to take over from process {self._older.pid}" if self._older else ""

    def begin(self, settings: Settings, boot_limit: float) -> None:
        """Write the pid file, and take what is inherited. PidfileError, ListenError: it is not there to be
        taken."""
        if settings.pidfile:
            self._name = os.path.abspath(settings.pidfile)
            is_taken = self._older is not None and self._older.pidfile == self._name
            self._pidfile = Pidfile(self._name + SECOND if is_taken else self._name)
        if self._older is None:
            return
        self._older.channel.tell(
            "limit",
            seconds=boot_limit,
            grace=grace_of(settings),
            pidfile=bool(self._pidfile and self._name != self._pidfile.path),
        )
        inherited = inheritance.inherited(self._older.listeners)
        self._inherited = {listener.fileno(): listener for listener in inherited}
        self._listeners += inherited

    def keep(self, wanted: Sequence[Listener]) -> None:
        """Of what is inherited, the rest is the older one's alone."""
        for listener in [each for each in self._listeners if each not in wanted]:
            log.info("Not listening at %s; process %s does until it ends", listener.address, self.older_pid)
            self._listeners.remove(listener)
            listener.close()

    def failed(self, text: str) -> None:
        """An error, for the log of the older one, should it have to say why."""
        if self._older is not None and self.is_on_trial:
            self._older.channel.tell("failed", text=in_one_line(text))

    # -- what both need ------------------------------------------------------------------------------------

    def channels(self) -> list[Channel]:
        others = [other for other in (self._older, self._newer) if other is not None]
        return [other.channel for other in others if other.channel.is_open]

    def next_deadline(self) -> float | None:
        newer = self._newer
        return succession.next_deadline(newer.state) if newer and not newer.has_handed_over else None

    def forget(self) -> None:
        """In a child: nothing of this is its own."""
        for channel in self.channels():
            channel.close()
        if self._pidfile:
            self._pidfile.abandon()

    def clear_away(self) -> None:
        """At the end of the master. The channel last: it tells the other one that the rest is free."""
        if self._pidfile:
            self._pidfile.remove()
        for channel in self.channels():
            channel.close()

    def served_elsewhere(self) -> list[Listener]:
        """The listeners where another master serves on when this one does not."""
        newer = self._newer
        if newer and newer.state.is_ready and not newer.state.was_told:
            return list(newer.serves_at)
        return list(self._inherited.values()) if self.is_on_trial else []

    def may_end(self) -> bool:
        """Whether this process need not wait for another one before it exits. Whoever supervises it may kill
        what is left of the service when its main process has gone."""
        waits_for = 0
        if self._newer is not None:
            waits_for = 0 if self._newer.has_handed_over else self._newer.pid
        elif self._older is not None and self._older.has_handed_over and self._older.channel.is_open:
            waits_for = self._older.pid
        if waits_for not in (0, self._waits_for):
            log.info("Waiting until process %d has finished", waits_for)
        self._waits_for = waits_for
        return not waits_for

    def reopen_logs(self) -> None:
        """They are the same files."""
        for channel in self.channels():
            channel.tell("reopen")

    def hurry(self) -> None:
        """Told to stop quickly: who still finishes the requests of before this one took over shall not."""
        if self._older is not None and self._older.has_handed_over:
            self._older.channel.tell("hurry")

    def wishes(self) -> set[Request]:
        wishes, self._wishes = self._wishes, set()
        return wishes

    def attend(self, target: Target, serving: Sequence[Listener] | None, now: float) -> Target:
        """One turn. serving: the listeners of the workers, if all that are wanted are READY; else None."""
        if self._older is not None:
            self._attend_older(self._older, target, serving)
            if not self.is_on_trial:
                target = targets.alone(target)
        if self._newer is not None:
            target = self._attend_newer(self._newer, target, now)
        return target

    def note_end(self, pid: int, status: int) -> None:
        """A child was waited for, with this wait status. It may be the newer master."""
        if self._newer is not None and self._newer.pid == pid:
            self._newer.status = os.waitstatus_to_exitcode(status)

    # -- of the older one ----------------------------------------------------------------------------------

    def start(
        self,
        target: Target,
        settings: Settings,
        boot_limit: float,
        name: str,
        before_exec: Callable[[], None],
    ) -> Answer | None:
        """name: who wants it, for the log. before_exec: called in the newer one's process, before it is one;
        may raise HookError. Why it is refused; None: it is under way, or `outcome` says."""
        if reason := self._refusal(target):
            log.warning("%s: no upgrade: %s", name, reason)
            return refusal(f"No upgrade: {reason}")
        self.outcome = None
        # Not its arguments: a secret may be among them.
        log.info("%s: starting a newer master, %s", name, self._start.command[0])
        self._manager.reloading("Upgrading")
        try:
            pid, channel = execute(self._start, self._listeners, self._pidfile, before_exec)
        except OSError as error:
            self._say_failed(f"no process could be started: {error.strerror}")
            return None
        due = time.monotonic() + boot_limit + succession.START_ALLOWANCE if boot_limit else 0.0
        state = Progress(due, grace_of(settings), is_automatic=settings.upgrade == "automatic")
        self._newer = Newer(pid, channel, state, handed={each.fileno(): each for each in self._listeners})
        return None

    def _refusal(self, target: Target) -> str:
        if not self._start.command:
            return "how this process was started is not known"
        if self._newer is not None:
            return f"one is under way already, process {self._newer.pid}"
        if self.is_on_trial:
            return f"process {self.older_pid} has not handed over to this master yet"
        if target.mode is Mode.PAUSED:
            return "the server is paused"
        if target.mode is not Mode.RUNNING:
            return "this master is stopping"
        if not target.plan.proven and target.fallback is None:
            return "no worker of this master has been ready yet"
        if os.getpid() == 1:
            return "this is process 1 of its container, which ends with it. HUP loads new code and settings"
        return ""

    def rest(self, target: Target, name: str) -> Target:
        """A terminal sends WINCH too, when its window changes: without a newer one it means nothing."""
        newer = self._newer
        if newer is None or newer.has_handed_over or target.mode is not Mode.RUNNING:
            return target
        if newer.is_on_trial:
            log.warning("%s: process %d is not ready yet; the workers stay", name, newer.pid)
            return target
        log.info(
            "%s: the workers finish their requests, process %d serves; HUP brings them back", name, newer.pid
        )
        return targets.rested(target)

    def postpones_reload(self, name: str) -> Answer | None:
        """Not None: a reload has to wait for the end of a trial. Then whoever serves afterwards does it."""
        newer = self._newer
        if newer is None or not newer.is_on_trial or newer.state.was_told:
            return None
        newer.reload_asked = True
        waits = f"the reload waits until process {newer.pid} is ready, or has failed"
        log.info("%s: %s", name, waits)
        return Answer(True, waits, done=False)

    def _attend_newer(self, newer: Newer, target: Target, now: float) -> Target:
        for message in newer.channel.heard():
            target = self._hear_newer(newer, message, target, now)
        status = status_of(newer.pid) if newer.status is None else newer.status
        if status is not None:
            return self._bury(newer, status, target)
        if newer.has_handed_over:
            return target
        match succession.judge(newer.state, target.mode, now):
            case Verdict.HAND_OVER:
                return self._hand_over(newer, target)
            case Verdict.END:
                newer.state = replace(newer.state, told_at=now)
                self._signal(newer, signal.SIGTERM, target)
            case Verdict.HURRY:
                newer.state = replace(newer.state, hurried_at=now)
                self._signal(newer, signal.SIGINT, target)
            case Verdict.KILL:
                newer.state = replace(newer.state, killed_at=now)
                log.error("Process %d did not stop in time: killed it", newer.pid)
                send(newer.pid, signal.SIGKILL)
        return target

    def _signal(self, newer: Newer, number: signal.Signals, target: Target) -> None:
        if target.mode is Mode.RUNNING:
            newer.error = newer.error or "it was not ready in time (boot_timeout)"
            log.error("Process %d was not ready in time (boot_timeout): it is told to stop", newer.pid)
        send(newer.pid, number)

    def _hear_newer(self, newer: Newer, message: dict[str, Any], target: Target, now: float) -> Target:
        match message:
            case {"say": "limit", "seconds": seconds, "grace": grace, "pidfile": wants_name}:
                due = now + seconds + succession.START_ALLOWANCE if seconds else 0.0
                newer.state = replace(newer.state, due=due, grace=grace)
                newer.wants_name = wants_name
            case {"say": "failed", "text": text}:
                # The first is the reason, what follows are its consequences.
                newer.error = newer.error or text
            case {"say": "ready", "fds": fds}:
                newer.serves_at = [newer.handed[fd] for fd in fds if fd in newer.handed]
                if newer.is_on_trial and not newer.state.was_told:
                    newer.state = replace(newer.state, is_ready=True)
                    self._note_ready(newer)
            case {"say": "reopen"}:
                self._spread(Request.REOPEN_LOGS, self._older)
            case {"say": "hurry"}:
                log.info("Process %d was told to stop at once, and so is this master", newer.pid)
                return targets.stopped(target, Mode.QUICK)
        return target

    def _note_ready(self, newer: Newer) -> None:
        if newer.state.is_automatic:
            return
        self.outcome = Answer(True, f"Process {newer.pid} is ready and serves beside this master")
        log.info(
            "Process %d is ready and serves beside this master (upgrade = manual): WINCH sends the workers "
            "of this one away, HUP brings them back; TERM ends whichever gets it",
            newer.pid,
        )
        self._manager.ready(f"Serving beside process {newer.pid}")
        self._do_postponed(newer)

    def _hand_over(self, newer: Newer, target: Target) -> Target:
        """From here on the newer one has the name, the files and the ear; this one only finishes."""
        newer.has_handed_over = True
        self.outcome = Answer(True, f"Process {newer.pid} has taken over")
        self._manager.hand_over(newer.pid, f"Process {newer.pid} has taken over")
        for listener in newer.serves_at:
            listener.disown()
        if self._pidfile and newer.wants_name:
            self._pidfile.leave()
        newer.channel.tell("take over", reload=newer.reload_asked)
        log.info(
            "Process %d is ready and takes over; this master stops when its workers have finished", newer.pid
        )
        return targets.retired(target)

    def _bury(self, newer: Newer, status: int, target: Target) -> Target:
        self._newer = None
        newer.channel.close()
        how = describe(status)
        if newer.has_handed_over:
            log.error("Process %d, which had taken over, %s", newer.pid, how)
            return target
        if target.mode in targets.STOPPING:
            log.info("Process %d %s", newer.pid, how)
            return target
        if newer.is_on_trial:
            self._say_failed(f"process {newer.pid} {how}" + (f": {newer.error}" if newer.error else ""))
        else:
            log.warning("Process %d %s; this master goes on", newer.pid, how)
            self.outcome = refusal(f"Process {newer.pid} {how}; this master goes on")
            self._manager.ready(f"Process {newer.pid} {how}")
        self._do_postponed(newer)
        return targets.alone(targets.woken(target))

    def _say_failed(self, why: str) -> None:
        self.outcome = refusal(f"Upgrade failed; nothing has changed: {why}")
        log.error("Upgrade failed; nothing has changed: %s", why)
        self._manager.ready(f"Upgrade failed: {why}")

    def _do_postponed(self, newer: Newer) -> None:
        if newer.reload_asked:
            newer.reload_asked = False
            self._wishes.add(Request.RELOAD)

    # -- of the newer one ----------------------------------------------------------------------------------

    def _attend_older(self, older: Older, target: Target, serving: Sequence[Listener] | None) -> None:
        if serving is not None and self.is_on_trial:
            fds = [fd for fd, listener in self._inherited.items() if listener in serving]
            if fds != older.told:
                older.told = fds
                older.channel.tell("ready", fds=fds)
        for message in older.channel.heard():
            match message:
                case {"say": "take over", "reload": reload}:
                    self._take_over(older, target, f"This master has taken over from process {older.pid}")
                    if reload:
                        self._wishes.add(Request.RELOAD)
                case {"say": "reopen"}:
                    self._spread(Request.REOPEN_LOGS, self._newer)
        if not older.channel.is_open:
            if self.is_on_trial:
                self._take_over(older, target, f"Process {older.pid} has gone; this master has taken over")
            self._older = None

    def _take_over(self, older: Older, target: Target, said: str) -> None:
        older.has_handed_over = True
        for listener in self._listeners:
            listener.own()
        if self._pidfile and self._name and self._pidfile.path != self._name:
            try:
                self._pidfile.rename(self._name, older.pid)
            except (OSError, PidfileError) as error:
                log.warning("The pid file stays %s: %s", self._pidfile.path, reason_of(error))
        log.info("%s", said)
        self._manager.speak()
        if target.plan.proven and target.mode is Mode.RUNNING:
            self._manager.ready(f"Serving, generation {target.plan.generation}")

    def _spread(self, request: Request, other: Older | Newer | None) -> None:
        self._wishes.add(request)
        if other is not None:
            other.channel.tell("reopen")


def older_of(text: str) -> Older | None:
    """What the variable says, if it was written for this process."""
    if not text:
        return None
    table = json.loads(text)
    if table["for"] != os.getpid():
        return None  # it is left from another process's environment
    channel = Channel(socket.socket(fileno=table["channel"]))
    return Older(table["pid"], channel, table["listeners"], table["pidfile"])


def tell_failure(text: str, predecessor: str) -> None:
    """For a newer one that ends before it is a master: its settings are wrong."""
    older = older_of(predecessor)
    if older is not None:
        older.channel.tell("failed", text=in_one_line(text))
        older.channel.close()


def in_one_line(text: str) -> str:
    """What it says, and of a traceback the exception."""
    first, *rest = text.strip().splitlines() or [""]
    return ": ".join([first, *rest[-1:]])[:ERROR_MAX]


def seal(predecessor: str) -> None:
    """What is inherited is for this process. Called before any foreign code runs: programs that a
    configuration file starts would hold the port, and the end of the channel."""
    table = json.loads(predecessor)
    for fd in (table["channel"], *inheritance.descriptors(table["listeners"])):
        with suppress(OSError):  # written for another process
            os.set_inheritable(fd, False)


def execute(
    start: Start, listeners: Sequence[Listener], pidfile: Pidfile | None, before_exec: Callable[[], None]
) -> tuple[int, Channel]:
    """Start the newer one: its process id, and our end of the channel. OSError: there is no process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    table = {
        "pid": os.getpid(),
        "channel": theirs.fileno(),
        "listeners": inheritance.described(listeners),
        "pidfile": pidfile.path if pidfile else None,
    }
    try:
        # As for a worker: a signal in between would run the handlers of this process.
        with blocked() as mask, forks.of_our_own():
            pid = os.fork()
            if pid == 0:
                _become(start, table, Channel(theirs), mask, before_exec)
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return pid, Channel(ours)


def _become(
    start: Start,
    table: dict[str, Any],
    channel: Channel,
    mask: set[int],
    before_exec: Callable[[], None],
) -> NoReturn:
    """The child's life up to exec. Descriptors that are not inheritable end there, and all handlers."""
    try:
        pid = os.getpid()
        signal.set_wakeup_fd(-1)
        for number in signal.valid_signals():
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        before_exec()
        listeners = inheritance.descriptors(table["listeners"])
        for fd in {table["channel"], *listeners, *(each.fd for each in start.sockets)}:
            with suppress(OSError):  # one that was passed to us, and is not used any more
                os.set_inheritable(fd, True)
        environ = {
            **start.environ,
            **handing_on(start.sockets, pid),
            **systemd.handing_on(start.environ, pid),
            PREDECESSOR: json.dumps({**table, "for": pid}),
        }
        os.chdir(start.directory)
        log_setup.give_back_streams()
        os.execvpe(start.command[0], list(start.command), environ)
    except OSError as error:
        what = os.fsdecode(error.filename or start.command[0])
        channel.tell("failed", text=f"{what}: {error.strerror}")
    except HookError as error:
        report(error)
        channel.tell("failed", text=str(error))
    except BaseException as error:  # noqa: BLE001 - this process must not go back into the master's frames
        channel.tell("failed", text=f"{type(error).__name__}: {error}")
    finally:
        os._exit(EXIT_FAILURE)


def status_of(pid: int) -> int | None:
    """How the child has ended, as an exit code or minus the number of a signal; None while it lives."""
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return EXIT_FAILURE  # foreign code in this process has waited for it
    return os.waitstatus_to_exitcode(status) if found else None


def describe(code: int) -> str:
    return f"was killed by {signal_name(-code)}" if code < 0 else f"exited with code {code}"


def send(pid: int, number: signal.Signals) -> None:
    # Until it is waited for, its number is not given to another process.
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def grace_of(settings: Settings) -> float:
    """How long workers may take to finish, seconds; 0: any time."""
    if not settings.graceful_timeout:
        return 0.0
    return settings.graceful_timeout + settings.asgi_lifespan_shutdown_timeout
