"""Says what an ASGI server hands to an application (`bench/probe.py` asks), and echoes on WebSockets."""

import asyncio
import json
import os
from urllib.parse import parse_qs

PATIENCE = 2.0
waiting, left = [], []


async def whole_body(receive):
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def hello(_scope, _receive):
    return b"Hello, World!"


async def describe(scope, _receive):
    found = {"client": scope.get("client"), "extensions": sorted(scope.get("extensions") or {})}
    return json.dumps(found).encode()


async def method(scope, _receive):
    return scope["method"].encode()


async def body(_scope, receive):
    return await whole_body(receive)


async def wait_for_the_end(_scope, receive):
    await whole_body(receive)
    waiting.append(1)
    if (await receive())["type"] == "http.disconnect":
        left.append(1)
    return b""


async def count_waiting(_scope, _receive):
    return str(len(waiting)).encode()


async def count_left(_scope, _receive):
    return str(len(left)).encode()


VIEWS = {
    "/": hello,
    "/scope": describe,
    "/method": method,
    "/body": body,
    "/leave": wait_for_the_end,
    "/waiting": count_waiting,
    "/left": count_left,
}


async def pieces(scope, send):
    """The second piece comes when the client has the first, or after PATIENCE."""
    (path,) = parse_qs(scope["query_string"].decode())["file"]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    for _ in range(round(PATIENCE / 0.01)):
        if os.path.exists(path):
            break
        await asyncio.sleep(0.01)
    await send({"type": "http.response.body", "body": b"read" if os.path.exists(path) else b"late"})


async def websocket(receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await websocket(receive, send)
        return
    assert scope["type"] == "http"
    if scope["path"] == "/pieces":
        await pieces(scope, send)
        return
    answer = await VIEWS[scope["path"]](scope, receive)
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})
