"""Eventlet: its patch of the standard library, and what a worker wants of its hub.

Knows: Eventlet. Must not know: what is served. Eventlet is imported when one of the two functions is called:
the master, which imports this module, is never patched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tricorn.handover import Assignment
from tricorn.workers.green import ElapsedError, serve_green
from tricorn.workers.signals import SignalPipe


def patch() -> None:
    """All of it, as Gunicorn's worker does. In a worker that comes from a mold that is done."""
    import eventlet
    from eventlet import hubs, patcher

    if patcher.is_monkey_patched("socket"):
        hubs.use_hub()  # another one than the mold's
        return
    eventlet.monkey_patch()
    hubs.get_hub()  # now: the application may take away what its module needs when it is imported


def serve(assignment: Assignment, application: Any, signals: SignalPipe) -> int:
    return serve_green(assignment, application, signals, EventletHub())


class EventletHub:
    """See transport/green_server.pyi."""

    def __init__(self) -> None:
        import eventlet
        from eventlet import hubs

        self.name = f"Eventlet {eventlet.__version__}"
        self._hub = hubs.get_hub()
        self._trampoline = hubs.trampoline
        self._use_hub = hubs.use_hub
        self.switch: Callable[[], object] = self._hub.switch
        self.sleep: Callable[[float], object] = eventlet.sleep

    def call_soon(self, callback: Callable[[], object]) -> None:
        self._hub.schedule_call_global(0, callback)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> None:
        self._hub.schedule_call_global(seconds, callback)

    def watch(self, fd: int, callback: Callable[[], object]) -> Watch:
        return Watch(self._hub, fd, callback)

    def wait(self, fd: int, writing: bool, seconds: float) -> None:
        try:
            self._trampoline(fd, read=not writing, write=writing, timeout=seconds, timeout_exc=ElapsedError())
        except ElapsedError:
            return

    def forsake(self, watches: Sequence[Any]) -> None:  # noqa: ARG002 - the hub that has them is left
        """Eventlet itself does nothing at a fork: both processes would have one set of descriptors, and take
        each other's events."""
        self._use_hub()


class Watch:
    """Over one descriptor."""

    def __init__(self, hub: Any, fd: int, callback: Callable[[], object]) -> None:
        self._hub = hub
        self._fd = fd
        self._callback = callback
        self._listener: Any = None

    def start(self) -> None:
        if self._listener is None:
            self._listener = self._hub.add(self._hub.READ, self._fd, self._called, _ignore, _ignore)

    def stop(self) -> None:
        if self._listener is not None:
            self._hub.remove(self._listener)
            self._listener = None

    def _called(self, _fd: int) -> None:
        self._callback()


def _ignore(*_: object) -> None:
    """Who waits is told here that the descriptor has been closed. Ours are not, while they are watched."""
