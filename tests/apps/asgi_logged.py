"""Applications that fail, each in its own way, with a name in a context variable.

A filter puts `<NAME>` in front of every record of the error log, as the filters of applications add a
request's id.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any

from asgi_recorder import Receive, Scope, Send, answer, body, read_body, start

Page = Callable[[Scope, Receive, Send], Awaitable[None]]
PAGES: dict[str, Page] = {}
NAME: contextvars.ContextVar[str] = contextvars.ContextVar("NAME", default="nobody")
TEXT = (b"content-type", b"text/plain")
LENGTH = (b"content-length", b"1")


class Names(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = f"<{NAME.get()}> {record.msg}"
        return True


logging.getLogger("tricorn.error").addFilter(Names())


def page(function: Page) -> Page:
    PAGES["/" + function.__name__.strip("_").replace("_", "-")] = function
    return function


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        raise NotImplementedError
    if scope["path"] == "/seen":
        await answer(send, {"pid": os.getpid(), "requests": []})
        return
    NAME.set(scope["query_string"].decode())
    await PAGES[scope["path"]](scope, receive, send)


def wsgi(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """The same for threads."""
    if environ["PATH_INFO"] == "/seen":
        start_response("200 OK", [("Content-Type", "application/json")])
        return [b'{"pid": %d, "requests": []}' % os.getpid()]
    NAME.set(environ["QUERY_STRING"])
    if environ["PATH_INFO"] == "/raises-at-once":
        raise ValueError("at once")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return _raises_in_the_body()


def _raises_in_the_body() -> Iterable[bytes]:
    yield b"first"
    raise ValueError("in the body")


# -- that fail


@page
async def _raises_at_once(_: Scope, __: Receive, ___: Send) -> None:
    raise ValueError("at once")


@page
async def _raises_later(_: Scope, __: Receive, ___: Send) -> None:
    await asyncio.sleep(0.001)
    raise ValueError("later")


@page
async def _raises_behind_the_end(_: Scope, __: Receive, send: Send) -> None:
    await start(send, 200, TEXT)
    await body(send, b"all")
    raise ValueError("behind the end")


@page
async def _returns(_: Scope, __: Receive, ___: Send) -> None:
    """Without a response."""


@page
async def _cancels_itself(_: Scope, __: Receive, ___: Send) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(1)


@page
async def _sends_too_much(_: Scope, __: Receive, send: Send) -> None:
    await start(send, 200, TEXT, LENGTH)
    await body(send, b"more")


@page
async def _takes_too_long(_: Scope, __: Receive, ___: Send) -> None:
    await asyncio.sleep(30)


@page
async def _reads(_: Scope, receive: Receive, send: Send) -> None:
    await read_body(receive)
    await start(send, 200, TEXT)
    await body(send, b"read")


# -- whose client has gone: `leaves` is the page of a disconnect, or a WebSocket's


async def _gone(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
    else:
        await start(send, 200, TEXT)
        await body(send, b"first", more=True)
    while not (await receive())["type"].endswith("disconnect"):
        continue


async def _to_nobody(scope: Scope, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.send", "text": "to nobody"})
    else:
        await body(send, b"to nobody", more=True)


@page
async def _fails_in_its_cleanup(scope: Scope, receive: Receive, send: Send) -> None:
    await _gone(scope, receive, send)
    [].remove(scope)


@page
async def _fails_behind_a_farewell(scope: Scope, receive: Receive, send: Send) -> None:
    """The farewell was dealt with."""
    await _gone(scope, receive, send)
    with suppress(OSError):
        await _to_nobody(scope, send)
    [].remove(scope)


@page
async def _passes_the_farewell_on(scope: Scope, receive: Receive, send: Send) -> None:
    await _gone(scope, receive, send)
    await _to_nobody(scope, send)


@page
async def _translates_the_farewell(scope: Scope, receive: Receive, send: Send) -> None:
    await _gone(scope, receive, send)
    try:
        await _to_nobody(scope, send)
    except OSError as error:
        raise RuntimeError("the client has gone") from error


@page
async def _translates_without_a_cause(scope: Scope, receive: Receive, send: Send) -> None:
    await _gone(scope, receive, send)
    try:
        await _to_nobody(scope, send)
    except OSError:
        raise RuntimeError("the client has gone")  # noqa: B904 - that is the point


@page
async def _groups_the_farewell(scope: Scope, receive: Receive, send: Send) -> None:
    await _gone(scope, receive, send)
    async with asyncio.TaskGroup() as group:
        group.create_task(_to_nobody(scope, send))


@page
async def _is_cancelled(scope: Scope, receive: Receive, send: Send) -> None:
    await _gone(scope, receive, send)
    await asyncio.sleep(30)
