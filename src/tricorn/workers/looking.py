"""What a worker does when the master wishes for something that no signal says: show its stacks, tell which
requests it has, log more. And what it tells unasked: which requests were slow.

Knows: the wishes, threads and tasks of this process. Must not know: who wishes, what becomes of the answers.

Two of a worker's threads may look. The signal's handler runs in the main thread as soon as that comes to run
Python code, also where that blocks an event loop; whoever keeps house looks when it reads the signal, also
where the main thread is stuck in compiled code. Whoever is first answers. In a handler nothing may wait for a
lock that the interrupted code could hold: it logs nothing, and asks `threading` for nothing.

Stacks are wanted of a worker that does not go on, so a signal asks for them. Requests are wanted again and
again while somebody watches, and a signal interrupts a system call of the application's, which not all
libraries expect: so whoever keeps house looks whether they are wanted, about once a second.
"""

from __future__ import annotations

import gc
import math
import os
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

from tricorn.log import setup as log_setup
from tricorn.transport.stacks import OURS, awaiting_stack
from tricorn.wishes import ANSWER_MAX, Wishes
from tricorn.workers import profiling, slow
from tricorn.workers.profiling import BEGINNINGS, HUBS
from tricorn.workers.signals import TakeSlow, Told

if TYPE_CHECKING:
    import asyncio

#: Threads and tasks of one worker that are shown.
MOST = 200

#: Of all their text, in characters: JSON makes up to six bytes of one.
TEXT_MAX = ANSWER_MAX // 8

#: Of a name that the application has given.
NAME_MAX = 100

#: Requests of one worker that are told, and how many are looked at to find those that have taken the
#: longest: who watches must not hold up a worker with ten thousand streams.
REQUESTS_MOST = 100
LOOKED_AT = 2000

#: Of a target, the name of a client, an id: as much of it, in characters.
WORD_MAX = 500

#: Slow requests that could not be told yet.
SLOW_OWED = 64

Stack = dict[str, str]


class Look:
    """notify: tells the master that there is an answer."""

    def __init__(self, wishes: Wishes, notify: Callable[[], None]) -> None:
        self._wishes = wishes
        self._notify = notify
        self._answered = wishes.stacks
        self._told = wishes.requests
        self._profiled = wishes.profile
        self._level = 0
        self._owed: deque[dict[str, Any]] = deque(maxlen=SLOW_OWED)
        self.at_house()

    def at_house(self) -> None:
        """By whoever keeps house."""
        level = self._wishes.level
        if level and level != self._level:
            log_setup.set_level(level)
        self._level = level
        self.in_handler()

    def in_handler(self) -> None:
        """The part that a signal's handler may do."""
        if self._wishes.profile != self._profiled:
            self._profiled = self._wishes.profile
            profiling.start(self._wishes, self._notify)
        wish = self._wishes.stacks
        if wish == self._answered:
            return
        self._answered = wish
        answer: dict[str, Any] = {"wish": wish, "pid": os.getpid(), **stacks()}
        with suppress(OSError):  # no memory for it: the master sees that nothing comes
            self._wishes.answer(answer)
        self._notify()

    def tell(self, told: Told) -> None:
        """By whoever keeps house, now and then. The master looks by itself: being woken by each of its
        workers costs it more."""
        wish = self._wishes.requests
        if wish == self._told:
            return
        self._told = wish
        with suppress(OSError):  # no memory for it
            self._wishes.tell({"wish": wish, "pid": os.getpid(), **requests(told)})

    def note(self, take: TakeSlow) -> None:
        """Slow requests, by whoever keeps house, now and then, and at the end."""
        found = take()
        if found:
            wall = time.time() - time.monotonic()
            self._owed.extend({"pid": os.getpid(), **slow.told(each, route, wall)} for each, route in found)
        if not self._owed:
            return
        with suppress(OSError):  # no memory for it: next time, perhaps
            if self._wishes.note(list(self._owed)):
                self._owed.clear()
            if self._wishes.has_many_notes:
                self._notify()


