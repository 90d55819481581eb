"""The ASGI lifespan protocol 2.0: the application hears of start-up and of shutdown, and answers.

The plan. The application is called once, in one task that lasts from before the first request until after the
last one: what it enters while it starts (task groups, cancel scopes, context managers) may only be left in
the same task. Where it stands is a phase; `ANSWERS` is the whole protocol, and what is not in it is an error
of the application. Guarantees:

- startup() returns when requests may come, and raises LifespanError when they must not;
- a start-up that fails is never mistaken for an application without a lifespan;
- neither startup() nor shutdown() waits beyond its time limit, except for LINGER; a task that is left then is
  cancelled;
- what goes wrong while requests are served is logged once, and serving goes on;
- a traceback that is logged is a block of lines behind its record, not a part of its message.

Knows: the protocol, and asyncio, because that is what the application lives on. Must not know: workers,
signals, what is done when a start-up fails.
"""

from __future__ import annotations

import asyncio
import contextvars
import traceback
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from types import TracebackType
from typing import Any, Protocol

from tricorn.gateway.errors import GatewayError
from tricorn.gateway.waiting import TaskRunner

#: How long a task may go on when it has nothing left to do: after its last answer, and again once it was
#: cancelled. Seconds; enough for what stands in `finally`, and nobody waits for it in a service that is well.
LINGER = 2.0


ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


class LifespanError(Exception):
    """The application's start-up failed. The text is for the log; it may have the application's traceback."""


