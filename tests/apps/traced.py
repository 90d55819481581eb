"""Applications whose code makes spans of its own: `/status/404`, `/raise`, `/parent`, `/hold/FILE` (when
there is that file), `/stream` (three pieces), `/large` (more than a client takes unread); WebSockets echo."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

from gates import maybe_held
from opentelemetry import trace

LARGE = 8 << 20

tracer = trace.get_tracer("traced")


def _status(path: str) -> int:
    with tracer.start_as_current_span("work") as span:
        span.set_attribute("worker", os.getpid())
        word, _, value = path.strip("/").partition("/")
        if word == "raise":
            raise RuntimeError("as it was wished")
        return int(value) if word == "status" else 200


def _pieces(path: str) -> Iterator[bytes]:
    for number in range(3):
        with tracer.start_as_current_span(f"piece {number}"):
            yield b"x" * (LARGE // 3 if path == "/large" else 10)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    environ["HTTP_HOST"] = environ["HTTP_USER_AGENT"] = "changed"
    gate = maybe_held(path)
    while gate is not None and not gate.exists():
        time.sleep(0.005)
    status = _status(path)
    if path == "/parent":
        start_response("200 OK", [])
        return [environ["HTTP_TRACEPARENT"].encode()]
    start_response(f"{status} As Wished", [])
    return _pieces(path) if path in ("/stream", "/large") else [str(os.getpid()).encode()]


Message = dict[str, Any]


async def asgi_app(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
    path = scope["path"]
    came = dict(scope["headers"])
    scope["headers"] = []
    if scope["type"] == "websocket":
        await _echo(path, receive, send)
        return
    gate = maybe_held(path)
    while gate is not None and not gate.exists():
        await asyncio.sleep(0.005)
    if path == "/parent":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": came[b"traceparent"]})
        return
    await send({"type": "http.response.start", "status": await _in_a_task(path), "headers": []})
    if path in ("/stream", "/large"):
        for piece in _pieces(path):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})
        return
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})


async def _in_a_task(path: str) -> int:
    """A task has a copy of the context of who makes it."""

    async def work() -> int:
        return _status(path)

    return await asyncio.create_task(work())


async def _echo(
    path: str, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    assert (await receive())["type"] == "websocket.connect"
    _status(path)
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        with tracer.start_as_current_span("message"):
            await send({"type": "websocket.send", "text": message["text"]})
