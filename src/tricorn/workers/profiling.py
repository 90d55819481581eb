"""A sampling profiler: for some seconds a thread of the worker looks again and again where its threads, tasks
and greenlets are, and counts.

Knows: the wish for a profile, threads and tasks of this process. Must not know: who wishes, what is made of
the answer.

What it costs is decided by what it has cost: after each look it rests for so much longer than the look has
taken that its share of a processor stays below SHARE, however many threads and tasks there are.

It measures time and not work: a thread that waits for a database is where it waits. To look it needs the GIL,
and gets it where another thread gives it away, or after the interpreter's switch interval (5 ms): so of code
that computes for less than that between two system calls, the calls are seen. A shorter interval would slow
all threads. Nothing runs, and nothing is kept, while nobody wishes for a profile.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from _thread import (  # bound before anybody can put greenlets in the place of threads
    get_ident,
    start_new_thread,
)
from collections.abc import Iterator, Sequence
from contextlib import suppress
from gc import get_objects
from itertools import islice
from time import monotonic, sleep, thread_time
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

from tricorn.transport.stacks import OURS, awaiting_frames
from tricorn.wishes import PROFILE_MAX, Wishes

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

#: Of a processor, what it may take. Half of what is promised: being woken and having the GIL handed over
#: costs others something, too, which is not counted here. Measured: 1.8 % more CPU of a thread that computes,
#: beside 16 with 30 frames each (CPython 3.13).
SHARE = 0.01

#: Between two looks at least, seconds: a hundred in a second.
INTERVAL = 0.01

#: How soon it sees that nobody wants it any more, seconds.
ATTENTION = 0.2

#: To find greenlets means to go through all objects.
GREENLETS_INTERVAL = 0.5

#: Tasks and greenlets that are looked at at once, different stacks that are kept, frames of one.
MOST = 500
STACKS_MAX = 2000
DEEPEST = 120

#: Of a name or a file, characters.
NAME_MAX = 200

#: In the answer, characters: the number of a frame, and what a stack has besides.
NUMBER, HEAD = 7, 400

#: Where the standard library's event loop lies, and how its threads begin.
BEGINNINGS = tuple(
    os.path.join(os.path.dirname(os.__file__), name) for name in ("asyncio/", "selectors.py", "threading.py")
)

#: The same of the libraries of green threads.
HUBS = ("/gevent/", "/eventlet/")

#: The golden ratio: rests of all lengths, so that nothing in the application keeps step with the looks.
RATIO = 0.618034

#: What a stack is counted under: what it is the stack of, and its code from the inside.
Key = tuple[str, tuple[int, ...]]


def start(wishes: Wishes, notify: Callable[[], None]) -> None:
    """In the thread that keeps house, or in a signal's handler: of a blocked loop one wants to know most.
    notify: tells the master that there is an answer."""
    asyncio = sys.modules.get("asyncio")
    loop = asyncio._get_running_loop() if asyncio is not None else None  # it raises nothing
    with suppress(RuntimeError, MemoryError):  # no thread for it: the master sees that nothing comes
        start_new_thread(Sampler(wishes, loop).run, (notify,))


class Sampler:
    """loop: the event loop whose tasks are looked at."""

    def __init__(self, wishes: Wishes, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._wishes = wishes
        self._number = wishes.profile
        self._loop = loop
        self._seconds: dict[Key, float] = {}
        self._left_out = 0.0
        self._codes: dict[int, CodeType] = {}  # held, so that no number becomes another one's
        self._is_ours: dict[int, bool] = {}
        self._looks = 0
        self._greenlets_at = 0.0

    def run(self, notify: Callable[[], None]) -> None:
        begun = last = monotonic()
        rest, phase = INTERVAL, 0.0
        while self._rests(rest * (0.5 + phase)):
            phase = (phase + RATIO) % 1
            now, cpu = monotonic(), thread_time()
            self.look(now - last, now)
            last = now
            rest = max(INTERVAL, (thread_time() - cpu) / SHARE)
            if now >= self._wishes.profile_until:
                with suppress(OSError):  # no memory for it
                    self._wishes.profiled(self.answer(now - begun))
                notify()
                return

    def _rests(self, seconds: float) -> bool:
        """At most until the end. False: the profile is not wanted any more, since who has asked for it has
        gone."""
        end = monotonic() + seconds
        while self._number == self._wishes.profile and (until := self._wishes.profile_until):
            left = min(end, until) - monotonic()
            if left <= 0:
                return True
            sleep(min(left, ATTENTION))
        return False

    # -- looking -------------------------------------------------------------------------------------------

    def look(self, seconds: float, now: float) -> None:
        """What is found counts for so many seconds. now: a monotonic instant."""
        self._looks += 1
        for kind, codes in self._threads():
            self._count(kind, codes, seconds)
        for kind, codes in self._tasks():
            self._count(kind, codes, seconds)
        if "greenlet" in sys.modules:
            self._look_at_greenlets(now)

    def _look_at_greenlets(self, now: float) -> None:
        if now < self._greenlets_at:
            return
        cpu = thread_time()
        for codes in self._greenlets():
            self._count("greenlets", codes, GREENLETS_INTERVAL)
        self._greenlets_at = now + max(GREENLETS_INTERVAL, (thread_time() - cpu) / SHARE)

    def _count(self, kind: str, codes: tuple[int, ...], seconds: float) -> None:
        key = (kind, codes)
        if codes and (key in self._seconds or len(self._seconds) < STACKS_MAX):
            self._seconds[key] = self._seconds.get(key, 0.0) + seconds
        elif codes:
            self._left_out += seconds

    def _threads(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        here = get_ident()
        # Not threading.enumerate(), which takes a lock.
        known = dict(threading._active)  # type: ignore[attr-defined]  # there is no public way without
        for ident, frame in sys._current_frames().items():
            if ident != here and (codes := self._of_application(frame)):
                yield _name_of(known.get(ident)), codes

    def _of_application(self, frame: FrameType | None) -> tuple[int, ...]:
        """Of a running stack what lies inside of our code. A thread of ours that does nothing of the
        application's has nothing."""
        is_in_ours = frame is not None and self._ours(frame.f_code)
        while frame is not None and self._ours(frame.f_code):
            frame = frame.f_back
        codes: list[int] = []
        while frame is not None and not self._ours(frame.f_code):
            codes.append(id(frame.f_code))
            frame = frame.f_back
        if frame is None:
            if is_in_ours:  # which nothing of the application's has called
                return ()
            while codes and self._begins(codes[-1]):
                codes.pop()
        return tuple(codes[:DEEPEST])

    def _begins(self, number: int) -> bool:
        name = self._codes[number].co_filename
        return name.startswith(BEGINNINGS) or any(part in name for part in HUBS)

    def _ours(self, code: CodeType) -> bool:
        number = id(code)
        if number not in self._is_ours:
            self._codes[number] = code
            self._is_ours[number] = code.co_filename.startswith(OURS)
        return self._is_ours[number]

    def _tasks(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Those that wait; the one that runs is in a thread's stack."""
        asyncio = sys.modules.get("asyncio")
        if asyncio is None or self._loop is None:
            return
        try:
            tasks = asyncio.all_tasks(self._loop)
            current = asyncio.current_task(self._loop)
        except RuntimeError:  # the loop makes and ends tasks faster than they can be listed
            return
        for task in islice(tasks, MOST):
            if task is not current:
                yield "tasks", self._awaiting(task)

    def _awaiting(self, task: asyncio.Task[Any]) -> tuple[int, ...]:
        try:
            frames = list(awaiting_frames(task))
        except Exception:  # noqa: BLE001 - an awaitable of the application's own
            return ()
        codes = [id(frame.f_code) for frame in frames if not self._ours(frame.f_code)]
        return tuple(reversed(codes[:DEEPEST]))

    def _greenlets(self) -> Iterator[tuple[int, ...]]:
        """Those that wait. The library knows no list of them, but the garbage collector does."""
        library = sys.modules["greenlet"]
        found = (thing for thing in get_objects() if issubclass(type(thing), library.greenlet))
        for each in islice(found, MOST):
            yield self._of_application(each.gr_frame)

    # -- the answer ----------------------------------------------------------------------------------------

    def answer(self, seconds: float) -> dict[str, Any]:
        """What was found: frames as name, file, line; stacks as what they are of, their frames from the
        outside, seconds. left_out: seconds of those for which there is no room. Those that took the longest
        are there."""
        frames: dict[int, int] = {}
        told: list[Sequence[Any]] = []
        stacks: list[tuple[str, list[int], float]] = []
        left_out, room = self._left_out, PROFILE_MAX - 1000
        for (kind, codes), took in sorted(self._seconds.items(), key=lambda each: -each[1]):
            new = {code: _told(self._codes[code]) for code in codes if code not in frames}
            room -= sum(len(json.dumps(each)) + 2 for each in new.values()) + NUMBER * len(codes) + HEAD
            if room < 0:
                left_out += took
                continue
            for code, each in new.items():
                frames[code] = len(told)
                told.append(each)
            stacks.append((kind, [frames[code] for code in reversed(codes)], round(took, 4)))
        return {
            "wish": self._number,
            "pid": os.getpid(),
            "seconds": round(seconds, 3),
            "looks": self._looks,
            "frames": told,
            "stacks": stacks,
            "left_out": round(left_out, 4),
        }


def _told(code: CodeType) -> Sequence[Any]:
    name = getattr(code, "co_qualname", code.co_name)  # since 3.11
    return name[:NAME_MAX], code.co_filename[-NAME_MAX:], code.co_firstlineno


def _name_of(thread: threading.Thread | None) -> str:
    """Threads of one pool count together. The class may be the application's."""
    try:
        name = str(thread.name if thread is not None else "")[:50]
    except Exception as error:  # noqa: BLE001 - foreign code
        return f"(its name raised {type(error).__name__})"
    return re.sub(r"[0-9]+", "N", name) or "without a name"
