"""An ASGI application for what WSGI has no word for: messages in time, disconnects, tasks, the scope itself.

A page waits for a gate (`await gate(name)`) until the test opens it with `GET /open?NAME`, and tells the test
what happened to it with `note(key, value)`; the notes are the `requests` of `GET /seen`. Each page says what
it does. The lifespan gives `state`; its own behaviour is the subject of `asgi_lifespan.py`.
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
import gc
import itertools
import json
import os
import pickle
import tempfile
import time
from collections import UserDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
from asgi_recorder import Message, Receive, Scope, Send, answer, body, read_body, start

Page = Callable[[Scope, Receive, Send], Awaitable[None]]

PAGES: dict[str, Page] = {}
TEXT = (b"content-type", b"text/plain")
PIECE = 65536
LONGEST = 30.0  # a test that fails must not leave tasks waiting for ever
FILE = bytes(range(256)) * 40

_notes: list[dict[str, Any]] = []
_gates: dict[str, asyncio.Event] = {}
_background: set[asyncio.Task[None]] = set()
VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="unset")
_numbers = itertools.count(1)


def page(function: Page) -> Page:
    PAGES["/" + function.__name__.strip("_").replace("_", "-")] = function
    return function


def note(key: str, value: Any = None) -> None:
    _notes.append({key: value})


async def gate(name: str) -> None:
    await asyncio.wait_for(_gates.setdefault(name, asyncio.Event()).wait(), LONGEST)


def argument(scope: Scope) -> str:
    text: str = scope["query_string"].decode("latin-1")
    return text


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(scope, receive, send)
    elif scope["path"] == "/seen":
        told = {"pid": os.getpid(), "requests": _notes[:]}
        _notes.clear()
        await answer(send, told)
    elif scope["path"] == "/open":
        _gates.setdefault(argument(scope), asyncio.Event()).set()
        await answer(send, "open")
    else:
        await PAGES[scope["path"]](scope, receive, send)


async def _lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            scope["state"].update(number=1, shared=[])
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def plain(send: Send, text: str) -> None:
    await start(send, 200, TEXT)
    await body(send, text.encode("utf-8"))


# -- the scope


@page
async def _scope(scope: Scope, _: Receive, send: Send) -> None:
    """The scope as a Python literal."""
    await plain(send, repr(scope))


PAGES["/caf\xe9 \N{SNOWMAN}"] = PAGES["/caf\xe9 \xff"] = PAGES["/app/scope"] = PAGES["/scope"]
PAGES["*"] = PAGES["/scope/"] = PAGES["/"] = PAGES["/scope"]


@page
async def _changes_scope(scope: Scope, _: Receive, send: Send) -> None:
    """Leaves its marks wherever it can; says whether it found any."""
    clean = (
        "mark" not in scope and "mark" not in scope["extensions"] and (b"mark", b"") not in scope["headers"]
    )
    scope["mark"] = scope["extensions"]["mark"] = True
    scope["headers"].append((b"mark", b""))
    await plain(send, "clean" if clean else "marked")


@page
async def _changes_extensions(scope: Scope, _: Receive, send: Send) -> None:
    """Leaves its mark in each extension, in whatever way it is let; says whether it found one.

    But for `tls`, which is each request's own: `asgi_secured.py` spoils it.
    """
    extensions = scope["extensions"]
    extensions.pop("tls", None)
    found = [name for name, offered in extensions.items() if offered or name == "mark"]
    for name, offered in list(extensions.items()):
        for change in CHANGES:
            with suppress(TypeError):
                change(offered)
        found += [name] if offered or offered != {} or json.dumps(offered) != "{}" else []
        extensions[name] = copy.deepcopy(offered) | copy.copy(offered)
        extensions[name]["mark"] = pickle.loads(pickle.dumps(offered))["mark"] = True
    extensions["mark"] = {"mark": True}
    await plain(send, f"marked {found}" if found else "clean")


@page
async def _spells(scope: Scope, _: Receive, send: Send) -> None:
    """A response whose messages have keys of other kinds than a dict display."""
    spell = SPELLINGS[argument(scope)]
    await send(spell({"type": "http.response.start", "status": 201, "headers": [TEXT], "trailers": False}))
    await send(spell({"type": "http.response.body", "body": b"sp", "more_body": True}))
    await send(spell({"type": "http.response.body", "body": b"elt"}))


class Spelt(str):
    """Equal to the text that it is made of, and no str of the interpreter's."""

    def __hash__(self) -> int:
        return str.__hash__(self)

    def __eq__(self, other: object) -> bool:
        gc.collect(0)
        return str.__eq__(self, other) is True


