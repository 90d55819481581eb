"""`streams.py` as an ASGI application.

`/stuck` waits in receive(), and writes the message that it gets into GATE.end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from streams import LONGEST, PIECE, PIECES, end

import tricorn

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    path, gate = scope["path"], scope["query_string"].decode()
    kind = b"text/event-stream; charset=utf-8" if path == "/events" else b"text/plain"
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    if path in ("/events", "/lines"):
        await ticking(send, gate)
    elif path == "/stuck":
        await piece(send, b"first;")
        end(gate, await receive())
    elif path == "/heed":
        await heed(scope, send, gate)
    elif path == "/download":
        for _ in range(PIECES):
            await piece(send, PIECE)
        end(gate, "complete")
        await piece(send, b"", more=False)
    else:
        await piece(send, b"hello", more=False)


async def piece(send: Send, data: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": more})


async def ticking(send: Send, gate: str) -> None:
    try:
        for _ in range(int(LONGEST / 0.02)):
            await piece(send, b"data: tick\n\n")
            await asyncio.sleep(0.02)
    except OSError:
        end(gate, "closed")
        raise


async def heed(scope: dict[str, Any], send: Send, gate: str) -> None:
    drain = scope["extensions"]["tricorn.drain"]
    assert not drain.draining
    assert not tricorn.draining()
    await piece(send, b"tick;")
    await asyncio.wait_for(drain.wait(), LONGEST)
    assert drain.draining
    assert tricorn.draining()
    await drain.wait()
    end(gate, "heeded")
    await piece(send, b"bye", more=False)
