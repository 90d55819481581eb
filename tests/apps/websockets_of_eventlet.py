"""eventlet.websocket: `/echo` gives back each message, until one says "close"."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import recorder
from eventlet.websocket import WebSocketWSGI


@WebSocketWSGI
def echo(websocket: Any) -> None:
    while (message := websocket.wait()) not in (None, "close"):
        websocket.send(message)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/echo":
        return echo(environ, start_response)
    return recorder.report(start_response)
