"""gevent: its patch of the standard library, and what a worker wants of its hub.

Knows: gevent. Must not know: what is served. gevent is imported when one of the two functions is called: the
master, which imports this module, is never patched, and where a configuration did it that was undone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tricorn import patches
from tricorn.handover import Assignment
from tricorn.workers.gevent_websocket import maybe_websockets
from tricorn.workers.green import ElapsedError, serve_green
from tricorn.workers.signals import SignalPipe


def patch() -> None:
    """All of it, as Gunicorn's worker does. In a worker that comes from a mold that is done."""
    import gevent
    from gevent import monkey

    patches.redo()
    if monkey.is_module_patched("socket"):
        # What the application has done when it was imported may have made a hub: the mold's.
        gevent.reinit()
        return
    monkey.patch_all()
    gevent.get_hub()  # now: the application may take away what its modules need when they are imported


def serve(assignment: Assignment, application: Any, signals: SignalPipe) -> int:
    return serve_green(assignment, application, signals, GeventHub(), maybe_websockets(application))


class GeventHub:
    """See transport/green_server.pyi."""

    def __init__(self) -> None:
        import gevent
        from gevent import socket

        self.name = f"gevent {gevent.__version__}"
        hub = gevent.get_hub()
        self.switch: Callable[[], object] = hub.switch
        self.sleep: Callable[[float], object] = gevent.sleep
        self._loop = hub.loop
        self._wait_read = socket.wait_read
        self._wait_write = socket.wait_write

    def call_soon(self, callback: Callable[[], object]) -> None:
        self._loop.run_callback(callback)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> None:
        timer = self._loop.timer(seconds)

        def fire() -> None:
            timer.close()
            callback()

        timer.start(fire)

    def watch(self, fd: int, callback: Callable[[], object]) -> Watch:
        return Watch(self._loop.io(fd, 1), callback)

    def wait(self, fd: int, writing: bool, seconds: float) -> None:
        wait = self._wait_write if writing else self._wait_read
        try:
            wait(fd, timeout=seconds, timeout_exc=ElapsedError())
        except ElapsedError:
            return

    def forsake(self, watches: Sequence[Any]) -> None:
        """The loop is told of the fork behind this; the first thing that it then does are its callbacks."""
        for watch in watches:
            self._loop.run_callback(watch.stop)


class Watch:
    """watcher: of gevent's, for one descriptor."""

    def __init__(self, watcher: Any, callback: Callable[[], object]) -> None:
        self._watcher = watcher
        self._callback = callback

    def start(self) -> None:
        if not self._watcher.active:
            self._watcher.start(self._callback)

    def stop(self) -> None:
        self._watcher.stop()
