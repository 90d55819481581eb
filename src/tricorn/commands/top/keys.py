"""What keys do: bytes of a terminal become keys, and a key makes another view of one, or wants something
done.

Knows: how terminals say keys (ECMA-48, xterm), what the view shows. Must not know: the terminal, the server,
how the view looks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum, auto
from typing import Any, Generic, TypeVar

from tricorn.metrics.frames import Frame, RequestFigures, WorkerFigures
from tricorn.records import dataclass, field, replace

ESCAPE = "escape"

#: Behind ESC [ or ESC O.
SEQUENCES: Mapping[bytes, str] = {
    b"A": "up",
    b"B": "down",
    b"H": "home",
    b"F": "end",
    b"1~": "home",
    b"4~": "end",
    b"7~": "home",
    b"8~": "end",
    b"5~": "pageup",
    b"6~": "pagedown",
}

#: Bytes of a sequence that are kept until its end comes.
LONGEST = 16

CONTROLS: Mapping[bytes, str] = {
    b"\r": "enter",
    b"\n": "enter",
    b"\t": "tab",
    b"\x03": "quit",  # Ctrl-C, as a key: the terminal sends no signals while the view is shown
    b"\x1c": "quit",
    b"\x04": "quit",
    b"\x0c": "redraw",
    b"\x1a": "suspend",
    b"?": "h",
}


class Decoder:
    """pending: some of a key may still come; without it, after a moment, `flush` says what it was."""

    def __init__(self) -> None:
        self._rest = b""

    @property
    def pending(self) -> bool:
        return bool(self._rest)

    def feed(self, data: bytes) -> list[str]:
        self._rest += data
        return list(self._keys())

    def flush(self) -> list[str]:
        rest, self._rest = self._rest, b""
        return [ESCAPE] if rest == b"\x1b" else []

    def _keys(self) -> Iterator[str]:
        while self._rest:
            size, key = self._first()
            if size == 0:
                return
            self._rest = self._rest[size:]
            if key:
                yield key

    def _first(self) -> tuple[int, str]:
        """Of how many bytes the first key is, and which; 0: not all of it is here."""
        data = self._rest
        if data[:1] != b"\x1b":
            one = data[:1]
            return 1, CONTROLS.get(one) or (one.decode("ascii") if one.isascii() and one.isalnum() else "")
        if data == b"\x1b":
            return 0, ""
        if data[1:2] not in b"[O":
            return 1, ESCAPE
        end = 2
        while end < len(data) and not 0x40 <= data[end] <= 0x7E:
            end += 1
        if end == len(data):
            self._rest = data[:LONGEST]  # what belongs to it is none of the keys behind it
            return 0, ""
        return end + 1, SEQUENCES.get(data[2 : end + 1], "")


@dataclass(frozen=True)
class Extent:
    """Of what can be scrolled: size: lines that are seen at once; lines: that there are."""

    size: int = 1
    lines: int = 0

    def scrolled(self, scroll: int, key: str) -> int:
        steps = {"up": -1, "down": 1, "pageup": -self.size, "pagedown": self.size, "home": -scroll}
        wanted = self.lines if key == "end" else scroll + steps.get(key, 0)
        return max(0, min(wanted, self.lines - self.size))


class Page(Enum):
    MAIN = auto()
    STACKS = auto()
    HELP = auto()


Row = TypeVar("Row")


@dataclass(frozen=True)
class Sort(Generic[Row]):
    """name: for people. is_falling: the largest first."""

    name: str
    value: Callable[[Row], Any]
    is_falling: bool = True


WORKER_SORTS: Sequence[Sort[WorkerFigures]] = (
    Sort("pid", lambda each: each.pid, is_falling=False),
    Sort("req/s", lambda each: each.rate or 0),
    Sort("busy", lambda each: each.busy),
    Sort("waiting", lambda each: each.waiting),
    Sort("conns", lambda each: each.connections),
    Sort("cpu", lambda each: each.cpu or 0),
    Sort("memory", lambda each: each.memory),
    Sort("age", lambda each: each.age),
)
REQUEST_SORTS: Sequence[Sort[RequestFigures]] = (
    Sort("age", lambda each: -1.0 if each.seconds is None else each.seconds),
    Sort("request", lambda each: (each.target, each.method), is_falling=False),
    Sort("phase", lambda each: each.phase, is_falling=False),
    Sort("client", lambda each: each.client, is_falling=False),
    Sort("pid", lambda each: each.pid, is_falling=False),
    Sort("sent", lambda each: each.sent),
)


@dataclass(frozen=True)
class Action:
    """What somebody wants: quit, suspend, redraw, or dump, replace, kill with the pid of a worker."""

    what: str
    pid: int = 0


QUESTIONS: Mapping[str, str] = {
    "replace": "Replace worker {}? It finishes its requests, another takes its place (y/n)",
    "kill": "Kill worker {} at once, with the requests that it has? (y/n)",
}


@dataclass(frozen=True)
class View:
    """selected: the pid of a worker; None: the first one. only: its requests alone are shown. scroll: how far
    requests or lines of a text are scrolled. asks: what is done on y. message: what came of something; until
    the next key. text: of the stacks of worker `text_of`."""

    page: Page = Page.MAIN
    worker_sort: int = 0
    request_sort: int = 0
    selected: int | None = None
    only: bool = False
    scroll: int = 0
    asks: Action | None = None
    message: str = ""
    text: Sequence[str] = field(default=())
    text_of: int = 0


def pressed(view: View, key: str, frame: Frame | None, extent: Extent) -> tuple[View, Action | None]:
    """frame: what is shown, None: nothing yet. extent: of requests, or of a text, as they are shown."""
    if key in ("suspend", "redraw", "quit"):
        return view, Action(key)
    if view.asks is not None:
        return (replace(view, asks=None, message=""), view.asks if key in ("y", "Y") else None)
    view = replace(view, message="")
    if view.page is not Page.MAIN:
        return _in_text(view, key, extent)
    if key in ("q", "Q", ESCAPE):
        return view, Action("quit")
    return _in_main(view, key, frame, extent)


def _in_text(view: View, key: str, extent: Extent) -> tuple[View, Action | None]:
    if key in ("q", "Q", ESCAPE, "enter", "h"):
        return replace(view, page=Page.MAIN, scroll=0), None
    if key == "d" and view.page is Page.STACKS:
        return view, Action("dump", view.text_of)
    return replace(view, scroll=extent.scrolled(view.scroll, key)), None


def _in_main(view: View, key: str, frame: Frame | None, extent: Extent) -> tuple[View, Action | None]:
    workers = sorted_workers(frame.workers, view) if frame is not None else []
    pids = [worker.pid for worker in workers]
    place = pids.index(view.selected) if view.selected in pids else 0
    match key:
        case "up" | "down" if pids:
            place = max(0, min(len(pids) - 1, place + (1 if key == "down" else -1)))
            return replace(view, selected=pids[place], scroll=0 if view.only else view.scroll), None
        case "pageup" | "pagedown" | "home" | "end":
            return replace(view, scroll=extent.scrolled(view.scroll, key)), None
        case "s" | "S":
            step = 1 if key == "s" else -1
            return replace(view, worker_sort=(view.worker_sort + step) % len(WORKER_SORTS)), None
        case "o" | "O":
            step = 1 if key == "o" else -1
            order = (view.request_sort + step) % len(REQUEST_SORTS)
            return replace(view, request_sort=order, scroll=0), None
        case "w" | "enter" if pids:
            return replace(view, only=not view.only, selected=pids[place], scroll=0), None
        case "h":
            return replace(view, page=Page.HELP, scroll=0), None
        case "d" if pids:
            said = f"Asking worker {pids[place]} for its stacks"
            return replace(view, selected=pids[place], message=said), Action("dump", pids[place])
        case "r" | "k" if pids:
            action = Action("replace" if key == "r" else "kill", pids[place])
            return replace(view, selected=action.pid, asks=action), None
        case _:
            return view, None


# -- order -------------------------------------------------------------------------------------------------


def sorted_workers(workers: Sequence[WorkerFigures], view: View) -> list[WorkerFigures]:
    """Those that are equal stay in the order of their process ids."""
    return _sorted(_sorted(workers, WORKER_SORTS[0]), WORKER_SORTS[view.worker_sort])


def sorted_requests(requests: Sequence[RequestFigures], view: View) -> list[RequestFigures]:
    """Those that are equal: the longest first."""
    return _sorted(_sorted(requests, REQUEST_SORTS[0]), REQUEST_SORTS[view.request_sort])


def _sorted(rows: Sequence[Row], sort: Sort[Row]) -> list[Row]:
    return sorted(rows, key=sort.value, reverse=sort.is_falling)
