"""An application that asks for the time limit of its request, and moves it. `asgi_deadlines.py` is the same.

The last part of the path is what it does, whatever route stands before that; the query is `GATE` or
`GATE&SECONDS`. What waits writes GATE.in, waits for the file GATE, and answers "released".

`/`             the process id
`…/remaining`   what `remaining()` gives
`…/wait`        waits
`…/extend`      extends by SECONDS, then waits
`…/clear`       clears, then waits
`…/aside`       extends by SECONDS in another thread, then waits
`…/wrong`       extends by what is no extension; answers with the names of what is raised
`…/keep`        keeps the deadline
`…/late`        uses those that were kept, here and in another thread; answers with what that gives
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LONGEST = 20.0
NO_EXTENSIONS: tuple[Any, ...] = (-1, float("nan"), "x", None)

kept: list[Any] = []


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    path, gate, seconds = request_of(environ["PATH_INFO"], environ["QUERY_STRING"])
    text = act(path, environ["tricorn.deadline"], seconds)
    if text is None:
        enter(gate)
        end = time.monotonic() + LONGEST
        while not gate.exists() and time.monotonic() < end:
            time.sleep(0.005)
        text = "released"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [text.encode()]


def request_of(path: str, query: str) -> tuple[str, Path, float]:
    gate, _, seconds = query.partition("&")
    return path.rpartition("/")[2], Path(gate), float(seconds or 0)


def enter(gate: Path) -> None:
    gate.with_name(f"{gate.name}.in").write_text(str(os.getpid()))


def act(what: str, deadline: Any, seconds: float) -> str | None:
    """What the page answers; None: it waits first."""
    match what:
        case "":
            return str(os.getpid())
        case "remaining":
            return repr(deadline.remaining())
        case "wrong":
            return " ".join(raised(deadline.extend, wrong) for wrong in NO_EXTENSIONS)
        case "keep":
            kept.append(deadline.bound())
            return "kept"
        case "late":
            return f"{late()} {aside(late)}"
        case "extend":
            deadline.extend(seconds)
        case "clear":
            deadline.clear()
        case "aside":
            bound = deadline.bound()
            aside(lambda: bound.extend(seconds))
    return None


def late() -> list[Any]:
    return [(each.extend(5), each.clear(), each.remaining()) for each in kept]


def aside(function: Callable[[], Any]) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def raised(function: Callable[[Any], object], argument: Any) -> str:
    try:
        function(argument)
    except (TypeError, ValueError) as error:
        return type(error).__name__
    return "nothing"