def requests(told: Told) -> dict[str, Any]:
    """Those that have taken the longest, and then those of which that is not known; left_out: so many more,
    at least."""
    found = sorted(told(LOOKED_AT), key=lambda each: each["since"] or math.inf)
    kept = [
        {key: value[:WORD_MAX] if isinstance(value, str) else value for key, value in each.items()}
        for each in found[:REQUESTS_MOST]
    ]
    return {"requests": kept, "left_out": len(found) - len(kept)}


def stacks() -> dict[str, Any]:
    """Of all threads, tasks and greenlets of this process, but for those that only serve; left_out: so many
    more."""
    found: dict[str, list[Stack]] = {"threads": [], "tasks": [], "greenlets": []}
    left_out, room = 0, TEXT_MAX
    for what, all_of_them in (("threads", _threads), ("tasks", _tasks), ("greenlets", _greenlets)):
        for each in all_of_them():
            room -= len(each["stack"])
            if room < 0 or sum(map(len, found.values())) >= MOST:
                left_out += 1
            else:
                found[what].append(each)
    return {**found, "left_out": left_out}


def _threads() -> Iterator[Stack]:
    here = threading.get_ident()
    # Not threading.enumerate(), which takes a lock.
    known = dict(threading._active)  # type: ignore[attr-defined]  # there is no public way without
    for ident, frame in sys._current_frames().items():
        # Another thread may be in the handler too, and just not have seen the wish.
        if text := _text_of(_maybe_before(frame) if ident == here or _is_ours(frame) else frame):
            yield {"name": _name_of(known.get(ident)), "stack": text}


def _text_of(frame: FrameType | None) -> str:
    """Of the stack whose innermost frame this is, what is the application's: how that was come to is left
    out."""
    stack = traceback.extract_stack(frame) if frame is not None else []
    ours = [place for place, each in enumerate(stack) if each.filename.startswith(OURS)]
    del stack[: ours[-1] + 1 if ours else 0]
    while stack and _begins(stack[0].filename):
        del stack[0]
    return "".join(traceback.format_list(stack))


def _begins(filename: str) -> bool:
    return filename.startswith(BEGINNINGS) or any(part in filename for part in HUBS)


def _maybe_before(frame: FrameType | None) -> FrameType | None:
    """Where the application was when this thread came to code of ours; None: it did nothing of the
    application's, which we would have called."""
    while frame is not None and _is_ours(frame):
        frame = frame.f_back
    caller = frame
    while caller is not None and not _is_ours(caller):
        caller = caller.f_back
    return frame if caller is not None else None


def _is_ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(OURS)


def _tasks() -> Iterator[Stack]:
    """Of the event loop that runs in this thread, if one does."""
    asyncio = sys.modules.get("asyncio")
    loop = asyncio._get_running_loop() if asyncio is not None else None  # it raises nothing
    if asyncio is None or loop is None:
        return
    current = asyncio.current_task(loop)
    for task in asyncio.all_tasks(loop):
        if task is not current:  # that is a thread's
            yield {"name": _name_of(task), "stack": awaiting_stack(task)}


def _greenlets() -> Iterator[Stack]:
    """Those that wait. The library knows no list of them, but the garbage collector does."""
    library = sys.modules.get("greenlet")
    if library is None:
        return
    for thing in gc.get_objects():
        # The type, not isinstance(): that may ask foreign code.
        if issubclass(type(thing), library.greenlet) and (text := _text_of(thing.gr_frame)):
            yield {"name": type(thing).__name__[:NAME_MAX], "stack": text}


def _name_of(thing: threading.Thread | asyncio.Task[Any] | None) -> str:
    """It may be of a class of the application's."""
    try:
        name = thing.name if isinstance(thing, threading.Thread) else thing.get_name() if thing else ""
        return str(name or "")[:NAME_MAX] or "without a name"
    except Exception as error:  # noqa: BLE001 - foreign code
        return f"(its name raised {type(error).__name__})"
