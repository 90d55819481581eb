"""`wsgi_paths.py` for ASGI, with what only ASGI has."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from wsgi_paths import CONTENT, FILES, blocks, fail_allocation

PLAIN = (b"content-type", b"text/plain")
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def _start(send: Send, size: int | None = None, **more: Any) -> None:
    headers = [PLAIN] + ([(b"content-length", b"%d" % size)] if size is not None else [])
    await send({"type": "http.response.start", "status": 200, "headers": headers, **more})


async def _body(send: Send, content: bytes, more: bool = False) -> None:
    await send({"type": "http.response.body", "body": content, "more_body": more})


async def whole(size: int, _: Receive, send: Send) -> None:
    await _start(send, size)
    await _body(send, CONTENT[:size])


async def generator(size: int, _: Receive, send: Send) -> None:
    await _start(send)
    for at in range(0, 5 * size, size):
        await _body(send, CONTENT[at : at + size], more=True)
    await _body(send, b"")


async def trailers(size: int, _: Receive, send: Send) -> None:
    await _start(send, trailers=True)
    await _body(send, CONTENT[:size], more=True)
    await _body(send, b"end")
    await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]})


async def file(size: int, _: Receive, send: Send) -> None:
    with open(FILES[size], "rb") as file:
        await _start(send, size)
        await send({"type": "http.response.zerocopysend", "file": file, "count": size})


async def path(size: int, _: Receive, send: Send) -> None:
    await _start(send, size)
    await send({"type": "http.response.pathsend", "path": FILES[size]})


async def echo(_: int, receive: Receive, send: Send) -> None:
    content = b""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        content += message["body"]
        more = message["more_body"]
    await _start(send, len(content))
    await _body(send, content)


async def hints(_: int, __: Receive, send: Send) -> None:
    await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]})
    await _start(send, 5)
    await _body(send, b"hello")


async def fails(_: int, __: Receive, ___: Send) -> None:
    raise RuntimeError("as planned")


async def last(_: int, __: Receive | None, send: Send) -> None:
    await _start(send, 4)
    await _body(send, b"last")


PATHS: dict[str, Callable[[int, Receive, Send], Awaitable[None]]] = {
    f"/{function.__name__}": function
    for function in (whole, generator, trailers, file, path, echo, hints, fails, last)
}


async def _block(gate: str, send: Send) -> None:
    for _ in blocks(gate):
        await asyncio.sleep(0.005)
    await last(0, None, send)


async def app(scope: Any, receive: Receive, send: Send) -> None:
    fail_allocation(dict(scope.get("headers", ())).get(b"x-fail"))
    if scope["type"] == "websocket":
        await _websocket(receive, send)
    elif scope["type"] == "http" and scope["path"] == "/block":
        await _block(scope["query_string"].decode(), send)
    elif scope["type"] == "http":
        size = int(scope["query_string"] or 0)
        await PATHS.get(scope["path"], last)(size, receive, send)
    else:
        raise NotImplementedError


async def _websocket(receive: Receive, send: Send) -> None:
    """An echo."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "bytes": message["bytes"]})
