"""Awaits 10 ms, like an application that asks a database."""

import asyncio

HEADERS = [(b"content-type", b"text/plain"), (b"content-length", b"13")]


async def app(scope, receive, send):  # noqa: ARG001 - Daphne passes them by name
    assert scope["type"] == "http"
    await asyncio.sleep(0.010)
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": b"Hello, World!"})
