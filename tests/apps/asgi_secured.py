"""`secured.py` as an ASGI application: `tls` is the extension of that name, or None.

A WebSocket is sent the same first, and then whatever it sends.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

from asgi_recorder import Receive, Scope, Send, answer, read_body, report


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": json.dumps(about(scope))})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "bytes": message["bytes"], "text": message.get("text")})
        return
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    path = scope["path"]
    if path == "/seen":
        await report(send)
    elif path == "/file":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.pathsend", "path": scope["query_string"].decode()})
    elif path == "/digest":
        await answer(send, hashlib.sha256(await read_body(receive)).hexdigest())
    else:
        told = about(scope)
        if path == "/spoil":
            spoil(scope["extensions"]["tls"])
        await answer(send, told)


def about(scope: Scope) -> dict[str, Any]:
    host, port = scope["client"] or ("", "")
    return json.loads(  # type: ignore[no-any-return]  # a copy of what it is now
        json.dumps(
            {
                "pid": os.getpid(),
                "scheme": scope["scheme"],
                "peer": [host, str(port)],
                "tls": scope["extensions"].get("tls"),
            },
            default=list,
        )
    )


def spoil(told: dict[str, Any]) -> None:
    """Whatever can be changed in it."""
    for value in told.values():
        if isinstance(value, list):
            value.append("spoilt")
    told.update(dict.fromkeys(told, "spoilt"))
