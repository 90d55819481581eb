"""As spread_wsgi.py. What it computes holds the event loop, as a careless handler does."""

import asyncio
import os

from spread_wsgi import COMPUTES, SLOW_S, work


async def app(scope, receive, send):  # noqa: ARG001 - servers pass them by name
    assert scope["type"] == "http"
    if scope["path"] == "/slow":
        if COMPUTES:
            work()
        else:
            await asyncio.sleep(SLOW_S)
    body = b"%d\n" % os.getpid()
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
