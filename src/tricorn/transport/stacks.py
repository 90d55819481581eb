"""Where a task waits: the frames from its coroutine down to what it awaits, as a traceback shows them.

Knows: coroutines, generators. Must not know: requests, logs.
"""

from __future__ import annotations

import asyncio
import traceback
from types import FrameType
from typing import Any

#: Where each kind of awaitable keeps its frame, and what it awaits itself.
KINDS = (("cr_frame", "cr_await"), ("gi_frame", "gi_yieldfrom"), ("ag_frame", "ag_await"))

DEEPEST = 200


def awaiting_stack(task: asyncio.Task[Any]) -> str:
    """The text of the stack, outermost frame first. `Task.get_stack()` gives the outermost frame only."""
    lines: list[str] = []
    inner: Any = task.get_coro()
    for _ in range(DEEPEST):
        frame, inner = _step(inner)
        if frame is None:
            break
        lines += traceback.format_list(
            traceback.StackSummary.extract([(frame, frame.f_lineno)]),
        )
    return "".join(lines) or "  (not in Python code)\n"


def _step(awaitable: Any) -> tuple[FrameType | None, Any]:
    for frame, inner in KINDS:
        if hasattr(awaitable, frame):
            return getattr(awaitable, frame), getattr(awaitable, inner)
    return None, None
