"""A heavy worker at work: it takes calls from the queues of its applications, runs them, and answers.

    house (a thread)     accepts when an application thread is free, watches callers and time limits, beats
    application threads  read a call, run it, send what comes of it; the main thread is the first of them

With one thread everything of the application's, `init` and `close` too, runs in the main thread, where it was
imported: what belongs to one thread (an SQLite connection, a CUDA context, signal.signal) just works.

A call ends before it is done if its caller has gone (the connection is closed), or its time is over. Then an
exception is raised in its thread (PyThreadState_SetAsyncExc), once, and only while the application has
control; an async action has its task cancelled. The caller whose time is over has its answer at once,
although the thread may be in compiled code, where no exception arrives. A call that goes on for GRACE longer
than its time is stuck: the stacks are written, and the master is asked for another worker.

Knows: connections, messages, threads, applications as callables. Must not know: how they were loaded, the
master, signals.
"""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import faulthandler
import inspect
import logging
import math
import os
import select
import socket
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from queue import SimpleQueue
from time import monotonic, monotonic_ns
from typing import Any, Protocol

from tricorn.heavy import messages
from tricorn.heavy.errors import (
    CallCancelledError,
    CallStoppedError,
    CallTimedOutError,
    DirtyAppError,
    DirtyError,
    DirtyProtocolError,
    DirtyTimeoutError,
)
from tricorn.heavy.messages import Kind
from tricorn.log.exceptions import name_of
from tricorn.log.request_id import REQUEST_ID
from tricorn.records import dataclass, field

log = logging.getLogger("tricorn.error")

#: A caller sends its call at once. Until it has, this long, seconds.
READ_TIMEOUT = 10.0

#: How long a call may go on after it was told to end before it counts as stuck, seconds.
GRACE = 5.0

#: How long tasks that actions have left behind have to end with the worker, seconds.
LAST_TASKS = 1.0

#: How often the house looks around if nothing happens, seconds.
LOOK = 0.5

STEP = 1 << 20

App = Callable[..., Any]


class Counts(Protocol):
    """Of a row of the scoreboard: how many calls have ended well, have failed, were given up by their
    callers, took too long; how many run; how many have waited for a worker, and how long, all together."""

    accepted: int
    errors: int
    left: int
    refused: int
    running: int
    waits: int
    waited_ns: int


class Label(Protocol):
    """Of a cell of the scoreboard: what a thread is at."""

    def begin(self, method: str, target: str) -> None: ...
    def end(self) -> None: ...


class _CallerGoneError(Exception):
    """Nothing can be sent any more."""


@dataclass(eq=False)
class Call:
    """One call. taken_ns: when a worker has taken it, monotonic nanoseconds. due: when its time is over,
    monotonic seconds. ends: what it was told to end with."""

    app: str
    sock: socket.socket
    taken_ns: int = 0
    due: float = math.inf
    ends: type[CallStoppedError] | None = None
    what: str = ""
    #: The thread that has given control to the application, 0: none has.
    thread: int = 0
    #: Of an async action.
    future: Future[Any] | None = None
    is_answered: bool = False
    is_known_stuck: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)
    sending: threading.Lock = field(default_factory=threading.Lock)

    def enter(self) -> None:
        """The application has control from here on."""
        with self.lock:
            self.thread = threading.get_ident()

    def leave(self) -> None:
        """It has not. Twice: no matter. Whatever was raised in this thread for it and has not arrived yet is
        taken back."""
        with self.lock:
            if self.thread:
                self.thread = 0
                if self.ends is not None and self.future is None:
                    _raise_in(threading.get_ident(), None)

    def end(self, why: type[CallStoppedError]) -> None:
        """Tell it to end. The second time: nothing."""
        with self.lock:
            if self.ends is not None:
                return
            self.ends = why
            if self.future is not None:
                self.future.cancel()
            elif self.thread:
                _raise_in(self.thread, why)


def _raise_in(thread: int, kind: type[BaseException] | None) -> None:
    told = None if kind is None else ctypes.py_object(kind)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), told)


