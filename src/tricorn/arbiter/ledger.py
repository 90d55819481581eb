"""What workers have counted: those that live, and those that are gone, whose figures would go with their
rows.

Knows: rows, records, which figures there are. Must not know: who asks, in which form.

When a worker ends, its figures are added to sums that the master keeps, before its row is cleared: so no sum
ever becomes smaller, whoever ends, and for whatever reason. The same holds for a reload, also one that
changes the routes: sums are kept by the names of routes. A newer master (USR2) begins with nothing, as a
restarted server does: all sums of one service begin anew at one instant, which `tricorn_start_time_seconds`
tells, and rate() takes that as it is meant.
"""

from __future__ import annotations

import time
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, TypeAlias

from tricorn import __version__, scoreboard
from tricorn.alarms.windows import Counted
from tricorn.arbiter.children import ChildRecord, Generation
from tricorn.arbiter.memory import EXHAUSTED, proportional, resident
from tricorn.arbiter.target import Target
from tricorn.config.routes import in_order
from tricorn.config.settings import Settings
from tricorn.metrics import figures
from tricorn.metrics.table import (
    BEGUN,
    ENDED,
    ERRORS,
    METHODS,
    NO_ROUTE,
    NS,
    OF_GROUP,
    OF_WORKER,
    OTHERS,
    STATUSES,
    Family,
    Kind,
    groups_of,
    words_of,
)
from tricorn.records import dataclass

#: Routes that no settings have any more and whose sums are still kept by name.
ROUTES_KEPT = 64

#: How often the PSS of one worker is looked at, seconds: the kernel walks through all its pages for that, so
#: they take turns.
WEIGH_EVERY = 2.0

#: Why a worker has ended.
ENDS = (
    *(
        "stop",
        "reload",
        "scale",
        "max_requests",
        "max_lifetime",
        "max_memory",
        "stuck",
        "reload_on_exception",
    ),
    *("unhealthy", "refork", "replace", "kill", "boot", "silent", "late", "signal", "exit"),
)
WORN = {
    scoreboard.SERVED_ENOUGH: "max_requests",
    scoreboard.STUCK: "stuck",
    scoreboard.FAILED: "reload_on_exception",
    scoreboard.ASKED: "unhealthy",
}

#: Of these, what nobody has wanted, and no setting.
RESTARTS = ("boot", "silent", "signal", "exit", "stuck")

STATES = ("booting", "ready", "leaving")

Words: TypeAlias = "array[int]"

REQUESTS = figures.GROUP_PLACES["requests"]
QUEUE_FULL = figures.PLACES["errors"] + ERRORS[1].index("queue_full")


def groups(settings: Settings) -> tuple[str, ...]:
    return groups_of(in_order(settings.routes))


def figures_of(settings: Settings) -> int:
    """How many words the row of a worker needs; 0: nothing is counted."""
    return words_of(groups(settings)) if settings.metrics else 0


def exemplars_of(settings: Settings) -> int:
    """How many places for exemplars it needs."""
    return figures.EXEMPLAR_COUNT * len(groups(settings)) if settings.metrics else 0


@dataclass(frozen=True)
class Exemplar:
    """One request of a bucket, of which a trace is kept. at_ns: CLOCK_MONOTONIC. trace, span: in hexadecimal
    digits."""

    at_ns: int
    ns: int
    trace: str
    span: str


#: Of one route: by histogram and bucket, as they lie in a row.
Exemplars: TypeAlias = dict[int, Exemplar]


def _zeros(count: int) -> Words:
    return array("q", bytes(8 * count))


