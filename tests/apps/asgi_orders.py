"""Responses told as a plan: which messages, and how the application waits between them.

The plan is the query, JSON in hex: `steps` are the messages in order, `wait` is what comes between two of
them, `length` is declared, `trailers` are announced. A step is `start`, `hint`, `path`, `trailers`,
`more-trailers`, or one of `piece`, `span` and `empty`, with a `+` behind it where more of the body follows.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from asgi_recorder import Message, Receive, Scope, Send, report

#: What each piece of a body is, in bytes; the file too.
PIECE = b"a piece of the body;"
TEXT = (b"content-type", b"text/plain")


async def app(scope: Scope, _: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    if scope["path"] == "/seen":
        await report(send)
        return
    with _file() as file:
        async for message in _messages(json.loads(bytes.fromhex(scope["query_string"].decode())), file):
            await send(message)


@contextmanager
def _file() -> Iterator[Any]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(PIECE)
        file.flush()
        yield file


async def _messages(plan: dict[str, Any], file: Any) -> AsyncIterator[Message]:
    headers = [TEXT]
    if plan["length"] is not None:
        headers.append((b"content-length", b"%d" % plan["length"]))
    for number, step in enumerate(plan["steps"]):
        if number:
            await _wait(plan["wait"])
        name, more = step.rstrip("+"), step.endswith("+")
        yield {
            "start": {
                "type": "http.response.start",
                "status": 200,
                "headers": headers,
                "trailers": plan["trailers"],
            },
            "hint": {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]},
            "piece": {"type": "http.response.body", "body": PIECE, "more_body": more},
            "empty": {"type": "http.response.body", "more_body": more},
            "span": {
                "type": "http.response.zerocopysend",
                "file": file.file,
                "offset": 0,
                "more_body": more,
            },
            "path": {"type": "http.response.pathsend", "path": file.name},
            "trailers": {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]},
            "more-trailers": {
                "type": "http.response.trailers",
                "headers": [(b"x-more", b"2")],
                "more_trailers": True,
            },
        }[name]


async def _wait(how: str) -> None:
    if how == "turn":
        await asyncio.sleep(0)
    elif how == "time":
        await asyncio.sleep(0.002)
