"""`spew`: each line of Python that this process executes, on the standard error.

Knows: how Python traces. Must not know: what is executed.

Lines of Tricorn's own and of the import system are left out: whoever asks looks for the application's.
"""

from __future__ import annotations

import linecache
import os
import sys
import threading
from types import FrameType
from typing import Any

#: Files whose lines are not shown begin so.
OURS = (os.path.dirname(os.path.dirname(__file__)) + os.sep, "<frozen ")


def start() -> None:
    """For this thread, as far as it calls something from now on, and for those that are made later."""
    threading.settrace(trace)
    sys.settrace(trace)


def trace(frame: FrameType, event: str, _argument: Any) -> Any:
    """Called by Python (sys.settrace): what it returns is called for each line of the frame."""
    if frame.f_code.co_filename.startswith(OURS):
        return None
    if event == "line":
        put(frame)
    return trace


def put(frame: FrameType) -> None:
    """One line, in one piece. What cannot be written is lost."""
    filename, number = frame.f_code.co_filename, frame.f_lineno
    source = linecache.getline(filename, number, frame.f_globals).rstrip()
    text = f"{frame.f_globals.get('__name__', filename)}:{number}: {source}\n"
    try:
        os.write(2, text.encode("utf-8", "backslashreplace"))
    except OSError:
        sys.settrace(None)  # nobody reads it any more
