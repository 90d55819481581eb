"""A small FastAPI application: `tricorn --chdir examples fastapi_app:app`.

Notes as JSON; a WebSocket tells each change of them. What it serves is described at /docs.
"""

import asyncio
import contextlib
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request, WebSocket
from pydantic import BaseModel, Field


class Note(BaseModel):
    text: str = Field(min_length=1, max_length=1000)
    done: bool = False


class Notebook:
    """The notes of this process, and those who watch them."""

    def __init__(self):
        self.notes: dict[int, Note] = {}
        self.watchers: set[asyncio.Queue] = set()

    def put(self, number: int, note: Note):
        self.notes[number] = note
        for queue in self.watchers:
            queue.put_nowait({"number": number, **note.model_dump()})

    @contextlib.contextmanager
    def watch(self):
        queue = asyncio.Queue()
        self.watchers.add(queue)
        try:
            yield queue
        finally:
            self.watchers.discard(queue)


@contextlib.asynccontextmanager
async def lifespan(_app):
    """What is yielded is there for each request, as `request.state`."""
    yield {"notebook": Notebook()}


async def notebook(request: Request) -> Notebook:
    return request.state.notebook


app = FastAPI(title="Notes", lifespan=lifespan)


@app.get("/")
async def index() -> dict[str, str]:
    return {"message": "Hello from FastAPI!"}


@app.get("/notes")
async def all_notes(book: Annotated[Notebook, Depends(notebook)]) -> dict[int, Note]:
    return book.notes


@app.put("/notes/{number}")
async def put_note(number: int, note: Note, book: Annotated[Notebook, Depends(notebook)]) -> Note:
    book.put(number, note)
    return note


@app.get("/notes/{number}")
async def one_note(number: int, book: Annotated[Notebook, Depends(notebook)]) -> Note:
    if number not in book.notes:
        raise HTTPException(404, f"There is no note {number}.")
    return book.notes[number]


@app.websocket("/changes")
async def changes(websocket: WebSocket):
    await websocket.accept()
    with websocket.state.notebook.watch() as queue:

        async def tell():
            while True:
                await websocket.send_json(await queue.get())

        teller = asyncio.create_task(tell())
        try:
            async for _ in websocket.iter_text():  # a watcher has nothing to say; this ends when it leaves
                continue
        finally:
            teller.cancel()
