"""What the master wants of all its workers, beyond what signals say: a page of shared memory, and files in
memory for their answers.

Knows: the wishes, how they, the answers and notes get from one process to another. Must not know: who wishes,
what is done about it, what is noted.

A wish is a number that the master stores. Workers look when they get USR1, which they get for a rotation of
the logs too: then nothing has changed. Whether somebody wants to know of their requests (`requests`) they
look now and then, without a signal. An answer is one line of JSON, appended with one write, so several
workers may answer at once. The files have no names, so nobody else can open them.

What workers tell without being asked (slow requests) goes into such a file too, which the master empties
while no worker writes: that it is whole matters more here than that nobody ever waits, and a worker that
finds it locked tries again when it keeps house next. The lock is one of the kernel's, of a process (fcntl),
and ends with it.
"""

from __future__ import annotations

import errno
import fcntl
import json
import mmap
import os
from collections.abc import Sequence
from typing import Any

#: Of one answer, bytes; a worker says less rather than more.
ANSWER_MAX = 256 * 1024

#: Of all that the master reads at once.
READ_MAX = 64 << 20

#: Of a worker's profile.
PROFILE_MAX = 512 * 1024
#: Of what is told without being asked, bytes: from here on the master is to be woken, and beyond that
#: nothing more is written.
NOTES_MANY = 1 << 20
NOTES_MAX = 4 << 20

_LEVEL, _STACKS, _REQUESTS, _PROFILE, _PROFILE_UNTIL = range(5)


class Wishes:
    """Made by the master before its first fork."""

    def __init__(self) -> None:
        self._words = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("q")
        self._stacks = _Answers("tricorn-answers")
        self._requests = _Answers("tricorn-requests")
        self._profiles = _Answers("tricorn-profiles")
        self._notes = _Notes("tricorn-notes")

    # -- the master's side -----------------------------------------------------------------------------------

    @property
    def level(self) -> int:
        """Of the error log, as `logging` counts; 0: that of the settings."""
        return self._words[_LEVEL]

    @level.setter
    def level(self, level: int) -> None:
        self._words[_LEVEL] = level

    @property
    def stacks(self) -> int:
        """The number of the wish for stacks; 0: nobody has wished for any yet."""
        return self._words[_STACKS]

    @property
    def requests(self) -> int:
        """The same of the wish to know what requests do."""
        return self._words[_REQUESTS]

    def want_stacks(self) -> int:
        """A new wish; gives its number. Answers to others are thrown away."""
        self._stacks.clear()
        self._words[_STACKS] += 1
        return self._words[_STACKS]

    def want_requests(self) -> int:
        """As want_stacks()."""
        self._requests.clear()
        self._words[_REQUESTS] += 1
        return self._words[_REQUESTS]

    def answers(self) -> list[dict[str, Any]]:
        """Those to the latest wish for stacks that are new. A worker has written them, and its application
        may write there too, so they are taken for what they look like and no more."""
        return self._stacks.new(self.stacks)

    def told(self) -> list[dict[str, Any]]:
        """The same of requests."""
        return self._requests.new(self.requests)

    @property
    def profile(self) -> int:
        """The number of the wish for a profile."""
        return self._words[_PROFILE]

    @property
    def profile_until(self) -> float:
        """A monotonic instant; 0: nobody wants any."""
        return self._words[_PROFILE_UNTIL] / 1e9

    def want_profile(self, until: float) -> int:
        """As want_stacks(). until: a monotonic instant."""
        self._profiles.clear()
        self._words[_PROFILE_UNTIL] = int(until * 1e9)
        self._words[_PROFILE] += 1
        return self._words[_PROFILE]

    def end_profile(self) -> None:
        """Nobody wants it any more."""
        self._words[_PROFILE_UNTIL] = 0
        self._profiles.clear()

    def profiles(self) -> list[dict[str, Any]]:
        """As answers()."""
        return self._profiles.new(self.profile)

    def noted(self) -> list[dict[str, Any]]:
        """What workers have noted since the last call, oldest first. It is taken for what it looks like."""
        return self._notes.taken()

    def close(self) -> None:
        """Workers have copies."""
        self._words[_PROFILE_UNTIL] = 0
        self._stacks.close()
        self._requests.close()
        self._profiles.close()
        self._notes.close()

    # -- a worker's side -------------------------------------------------------------------------------------

    def answer(self, answer: dict[str, Any]) -> None:
        """To the wish for stacks. OSError: it cannot be written."""
        self._stacks.append(answer)

    def tell(self, answer: dict[str, Any]) -> None:
        """To the wish to know what requests do."""
        self._requests.append(answer)

    def profiled(self, answer: dict[str, Any]) -> None:
        """To the wish for a profile."""
        self._profiles.append(answer)

    def note(self, notes: Sequence[dict[str, Any]]) -> bool:
        """Have the master know, when it looks. False: not now. OSError: it cannot be written."""
        return self._notes.add(notes)

    @property
    def has_many_notes(self) -> bool:
        """The master should look."""
        return self._notes.size > NOTES_MANY


def _file(name: str) -> int:
    """In memory; whoever writes, writes at its end."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_APPEND)
    return fd


class _Answers:
    """A file in memory."""

    def __init__(self, name: str) -> None:
        self._fd = _file(name)
        self._read = 0

    def clear(self) -> None:
        os.ftruncate(self._fd, 0)
        self._read = 0

    def append(self, answer: dict[str, Any]) -> None:
        os.write(self._fd, json.dumps(answer).encode("ascii") + b"\n")

    def new(self, wish: int) -> list[dict[str, Any]]:
        data = os.pread(self._fd, READ_MAX, self._read)
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        return [answer for line in whole.splitlines() if (answer := _maybe_answer(line, wish)) is not None]

    def close(self) -> None:
        os.close(self._fd)


class _Notes:
    """A file in memory, which several write and one empties."""

    def __init__(self, name: str) -> None:
        self._fd = _file(name)
        self._read = 0

    @property
    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def add(self, notes: Sequence[dict[str, Any]]) -> bool:
        if self.size > NOTES_MAX or not self._is_locked(fcntl.LOCK_SH):
            return False
        try:
            os.write(self._fd, b"".join(json.dumps(note).encode("ascii") + b"\n" for note in notes))
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN)
        return True

    def taken(self) -> list[dict[str, Any]]:
        size = self.size
        if size == self._read:
            return []
        if size <= NOTES_MANY or not self._is_locked(fcntl.LOCK_EX):
            return self._new()
        try:
            found = self._new()
            os.ftruncate(self._fd, 0)
            self._read = 0
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN)
        return found

    def _new(self) -> list[dict[str, Any]]:
        data = os.pread(self._fd, READ_MAX, self._read)
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        notes = (_maybe_object(line) for line in whole.splitlines())
        return [note for note in notes if note is not None]

    def _is_locked(self, how: int) -> bool:
        try:
            fcntl.lockf(self._fd, how | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            return False
        return True

    def close(self) -> None:
        os.close(self._fd)


def _maybe_object(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _maybe_answer(line: bytes, wish: int) -> dict[str, Any] | None:
    answer = _maybe_object(line)
    return answer if answer is not None and answer.get("wish") == wish else None
