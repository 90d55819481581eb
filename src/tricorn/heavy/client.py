"""How a request calls a heavy application and gets what comes back: one connection for each call.

    client = get_dirty_client()
    total = client.execute("reports:Reports", "total", 2026)
    for row in client.stream("reports:Reports", "rows", 2026): ...

    client = await get_dirty_client_async()
    total = await client.execute_async("reports:Reports", "total", 2026)
    async for row in client.stream_async("reports:Reports", "rows", 2026): ...

A connection for each call costs 30 µs and makes all else simple: whoever stops waiting, for whatever reason,
closes it, which is how the worker hears of it; a worker that ends closes it, which is how the caller does;
and who reads slowly fills it, which holds the worker up.

`socket` is looked up when it is needed: where gevent or Eventlet have put their own in its place, a greenlet
waits and not the thread. A thread waits in slices, so that an exception that the server raises in it (its
request has taken too long) arrives; between them it asks whether the client of its request has left.

Knows: connections, messages, errors. Must not know: who takes the call, processes.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from time import monotonic, monotonic_ns
from types import TracebackType
from typing import Any, TypeVar

from tricorn.heavy import directory, messages, queues
from tricorn.heavy.directory import Place
from tricorn.heavy.errors import (
    CallCancelledError,
    DirtyConnectionError,
    DirtyError,
    DirtyNoWorkersAvailableError,
    DirtyProtocolError,
    DirtyQueueFullError,
    DirtyTimeoutError,
    DirtyWorkerError,
)
from tricorn.heavy.messages import Kind
from tricorn.log.request_id import request_id

T = TypeVar("T")

#: How long a caller waits if it does not say, seconds, as in Gunicorn.
TIMEOUT = 30.0

#: How often a thread that waits comes back to the interpreter, seconds.
SLICE = 0.5

#: Of a message, how much is asked for at once, bytes.
STEP = 1 << 20


def _nobody_knows() -> bool:
    return False


class _Caller:
    """has_left: whether the client of the request that this thread serves has gone. gone: what is raised
    then."""

    has_left: Callable[[], bool] = staticmethod(_nobody_knows)
    gone: type[CallCancelledError] = CallCancelledError


def ask_before_waiting(has_left: Callable[[], bool], error: type[CallCancelledError]) -> None:
    """For this process: how one knows that the client of the calling thread's request has gone, and what the
    server wants raised then."""
    _Caller.has_left = staticmethod(has_left)
    _Caller.gone = error


class DirtyClient:
    """Calls heavy applications. It holds nothing open, and may be shared by threads and tasks.

    timeout: seconds that a call may take, the wait for a worker included, and that may pass between two
    pieces of a stream; None: any time.
    """

    def __init__(self, timeout: float | None = TIMEOUT) -> None:
        self.timeout = timeout

    # -- threads and greenlets -----------------------------------------------------------------------------

    def execute(self, app_path: str, action: str, *args: Any, **kwargs: Any) -> Any:
        """The result of the action. Raises DirtyError."""
        with _Connection(directory.place_of(app_path), self.timeout) as connection:
            connection.send(_call(action, args, kwargs))
            kind, payload = connection.receive()
        return _result(app_path, action, kind, payload)

    def stream(self, app_path: str, action: str, *args: Any, **kwargs: Any) -> Generator[Any, None, None]:
        """What the action yields, as it does. The call begins with the first piece, and ends when the
        iterator is closed. Raises DirtyError."""
        with _Connection(directory.place_of(app_path), self.timeout) as connection:
            connection.send(_call(action, args, kwargs))
            while True:
                kind, payload = connection.receive()
                if kind is not Kind.PIECE:
                    break
                yield messages.decoded(payload)
        yield from _rest(kind, payload)

    def close(self) -> None:
        """There is nothing to close; for programs that do."""

    def __enter__(self) -> DirtyClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- event loops ---------------------------------------------------------------------------------------

    async def execute_async(self, app_path: str, action: str, *args: Any, **kwargs: Any) -> Any:
        """As `execute`. A task that is cancelled cancels the call."""
        async with _LoopConnection(directory.place_of(app_path), self.timeout) as connection:
            await connection.send(_call(action, args, kwargs))
            kind, payload = await connection.receive()
        return _result(app_path, action, kind, payload)

    async def stream_async(
        self, app_path: str, action: str, *args: Any, **kwargs: Any
    ) -> AsyncGenerator[Any, None]:
        """As `stream`."""
        async with _LoopConnection(directory.place_of(app_path), self.timeout) as connection:
            await connection.send(_call(action, args, kwargs))
            while True:
                kind, payload = await connection.receive()
                if kind is not Kind.PIECE:
                    break
                yield messages.decoded(payload)
        for value in _rest(kind, payload):
            yield value

    async def close_async(self) -> None:
        """As `close`."""

    async def __aenter__(self) -> DirtyClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close_async()


def get_dirty_client(timeout: float | None = TIMEOUT) -> DirtyClient:
    """A client for threads and greenlets."""
    return DirtyClient(timeout)


async def get_dirty_client_async(timeout: float | None = TIMEOUT) -> DirtyClient:
    """A client for an event loop."""
    return DirtyClient(timeout)


def close_dirty_client() -> None:
    """There is nothing to close; for programs that do."""


async def close_dirty_client_async() -> None:
    """The same."""


# -- a call --------------------------------------------------------------------------------------------------


def _call(action: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    what = {
        "action": action,
        "args": args,
        "kwargs": kwargs,
        "request_id": request_id(),
        "asked_ns": monotonic_ns(),  # the same clock in all processes of a machine
    }
    return messages.framed(Kind.CALL, what)


def _result(app_path: str, action: str, kind: Kind, payload: bytes | bytearray) -> Any:
    if kind is Kind.RESULT:
        return messages.decoded(payload)
    if kind in (Kind.PIECE, Kind.END):
        raise DirtyWorkerError(f"{app_path}: {action} gives a stream; call it with stream(), not execute()")
    raise _error_of(kind, payload)


def _rest(kind: Kind, payload: bytes | bytearray) -> tuple[Any, ...]:
    """What the last message of a stream brings: an action that is none gives one piece. Raises DirtyError."""
    if kind is Kind.RESULT:
        return (messages.decoded(payload),)
    if kind is Kind.END:
        return ()
    raise _error_of(kind, payload)


def _error_of(kind: Kind, payload: bytes | bytearray) -> DirtyError:
    told = messages.decoded(payload)
    if kind is not Kind.ERROR or not isinstance(told, dict):
        return DirtyProtocolError()
    return DirtyError.from_dict(told)


def joined(place: Place) -> socket.socket:
    """A connection that waits in the queue of this application, and does not block. Raises DirtyError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        queues.connect(place.handle, sock)
    except BlockingIOError:
        sock.close()
        os.eventfd_write(place.refusals, 1)
        raise DirtyQueueFullError(
            place.app, f"too many calls wait for {place.app} already (dirty_max_queue)"
        ) from None
    except ConnectionRefusedError:
        sock.close()
        raise DirtyNoWorkersAvailableError(place.app) from None
    except OSError as error:
        sock.close()
        raise DirtyConnectionError(f"{place.app} cannot be reached: {error.strerror}") from error
    return sock


