"""The tables of the stash, and who answers for them: one thread, so each operation is one step for all.

Values stay encoded: they are bytes here, whatever they are. All together they are bounded (BYTES_MAX): what
does not fit is refused, and nothing is thrown away.

Knows: tables, what is asked of them, connections of those who ask. Must not know: processes, who they are.
"""

from __future__ import annotations

import fnmatch
import select
import socket
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import Any

from tricorn.heavy import messages
from tricorn.heavy.errors import (
    DirtyError,
    DirtyProtocolError,
    StashError,
    StashTableNotFoundError,
)
from tricorn.heavy.messages import HEAD, Kind
from tricorn.records import dataclass, field

#: Of all keys and values, bytes.
BYTES_MAX = 256 << 20

#: Who asks has this long to send the question and take the answer, seconds.
TIME = 10.0

#: Of those who ask at once; others wait in the queue.
MOST = 200

STEP = 1 << 20


class Tables:
    def __init__(self, most: int = BYTES_MAX) -> None:
        self._tables: dict[str, dict[str, bytes]] = {}
        self._most = most
        self._bytes = 0

    def answer(self, asked: object) -> Any:
        """Raises StashError, DirtyProtocolError."""
        match asked:
            case {
                "op": str(op),
                "table": str(table),
                "key": str() | None as key,
                "value": bytes() | None as value,
            }:
                return self._answer(op, table, key, value)
        raise DirtyProtocolError

    def _answer(self, op: str, table: str, key: str | None, value: bytes | None) -> Any:
        found = self._tables.get(table, {})
        match op, key, value:
            case "put", str(), bytes():
                self._put(table, key, value)
                return None
            case "get", str(), None:
                return found.get(key)
            case "delete", str(), None:
                return self._delete(found, key)
            case "keys", _, None:
                return [each for each in found if key is None or fnmatch.fnmatchcase(each, key)]
            case "clear", None, None:
                for each in tuple(found):
                    self._delete(found, each)
                return None
            case "info", None, None:
                if table not in self._tables:
                    raise StashTableNotFoundError(table)
                return {"table": table, "size": len(found), "bytes": sum(map(len, found.values()))}
            case "ensure", None, None:
                self._tables.setdefault(table, {})
                return None
            case "exists", None, None:
                return table in self._tables
            case "exists", str(), None:
                return key in found
            case "delete_table", None, None:
                for each in tuple(found):
                    self._delete(found, each)
                return self._tables.pop(table, None) is not None
            case "tables", None, None:
                return list(self._tables)
        raise StashError(f"{op!r} cannot be asked like this: a key is a text")

    def _put(self, table: str, key: str, value: bytes) -> None:
        before = self._tables.get(table, {}).get(key)
        more = len(value) - len(before) if before is not None else len(key) + len(value)
        if self._bytes + more > self._most:
            raise StashError(f"the stash is full: it has {self._bytes >> 20} of {self._most >> 20} MB")
        self._tables.setdefault(table, {})[key] = value
        self._bytes += more

    def _delete(self, table: dict[str, bytes], key: str) -> bool:
        value = table.pop(key, None)
        if value is not None:
            self._bytes -= len(key) + len(value)
        return value is not None


@dataclass(eq=False)
class _Asker:
    """One connection: a question, and then its answer. until: when its time is over."""

    sock: socket.socket
    until: float
    question: bytearray = field(default_factory=bytearray)
    answer: memoryview | None = None


class Counter:
    """Who answers. queue: where those who ask wait."""

    def __init__(self, tables: Tables, queue: socket.socket) -> None:
        self._tables = tables
        self._queue = queue
        self._askers: dict[int, _Asker] = {}
        self.is_open = True

    @property
    def is_idle(self) -> bool:
        return not self._askers

    def look_around(self, others: Sequence[int], seconds: float) -> None:
        """Wait, at most so long, and deal with what has come. others: descriptors that have it come back."""
        waiting = select.poll()
        for fd in others:
            waiting.register(fd, select.POLLIN)
        takes = self.is_open and len(self._askers) < MOST
        if takes:
            waiting.register(self._queue.fileno(), select.POLLIN)
        for fd, asker in self._askers.items():
            waiting.register(fd, select.POLLIN if asker.answer is None else select.POLLOUT)
        ready = {fd for fd, _ in waiting.poll(seconds * 1000)}
        if takes and self._queue.fileno() in ready:
            self._take()
        now = monotonic()
        for fd, asker in tuple(self._askers.items()):
            if (fd in ready and self._goes_on(asker)) or (fd not in ready and now < asker.until):
                continue
            del self._askers[fd]
            asker.sock.close()

    def _take(self) -> None:
        with suppress(BlockingIOError):
            while len(self._askers) < MOST:
                sock, _ = self._queue.accept()
                sock.setblocking(False)
                self._askers[sock.fileno()] = _Asker(sock, monotonic() + TIME)

    def _goes_on(self, asker: _Asker) -> bool:
        """Read, or send, what there is. False: it is over."""
        try:
            if asker.answer is None:
                return self._reads(asker)
            asker.answer = asker.answer[asker.sock.send(asker.answer) :]
        except BlockingIOError:
            return True
        except (OSError, DirtyError):
            return False
        return bool(asker.answer)

    def _reads(self, asker: _Asker) -> bool:
        found = asker.sock.recv(STEP)
        asker.question += found
        if len(asker.question) >= HEAD.size:
            length, _ = messages.head_of(asker.question[: HEAD.size])
            if len(asker.question) >= HEAD.size + length:
                asker.answer = memoryview(self._answer_to(asker.question[HEAD.size :]))
                asker.question = bytearray()
                return True
        return bool(found)

    def _answer_to(self, question: bytearray) -> bytes:
        try:
            return messages.framed(Kind.RESULT, self._tables.answer(messages.decoded(question)))
        except DirtyError as error:
            return messages.framed(Kind.ERROR, error.to_dict())
