"""`deadlines.py` as an ASGI application: the same paths, the same answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from deadlines import LONGEST, act, enter, request_of

Message = dict[str, Any]


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[Message]],  # noqa: ARG001 - the signature of an application
    send: Callable[[Message], Awaitable[None]],
) -> None:
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    path, gate, seconds = request_of(scope["path"], scope["query_string"].decode())
    text = act(path, scope["extensions"]["tricorn.deadline"], seconds)
    if text is None:
        enter(gate)
        end = time.monotonic() + LONGEST
        while not gate.exists() and time.monotonic() < end:
            await asyncio.sleep(0.005)
        text = "released"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text.encode()})
