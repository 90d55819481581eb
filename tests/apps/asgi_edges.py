"""Pages for what happens at the wrong moment; beside those of `asgi_pages.py` and `asgi_sockets.py`."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from typing import Any

import asgi_sockets
from asgi_pages import LONGEST, argument, gate, note, page, plain
from asgi_recorder import Receive, Scope, Send, body, start
from asgi_sockets import accept, socket, text

app = asgi_sockets.app

LARGE = b"x" * 20_000_000  # more than the sockets of both sides hold

_kept: dict[str, Any] = {}


@page
async def _large(_: Scope, __: Receive, send: Send) -> None:
    """More than the client's and our own buffers take."""
    await start(send, 200, (b"content-type", b"text/plain"))
    await body(send, LARGE)


@page
async def _query(scope: Scope, _: Receive, send: Send) -> None:
    await plain(send, argument(scope))


@socket
async def _large_first(_: Scope, receive: Receive, send: Send) -> None:
    """Behind the first message it sends LARGE, then the others back, shortened."""
    await accept(receive, send)
    await receive()
    await send({"type": "websocket.send", "bytes": LARGE})
    while (message := await receive())["type"] == "websocket.receive":
        await text(send, message["text"][:8])


@socket
async def _late(scope: Scope, receive: Receive, send: Send) -> None:
    """Takes nothing before its gate opens, then echoes."""
    await accept(receive, send)
    note("entered")
    await gate(argument(scope))
    while (message := await receive())["type"] == "websocket.receive":
        await text(send, message["text"])


@page
async def _keep_receive(_: Scope, receive: Receive, send: Send) -> None:
    """Leaves its body to whoever asks for `/take`."""
    _kept["receive"], _kept["over"] = receive, asyncio.Event()
    note("kept")
    await asyncio.wait_for(_kept["over"].wait(), LONGEST)
    await plain(send, "over")


@page
async def _take(scope: Scope, _: Receive, send: Send) -> None:
    """Takes what has come of the other's body."""
    message = await _kept["receive"]()
    if argument(scope) == "last":
        _kept["over"].set()
    await plain(send, str(len(message["body"])))


@page
async def _two_senders(_: Scope, __: Receive, send: Send) -> None:
    """One waits for its client to read, when the other ends the response."""

    async def first() -> None:
        await send({"type": "http.response.body", "body": LARGE, "more_body": True})
        note("went on")

    await send({"type": "http.response.start", "status": 200})
    task = asyncio.create_task(first())
    await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": b"end"})
    note("ended")
    await task


@page
async def _leaves_listener(_: Scope, receive: Receive, __: Send) -> None:
    """Fails while a task of its own waits for the client's end."""

    async def listen() -> None:
        await receive()
        note("listening")
        note("heard", (await receive())["type"])

    _kept["listener"] = asyncio.create_task(listen())
    await asyncio.sleep(0)
    raise ValueError("on purpose")


@page
async def _works_on(scope: Scope, _: Receive, send: Send) -> None:
    """Answers when its first gate opens, and works until its second one does."""
    name = argument(scope)
    note("entered")
    await gate(f"{name}-answer")
    await plain(send, "answered")
    try:
        await gate(f"{name}-end")
        note("worked")
    except asyncio.CancelledError:
        note("stopped working")
        raise


@socket
async def _closes_too_late(scope: Scope, receive: Receive, send: Send) -> None:
    """Closes when its gate opens, whatever has happened."""
    await accept(receive, send)
    await gate(argument(scope))
    try:
        await send({"type": "websocket.close"})
    except Exception as error:
        note("error", isinstance(error, OSError))
        raise


@socket
async def _refuses(_: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.close"})


@page
async def _wrong_file_headers(_: Scope, __: Receive, send: Send) -> None:
    await start(send, 200, (b"one", b"two", b"three"))
    await send({"type": "http.response.pathsend", "path": __file__})


@page
async def _files(_: Scope, __: Receive, send: Send) -> None:
    """How many descriptors are open."""
    await plain(send, str(len(os.listdir("/proc/self/fd"))))


@page
async def _waits(_: Scope, __: Receive, ___: Send) -> None:
    note("entered")
    try:
        await asyncio.sleep(LONGEST)
    except asyncio.CancelledError:
        note("cancelled")
        raise


@page
async def _cleans_up(scope: Scope, _: Receive, send: Send) -> None:
    """When it is cancelled, it sends until it hears that nobody is there, and then has work to do."""
    note("entered")
    try:
        await asyncio.sleep(LONGEST)
    except asyncio.CancelledError:
        note("begins to clean")
        await _send_until_error(send)
        note("cleaning")
        await gate(argument(scope))
        note("clean")
        raise


async def _send_until_error(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200})
    with suppress(OSError):
        while True:
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})


@page
async def _listens(_: Scope, receive: Receive, send: Send) -> None:
    """Is sent to by `/tells-two`, as long as its client stays."""
    await receive()
    await send({"type": "http.response.start", "status": 200})
    _kept["send"] = send
    note("listens")
    await receive()


@page
async def _tells_two(_: Scope, __: Receive, send: Send) -> None:
    """Numbers for its own client, and between them something for the other one, at a moderate pace."""
    await start(send, 200)
    for number in range(240):
        await body(send, b"%08d" % number * 750, more=True)
        await _kept["send"]({"type": "http.response.body", "body": b".", "more_body": True})
        time.sleep(0.004)  # all in one step
    await body(send, b"")


@page
async def _sized(_: Scope, __: Receive, send: Send) -> None:
    """As much as is held back at once, but for its head."""
    await start(send, 200)
    await body(send, b"s" * 14_000)


@socket
async def _large_then_close(_: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await send({"type": "websocket.send", "bytes": LARGE})
    await send({"type": "websocket.close"})
    note("closed")


@socket
async def _refuses_to_wait(_: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await send({"type": "websocket.close"})
