"""What a process that the application forks must not keep of ours.

The master and each worker say here how to let go of what only they may hold: signal handlers, the descriptor
that signals wake, listeners, clients, pipes. In a process that the application makes with os.fork(), as
multiprocessing does, all of it is let go. So it can be ended as any other process, the port is free when the
server is gone, and a client sees the end of its connection.

Signals are held back around every fork. One that came in between would run our handlers in the child, and its
number would go to us, through a pipe that both processes share: `terminate()` of a child would stop the
server.

Knows: forks and signal masks. Must not know: who holds what.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import get_ident  # ours, also when the application puts another one in its place

from tricorn.records import dataclass, field


@dataclass
class _Process:
    """What this process has to let go in a child, and what it is itself."""

    releases: list[Callable[[], None]] = field(default_factory=list)
    is_stranger: bool = False
    is_watching: bool = False
    #: The thread that forks a process of ours just now.
    own_thread: int | None = None
    #: By thread: the mask to go back to when its fork is over.
    masks: dict[int, set[int]] = field(default_factory=dict)


_process = _Process()


def let_go(release: Callable[[], None]) -> None:
    """Call `release` in every process that the application forks from this one."""
    if not _process.is_watching:
        _process.is_watching = True
        os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
    _process.releases.append(release)


def retire(release: Callable[[], None]) -> None:
    """Let go, in this process itself, of all that was to be let go since `release` was said, and forget that.
    The process begins another life."""
    at = _process.releases.index(release)
    later, _process.releases[at:] = _process.releases[at + 1 :], []
    for each in reversed(later):
        each()


def start_afresh() -> None:
    """This process has nothing to let go, and whoever has forked it, it is nobody's stranger: it becomes a
    master now, or has been one."""
    _process.releases = []
    _process.is_stranger = False


def is_stranger() -> bool:
    """Whether this process is one that the application has forked."""
    return _process.is_stranger


@contextmanager
def of_our_own() -> Iterator[None]:
    """A fork in here makes a process of ours. It keeps everything, and says anew what its children must
    not."""
    _process.own_thread = get_ident()
    try:
        yield
    finally:
        _process.own_thread = None


def _before() -> None:
    _process.masks[get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def _after_in_parent() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _process.masks.pop(get_ident()))


def _after_in_child() -> None:
    mask = _process.masks.pop(get_ident())
    _process.masks.clear()  # of threads that do not exist here
    releases, _process.releases = _process.releases, []
    is_ours, _process.own_thread = _process.own_thread == get_ident(), None
    with ExitStack() as last:
        last.callback(signal.pthread_sigmask, signal.SIG_SETMASK, mask)
        if not is_ours:
            _process.is_stranger = True
            for release in reversed(releases):
                last.callback(release)  # each is called, whatever the others raise