class Serving:
    """apps, queues: by the application's path. labels: one for each thread. timeout: of a call, seconds; 0:
    none. on_stuck: called when a call does not end. scarce: the applications that not all workers have. How
    long calls wait for these says nothing about how many workers there should be."""

    def __init__(
        self,
        apps: Mapping[str, App],
        queues: Mapping[str, socket.socket],
        labels: Sequence[Label],
        counts: Counts,
        timeout: float,
        on_stuck: Callable[[], None],
        scarce: Collection[str] = (),
    ) -> None:
        self._apps = apps
        self._queues = [(path, queues[path]) for path in apps]
        self._labels = labels
        self._counts = counts
        self._counting = threading.Lock()
        self._timeout = timeout or math.inf
        self._on_stuck = on_stuck
        self._scarce = scarce
        self._jobs: SimpleQueue[Call | None] = SimpleQueue()
        self._calls: set[Call] = set()
        self._free = len(labels)
        self._accepts = True
        self._wakes = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._loop = _Loop()

    # -- the application's threads -------------------------------------------------------------------------

    def start_others(self) -> None:
        """All threads but the first."""
        for label in self._labels[1:]:
            threading.Thread(target=self._work, args=(label,), name="tricorn-heavy", daemon=True).start()

    def work(self) -> None:
        """In the main thread, until `finish`."""
        self._work(self._labels[0])
        self._loop.join()

    def _work(self, label: Label) -> None:
        while (call := self._jobs.get()) is not None:
            try:
                self._serve(call, label)
            except Exception:
                log.exception("A heavy call failed in the server")
            finally:
                self._is_over(call)

    def _serve(self, call: Call, label: Label) -> None:
        try:
            what = _read(call.sock)
        except (OSError, DirtyError):
            return  # nobody who calls does that; who has gone wants no answer
        self._note_wait(call, what)
        call.what = f"{call.app} {what.action}"
        call.due = monotonic() + self._timeout
        label.begin(call.app, what.action)
        # What an action sets in its context is not seen by the next one.
        context = contextvars.copy_context()
        context.run(REQUEST_ID.set, what.request_id)
        try:
            outcome = context.run(self._run, call, what)
        finally:
            label.end()
        self._count(outcome)

    def _note_wait(self, call: Call, what: _What) -> None:
        if call.app not in self._scarce:
            self._count("waits")
            self._count("waited_ns", max(0, call.taken_ns - what.asked_ns))

    def _run(self, call: Call, what: _What) -> str:
        """The word of `Counts` that counts it."""
        try:
            try:
                call.enter()
                self._perform(call, what)
            finally:
                call.leave()
        except CallStoppedError:
            call.leave()
        except _CallerGoneError:
            call.end(CallCancelledError)
        except BaseException as error:  # noqa: BLE001 - the application's, whatever it is
            if not (isinstance(error, CancelledError) and call.ends is not None):
                self._failed(call, what, error)
                return "errors"
        else:
            return "accepted"
        return self._stopped(call)

    def _perform(self, call: Call, what: _What) -> None:
        """The last message is sent when the application has control no more: a caller that has its answer
        goes at once, and that ends nothing."""
        if call.ends is not None or _has_gone(call.sock):
            raise call.ends or CallCancelledError
        found = self._apps[call.app](what.action, *what.args, **what.kwargs)
        if inspect.iscoroutine(found):
            found = self._loop.run(call, found)
        if isinstance(found, Iterator):
            self._stream(call, found)
        elif isinstance(found, AsyncIterator):
            self._stream(call, self._loop.each(call, found))
        else:
            call.leave()
            self._send(call, Kind.RESULT, found)

    def _stream(self, call: Call, pieces: Iterator[Any]) -> None:
        try:
            for piece in pieces:
                self._send(call, Kind.PIECE, piece)
                call.due = monotonic() + self._timeout  # a stream may last; it must go on
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()
        call.leave()
        self._send(call, Kind.END)

    def _stopped(self, call: Call) -> str:
        if call.ends is CallTimedOutError:
            self._answer_late(call)
            return "refused"
        log.debug("%s was given up by its caller", call.what)
        return "left"

    def _failed(self, call: Call, what: _What, error: BaseException) -> None:
        told: DirtyError
        if isinstance(error, DirtyProtocolError):
            told = error  # the result cannot be sent
        else:
            text = "".join(traceback.format_exception(type(error), error, _below(error)))
            told = DirtyAppError(_text_of(error), call.app, what.action, text, name_of(error))
        log.warning("%s raised %s", call.what, name_of(error))
        with suppress(_CallerGoneError):
            self._send(call, Kind.ERROR, told.to_dict())

    def _send(self, call: Call, kind: Kind, value: object = None) -> None:
        frame = messages.framed(kind, value)
        with call.sending:
            if call.is_answered:
                raise _CallerGoneError
            try:
                call.sock.sendall(frame)
            except OSError:
                raise _CallerGoneError from None
            # Not before: an exception that ends the call may come in between, and then nothing was sent.
            call.is_answered = kind is not Kind.PIECE

    def _count(self, name: str, by: int = 1) -> None:
        with self._counting:
            setattr(self._counts, name, getattr(self._counts, name) + by)

    def _is_over(self, call: Call) -> None:
        with self._counting:
            self._calls.discard(call)
            self._free += 1
        self._count("running", -1)
        call.sock.close()
        self.wake()

    # -- the house -----------------------------------------------------------------------------------------

    @property
    def running(self) -> int:
        return len(self._calls)

    @property
    def is_stuck(self) -> bool:
        """All that runs was told to end long ago."""
        calls = self._snapshot()
        return bool(calls) and all(call.is_known_stuck for call in calls)

    def wake(self) -> None:
        """Have `look_around` come back."""
        with suppress(BlockingIOError):
            os.eventfd_write(self._wakes, 1)

    def look_around(self, others: Sequence[int]) -> None:
        """Wait until something happens, or it is time, and deal with calls. others: descriptors that have it
        come back too."""
        waiting = select.poll()
        for fd in (*others, self._wakes):
            waiting.register(fd, select.POLLIN)
        calls = {call.sock.fileno(): call for call in self._snapshot() if call.ends is None}
        calls.pop(-1, None)  # it is over by now
        for fd in calls:
            waiting.register(fd, select.POLLRDHUP)
        takes = self._accepts and self._free > 0
        for _, queue in self._queues if takes else ():
            waiting.register(queue.fileno(), select.POLLIN)
        soonest = min((call.due for call in calls.values()), default=math.inf)
        found = waiting.poll(max(0.0, min(LOOK, soonest - monotonic())) * 1000 + 1)
        ready = {fd for fd, _ in found}
        if self._wakes in ready:
            with suppress(BlockingIOError):
                os.eventfd_read(self._wakes)
        for fd in ready & calls.keys():
            calls[fd].end(CallCancelledError)
        if takes:
            self._take(ready)
        self._watch(monotonic())

    def _take(self, ready: set[int]) -> None:
        """In turn, so that the calls of one application do not keep those of another waiting."""
        for place, (path, queue) in enumerate(self._queues):
            if queue.fileno() in ready and self._free > 0:
                try:
                    sock, _ = queue.accept()
                except BlockingIOError:
                    continue  # another worker has it
                sock.setblocking(True)
                sock.settimeout(READ_TIMEOUT)
                call = Call(path, sock, monotonic_ns())
                with self._counting:
                    self._calls.add(call)
                    self._free -= 1
                self._count("running")
                self._jobs.put(call)
                if self._free == 0:
                    self._queues = [*self._queues[place + 1 :], *self._queues[: place + 1]]
                    return

    def _watch(self, now: float) -> None:
        for call in self._snapshot():
            if now >= call.due and call.ends is None:
                call.end(CallTimedOutError)
                log.warning("%s has taken longer than %g s (dirty_timeout)", call.what, self._timeout)
                self._answer_late(call)
            if now >= call.due + GRACE and not call.is_known_stuck:
                call.is_known_stuck = True
                log.error("%s does not end although it was told to; its worker is being replaced", call.what)
                faulthandler.dump_traceback(2, all_threads=True)
                self._on_stuck()

    def _answer_late(self, call: Call) -> None:
        """Once, by the house or by the thread, whoever is first. Whoever sends to a caller that does not read
        is woken."""
        if call.is_answered:
            return
        if call.sending.acquire(blocking=False):
            try:
                if call.is_answered:
                    return
                call.is_answered = True
                said = f"{call.what} has taken longer than {self._timeout:g} s (dirty_timeout)"
                error = DirtyTimeoutError(said, self._timeout)
                with suppress(OSError):
                    call.sock.settimeout(0.0)
                    call.sock.sendall(messages.framed(Kind.ERROR, error.to_dict()))
            finally:
                call.sending.release()
        with suppress(OSError):
            call.sock.shutdown(socket.SHUT_RDWR)

    def _snapshot(self) -> list[Call]:
        with self._counting:
            return list(self._calls)

    def stop_taking(self) -> None:
        """Whoever waits is left to other workers."""
        self._accepts = False

    def cut(self) -> None:
        """Whatever runs is to end."""
        for call in self._snapshot():
            call.end(CallCancelledError)

    def let_go(self) -> None:
        """In a process that an application forks: its callers are this one's."""
        for call in self._calls:
            call.sock.close()
        for _, queue in self._queues:
            queue.close()

    def finish(self) -> None:
        """The threads end when they have done what they have."""
        self._loop.stop()
        for _ in self._labels:
            self._jobs.put(None)


