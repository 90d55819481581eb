"""What an application does with what it is given, and what the next request finds in its own.

Without the extension `tls`, which is `asgi_secured.py`'s.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]
PARTS = ("asgi", "extensions", "state")


class Mark:
    """Something whose end can be seen."""


held: list[Scope] = []
marks: list[weakref.ref[Mark]] = []


async def app(
    scope: Scope, receive: Callable[[], Awaitable[Scope]], send: Callable[[Scope], Awaitable[None]]
) -> None:
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    scope["extensions"].pop("tls", None)
    if scope["path"] == "/by-hand":
        found = by_hand(receive, send)
    elif scope["path"] == "/functions":
        found = functions(receive, send)
    else:
        found = VIEWS[scope["path"]](scope)
    if scope["query_string"] == b"waits":
        await asyncio.sleep(0.05)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    text = json.dumps(found) if scope["path"] == "/seen" else repr(found)
    await send({"type": "http.response.body", "body": text.encode()})


def look(scope: Scope) -> object:
    """What is in them; whether all marks have gone; whether others have one of them."""
    others = {id(each[part]) for each in held for part in PARTS}
    gone = all(mark() is None for mark in marks)
    return {part: scope[part] for part in PARTS}, gone, any(id(scope[part]) in others for part in PARTS)


def mark(scope: Scope) -> object:
    """Change each of them."""
    for part in PARTS:
        scope[part]["mark"] = new = Mark()
        marks.append(weakref.ref(new))
    return None


def swap(scope: Scope) -> object:
    """As many keys as before, and other values."""
    scope["asgi"]["version"] = "4.0"
    scope["extensions"].clear()
    return None


def hold(scope: Scope) -> object:
    held.append(scope)
    return None


def spoil(_scope: Scope) -> object:
    """Change what former requests have had."""
    for each in held:
        for part in PARTS:
            each[part]["spoilt"] = True
    return None


def seen(_scope: Scope) -> object:
    """The harness asks, in JSON."""
    return {"pid": os.getpid(), "requests": []}


def by_hand(receive: Callable[[], Awaitable[Scope]], send: Callable[[Scope], Awaitable[None]]) -> object:
    """What is awaited without `await` ends with an exception, which may be kept and looked at later."""
    del send
    kept: list[StopIteration] = []
    for _ in range(3):
        step = receive().__await__()
        try:
            while next(step) is None:
                pass
        except StopIteration as ended:
            kept.append(ended)
        except RuntimeError:
            break
        if kept and kept[-1].value["type"] == "http.request":
            kept[-1].value["number"] = Mark()
            marks.append(weakref.ref(kept[-1].value["number"]))
            del kept[-1].value["number"]
            continue
        break
    told = [(ended.value["type"], ended.args == (ended.value,), ended.__context__) for ended in kept]
    return told, len({id(ended) for ended in kept}) == len(kept)


def functions(receive: Callable[[], Awaitable[Scope]], send: Callable[[Scope], Awaitable[None]]) -> object:
    """They look like the methods that they are, and refuse what these would."""
    told = [
        (
            each.__name__,
            str(inspect.signature(each)),
            weakref.ref(each)() is each,
            each == each,
            callable(each),
        )
        for each in (receive, send)
    ]
    refused = 0
    for wrong in (lambda: receive(1), lambda: send(), lambda: send({}, 1), lambda: send(other={})):  # type: ignore
        try:
            wrong()
        except TypeError:
            refused += 1
    send(message={"type": "http.response.start"}).close()  # type: ignore
    send.__call__({"type": "http.response.start"}).close()  # type: ignore
    return told, refused


VIEWS = {f"/{view.__name__}": view for view in (look, mark, swap, hold, spoil, seen)}
