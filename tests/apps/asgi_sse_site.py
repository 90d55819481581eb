"""Server-sent events: subscribers, a publisher, and what became of the subscribers' generators."""

import asyncio

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route

QUEUES: set[asyncio.Queue[str]] = set()
ENDED: list[str] = []


async def events(request: Request) -> StreamingResponse:
    """An event for each word that is published, until somebody leaves."""

    async def produce():
        queue: asyncio.Queue[str] = asyncio.Queue()
        QUEUES.add(queue)
        number = int(request.headers.get("Last-Event-ID", "0"))
        how = "finished"
        try:
            yield "retry: 1000\n\n"
            while (word := await queue.get()) != "last":
                number += 1
                yield f"id: {number}\ndata: {word}\n\n"
        except BaseException as error:
            how = type(error).__name__
            raise
        finally:
            QUEUES.discard(queue)
            ENDED.append(how)

    return StreamingResponse(produce(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def polite(request: Request) -> StreamingResponse:
    """Asks again and again whether somebody still listens, and never sends more than the first event."""

    async def produce():
        yield "data: first\n\n"
        while not await request.is_disconnected():
            await asyncio.sleep(0.01)
        ENDED.append("noticed")

    return StreamingResponse(produce(), media_type="text/event-stream")


async def publish(request: Request) -> JSONResponse:
    word = (await request.body()).decode()
    for queue in QUEUES:
        queue.put_nowait(word)
    return JSONResponse(len(QUEUES))


async def report(_request: Request) -> JSONResponse:
    return JSONResponse({"open": len(QUEUES), "ended": ENDED})


async def index(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


app = Starlette(
    routes=[
        Route("/", index),
        Route("/events", events),
        Route("/polite", polite),
        Route("/publish", publish, methods=["POST"]),
        Route("/report", report),
    ]
)
