"""How a frame looks: lines for a screen of so many columns and rows. Pure functions.

Knows: columns, widths of characters, units, which words stand for what. Must not know: terminals, colours
(a piece of a line has the name of a style), keys, where figures come from.

Everything that a client or an application has said passes `clean` before it is a piece: none of it can steer
a terminal. What is ours is ASCII, so that any terminal shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from rich.cells import cell_len, chop_cells

from tricorn.commands.ctl_text import duration
from tricorn.commands.top.keys import (
    QUESTIONS,
    REQUEST_SORTS,
    WORKER_SORTS,
    Extent,
    Page,
    View,
    sorted_requests,
    sorted_workers,
)
from tricorn.log.escape import escape_line
from tricorn.metrics.frames import APPLICATION, WAITING, WHOLE, Frame, RequestFigures, WorkerFigures
from tricorn.records import dataclass

#: Names of styles. Everything must be understood without any of them.
PLAIN, TITLE, HEAD, SELECTED, BAD, DIM = "plain", "title", "head", "selected", "bad", "dim"

#: A piece of a line: its style and its text. A line has no more cells than the screen.
Piece = tuple[str, str]
Line = tuple[Piece, ...]

#: Stands for what was cut off.
CUT = "~"

GAP = "  "

#: Selected, where nobody can select anything.
NOBODY = -1

#: In front of the worker that is selected.
MARK = "> "

#: Rows of a screen that has room for blank ones.
ROOMY = 20

#: A request that takes longer is worth a look, seconds.
LONG = 5.0

KEYS: Sequence[tuple[str, str]] = (
    ("q", "quit"),
    ("d", "stacks"),
    ("r", "replace"),
    ("k", "kill"),
    ("s/o", "sort: {}/{}"),
    ("h", "help"),
    ("w", "only this"),
)

HELP = """\
Workers
  up, down      select a worker
  s, S          sort workers by the next column, or by the one before
  d             show the Python stacks of its threads and tasks
  r             replace it: it finishes its requests, another takes its place
  k             kill it at once, with the requests that it has
Requests
  o, O          sort requests by the next column, or by the one before
  w, enter      show those of the selected worker alone, or all again
  page up/down  scroll; home, end: to the first, to the last
Anywhere
  q, escape     back; quit
  Ctrl-L        draw the screen anew        Ctrl-Z  suspend

What a request does (PHASE)
  head          its client sends the head
  body          its client sends the body
  waiting       it is complete, and waits for a thread or a task
  application   the application has it, and has given nothing to the client yet
  responding    the application has begun its response, and goes on with it
  client        what there is of the response waits for the client to read it
  websocket     the connection is a WebSocket