class Sums:
    """Of several workers."""

    def __init__(self) -> None:
        self.common = _zeros(figures.COMMON_WORDS)
        self.groups: dict[str, Words] = {NO_ROUTE: _zeros(figures.GROUP_WORDS)}
        self.exemplars: dict[str, Exemplars] = {}

    def add_rows(self, children: Sequence[ChildRecord]) -> None:
        """Of those that have figures: also of a mold that has been a worker."""
        # Exemplars first: then each bucket that has one has counted it.
        for child in children:
            self._add_exemplars(groups(child.generation.settings), child)
        generations = {child.generation.number: child.generation for child in children}
        for number, generation in generations.items():
            names = groups(generation.settings)
            found = _zeros(words_of(names))
            for child in children:
                if child.generation.number == number and child.row.figure_count:
                    child.row.add_figures(found)
            self._add_block(names, found)

    def _add_block(self, names: Sequence[str], found: Words) -> None:
        self.common = _added(self.common, found[: figures.COMMON_WORDS])
        for index, name in enumerate(names):
            begin = figures.COMMON_WORDS + index * figures.GROUP_WORDS
            self.add_group(name, found[begin : begin + figures.GROUP_WORDS])

    def add_group(self, name: str, words: Words) -> None:
        before = self.groups.get(name)
        self.groups[name] = words if before is None else _added(before, words)

    def _add_exemplars(self, names: Sequence[str], child: ChildRecord) -> None:
        for place, trace, span, ns, at_ns in child.row.exemplars():
            number, place_in_group = divmod(place, figures.EXEMPLAR_COUNT)
            self.keep_newest(names[number], {place_in_group: Exemplar(at_ns, ns, trace, span)})

    def keep_newest(self, name: str, found: Exemplars) -> None:
        known = self.exemplars.setdefault(name, {})
        for place, one in found.items():
            known[place] = max(known.get(place, one), one, key=attrgetter("at_ns"))

    def add(self, other: Sums) -> None:
        self.common = _added(self.common, other.common)
        for name, words in other.groups.items():
            self.add_group(name, words)
        for name, found in other.exemplars.items():
            self.keep_newest(name, found)

    def close(self) -> None:
        """Those are gone that this is of: what was only true while they lived is not any more."""
        for family in OF_WORKER:
            if family.kind is Kind.GAUGE:
                self.common[family.place] = 0
        for words in self.groups.values():
            words[ENDED] = words[BEGUN]


def _added(one: Words, other: Words) -> Words:
    return array("q", [a + b for a, b in zip(one, other, strict=True)])


def _buckets(words: Words, name: str) -> Words:
    """Of one histogram, without its sum."""
    place = figures.GROUP_PLACES[name]
    return words[place : place + figures.HISTOGRAM_WORDS - 1]


