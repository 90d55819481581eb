"""Where a task waits: the frames from its coroutine down to what it awaits, as a traceback shows them.

Knows: coroutines, generators. Must not know: requests, logs.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import Any

from tricorn.log.exceptions import name_of

#: Where each kind of awaitable keeps its frame, and what it awaits itself.
KINDS = (("cr_frame", "cr_await"), ("gi_frame", "gi_yieldfrom"), ("ag_frame", "ag_await"))

DEEPEST = 200


def awaiting_stack(task: asyncio.Task[Any]) -> str:
    """The text of the stack, outermost frame first. `Task.get_stack()` gives the outermost frame only."""
    lines: list[str] = []
    try:
        for frame in _frames(task):
            lines += traceback.format_list(traceback.StackSummary.extract([(frame, frame.f_lineno)]))
    except BaseException as error:  # noqa: BLE001 - a task or an awaitable of the application's own
        lines.append(f"  (no more frames: {name_of(error)})\n")
    return "".join(lines) or "  (not in Python code)\n"


def _frames(task: asyncio.Task[Any]) -> Iterator[FrameType]:
    inner: Any = task.get_coro()
    for _ in range(DEEPEST):
        frame, inner = _step(inner)
        if frame is None:
            return
        yield frame


def _step(awaitable: Any) -> tuple[FrameType | None, Any]:
    for frame, inner in KINDS:
        if hasattr(awaitable, frame):
            return getattr(awaitable, frame), getattr(awaitable, inner)
    return None, None