AGE is since when it waits or runs; while its body comes, since when the client
is waited for. Latencies are of the last minute, rates of the last second.
CPU is of one processor."""


def clean(text: str) -> str:
    """Without anything that steers a terminal, or shows nothing."""
    return escape_line(text)


def fitted(text: str, width: int) -> str:
    """So many cells at most; what is cut off is marked."""
    if cell_len(text) <= width:
        return text
    if width <= 0:
        return ""
    return chop_cells(text, width - 1)[0] + CUT if width > 1 else CUT


def padded(text: str, width: int, *, right: bool) -> str:
    text = fitted(text, width)
    room = " " * (width - cell_len(text))
    return room + text if right else text + room


# -- the screen --------------------------------------------------------------------------------------------


def screen(frame: Frame | None, view: View, width: int, height: int) -> list[Line]:
    """Exactly `height` lines."""
    if frame is None:
        lines = [_line(PLAIN, "Asking the server", width)]
    elif view.page is Page.MAIN:
        lines = _main(frame, view, width, height - 1)
    else:
        lines = _text(view, width, height - 1)
    lines = lines[: max(0, height - 1)]
    lines += [()] * (height - 1 - len(lines))
    return [*lines, _foot(view, width)][-height:]


def extent(frame: Frame | None, view: View, width: int, height: int) -> Extent:
    """Of what keys scroll on this screen."""
    if view.page is not Page.MAIN:
        return Extent(max(1, height - 2), len(_text_lines(view, width)))
    if frame is None:
        return Extent()
    parts = _parts(frame, view, width, height - 1)
    return Extent(max(1, parts.requests), len(_chosen(frame, view)))


def everything(frame: Frame, width: int) -> list[Line]:
    """As much as there is, for whoever reads it on paper or in a pipe."""
    view = View(selected=NOBODY)
    lines = _header(frame, width)
    lines += [(), *_workers(sorted_workers(frame.workers, view), view, width, len(frame.workers))]
    chosen = _chosen(frame, view)
    return [*lines, (), *_requests(frame, chosen, _notes(frame, view), width, 0, len(chosen))]


def _text_lines(view: View, width: int) -> list[str]:
    """A line that is too long goes on in the next one: of a stack nothing is left out."""
    source = HELP.splitlines() if view.page is Page.HELP else view.text
    return [piece for line in source for piece in (chop_cells(clean(line), width) or [""])]


def _text(view: View, width: int, height: int) -> list[Line]:
    title = "Help" if view.page is Page.HELP else f"Stacks of worker {view.text_of}"
    lines = _text_lines(view, width)
    size = max(1, height - 1)
    begin = max(0, min(view.scroll, len(lines) - size))
    of = f"  {begin + 1}-{min(begin + size, len(lines))} of {len(lines)}" if len(lines) > size else ""
    return [_line(TITLE, title + of, width), *(_line(PLAIN, each, width) for each in lines[begin:][:size])]


def _foot(view: View, width: int) -> Line:
    if view.asks is not None:
        return _line(BAD, QUESTIONS[view.asks.what].format(view.asks.pid), width)
    if view.message:
        return _line(TITLE, clean(view.message), width)
    if view.page is not Page.MAIN:
        keys = [("q", "back"), ("up/down/pages", "scroll")]
        keys += [("d", "again")] if view.page is Page.STACKS else []
        return _joined([(DIM, f"{key} {what}") for key, what in keys], width)[0]
    sorts = WORKER_SORTS[view.worker_sort].name, REQUEST_SORTS[view.request_sort].name
    return _joined([(DIM, f"{key} {what.format(*sorts)}") for key, what in KEYS], width)[0]


# -- the main page -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parts:
    """How the rows are shared out. blank: 0 or 1, twice. workers, requests: without their headings. notes:
    above the requests."""

    header: int
    blank: int
    workers: int
    notes: int
    requests: int


def _parts(frame: Frame, view: View, width: int, height: int) -> Parts:
    header = len(_header(frame, width))
    header = min(header, max(1, height // 2))
    blank = int(height >= ROOMY)
    room = max(0, height - header - 2 * blank - 2)
    notes = min(len(_notes(frame, view)), room // 4)
    wanted = max(1, len(_chosen(frame, view))) + notes
    workers = min(len(frame.workers), max(room // 2, room - wanted))
    return Parts(header, blank, workers, notes, max(0, room - workers - notes))


def _main(frame: Frame, view: View, width: int, height: int) -> list[Line]:
    parts = _parts(frame, view, width, height)
    blank: list[Line] = [()] * parts.blank
    notes = _notes(frame, view)[: parts.notes]
    return [
        *_header(frame, width)[: parts.header],
        *blank,
        *_workers(sorted_workers(frame.workers, view), view, width, parts.workers),
        *blank,
        *_requests(frame, _chosen(frame, view), notes, width, view.scroll, parts.requests),
    ]


def _header(frame: Frame, width: int) -> list[Line]:
    told = frame.status
    wanted = told["workers"]
    mode = told["mode"] if told["mode"] != "running" else "serving"
    lines = _joined(
        [
            (TITLE, clean(str(told["app"]))),
            (PLAIN if mode == "serving" else BAD, f"{mode}, generation {told['generation']}"),
            (PLAIN, f"process {told['pid']}"),
            (PLAIN, f"up {duration(told['uptime'])}"),
            *_upgrade(frame),
        ],
        width,
    )
    is_short = wanted["ready"] < wanted["wanted"]
    lines += _joined(
        [
            (BAD if is_short else PLAIN, f"workers {wanted['ready']}/{wanted['wanted']} ready"),
            *((PLAIN, f"{wanted[what]} {what}") for what in ("booting", "leaving") if wanted[what]),
            (PLAIN, f"running {sum(each.busy for each in frame.workers)}"),
            (PLAIN, f"waiting {sum(each.waiting for each in frame.workers)}"),
            (PLAIN, _connections(frame)),
            *([(BAD, f"not accepted yet {frame.backlog}")] if frame.backlog else []),
            *([(PLAIN, f"memory {size_of(frame.memory)}")] if frame.memory else []),
        ],
        width,
    )
    for pool in told.get("pools", ()):
        lines += _joined(_pool(pool), width)
    lines += _joined([(PLAIN, f"requests {rate_of(frame.rate)}/s"), *_shares(frame), *_traffic(frame)], width)
    if frame.is_counted:
        lines += _joined(_latencies(frame), width)
    else:
        lines += _joined(
            [(DIM, "statuses, bytes, latencies:"), (DIM, "set metrics (--metrics), and reload")], width
        )
    return lines


def _pool(pool: Mapping[str, Any]) -> list[Piece]:
    """Of heavy workers; one that nobody wants is not shown."""
    if not (pool["wanted"] or pool["leaving"]):
        return []
    is_short = pool["ready"] < pool["wanted"]
    return [
        (BAD if is_short else PLAIN, f"{pool['name']} {pool['ready']}/{pool['wanted']} ready"),
        *((PLAIN, f"{pool[what]} {what}") for what in ("booting", "leaving") if pool[what]),
        (PLAIN, f"calls {pool['running']}"),
        (BAD if pool["waiting"] else PLAIN, f"waiting {pool['waiting']}"),
    ]


def _upgrade(frame: Frame) -> Iterable[Piece]:
    for who in ("older", "newer"):
        if frame.status[who]:
            yield BAD, f"an upgrade is under way: the {who} master is process {frame.status[who]}"
    if frame.status["is_on_trial"]:
        yield BAD, "a reload is under way"


def _connections(frame: Frame) -> str:
    text = f"connections {sum(each.connections for each in frame.workers)}"
    return text if frame.idle is None else f"{text} ({frame.idle} idle)"


def _shares(frame: Frame) -> Iterable[Piece]:
    for status, share in frame.shares.items():
        style = BAD if status in ("5xx", "none") and share > 0 else PLAIN
        yield style, f"{status} {100 * share:.1f}%"


def _traffic(frame: Frame) -> Iterable[Piece]:
    if frame.received is not None and frame.sent is not None:
        yield PLAIN, f"in {size_of(frame.received)}/s"
        yield PLAIN, f"out {size_of(frame.sent)}/s"


def _latencies(frame: Frame) -> list[Piece]:
    pieces = []
    for name, family in (("latency", WHOLE), ("in app", APPLICATION), ("waiting", WAITING)):
        found = frame.latencies.get(family)
        if found is None:
            continue
        if family == WHOLE:
            shares = (("p50", found.p50), ("p95", found.p95), ("p99", found.p99))
            pieces.append(
                (PLAIN, " ".join([name, *(f"{share} {time_of(value)}" for share, value in shares)]))
            )
        else:
            pieces.append((PLAIN, f"{name} p95 {time_of(found.p95)}"))
    return pieces or [(DIM, "latency: no requests in the last minute")]


# -- tables ------------------------------------------------------------------------------------------------


Row = TypeVar("Row")


@dataclass(frozen=True)
class Column(Generic[Row]):
    """rank: the columns with the lowest ones stay when there is no room for all. least: cells."""

    title: str
    rank: int
    show: Callable[[Row], str]
    least: int = 0
    right: bool = True


WORKER_COLUMNS: Sequence[Column[WorkerFigures]] = (
    Column("PID", 0, lambda each: str(each.pid), 6),
    Column("STATE", 1, lambda each: each.state, 5, right=False),
    Column("GEN", 7, lambda each: str(each.generation)),
    Column("AGE", 6, lambda each: duration(each.age)),
    Column("REQ/S", 2, lambda each: "-" if each.is_mold else rate_of(each.rate), 6),
    Column("REQUESTS", 10, lambda each: "-" if each.is_mold else str(each.requests)),
    Column("BUSY", 3, lambda each: "-" if each.is_mold else f"{each.busy}/{each.threads}", 4),
    Column("WAIT", 8, lambda each: "-" if each.is_mold else str(each.waiting)),
    Column("CONNS", 9, lambda each: "-" if each.is_mold else str(each.connections)),
    Column("WS", 11, lambda each: "-" if each.is_mold else str(each.websockets)),
    Column("CPU", 4, lambda each: "-" if each.cpu is None else f"{100 * each.cpu:.1f}%", 5),
    Column("MEMORY", 5, lambda each: size_of(each.memory) if each.memory else "-", 6),
)

#: The last one takes what the others leave.
REQUEST_COLUMNS: Sequence[Column[RequestFigures]] = (
    Column("PID", 2, lambda each: str(each.pid), 6),
    Column("AGE", 0, lambda each: "-" if each.seconds is None else duration(each.seconds), 6),
    Column("PHASE", 1, lambda each: clean(each.phase) or "-", 11, right=False),
    Column("CLIENT", 3, lambda each: fitted(clean(each.client) or "-", 39), 9, right=False),
    Column("HTTP", 5, lambda each: {10: "1.0", 11: "1.1", 20: "2", 30: "3"}.get(each.http, "-")),
    Column("SENT", 4, lambda each: size_of(each.sent), 6),
    Column("ID", 6, lambda each: fitted(clean(each.id) or "-", 36), 2, right=False),
)

#: What is said of one that has no name yet, or none any more.
WITHOUT_NAME = {"head": "(a head that is not complete)", "client": "(a response that is complete)"}

#: Cells that a request's method and path have at least, before a column is shown.
REQUEST_LEAST = 24


def _workers(workers: Sequence[WorkerFigures], view: View, width: int, rows: int) -> list[Line]:
    """With a heading. Those around the selected one; where not all have room the last row tells of the
    others."""
    columns = _that_fit(WORKER_COLUMNS, workers, width - len(MARK))
    lines = [_line(HEAD, " " * len(MARK) + _heading(columns), width)]
    pids = [each.pid for each in workers]
    place = pids.index(view.selected) if view.selected in pids else 0
    seen = rows - 1 if 1 < rows < len(workers) else rows
    begin = max(0, min(place - seen // 2, len(workers) - seen))
    for each in workers[begin : begin + seen]:
        is_selected = each.pid == pids[place] and view.selected != NOBODY
        text = (MARK if is_selected else " " * len(MARK)) + _row(columns, each)
        style = SELECTED if is_selected else (PLAIN if each.state == "ready" else DIM)
        lines.append(_line(style, padded(text, width, right=False) if is_selected else text, width))
    if seen < rows:
        below = len(workers) - seen - begin
        lines.append(_line(DIM, f"{' ' * len(MARK)}{begin} more above, {below} below", width))
    return lines


def _chosen(frame: Frame, view: View) -> list[RequestFigures]:
    found = frame.requests
    if view.only:
        found = [each for each in found if each.pid == view.selected]
    return sorted_requests(found, view)


def _notes(frame: Frame, view: View) -> list[str]:
    """About workers that are shown."""
    notes = [(pid, f"{pid} does not answer: {why}") for pid, why in frame.silent.items()]
    worn = [each for each in frame.workers if each.note]
    notes += [(each.pid, f"{each.pid}: {each.note}, so a successor takes its place") for each in worn]
    return [note for pid, note in notes if not view.only or pid == view.selected]


def _requests(
    frame: Frame, requests: Sequence[RequestFigures], notes: Sequence[str], width: int, scroll: int, rows: int
) -> list[Line]:
    """With a heading, and the notes below that; without either `rows` of them are seen."""
    begin = max(0, min(scroll, len(requests) - rows))
    shown = requests[begin : begin + rows]
    columns = _that_fit(REQUEST_COLUMNS, shown, width - len(MARK) - len(GAP) - REQUEST_LEAST)
    indent = " " * len(MARK)
    lines = [
        _line(HEAD, f"{indent}{_heading(columns)}{GAP}REQUEST{_count(frame, requests, begin, rows)}", width)
    ]
    lines += [_line(BAD, indent + clean(note), width) for note in notes]
    for each in shown:
        is_long = each.seconds is not None and each.seconds >= LONG and each.phase == "application"
        what = clean(f"{each.method} {each.target}".strip()) or WITHOUT_NAME.get(each.phase, "")
        lines.append(
            _line(BAD if is_long else PLAIN, f"{indent}{_row(columns, each)}{GAP}{what}".rstrip(), width)
        )
    if not requests:
        lines.append(_line(DIM, f"{indent}nothing is being served", width))
    return lines


def _count(frame: Frame, requests: Sequence[RequestFigures], begin: int, rows: int) -> str:
    """How many there are, where not all are seen."""
    more = frame.left_out
    if len(requests) <= rows and not more:
        return ""
    last = min(begin + rows, len(requests))
    return f" {begin + 1}-{last} of {len(requests)}{f'+{more}' if more else ''}"


def _that_fit(
    columns: Sequence[Column[Row]], rows: Sequence[Row], width: int
) -> list[tuple[Column[Row], int]]:
    """Columns with their widths, in their order: as many as there is room for, by rank."""
    chosen: dict[str, int] = {}
    used = -len(GAP)
    for column in sorted(columns, key=lambda each: each.rank):
        cells = max([cell_len(column.title), column.least, *(cell_len(column.show(row)) for row in rows)])
        if used + len(GAP) + cells > width:
            break
        used += len(GAP) + cells
        chosen[column.title] = cells
    return [(column, chosen[column.title]) for column in columns if column.title in chosen]


def _heading(columns: Sequence[tuple[Column[Row], int]]) -> str:
    return GAP.join(padded(column.title, cells, right=column.right) for column, cells in columns)


def _row(columns: Sequence[tuple[Column[Row], int]], row: Row) -> str:
    return GAP.join(padded(column.show(row), cells, right=column.right) for column, cells in columns)


# -- lines and units ---------------------------------------------------------------------------------------


def _line(style: str, text: str, width: int) -> Line:
    return ((style, fitted(text, width)),)


def _joined(pieces: Sequence[Piece], width: int) -> list[Line]:
    """In as many lines as it takes; what is longer than a line is cut."""
    lines: list[Line] = []
    line: list[Piece] = []
    used = 0
    for style, whole in pieces:
        text = fitted(whole, width)
        cells = cell_len(text)
        if line and used + len(GAP) + cells > width:
            lines.append(tuple(line))
            line, used = [], 0
        if line:
            line.append((PLAIN, GAP))
            used += len(GAP)
        line.append((style, text))
        used += cells
    return [*lines, tuple(line)]


def rate_of(rate: float | None) -> str:
    if rate is None:
        return "-"
    return f"{rate:.1f}" if rate < 100 else f"{rate:.0f}"


def size_of(count: float) -> str:
    """Bytes, as people say it."""
    for unit, size in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if count >= size:
            value = count / size
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{count:.0f} B"


def time_of(seconds: float) -> str:
    """Of a latency: two figures, so that small ones can be told apart."""
    if seconds >= 10:
        return duration(seconds)
    if seconds >= 1:
        return f"{seconds:.1f} s"
    milliseconds = 1000 * seconds
    return f"{milliseconds:.0f} ms" if milliseconds >= 10 else f"{milliseconds:.2g} ms"
