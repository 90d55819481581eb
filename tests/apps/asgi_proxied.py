"""What asgi_counted.py serves, and `/whoami`: what the server has learnt of the client from a proxy."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from asgi_counted import app as counted

TOLD = ("scheme", "client", "server", "path", "root_path")


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    if scope["type"] != "http" or not scope["path"].endswith("/whoami"):
        await counted(scope, receive, send)
        return
    fields = {name.decode(): value.decode() for name, value in scope["headers"]}
    body = json.dumps({name: scope[name] for name in TOLD} | {"fields": fields}).encode()
    head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})
