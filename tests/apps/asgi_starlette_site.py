"""A Starlette application of which the tests ask what its server has to do for it."""

import asyncio
import contextlib

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.endpoints import WebSocketEndpoint
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect


@contextlib.asynccontextmanager
async def lifespan(_app):
    print("the site opens", flush=True)
    async with asyncio.TaskGroup() as group:  # a task that lives as long as the application
        clock = group.create_task(asyncio.Event().wait())
        yield {"greeting": "hello", "log": [], "gate": asyncio.Event(), "clock": clock}
        clock.cancel()
    print("the site closes", flush=True)


class Signature(BaseHTTPMiddleware):
    """Reads the body before the application does, and signs the response."""

    async def dispatch(self, request, call_next):
        size = len(await request.body())
        response = await call_next(request)
        response.headers["X-Signed"] = str(size)
        return response


class Witness:
    """Notes the messages by which the response was sent."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        async def noting(message):
            scope["state"]["log"].append(message["type"])
            await send(message)

        await self.app(scope, receive, noting)


class TeapotError(Exception):
    pass


async def index(_request):
    return PlainTextResponse("hello")


async def scope(request):
    return JSONResponse(
        {
            "path": request.scope["path"],
            "raw_path": request.scope["raw_path"].decode("ascii"),
            "root_path": request.scope["root_path"],
            "query": request.scope["query_string"].decode("ascii"),
            "parameters": request.query_params.multi_items(),
            "segment": request.path_params["segment"],
            "url": str(request.url),
            "client": list(request.scope["client"]),
            "fields": request.headers.items(),
            "extensions": sorted(request.scope.get("extensions", ())),
        }
    )


async def state(request):
    """The mapping is each request's own, the objects in it are everybody's."""
    was = request.state.greeting
    request.state.greeting = "changed"
    request.state.log.append(request.query_params.get("note"))
    return JSONResponse(
        {"greeting": was, "log": request.state.log, "clock ticks": not request.state.clock.done()}
    )


async def background(request):
    """The task ends when somebody has asked for `/release`."""

    async def wait():
        request.state.log.append("waiting")
        await request.state.gate.wait()
        request.state.log.append("released")

    return PlainTextResponse("accepted", background=BackgroundTask(wait))


async def release(request):
    request.state.gate.set()
    return PlainTextResponse("open")


async def echo(request):
    """The body, as it comes in."""
    return StreamingResponse(request.stream(), media_type="application/octet-stream")


async def sizes(request):
    """Of the pieces that the body came in."""
    return JSONResponse([len(piece) async for piece in request.stream()])


async def file(_request):
    return FileResponse(__file__, media_type="text/x-python")


async def sync_page(_request):
    return await asyncio.to_thread(lambda: PlainTextResponse("from a thread"))


async def teapot(_request):
    raise TeapotError


async def gone(_request):
    raise HTTPException(410, "gone for good", headers={"X-Since": "1999"})


async def breaks_midway(_request):
    async def pieces():
        yield "first"
        raise RuntimeError("broken midway")

    return StreamingResponse(pieces(), media_type="text/plain")


async def pages(request):
    return PlainTextResponse("a line of text\n" * int(request.query_params["lines"]))


class Echo(WebSocketEndpoint):
    async def on_receive(self, websocket, data):
        send = websocket.send_text if isinstance(data, str) else websocket.send_bytes
        await send(data)


async def about(websocket):
    """What the handshake said, and the lifespan's state, which WebSockets get too."""
    await websocket.accept(subprotocol="v2.about", headers=[(b"x-extra", b"from accept")])
    await websocket.send_json(
        {
            "subprotocols": websocket.scope["subprotocols"],
            "query": dict(websocket.query_params),
            "cookie": websocket.cookies.get("flavour"),
            "scheme": websocket.url.scheme,
            "greeting": websocket.state.greeting,
        }
    )
    await websocket.close(code=4321, reason="all told")


async def refuses(websocket):
    await websocket.close()


async def denies(websocket):
    await websocket.send_denial_response(PlainTextResponse("not you", 451, headers={"X-Why": "a rule"}))


async def waits(websocket):
    """Tells in the log how its client went."""
    await websocket.accept()
    try:
        await websocket.receive_text()
    except WebSocketDisconnect as end:
        websocket.state.log.append([end.code, end.reason])


async def counts(websocket):
    """A producer beside the receiver: numbers until the client says stop."""
    await websocket.accept()

    async def produce():
        number = 0
        while True:
            await websocket.send_json(number)
            number += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(produce())
    assert await websocket.receive_text() == "stop"
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await websocket.send_text("stopped")


async def websocket_fails(websocket):
    await websocket.accept()
    raise RuntimeError("a websocket that always fails")


signed = Starlette(
    routes=[Route("/echo", echo, methods=["POST"]), Route("/", index)], middleware=[Middleware(Signature)]
)
witnessed = Starlette(routes=[Route("/file", file)], middleware=[Middleware(Witness)])
zipped = Starlette(routes=[Route("/pages", pages)], middleware=[Middleware(GZipMiddleware)])

app = Starlette(
    lifespan=lifespan,
    exception_handlers={TeapotError: lambda _request, _error: PlainTextResponse("short and stout", 418)},
    routes=[
        Route("/", index),
        Route("/scope/{segment:path}", scope),
        Route("/state", state),
        Route("/background", background),
        Route("/release", release),
        Route("/echo", echo, methods=["POST"]),
        Route("/sizes", sizes, methods=["POST"]),
        Route("/thread", sync_page),
        Route("/teapot", teapot),
        Route("/gone", gone),
        Route("/breaks-midway", breaks_midway),
        Mount("/signed", signed),
        Mount("/zipped", zipped),
        Mount("/witnessed", witnessed),
        WebSocketRoute("/ws/echo", Echo),
        WebSocketRoute("/ws/about", about),
        WebSocketRoute("/ws/refuses", refuses),
        WebSocketRoute("/ws/denies", denies),
        WebSocketRoute("/ws/waits", waits),
        WebSocketRoute("/ws/counts", counts),
        WebSocketRoute("/ws/fails", websocket_fails),
    ],
)
