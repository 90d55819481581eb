"""From what a server tells to what is shown of it: rates, shares, percentiles, who uses how much.

Knows: the data of answers (arbiter/reports.py, metrics/table.py), time as an argument. Must not know: where
answers come from, how anything looks.

What a server counts only grows, so a rate needs two snapshots. Latencies are of the last minute: of one
second there are too few requests for a percentile.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tricorn.records import dataclass, field, replace

#: Of latencies, seconds.
WINDOW = 60.0

#: Histograms that are shown, by the names of their families.
WHOLE = "tricorn_request_duration_seconds"
WAITING = "tricorn_request_waiting_seconds"
APPLICATION = "tricorn_request_application_seconds"

Answer = Mapping[str, Any]


@dataclass(frozen=True)
class Process:
    """What the kernel tells of one. cpu: seconds that it has used; memory: bytes (RSS)."""

    cpu: float
    memory: int


@dataclass(frozen=True)
class Snapshot:
    """What was found at one instant, monotonic seconds. status, workers, requests: as the answers to these
    words. families: of `metrics`; None: nothing is counted. processes: by process id, as far as they can be
    looked at."""

    at: float
    status: Answer
    workers: Sequence[Answer]
    requests: Sequence[Answer] = ()
    families: Sequence[Answer] | None = None
    processes: Mapping[int, Process] = field(default_factory=dict)


@dataclass(frozen=True)
class WorkerFigures:
    """rate: requests a second; cpu: share of one processor; None: not known (yet). memory: bytes, 0: not
    known. note: what is the matter with it."""

    pid: int
    state: str
    generation: int
    age: float
    requests: int
    busy: int
    threads: int
    waiting: int
    connections: int
    websockets: int
    rate: float | None
    cpu: float | None
    memory: int
    is_mold: bool
    note: str


@dataclass(frozen=True)
class RequestFigures:
    """seconds: since when it is in this state of things; None: not known."""

    pid: int
    phase: str
    method: str
    target: str
    client: str
    seconds: float | None
    http: int
    sent: int
    id: str


@dataclass(frozen=True)
class Quantiles:
    """Seconds."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True)
class Frame:
    """All that there is to show. rate, received, sent: of requests and bytes, a second; None: not known.
    shares: of the requests since the last snapshot, by class of status. latencies: by the name of the family,
    of the last minute; those without requests are not there. durations: of the requests since the last
    snapshot, how many lie in each bucket of WHOLE; bounds: the upper ones, seconds, of all but the last one.
    is_counted: whether the server counts (`metrics`). left_out: requests that are not in `requests`."""

    status: Answer
    workers: Sequence[WorkerFigures]
    requests: Sequence[RequestFigures]
    left_out: int
    silent: Mapping[int, str]
    is_counted: bool
    rate: float | None
    shares: Mapping[str, float]
    received: float | None
    sent: float | None
    idle: int | None
    backlog: int | None
    latencies: Mapping[str, Quantiles]
    memory: int
    durations: Sequence[int] = ()
    bounds: Sequence[float] = ()


@dataclass(frozen=True)
class _Totals:
    """Of all routes together, since the server began."""

    at: float
    statuses: Counter[str]
    received: float
    sent: float
    histograms: Mapping[str, Sequence[int]]
    bounds: Sequence[float]


class History:
    """Snapshots of one server, as far as figures need them."""

    def __init__(self) -> None:
        self._before: Snapshot | None = None
        self._totals: deque[_Totals] = deque()

    def frame(self, now: Snapshot) -> Frame:
        before = self._before
        if before is not None and before.status["pid"] != now.status["pid"]:
            before = None  # another master, which counts from zero
            self._totals.clear()
        self._before = now
        totals = self._totals_of(now)
        last = self._totals[-1] if self._totals and totals is not None else None
        if totals is not None:
            self._totals.append(totals)
        workers = [_worker(each, before, now) for each in now.workers]
        gauges = now.families or ()
        silent = {
            each["pid"]: str(each["silent"] or "it is busy") for each in now.requests if "silent" in each
        }
        frame = Frame(
            status=now.status,
            workers=workers,
            requests=[_request(each["pid"], one) for each in now.requests for one in each["requests"]],
            left_out=sum(each["left_out"] for each in now.requests),
            silent=silent,
            is_counted=now.families is not None,
            rate=_sum_of(each.rate for each in workers if not each.is_mold),
            shares={},
            received=None,
            sent=None,
            idle=_gauge(gauges, "tricorn_idle_connections"),
            backlog=_gauge(gauges, "tricorn_backlog_connections"),
            latencies={},
            memory=sum(each.memory for each in workers),
        )
        return frame if totals is None else _with_counted(frame, last, totals, self._totals[0])

    def _totals_of(self, now: Snapshot) -> _Totals | None:
        """Also forgets those that are too old, or of before a new beginning."""
        if now.families is None:
            self._totals.clear()
            return None
        totals = _totals(now.at, now.families)
        if self._totals and not _has_grown(self._totals[-1], totals):
            self._totals.clear()
        while self._totals and self._totals[0].at < now.at - WINDOW:
            self._totals.popleft()
        return totals


