"""Servers by their options, and the one thing that must be true of all of them: the worker lives on.

Knows: the harness. Must not know: any single fault.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.client import Client
from harness.server import wait_for
from integration.live import Live, message


class Pool:
    """Running servers by application and options."""

    def __init__(self) -> None:
        self._running: dict[tuple[str, ...], Live] = {}

    def __call__(self, app: str, *options: str, kind: str = "gthread") -> Live:
        key = (app, kind, *options)
        if key not in self._running:
            live = Live(app, "--keep-alive=30", *options, kind=kind)
            self._running[key] = live.__enter__()
        return self._running[key]

    def stop(self) -> None:
        for live in self._running.values():
            live.terminate()
        for live in self._running.values():
            live.stop()


@contextlib.contextmanager
def same_worker(live: Live) -> Iterator[None]:
    """Before and after it one and the same process answers."""
    before = live.request("/").body
    mark = live.log_mark()
    yield
    assert live.request("/").body == before, f"the worker died\n{live.log(mark)[-4000:]}"


def appears(path: Path) -> str:
    """What stands in a file that the application writes, once it does."""
    wait_for(path.exists, f"the application has come to {path.name}")
    return wait_for(path.read_text, f"{path.name} is written")  # type: ignore[no-any-return]


def stop_reading(live: Live, path: str, gate: Path, **options: Any) -> Client:
    """A client that has asked for a big response and reads nothing of it.

    The server has one thread: once it answers somebody else, the application of this response is left alone
    until its client has caught up.
    """
    client = live.connect(receive_buffer=65536, **options)
    client.send(message(f"{path}?{gate}"))
    appears(gate.with_name("gate.in"))
    assert live.request("/").status == 200
    return client
