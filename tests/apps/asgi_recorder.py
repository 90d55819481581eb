"""`recorder.py` for ASGI applications: a scope is reported in the words of an environ.

So one test body reads what either interface was told. What a scope has and an environ has not is the
subject of `integration/test_asgi_scope.py`.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import recorder
from recorder import Environ, recorded

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_PLAIN = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}


class DisconnectedError(Exception):
    """The client went away in the middle of its body."""


def record(scope: Scope) -> dict[str, Any]:
    """Note a request; the caller may add to what it gets (`body`, `error`)."""
    return recorder.record(environ_of(scope))


def environ_of(scope: Scope) -> Environ:
    root = scope["root_path"]
    path = scope["path"].removeprefix(root)
    query = scope["query_string"].decode("latin-1")
    raw = scope["raw_path"].decode("latin-1")
    host, port = scope["client"] or ("", "")
    name, server_port = scope["server"]
    environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": root,
        "PATH_INFO": path.encode("utf-8").decode("latin-1"),
        "QUERY_STRING": query,
        "RAW_URI": f"{raw}?{query}" if query else raw,
        "SERVER_PROTOCOL": "HTTP/" + scope["http_version"],
        "REMOTE_ADDR": host,
        "REMOTE_PORT": str(port),
        "SERVER_NAME": name,
        "SERVER_PORT": "" if server_port is None else str(server_port),
        "wsgi.url_scheme": scope["scheme"],
    }
    for key, value in scope["headers"]:
        _add(environ, key.decode("latin-1"), value.decode("latin-1"))
    return environ


def _add(environ: Environ, name: str, value: str) -> None:
    """PEP 3333 has one value for each name; only a Cookie is joined in its own way (RFC 6265 §5.4)."""
    key = _PLAIN.get(name) or "HTTP_" + name.upper().replace("-", "_")
    separator = "; " if name == "cookie" else ","
    environ[key] = f"{environ[key]}{separator}{value}" if key in environ else value


async def read_body(receive: Receive) -> bytes:
    """All of it. Raises DisconnectedError."""
    pieces = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise DisconnectedError
        pieces.append(message["body"])
        if not message["more_body"]:
            return b"".join(pieces)


async def report(send: Send) -> None:
    """Answer `/seen`."""
    await answer(send, recorded())


async def answer(send: Send, content: Any) -> None:
    body = json.dumps(content).encode("ascii")
    await start(send, 200, (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.body", "body": body})


async def start(send: Send, status: Any, *headers: Any, **more: Any) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers), **more})


async def body(send: Send, piece: Any, *, more: bool = False) -> None:
    await send({"type": "http.response.body", "body": piece, "more_body": more})
