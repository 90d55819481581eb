"""Answers with what its path says, on both interfaces: `/status/404`, `/size/1000`, `/raise`, `/gc` (collects
garbage), `/block/0.5` (its thread or loop, for so many seconds), `/hold/FILE` (when there is that file)."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from gates import maybe_held


def _answer(path: str) -> tuple[int, bytes]:
    word, _, value = path.strip("/").partition("/")
    if word == "raise":
        raise RuntimeError("as it was wished")
    if word == "gc":
        gc.collect()
    if word == "block":
        time.sleep(float(value))
    if word == "status":
        return int(value), b""
    return 200, b"x" * (int(value) if word == "size" else 2)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    environ["wsgi.input"].read()
    gate = maybe_held(environ["PATH_INFO"])
    while gate is not None and not gate.exists():
        time.sleep(0.005)
    status, body = _answer(environ["PATH_INFO"])
    start_response(f"{status} As Wished", [("Content-Length", str(len(body)))])
    return [body]


async def asgi_app(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    if scope["type"] == "lifespan":
        return
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        return
    while (await receive()).get("more_body"):
        pass
    gate = maybe_held(scope["path"])
    while gate is not None and not gate.exists():
        await asyncio.sleep(0.005)
    status, body = _answer(scope["path"])
    fields = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})
