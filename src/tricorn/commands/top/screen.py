"""The terminal: lines are drawn on it, keys come from it, and it is as it was when we leave it.

Knows: termios, escape sequences (xterm's, which the terminals of today follow), signals, what rich finds out
about a terminal and NO_COLOR. Must not know: what the lines are about, what keys mean.

Only what has changed is drawn, so little goes over a slow connection. While the screen is ours the terminal
makes no signals of keys; signals that come all the same end the `with`, which puts everything back.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

from rich.cells import cell_len
from rich.console import Console

from tricorn.commands.top import layout
from tricorn.commands.top.keys import Decoder
from tricorn.commands.top.layout import Line

#: How long the rest of a key may take that begins with ESC, seconds. Over a slow line, too, the bytes of one
#: key come in one packet.
KEY_TIME = 0.1

#: Another screen beside the one with what was there before; no cursor; what is too long is not wrapped.
ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
LEAVE = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"

#: They end it, after the terminal was put back.
ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
CHANGING = (signal.SIGWINCH, signal.SIGCONT, signal.SIGTSTP)

#: Styles → attributes (ECMA-48 §8.3.117), with colours and without.
ATTRIBUTES: Mapping[str, tuple[str, str]] = {
    layout.PLAIN: ("", ""),
    layout.TITLE: ("1", "1"),
    layout.HEAD: ("1;4", "1;4"),
    layout.SELECTED: ("7", "7"),
    layout.BAD: ("1;31", "1"),
    layout.DIM: ("2", ""),
}


class EndedError(BaseException):
    """A signal has ended it. (No Exception: whoever catches those must not catch this.)"""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def is_able(console: Console) -> bool:
    """Whether a screen can be drawn here, and keys be read."""
    return console.is_terminal and not console.is_dumb_terminal and sys.stdin.isatty()


def painter_for(console: Console) -> Callable[[Line], str]:
    """Lines as this terminal wants them; as plain text where there is none, or one that knows only text."""
    if not console.is_terminal or console.is_dumb_terminal:
        return lambda line: "".join(text for _, text in line)
    has_colours = console.color_system is not None and not console.no_color

    def painted(line: Line) -> str:
        return "".join(_piece(ATTRIBUTES[style][0 if has_colours else 1], text) for style, text in line)

    return painted


def _piece(attributes: str, text: str) -> str:
    return f"\x1b[{attributes}m{text}\x1b[0m" if attributes else text


class Terminal:
    """Use it with `with`."""

    def __init__(self, console: Console) -> None:
        self._painted = painter_for(console)
        self._encoding = sys.stdout.encoding or "ascii"
        self._input, self._output = sys.stdin.fileno(), sys.stdout.fileno()
        self._decoder = Decoder()
        self._shown: list[str] = []
        self._size = (0, 0)
        self._handlers: dict[int, Any] = {}
        self._noted: list[str] = []

    def __enter__(self) -> Terminal:
        self._before = termios.tcgetattr(self._input)
        self._reader, self._writer = os.pipe()
        for end in (self._reader, self._writer):
            os.set_blocking(end, False)
        try:
            self._wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
            for number in (*ENDING, *CHANGING):
                self._handlers[number] = signal.signal(number, self._end if number in ENDING else self._note)
            self._take()
        except BaseException:
            self._put_back()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._put_back()

    def _put_back(self) -> None:
        # What comes from here on must not stop half-way.
        for number in self._handlers:
            signal.signal(number, signal.SIG_IGN)
        self._give_back()
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._handlers.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        os.close(self._reader)
        os.close(self._writer)

    def _take(self) -> None:
        tty.setraw(self._input, termios.TCSADRAIN)
        self._shown = []
        self._write(ENTER)

    def _give_back(self) -> None:
        # The terminal may be gone.
        with suppress(OSError):
            self._write(LEAVE)
        with suppress(termios.error):
            termios.tcsetattr(self._input, termios.TCSADRAIN, self._before)

    def _write(self, text: str) -> None:
        data = memoryview(text.encode(self._encoding, "replace"))
        while data:
            data = data[os.write(self._output, data) :]

    # -- signals ---------------------------------------------------------------------------------------------

    def _end(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature of a handler
        raise EndedError(number)

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as above
        self._noted.append("suspend" if number == signal.SIGTSTP else "redraw")

    def suspend(self) -> None:
        """Until somebody has us go on."""
        self._give_back()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(0, signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._note)
        self._take()

    # -- what it is for --------------------------------------------------------------------------------------

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        try:
            size = os.get_terminal_size(self._output)
        except OSError:
            return 80, 24
        return size.columns or 80, size.lines or 24

    def wake(self) -> None:
        """Have `wait_keys` return; from any thread."""
        with suppress(BlockingIOError):
            os.write(self._writer, b"\0")

    def wait_keys(self) -> list[str]:
        """Wait for some, or until somebody wakes us: then there may be none."""
        timeout = KEY_TIME if self._decoder.pending else None
        ready = select.select([self._input, self._reader], [], [], timeout)[0]
        if not ready:
            return self._decoder.flush()
        found = []
        if self._reader in ready:
            with suppress(BlockingIOError):
                os.read(self._reader, 4096)
            found, self._noted = self._noted, []
        if self._input in ready:
            data = os.read(self._input, 4096)
            found += self._decoder.feed(data) if data else ["quit"]
        return found

    def redraw(self) -> None:
        """With all that is on it, and in our way: somebody may have written on it, or changed it."""
        self._take()

    def draw(self, lines: Sequence[Line], size: tuple[int, int]) -> None:
        """size: that these lines are made for."""
        pieces = []
        if size != self._size:
            self._size, self._shown = size, []
            pieces.append("\x1b[2J")
        shown = [self._painted(line) for line in lines]
        for row, text in enumerate(shown):
            if row < len(self._shown) and self._shown[row] == text:
                continue
            is_full = sum(cell_len(piece) for _, piece in lines[row]) >= size[0]
            pieces.append(f"\x1b[{row + 1};1H{text}" + ("" if is_full else "\x1b[K"))
        self._shown = shown
        if pieces:
            self._write("".join(pieces))
