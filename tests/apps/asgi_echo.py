"""`echo.py` as an ASGI application: the same paths, the same answers.

`/partly` reads the first piece of the body that is not empty and leaves the rest.
"""

from __future__ import annotations

import asyncio
import os
import time

from asgi_recorder import (
    DisconnectedError,
    Receive,
    Scope,
    Send,
    answer,
    body,
    read_body,
    record,
    report,
    start,
)
from echo import PIECE

TEXT = (b"content-type", b"text/plain")


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    path = scope["path"].removeprefix(scope["root_path"])
    if path == "/seen":
        await report(send)
        return
    entry = record(scope)
    query = scope["query_string"].decode("latin-1")
    try:
        if path.startswith("/unread"):
            await answer(send, "unread")
        elif path == "/partly":
            await answer(send, (await _first_piece(receive))[:1].decode("latin-1"))
        elif path == "/late":
            await _late(receive, send)
        elif path == "/block":
            await _block(query, entry, receive, send)
        elif path == "/big":
            await start(send, 200, TEXT, (b"content-length", b"%d" % int(query)))
            await body(send, b"b" * int(query))
        elif path == "/stream":
            await _stream(int(query), send)
        else:
            entry["body"] = (await read_body(receive)).decode("latin-1")
            await answer(send, entry)
    except DisconnectedError as error:
        entry["error"] = type(error).__name__
        raise


async def _first_piece(receive: Receive) -> bytes:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise DisconnectedError
        if message["body"] or not message["more_body"]:
            piece: bytes = message["body"]
            return piece


async def _late(receive: Receive, send: Send) -> None:
    await start(send, 200, TEXT)
    await body(send, b"started;", more=True)
    await body(send, b"%d" % len(await read_body(receive)))


async def _block(query: str, entry: dict[str, object], receive: Receive, send: Send) -> None:
    gate, _, mark = query.partition("&")
    if mark:
        open(mark, "w").close()
    end = time.monotonic() + 10
    while not os.path.exists(gate) and time.monotonic() < end:
        await asyncio.sleep(0.002)
    entry["body"] = (await read_body(receive)).decode("latin-1")
    await answer(send, "released")


async def _stream(size: int, send: Send) -> None:
    await start(send, 200, TEXT)
    piece = b"s" * PIECE
    for at in range(0, size, PIECE):
        await body(send, piece[: size - at], more=True)
    await body(send, b"")
