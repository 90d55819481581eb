"""gRPC without a library for it: what the protocol needs of a server, and no more.

A method is a coroutine or an async generator, named in `METHODS` by its path. Messages are bytes; what they
mean is the methods' affair. (gRPC over HTTP2: length-prefixed messages in DATA, status in trailers.)

`/test.Echo/Unary`      the message, back
`/test.Echo/Server`     a number; so many messages
`/test.Echo/Client`     many messages; one of all of them
`/test.Echo/Both`       each message as it comes
`/test.Echo/Fails`      NOT_FOUND, with the message as text
`/test.Echo/FailsLate`  two messages, then ABORTED
`/test.Echo/Hangs`      nothing, until its client has gone; then a note
`/test.Echo/Metadata`   the metadata of the request, as it came
`/test.Echo/Deadline`   what the client's deadline is, as it came
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import quote

import asgi_pages
from asgi_pages import note
from asgi_recorder import DisconnectedError, Receive, Scope, Send, body, start

NOT_FOUND, ABORTED, UNIMPLEMENTED, INTERNAL = 5, 10, 12, 13
Messages = AsyncIterator[bytes]
Method = Callable[[Messages, Scope], Messages]


class GrpcError(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http" or not scope["path"].startswith("/test."):
        await asgi_pages.app(scope, receive, send)
        return
    assert "http.response.trailers" in scope["extensions"], "a client of gRPC says te: trailers"
    await start(send, 200, (b"content-type", b"application/grpc"), trailers=True)
    code, text = 0, ""
    try:
        method = METHODS.get(scope["path"])
        if method is None:
            raise GrpcError(UNIMPLEMENTED, "no such method")
        async with contextlib.aclosing(method(_messages(receive), scope)) as answers:  # type: ignore[type-var]
            async for answer in answers:
                await body(send, b"\0" + len(answer).to_bytes(4) + answer, more=True)
    except GrpcError as error:
        code, text = error.code, str(error)
    await body(send, b"")
    trailers = [(b"grpc-status", b"%d" % code), (b"grpc-message", quote(text).encode())]
    await send({"type": "http.response.trailers", "headers": trailers})


async def _messages(receive: Receive) -> Messages:
    """Raises DisconnectedError."""
    buffer, more = b"", True
    while True:
        while len(buffer) >= 5 and len(buffer) >= 5 + (size := int.from_bytes(buffer[1:5])):
            yield buffer[5 : 5 + size]
            buffer = buffer[5 + size :]
        if not more:
            assert not buffer, "half a message"
            return
        message = await receive()
        if message["type"] == "http.disconnect":
            raise DisconnectedError
        buffer, more = buffer + message["body"], message["more_body"]


async def _unary(messages: Messages, _: Scope) -> Messages:
    async for message in messages:
        yield message


async def _server(messages: Messages, _: Scope) -> Messages:
    async for message in messages:
        for number in range(int(message)):
            yield b"%d" % number


async def _client(messages: Messages, _: Scope) -> Messages:
    yield b",".join([message async for message in messages])


async def _fails(messages: Messages, _: Scope) -> Messages:
    async for message in messages:
        raise GrpcError(NOT_FOUND, message.decode())
    yield b""


async def _fails_late(messages: Messages, _: Scope) -> Messages:
    async for message in messages:
        yield message
        yield message
    raise GrpcError(ABORTED, "too late")


async def _hangs(messages: Messages, _: Scope) -> Messages:
    """Hears of the end by receive(), as a service that waits for more messages does."""
    note("entered")
    try:
        async for message in messages:
            note("message", message.decode())
            yield message
        note("half-closed")
        await asyncio.sleep(60)
    except DisconnectedError:
        note("disconnected")
        raise
    except asyncio.CancelledError:
        note("cancelled")
        raise


async def _metadata(messages: Messages, scope: Scope) -> Messages:
    async for _ in messages:
        yield repr(scope["headers"]).encode()


async def _deadline(messages: Messages, scope: Scope) -> Messages:
    async for _ in messages:
        yield dict(scope["headers"]).get(b"grpc-timeout", b"none")


METHODS: dict[str, Any] = {
    f"/test.Echo/{name}": method
    for name, method in {
        "Unary": _unary,
        "Server": _server,
        "Client": _client,
        "Both": _unary,
        "Fails": _fails,
        "FailsLate": _fails_late,
        "Hangs": _hangs,
        "Metadata": _metadata,
        "Deadline": _deadline,
    }.items()
}
