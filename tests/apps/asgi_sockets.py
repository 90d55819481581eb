"""WebSocket pages beside those of `asgi_pages.py`, with the same notes and gates; each says what it does."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import asgi_pages
from asgi_pages import LONGEST, Page, argument, gate, note
from asgi_recorder import Message, Receive, Scope, Send

SOCKETS: dict[str, Page] = {}
SECRET = "s3cr3t"


def socket(function: Page) -> Page:
    SOCKETS["/" + function.__name__.strip("_").replace("_", "-")] = function
    return function


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await SOCKETS[scope["path"]](scope, receive, send)
    else:
        await asgi_pages.app(scope, receive, send)


async def accept(receive: Receive, send: Send, **more: Any) -> None:
    message = await receive()
    assert message == {"type": "websocket.connect"}, message
    await send({"type": "websocket.accept", **more})


async def text(send: Send, content: str) -> None:
    await send({"type": "websocket.send", "text": content})


async def close(send: Send, code: int = 1000, reason: str = "") -> None:
    await send({"type": "websocket.close", "code": code, "reason": reason})


async def until_disconnect(receive: Receive) -> Message:
    while (message := await receive())["type"] != "websocket.disconnect":
        continue
    return message


@socket
async def _scope(scope: Scope, receive: Receive, send: Send) -> None:
    """The scope as a Python literal."""
    await accept(receive, send)
    await text(send, repr(scope))
    await close(send)


@socket
async def _echo(_: Scope, receive: Receive, send: Send) -> None:
    """Every message back; at the end a note of what receive() said, twice."""
    await accept(receive, send)
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})
    note("disconnect", message)
    note("again", await receive())


@socket
async def _echo_keys(_: Scope, receive: Receive, send: Send) -> None:
    """What a message was, as a text: its keys that are not None."""
    await accept(receive, send)
    while (message := await receive())["type"] == "websocket.receive":
        await text(send, repr({key: value for key, value in message.items() if value is not None}))


@socket
async def _accept_with(scope: Scope, receive: Receive, send: Send) -> None:
    """The subprotocol and the headers of the query, which is JSON in hex."""
    plan = json.loads(bytes.fromhex(argument(scope)))
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in plan.pop("headers", [])]
    await accept(receive, send, headers=headers, **plan)
    await text(send, "accepted")
    await close(send)


@socket
async def _closes(scope: Scope, receive: Receive, send: Send) -> None:
    """Closes with the code and the reason of the query, `CODE,REASON`; LONG is more than fits."""
    code, _, reason = argument(scope).partition(",")
    reason = reason.replace("LONG", "r" + "\N{SNOWMAN}" * 60)
    await accept(receive, send)
    await close(send, int(code), reason)
    note("message", await receive())


@socket
async def _closes_plainly(_: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await send({"type": "websocket.close"})


@socket
async def _returns(_: Scope, receive: Receive, send: Send) -> None:
    """Without a close."""
    await accept(receive, send)
    await text(send, "that was all")


@socket
async def _raises(_: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    raise RuntimeError(SECRET)


@socket
async def _raises_cancelled(_: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    raise asyncio.CancelledError


@socket
async def _raises_first(_: Scope, __: Receive, ___: Send) -> None:
    raise RuntimeError(SECRET)


@socket
async def _returns_first(_: Scope, __: Receive, ___: Send) -> None:
    """Neither accepts nor refuses."""


@socket
async def _rejects(_: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await close(send, 4000, SECRET)
    note("message", await receive())


@socket
async def _denies(_: Scope, receive: Receive, send: Send) -> None:
    """With a response of its own (the extension websocket.http.response)."""
    await receive()
    headers = [(b"www-authenticate", b'Basic realm="a"'), (b"content-type", b"text/plain")]
    await send({"type": "websocket.http.response.start", "status": 401, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": b"who ", "more_body": True})
    await send({"type": "websocket.http.response.body", "body": b"are you?"})
    note("message", await receive())


@socket
async def _denies_badly(_: Scope, receive: Receive, send: Send) -> None:
    await receive()
    headers = [(b"x-bad", b"a\r\n\r\n" + SECRET.encode())]
    await send({"type": "websocket.http.response.start", "status": 401, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": b"no"})


@socket
async def _late(scope: Scope, receive: Receive, send: Send) -> None:
    """Accepts when the gate is open, then echoes."""
    note("entered")
    await gate(argument(scope))
    await _echo(scope, receive, send)


@socket
async def _notices(_: Scope, receive: Receive, send: Send) -> None:
    """A client that leaves before it is accepted."""
    await receive()
    note("entered")
    note("message", await receive())
    try:
        await send({"type": "websocket.accept"})
    except OSError as error:
        note("error", type(error).__name__)


@socket
async def _sends(scope: Scope, receive: Receive, send: Send) -> None:
    """`COUNT,SIZE` messages, each with its number in front; notes when send() first waited."""
    count, size = map(int, argument(scope).split(","))
    await accept(receive, send)
    noted = False
    for number in range(count):
        message = {"type": "websocket.send", "bytes": number.to_bytes(4) + b"m" * (size - 4)}
        sending = asyncio.ensure_future(send(message))
        _, pending = await asyncio.wait({sending}, timeout=LONGEST if noted else 0.2)
        if pending and not noted:
            note("waits", number)
            noted = True
        await sending
    note("sent", count)
    await close(send)


@socket
async def _reads_late(scope: Scope, receive: Receive, send: Send) -> None:
    """Takes no message until the gate is open; then tells how many there were, and their bytes, at "end"."""
    await accept(receive, send)
    note("entered")
    await gate(argument(scope))
    count = size = 0
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text") == "end":
            await text(send, f"{count} {size}")
            continue
        count += 1
        size += len(message["bytes"])


@socket
async def _counts_late(scope: Scope, receive: Receive, send: Send) -> None:
    """Takes no message until the gate is open; then notes how many there were before the end."""
    await accept(receive, send)
    await gate(argument(scope))
    count = 0
    while (message := await receive())["type"] == "websocket.receive":
        count += 1
    note("count", count)
    note("disconnect", message)


@socket
async def _sends_late(_: Scope, receive: Receive, send: Send) -> None:
    """What send() says when the client has gone."""
    await accept(receive, send)
    note("disconnect", await until_disconnect(receive))
    try:
        await text(send, "to nobody")
    except OSError as error:
        note("error", type(error).__name__)


@socket
async def _two_tasks(scope: Scope, receive: Receive, send: Send) -> None:
    """One task receives while another sends, as chats do it."""
    await accept(receive, send)
    ticks = asyncio.create_task(_tick(scope, send))
    note("disconnect", await until_disconnect(receive))
    ticks.cancel()
    await asyncio.wait({ticks})
    note("cancelled", ticks.cancelled())


async def _tick(scope: Scope, send: Send) -> None:
    await text(send, "first")
    await gate(argument(scope))
    await text(send, "second")
    await asyncio.sleep(LONGEST)


@socket
async def _ignores_disconnect(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    note("disconnect", await until_disconnect(receive))
    begin = time.monotonic()
    try:
        await gate(argument(scope))
    except asyncio.CancelledError:
        note("cancelled", time.monotonic() - begin)
        raise
    note("finished")


ACCEPT = {"type": "websocket.accept"}
TEXT = {"type": "websocket.send", "text": "t"}
CLOSE = {"type": "websocket.close"}

#: Messages that are wrong before the handshake is answered: a 500.
BROKEN_BEFORE: dict[str, tuple[Any, ...]] = {
    "no-dict": (SECRET,),
    "no-type": ({"text": SECRET},),
    "unknown-type": ({"type": f"websocket.{SECRET}"},),
    "type-of-http": ({"type": "http.response.start", "status": 200, "headers": []},),
    "send-first": ({**TEXT, "text": SECRET},),
    "header-crlf": ({**ACCEPT, "headers": [(b"x-bad", b"a\r\n" + SECRET.encode())]},),
    "header-lf": ({**ACCEPT, "headers": [(b"x-bad", b"a\n" + SECRET.encode())]},),
    "header-name": ({**ACCEPT, "headers": [(b"x bad", SECRET.encode())]},),
    "header-text": ({**ACCEPT, "headers": [("x-bad", SECRET)]},),
    "header-of-framing": ({**ACCEPT, "headers": [(b"content-length", b"5")]},),
    "header-of-handshake": ({**ACCEPT, "headers": [(b"sec-websocket-accept", SECRET.encode())]},),
    "subprotocol-not-offered": ({**ACCEPT, "subprotocol": SECRET},),
    "subprotocol-crlf": ({**ACCEPT, "subprotocol": f"a\r\n{SECRET}"},),
    "subprotocol-bytes": ({**ACCEPT, "subprotocol": b"s3cr3t"},),
    "body-without-start": ({"type": "websocket.http.response.body", "body": SECRET.encode()},),
    "status-interim": ({"type": "websocket.http.response.start", "status": 101, "headers": []},),
}
#: Messages that are wrong once it is accepted: the connection is closed with 1011.
BROKEN_BEHIND: dict[str, tuple[Any, ...]] = {
    "accept": (ACCEPT,),
    "empty": ({"type": "websocket.send"},),
    "both-none": ({"type": "websocket.send", "text": None, "bytes": None},),
    "text-bytes": ({"type": "websocket.send", "text": b"s3cr3t"},),
    "bytes-text": ({"type": "websocket.send", "bytes": SECRET},),
    "int": ({"type": "websocket.send", "text": 1},),
    "surrogate": ({"type": "websocket.send", "text": "\ud800"},),
    "unknown-type": ({"type": f"websocket.{SECRET}"},),
    "refusal": ({"type": "websocket.http.response.start", "status": 401, "headers": []},),
    "code-text": ({**CLOSE, "code": "1000"},),
    "code-none-of-these": ({**CLOSE, "code": 999},),
    "code-reserved": ({**CLOSE, "code": 1006},),
    "code-huge": ({**CLOSE, "code": 5000},),
    "reason-bytes": ({**CLOSE, "reason": b"r"},),
}


def breaks(path: str, *messages: Any) -> None:
    async def respond(_: Scope, receive: Receive, send: Send) -> None:
        await receive()
        for message in messages:
            await send(message)
        await until_disconnect(receive)

    SOCKETS[path] = respond


for _name, _messages in BROKEN_BEFORE.items():
    breaks(f"/broken-before/{_name}", *_messages)
for _name, _messages in BROKEN_BEHIND.items():
    breaks(f"/broken-behind/{_name}", ACCEPT, *_messages)


@socket
async def _sends_behind_close(_: Scope, receive: Receive, send: Send) -> None:
    """Notes what becomes of each message that is sent too late."""
    await accept(receive, send)
    await close(send, 3000)
    for message in (TEXT, CLOSE):
        try:
            await send(message)
        except Exception as error:  # noqa: BLE001 - which one it is, is the question
            note("error", [message["type"], isinstance(error, OSError)])