def _with_counted(frame: Frame, last: _Totals | None, now: _Totals, oldest: _Totals) -> Frame:
    if last is None or now.at <= last.at:
        return frame
    seconds = now.at - last.at
    ended = now.statuses - last.statuses
    count = ended.total()
    latencies = {
        name: found
        for name, counts in now.histograms.items()
        if (found := _maybe_quantiles(now.bounds, _grown(oldest.histograms.get(name, ()), counts)))
        is not None
    }
    return replace(
        frame,
        rate=count / seconds,
        shares={status: number / count for status, number in sorted(ended.items())},
        received=(now.received - last.received) / seconds,
        sent=(now.sent - last.sent) / seconds,
        latencies=latencies,
        durations=_grown(last.histograms.get(WHOLE, ()), now.histograms.get(WHOLE, ())),
        bounds=now.bounds,
    )


def _totals(at: float, families: Iterable[Answer]) -> _Totals:
    by_name = {each["name"]: each for each in families}
    statuses: Counter[str] = Counter()
    for labels, value in by_name.get("tricorn_requests_total", {}).get("samples", ()):
        statuses[labels.get("status", "none")] += value
    histograms = {}
    bounds: Sequence[float] = ()
    for name in (WHOLE, WAITING, APPLICATION):
        family = by_name.get(name)
        if family is not None:
            bounds = family["bounds"]
            counts = [buckets for _, buckets, _ in family["samples"]]
            histograms[name] = [sum(column) for column in zip(*counts, strict=True)]
    return _Totals(
        at,
        statuses,
        _sum(by_name.get("tricorn_received_bytes_total")),
        _sum(by_name.get("tricorn_sent_bytes_total")),
        histograms,
        bounds,
    )


def _has_grown(before: _Totals, now: _Totals) -> bool:
    return before.statuses <= now.statuses and before.received <= now.received and before.sent <= now.sent


def _grown(before: Sequence[int], now: Sequence[int]) -> Sequence[int]:
    return [b - a for a, b in zip(before, now, strict=True)] if before else now


def _sum(family: Answer | None) -> float:
    return sum(value for _, value in family["samples"]) if family is not None else 0.0


def _gauge(families: Iterable[Answer], name: str) -> int | None:
    found = next((each for each in families if each["name"] == name), None)
    return int(_sum(found)) if found is not None else None


def _sum_of(rates: Iterable[float | None]) -> float | None:
    known = [rate for rate in rates if rate is not None]
    return sum(known) if known else None


# -- workers and requests ----------------------------------------------------------------------------------


def _worker(worker: Answer, before: Snapshot | None, now: Snapshot) -> WorkerFigures:
    pid = worker["pid"]
    process = now.processes.get(pid)
    old = next((each for each in before.workers if each["pid"] == pid), None) if before is not None else None
    old_process = before.processes.get(pid) if before is not None else None
    seconds = now.at - before.at if before is not None else 0.0
    # A process id may be another worker's by now.
    is_same = old is not None and old["age"] <= worker["age"] and seconds > 0
    rate = cpu = None
    if is_same and old is not None and not worker["is_mold"]:
        rate = max(0, worker["requests"] - old["requests"]) / seconds
    if is_same and process is not None and old_process is not None:
        cpu = max(0.0, process.cpu - old_process.cpu) / seconds
    return WorkerFigures(
        pid=pid,
        state="mold" if worker["is_mold"] else str(worker["state"]),
        generation=worker["generation"],
        age=worker["age"],
        requests=worker["requests"],
        busy=worker["busy"],
        threads=worker["threads"],
        waiting=worker["waiting"],
        connections=worker["connections"],
        websockets=worker["websockets"],
        rate=rate,
        cpu=cpu,
        memory=process.memory if process is not None else 0,
        is_mold=bool(worker["is_mold"]),
        note=str(worker["replaced_because"] or ""),
    )


def _request(pid: int, request: Answer) -> RequestFigures:
    return RequestFigures(
        pid=pid,
        phase=request["phase"] or "",
        method=request["method"] or "",
        target=request["target"] or "",
        client=request["client"] or "",
        seconds=request["seconds"],
        http=request["http"] or 0,
        sent=request["sent"] or 0,
        id=request["id"] or "",
    )


# -- percentiles -------------------------------------------------------------------------------------------


def _maybe_quantiles(bounds: Sequence[float], counts: Sequence[int]) -> Quantiles | None:
    if sum(counts) <= 0 or min(counts) < 0:
        return None
    return Quantiles(*(quantile(bounds, counts, share) for share in (0.5, 0.95, 0.99)))


def quantile(bounds: Sequence[float], counts: Sequence[int], share: float) -> float:
    """As Prometheus' histogram_quantile(): within a bucket, as if its values were spread evenly. counts: of
    each bucket alone; the last one has no upper bound, and counts as its lower one."""
    rank = share * sum(counts)
    below = 0.0
    lower = 0.0
    for bound, count in zip(bounds, counts, strict=False):
        if count and below + count >= rank:
            return lower + (bound - lower) * (rank - below) / count
        below += count
        lower = bound
    return lower
