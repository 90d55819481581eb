"""An ASGI application that does at the worst moment what it may: each page says what.

A page that is called with `hostile` objects has code of its own run while the server looks at a message.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import resource
import tempfile
import threading
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

from asgi_recorder import Message, Receive, Scope, Send, answer, body, start
from asgiref.sync import iscoroutinefunction

Page = Callable[[Scope, Receive, Send], Awaitable[None]]
Call = Callable[[], None]
PAGES: dict[str, Page] = {}
TEXT = (b"content-type", b"text/plain")
START = {"type": "http.response.start", "status": 200, "headers": [TEXT]}
#: More than the buffers of a connection take.
LARGE = 12_000_000
LAST = {"type": "http.response.body", "body": b"last"}

_notes: list[dict[str, Any]] = []


def page(function: Page) -> Page:
    PAGES["/" + function.__name__.strip("_").replace("_", "-")] = function
    return function


def note(key: str, value: Any = None) -> None:
    _notes.append({key: value})


def argument(scope: Scope) -> str:
    text: str = scope["query_string"].decode("latin-1")
    return text


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        raise NotImplementedError
    if scope["path"] == "/seen":
        told = {"pid": os.getpid(), "requests": _notes[:]}
        _notes.clear()
        await answer(send, told)
    else:
        await PAGES[scope["path"]](scope, receive, send)


# -- foreign code while a message is handled


class Index:
    def __init__(self, call: Call) -> None:
        self.call = call

    def __index__(self) -> int:
        self.call()
        return 0


class Truth(Index):
    def __bool__(self) -> bool:
        self.call()
        return False


class Iterates(Index):
    def __iter__(self) -> Iterator[Any]:
        self.call()
        return iter([(b"x-a", b"b")])


class Links(Index):
    def __iter__(self) -> Iterator[bytes]:
        self.call()
        return iter([b"</a.css>; rel=preload"])


class Pair(list[bytes]):
    call: Call

    def __len__(self) -> int:
        self.call()
        return 2

    def __iter__(self) -> Iterator[bytes]:
        self.call()
        return iter((b"x-a", b"b"))


class TuplePair(tuple[bytes, bytes]):
    call: Call
    __len__ = Pair.__len__
    __iter__ = Pair.__iter__  # type: ignore[assignment]


class Data(bytes):
    call: Call

    def __bytes__(self) -> bytes:
        self.call()
        return b"other"

    def __len__(self) -> int:
        self.call()
        return 3


class Text(str):
    call: Call

    def __eq__(self, other: object) -> bool:
        self.call()
        return str.__eq__(self, other)

    def __hash__(self) -> int:
        self.call()
        return str.__hash__(self)

    def __fspath__(self) -> str:
        self.call()
        return str(self)


class Number(int):
    call: Call

    def __ge__(self, other: int) -> bool:
        self.call()
        return True

    __le__ = __gt__ = __lt__ = __ge__

    def __index__(self) -> int:
        self.call()
        return 200

    __int__ = __index__


class Message_(dict[str, Any]):  # noqa: N801 - a message, not the message type
    call: Call

    def keys(self) -> Any:
        self.call()
        return dict.keys(self)

    def get(self, key: str, default: Any = None) -> Any:
        self.call()
        return dict.get(self, key, default)

    def __getitem__(self, key: str) -> Any:
        self.call()
        return dict.__getitem__(self, key)


class File:
    def __init__(self, call: Call) -> None:
        self.call = call
        self.file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as this
        self.file.write(b"content")
        self.file.flush()
        self.file.seek(0)

    def fileno(self) -> int:
        self.call()
        return self.file.fileno()

    def tell(self) -> int:
        self.call()
        return 0

    def seek(self, to: int) -> int:
        self.call()
        return to


def _of(kind: Any, call: Call, *values: Any) -> Any:
    made = kind(*values)
    made.call = call
    return made


#: What holds the foreign code → the messages, of which one does.
HOSTILE: dict[str, Callable[[Call], list[Any]]] = {
    "offset": lambda call: [START, {**_span(), "offset": Index(call)}],
    "count": lambda call: [START, {**_span(), "count": Index(call)}],
    "more_body": lambda call: [START, {**LAST, "more_body": Truth(call)}],
    "more_body of a span": lambda call: [START, {**_span(), "more_body": Truth(call)}],
    "trailers": lambda call: [{**START, "trailers": Truth(call)}, LAST],
    "more_trailers": lambda call: [
        {**START, "trailers": True},
        LAST,
        {"type": "http.response.trailers", "headers": [], "more_trailers": Truth(call)},
    ],
    "headers": lambda call: [{**START, "headers": Iterates(call)}, LAST],
    "a pair": lambda call: [{**START, "headers": [_of(Pair, call, [b"x-a", b"b"])]}, LAST],
    "a tuple": lambda call: [{**START, "headers": [_of(TuplePair, call, (b"x-a", b"b"))]}, LAST],
    "a name": lambda call: [{**START, "headers": [(_of(Data, call, b"x-a"), _of(Data, call, b"b"))]}, LAST],
    "trailer pairs": lambda call: [
        {**START, "trailers": True},
        LAST,
        {"type": "http.response.trailers", "headers": [_of(Pair, call, [b"x-a", b"b"])]},
    ],
    "status": lambda call: [{**START, "status": _of(Number, call, 200)}, LAST],
    "body": lambda call: [START, {**LAST, "body": _of(Data, call, b"abc")}],
    "path": lambda call: [START, {"type": "http.response.pathsend", "path": _of(Text, call, __file__)}],
    "type": lambda call: [START, {**LAST, "type": _of(Text, call, "http.response.body")}],
    "a key": lambda call: [START, {"type": "http.response.body", _of(Text, call, "body"): b"abc"}],
    "a message": lambda call: [START, _of(Message_, call, LAST)],
    "a file": lambda call: [START, {"type": "http.response.zerocopysend", "file": File(call)}],
    "links": lambda call: [{"type": "http.response.early_hint", "links": Links(call)}, START, LAST],
}


def _span() -> Message:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the garbage collector closes it
    file.write(b"content")
    file.flush()
    return {"type": "http.response.zerocopysend", "file": file, "offset": 0}


@page
async def _calls_back(scope: Scope, receive: Receive, send: Send) -> None:
    """What holds foreign code; what it calls: `start`, `body` or `receive`; whether its error passes."""
    what, callback, passes = argument(scope).replace("%20", " ").split(";")
    armed = False

    def call() -> None:
        if not armed:
            return
        step = {"start": lambda: send(START), "body": lambda: send(LAST), "receive": receive}[callback]()
        try:
            step.send(None)  # type: ignore[attr-defined]  # the step of a coroutine, where no task may take it
        except (Exception, StopIteration) as error:
            note("called", type(error).__name__)
            if passes == "yes" and not isinstance(error, StopIteration):
                raise
        else:
            note("called", "waits")
            step.close()  # type: ignore[attr-defined]

    for message in HOSTILE[what](call):
        armed = True
        try:
            await send(message)
        finally:
            armed = False


class Cycle:
    """Garbage whose end sends."""

    def __init__(self, send: Send) -> None:
        self.itself, self.end = self, send

    def __del__(self) -> None:
        step = self.end(LAST)
        with suppress(Exception, StopIteration):
            step.send(None)  # type: ignore[attr-defined]
        step.close()  # type: ignore[attr-defined]


@page
async def _collects(_: Scope, __: Receive, send: Send) -> None:
    """The garbage collector runs wherever something is made, and finds what sends."""
    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for number in range(20):
            Cycle(send)
            if not number:
                await send({**START, "headers": [[b"x-a", b"b"], [b"x-c", b"d"]]})
            await body(send, b"piece;" * 2000, more=True)
        await body(send, b"last")
    finally:
        gc.set_threshold(*before)


# -- failures


@page
async def _no_memory(scope: Scope, _: Receive, send: Send) -> None:
    """One allocation fails: the n-th since the message was sent. Then another response is tried."""
    import _testcapi  # not every interpreter has it

    step, at = map(int, argument(scope).split(";"))
    messages = [
        START,
        {"type": "http.response.body", "body": b"a" * 100, "more_body": True},
        {"type": "http.response.body", "body": b"b" * LARGE, "more_body": True},
        {**_span(), "more_body": True},
        LAST,
    ]
    for number, message in enumerate(messages):
        sending = send(message)
        if number != step:
            await sending
            continue
        try:
            step_of = sending.send  # type: ignore[attr-defined]  # not by `await`: the loop would run short of memory too
            _testcapi.set_nomemory(at, at + 1)
            try:
                step_of(None)
            finally:
                _testcapi.remove_mem_hooks()
            await sending
        except StopIteration:
            continue
        except MemoryError:
            note("failed")
            break
    else:
        return
    await start(send, 503, TEXT)
    await body(send, b"instead")


@page
async def _no_descriptors(scope: Scope, _: Receive, send: Send) -> None:
    """All but a few descriptors are taken when a file is to be sent. Then another response is tried."""
    how, left = argument(scope).split(";")
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"content")
        file.flush()
        await send(START)
        held = _all_descriptors()
        for _ in range(int(left)):
            os.close(held.pop())
        message: Message = {"type": "http.response.zerocopysend", "file": file.file, "offset": 0}
        if how == "path":
            message = {"type": "http.response.pathsend", "path": file.name}
        try:
            try:
                await send(message)
            finally:
                for descriptor in held:
                    os.close(descriptor)
                hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
                resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except OSError:
            note("failed")
            with suppress(Exception):
                await start(send, 503, TEXT)
            await body(send, b"instead")


def _all_descriptors() -> list[int]:
    """All below a limit that is lowered for it."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(name) for name in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 8, limits[1]))
    held = []
    with suppress(OSError):
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    return held


