"""What each signal and each command means to the master, and how signals reach its loop.

Knows: signal numbers, words, the target. Must not know: processes, what a request leads to, how a command
comes.

A handler does nothing here. The interpreter's C handler writes the signal's number into a pipe, and the
master's loop reads it there: no Python code ever runs in the middle of something else. The one exception is
`interruptible()`, for foreign code that the loop has to wait for.
"""

from __future__ import annotations

import logging
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from os import read  # ours, also when a preloaded application puts another one in its place
from select import POLLIN, poll
from types import FrameType

from tricorn.arbiter.target import Mode, Target, fewer, more, paused, resumed, stopped
from tricorn.records import dataclass
from tricorn.sigaction import use_usual_stack

log = logging.getLogger("tricorn.error")

#: Of the target, at an instant.
Change = Callable[[Target, float], Target]
Handler = Callable[[int, FrameType | None], object] | int | None


class Request(Enum):
    """What needs more than another target."""

    RELOAD = "reload"
    REOPEN_LOGS = "reopen logs"
    #: Children are looked after on every turn of the loop; the signal only has to wake it.
    REAP = "reap"
    #: A newer master in the place of this one.
    UPGRADE = "upgrade"
    #: The newer one serves alone for a while.
    REST = "rest"


def drain(target: Target, now: float) -> Target:
    return stopped(target, Mode.DRAINING, now)


def end(target: Target, now: float) -> Target:
    return stopped(target, Mode.QUICK, now)


def one_more(target: Target, _now: float) -> Target:
    return more(target)


def one_fewer(target: Target, _now: float) -> Target:
    return fewer(target)


def pause(target: Target, _now: float) -> Target:
    return paused(target)


def resume(target: Target, _now: float) -> Target:
    return resumed(target)


Meaning = Change | Request


@dataclass(frozen=True)
class Word:
    """One thing that the master can be told. command: over the control socket; signals: any of them."""

    meaning: Meaning
    command: str = ""
    signals: tuple[signal.Signals, ...] = ()


#: All of them; some have no signal. Commands that say which, or how many, are in control.py.
WORDS = (
    Word(drain, "stop", (signal.SIGTERM,)),
    Word(end, "quit", (signal.SIGINT, signal.SIGQUIT)),
    Word(Request.RELOAD, "reload", (signal.SIGHUP,)),
    Word(Request.REOPEN_LOGS, "reopen", (signal.SIGUSR1,)),
    Word(Request.UPGRADE, "upgrade", (signal.SIGUSR2,)),
    Word(Request.REST, "rest", (signal.SIGWINCH,)),
    Word(one_more, "more", (signal.SIGTTIN,)),
    Word(one_fewer, "fewer", (signal.SIGTTOU,)),
    Word(pause, "pause"),
    Word(resume, "resume"),
    Word(Request.REAP, signals=(signal.SIGCHLD,)),
)

#: The master's signals.
MEANING: dict[int, Meaning] = {number: word.meaning for word in WORDS for number in word.signals}

#: The same, by command.
COMMANDS: dict[str, Meaning] = {word.command: word.meaning for word in WORDS if word.command}

#: Those that tell the master to end; nothing else does, short of a crash.
STOPS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})

#: What the machine says of a process that is broken. They end it, as they should.
_CRASHES = {
    *(signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV, signal.SIGSYS),
    signal.SIGTRAP,
}

#: The kernel's own action is to ignore them, to stop the process or to let it go on (signal(7)). KILL and
#: STOP cannot be caught.
_HARMLESS = {
    *(signal.SIGCONT, signal.SIGKILL, signal.SIGSTOP, signal.SIGTSTP, signal.SIGURG),
}

#: Failures of a system call that shows them as well. The interpreter ignores them from the start; a handler
#: would answer each failing write with one more line to write.
_ERRORS = frozenset({signal.SIGPIPE, signal.SIGXFSZ})

#: All others, from ALRM to the last real-time signal, would end the process, and whoever sends one to the
#: master cannot mean that. They are caught unless somebody else has a use for them.
STRAYS = frozenset(signal.valid_signals()) - MEANING.keys() - _CRASHES - _HARMLESS - _ERRORS

