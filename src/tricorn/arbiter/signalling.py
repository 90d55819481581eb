"""How a child is told something: by which signal, and what is said in its row beside that.

Knows: the records of children, which signal says what to a worker and what to a mold. Must not know: why a
child is told, what signals mean to the master (signals.py), when a child is silent (silence.py).
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress

from tricorn.arbiter.children import ChildRecord, Registry
from tricorn.scoreboard import HURRY, READY


class Signaller:
    """Tells the children of this registry. Its methods give the record, for the instant to be noted."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def drain(self, pid: int) -> ChildRecord:
        """Serve no new connections, finish what there is, and end."""
        return self._send(self.child(pid), signal.SIGTERM)

    def interrupt(self, pid: int) -> ChildRecord:
        """End now."""
        child = self.child(pid)
        if not child.is_mold:
            # Not SIGQUIT: a worker that has not set its handlers yet would dump core.
            return self._send(child, signal.SIGINT)
        if child.was_told_to_end:
            # Told again. A signal that follows another at once may become one with it.
            child.row.stopping = HURRY
        return self._send(child, signal.SIGTERM)

    def hurry_molds(self) -> None:
        """Whoever asks once more does not wait for what the application has left in them."""
        for child in self._registry:
            if child.is_mold and child.interrupted_at is not None:
                self.interrupt(child.pid)

    def kill(self, pid: int) -> ChildRecord:
        return self._send(self.child(pid), signal.SIGKILL)

    def have_look(self, child: ChildRecord) -> None:
        """There is something to look at: wishes of the master's, log files that have to be opened again."""
        self._send(child, signal.SIGUSR1)

    def say_again(self, child: ChildRecord) -> None:
        """To a worker that has just become READY. What it was told before that it need not have heard: the
        application's import may have put faulthandler in the place of its handlers."""
        if child.interrupted_at is not None:
            self.interrupt(child.pid)
        elif child.drained_at is not None and child.row.state == READY:
            self.drain(child.pid)

    def child(self, pid: int) -> ChildRecord:
        """The record of a child that is there."""
        child = self._registry.get(pid)
        if child is None:
            raise AssertionError(f"decide() named {pid}, which is not a child")
        return child

    def _send(self, child: ChildRecord, number: signal.Signals) -> ChildRecord:
        # Until it is reaped its number is not given to another process. If the application has reaped it,
        # there is nobody to tell, and the next look at the children finds that.
        if not child.is_ordered:
            with suppress(ProcessLookupError):
                os.kill(child.pid, number)
        return child