class Ledger:
    def __init__(self) -> None:
        self._gone = Sums()
        self._starts = 0
        self._ends: Counter[str] = Counter()
        self._weights: dict[int, int] = {}
        self._weigh_at = 0.0
        self._sees_pss = True
        self._started_at = time.time()

    def note_start(self) -> None:
        """A worker was started."""
        self._starts += 1

    def note_end(self, child: ChildRecord, code: int | None, target: Target, now: float) -> None:
        """Before its row is cleared. code: as of a process that has ended; None: nobody can say."""
        if child.is_worker or (child.is_mold and child.row.figure_count):
            self._ends["refork" if child.is_mold else reason(child, code, target, now)] += 1
        self._weights.pop(child.pid, None)
        if child.row.figure_count:
            self._gone.add_rows([child])
            self._gone.close()
            self._fold(groups(child.generation.settings))

    def _fold(self, current: Sequence[str]) -> None:
        """A service whose routes change with each reload must not be remembered for ever."""
        named = self._gone.groups
        if len(named) <= ROUTES_KEPT:
            return
        oldest = next(name for name in named if name not in (*current, NO_ROUTE, OTHERS))
        self._gone.add_group(OTHERS, named.pop(oldest))
        self._gone.exemplars.pop(oldest, None)

    def weigh(self, children: Iterable[ChildRecord], now: float) -> None:
        """Look at one of them, now and then."""
        if now < self._weigh_at:
            return
        self._weigh_at = now + WEIGH_EVERY
        counted = [child for child in children if child.row.figure_count and not child.is_ordered]
        if not counted or not self._sees_pss:
            return
        order = list(self._weights)
        child = min(counted, key=lambda each: order.index(each.pid) if each.pid in self._weights else -1)
        self._weights.pop(child.pid, None)  # it stands at the end from now on
        try:
            self._weights[child.pid] = proportional(child.pid)
        except OSError as error:
            # Of another user's process the kernel tells only those who may trace it.
            self._sees_pss = error.errno in EXHAUSTED

    # -- for alarms ----------------------------------------------------------------------------------------

    def counted(self, everybody: Iterable[ChildRecord], pending: int) -> Counted:
        """Of all that are and were. pending: connections that no worker has accepted yet."""
        known = [child for child in everybody if not child.is_ordered]
        sums = Sums()
        sums.add(self._gone)
        sums.add_rows(known)
        total = _zeros(figures.GROUP_WORDS)
        for words in sums.groups.values():
            total = _added(total, words)
        requests = total[REQUESTS : REQUESTS + len(METHODS[1]) * len(STATUSES[1])]
        refused = sums.common[QUEUE_FULL]
        rows = [child.row for child in known if child.is_worker]
        return Counted(
            begun=total[BEGUN],
            ended=sum(requests) + refused,
            failed=sum(requests[STATUSES[1].index("5xx") :: len(STATUSES[1])]) + refused,
            waiting=_buckets(total, "waiting"),
            queue=_buckets(total, "queue"),
            pending=pending + sum(row.waiting + row.waiting_apart for row in rows),
            restarts=sum(self._ends[each] for each in RESTARTS),
        )

    def memory(self, everybody: Iterable[ChildRecord]) -> int:
        """Of all workers, bytes: what they share is divided between them where the kernel tells that, and
        somebody counts."""
        workers = [child for child in everybody if child.is_worker and not child.is_ordered]
        return sum(self._weights.get(child.pid, 0) or _resident(child.pid) for child in workers)

    # -- the answer ----------------------------------------------------------------------------------------

    def report(
        self, target: Target, everybody: Iterable[ChildRecord], serving: Generation, now: float
    ) -> list[dict[str, Any]]:
        """Families of figures, each with its samples: plain data, to which nothing need be added."""
        known = [child for child in everybody if not child.is_ordered]
        living = Sums()
        living.add_rows(known)
        children = [child for child in known if child.is_worker]
        everything = Sums()
        everything.add(self._gone)
        everything.add(living)
        return [
            *(_family(family, [((), everything.common)]) for family in OF_WORKER),
            *(
                _family(family, [((("route", name),), words) for name, words in everything.groups.items()])
                | _exemplars(family, everything)
                for family in OF_GROUP
            ),
            *self._of_now(serving, children, living),
            *self._of_master(target, children, now),
        ]

    def _of_now(
        self, serving: Generation, children: Sequence[ChildRecord], living: Sums
    ) -> Iterable[dict[str, Any]]:
        rows = [child.row for child in children]
        in_flight = [({"route": name}, words[BEGUN] - words[ENDED]) for name, words in living.groups.items()]
        yield made(
            "tricorn_requests_in_flight",
            "gauge",
            "Requests that run, and WebSockets.",
            in_flight,
        )
        waiting = sum(row.waiting + row.waiting_apart for row in rows)
        yield made(
            "tricorn_requests_waiting", "gauge", "Complete requests that wait for a thread or task.", waiting
        )
        yield made(
            "tricorn_open_connections",
            "gauge",
            "Connections of clients.",
            sum(row.connections for row in rows),
        )
        yield made(
            "tricorn_open_websockets",
            "gauge",
            "WebSockets that are open.",
            sum(row.websockets for row in rows),
        )
        cells = [cell for row in rows if not row.is_loop for cell in row.cells]
        busy = sum(bool(cell.busy_since_ns) for cell in cells)
        yield made(
            "tricorn_threads",
            "gauge",
            "Threads for requests, by whether they are at one (workers with an event loop have none).",
            [({"state": "busy"}, busy), ({"state": "idle"}, len(cells) - busy)],
        )
        pending = sum(listener.pending for listener in serving.listeners)
        yield made(
            "tricorn_backlog_connections", "gauge", "Connections that no worker has accepted yet.", pending
        )

    def _of_master(
        self, target: Target, children: Sequence[ChildRecord], now: float
    ) -> Iterable[dict[str, Any]]:
        states = Counter(state_of(child, now) for child in children)
        yield made(
            "tricorn_workers",
            "gauge",
            "Workers, by state.",
            [({"state": each}, states[each]) for each in STATES],
        )
        yield made("tricorn_workers_wanted", "gauge", "Workers that there shall be.", target.plan.workers)
        yield made("tricorn_worker_starts_total", "counter", "Workers that were started.", self._starts)
        ends = [({"reason": each}, self._ends[each]) for each in ENDS]
        yield made("tricorn_worker_ends_total", "counter", "Workers that have ended, by reason.", ends)
        generation = target.plan.generation
        yield made(
            "tricorn_generation",
            "gauge",
            "How many times the settings were read; it grows with each reload.",
            generation,
        )
        sizes = [_resident(child.pid) for child in children] or [0]
        yield made(
            "tricorn_workers_resident_memory_bytes",
            "gauge",
            "Memory of all workers (RSS); what they share counts for each.",
            sum(sizes),
        )
        yield made(
            "tricorn_worker_resident_memory_max_bytes",
            "gauge",
            "Memory of the largest worker (RSS).",
            max(sizes),
        )
        if self._sees_pss:
            yield made(
                "tricorn_workers_proportional_memory_bytes",
                "gauge",
                "Memory of all workers (PSS), what they share divided between them; some seconds old.",
                sum(self._weights.values()),
            )
        yield made(
            "tricorn_start_time_seconds",
            "gauge",
            "When the master began: since then it counts; seconds since 1970.",
            round(self._started_at, 3),
        )
        yield made("tricorn_info", "gauge", "Which version serves.", [({"version": __version__}, 1)])


