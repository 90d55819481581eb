"""`sends_files.py` as an ASGI application."""

from __future__ import annotations

from asgi_recorder import Receive, Scope, Send, body, read_body, record, report
from sends_files import asked_for, pieces


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        return
    if scope["path"] == "/seen":
        await report(send)
        return
    record(scope)
    await read_body(receive)
    status, fields = asked_for(scope["path"], scope["query_string"].decode("ascii"))
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in fields]
    await send({"type": "http.response.start", "status": int(status[:3]), "headers": headers})
    for piece in pieces():
        await body(send, piece, more=True)
    await body(send, b"")
