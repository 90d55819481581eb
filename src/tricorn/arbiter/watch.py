"""Ends the process while its main thread is inside foreign code and cannot be asked.

Knows: the signals that have arrived, threads. Must not know: what the foreign code is, what has to be cleared
away (it is given that as a callable).

A Python handler does not help there: it runs only when the main thread comes back from C code (a connection
to a database that does not answer), and an exception that it raises ends in the first bare `except` of a loop
that tries again. A thread that waits for the signals needs nothing of the main thread.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from select import POLLIN, poll

from tricorn.arbiter.signals import SignalPipe


@contextmanager
def watching(signals: SignalPipe, end: Callable[[int], object]) -> Iterator[None]:
    """While this is entered, call `end(number)` in another thread when a signal tells to stop.

    The thread has gone when this is left, so nothing is forked beside it.
    """
    owner = os.getpid()
    reader, writer = os.pipe()
    thread = threading.Thread(target=_watch, args=(signals, reader, end), name="tricorn-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        # By a byte, because a process that the foreign code has forked holds the pipe open as well; and by
        # the master only, should that process come by here.
        if os.getpid() == owner:
            os.write(writer, b"\0")
            thread.join()
        os.close(writer)
        os.close(reader)


def _watch(signals: SignalPipe, done: int, end: Callable[[int], object]) -> None:
    waiting = poll()
    waiting.register(signals.fileno(), POLLIN)
    waiting.register(done, POLLIN)
    while True:
        ready = [fd for fd, _ in waiting.poll()]
        # First: what was asked for in the last moment is asked for.
        number = signals.stop_asked()
        if number is not None:
            end(number)
            return
        if done in ready:
            return