SPELLINGS: dict[str, Callable[[Message], Any]] = {
    "computed": lambda message: {"".join([*key]): value for key, value in message.items()},
    "read": lambda message: {key.encode().decode(): value for key, value in message.items()},
    "subclass": lambda message: {Spelt(key): value for key, value in message.items()},
    "more": lambda message: {None: 1, 5: 2, "unknown": 3, **message, ("a", "pair"): 4},
    "backwards": lambda message: dict(reversed(message.items())),
    "mapping": UserDict,
    "pairs": lambda message: [*message.items()],
}

CHANGES: tuple[Callable[[dict[str, Any]], object], ...] = (
    lambda offered: offered.__setitem__("mark", True),
    lambda offered: offered.setdefault("mark", True),
    lambda offered: offered.update(mark=True),
    lambda offered: offered.__ior__({"mark": True}),
)


@page
async def _socket_scope(scope: Scope, _: Receive, send: Send) -> None:
    """The scope of a WebSocket as a Python literal, in a refusal."""
    await send({"type": "websocket.http.response.start", "status": 403, "headers": [TEXT]})
    await send({"type": "websocket.http.response.body", "body": repr(scope).encode()})


@page
async def _state(scope: Scope, _: Receive, send: Send) -> None:
    """Counts in a copy of its own and in an object that all share."""
    state = scope["state"]
    state["number"] += 1
    state["shared"].append(0)
    await plain(send, json.dumps([state["number"], len(state["shared"])]))


@page
async def _loop(_: Scope, __: Receive, send: Send) -> None:
    kind = type(asyncio.get_running_loop())
    await plain(send, f"{kind.__module__}.{kind.__qualname__}")


@page
async def _objects(_: Scope, __: Receive, send: Send) -> None:
    """How many objects the collector knows."""
    gc.collect()
    await plain(send, str(len(gc.get_objects())))


# -- the body of the request


@page
async def _reads_late(scope: Scope, receive: Receive, send: Send) -> None:
    """Waits for the gate, then reads the body and answers with its length and its pieces' greatest."""
    note("entered")
    await gate(argument(scope))
    size = greatest = 0
    more = True
    while more:
        message = await receive()
        assert message["type"] == "http.request", message
        size += len(message["body"])
        greatest = max(greatest, len(message["body"]))
        more = message["more_body"]
    await plain(send, f"{size} {greatest}")


@page
async def _reads_pieces(_: Scope, receive: Receive, send: Send) -> None:
    """Notes each message of the body as it comes."""
    note("entered")
    more = True
    while more:
        message = await receive()
        note("message", {**message, "body": message.get("body", b"").decode("latin-1")})
        more = message.get("more_body", False)
    await plain(send, "read")


@page
async def _answers_first(scope: Scope, receive: Receive, send: Send) -> None:
    """A whole response, then the body."""
    await plain(send, "answered")
    await gate(argument(scope))
    note("message", (await receive())["type"])


# -- the response


@page
async def _event_stream(scope: Scope, _: Receive, send: Send) -> None:
    """The start; an event once the gate is open; the end once the second is."""
    await start(send, 200, (b"content-type", b"text/event-stream"))
    await gate(argument(scope) + "1")
    await body(send, b"data: 1\n\n", more=True)
    await gate(argument(scope) + "2")
    await body(send, b"data: 2\n\n")


