"""What the master wants of all its workers, beyond what signals say: a page of shared memory, and a file in
memory for their answers.

Knows: the wishes, how they and the answers get from one process to another. Must not know: who wishes, what
is done about it.

A wish is a number that the master stores. Workers look when they get USR1, which they get for a rotation of
the logs too: then nothing has changed. An answer is one line of JSON, appended with one write, so several
workers may answer at once. The file has no name, so nobody else can open it.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
from typing import Any

#: Of one answer, bytes; a worker says less rather than more.
ANSWER_MAX = 256 * 1024

#: Of all that the master reads at once.
READ_MAX = 64 << 20

_LEVEL, _STACKS = 0, 1


class Wishes:
    """Made by the master before its first fork."""

    def __init__(self) -> None:
        self._words = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("q")
        self._answers = os.memfd_create("tricorn-answers", os.MFD_CLOEXEC)
        flags = fcntl.fcntl(self._answers, fcntl.F_GETFL)
        fcntl.fcntl(self._answers, fcntl.F_SETFL, flags | os.O_APPEND)
        self._read = 0

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

    def want_stacks(self) -> int:
        """A new wish; gives its number. Answers to others are thrown away."""
        os.ftruncate(self._answers, 0)
        self._read = 0
        self._words[_STACKS] += 1
        return self._words[_STACKS]

    def answers(self) -> list[dict[str, Any]]:
        """Those to the latest wish that are new. A worker has written them, and its application may write
        there too, so they are taken for what they look like and no more."""
        data = os.pread(self._answers, READ_MAX, self._read)
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        return [answer for line in whole.splitlines() if (answer := self._maybe_answer(line)) is not None]

    def _maybe_answer(self, line: bytes) -> dict[str, Any] | None:
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            return None
        is_one = isinstance(answer, dict) and answer.get("wish") == self.stacks
        return answer if is_one else None

    def close(self) -> None:
        """Workers have copies."""
        os.close(self._answers)

    # -- a worker's side -------------------------------------------------------------------------------------

    def answer(self, answer: dict[str, Any]) -> None:
        """OSError: it cannot be written."""
        os.write(self._answers, json.dumps(answer).encode("ascii") + b"\n")