# -- what it was given


class Key(str):
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("a key was looked at")

    __hash__ = str.__hash__


def pollute(scope: Scope, how: str) -> None:
    """Leave nothing of what the server has given as it was."""
    if how == "clears":
        for value in scope.values():
            if isinstance(value, (dict, list)):
                value.clear()
        scope.clear()
    elif how == "replaces":
        for name in list(scope):
            scope[name] = object()
    elif how == "lists":
        scope["headers"][:] = [None, 1, (b"a",), object(), [Text("x"), Text("y")], ("a", "b")]
        scope["client"] = scope["server"] = (object(), object())
    else:
        scope.clear()
        for name in ("headers", "method", "path", "type", "extensions", "client"):
            scope[Key(name)] = Key(name)


@page
async def _pollutes(scope: Scope, receive: Receive, send: Send) -> None:
    """How; then it answers with trailers, or raises."""
    how, end = argument(scope).split(";")
    is_socket = scope["type"] == "websocket"
    pollute(scope, how)
    if is_socket:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
    if end == "raises":
        raise ValueError("polluted")
    if is_socket:
        return
    await send({**START, "trailers": True})
    await send(LAST)
    await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]})


# -- send() and receive() as functions


@page
async def _kinds(_: Scope, receive: Receive, send: Send) -> None:
    """What they are, and what they return."""
    message = {"type": "http.response.body", "body": b"never", "more_body": True}
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        send(message)
        send(message).close()  # type: ignore[attr-defined]
        receive()
        gc.collect()
    made = [send(START), receive()]
    told = [
        *[
            test(function)
            for function in (send, receive)
            for test in (inspect.iscoroutinefunction, asyncio.iscoroutinefunction, iscoroutinefunction)
        ],
        *map(asyncio.iscoroutine, made),
        sorted(str(warning.message) for warning in warned),
    ]
    for awaitable in made:
        awaitable.close()  # type: ignore[attr-defined]
    await asyncio.create_task(send(START))  # type: ignore[arg-type]
    await asyncio.ensure_future(send({**message, "body": repr(told).encode()}))
    await asyncio.gather(send({**message, "body": b"\n"}), asyncio.sleep(0))
    task = asyncio.create_task(send(message))  # type: ignore[arg-type]  # it is cancelled before its first step
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await asyncio.wait_for(send({"type": "http.response.body", "body": b"end"}), 5)


@page
async def _from_a_thread(_: Scope, __: Receive, send: Send) -> None:
    """As a thread has to do it."""
    loop = asyncio.get_running_loop()
    threads = []

    def work() -> None:
        for message in (START, {**LAST, "body": b"x" * 300_000, "more_body": True}, LAST):
            asyncio.run_coroutine_threadsafe(send(message), loop).result(5)  # type: ignore[arg-type]
        threads.append(threading.get_ident())

    await asyncio.to_thread(work)


@page
async def _in_a_thread(_: Scope, receive: Receive, send: Send) -> None:
    """As a thread must not do it: an event loop of its own."""

    def work(make: Callable[[], Any]) -> str:
        async def main() -> None:
            await make()

        try:
            asyncio.run(main())
        except RuntimeError as error:
            return str(error)
        return "nothing was said"

    told = [await asyncio.to_thread(work, make) for make in (lambda: send(START), receive)]
    await start(send, 200, TEXT)
    await body(send, "\n".join(told).encode())
