"""An application of Tornado's: what its server has to be able to do.

`/`             "hello"
`/request`      what the handler knows of its request, as JSON
`/echo`         the body, after it was read
`/coroutine`    waits, writes, flushes, waits, finishes
`/large?N`      N bytes, each piece of 64 KiB awaited; the marks of how far it came are in LOG
`/stream`       (POST) the body as it comes; answers with the length of the pieces. `slow`: waits for each
`/early`        (POST) answers in prepare(), without the body; its limit is 1000 bytes
`/raises`       an exception; `/broken`: a head that must not be sent
`/silent`       waits until its client goes, and never answers; `callback`: hears of it by its own callback
`/never`        waits for ever
`/ws`           a WebSocket that echoes; `/ws?deflate` with compression; "close" closes with 4001
`/detached`     takes the connection and echoes one line
`/static/…`     this directory
`/log`          LOG, and empties it
`/context`      whether a context variable of another request is seen
`/timer`        how often a PeriodicCallback of the module has run
"""

from __future__ import annotations

import asyncio
import os
from contextvars import ContextVar
from typing import Any

import recorder
import tornado.iostream
import tornado.web
import tornado.websocket
from tornado.ioloop import PeriodicCallback

LOG: list[str] = []
SEEN: ContextVar[str] = ContextVar("SEEN", default="nothing")
TICKS = [0]


def tick() -> None:
    TICKS[0] += 1


PeriodicCallback(tick, 10).start()


class Hello(tornado.web.RequestHandler):
    def get(self) -> None:
        self.write("hello")


class Seen(tornado.web.RequestHandler):
    def get(self) -> None:
        self.write(recorder.recorded())


class Request(tornado.web.RequestHandler):
    def get(self) -> None:
        request = self.request
        context = request.connection.context
        self.write(
            {
                "method": request.method,
                "uri": request.uri,
                "path": request.path,
                "query": request.query,
                "version": request.version,
                "protocol": request.protocol,
                "host": request.host,
                "ip": request.remote_ip,
                "port": context.address and context.address[1],
                "arguments": {name: self.get_arguments(name) for name in request.arguments},
                "twice": request.headers.get_list("X-Twice"),
                "cookies": {name: morsel.value for name, morsel in request.cookies.items()},
                "tls": bool(request.connection.tls),
            }
        )


class Echo(tornado.web.RequestHandler):
    def post(self) -> None:
        self.set_header("Content-Type", "application/octet-stream")
        self.write(self.request.body)


class Coroutine(tornado.web.RequestHandler):
    async def get(self) -> None:
        SEEN.set("coroutine")
        await asyncio.sleep(0.001)
        self.write("one;")
        await self.flush()
        await asyncio.sleep(0.001)
        self.write("two")
        LOG.append(f"flushed {SEEN.get()}")


class Large(tornado.web.RequestHandler):
    async def get(self) -> None:
        left = int(self.request.query)
        sent = 0
        try:
            while left:
                piece = b"l" * min(left, 65536)
                self.write(piece)
                await self.flush()
                left -= len(piece)
                sent += len(piece)
                LOG[:] = [str(sent)]
        except tornado.iostream.StreamClosedError:
            LOG.append("closed")


@tornado.web.stream_request_body
class Stream(tornado.web.RequestHandler):
    async def prepare(self) -> None:
        self.pieces: list[int] = []
        await asyncio.sleep(0.001)

    def data_received(self, chunk: bytes) -> Any:
        self.pieces.append(len(chunk))
        return asyncio.sleep(0.002) if self.request.query == "slow" else None

    def post(self) -> None:
        self.write({"size": sum(self.pieces), "largest": max(self.pieces, default=0)})

    def on_connection_close(self) -> None:
        super().on_connection_close()
        LOG.append("cut")


@tornado.web.stream_request_body
class Early(tornado.web.RequestHandler):
    def prepare(self) -> None:
        self.request.connection.set_max_body_size(1000)  # type: ignore[attr-defined]
        if self.request.query == "refuse":
            self.set_status(403)
            self.finish("no")

    def data_received(self, chunk: bytes) -> None:
        LOG.append(f"got {len(chunk)}")

    def post(self) -> None:
        self.write("all")


class Raises(tornado.web.RequestHandler):
    def get(self) -> None:
        raise ValueError("on purpose")


class Broken(tornado.web.RequestHandler):
    def get(self) -> None:
        self._headers["X-Broken"] = "a\r\nX-Forged: b"
        self.write("text")


class Silent(tornado.web.RequestHandler):
    async def get(self) -> None:
        LOG.append("waits")
        self.left = asyncio.Event()
        if self.request.query == "callback":
            self.request.connection.set_close_callback(self.heard)  # type: ignore[attr-defined]
        await self.left.wait()

    def on_connection_close(self) -> None:
        LOG.append("left")
        self.left.set()

    def heard(self) -> None:
        LOG.append("heard")
        self.left.set()


class Never(tornado.web.RequestHandler):
    async def get(self) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            LOG.append("cancelled")
            raise


class WebSocket(tornado.websocket.WebSocketHandler):
    def get_compression_options(self) -> dict[str, Any] | None:
        return {} if self.request.query == "deflate" else None

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        return subprotocols[0] if subprotocols else None

    def on_message(self, message: str | bytes) -> None:
        if message == "close":
            self.close(4001, "as you say")
        elif message == "raise":
            raise ValueError("on purpose")
        else:
            self.write_message(message, binary=isinstance(message, bytes))

    def on_close(self) -> None:
        LOG.append(f"ended {self.close_code}")


class Detached(tornado.web.RequestHandler):
    async def get(self) -> None:
        stream = self.detach()
        await stream.write(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: line\r\n\r\n"
        )
        line = await stream.read_until(b"\n")
        await stream.write(line)
        stream.close()


class Log(tornado.web.RequestHandler):
    def get(self) -> None:
        self.write({"log": LOG})
        LOG.clear()


class Context(tornado.web.RequestHandler):
    def get(self) -> None:
        self.write(SEEN.get())
        SEEN.set("another request")


class Timer(tornado.web.RequestHandler):
    def get(self) -> None:
        self.write(str(TICKS[0]))


def make() -> tornado.web.Application:
    return tornado.web.Application(
        [
            ("/", Hello),
            ("/seen", Seen),
            ("/request", Request),
            ("/echo", Echo),
            ("/coroutine", Coroutine),
            ("/large", Large),
            ("/stream", Stream),
            ("/early", Early),
            ("/raises", Raises),
            ("/broken", Broken),
            ("/silent", Silent),
            ("/never", Never),
            ("/ws", WebSocket),
            ("/detached", Detached),
            ("/log", Log),
            ("/context", Context),
            ("/timer", Timer),
            ("/static/(.*)", tornado.web.StaticFileHandler, {"path": os.path.dirname(__file__)}),
        ]
    )


app = make()