# -- what a call is ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _What:
    action: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    request_id: str
    asked_ns: int


def _read(sock: socket.socket) -> _What:
    """Raises OSError, DirtyError."""
    length, kind = messages.head_of(_exactly(sock, messages.HEAD.size))
    told = messages.decoded(_exactly(sock, length))
    sock.settimeout(None)
    match told:
        case {
            "action": str(action),
            "args": tuple(args),
            "kwargs": dict(kwargs),
            "request_id": str(name),
            "asked_ns": int(asked_ns),
        }:
            if kind is Kind.CALL:
                return _What(action, args, kwargs, name, asked_ns)
    raise ConnectionError("this is no call")


def _has_gone(sock: socket.socket) -> bool:
    """Whether the caller has closed its end: while it waited, perhaps, before anybody looked."""
    waiting = select.poll()
    waiting.register(sock.fileno(), select.POLLRDHUP)
    return bool(waiting.poll(0))


def _exactly(sock: socket.socket, length: int) -> bytearray:
    found = bytearray()
    while len(found) < length:
        piece = sock.recv(min(length - len(found), STEP))
        if not piece:
            raise ConnectionError("the caller has gone")
        found += piece
    return found


def _below(error: BaseException) -> Any:
    """The traceback without our own frames at its top."""
    step = error.__traceback__
    while step is not None and step.tb_frame.f_code.co_filename == __file__:
        step = step.tb_next
    return step


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - foreign code
        return name_of(error)


