"""How the answers of a server look on a terminal.

Knows: the data of answers, widths, units. Must not know: where they come from, options.

What is shown may quote a client of the server (the path of a request), so control characters are escaped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tricorn.log.escape import escape_block, escape_line
from tricorn.metrics.exposition import rendered

UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))

#: How far apart columns are.
GAP = "  "

#: Bytes of memory of a process; 0: it cannot be known.
Weigh = Callable[[int], int]


def status(data: Mapping[str, Any], weigh: Weigh) -> str:
    told, workers = data["status"], data["workers"]
    wanted = told["workers"]
    counts = [f"{wanted['ready']} of {wanted['wanted']} workers ready"]
    counts += [f"{wanted[what]} {what}" for what in ("booting", "leaving") if wanted[what]]
    mode = told["mode"] if told["mode"] != "running" else "serving"
    lines = [
        f"{told['app']}, process {told['pid']}, Tricorn {told['tricorn']}, up {duration(told['uptime'])}",
        f"{mode}, generation {told['generation']}: {', '.join(counts)}",
    ]
    if told["is_on_trial"]:
        lines.append("a reload is under way: the new generation is being tried")
    others = [(who, told[who]) for who in ("older", "newer") if told[who]]
    lines += [f"an upgrade is under way: the {who} master is process {pid}" for who, pid in others]
    lines += [f"listening at {address}" for address in told["listeners"]]
    lines += [line for pool in data.get("pools", ()) for line in pool_of(pool)]
    heavy = [each for pool in data.get("pools", ()) for each in pool["workers"]]
    return "\n".join([*map(escape_line, lines), "", table_of_workers([*workers, *heavy], weigh)])


def pool_of(pool: Mapping[str, Any]) -> Iterable[str]:
    """Of heavy workers. One that nobody wants is not there."""
    counts = [f"{pool['ready']} of {pool['wanted']} heavy workers ready"]
    counts += [f"{pool[what]} {what}" for what in ("booting", "leaving") if pool[what]]
    counts += [f"{pool['running']} calls run, {pool['waiting']} wait"]
    if pool["wanted"] or pool["workers"]:
        yield f"{pool['name']}, generation {pool['generation']}: {', '.join(counts)}"


def table_of_workers(workers: Sequence[Mapping[str, Any]], weigh: Weigh) -> str:
    head = ("PID", "STATE", "GEN", "AGE", "REQUESTS", "BUSY", "WAITING", "CONNS", "MEMORY")
    rows = [head, *(_row(each, weigh) for each in workers)]
    notes = [line for each in workers for line in _notes(each)]
    return "\n".join([*in_columns(rows), *([""] if notes else []), *notes])


def _row(worker: Mapping[str, Any], weigh: Weigh) -> tuple[str, ...]:
    memory = weigh(worker["pid"])
    state = "mold" if worker["is_mold"] else worker["state"]
    if worker.get("pool"):
        state = f"{worker['pool']} {state}"
    begin = (str(worker["pid"]), state, str(worker["generation"]))
    end = f"{memory / (1 << 20):.0f} MB" if memory else "-"
    if worker["is_mold"]:
        return (*begin, duration(worker["age"]), "-", "-", "-", "-", end)
    middle = (str(worker["requests"]), f"{worker['busy']}/{worker['threads']}", str(worker["waiting"]))
    return (*begin, duration(worker["age"]), *middle, str(worker["connections"]), end)


def _notes(worker: Mapping[str, Any]) -> Iterable[str]:
    for each in worker["running"]:
        yield escape_line(f"{worker['pid']}: {each['request']} for {duration(each['seconds'])}")
    if worker["replaced_because"]:
        yield escape_line(f"{worker['pid']}: {worker['replaced_because']}, so a successor takes its place")


def config(data: Sequence[Mapping[str, str]]) -> str:
    rows = [(each["name"], each["value"], each["origin"]) for each in data]
    second = min(max(len(value) for _, value, _ in rows), 40)
    first = max(len(name) for name, _, _ in rows)
    return "\n".join(
        escape_line(f"{name:{first}}{GAP}{value:{second}}{GAP}{origin}") for name, value, origin in rows
    )


def certificates(data: Sequence[Mapping[str, Any]]) -> str:
    if not data:
        return "The server has no certificates: it is not set up for TLS"
    blocks = []
    for each in data:
        left = each["days_left"]
        days = f"{left} day{'' if left == 1 else 's'} left" if left >= 0 else "expired"
        lines = [
            f"{each['file']}",
            f"  for {', '.join(each['names'])}",
            f"  by {each['issuer']}",
            f"  until {each['not_after']}, {days}{'; renew it' if each['is_expiring'] else ''}",
        ]
        blocks.append("\n".join(map(escape_line, lines)))
    return "\n".join(blocks)


def events(data: Sequence[Mapping[str, Any]]) -> str:
    """As the log has them; in local time."""
    lines = []
    for each in data:
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(each["time"]))
        lines.append(escape_line(f"{moment}  {each['level']:<8}  {each['text']}"))
        if each["detail"]:
            lines.append(escape_block(str(each["detail"]).rstrip("\n")))
    return "\n".join(lines) or "Nothing has happened"


def stacks(data: Sequence[Mapping[str, Any]]) -> str:
    return "\n\n".join("\n".join(_stacks_of(each)) for each in data)


def _stacks_of(worker: Mapping[str, Any]) -> Iterable[str]:
    if "threads" not in worker:
        why = worker["silent"] or "its main thread does not come to run Python code"
        yield escape_line(f"Worker {worker['pid']} does not answer: {why}")
        return
    yield f"Worker {worker['pid']}"
    kinds = [kind for kind in ("threads", "tasks", "greenlets") if worker.get(kind)]
    for kind in kinds:
        for each in worker[kind]:
            yield escape_line(f"  {kind[:-1].capitalize()} {each['name']}")
            yield from (escape_line(f"  {line}") for line in str(each["stack"]).splitlines())
    if not kinds:
        yield "  runs nothing of the application's"
    if worker["left_out"]:
        yield f"  and {worker['left_out']} more"


def requests(data: Sequence[Mapping[str, Any]]) -> str:
    """The last column is as long as it likes to be."""
    found = [(worker["pid"], each) for worker in data for each in worker["requests"]]
    found.sort(key=lambda row: -(row[1]["seconds"] or 0))
    rows = [(str(pid), each["phase"] or "-", age(each), each["client"] or "-") for pid, each in found]
    columns = in_columns([("PID", "PHASE", "AGE", "CLIENT"), *rows])
    targets = ["REQUEST", *(escape_line(named(each)) for _, each in found)]
    lines = [f"{line}{GAP}{target}".rstrip() for line, target in zip(columns, targets, strict=True)]
    more = sum(worker["left_out"] for worker in data)
    notes = [f"and {more} more"] if more else []
    notes += [
        f"{worker['pid']} does not answer: {worker['silent'] or 'it is busy'}"
        for worker in data
        if "silent" in worker
    ]
    return "\n".join([*(lines if found else ["Nothing is being served"]), *map(escape_line, notes)])


#: Who was slow → what is said of it.
SLOW: Mapping[str, str] = {
    "server": "waiting for a thread or task",
    "application": "in the application",
    "client": "waiting for the client",
}

#: Parts of the time → what they are.
PARTS: Mapping[str, str] = {
    "client_sends": "the client sent",
    "waiting": "waiting",
    "application": "application",
    "client_reads": "the client read",
}


def slow(data: Sequence[Mapping[str, Any]]) -> str:
    """The latest last, where a terminal ends."""
    return "\n\n".join("\n".join(_slow_one(each)) for each in data) or "No request was slow"


def _slow_one(each: Mapping[str, Any]) -> Iterable[str]:
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(each["time"]))
    end = str(each["status"] or "no answer") if each["is_over"] else "goes on"
    if each["has_left"]:
        end += ", the client has left"
    yield escape_line(f"{moment}  {each['method']} {each['path']}  {end}")
    parts = ", ".join(f"{what} {duration(each[name])}" for name, what in PARTS.items())
    yield f"  {duration(each['seconds'])}, mostly {SLOW.get(each['slow'], '-')}: {parts}"
    where = [f"worker {each['pid']}", f"{each['sent']} bytes sent"]
    where += [f"{what} {each[name]}" for name, what in (("route", "route"), ("id", "id")) if each[name]]
    yield escape_line(f"  {', '.join(where)}")
    for sample in each["stacks"]:
        yield f"  after {duration(sample['after'])} of silence"
        yield from (escape_line(f"  {line}") for line in str(sample["stack"]).splitlines())


def named(request: Mapping[str, Any]) -> str:
    return f"{request['method'] or ''} {request['target'] or ''}".strip()


def age(request: Mapping[str, Any]) -> str:
    return "-" if request["seconds"] is None else duration(request["seconds"])


def in_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """The second column is a word, all others are numbers."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        GAP.join(
            f"{cell:<{width}}" if place == 1 else f"{cell:>{width}}"
            for place, (cell, width) in enumerate(zip(map(escape_line, row), widths, strict=True))
        )
        for row in rows
    ]


def duration(seconds: float) -> str:
    """The two largest units: "3 h 12 min". Below ten seconds with a tenth."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    for place, (size, unit) in enumerate(UNITS):
        if seconds >= size:
            text = f"{seconds // size:.0f} {unit}"
            if place + 1 < len(UNITS) and (rest := seconds % size // UNITS[place + 1][0]):
                text += f" {rest:.0f} {UNITS[place + 1][1]}"
            return text
    return ""


def figures(data: Any, accept: str = "") -> str:
    """What Prometheus reads. accept: as a client of HTTP says it."""
    return rendered(data, accept)[0].decode("utf-8")
