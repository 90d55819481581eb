"""Lines as terminals of several kinds want them."""

from __future__ import annotations

import io

import pytest
from commands.top.frames import FRAME
from rich.console import Console

from tricorn.commands.top import layout
from tricorn.commands.top.keys import View
from tricorn.commands.top.screen import ATTRIBUTES, painter_for

LINE = (
    (layout.TITLE, "a"),
    (layout.PLAIN, " "),
    (layout.BAD, "b"),
    (layout.SELECTED, "c"),
    (layout.DIM, "d"),
)


@pytest.mark.parametrize(
    ("environ", "is_terminal", "expected"),
    [
        (
            {"TERM": "xterm-256color"},
            True,
            "\x1b[1ma\x1b[0m \x1b[1;31mb\x1b[0m\x1b[7mc\x1b[0m\x1b[2md\x1b[0m",
        ),
        ({"TERM": "vt100", "NO_COLOR": "1"}, True, "\x1b[1ma\x1b[0m \x1b[1mb\x1b[0m\x1b[7mc\x1b[0md"),
        ({"TERM": "dumb"}, True, "a bcd"),
        ({"TERM": "xterm"}, False, "a bcd"),
    ],
    ids=["colours", "NO_COLOR", "dumb", "no terminal"],
)
def test_a_line(environ: dict[str, str], is_terminal: bool, expected: str) -> None:
    console = Console(file=io.StringIO(), force_terminal=is_terminal, _environ=environ)
    assert painter_for(console)(LINE) == expected


def test_each_style_has_attributes() -> None:
    used = {style for line in layout.screen(FRAME, View(), 80, 24) for style, _ in line}
    assert used <= set(ATTRIBUTES)
    names = {layout.PLAIN, layout.TITLE, layout.HEAD, layout.SELECTED, layout.BAD, layout.DIM}
    assert names == set(ATTRIBUTES)
