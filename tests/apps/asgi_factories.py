"""An application that sets a task factory: $FACTORY names it, $WHERE says where, $LOOP the event loop below.

`/` answers with the type of its task, what its context variable was, and how many tasks the factory has made;
`/waits` never ends. What the lifespan does is written to standard error.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import sys
from collections.abc import Coroutine
from typing import Any

import uvloop
from asgi_recorder import Receive, Scope, Send, body, start

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
NAME: contextvars.ContextVar[str] = contextvars.ContextVar("NAME", default="unset")
made = 0


class Named(asyncio.Task[Any]):
    """A task that can be told from others."""


def subclass(
    loop: asyncio.AbstractEventLoop,
    coroutine: Coroutine[Any, Any, Any],
    *,
    context: contextvars.Context | None = None,
    **_: Any,
) -> asyncio.Task[Any]:
    global made
    made += 1
    return Named(coroutine, loop=loop, context=context)


def bare(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """As they were before Python 3.11."""
    global made
    made += 1
    return Named(coroutine, loop=loop)


def eager(*values: Any, **named: Any) -> asyncio.Task[Any]:
    raise NotImplementedError


FACTORIES: dict[str, Any] = {
    "subclass": subclass,
    "bare": bare,
    "eager": getattr(asyncio, "eager_task_factory", eager),  # since Python 3.12
}


def new_loop() -> asyncio.AbstractEventLoop:
    loop = LOOPS[os.environ["LOOP"]]()
    _set(loop, "loop")
    return loop


def _set(loop: asyncio.AbstractEventLoop, where: str) -> None:
    if os.environ["WHERE"] == where:
        loop.set_task_factory(FACTORIES[os.environ["FACTORY"]])


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    before = NAME.get()
    NAME.set("set")
    _set(asyncio.get_running_loop(), "request")
    if scope["path"] == "/waits":
        await start(send, 200)
        await body(send, b"first", more=True)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            sys.stderr.write("request: cancelled\n")
            raise
    await asyncio.sleep(0)
    await start(send, 200)
    await body(send, f"{type(asyncio.current_task()).__name__} {before} {made}".encode())


async def _lifespan(receive: Receive, send: Send) -> None:
    sys.stderr.write(f"lifespan: {type(asyncio.current_task()).__name__}\n")
    _set(asyncio.get_running_loop(), "startup")
    for _ in range(2):
        message = await receive()
        sys.stderr.write(f"lifespan: {message['type']}\n")
        await send({"type": message["type"] + ".complete"})