class Log(Protocol):
    """What is used of a logger."""

    def error(
        self,
        text: str,
        /,
        *values: object,
        exc_info: ExcInfo | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> None: ...
    def debug(self, text: str, /, *values: object) -> None: ...


class Phase(Enum):
    NONE = "not asked, or the application has no lifespan"
    STARTING = "lifespan.startup is asked"
    START_FAILED = "the application says that it cannot serve"
    SERVING = "the application is ready"
    STOPPING = "lifespan.shutdown is asked"
    STOPPED = "the application has cleaned up"
    STOP_FAILED = "the application says that it could not clean up"
    OVER = "nobody listens any more"


#: (phase, what the application sends) → the next phase.
ANSWERS: Mapping[tuple[Phase, str], Phase] = {
    (Phase.STARTING, "lifespan.startup.complete"): Phase.SERVING,
    (Phase.STARTING, "lifespan.startup.failed"): Phase.START_FAILED,
    (Phase.STOPPING, "lifespan.shutdown.complete"): Phase.STOPPED,
    (Phase.STOPPING, "lifespan.shutdown.failed"): Phase.STOP_FAILED,
}
#: Phases after the last answer.
LAST = (Phase.START_FAILED, Phase.STOPPED, Phase.STOP_FAILED)


class Lifespan:
    """One application's lifespan in one worker. startup() and shutdown() run in one event loop, once each.

    mode: "on": the application has to take part; "off": it is not asked; "auto": it need not take part.
    startup_timeout, shutdown_timeout: seconds, 0 is no limit.
    state: what the application keeps for its requests; each gets a shallow copy (ASGI, "Lifespan State").
    """

    def __init__(
        self,
        application: Callable[..., Awaitable[None]],
        *,
        mode: str,
        log: Log,
        startup_timeout: float = 0.0,
        shutdown_timeout: float = 0.0,
    ) -> None:
        self.state: dict[str, Any] = {}
        self._application = application
        self._mode = mode
        self._log = log
        self._startup_timeout = startup_timeout
        self._shutdown_timeout = shutdown_timeout
        self._phase = Phase.NONE
        self._message = ""  # of the last answer
        self._error: BaseException | None = None  # that ended the task
        self._cancelled_at: TracebackType | None = None
        self._has_received = False
        self._is_stranger = False  # it sent something that belongs to another protocol

    # -- what the worker calls ---------------------------------------------------------------------------

    async def startup(self) -> None:
        """Let the application start. Raises LifespanError if it fails, or is not ready in time."""
        if self._mode == "off":
            return
        loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._answer: asyncio.Future[None] = loop.create_future()
        self._phase = Phase.STARTING
        self._task = TaskRunner(loop, contextvars.copy_context()).task(self._live())
        await self._wait_for_answer(self._startup_timeout)
        if self._phase is Phase.START_FAILED:
            await self._leave()
            raise LifespanError(told("the application's start-up failed", self._message))
        if self._phase is not Phase.STARTING:
            return
        if not self._task.done():
            raise LifespanError(await self._overdue("start-up", self._startup_timeout))
        self._phase = Phase.NONE
        if self._mode == "on" or self._has_failed_to_start():
            raise LifespanError(self._unanswered("start-up"))
        self._log.debug("The application does not support lifespan: %s", self._unanswered("start-up"))

    async def shutdown(self) -> None:
        """Let the application clean up, if it started and is still there. What goes wrong is logged."""
        if self._phase is not Phase.SERVING or self._task.done():
            return
        self._phase = Phase.STOPPING
        self._answer = asyncio.get_running_loop().create_future()
        self._stopping.set()
        await self._wait_for_answer(self._shutdown_timeout)
        if self._phase is Phase.STOPPING and not self._task.done():
            self._log_text(await self._overdue("shutdown", self._shutdown_timeout))
            return
        phase = self._phase
        await self._leave()
        if phase is Phase.STOP_FAILED:  # most raise the same error again, once is enough
            self._log_text(told("the application's shutdown failed", self._message))
        elif self._error is not None:
            self._log.error("%s", raised_in("shutdown"), exc_info=without_our_frame(self._error))

    # -- what the application calls ----------------------------------------------------------------------

    async def _receive(self) -> dict[str, Any]:
        """Waits safely: an application that gives up waiting loses nothing."""
        if not self._has_received:
            self._has_received = True
            return {"type": "lifespan.startup"}
        if self._phase in LAST:
            self._task.cancel()  # nothing more will come
            await asyncio.Event().wait()
        await self._stopping.wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: Mapping[str, Any]) -> None:
        if self._phase is Phase.OVER:
            return
        kind = message["type"]
        phase = ANSWERS.get((self._phase, kind))
        if phase is None:
            self._is_stranger = not str(kind).startswith("lifespan.")
            expected = [answer for phase, answer in ANSWERS if phase is self._phase]
            raise GatewayError(
                f"{kind!r} was sent to the lifespan, which expects {' or '.join(expected) or 'nothing more'}"
            )
        self._phase = phase
        self._message = str(message.get("message", ""))
        if not self._answer.done():
            self._answer.set_result(None)

    # -- the task ----------------------------------------------------------------------------------------

    async def _live(self) -> None:
        """The task. No exception of the application leaves it: a SystemExit would stop the event loop."""
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        self._task = this_task()  # known here first where tasks start eagerly
        try:
            await self._application(scope, self._receive, self._send)
        except asyncio.CancelledError as error:
            self._cancelled_at = error.__traceback__
            raise
        except BaseException as error:  # noqa: BLE001 - foreign code
            self._error = error
            if self._phase is Phase.SERVING:
                self._log.error(
                    "The application's lifespan ended with an exception; the worker keeps serving",
                    exc_info=without_our_frame(error),
                )
        else:
            if self._phase is Phase.SERVING:
                self._log.debug(
                    "The application's lifespan has returned; it will not be told of the shutdown"
                )

    async def _wait_for_answer(self, timeout: float) -> None:
        """Until the application has answered, its task has ended, or `timeout` seconds are over."""
        try:
            await asyncio.wait(
                {self._task, self._answer}, timeout=timeout or None, return_when=asyncio.FIRST_COMPLETED
            )
        except asyncio.CancelledError:
            await self._cancel()
            raise

    async def _leave(self) -> None:
        """The last answer is given: the task may end by itself, but not take for ever."""
        await asyncio.wait({self._task}, timeout=LINGER)
        if not self._task.done():
            self._log.debug("The application's lifespan did not return after its last answer; cancelling it")
            await self._cancel()

    async def _cancel(self) -> None:
        self._phase = Phase.OVER
        self._task.cancel()
        await asyncio.wait({self._task}, timeout=LINGER)
        if not self._task.done():
            self._log.error("The application's lifespan did not end after it was cancelled")

    # -- what is said ------------------------------------------------------------------------------------

    def _log_text(self, text: str) -> None:
        """What stands behind the first line is the text of a traceback."""
        line, _, block = text.partition("\n")
        self._log.error("%s", line, extra={"block": block})

    def _has_failed_to_start(self) -> bool:
        """Of a task that ended without an answer. To raise before receive() is called is the usual way to say
        "I know no lifespan" (Django, Channels); afterwards the application was starting. Unless it sent
        something of another protocol: then it does not look at the scope's type."""
        if self._error is None:
            return self._task.cancelled()
        return self._has_received and not self._is_stranger

    def _unanswered(self, what: str) -> str:
        if self._error is not None:
            hint = "; if it has no lifespan, write --asgi-lifespan off" if what == "start-up" else ""
            lines = traceback.format_exception(*without_our_frame(self._error))
            return f"{raised_in(what)}{hint}\n{''.join(lines).rstrip()}"
        how = "was cancelled" if self._task.cancelled() else "returned"
        return f"the application {how} without completing its {what} (lifespan)"

    async def _overdue(self, what: str, timeout: float) -> str:
        """Cancels the task; its traceback tells where it was waiting."""
        await self._cancel()
        setting = f"asgi_lifespan_{what.replace('-', '')}_timeout"
        text = f"the application's {what} (lifespan) took longer than {setting} ({timeout:g} s)"
        if self._cancelled_at is None:
            return text
        where = "".join(traceback.format_tb(self._cancelled_at.tb_next)).rstrip()
        return f"{text}; it was waiting at\n{where}" if where else text


def this_task() -> asyncio.Task[None]:
    task: asyncio.Task[None] | None = asyncio.current_task()
    assert task is not None
    return task


def told(text: str, message: str) -> str:
    """Frameworks put a whole traceback into the message of an answer, or nothing."""
    if not message:
        return f"{text}, and it did not say why"
    return f"{text}:\n{message.rstrip()}" if "\n" in message.rstrip() else f"{text}: {message.rstrip()}"


def raised_in(what: str) -> str:
    return f"the application raised an exception during its {what} (lifespan)"


def without_our_frame(error: BaseException) -> ExcInfo:
    """For the log: the first frame of the traceback is ours."""
    step = error.__traceback__
    return type(error), error, step.tb_next if step is not None else None
