"""The other end of the control socket, for who watches: snapshots in a rhythm, and what somebody wants done.

Knows: how a server is found and asked, which words give what, /proc. Must not know: what is shown of it, the
terminal.

A thread asks, because an answer may take a while: what requests do is told when each worker comes to it, up
to a second later, and a worker that nothing runs in costs half a second more. A command has a thread and a
connection of its own. Whatever they find is a letter (below) that the one who watches takes.

An upgrade is followed: when the older master has handed over, or is gone, the newer one is asked.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from tricorn.commands import ctl, ctl_text
from tricorn.commands.top.keys import Action
from tricorn.control.client import Connection, ControlError
from tricorn.control.protocol import Message
from tricorn.metrics.frames import Process, Snapshot
from tricorn.procfs import usage_of
from tricorn.records import dataclass

#: How long a server may take to answer what it knows itself, seconds.
PATIENCE = ctl.PATIENCE

#: How long the newer master of an upgrade is waited for, seconds.
SUCCESSION = 10.0
ATTEMPTS_EVERY = 0.1


class GoneError(ControlError):
    """There is nobody to ask any more."""


@dataclass(frozen=True)
class Stacks:
    """What was asked for by `dump`."""

    pid: int
    lines: Sequence[str]


@dataclass(frozen=True)
class Said:
    """What came of a command; one line."""

    text: str


@dataclass(frozen=True)
class Gone:
    """The server is; the reason, one line."""

    text: str


@dataclass(frozen=True)
class Failed:
    """A fault of ours."""

    error: BaseException


Letter = Snapshot | Stacks | Said | Gone | Failed


class Source:
    """The server that is watched, and the connection to it. Of one thread.

    line: which one is meant (ctl.py).
    """

    def __init__(self, line: ctl.Line) -> None:
        self._line = line
        self._newer: int | None = None
        self.connection = ctl.server(line)

    def ask(self, question: Message) -> Message:
        return self.connection.ask(question, time.monotonic() + PATIENCE)

    def snapshot(self, *, with_requests: bool = True) -> Snapshot:
        """ControlError: the server does not answer."""
        requests = self._data("requests") if with_requests else ()
        told = self._data("status")
        families = self._maybe_data("metrics")
        status = told["status"]
        self._newer = status["newer"]
        is_near = self.connection.is_seen_as
        processes = _processes([each["pid"] for each in told["workers"]]) if is_near else {}
        return Snapshot(time.monotonic(), status, told["workers"], requests, families, processes)

    def follow(self, snapshot: Snapshot | None) -> None:
        """Go over to the newer master, if that has taken over. snapshot: None: this one is gone. GoneError:
        there is no other."""
        if snapshot is not None and not (snapshot.status["mode"] == "retiring" and self._newer):
            return
        old = self.connection
        old.close()
        end = time.monotonic() + (SUCCESSION if self._newer else 0.0)
        while (found := self._maybe_successor(old.pid)) is None:
            if time.monotonic() >= end:
                raise GoneError("the server has stopped")
            time.sleep(ATTEMPTS_EVERY)
        self.connection, self._newer = found, None

    def _maybe_successor(self, old: int) -> Connection | None:
        """None: nobody has taken over, or not yet."""
        path = ctl.named_socket(self._line)
        try:
            if path:
                found = Connection(path, PATIENCE, trusts_anybody=True)
            elif self._newer:
                found = ctl.of_pidfile(str(self._newer), PATIENCE)
            else:
                return None
        except ControlError:
            return None
        if found.pid != old:
            return found
        found.close()
        return None

    def _data(self, word: str) -> Any:
        answer = self.ask({"do": word})
        if not answer.get("ok"):
            raise ControlError(str(answer.get("say")))
        return answer["data"]

    def _maybe_data(self, word: str) -> Any:
        """None: it was refused."""
        answer = self.ask({"do": word})
        return answer.get("data") if answer.get("ok") else None


def _processes(pids: Sequence[int]) -> dict[int, Process]:
    return {pid: Process(*usage) for pid in pids if (usage := usage_of(pid)) is not None}


class Feed:
    """Snapshots, about one each `interval` seconds, until the server is gone. post: takes letters, from any
    thread."""

    def __init__(
        self, source: Source, line: ctl.Line, interval: float, post: Callable[[Letter], None]
    ) -> None:
        self._source = source
        self._line = line
        self._interval = interval
        self._post = post

    def start(self) -> None:
        threading.Thread(target=self._run, name="feed", daemon=True).start()

    def do(self, action: Action) -> None:
        """dump, replace, kill: what comes of it is posted."""
        threading.Thread(target=self._do, args=(action, self._source.connection.pid), daemon=True).start()

    def _run(self) -> None:
        try:
            self._post(self._source.snapshot(with_requests=False))  # so that there is something at once
            while True:
                begun = time.monotonic()
                self._post(self._next())
                time.sleep(max(0.0, begun + self._interval - time.monotonic()))
        except GoneError as error:
            self._post(Gone(str(error)))
        except BaseException as error:  # noqa: BLE001 - raised again where it can be seen
            self._post(Failed(error))

    def _next(self) -> Snapshot:
        while True:
            try:
                snapshot = self._source.snapshot()
            except ControlError:
                self._source.follow(None)
                continue
            self._source.follow(snapshot)
            return snapshot

    def _do(self, action: Action, master: int) -> None:
        try:
            named = ctl.named_socket(self._line)
            with ctl.server(self._line) if named else ctl.of_pidfile(str(master), PATIENCE) as connection:
                self._post(_outcome(connection, action))
        except ControlError as error:
            self._post(Said(str(error)))
        except BaseException as error:  # noqa: BLE001 - as above
            self._post(Failed(error))


def _outcome(connection: Connection, action: Action) -> Letter:
    deadline = time.monotonic() + PATIENCE if action.what == "dump" else None
    answer = connection.ask({"do": action.what, "pid": action.pid}, deadline)
    if action.what == "dump" and "data" in answer:
        return Stacks(action.pid, ctl_text.stacks(answer["data"]).splitlines())
    return Said(str(answer.get("say", "")))
