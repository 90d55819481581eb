"""Snapshots and keys become what is on the screen, until somebody has seen enough; or once, as text.

Knows: how client, figures, view, layout and screen play together. Must not know: what any of them does, the
command line.
"""

from __future__ import annotations

import shutil
import sys
import time
from queue import Empty, SimpleQueue

from rich.console import Console

from tricorn.commands import ctl
from tricorn.commands.top.client import Failed, Feed, Gone, Letter, Said, Source, Stacks
from tricorn.commands.top.keys import Action, Page, View, pressed
from tricorn.commands.top.layout import everything, extent, screen
from tricorn.commands.top.screen import Terminal, is_able, painter_for
from tricorn.metrics.frames import Frame, History, Snapshot
from tricorn.records import replace

#: Of what is printed where there is no terminal, columns.
WIDTH = 100

#: Of what rates are made that are printed once, seconds.
ONCE = 1.0


def show(line: ctl.Line, interval: float, *, is_once: bool) -> str | None:
    """Why it ended; None: somebody wanted that. line: of which server. interval: seconds. is_once: also where
    a screen could be drawn. ControlError: there is no such server; EndedError: by a signal."""
    console = Console()
    source = Source(line)
    if is_once or not is_able(console):
        _print_once(source, console)
        return None
    letters: SimpleQueue[Letter] = SimpleQueue()
    with Terminal(console) as terminal:

        def post(letter: Letter) -> None:
            letters.put(letter)
            terminal.wake()

        feed = Feed(source, line, interval, post)
        feed.start()
        return Watch(terminal, feed, letters).run()


def _print_once(source: Source, console: Console) -> None:
    history = History()
    begun = time.monotonic()
    history.frame(source.snapshot(with_requests=False))
    time.sleep(max(0.0, begun + ONCE - time.monotonic()))
    frame = history.frame(source.snapshot())
    painted = painter_for(console)
    width = shutil.get_terminal_size((WIDTH, 0)).columns
    text = "".join(f"{painted(line)}\n" for line in everything(frame, width))
    encoding = sys.stdout.encoding or "ascii"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))


class Watch:
    def __init__(self, terminal: Terminal, feed: Feed, letters: SimpleQueue[Letter]) -> None:
        self._terminal = terminal
        self._feed = feed
        self._letters = letters
        self._history = History()
        self._frame: Frame | None = None
        self._view = View()
        self._gone: str | None = None
        self._is_over = False

    def run(self) -> str | None:
        """As show()."""
        while not self._is_over:
            size = self._terminal.size
            self._terminal.draw(screen(self._frame, self._view, *size), size)
            for key in self._terminal.wait_keys():
                self._press(key)
            self._take_letters()
        return self._gone

    def _press(self, key: str) -> None:
        around = extent(self._frame, self._view, *self._terminal.size)
        self._view, action = pressed(self._view, key, self._frame, around)
        if action is not None:
            self._act(action)

    def _act(self, action: Action) -> None:
        match action.what:
            case "quit":
                self._is_over = True
            case "suspend":
                self._terminal.suspend()
            case "redraw":
                self._terminal.redraw()
            case _:
                self._feed.do(action)

    def _take_letters(self) -> None:
        while True:
            try:
                letter = self._letters.get_nowait()
            except Empty:
                return
            self._take(letter)

    def _take(self, letter: Letter) -> None:
        match letter:
            case Snapshot():
                self._frame = self._history.frame(letter)
            case Stacks():
                view = replace(self._view, page=Page.STACKS, scroll=0, message="")
                self._view = replace(view, text=letter.lines, text_of=letter.pid)
            case Said():
                self._view = replace(self._view, message=letter.text)
            case Gone():
                self._gone, self._is_over = letter.text, True
            case Failed():
                raise letter.error
