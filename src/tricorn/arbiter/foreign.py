"""Foreign code that the master runs besides hooks: what it takes of the process is taken back.

Knows: signals, how a stop gets through to such code. Must not know: what the code is for, what has to be done
when it fails.

A configuration file may be a program, the function of `ssl_context` is one, and so is a module that hooks are
in. Hooks themselves are given more (hooking.py).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from tricorn.arbiter.signals import SignalPipe
from tricorn.arbiter.watch import watching

T = TypeVar("T")

log = logging.getLogger("tricorn.error")

#: Whose code it is, for the log.
CONFIGURATION = "The configuration"
MODULE_OF_HOOKS = "A module that hooks are in"
SSL_CONTEXT = "The function of ssl_context"


class ForeignCode:
    def __init__(self, signals: SignalPipe) -> None:
        self._signals = signals

    def hold(self, who: str) -> None:
        """Take the master's signals back; the log says what was changed, and by whom."""
        for said in self._signals.hold():
            log.warning("%s has changed %s", who, said)

    def run(self, who: str, call: Callable[[], T]) -> T:
        """Where nothing is there yet that a stop would have to end."""
        try:
            return call()
        finally:
            self.hold(who)

    def run_watched(self, who: str, call: Callable[[], T], end: Callable[[int], object]) -> T:
        """The same; told to stop, another thread calls `end` with the signal."""
        try:
            with watching(self._signals, end):
                return call()
        finally:
            self.hold(who)

    def run_interruptible(self, who: str, call: Callable[[], T]) -> T:
        """The same, while workers serve. Interrupted: told to stop; the signal is in the pipe as well."""
        try:
            with self._signals.interruptible():
                return call()
        finally:
            self.hold(who)
