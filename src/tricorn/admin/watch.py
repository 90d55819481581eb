"""What the dashboard shows: the server is looked at in a rhythm, once for all who watch, and only while
somebody does.

Knows: the words of the control socket and what is made of two answers (metrics/frames.py), what /proc tells
of a worker, how much is kept. Must not know: HTTP, how anything is shown.

A look gives two things: how all is now, which replaces what was before, and a point, which is added to those
of the last minutes. Both are text when they are kept, so that one more viewer costs its bytes alone. Viewers
take what is there when they are ready for it: who is slow misses looks, and holds nobody up.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from tricorn.admin.desk import Desk, LateError, UnavailableError
from tricorn.control.protocol import Message
from tricorn.metrics.frames import Frame, History, Process, RequestFigures, Snapshot
from tricorn.procfs import usage_of

#: Between two looks, seconds. That a worker tells what its requests do takes up to one.
INTERVAL = 2.0

#: How long the server may take to answer what it knows itself, seconds.
PATIENCE = 5.0

#: Certificates last for days, seconds.
CERTIFICATES_EVERY = 60.0

#: How often a viewer is told that nothing is new, seconds: proxies close what is silent for a minute.
SIGN = 15.0

VIEWERS_MAX = 16

#: What is kept: points (five minutes of looks), events, the slowest requests, slow ones with their stacks. Of
#: requests that run, so many are told.
POINTS_KEPT = 150
EVENTS_KEPT = 100
SLOWEST_KEPT = 20
SLOW_TOLD = 50
REQUESTS_TOLD = 100

#: Of what clients say, characters.
TARGET_MAX = 400
WORD_MAX = 80

#: Phases in which a request is complete, and has taken its time.
LASTING = ("waiting", "application", "responding", "client")

#: Takes the text of one event of the stream.
Write = Callable[[bytes], Awaitable[None]]


class FullError(Exception):
    """There are viewers enough; one line."""


class Slowest:
    """The requests that were found to take longest, one for each method and target."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], dict[str, Any]] = {}

    def note(self, requests: Iterable[RequestFigures], wall: float) -> None:
        for each in requests:
            if each.seconds is None or each.phase not in LASTING or not each.target:
                continue
            told = {**request_told(each), "seen": round(wall, 1)}
            key = (told["method"], told["target"])
            known = self._kept.get(key)
            if known is None or known["seconds"] <= each.seconds:
                self._kept[key] = told
        self._kept = {(each["method"], each["target"]): each for each in self.told()}

    def told(self) -> Sequence[dict[str, Any]]:
        """The slowest first."""
        return sorted(self._kept.values(), key=lambda each: -each["seconds"])[:SLOWEST_KEPT]


