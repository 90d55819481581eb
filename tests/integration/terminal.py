"""A terminal for programs that draw on it: a pseudo-terminal, and what the bytes have made of its screen.

It knows the sequences that `tricorn top` may use and raises at any other, so whatever gets through from
elsewhere is found. Knows: ptys, ECMA-48. Must not know: what is shown.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Sequence

from harness.server import wait_for

SEQUENCE = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|([\x00-\x1f\x7f-\x9f])|([^\x00-\x1f\x7f-\x9f]+)")
ATTRIBUTES = {"0", "1", "2", "4", "7", "31"}


class Terminal:
    """A program, and the screen that it draws on. Use it with `with`."""

    def __init__(
        self,
        command: Sequence[str],
        environ: dict[str, str] | None = None,
        *,
        columns: int = 80,
        rows: int = 24,
    ) -> None:
        self._main, self._other = pty.openpty()
        self.resize(columns, rows, tell=False)
        self.before = termios.tcgetattr(self._other)
        self.columns, self.rows = columns, rows
        #: The size once the program has cleared the screen: what it was drawing has the size from before.
        self._resized = columns, rows
        self._cells = [""] * rows
        self._at = (0, 0)
        self._pending = ""
        #: Private modes that are on: 25 (cursor), 7 (wraps), 1049 (the other screen).
        self.modes = {"25", "7"}
        self.raw = ""
        #: What was written while the usual screen was shown.
        self.usual = ""
        # (From 3.13 on the interpreter colours its tracebacks.)
        usual = {"TERM": "xterm-256color", "PYTHON_COLORS": "0", "COLUMNS": "", "LINES": ""}
        surroundings = {**os.environ, **usual, **(environ or {})}
        surroundings = {name: value for name, value in surroundings.items() if value}
        # A group of its own in our session: so it can be suspended.
        self.process = subprocess.Popen(
            command,
            stdin=self._other,
            stdout=self._other,
            stderr=self._other,
            env=surroundings,
            process_group=0,
        )

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._main)
        os.close(self._other)

    def resize(self, columns: int, rows: int, *, tell: bool = True) -> None:
        fcntl.ioctl(self._other, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
        if tell:
            self._resized = columns, rows
            self.process.send_signal(signal.SIGWINCH)

    def press(self, keys: str) -> None:
        os.write(self._main, keys.encode())

    @property
    def is_as_before(self) -> bool:
        """Nothing of it is left on the terminal."""
        self.read()
        return self.modes == {"25", "7"} and termios.tcgetattr(self._other) == self.before

    def lines(self) -> list[str]:
        self.read()
        return [line.rstrip() for line in self._cells]

    def wait_for(self, text: str | Callable[[list[str]], object]) -> list[str]:
        """The screen, once this is on it, or holds of it."""

        def is_there() -> list[str] | None:
            lines = self.lines()
            assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.usual}"
            found = any(text in line for line in lines) if isinstance(text, str) else text(lines)
            return lines if found else None

        found: list[str] = wait_for(is_there, f"{text!r} on the screen: {self._cells}")
        return found

    def wait_end(self) -> int:
        """The exit status."""
        wait_for(lambda: (self.read(), self.process.poll())[1] is not None, "the program ends")
        self.read()
        return self.process.wait()

    def read(self) -> None:
        while select.select([self._main], [], [], 0)[0]:
            data = os.read(self._main, 65536).decode()
            self.raw += data
            self._draw(data)

    def _draw(self, data: str) -> None:
        data = self._pending + data
        self._pending = ""
        cut = data.rfind("\x1b")
        if cut >= 0 and not SEQUENCE.match(data, cut):
            data, self._pending = data[:cut], data[cut:]
        place = 0
        while place < len(data):
            found = SEQUENCE.match(data, place)
            assert found, f"not understood: {data[place : place + 20]!r}"
            place = found.end()
            if found[2]:
                self._obey(found[1], found[2])
            elif "1049" not in self.modes:
                self.usual += found[0]
            else:
                assert found[4], f"a control character: {found[3]!r}"
                row, column = self._at
                line = self._cells[row].ljust(column)
                self._cells[row] = line[:column] + found[4] + line[column + len(found[4]) :]
                self._at = (row, column + len(found[4]))
                assert self._at[1] <= self.columns, self._cells[row]

    def _obey(self, parameters: str, final: str) -> None:
        row, column = self._at
        match final:
            case "h":
                self.modes.add(parameters.removeprefix("?"))
            case "l":
                self.modes.discard(parameters.removeprefix("?"))
            case "m":
                assert set(parameters.split(";")) <= ATTRIBUTES, parameters
            case "H":
                row, column = (int(each) - 1 for each in parameters.split(";"))
                assert row < self.rows
                self._at = (row, column)
            case "K" if not parameters:
                self._cells[row] = self._cells[row][:column]
            case "J" if parameters == "2":
                self.columns, self.rows = self._resized
                self._cells = [""] * self.rows
            case _:
                raise AssertionError(f"ESC [ {parameters} {final}")


def top(*words: str) -> list[str]:
    return [sys.executable, "-m", "tricorn", "top", *words]
