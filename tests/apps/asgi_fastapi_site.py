"""A FastAPI application: models in and out, dependencies with an end, uploads, streams, WebSocket."""

import asyncio
import contextlib
import hashlib
from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI, File, Form, HTTPException, UploadFile, WebSocket
from fastapi.responses import PlainTextResponse, StreamingResponse
from pydantic import BaseModel, Field
from starlette.websockets import WebSocketDisconnect

STEPS: list[str] = []  # what happened, in order


class Item(BaseModel):
    name: str = Field(min_length=1)
    price: float = Field(gt=0)
    tags: list[str] = []


@contextlib.asynccontextmanager
async def lifespan(app):
    app.state.items = {}
    yield


app = FastAPI(lifespan=lifespan)


async def unit_of_work():
    """Open while the request runs; ends in its own way when the handler failed."""
    STEPS.append("open")
    try:
        yield STEPS
    except HTTPException:
        STEPS.append("rolled back")
        raise
    else:
        STEPS.append("committed")


Unit = Annotated[list, Depends(unit_of_work)]


@app.get("/", response_class=PlainTextResponse)
async def index():
    return "hello"


@app.put("/items/{number}", status_code=201)
async def put_item(number: int, item: Item, unit: Unit) -> Item:
    unit.append(f"put {number}")
    app.state.items[number] = item
    return item


@app.get("/items/{number}")
async def get_item(number: int, unit: Unit) -> Item:
    unit.append(f"get {number}")
    if number not in app.state.items:
        raise HTTPException(404, f"no item {number}")
    return app.state.items[number]


@app.delete("/items/{number}", status_code=204)
def delete_item(number: int):
    """Not a coroutine: it runs in a thread."""
    del app.state.items[number]


@app.get("/steps")
async def steps() -> list[str]:
    taken = STEPS.copy()
    STEPS.clear()
    return taken


@app.post("/upload")
async def upload(file: Annotated[UploadFile, File()], note: Annotated[str, Form()]):
    content = await file.read()
    return {
        "name": file.filename,
        "size": file.size,
        "sha256": hashlib.sha256(content).hexdigest(),
        "note": note,
    }


@app.get("/stream")
async def stream(lines: int):
    async def produce():
        for number in range(lines):
            yield f"line {number}\n"
            await asyncio.sleep(0)

    return StreamingResponse(produce(), media_type="text/plain")


@app.post("/later")
async def later(tasks: BackgroundTasks, words: list[str]):
    for word in words:
        tasks.add_task(STEPS.append, f"later: {word}")
    return {"planned": len(words)}


@app.get("/fails")
async def fails(unit: Unit):
    raise RuntimeError(f"this handler always fails after {len(unit)} steps")


@app.websocket("/ws/{room}")
async def room(websocket: WebSocket, room: str, unit: Unit):
    """Validates each message as an item, and says what it thinks of it."""
    await websocket.accept()
    try:
        while True:
            item = Item.model_validate(await websocket.receive_json())
            await websocket.send_json({"room": room, "total": item.price, "tags": len(item.tags)})
    except WebSocketDisconnect as end:
        unit.append(f"left with {end.code}")
