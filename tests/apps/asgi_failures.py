"""The exceptions of `failures.py`, raised by an ASGI application. `PATH?NAME&WHEN`

`/raise`  before its response, or before the WebSocket is accepted
`/break`  in the middle of it
`/close`  behind it

WHEN: `now`; `later`: after a turn of the loop; `woken`: when the body has come.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Generator
from typing import Any, NoReturn

from failures import FAILURES

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BODIES = {
    "http": (
        {"type": "http.response.start", "status": 200, "headers": []},
        {"type": "http.response.body", "body": b"begun", "more_body": True},
        {"type": "http.response.body", "body": b"ended"},
    ),
    "websocket": (
        {"type": "websocket.accept"},
        {"type": "websocket.send", "text": "begun"},
        {"type": "websocket.close", "code": 1000},
    ),
}
SENT = {"/raise": 0, "/break": 2, "/close": 3}


async def app(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        return
    path = scope["path"]
    if path in SENT:
        await fail(scope, receive, send)
    if path == "/refusals":
        logging.getLogger("tricorn.error").addHandler(Refusing())
    if path == "/slow":
        await asyncio.sleep(0.02)
    if path == "/stuck":
        await Awaited()
    await send(BODIES["http"][0])
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})


async def fail(scope: Message, receive: Receive, send: Send) -> None:
    name, _, when = scope["query_string"].decode().partition("&")
    if scope["type"] == "websocket":
        await receive()
    for message in BODIES[scope["type"]][: SENT[scope["path"]]]:
        await send(message)
    if when == "later":
        await asyncio.sleep(0)
    if when == "woken":
        await receive()
    raise FAILURES[name]()


class Refusing(logging.Handler):
    """Raises when a request is refused, or takes too long."""

    def emit(self, record: logging.LogRecord) -> None:
        if "Refused a request" in record.msg or "takes longer" in record.msg:
            raise SystemExit(7)


class Awaited:
    """Waits for ever. Neither what it waits in nor what it waits for is any help."""

    def __await__(self) -> Generator[Any, None, None]:
        return self  # type: ignore[return-value]

    def __iter__(self) -> Awaited:
        return self

    def __next__(self) -> asyncio.Future[None]:
        future = Uncancellable()
        future._asyncio_future_blocking = True
        return future

    def __getattr__(self, name: str) -> NoReturn:
        raise SystemExit(7)


class Uncancellable(asyncio.Future[None]):
    def cancel(self, *_: object) -> NoReturn:
        raise SystemExit(7)
