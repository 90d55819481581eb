"""The same for ASGI, and `/ws`: a WebSocket that sends back each text. See counted.py."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

from counted import grow, note
from counting import BETWEEN, EVENTS, PIECES, event, piece, receipt

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    name = scope["query_string"].decode()
    note("B", name)
    if scope["type"] == "websocket":
        await _echo(receive, send)
        return
    path = scope["path"]
    if path in STREAMS:
        await STREAMS[path](name, send)
        return
    body = receipt(await _body(receive)) if path == "/upload" else f"{name} {os.getpid()}".encode()
    if path == "/hold":
        await asyncio.sleep(60)
    if path == "/grow":
        grow()
    await _start(send, "text/plain", length=len(body))
    note("E", name)
    await _piece(send, body, last=True)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


async def _echo(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        note("M", message["text"])
        await send({"type": "websocket.send", "text": message["text"]})


async def _body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        assert message["type"] == "http.request", message
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def _start(send: Send, kind: str, *, length: int | None = None) -> None:
    headers = [(b"content-type", kind.encode())]
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def _piece(send: Send, body: bytes, *, last: bool = False) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": not last})


async def _stream(name: str, send: Send) -> None:
    await _start(send, "text/plain")
    for number in range(PIECES):
        await _piece(send, piece(name, number))
    note("E", name)
    await _piece(send, b"", last=True)


async def _events(name: str, send: Send) -> None:
    await _start(send, "text/event-stream")
    for number in range(EVENTS):
        await _piece(send, event(name, number))
        await asyncio.sleep(BETWEEN)
    note("E", name)
    await _piece(send, event(name, EVENTS), last=True)


STREAMS = {"/stream": _stream, "/events": _events}
