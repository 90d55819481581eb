"""Where a task waits and where a thread is, as a traceback shows it.

Knows: coroutines, generators, frames. Must not know: requests, logs.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

from tricorn.log.exceptions import name_of

if TYPE_CHECKING:
    import asyncio  # a worker with threads loads no event loop

#: Where each kind of awaitable keeps its frame, and what it awaits itself.
KINDS = (("cr_frame", "cr_await"), ("gi_frame", "gi_yieldfrom"), ("ag_frame", "ag_await"))

DEEPEST = 200

#: Of a file, as far as it is shown in a line.
LONGEST_NAME = 60

NOT_PYTHON = "  (not in Python code)\n"

#: Where the server's own code lies.
OURS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "")


def awaiting_stack(task: asyncio.Task[Any]) -> str:
    """The text of the stack, outermost frame first. `Task.get_stack()` gives the outermost frame only."""
    lines: list[str] = []
    try:
        for frame in awaiting_frames(task):
            lines += traceback.format_list(traceback.StackSummary.extract([(frame, frame.f_lineno)]))
    except BaseException as error:  # noqa: BLE001 - a task or an awaitable of the application's own
        lines.append(f"  (no more frames: {name_of(error)})\n")
    return "".join(lines) or NOT_PYTHON


def awaiting_frames(task: asyncio.Task[Any]) -> Iterator[FrameType]:
    """From the outermost one on. What the application has made may raise anything."""
    inner: Any = task.get_coro()
    for _ in range(DEEPEST):
        frame, inner = _step(inner)
        if frame is None:
            return
        yield frame


def thread_stack(frame: FrameType | None) -> str:
    """The text of the stack whose innermost frame this is, without the server's own frames at its bottom."""
    stack = traceback.extract_stack(frame) if frame is not None else []
    while stack and stack[0].filename.startswith(OURS):
        del stack[0]
    return "".join(traceback.format_list(stack)) or NOT_PYTHON


def place_of(frame: FrameType | None) -> str:
    """Where a frame is, in a few words."""
    if frame is None:
        return "an unknown place"
    name = frame.f_code.co_filename
    short = name if len(name) <= LONGEST_NAME else f"…{name[-LONGEST_NAME:]}"
    return f"{short}:{frame.f_lineno}, in {frame.f_code.co_name}"


def _step(awaitable: Any) -> tuple[FrameType | None, Any]:
    for frame, inner in KINDS:
        if hasattr(awaitable, frame):
            return getattr(awaitable, frame), getattr(awaitable, inner)
    return None, None