#: What a worker starts with. None is a handler that does nothing: these signals mean something to the
#: master, are easily sent to workers by mistake (`pkill -HUP`), and by default would kill them. Not SIG_IGN,
#: because that would be inherited by every program the application starts; a handler is not.
WORKER_START: dict[signal.Signals, signal.Handlers | None] = {
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGINT: signal.SIG_DFL,
    signal.SIGQUIT: signal.SIG_DFL,
    signal.SIGABRT: signal.SIG_DFL,
    signal.SIGCHLD: signal.SIG_DFL,
    signal.SIGHUP: None,
    signal.SIGUSR1: None,
    signal.SIGUSR2: None,
    signal.SIGTTIN: None,
    signal.SIGTTOU: None,
}


class Interrupted(BaseException):
    """The master was told to stop inside `interruptible()`. Foreign code catches Exception, so it is none."""


def signal_name(number: int) -> str:
    # Most real-time signals have no names.
    known = {each.value: each.name for each in signal.Signals}
    return known.get(number, f"signal {number}")


def signal_names(numbers: Iterable[int]) -> str:
    return ", ".join(map(signal_name, sorted(numbers)))


def brace() -> None:
    """For a process that becomes a master: from here on only a signal that tells it to stop ends it.

    INT does so at once, as TERM does. As an exception it would be lost wherever one is: in a callback of a
    weak reference while modules are imported, in a configuration file that catches everything.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    for number in (MEANING.keys() | STRAYS) - STOPS - {signal.SIGCHLD}:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _only_wake)


def _only_wake(_number: int, _frame: FrameType | None) -> None:
    """Exists because the interpreter writes only signals that have a Python handler into the pipe."""


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None], numbers: Iterable[int]) -> Iterator[None]:
    """In place of ours. What foreign code sets instead meanwhile is for `hold()` to find."""
    try:
        for number in numbers:
            signal.signal(number, handler)
        yield
    finally:
        for number in numbers:
            if signal.getsignal(number) is handler:
                signal.signal(number, _only_wake)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise Interrupted


class _Guarded:
    """A handler of foreign code for a signal that means nothing to the master.

    It is called in the middle of anything that the master, or a mold, does, so what it raises ends here.
    """

    def __init__(self, handler: Callable[[int, FrameType | None], object], owner: str) -> None:
        self.handler = handler
        self.owner = owner

    def __call__(self, number: int, frame: FrameType | None) -> None:
        try:
            self.handler(number, frame)
        except BaseException:
            log.exception("The application's handler of %s raised in %s", signal_name(number), self.owner)


class SignalPipe:
    """Signals as bytes: readable when one has arrived. Also how anything else wakes the loop.

    `install()` makes the process's handlers the master's. At the end of `with` the signals are ignored: a
    master that has stopped has nothing left to be told, and a late TERM must not change its exit code.

    owner: whose handlers they are, for the log. A mold has the same, because foreign code runs in it, too.
    """

    def __init__(self, owner: str = "the master") -> None:
        self._owner = owner
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._installed = False
        self._is_open = True
        self._arrived: deque[int] = deque()
        #: The handlers as `hold()` left them.
        self._held: dict[int, Handler] = {}

    def __enter__(self) -> SignalPipe:
        return self

    def __exit__(self, *_: object) -> None:
        if self._installed:
            signal.set_wakeup_fd(-1)
            for number in MEANING:
                signal.signal(number, signal.SIG_DFL if number == signal.SIGCHLD else signal.SIG_IGN)
        self.close()

    def install(self) -> None:
        self._installed = True
        self.hold()

    def hold(self) -> list[str]:
        """Make the handlers the master's again, after foreign code ran; gives what that had changed.

        A handler for a signal that means nothing to the master stays.
        """
        if not self._is_open:
            # A child of the foreign code came back through the master's frames.
            return []
        # First: without it, a signal that finds a handler which only wakes is lost. A full pipe (64 KiB of
        # unread signals) already wakes the loop; the warning would help nobody.
        woken = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        said = self._trespasses()
        for number in MEANING:
            signal.signal(number, _only_wake)
        for number in signal.valid_signals() - MEANING.keys():
            handler = signal.getsignal(number)
            if handler is signal.SIG_DFL and number in STRAYS:
                signal.signal(number, _only_wake)
            elif callable(handler) and handler is not _only_wake and not isinstance(handler, _Guarded):
                signal.signal(number, _Guarded(handler, self._owner))
        for number in _ERRORS:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, signal.SIG_IGN)
        self._held = {number: signal.getsignal(number) for number in signal.valid_signals()}
        if woken != self._writer:
            said.append(f"the wake-up descriptor; {self._owner} has restored its own")
        use_usual_stack()  # a preloaded application may have enabled faulthandler
        # Last, because what was held back arrives now.
        blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, MEANING.keys() | STRAYS)
        if taken := blocked & MEANING.keys():
            said.append(f"the signal mask; {self._owner} has unblocked {signal_names(taken)} again")
        return said

    def _trespasses(self) -> list[str]:
        changed = {
            number for number, handler in self._held.items() if signal.getsignal(number) is not handler
        }
        said = []
        if taken := changed & MEANING.keys():
            said.append(f"the handlers of {signal_names(taken)}; {self._owner} has restored its own")
        if others := changed - MEANING.keys():
            said.append(f"the handlers of {signal_names(others)}, which {self._owner} does not use")
        return said

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let a signal that tells to stop raise Interrupted in what runs here; it is in the pipe as well."""
        with _handled_by(_interrupt, STOPS):
            yield

    @contextmanager
    def patient(self, is_enough: Callable[[int], bool]) -> Iterator[None]:
        """As `interruptible`, but each such signal, and CHLD, asks first whether it is time for that."""

        def ask(number: int, _frame: FrameType | None) -> None:
            if is_enough(number):
                raise Interrupted

        with _handled_by(ask, STOPS | {signal.SIGCHLD}):
            yield

    @contextmanager
    def mortal(self) -> Iterator[None]:
        """Let TERM end the process at once, whatever runs here."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            yield
        finally:
            if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
                signal.signal(signal.SIGTERM, _only_wake)

    def is_stray(self, number: int) -> bool:
        """Whether nobody in this process has a use for the signal."""
        return number in STRAYS and signal.getsignal(number) is _only_wake

    def fileno(self) -> int:
        return self._reader

    def close(self) -> None:
        """Also for another process, which has no use for its copy."""
        if self._is_open:
            self._is_open = False
            os.close(self._reader)
            os.close(self._writer)

    def arrived(self) -> Iterator[int]:
        """The signals since the last call, in the order of their arrival."""
        self._read()
        while self._arrived:
            yield self._arrived.popleft()

    def stop_asked(self) -> int | None:
        """The signal that told to stop, if one has arrived; all stay for `arrived()`."""
        self._read()
        return next((number for number in self._arrived if number in STOPS), None)

    def wait(self, seconds: float) -> None:
        """Until a signal arrives."""
        waiting = poll()
        waiting.register(self._reader, POLLIN)
        waiting.poll(seconds * 1000)

    def _read(self) -> None:
        while True:
            try:
                self._arrived += read(self._reader, 4096)
            except BlockingIOError:
                return


def become_stranger() -> None:
    """In a child that foreign code has forked: what it does with signals is its own business, and the numbers
    of those that it gets must not go to the master."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        handler = signal.getsignal(number)
        if isinstance(handler, _Guarded):
            signal.signal(number, handler.handler)
        elif handler is _only_wake:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def become_worker() -> None:
    """Forget the master's handlers. The caller has blocked all signals since before the fork."""
    become_stranger()
    for number, handler in WORKER_START.items():
        signal.signal(number, _only_wake if handler is None else handler)


@contextmanager
def blocked() -> Iterator[set[int]]:
    """Hold back all signals; gives the mask to go back to."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield before
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