@page
async def _download(scope: Scope, _: Receive, send: Send) -> None:
    """So many bytes, piece by piece; notes how much was taken when the first send() had to wait."""
    size = int(argument(scope))
    await start(send, 200, TEXT, (b"content-length", b"%d" % size))
    noted = False
    for at in range(0, size, PIECE):
        piece = b"d" * min(PIECE, size - at)
        sending = asyncio.ensure_future(
            send({"type": "http.response.body", "body": piece, "more_body": at + PIECE < size})
        )
        _, pending = await asyncio.wait({sending}, timeout=LONGEST if noted else 0.2)
        if pending and not noted:
            note("waits", at)
            noted = True
        await sending
    note("sent", size)


@page
async def _hint(_: Scope, __: Receive, send: Send) -> None:
    """Two early hints, the second on its own; then the response."""
    for links in ([b"</a.css>; rel=preload", b"</b.js>; rel=preload"], [b"</c.png>; rel=preload"]):
        await send({"type": "http.response.early_hint", "links": links})
    await plain(send, "hinted")


@page
async def _informational(_: Scope, __: Receive, send: Send) -> None:
    """An early hint in Gunicorn's words, between responses that are for the server to send."""
    interim = "http.response.informational"
    await send({"type": interim, "status": 102, "headers": []})
    await send(
        {"type": interim, "status": 103, "headers": [(b"link", b"</a.css>; rel=preload"), (b"x-a", b"b")]}
    )
    await send({"type": interim, "status": 100})
    await plain(send, "informed")


@page
async def _trailers(_: Scope, __: Receive, send: Send) -> None:
    """A body in two pieces and trailers in two messages, whether or not they were offered."""
    await start(send, 200, TEXT, (b"trailer", b"x-sum, x-more"), trailers=True)
    await body(send, b"fir", more=True)
    await body(send, b"st")
    trailers = "http.response.trailers"
    await send({"type": trailers, "headers": [(b"x-sum", b"1")], "more_trailers": True})
    await send({"type": trailers, "headers": [(b"x-more", b"2")], "more_trailers": False})


@page
async def _bad_trailer(_: Scope, __: Receive, send: Send) -> None:
    await start(send, 200, TEXT, trailers=True)
    await body(send, b"first")
    await send({"type": "http.response.trailers", "headers": [(b"x-bad", b"a\r\n\r\ns3cr3t")]})


@page
async def _no_trailers(_: Scope, __: Receive, send: Send) -> None:
    """They were promised."""
    await start(send, 200, TEXT, trailers=True)
    await body(send, b"first")


@page
async def _copy(scope: Scope, _: Receive, send: Send) -> None:
    """FILE in steps: ["copy", offset, count] or a text. The last ends the body. The query is JSON in hex."""
    steps = json.loads(bytes.fromhex(argument(scope)))
    with tempfile.TemporaryFile() as file:
        file.write(FILE)
        file.seek(steps.pop(0))
        await start(send, 200, TEXT)
        for number, step in enumerate(steps, 1):
            more = number < len(steps)
            if isinstance(step, str):
                await body(send, step.encode(), more=more)
            else:
                await send(_zerocopy(file, *step[1:], more=more))


def _zerocopy(file: Any, offset: int | None, count: int | None, *, more: bool) -> Message:
    message = {"type": "http.response.zerocopysend", "file": file, "more_body": more}
    if offset is not None:
        message["offset"] = offset
    if count is not None:
        message["count"] = count
    return message


@page
async def _copy_large(scope: Scope, _: Receive, send: Send) -> None:
    """A file of so many bytes, with a length of its own; notes when it has been taken."""
    size = int(argument(scope))
    with tempfile.TemporaryFile() as file:
        file.truncate(size)
        await start(send, 200, TEXT, (b"content-length", b"%d" % size))
        await send(_zerocopy(file, 0, size, more=False))
        note("sent", size)


