"""What signals ask of a worker: a table, and a descriptor that wakes it when one arrives.

Knows: signals. Must not know: what is done about them.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from enum import Enum
from types import FrameType


class Wish(Enum):
    """What somebody wants of the worker."""

    DRAIN = "finish what runs, then end"
    QUIT = "end now"
    REOPEN = "open the log files again"


WISHES: dict[int, Wish] = {
    signal.SIGTERM: Wish.DRAIN,
    signal.SIGINT: Wish.QUIT,
    signal.SIGQUIT: Wish.QUIT,
    signal.SIGUSR1: Wish.REOPEN,
}

# They mean something to the master; sent to a whole group they must not end a worker.
IGNORED = (signal.SIGHUP, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU, signal.SIGWINCH, signal.SIGPIPE)


class Inbox:
    """The wishes that have arrived. Handlers run in the main thread and only take a note."""

    def __init__(self) -> None:
        self._wishes: list[Wish] = []
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        self.fd = reader
        self._writer = writer

    def open(self) -> None:
        for number in WISHES:
            signal.signal(number, self._note)
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature of a handler
        self._wishes.append(WISHES[number])
        # An event loop may have set a wakeup descriptor of its own in place of ours.
        with suppress(BlockingIOError):
            os.write(self._writer, b"!")

    def take(self) -> list[Wish]:
        """All wishes since the last call; makes `fd` quiet again."""
        with suppress(BlockingIOError):
            while os.read(self.fd, 512):
                continue
        wishes, self._wishes = self._wishes, []
        return wishes
