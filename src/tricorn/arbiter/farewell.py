"""The end of a mold, or of a master that has stopped: bounded, whatever foreign code left in it.

Knows: threads, exit hooks, the interpreter's own end. Must not know: workers, listeners (all is closed now).

An application was loaded in this process, or a configuration file that is a program. Its threads and exit
hooks get their turn, as they would in any program; but the service has ended, so who told it to end does not
wait for them longer than a few seconds, and whoever asks again not at all.
"""

from __future__ import annotations

import atexit
import faulthandler
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Collection
from contextlib import suppress
from types import FrameType
from typing import NoReturn

from tricorn.arbiter.signals import STOPS, signal_name

log = logging.getLogger("tricorn.error")

#: For threads and exit hooks together, seconds; the same that a worker gets in a quick stop.
PATIENCE = 5.0

#: When the process ends although nothing in it comes to run any more: foreign code holds the GIL.
LAST_RESORT = PATIENCE + 2.0

STDLIB = os.path.dirname(os.__file__)


def leave(
    code: int, stops: Collection[signal.Signals] = STOPS, is_hurried: Callable[[], bool] = lambda: False
) -> NoReturn:
    """End the process with this exit code, as the interpreter would, but within PATIENCE seconds.

    stops: signals by which somebody asks again.
    is_hurried: whether one has come before its handler was in its place.
    """
    main = threading.get_ident()

    def give_up(why: str, frame: FrameType | None) -> NoReturn:
        log.warning("%s: no longer waiting for %s", why, _what_holds(main, frame))
        os._exit(code)

    def hurry(number: int, frame: FrameType | None) -> None:
        give_up(signal_name(number), frame)

    def time_is_up() -> None:
        give_up(f"The process did not end within {PATIENCE:.0f} s", sys._current_frames().get(main))

    try:
        # Descriptor 2, not sys.stderr, which may be closed. This timer's thread needs no GIL.
        faulthandler.dump_traceback_later(LAST_RESORT, exit=True, file=2)
        for number in stops:
            signal.signal(number, hurry)
        if is_hurried():
            hurry(signal.SIGTERM, sys._getframe())
        limit = threading.Timer(PATIENCE, time_is_up)
        limit.daemon = True
        limit.start()
        # The two halves of the interpreter's own end, in its order.
        threading._shutdown()  # type: ignore[attr-defined]  # not public, and there is no public way
        atexit._run_exitfuncs()
        _flush()
    except BaseException:
        log.exception("An error occurred while the process was ending")
    finally:
        os._exit(code)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        # Closed, or nobody reads it, or the application has put anything in its place: that must not change
        # the exit code.
        with suppress(Exception):
            stream.flush()


def _what_holds(main: int, frame: FrameType | None) -> str:
    """What the main thread, which is at `frame`, waits for: threads, or the exit hook that it runs."""
    threads = [thread for thread in threading.enumerate() if not thread.daemon and thread.ident != main]
    if not threads:
        return f"an exit hook (atexit), at {_position(frame)}"
    frames = sys._current_frames()
    return "threads that are not daemons: " + "; ".join(
        f"{thread.name!r} at {_position(frames.get(thread.ident or 0))}" for thread in threads
    )


def _position(frame: FrameType | None) -> str:
    """Where the application is: the innermost line that is not the standard library's."""
    stack = traceback.extract_stack(frame)
    own = [step for step in stack if not step.filename.startswith(STDLIB) or "site-packages" in step.filename]
    step = (own or stack)[-1]
    return f"{step.filename}, line {step.lineno}, in {step.name}"