def _resident(pid: int) -> int:
    try:
        return resident(pid)
    except OSError:  # no descriptor is left to look with
        return 0


def state_of(child: ChildRecord, now: float) -> str:
    if child.is_leaving(now):
        return "leaving"
    return "ready" if child.was_ready else "booting"


def reason(child: ChildRecord, code: int | None, target: Target, now: float) -> str:
    """One of ENDS."""
    if child.is_condemned:
        return "kill"
    if child.is_too_large:
        return "max_memory"
    if child.aborted_at is not None:
        return "silent" if child.was_ready else "boot"
    if not child.was_told_to_end:
        if not child.was_ready:
            return "boot"
        return "signal" if code is not None and code < 0 else "exit"
    if child.killed_at is not None:
        return "late"
    if child.row.worn:
        return WORN[child.row.worn]
    if child.is_candidate or child.is_outdated:
        return "refork"
    if child.is_unwanted:
        return "replace"
    if child.is_large:
        return "max_memory"
    if child.worn_at is not None and now >= child.worn_at:
        return "max_lifetime"
    if not target.is_serving:
        return "stop"
    return "scale" if child.generation.number == target.plan.generation else "reload"


# -- families as data --------------------------------------------------------------------------------------


def made(
    name: str, kind: str, text: str, samples: float | Sequence[tuple[dict[str, str], float]]
) -> dict[str, Any]:
    """samples: with their labels, or the only one, which has none."""
    found = [({}, samples)] if isinstance(samples, int | float) else samples
    return {"name": name, "type": kind, "help": text, "samples": found}


def _family(family: Family, blocks: Iterable[tuple[Sequence[tuple[str, str]], Words]]) -> dict[str, Any]:
    """blocks: words, and the labels that all of them have in common."""
    samples: list[Any] = []
    for common, words in blocks:
        if family.kind is Kind.HISTOGRAM:
            *buckets, total = words[family.place : family.place + figures.HISTOGRAM_WORDS]
            samples.append((dict(common), buckets, total / family.divisor))
            continue
        for index, labels in enumerate(_combined(family)):
            value = words[family.place + index]
            samples.append(
                ({**dict(common), **labels}, value if family.divisor == 1 else value / family.divisor)
            )
    found = {"name": family.name, "type": family.kind.value, "help": family.help, "samples": samples}
    return found | ({"bounds": figures.BOUNDS} if family.kind is Kind.HISTOGRAM else {})


def _exemplars(family: Family, sums: Sums) -> dict[str, Any]:
    """Beside the samples, in their order: of each (bucket, labels, value, seconds since 1970). Nothing, where
    there are none."""
    if family.place not in figures.EXEMPLIFIED_PLACES or not any(sums.exemplars.values()):
        return {}
    first = figures.EXEMPLIFIED_PLACES.index(family.place) * figures.BUCKET_COUNT
    wall = time.time() - time.monotonic()
    return {
        "exemplars": [
            [
                (bucket, {"trace_id": one.trace, "span_id": one.span}, one.ns / NS, one.at_ns / NS + wall)
                for bucket in range(figures.BUCKET_COUNT)
                if (one := sums.exemplars.get(name, {}).get(first + bucket)) is not None
            ]
            for name in sums.groups
        ]
    }


_LABELS: dict[str, Sequence[dict[str, str]]] = {}


def _combined(family: Family) -> Sequence[dict[str, str]]:
    """All combinations of its labels, in the order of their words."""
    if family.name not in _LABELS:
        rows: list[dict[str, str]] = [{}]
        for name, values in family.labels:
            rows = [{**row, name: value} for row in rows for value in values]
        _LABELS[family.name] = rows
    return _LABELS[family.name]