@page
async def _copy_often(scope: Scope, _: Receive, send: Send) -> None:
    """So many spans of one file."""
    with tempfile.TemporaryFile() as file:
        file.write(FILE)
        await start(send, 200, TEXT)
        for _ in range(int(argument(scope))):
            await send(_zerocopy(file, 0, 5000, more=True))
        await body(send, b"")


@page
async def _path(scope: Scope, _: Receive, send: Send) -> None:
    """The file of that name."""
    await start(send, 200, TEXT)
    await send({"type": "http.response.pathsend", "path": argument(scope)})


# -- the end of the request


@page
async def _blocks_the_loop(scope: Scope, _: Receive, send: Send) -> None:
    """For a second; the file says that it has begun."""
    Path(argument(scope)).touch()
    time.sleep(1)
    await plain(send, "unblocked")


@page
async def _echo_socket(_: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


@page
async def _blocks_first(scope: Scope, _: Receive, send: Send) -> None:
    """In its first step: blocks until the file is there, sends to a client that has gone. Then it waits."""
    go_on = Path(argument(scope))
    go_on.with_suffix(".in").touch()
    while not go_on.exists():
        time.sleep(0.002)
    await start(send, 200, TEXT)
    try:
        with suppress(OSError):
            for _ in range(4):
                await body(send, b"x" * 600_000, more=True)
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        note("cancelled")
        raise


@page
async def _disconnect(_: Scope, receive: Receive, send: Send) -> None:
    """Waits for what comes behind the body; then what send() says to it, and receive() once more."""
    await read_body(receive)
    note("entered")
    note("message", await receive())
    try:
        await start(send, 200, TEXT)
        await body(send, b"to nobody")
    except OSError as error:
        note("error", type(error).__name__)
    note("again", await receive())


@page
async def _stream_and_listen(scope: Scope, receive: Receive, send: Send) -> None:
    """As Starlette's StreamingResponse does it: whichever of the two tasks ends first stops the other."""
    await read_body(receive)
    async with anyio.create_task_group() as group:

        async def first_of_two(task: Callable[[], Awaitable[None]]) -> None:
            try:
                await task()
            finally:
                note("over", task.__name__)
            group.cancel_scope.cancel()

        async def listen() -> None:
            while (await receive())["type"] != "http.disconnect":
                continue

        async def stream() -> None:
            await start(send, 200, TEXT)
            for _ in range(3):
                await body(send, b"piece;", more=True)
            await gate(argument(scope))
            await body(send, b"last")

        group.start_soon(first_of_two, listen)
        await first_of_two(stream)


@page
async def _ignores_disconnect(scope: Scope, receive: Receive, _: Send) -> None:
    """Goes on when the client has gone: noted is how it was made to stop, and when."""
    await read_body(receive)
    note("entered")
    note("message", (await receive())["type"])
    begin = time.monotonic()
    try:
        await gate(argument(scope))
    except asyncio.CancelledError:
        note("cancelled", time.monotonic() - begin)
        raise
    note("finished")


@page
async def _never_asks(scope: Scope, _: Receive, send: Send) -> None:
    """Streams and never calls receive(): noted is how it was made to stop."""
    await start(send, 200, TEXT)
    await body(send, b"first;", more=True)
    try:
        await gate(argument(scope))
        for _ in range(1000):
            await body(send, b"more;", more=True)
            await asyncio.sleep(0.001)
    except BaseException as error:
        note("stopped", [base.__name__ for base in type(error).__mro__])
        raise


@page
async def _ignores_cancel(scope: Scope, receive: Receive, _: Send) -> None:
    """Takes no notice of being cancelled until the gate is open."""
    await read_body(receive)
    note("entered")
    opened = False
    while not opened:
        try:
            await gate(argument(scope))
            opened = True
        except asyncio.CancelledError:
            note("cancelled")
    note("finished")


@page
async def _background_task(scope: Scope, receive: Receive, send: Send) -> None:
    """Goes on behind the response."""
    await read_body(receive)
    await plain(send, "answered")
    await gate(argument(scope))
    note("finished", argument(scope))


@page
async def _fails_behind(scope: Scope, _: Receive, send: Send) -> None:
    """Raises behind the response."""
    await plain(send, "answered")
    await gate(argument(scope))
    raise RuntimeError("behind the response")


@page
async def _waits(scope: Scope, receive: Receive, send: Send) -> None:
    await read_body(receive)
    note("entered")
    await gate(argument(scope))
    await plain(send, "waited")


@page
async def _quick(_: Scope, __: Receive, send: Send) -> None:
    note("quick")
    await plain(send, "quick")


# -- contexts and tasks


@page
async def _context(_: Scope, receive: Receive, send: Send) -> None:
    """What an earlier request has left in the variable."""
    found = VARIABLE.get()
    VARIABLE.set(f"request {next(_numbers)}")
    await read_body(receive)
    await asyncio.sleep(0)
    await plain(send, found)


class _Application:
    """An application that is an object, and whose call already runs code before it returns the awaitable."""

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http" and scope["path"] == "/context":
            found = VARIABLE.get()
            VARIABLE.set(f"request {next(_numbers)}")
            return plain(send, found)
        return app(scope, receive, send)


application_object = _Application()


@page
async def _cancels_itself(_: Scope, __: Receive, ___: Send) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


@page
async def _raises_cancelled(_: Scope, __: Receive, ___: Send) -> None:
    raise asyncio.CancelledError


@page
async def _raises_group(_: Scope, __: Receive, ___: Send) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(_fail)
        await asyncio.sleep(LONGEST)


@page
async def _raises_cancelled_midway(_: Scope, __: Receive, send: Send) -> None:
    await start(send, 200, TEXT)
    await body(send, b"first", more=True)
    raise asyncio.CancelledError


async def _fail() -> None:
    raise RuntimeError("in a task of the application")


@page
async def _tool(scope: Scope, receive: Receive, send: Send) -> None:
    """One of TOOLS: it returns what must be true."""
    await plain(send, repr(await TOOLS[argument(scope)](receive, send)))


Tool = Callable[[Receive, Send], Awaitable[Any]]
TOOLS: dict[str, Tool] = {}


def tool(function: Tool) -> Tool:
    TOOLS[function.__name__.strip("_")] = function
    return function


@tool
async def _current_task(receive: Receive, _: Send) -> Any:
    """The same before and behind everything that may wait."""
    first = asyncio.current_task()
    await receive()
    second = asyncio.current_task()
    await asyncio.sleep(0)
    return first is not None and first is second is asyncio.current_task() and first in asyncio.all_tasks()


@tool
async def _timeout(receive: Receive, _: Send) -> Any:
    """A deadline on receive(), which has nothing more to say."""
    await receive()
    try:
        async with asyncio.timeout(0.05):
            await receive()
    except TimeoutError:
        return True
    return False


@tool
async def _wait_for(receive: Receive, _: Send) -> Any:
    await receive()
    for _ in range(3):
        try:
            await asyncio.wait_for(receive(), 0.02)
        except TimeoutError:
            continue
        return False
    return True


@tool
async def _move_on_after(receive: Receive, _: Send) -> Any:
    await receive()
    with anyio.move_on_after(0.05) as scope:
        await receive()
    return scope.cancelled_caught


@tool
async def _task_group(receive: Receive, _: Send) -> Any:
    """A task of its own reads the body, another cancels it afterwards."""
    got: list[str] = []

    async def read() -> None:
        got.append((await receive())["type"])
        await receive()
        got.append("not cancelled")

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        while not got:
            await asyncio.sleep(0)
        group.cancel_scope.cancel()
    return got == ["http.request"]


@tool
async def _asyncio_task_group(receive: Receive, _: Send) -> Any:
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(receive())  # type: ignore[arg-type]
        sleeping = group.create_task(asyncio.sleep(0, "slept"))
    return reading.result()["type"] == "http.request" and sleeping.result() == "slept"


@tool
async def _create_task(receive: Receive, _: Send) -> Any:
    message = await asyncio.create_task(receive())  # type: ignore[arg-type]
    return message["type"] == "http.request"


@tool
async def _ensure_future(receive: Receive, _: Send) -> Any:
    message = await asyncio.ensure_future(receive())
    return message["type"] == "http.request"


@tool
async def _wait(receive: Receive, _: Send) -> Any:
    """The first of two: once the body, then a sleep, while receive() goes on waiting and is cancelled."""
    first = asyncio.ensure_future(receive())
    long = asyncio.ensure_future(asyncio.sleep(LONGEST))
    done, _pending = await asyncio.wait({first, long}, return_when=asyncio.FIRST_COMPLETED)
    second = asyncio.ensure_future(receive())
    nap = asyncio.ensure_future(asyncio.sleep(0.02))
    slept, waiting = await asyncio.wait({second, nap}, return_when=asyncio.FIRST_COMPLETED)
    for task in _pending | waiting:
        task.cancel()
    with suppress(asyncio.CancelledError):
        await second
    return first in done and slept == {nap} and second.cancelled()


@tool
async def _gather(receive: Receive, _: Send) -> Any:
    message, slept = await asyncio.gather(receive(), asyncio.sleep(0, "slept"))
    return message["type"] == "http.request" and slept == "slept"


@tool
async def _shield(receive: Receive, _: Send) -> Any:
    message = await asyncio.shield(receive())
    return message["type"] == "http.request"


@tool
async def _two_receivers(receive: Receive, _: Send) -> Any:
    """Both wait behind the body; each can be cancelled on its own."""
    await receive()
    first, second = (asyncio.ensure_future(receive()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    alive = not second.done()
    second.cancel()
    await asyncio.wait({first, second})
    return first.cancelled() and second.cancelled() and alive


@tool
async def _nobody_awaits(receive: Receive, _: Send) -> Any:
    """Like a coroutine it does nothing by itself, and forgetting it hurts nobody."""
    unused = receive()
    close = getattr(unused, "close", None)
    if close is not None:
        close()
    return (await receive())["type"] == "http.request"


@tool
async def _thread(receive: Receive, _: Send) -> Any:
    await receive()
    return await asyncio.to_thread(lambda: True) and await anyio.to_thread.run_sync(lambda: True)


@tool
async def _thread_sends(receive: Receive, _: Send) -> Any:
    """A thread that has the loop call receive(): what synchronous frameworks under ASGI do."""
    loop = asyncio.get_running_loop()

    async def read() -> Message:
        return await receive()

    def call() -> Any:
        return asyncio.run_coroutine_threadsafe(read(), loop).result(5)

    return (await asyncio.to_thread(call))["type"] == "http.request"


@tool
async def _subtask_outlives(_: Receive, __: Send) -> Any:
    """A task that the application leaves behind is nobody's business."""

    async def later() -> None:
        await asyncio.sleep(0.02)
        note("subtask", "done")

    task = asyncio.create_task(later())
    _background.add(task)
    task.add_done_callback(_background.discard)
    return True


@tool
async def _context_of_tasks(receive: Receive, _: Send) -> Any:
    """A subtask sees the request's variables, the request not the subtask's."""
    VARIABLE.set("mine")

    async def look() -> str:
        found = VARIABLE.get()
        VARIABLE.set("its own")
        await receive()
        return found

    return await asyncio.create_task(look()) == "mine" and VARIABLE.get() == "mine"


@tool
async def _context_behind_waits(receive: Receive, _: Send) -> Any:
    """A variable that is set before a wait is there behind it, although the transport resumes the task."""
    token = VARIABLE.set("before")
    await receive()
    kept = VARIABLE.get() == "before"
    with suppress(TimeoutError):
        await asyncio.wait_for(receive(), 0.01)
    VARIABLE.reset(token)  # raises in another context
    return kept and VARIABLE.get() == "unset"
