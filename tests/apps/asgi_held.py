"""Sends on several connections in one step, and from inside of what the server does for another one."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from asgi_recorder import Receive, Scope, Send, body, start

#: More than the server queues before it asks the socket.
LARGE = b"x" * 600_000

_sends: dict[str, Send] = {}
_now: dict[str, Any] = {"sending": False}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await socket(scope["path"], receive, send)
    elif scope["type"] == "http":
        await page(scope["path"], send)


async def socket(path: str, receive: Receive, send: Send) -> None:
    """`/sender` sends to `/lost` and to `/other`; so does `/lost`, when its client is gone, to `/other`."""
    await receive()
    await send({"type": "websocket.accept"})
    _sends[path] = send
    while (await receive())["type"] == "websocket.receive":
        time.sleep(0.5)
        for name in ("/lost", "/other"):
            await _sends[name]({"type": "websocket.send", "text": "first"})
    if path == "/lost":
        await _sends["/other"]({"type": "websocket.send", "bytes": LARGE})


async def page(path: str, send: Send) -> None:
    if path == "/block":
        time.sleep(0.5)
    found = str(_now["sending"])
    if path == "/unread":
        await asyncio.sleep(0.1)
    await start(send, 200, (b"content-length", b"%d" % len(found)))
    _now["sending"] = True
    await body(send, found.encode())
    _now["sending"] = False
