"""What signals ask of a worker: a table, and a descriptor that wakes it when one arrives.

Knows: signals. Must not know: what is done about them.

The interpreter's C handler writes the number of a signal into a pipe, whatever any thread is doing, and
whoever keeps house reads it there. So a signal is obeyed although the main thread is inside the application.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from os import readv, write  # bound before Eventlet can put in their place what waits instead of raising
from types import FrameType
from typing import Any

from tricorn.sigaction import use_usual_stack
from tricorn.tracing.trace import SlowRequest

#: What goes on in this worker, so many things at most, each as the transport tells it (Request.told).
Told = Callable[[int], list[dict[str, Any]]]


#: Slow requests since the last call, each with its route.
TakeSlow = Callable[[], list[tuple[SlowRequest, str | None]]]


class Command(Enum):
    """What somebody wants of the worker."""

    DRAIN = "finish what runs, then end"
    QUIT = "end now"
    REOPEN = "open the log files again"


COMMANDS: dict[int, Command] = {
    signal.SIGTERM: Command.DRAIN,
    signal.SIGINT: Command.QUIT,
    signal.SIGQUIT: Command.QUIT,
    signal.SIGUSR1: Command.REOPEN,
}

#: They mean something to the master; sent to a whole group they must not end a worker. A handler that does
#: nothing, not SIG_IGN: that would be inherited by every program that the application starts. The application
#: may have them.
LEFT_ALONE = (signal.SIGHUP, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU)

#: What a process has that the application forks.
DEFAULTS: dict[int, Any] = {signal.SIGINT: signal.default_int_handler}

#: As much as is read at once, without a signal.
NOTHING = bytes(512)


class SignalPipe:
    """The commands that have arrived.

    look: called by whoever reads here when USR1 has come: the master may want more than that logs are opened
        again. look_at_once: by its handler. tell: by whoever keeps house, about once a second, with a way to
        know what goes on; note: likewise of what was slow.
    """

    def __init__(self) -> None:
        self.look: Callable[[], None] = _nothing
        self.look_at_once: Callable[[], None] = _nothing
        self.tell: Callable[[Told], None] = _nothing_to_tell
        self.note: Callable[[TakeSlow], None] = _nothing_to_note
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        self.fd = reader
        self._writer = writer
        #: What was read last, until it is in `_wanted`; zeros are no signal.
        self._room = bytearray(NOTHING)
        self._wanted: dict[Command, None] = {}
        self._handlers: dict[int, Any] = {
            **dict.fromkeys(COMMANDS, self._note),
            **dict.fromkeys(LEFT_ALONE, _do_nothing),
            # Clients go away in the middle of a response: that is an error, and not the worker's end.
            signal.SIGPIPE: signal.SIG_IGN,
        }

    def open(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)

    def maybe_taken(self) -> list[signal.Signals]:
        """The signals that we need and the application has taken, by a handler or a default of its own."""
        return [
            signal.Signals(number)
            for number, handler in self._handlers.items()
            if signal.getsignal(number) != handler and not self._may_keep(number)
        ]

    def _may_keep(self, number: int) -> bool:
        """One that we do not need, unless its default would end the worker."""
        return number not in COMMANDS and signal.getsignal(number) is not signal.SIG_DFL

    def hold(self, *, wakeup: bool = True) -> None:
        """Take our signals back, and let them in. wakeup: also the descriptor that they wake; else it is the
        event loop's."""
        for number, handler in self._handlers.items():
            # Set again although it seems to be there: faulthandler.register() passes by the interpreter's
            # table.
            if not self._may_keep(number):
                signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, COMMANDS)
        use_usual_stack()  # faulthandler has given this thread another one
        if wakeup:
            signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)

    def let_go(self) -> None:
        """In a process that the application has made: what is ours is the default again."""
        # Whoever's it is, the process that we come from has the other end.
        signal.set_wakeup_fd(-1)
        for number, handler in self._handlers.items():
            if signal.getsignal(number) == handler and handler is not signal.SIG_IGN:
                signal.signal(number, DEFAULTS.get(number, signal.SIG_DFL))
        os.close(self.fd)
        os.close(self._writer)

    def wake(self) -> None:
        """Make `fd` readable, from any thread, without a command."""
        with suppress(BlockingIOError):  # it is readable as it is
            write(self._writer, b"\0")

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature of a handler
        # An event loop may have set a wakeup descriptor of its own in place of ours. Otherwise the number is
        # in the pipe twice, which asks for nothing more.
        with suppress(BlockingIOError):
            write(self._writer, bytes((number,)))
        if number == signal.SIGUSR1:
            self.look_at_once()

    def take(self) -> list[Command]:
        """All commands since the last call, each once; makes `fd` quiet again.

        Raises MemoryError: then `fd` is readable, and the next call returns them.
        """
        try:
            return self._take()
        except MemoryError:
            self.wake()
            raise

    def _take(self) -> list[Command]:
        self._sort_out()
        with suppress(BlockingIOError):
            while readv(self.fd, (self._room,)):
                self._sort_out()
        if Command.REOPEN in self._wanted:
            self.look()
        commands = list(self._wanted)
        self._wanted.clear()
        return commands

    def _sort_out(self) -> None:
        for number, command in COMMANDS.items():
            if number in self._room:
                self._wanted[command] = None
        self._room[:] = NOTHING


def _nothing() -> None:
    """What there is to look at before somebody says."""


def _nothing_to_tell(told: Told) -> None:
    """Nobody wants to know."""


def _nothing_to_note(take: TakeSlow) -> None:
    """Nobody wants to know."""


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """A handler, so that the signal has no other effect."""