class Watch:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._viewers = 0
        self._looking: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._number = 0  # of the latest look
        self._now = ""  # what it gave; empty: it is over
        self._master = 0
        self._points: deque[tuple[int, str]] = deque(maxlen=POINTS_KEPT)
        self._events: deque[tuple[int, str]] = deque(maxlen=EVENTS_KEPT)
        self._last_event = 0
        self._slow: dict[tuple[int, int], tuple[int, str]] = {}
        self._last_change = 0
        self._slowest = Slowest()
        self._certificates: Sequence[Mapping[str, Any]] = ()
        self._certificates_at = 0.0

    async def show(self, write: Write) -> None:
        """To one viewer, until this is cancelled: first all that is kept, then what is new. Raises FullError
        before anything is written."""
        if self._viewers >= VIEWERS_MAX:
            raise FullError(f"{VIEWERS_MAX} others watch already")
        self._enter()
        try:
            seen = 0
            while True:
                if self._now and self._number > seen:
                    text, seen = self._told(seen), self._number
                    await write(f"data: {text}\n\n".encode("ascii"))
                elif not await self._has_changed():
                    await write(b": nothing new\n\n")
        finally:
            self._leave()

    # -- who watches -----------------------------------------------------------------------------------------

    def _enter(self) -> None:
        self._viewers += 1
        if self._looking is None:
            self._looking = asyncio.ensure_future(self._look_on())

    def _leave(self) -> None:
        self._viewers -= 1
        if not self._viewers and self._looking is not None:
            self._looking.cancel()
            self._looking = None
            self._now = ""  # it is old when somebody comes again

    async def _has_changed(self) -> bool:
        """Waits for that; False: nothing has, for a while."""
        assert self._looking is not None
        changed = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait({changed, self._looking}, timeout=SIGN, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
        if self._looking.done():
            self._looking.result()  # a fault of ours
        return changed.done()

    def _told(self, seen: int) -> str:
        """What there is after the look of this number; 0: all of it."""
        points = ",".join(text for number, text in self._points if number > seen or not seen)
        events = ",".join(text for number, text in self._events if number > seen or not seen)
        slow = ",".join(text for number, text in self._slow.values() if number > seen or not seen)
        is_whole = "false" if seen else "true"
        news = f'"points":[{points}],"events":[{events}],"slow":[{slow}]'
        return f'{{"is_whole":{is_whole},{news},"now":{self._now}}}'

    # -- looking ---------------------------------------------------------------------------------------------

    async def _look_on(self) -> None:
        history = History()
        # What requests do is not waited for at first, so that there is something at once.
        with_requests = False
        while True:
            begun = time.monotonic()
            try:
                await self._look(history, with_requests=with_requests)
            except UnavailableError as error:
                history = History()
                self._tell({"trouble": str(error)})
            except LateError:
                history = History()
                self._tell({"trouble": "the server does not answer"})
            if with_requests:
                await asyncio.sleep(max(0.0, begun + INTERVAL - time.monotonic()))
            with_requests = True

    async def _look(self, history: History, *, with_requests: bool) -> None:
        """Raises UnavailableError, LateError."""
        requests = await self._data("requests") if with_requests else ()
        told = await self._data("status")
        families = (await self._ask({"do": "metrics"})).get("data")
        status, workers = told["status"], told["workers"]
        self._begin_anew_with(status["pid"])
        events = await self._data("events", after=self._last_event)
        # Refused where there is no slow_request_time.
        slow = (await self._ask({"do": "slow", "after": self._last_change, "last": SLOW_TOLD})).get("data")
        now = time.monotonic()
        if not self._certificates_at or now - self._certificates_at >= CERTIFICATES_EVERY:
            self._certificates, self._certificates_at = await self._data("certs"), now
        usages = {each["pid"]: usage_of(each["pid"]) for each in workers}
        processes = {pid: Process(*usage) for pid, usage in usages.items() if usage is not None}
        frame = history.frame(Snapshot(now, status, workers, requests, families, processes))
        wall = time.time()
        self._slowest.note(frame.requests, wall)
        number = self._number + 1
        # Without a rate it is the first look, and says nothing of a stretch of time.
        if frame.rate is not None:
            self._points.append((number, encoded(point(frame, wall))))
        for event in events:
            self._events.append((number, encoded(event)))
            self._last_event = event["number"]
        for each in slow or ():
            self._note_slow(number, each)
        now_all = now_told(frame, self._slowest.told(), self._certificates, wall)
        self._tell({**now_all, "is_slow_recorded": slow is not None})

    def _note_slow(self, number: int, slow: Mapping[str, Any]) -> None:
        """What went on stands in the place of what it was, and is the latest."""
        key = (slow["pid"], slow["number"])
        self._slow.pop(key, None)
        self._slow[key] = (number, encoded(slow))
        if len(self._slow) > SLOW_TOLD:
            del self._slow[next(iter(self._slow))]
        self._last_change = slow["change"]

    def _begin_anew_with(self, master: int) -> None:
        """Another one numbers its events anew."""
        if master != self._master:
            self._master, self._last_event, self._certificates_at = master, 0, 0.0
            self._events.clear()
            self._last_change = 0
            self._slow.clear()

    def _tell(self, now: Mapping[str, Any]) -> None:
        self._number += 1
        self._now = encoded(now)
        self._changed.set()
        self._changed = asyncio.Event()

    async def _data(self, word: str, **more: Any) -> Any:
        """Raises UnavailableError, LateError."""
        answer = await self._ask({"do": word, **more})
        if not answer.get("ok"):
            raise UnavailableError(str(answer.get("say")))
        return answer["data"]

    async def _ask(self, question: Message) -> Message:
        return await self._desk.ask(question, PATIENCE)


# -- what is told ------------------------------------------------------------------------------------------


def point(frame: Frame, wall: float) -> Mapping[str, Any]:
    """Of the stretch of time since the last look, for curves. workers: process id, requests a second, share
    of a processor, bytes."""
    return {
        "at": round(wall, 1),
        "rate": _rounded(frame.rate),
        "shares": {status: round(share, 4) for status, share in frame.shares.items()},
        "durations": frame.durations,
        "workers": [
            (each.pid, _rounded(each.rate), _rounded(each.cpu), each.memory)
            for each in frame.workers
            if not each.is_mold
        ],
    }


def now_told(
    frame: Frame,
    slowest: Sequence[Mapping[str, Any]],
    certificates: Sequence[Mapping[str, Any]],
    wall: float,
) -> Mapping[str, Any]:
    longest = sorted(frame.requests, key=lambda each: -(each.seconds or 0.0))
    return {
        "at": round(wall, 1),
        "status": frame.status,
        "is_counted": frame.is_counted,
        "rate": _rounded(frame.rate),
        "shares": frame.shares,
        "received": _rounded(frame.received),
        "sent": _rounded(frame.sent),
        "idle": frame.idle,
        "backlog": frame.backlog,
        "memory": frame.memory,
        "bounds": frame.bounds,
        "latencies": {name: vars(each) for name, each in frame.latencies.items()},
        "workers": [
            {**vars(each), "rate": _rounded(each.rate), "cpu": _rounded(each.cpu)} for each in frame.workers
        ],
        "requests": [request_told(each) for each in longest[:REQUESTS_TOLD]],
        "left_out": frame.left_out + max(0, len(longest) - REQUESTS_TOLD),
        "silent": [{"pid": pid, "why": why} for pid, why in frame.silent.items()],
        "slowest": slowest,
        "certificates": certificates,
    }


def request_told(request: RequestFigures) -> dict[str, Any]:
    return {
        **vars(request),
        "method": _cut(request.method, WORD_MAX),
        "target": _cut(request.target, TARGET_MAX),
        "client": _cut(request.client, WORD_MAX),
        "id": _cut(request.id, WORD_MAX),
    }


def encoded(value: Mapping[str, Any]) -> str:
    """In one line of ASCII: a line feed would end a line of the stream."""
    return json.dumps(value, separators=(",", ":"))


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
