"""ASGI applications that differ in their lifespan; $LIFESPAN names the way, `EVENTS` is what it appends to.

`/` answers with what the lifespan has done so far; `/block?GATE` waits for the file GATE.
"""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from asgi_recorder import Message, Receive, Scope, Send, body, start

EVENTS: list[str] = []
Way = Callable[[Receive, Send, dict[str, Any]], Awaitable[None]]
WAYS: dict[str, Way] = {}


def say(event: str) -> None:
    """In the answers to requests, and on standard error, where a test sees the order of things."""
    EVENTS.append(event)
    sys.stderr.write(f"lifespan: {event}\n")
    sys.stderr.flush()


def way(function: Way) -> Way:
    WAYS[function.__name__.strip("_")] = function
    return function


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        say("called")
        assert scope["asgi"]["version"] == "3.0"
        await WAYS[os.environ["LIFESPAN"]](receive, send, scope["state"])
        say("returned")
        return
    if scope["path"] == "/block":
        gate = Path(scope["query_string"].decode())
        gate.with_suffix(".in").write_text(str(os.getpid()))
        while not gate.exists():
            await asyncio.sleep(0.002)
        say("request done")
    await start(send, 200, (b"content-type", b"text/plain"))
    await body(send, " ".join([*EVENTS, str(scope.get("state"))]).encode())


async def _expect(receive: Receive, kind: str) -> Message:
    message = await receive()
    assert message == {"type": kind}, message
    say(kind.removeprefix("lifespan."))
    return message


@way
async def _full(receive: Receive, send: Send, state: dict[str, Any]) -> None:
    await _expect(receive, "lifespan.startup")
    state["from"] = "startup"
    await send({"type": "lifespan.startup.complete"})
    await _expect(receive, "lifespan.shutdown")
    await send({"type": "lifespan.shutdown.complete"})


@way
async def _fails(receive: Receive, send: Send, _: dict[str, Any]) -> None:
    await _expect(receive, "lifespan.startup")
    await send({"type": "lifespan.startup.failed", "message": "no database today"})


@way
async def _raises_at_once(_: Receive, __: Send, ___: dict[str, Any]) -> None:
    raise RuntimeError("this application knows no lifespan")


@way
async def _raises_in_startup(receive: Receive, _: Send, __: dict[str, Any]) -> None:
    await _expect(receive, "lifespan.startup")
    raise RuntimeError("startup went wrong")


@way
async def _returns_at_once(_: Receive, __: Send, ___: dict[str, Any]) -> None:
    return


@way
async def _hangs_in_startup(receive: Receive, _: Send, __: dict[str, Any]) -> None:
    await _expect(receive, "lifespan.startup")
    await asyncio.sleep(60)


@way
async def _fails_in_shutdown(receive: Receive, send: Send, _: dict[str, Any]) -> None:
    await _expect(receive, "lifespan.startup")
    await send({"type": "lifespan.startup.complete"})
    await _expect(receive, "lifespan.shutdown")
    await send({"type": "lifespan.shutdown.failed", "message": "could not say goodbye"})


@way
async def _raises_in_shutdown(receive: Receive, send: Send, _: dict[str, Any]) -> None:
    await _expect(receive, "lifespan.startup")
    await send({"type": "lifespan.startup.complete"})
    await _expect(receive, "lifespan.shutdown")
    raise RuntimeError("shutdown went wrong")


@way
async def _fails_with_traceback(receive: Receive, send: Send, _: dict[str, Any]) -> None:
    """As Starlette does it: the traceback is the message, and the exception is raised too."""
    await _expect(receive, "lifespan.startup")
    await send({"type": "lifespan.startup.complete"})
    await _expect(receive, "lifespan.shutdown")
    try:
        raise RuntimeError("shutdown went wrong")
    except RuntimeError:
        await send({"type": "lifespan.shutdown.failed", "message": traceback.format_exc()})
        raise


@way
async def _raises_while_serving(receive: Receive, send: Send, _: dict[str, Any]) -> None:
    await _expect(receive, "lifespan.startup")
    await send({"type": "lifespan.startup.complete"})
    raise RuntimeError("serving went wrong")


@way
async def _hangs_in_shutdown(receive: Receive, send: Send, _: dict[str, Any]) -> None:
    await _expect(receive, "lifespan.startup")
    await send({"type": "lifespan.startup.complete"})
    await _expect(receive, "lifespan.shutdown")
    await asyncio.sleep(60)


@way
async def _ends_early(receive: Receive, send: Send, _: dict[str, Any]) -> None:
    """It does not stay for the shutdown."""
    await _expect(receive, "lifespan.startup")
    await send({"type": "lifespan.startup.complete"})


@way
async def _slow(receive: Receive, send: Send, _: dict[str, Any]) -> None:
    """It is ready when the file $GATE is there."""
    await _expect(receive, "lifespan.startup")
    while not Path(os.environ["GATE"]).exists():
        await asyncio.sleep(0.002)
    await send({"type": "lifespan.startup.complete"})
    await _expect(receive, "lifespan.shutdown")
    await send({"type": "lifespan.shutdown.complete"})
