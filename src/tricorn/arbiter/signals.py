"""What each signal means to the master, and how signals reach its loop.

Knows: signal numbers, the target. Must not know: processes, or what a request leads to.

A handler does nothing here. The interpreter's C handler writes the signal's number into a pipe, and the
master's loop reads it there: no Python code ever runs in the middle of something else.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from types import FrameType

from tricorn.arbiter.target import Mode, Target, fewer, more, stopped

Change = Callable[[Target], Target]


class Request(Enum):
    """Signals that need more than another target."""

    RELOAD = "reload"
    REOPEN_LOGS = "reopen logs"
    #: Children are looked after on every turn of the loop; the signal only has to wake it.
    REAP = "reap"


def _drain(target: Target) -> Target:
    return stopped(target, Mode.DRAINING)


def _quit(target: Target) -> Target:
    return stopped(target, Mode.QUICK)


#: The master's signals. One that is not here keeps its default action.
MEANING: dict[signal.Signals, Change | Request] = {
    signal.SIGTERM: _drain,
    signal.SIGINT: _quit,
    signal.SIGQUIT: _quit,
    signal.SIGTTIN: more,
    signal.SIGTTOU: fewer,
    signal.SIGHUP: Request.RELOAD,
    signal.SIGUSR1: Request.REOPEN_LOGS,
    signal.SIGCHLD: Request.REAP,
}

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


#: What a process has that the application forks, where it is not SIG_DFL.
DEFAULTS: dict[signal.Signals, Callable[[int, FrameType | None], object]] = {
    signal.SIGINT: signal.default_int_handler
}


def _only_wake(_number: int, _frame: FrameType | None) -> None:
    """Exists because the interpreter writes only signals that have a Python handler into the pipe."""


class SignalPipe:
    """Signals as bytes: readable when one has arrived. Also how anything else wakes the loop.

    `install()` makes the process's handlers the master's. At the end of `with` the signals are ignored: a
    master that has stopped has nothing left to be told, and a late TERM must not change its exit code.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._installed = False

    def __enter__(self) -> SignalPipe:
        return self

    def install(self) -> None:
        # A full pipe (64 KiB of unread signals) already wakes the loop; the warning would help nobody.
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._installed = True
        for number in MEANING:
            signal.signal(number, _only_wake)
        # Whoever started us, or a preloaded application, may have blocked them.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, MEANING)

    def __exit__(self, *_: object) -> None:
        if self._installed:
            signal.set_wakeup_fd(-1)
            for number in MEANING:
                signal.signal(number, signal.SIG_DFL if number == signal.SIGCHLD else signal.SIG_IGN)
        self.close()

    def let_go(self) -> None:
        """In a process that the application forks from the master: what is ours is the default again."""
        signal.set_wakeup_fd(-1)
        for number in MEANING:
            if signal.getsignal(number) is _only_wake:
                signal.signal(number, DEFAULTS.get(number, signal.SIG_DFL))
        self.close()

    def fileno(self) -> int:
        return self._reader

    def close(self) -> None:
        """Also for a worker, which has no use for its copy."""
        os.close(self._reader)
        os.close(self._writer)

    def arrived(self) -> Iterator[signal.Signals]:
        """The signals since the last call, in the order of their arrival."""
        while True:
            try:
                numbers = os.read(self._reader, 4096)
            except BlockingIOError:
                return
            for number in numbers:
                yield signal.Signals(number)


def become_worker() -> None:
    """Forget the master's handlers. The caller has blocked all signals since before the fork."""
    signal.set_wakeup_fd(-1)
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