class _Loop:
    """The event loop of async actions, in a thread of its own that begins with the first one: so what they
    keep between calls (a client, a pool of connections) belongs to one loop."""

    def __init__(self) -> None:
        self._made = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(self, call: Call, awaited: Any) -> Any:
        """In the calling thread, until it is done. Raises what it raises; CancelledError: it was told to
        end."""
        future = asyncio.run_coroutine_threadsafe(awaited, self._running())
        with call.lock:
            call.future = future
            if call.ends is not None:
                future.cancel()
        try:
            found = future.result()
        finally:
            with call.lock:
                call.future = None
        if call.ends is not None:
            raise call.ends
        return found

    def each(self, call: Call, pieces: AsyncIterator[Any]) -> Iterator[Any]:
        async def step() -> tuple[bool, Any]:
            try:
                return True, await anext(pieces)
            except StopAsyncIteration:
                return False, None

        async def close() -> None:
            while getattr(pieces, "ag_running", False):
                await asyncio.sleep(0)  # its step was cancelled, and does not know it yet
            aclose = getattr(pieces, "aclose", None)
            if aclose is not None:
                await aclose()

        try:
            while (found := self.run(call, step()))[0]:
                yield found[1]
        finally:
            if self._loop is not None and self._loop.is_running():
                asyncio.run_coroutine_threadsafe(close(), self._loop).result(GRACE)

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._made:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._run, name="tricorn-heavy-loop", daemon=True)
                self._thread.start()
            return self._loop

    def _run(self) -> None:
        loop = self._loop
        assert loop is not None
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            loop.run_until_complete(_all_ended())
        finally:
            loop.close()

    def stop(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)

    def join(self) -> None:
        """Until it has ended, or has had its time."""
        if self._thread is not None:
            self._thread.join(LAST_TASKS)


async def _all_ended() -> None:
    """What actions have left behind: its `finally` runs."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