def _gone(place: Place) -> DirtyError:
    if place.standing.is_failing:
        return DirtyNoWorkersAvailableError(place.app)
    return DirtyWorkerError(f"the heavy worker that had the call of {place.app} has ended; the log says why")


def _late(place: Place, timeout: float | None) -> DirtyTimeoutError:
    return DirtyTimeoutError(f"{place.app} has not answered in {timeout:g} s", timeout)


class _Connection:
    """Of a thread or a greenlet."""

    def __init__(self, place: Place, timeout: float | None) -> None:
        self._place = place
        self._timeout = timeout
        self._begun = monotonic()
        self._socket = joined(place)
        # A client that has sent its request, and at once said that it sends nothing more, looks like one that
        # has left.
        self._asks = not _Caller.has_left()

    def __enter__(self) -> _Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, message: bytes) -> None:
        """Raises DirtyTimeoutError, DirtyWorkerError."""
        rest = memoryview(message)
        while rest:
            self._socket.settimeout(self._patience())
            try:
                rest = rest[self._socket.send(rest) :]
            except TimeoutError:
                self._check()
            except OSError:
                raise _gone(self._place) from None

    def receive(self) -> tuple[Kind, bytearray]:
        """The next message. Raises DirtyTimeoutError, DirtyWorkerError."""
        length, kind = messages.head_of(self._read(messages.HEAD.size))
        payload = self._read(length)
        self._begun = monotonic()  # of a stream each piece has its time
        return kind, payload

    def _read(self, length: int) -> bytearray:
        found = bytearray()
        while len(found) < length:
            self._socket.settimeout(self._patience())
            try:
                piece = self._socket.recv(min(length - len(found), STEP))
            except TimeoutError:
                self._check()
                continue
            except OSError:
                piece = b""
            if not piece:
                raise _gone(self._place)
            found += piece
        return found

    def _patience(self) -> float:
        if self._timeout is None:
            return SLICE
        # Never 0, which would mean something else to a socket.
        return min(SLICE, max(0.001, self._begun + self._timeout - monotonic()))

    def _check(self) -> None:
        if self._timeout is not None and monotonic() >= self._begun + self._timeout:
            raise _late(self._place, self._timeout)
        if self._asks and _Caller.has_left():
            raise _Caller.gone("the client of the request has left")


class _LoopConnection:
    """Of a task."""

    def __init__(self, place: Place, timeout: float | None) -> None:
        self._place = place
        self._timeout = timeout
        self._socket = joined(place)

    async def __aenter__(self) -> _LoopConnection:
        try:
            self._reader, self._writer = await asyncio.open_unix_connection(sock=self._socket)
        except BaseException:
            self._socket.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.transport.abort()

    async def send(self, message: bytes) -> None:
        self._writer.write(message)
        await self._in_time(self._writer.drain())

    async def receive(self) -> tuple[Kind, bytes]:
        return await self._in_time(self._message())

    async def _message(self) -> tuple[Kind, bytes]:
        length, kind = messages.head_of(await self._reader.readexactly(messages.HEAD.size))
        return kind, await self._reader.readexactly(length)

    async def _in_time(self, waiting: Awaitable[T]) -> T:
        try:
            # wait_for() forgets, before CPython 3.12, that it was cancelled if what it waits for is done.
            async with asyncio.timeout(self._timeout):
                return await waiting
        except TimeoutError:
            raise _late(self._place, self._timeout) from None
        except (asyncio.IncompleteReadError, OSError):
            raise _gone(self._place) from None
