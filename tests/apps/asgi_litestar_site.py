"""A Litestar application: typed handlers, uploads, streams, events, WebSocket."""

import asyncio
import contextlib
import hashlib
from typing import Annotated

from litestar import Litestar, MediaType, Request, WebSocket, get, post, websocket, websocket_listener
from litestar.background_tasks import BackgroundTask
from litestar.datastructures import State, UploadFile
from litestar.enums import RequestEncodingType
from litestar.exceptions import NotAuthorizedException, WebSocketDisconnect
from litestar.params import Body
from litestar.response import Response, ServerSentEvent, Stream
from msgspec import Struct

Upload = Annotated[UploadFile, Body(media_type=RequestEncodingType.MULTI_PART)]


class Item(Struct):
    name: str
    price: float


@contextlib.asynccontextmanager
async def lifespan(app):
    app.state.log = ["open"]
    yield


@get("/", media_type=MediaType.TEXT)
async def index() -> str:
    return "hello"


@get("/log")
async def log(state: State) -> list[str]:
    return state.log


@post("/items")
async def add_item(data: Item) -> Item:
    return Item(data.name.upper(), data.price * 2)


@post("/upload")
async def upload(data: Upload) -> dict[str, str]:
    return {"name": data.filename, "sha256": hashlib.sha256(await data.read()).hexdigest()}


@post("/digest", media_type=MediaType.TEXT)
async def digest(request: Request) -> str:
    seen = hashlib.sha256()
    async for piece in request.stream():
        seen.update(piece)
    return seen.hexdigest()


@get("/stream")
async def stream(lines: int) -> Stream:
    async def produce():
        for number in range(lines):
            yield f"line {number}\n"

    return Stream(produce(), media_type="text/plain")


@get("/events")
async def events() -> ServerSentEvent:
    async def produce():
        for word in ("one", "two"):
            yield {"data": word, "event": "word"}
            await asyncio.sleep(0)

    return ServerSentEvent(produce())


@get("/thread", sync_to_thread=True, media_type=MediaType.TEXT)
def in_a_thread() -> str:
    return "from a thread"


@get("/later")
async def later(state: State) -> Response[str]:
    return Response("planned", background=BackgroundTask(state.log.append, "later"))


@get("/fails")
async def fails() -> None:
    raise RuntimeError("this handler always fails")


@websocket_listener("/ws/shout")
async def shout(data: str) -> str:
    return data.upper()


@websocket("/ws/echo")
async def echo(socket: WebSocket, state: State) -> None:
    await socket.accept(subprotocols=socket.scope["subprotocols"][-1])
    try:
        while True:
            await socket.send_bytes(await socket.receive_data("binary"))
    except WebSocketDisconnect as end:
        state.log.append(f"left with {end.code}")


@websocket("/ws/refuses")
async def refuses(socket: WebSocket) -> None:  # noqa: ARG001 - wanted by its name
    raise NotAuthorizedException


app = Litestar(
    lifespan=[lifespan],
    openapi_config=None,
    route_handlers=[
        index,
        log,
        add_item,
        upload,
        digest,
        stream,
        events,
        in_a_thread,
        later,
        fails,
        shout,
        echo,
        refuses,
    ],
)
