"""The text of an exception, whatever it is: bounded, and without trusting a word that it says about itself.

Knows: exceptions, tracebacks. Must not know: records, files, whose exception it is.

An application's exception can be of a class that raises when it is looked at, and the last of a chain of a
million. What the interpreter has of it lies in slots, which no code of the application's can answer for.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import Any

#: Exceptions of one text, counting causes, contexts and the members of groups.
MOST = 64
#: Of a longer chain, so many from each end.
ENDS = 8
#: Frames of one traceback, the innermost; a runaway recursion, of which 1,000 is usual, is shown whole.
FRAMES = 1500

_name = type.__dict__["__name__"].__get__
_cause = BaseException.__dict__["__cause__"].__get__
_context = BaseException.__dict__["__context__"].__get__
_is_alone = BaseException.__dict__["__suppress_context__"].__get__
_traceback = BaseException.__dict__["__traceback__"].__get__
_members = BaseExceptionGroup.__dict__["exceptions"].__get__

_AFTER_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_AFTER_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"


def traceback_of(error: BaseException) -> TracebackType | None:
    return _traceback(error)  # type: ignore[no-any-return]


def name_of(error: BaseException) -> str:
    """The name of its class."""
    return _name(type(error))  # type: ignore[no-any-return]


def previous_of(error: BaseException) -> BaseException | None:
    """What it was raised from, or while."""
    return _cause(error) or (None if _is_alone(error) else _context(error))


def members_of(error: BaseException) -> tuple[BaseException, ...]:
    """The exceptions of a group; of any other, none."""
    return _members(error) if issubclass(type(error), BaseExceptionGroup) else ()


def format_exception(error: BaseException, trace: TracebackType | None = None) -> str:
    """As traceback.format_exception() has it, if that is sure to end soon; else in short."""
    trace = trace or traceback_of(error)
    if _is_small(error):
        try:
            limit = None if _depth(trace) <= FRAMES else -FRAMES
            return "".join(traceback.format_exception(type(error), error, trace, limit=limit))
        except BaseException:  # noqa: BLE001 - it is looked at by its attributes, which are foreign code
            return _in_short(error, trace)
    return _in_short(error, trace)


def _is_small(error: BaseException) -> bool:
    waiting, seen = [error], {id(error)}
    while waiting and len(seen) <= MOST:
        found = waiting.pop()
        members = members_of(found)
        if len(members) > MOST:
            return False
        for other in (_cause(found), _context(found), *members):
            if other is not None and id(other) not in seen:
                seen.add(id(other))
                waiting.append(other)
    return len(seen) <= MOST


def _depth(trace: TracebackType | None) -> int:
    depth = 0
    while trace is not None and depth <= FRAMES:
        depth += 1
        trace = trace.tb_next
    return depth


def _in_short(error: BaseException, trace: TracebackType | None) -> str:
    """The ends of its chain, oldest first."""
    chain = list(_chain(error))
    parts: list[str] = []
    for at in range(len(chain) - 1, -1, -1):
        if ENDS <= at < len(chain) - ENDS:
            if at == ENDS:
                parts.append(f"\n[… {len(chain) - 2 * ENDS} exceptions between them …]\n\n")
            continue
        link = chain[at]
        parts.append(_one(link, trace if at == 0 else traceback_of(link)))
        if at:
            parts.append(_AFTER_CAUSE if _cause(chain[at - 1]) is link else _AFTER_CONTEXT)
    return "".join(parts)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = previous_of(found)


def _one(error: BaseException, trace: TracebackType | None) -> str:
    lines = ["Traceback (most recent call last):\n", *_frames(trace)] if trace is not None else []
    members = len(members_of(error))
    inside = f" (with {members} exceptions)" if members else ""
    return "".join([*lines, f"{name_of(error)}: {_said(error)}{inside}\n"])


def _frames(trace: TracebackType | None) -> list[str]:
    try:
        return traceback.format_tb(trace, limit=-ENDS)
    except BaseException as error:  # noqa: BLE001 - a module's loader is asked for its source
        return [f"  (no frames: {name_of(error)})\n"]


def _said(error: Any) -> str:
    try:
        return str(error)
    except BaseException as trouble:  # noqa: BLE001 - foreign code
        return f"<its __str__ raised {name_of(trouble)}>"
