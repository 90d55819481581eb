"""`life.py` as an ASGI application: the same paths, the same answers.

`/block` waits without holding the loop. `/spin` waits in turns of the loop. `/nap` holds the loop for 60 s,
without the GIL; `/freeze` with it. `/nap-later` answers, and the loop is held when it is over.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from life import LONGEST, VERSION

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PLAIN = (b"content-type", b"text/plain")
GATED = ("/block", "/spin")


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    path, argument = scope["path"], scope["query_string"].decode()
    _at_once(path, argument)
    await _read(receive)
    if path in GATED:
        Path(argument + ".in").write_text(str(os.getpid()))
        await _wait(argument, pause=0.002 if path == "/block" else 0)
    if path == "/nap-later":
        asyncio.get_running_loop().call_later(0.2, time.sleep, 60)
        await asyncio.sleep(0.05)
    await send({"type": "http.response.start", "status": 200, "headers": [PLAIN]})
    if path == "/trickle":
        await _piece(send, b"first;")
        await _wait(argument, pause=0.002)
        await _piece(send, b"second", last=True)
    elif path == "/drip":
        await _drip(send, argument)
    elif path == "/stream":
        for _ in range(int(argument) // 65536):
            await _piece(send, b"s" * 65536)
        await _piece(send, b"", last=True)
    elif path in GATED:
        await _piece(send, b"released", last=True)
    else:
        await _piece(send, f"{os.getpid()} {VERSION}".encode(), last=True)


def _at_once(path: str, argument: str) -> None:
    """What takes no turn of the loop."""
    if path == "/exit":
        os._exit(1)
    if path == "/freeze":
        ctypes.PyDLL(None).sleep(60)
    if path == "/nap":
        time.sleep(60)
    if path == "/log":
        sys.stderr.write(argument + "\n")


async def _read(receive: Receive) -> None:
    """All of the body; a client that leaves in it ends the request."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError("the client went away")
        if not message["more_body"]:
            return


async def _piece(send: Send, data: bytes, *, last: bool = False) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": not last})


async def _drip(send: Send, gate: str) -> None:
    end = time.monotonic() + LONGEST
    while not Path(gate).exists() and time.monotonic() < end:
        await _piece(send, b"drip")
        await asyncio.sleep(0.05)
    await _piece(send, b"last", last=True)


async def _wait(gate: str, *, pause: float) -> None:
    end = time.monotonic() + LONGEST
    while not Path(gate).exists() and time.monotonic() < end:
        await asyncio.sleep(pause)
