"""`misbehave.py` as an ASGI application: by path, what applications should not do. ASGI 3 is the contract.

A page of the same name does the same thing in the words of this interface; `NO_TWIN` tells of the pages of
WSGI that have no counterpart, and why. `BROKEN_…` are mistakes that only this interface has room for.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from typing import Any

import misbehave
from asgi_recorder import Receive, Scope, Send, body, read_body, record, report, start
from misbehave import SECRET

HIDDEN = SECRET.encode()
PLAIN = (b"content-type", b"text/plain")
LINK = "http.response.early_hint"

Page = Callable[[Scope, Receive, Send], Awaitable[None]]
PAGES: dict[str, Page] = {}

#: Pages of `misbehave.py` that say nothing here: path or start of a path, and the reason.
NO_TWIN = {
    "/bad-status/lf": "a status has no words",
    "/bad-status/crlf": "a status has no words",
    "/bad-status/cr": "a status has no words",
    "/bad-status/nul": "a status has no words",
    "/bad-status/ctl": "a status has no words",
    "/bad-status/del": "a status has no words",
    "/bad-status/no-number": "a status has no words",
    "/bad-status/space": "a status has no words",
    "/bad-status/wide": "a status has no words",
    "/bad-status/int": "it is right here",
    "/bad-field/value-wide": "bytes have no wide characters",
    "/bad-field/value-bytes": "they are right here",
    "/bad-field/name-wide": "bytes have no wide characters",
    "/bad-field/name-bytes": "they are right here",
    "/bad-hint/wide": "bytes have no wide characters",
    "/bad-hint/name": "a hint is a value: its name is the server's",
    "/raises-behind-empty": "an empty piece with more_body asks for the head to be sent",
    "/too-many-written": "there is no write()",
    "/write": "there is no write()",
    "/replaced": "a response cannot be started again",
    "/unknown-status": "a status has no words",
}


def page(name: str) -> Callable[[Page], Page]:
    def add(function: Page) -> Page:
        PAGES[name] = function
        return function

    return add


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    if scope["path"] == "/seen":
        await report(send)
        return
    record(scope)
    await PAGES[scope["path"]](scope, receive, send)


def says(name: str, *messages: Any) -> None:
    """A page that sends these messages and returns."""

    async def respond(_: Scope, __: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    PAGES[name] = respond


def starting(*headers: Any, status: Any = 200, **more: Any) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": [PLAIN, *headers], **more}


def piece(data: Any = b"", *, more: Any = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


NEVER = (b"x-never", HIDDEN)

# -- what must become a 500


def _encoded(text: Any) -> Any:
    """As bytes; None if it is no latin-1 text."""
    try:
        return text.encode("latin-1")
    except (AttributeError, UnicodeEncodeError):
        return None


BAD_STATUS: dict[str, Any] = {
    "two-digits": 20,
    "four-digits": 2000,
    "zero": 0,
    "negative": -20,
    "low": 199,
    "high": 1000,
    "huge": 10**30,
    "empty": "",
    "text": f"200 {SECRET}",
    "bytes": b"200",
    "float": 200.0,
    "bool": True,
    "none": None,
    "interim": 100,
    "switching": 101,
    "early": 103,
}
BAD_FIELD: dict[str, Any] = {
    name: (_encoded(key), _encoded(value))
    for name, (key, value) in misbehave.BAD_FIELD.items()
    if _encoded(key) is not None and _encoded(value) is not None
} | {
    "value-text": (b"x-bad", SECRET),
    "value-int": (b"x-bad", 1),
    "value-none": (b"x-bad", None),
    "name-text": ("x-bad", HIDDEN),
    "name-none": (None, HIDDEN),
    "no-value": (HIDDEN,),
    "three-values": (b"x-bad", HIDDEN, HIDDEN),
    "no-pair": None,
    "pseudo": (b":status", HIDDEN),
}
for _name, _status in BAD_STATUS.items():
    says(f"/bad-status/{_name}", starting((b"content-length", b"2"), status=_status), piece(b"ok"))
for _name, _field in BAD_FIELD.items():
    says(f"/bad-field/{_name}", starting((b"content-length", b"2"), _field), piece(b"ok"))
for _name, (_key, _value) in misbehave.GOOD_FIELD.items():
    _field = (_encoded(_key), _encoded(_value))
    says(f"/good-field/{_name}", starting((b"content-length", b"2"), _field), piece(b"ok"))


def raises(name: str, *messages: Any, error: BaseException | None = None) -> None:
    """A page that sends these messages, then raises."""

    async def respond(_: Scope, __: Receive, send: Send) -> None:
        for message in messages:
            await send(message)
        raise error or RuntimeError(SECRET)

    PAGES[name] = respond


raises("/raises-at-once")
raises("/raises-behind-start", starting(NEVER))
raises("/raises-before-first", starting(NEVER))


@page("/raises-behind-start-later")
async def _raises_behind_start_later(_: Scope, receive: Receive, send: Send) -> None:
    """In a turn of the loop that is not the one that called it."""
    await read_body(receive)
    await asyncio.sleep(0)
    await send(starting(NEVER))
    raise RuntimeError(SECRET)


raises("/system-exit", error=SystemExit(SECRET))
says("/never-starts", piece(HIDDEN))
says("/never-starts-empty")
says("/returns-none", starting(NEVER))
says("/yields-text", starting(NEVER), piece(SECRET))
says("/starts-twice", starting(NEVER), starting(), piece(b"ok"))

#: Before anything is sent: 500.
BROKEN_BEFORE = {
    "no-dict": (HIDDEN,),
    "none": (None,),
    "no-type": ({"status": 200},),
    "unknown-type": ({"type": f"http.response.{SECRET}"},),
    "type-of-request": ({"type": "http.request", "body": HIDDEN},),
    "type-of-websocket": ({"type": "websocket.accept"},),
    "no-status": ({"type": "http.response.start", "headers": [NEVER]},),
    "headers-none": (starting() | {"headers": None}, piece(b"ok")),
    "headers-int": (starting() | {"headers": 1}, piece(b"ok")),
    "headers-text": (starting() | {"headers": SECRET}, piece(b"ok")),
    "body-none": (starting(NEVER), piece(None)),
    "body-int": (starting(NEVER), piece(5)),
    "body-list": (starting(NEVER), piece([HIDDEN])),
    "trailers-first": ({"type": "http.response.trailers", "headers": [NEVER]},),
    "trailers-before-body": (
        starting(NEVER, trailers=True),
        {"type": "http.response.trailers", "headers": [NEVER]},
    ),
    "path-first": ({"type": "http.response.pathsend", "path": __file__},),
    "path-bytes": (starting(NEVER), {"type": "http.response.pathsend", "path": __file__.encode()}),
    "path-missing": (starting(NEVER), {"type": "http.response.pathsend", "path": "/nowhere/s3cr3t"}),
    "path-directory": (starting(NEVER), {"type": "http.response.pathsend", "path": "/"}),
    "path-none": (starting(NEVER), {"type": "http.response.pathsend"}),
    "copy-first": ({"type": "http.response.zerocopysend", "file": 0},),
    "copy-none": (starting(NEVER), {"type": "http.response.zerocopysend", "file": None}),
}
#: Behind the first piece: the connection is cut.
BROKEN_BEHIND = {
    "text": (piece(SECRET),),
    "unknown-type": ({"type": f"http.response.{SECRET}"},),
    "start": (starting(NEVER),),
    "path": ({"type": "http.response.pathsend", "path": __file__},),
    "hint": ({"type": LINK, "links": [b"</a>"]},),
    "nothing": (),
}
#: Behind the end: an error for the application, nothing for the client.
BROKEN_AFTER = {
    "piece": (piece(HIDDEN),),
    "more": (piece(HIDDEN, more=True),),
    "start": (starting(NEVER),),
    "trailers": ({"type": "http.response.trailers", "headers": [NEVER]},),
    "path": ({"type": "http.response.pathsend", "path": __file__},),
}
for _name, _messages in BROKEN_BEFORE.items():
    says(f"/broken-before/{_name}", *_messages)
for _name, _messages in BROKEN_BEHIND.items():
    says(f"/broken-behind/{_name}", starting(), piece(b"first", more=True), *_messages)
for _name, _messages in BROKEN_AFTER.items():
    says(f"/broken-after/{_name}", starting(), piece(b"first"), *_messages)
raises("/raises-behind-end", starting(), piece(b"first"))


# -- what must cut the connection

TEN = (b"content-length", b"10")
FIVE = (b"content-length", b"5")
raises("/raises-midway", starting(), piece(b"first", more=True))
raises("/raises-midway-length", starting(TEN), piece(b"first", more=True))
raises("/raises-behind-empty-piece", starting(), piece(more=True))
says("/text-midway", starting(), piece(b"first", more=True), piece(SECRET))
says("/too-few", starting(TEN), piece(b"first"))
says("/none-of-ten", starting(TEN), piece())

# -- what must be cut at the length

says("/too-many", starting(FIVE), piece(b"first" + HIDDEN))
says(
    "/too-many-pieces",
    starting(FIVE),
    piece(b"fir", more=True),
    piece(b"st" + HIDDEN, more=True),
    piece(HIDDEN),
)
says("/more-than-nothing", starting((b"content-length", b"0")), piece(HIDDEN))

# -- framing fields are the server's

for _name, _length in misbehave.BAD_LENGTH.items():
    says(f"/bad-length/{_name}", starting((b"content-length", _length.encode())), piece(b"first"))
says("/two-lengths", starting(FIVE, (b"content-length", b"6")), piece(b"first"))
says("/own-chunked", starting((b"transfer-encoding", b"chunked")), piece(b"5\r\nfirst\r\n0\r\n\r\n"))
says("/own-gzip", starting((b"transfer-encoding", b"gzip")), piece(b"first"))
says("/hop-by-hop", starting((b"keep-alive", b"timeout=99"), (b"content-length", b"2")), piece(b"ok"))
says("/says-close", starting((b"connection", b"close"), (b"content-length", b"2")), piece(b"ok"))

# -- no body

for _code in (204, 304, 205):
    _bare = {"type": "http.response.start", "status": _code}
    says(f"/{_code}", _bare, piece())
    says(f"/{_code}/empty", _bare, piece(more=True), piece())
    says(f"/{_code}/body", starting(status=_code), piece(HIDDEN))
    says(f"/{_code}/length", starting((b"content-length", b"6"), status=_code), piece(HIDDEN))

# -- well-behaved, in every framing

says("/one-piece", starting(), piece(b"first"))
says("/tuple", starting(), piece(b"fir", more=True), piece(b"st"))
says("/nothing", starting(), {"type": "http.response.body"})
says("/empty-piece", starting(), piece())
says("/generator", starting(), piece(b"fir", more=True), piece(b"st", more=True), piece())
says("/empty-generator", starting(), piece(more=True), piece())
says(
    "/generator-with-empty-pieces",
    starting(),
    piece(more=True),
    piece(b"fir", more=True),
    piece(more=True),
    piece(b"st", more=True),
    piece(),
)
says(
    "/generator-with-length",
    starting(FIVE),
    piece(b"fir", more=True),
    piece(more=True),
    piece(b"st", more=True),
    piece(),
)
says(
    "/own-date",
    starting((b"date", formatdate(0, usegmt=True).encode()), (b"server", b"mine")),
    piece(b"first"),
)
says(
    "/own-date-lower-case",
    starting((b"Date", formatdate(0, usegmt=True).encode()), (b"SERVER", b"mine")),
    piece(b"first"),
)
says("/two-fields", starting((b"set-cookie", b"a=b"), (b"set-cookie", b"c=d")), piece(b"first"))
says("/number", starting(status=299), piece(b"first"))
says("/bytearray", starting(), piece(bytearray(b"fir"), more=True), piece(memoryview(b"st")))
says("/header-lists", starting() | {"headers": [[b"x-a", b"b"]]}, piece(b"first"))
says("/header-tuple", starting() | {"headers": ((b"x-a", b"b"),)}, piece(b"first"))
says("/no-headers", {"type": "http.response.start", "status": 200}, piece(b"first"))
says("/unknown-key", starting() | {"x": SECRET}, piece(b"first") | {"x": SECRET})


@page("/header-generator")
async def _header_generator(_: Scope, __: Receive, send: Send) -> None:
    await send(starting() | {"headers": (pair for pair in [(b"x-a", b"b")])})
    await send(piece(b"first"))


@page("/reads-behind-end")
async def _reads_behind_end(_: Scope, receive: Receive, send: Send) -> None:
    """The response is over: what receive() gives then ends whoever loops over it."""
    await read_body(receive)
    await start(send, 200, PLAIN)
    await body(send, b"first")
    assert (await receive())["type"] == "http.disconnect"


@contextmanager
def _file(content: bytes) -> Iterator[str]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        yield file.name


def sends_file(name: str, content: Callable[[], bytes], *headers: Any) -> None:
    async def respond(_: Scope, __: Receive, send: Send) -> None:
        with _file(content()) as path:
            await send(starting(*headers))
            await send({"type": "http.response.pathsend", "path": path})

    PAGES[name] = respond


sends_file("/file", lambda: b"first")
sends_file("/file-with-length", lambda: b"first", FIVE)
sends_file("/file-empty", lambda: b"")
sends_file("/file-too-long", lambda: b"first" + HIDDEN, FIVE)
sends_file("/file-too-short", lambda: b"first", TEN)
sends_file("/file-large", lambda: os.urandom(1) * 2_000_000)


# -- early hints (RFC 8297)


@page("/hint")
async def _hint(scope: Scope, _: Receive, send: Send) -> None:
    if LINK in scope["extensions"]:
        await send({"type": LINK, "links": [b"</a.css>; rel=preload", b"</b.js>; rel=preload"]})
    await start(send, 200, PLAIN)
    await body(send, b"first")


BAD_HINT: dict[str, Any] = {
    name: _encoded(value)
    for name, (key, value) in misbehave.BAD_HINT.items()
    if key == "Link" and _encoded(value) is not None
} | {"text": SECRET, "int": 1}
for _name, _link in BAD_HINT.items():
    says(f"/bad-hint/{_name}", {"type": LINK, "links": [_link]}, starting(), piece(b"first"))
