"""ASGI lifespan: frameworks as they are, and applications that do it wrong in every way, on both loops."""

# ruff: noqa: ARG001 - the parameters of an ASGI application are what they are

from __future__ import annotations

import asyncio
import contextvars
import logging
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anyio
import pytest
import uvloop

from tricorn.gateway import lifespan as module
from tricorn.gateway.lifespan import ExcInfo, Lifespan, LifespanError

T = TypeVar("T")
App = Callable[[Any, Any, Any], Awaitable[None]]
Run = Callable[[Coroutine[Any, Any, T]], T]

STARTUP, SHUTDOWN = {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}
STARTED, STOPPED = {"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}
#: Longer than any test; a limit that is meant to be reached is SHORT.
LONG, SHORT = 20.0, 0.02

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run[Any]:
    """Runs a coroutine; fails if a task is left behind."""

    def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
        async def alone() -> Any:
            value = await asyncio.wait_for(coroutine, LONG)
            assert asyncio.all_tasks() == {asyncio.current_task()}
            return value

        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            return runner.run(alone())

    return run


class Log:
    """What is said, and how loud."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.details: list[str] = []

    def error(
        self,
        text: str,
        /,
        *values: object,
        exc_info: ExcInfo | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        line = text % values
        assert "\n" not in line, "a traceback is no part of the message"
        block = "".join(traceback.format_exception(*exc_info)) if exc_info else (extra or {}).get("block")
        self.errors.append(f"{line}\n{block}" if block else line)

    def debug(self, text: str, /, *values: object) -> None:
        self.details.append(text % values)


@pytest.fixture
def log() -> Log:
    return Log()


async def life(
    app: App, log: Log, mode: str = "auto", *, startup: float = LONG, shutdown: float = LONG
) -> dict[str, Any]:
    """From start to end. Returns the state as it was in between."""
    lifespan = Lifespan(app, mode=mode, log=log, startup_timeout=startup, shutdown_timeout=shutdown)
    await lifespan.startup()
    state = dict(lifespan.state)
    await lifespan.shutdown()
    return state


async def refused(app: App, log: Log, mode: str = "auto", *, startup: float = LONG) -> str:
    with pytest.raises(LifespanError) as caught:
        await life(app, log, mode, startup=startup)
    return str(caught.value)


# -------------------------------------------------------------------------------------- as it should be


def test_the_whole_conversation(run: Run[Any], log: Log) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append({**scope, "state": dict(scope["state"])})
        scope["state"]["database"] = "open"
        seen.append(await receive())
        await send(STARTED)
        seen.append(await receive())
        await send(STOPPED)

    assert run(life(app, log)) == {"database": "open"}
    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
    assert seen == [scope, STARTUP, SHUTDOWN]
    assert (log.errors, log.details) == ([], [])


def test_startup_returns_only_when_the_application_is_ready(run: Run[Any], log: Log) -> None:
    async def both() -> None:
        may_start, order = asyncio.Event(), []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await may_start.wait()
            order.append("ready")
            await send(STARTED)
            await receive()
            await send(STOPPED)

        lifespan = Lifespan(app, mode="auto", log=log)
        starting = asyncio.ensure_future(lifespan.startup())
        while not lifespan._has_received:
            await asyncio.sleep(0)
        assert not starting.done()
        may_start.set()
        await starting
        assert order == ["ready"]
        await lifespan.shutdown()

    run(both())


def test_both_ends_run_in_one_task(run: Run[Any], log: Log) -> None:
    """A cancel scope or a task group may only be left in the task that entered it."""
    beats: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert await receive() == STARTUP
        variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
        token = variable.set("mine")
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 3600)
            with anyio.move_on_after(3600):
                await send(STARTED)
                assert await receive() == SHUTDOWN
            group.cancel_scope.cancel()
        variable.reset(token)
        beats.append("left")
        await send(STOPPED)

    run(life(app, log))
    assert beats == ["left"]
    assert log.errors == []


def test_an_application_may_give_up_waiting_for_the_end(run: Run[Any], log: Log) -> None:
    """receive() that is cancelled loses nothing."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        for _ in range(3):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(receive(), 0.001)
        await send(STARTED)
        assert await receive() == SHUTDOWN
        await send(STOPPED)

    run(life(app, log))
    assert log.errors == []


def test_off_does_not_ask(run: Run[Any], log: Log) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError

    assert run(life(app, log, "off")) == {}
    assert (log.errors, log.details) == ([], [])


def test_shutdown_without_startup_does_nothing(run: Run[Any], log: Log) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError

    run(Lifespan(app, mode="on", log=log).shutdown())


def test_a_logger_of_the_standard_library_will_do(run: Run[Any], caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(STARTED)
        raise ValueError("100%")

    async def both() -> None:
        await Lifespan(app, mode="auto", log=logging.getLogger("of_test")).startup()

    run(both())
    assert "ValueError: 100%" in caplog.text


# ----------------------------------------------------------------------------------- without a lifespan


async def refuses_the_scope(scope: Any, receive: Any, send: Any) -> None:
    raise ValueError("only HTTP here")


async def asserts_the_scope(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"


async def returns(scope: Any, receive: Any, send: Any) -> None:
    return


async def returns_after_receive(scope: Any, receive: Any, send: Any) -> None:
    await receive()


async def answers_as_http(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


async def reads_a_body_first(scope: Any, receive: Any, send: Any) -> None:
    message = await receive()
    while message.get("more_body"):
        message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})


async def looks_into_the_scope(scope: Any, receive: Any, send: Any) -> None:
    scope["path"]


WITHOUT = [
    refuses_the_scope,
    asserts_the_scope,
    returns,
    returns_after_receive,
    answers_as_http,
    reads_a_body_first,
    looks_into_the_scope,
]


@pytest.mark.parametrize("app", WITHOUT)
def test_auto_serves_an_application_without_lifespan(app: App, run: Run[Any], log: Log) -> None:
    assert run(life(app, log, "auto")) == {}
    assert log.errors == []
    (detail,) = log.details
    assert detail.startswith("The application does not support lifespan: the application r")


@pytest.mark.parametrize("app", WITHOUT)
def test_on_refuses_an_application_without_lifespan(app: App, run: Run[Any], log: Log) -> None:
    said = run(refused(app, log, "on"))
    raised = "the application raised an exception during its start-up (lifespan); if it has no lifespan"
    assert said.startswith((raised, "the application returned without completing its start-up (lifespan)"))
    assert "_live" not in said
    assert log.errors == []


# --------------------------------------------------------------------------------- a start-up that fails


async def connects_to_nothing(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    raise ConnectionRefusedError("no database")


async def exits(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    raise SystemExit("no licence")


async def a_group_fails(scope: Any, receive: Any, send: Any) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(connects_to_nothing, scope, receive, send)
        await anyio.sleep(3600)


async def cancels_itself(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    raise asyncio.CancelledError


async def says_nonsense(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.done"})


async def stops_too_early(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send(STOPPED)


def answering(message: dict[str, Any], *, then: Exception | None = None) -> App:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(message)
        if then is not None:
            raise then

    return app


FAILED = {"type": "lifespan.startup.failed"}

FAILING: dict[str, tuple[App, str]] = {
    "raises": (connects_to_nothing, "ConnectionRefusedError: no database"),
    "exits": (exits, "SystemExit: no licence"),
    "a task group": (a_group_fails, "ConnectionRefusedError: no database"),
    "cancelled": (
        cancels_itself,
        "the application was cancelled without completing its start-up (lifespan)",
    ),
    "nonsense": (
        says_nonsense,
        "GatewayError: 'lifespan.startup.done' was sent to the lifespan, which expects "
        "lifespan.startup.complete or "
        "lifespan.startup.failed",
    ),
    "too early": (
        stops_too_early,
        "GatewayError: 'lifespan.shutdown.complete' was sent to the lifespan, which expects "
        "lifespan.startup.complete",
    ),
    "says so": (
        answering({**FAILED, "message": "no\nlicence\n"}),
        "the application's start-up failed:\nno\nlicence",
    ),
    "says so in a line": (
        answering({**FAILED, "message": "no licence"}),
        "the application's start-up failed: no licence",
    ),
    "does not say why": (answering(FAILED), "the application's start-up failed, and it did not say why"),
    "says so and raises": (
        answering({**FAILED, "message": "no licence"}, then=ValueError("again")),
        "the application's start-up failed: no licence",
    ),
}


@pytest.mark.parametrize("mode", ["auto", "on"])
@pytest.mark.parametrize(("app", "said"), FAILING.values(), ids=FAILING)
def test_a_start_up_that_fails_is_never_silent(
    app: App, said: str, mode: str, run: Run[Any], log: Log
) -> None:
    text = run(refused(app, log, mode))
    assert said in text
    assert "again" not in text
    assert ("Traceback" in text) is ("Error: " in said or "Exit: " in said)
    assert (log.errors, log.details) == ([], [])


async def sleeps(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await asyncio.get_running_loop().create_future()


@asynccontextmanager
async def resource() -> AsyncIterator[None]:
    await asyncio.get_running_loop().create_future()  # this line waits
    yield


async def enters_and_sleeps(scope: Any, receive: Any, send: Any) -> None:
    """As Starlette: a lifespan that hangs is an async generator, and whatever ends it is answered."""
    await receive()
    try:
        async with resource():
            await send(STARTED)
    except BaseException:
        await send({**FAILED, "message": "cancelled"})
        raise


async def says_that_it_ends(scope: Any, receive: Any, send: Any) -> None:
    """An answer that nobody waits for any more is no new error."""
    await receive()
    try:
        await asyncio.get_running_loop().create_future()  # this line waits
    finally:
        await send(STOPPED)


async def receives_twice(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await receive()


@pytest.mark.parametrize(
    ("app", "line"),
    [
        (sleeps, "await asyncio.get_running_loop().create_future()"),
        (enters_and_sleeps, "create_future()  # this line waits"),
        (says_that_it_ends, "create_future()  # this line waits"),
        (receives_twice, "await self._stopping.wait()"),
    ],
)
def test_a_start_up_that_hangs_is_cut_and_shown(app: App, line: str, run: Run[Any], log: Log) -> None:
    text = run(refused(app, log, startup=SHORT))
    limit = "the application's start-up (lifespan) took longer than asgi_lifespan_startup_timeout (0.02 s)"
    assert text.startswith(f"{limit}; it was waiting at\n")
    assert line in text
    assert "in _live" not in text
    assert log.errors == []


def test_what_swallows_the_cancellation_is_cut_all_the_same(run: Run[Any], log: Log) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.get_running_loop().create_future()

    text = run(refused(app, log, startup=SHORT))
    assert text.endswith("took longer than asgi_lifespan_startup_timeout (0.02 s)")


def test_what_ignores_every_cancellation_is_left_behind(
    run: Run[Any], log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LINGER", SHORT)

    async def both() -> None:
        others = asyncio.all_tasks()
        may_end = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            while not may_end.is_set():
                try:
                    await may_end.wait()
                except asyncio.CancelledError:
                    continue

        await refused(app, log, startup=SHORT)
        assert log.errors == ["The application's lifespan did not end after it was cancelled"]
        may_end.set()
        while asyncio.all_tasks() != others:
            await asyncio.sleep(0)

    run(both())


def test_a_boot_that_is_interrupted_leaves_nothing(run: Run[Any], log: Log) -> None:
    async def both() -> None:
        ended: list[str] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                ended.append("cleaned up")

        lifespan = Lifespan(app, mode="auto", log=log)
        starting = asyncio.ensure_future(lifespan.startup())
        while not lifespan._has_received:
            await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert ended == ["cleaned up"]
        await lifespan.shutdown()

    run(both())
    assert log.errors == []


# -------------------------------------------------------------------------------- while requests are served


def started(*, then: Callable[[Any, Any], Awaitable[None]]) -> App:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(STARTED)
        await then(receive, send)

    return app


async def crash(receive: Any, send: Any) -> None:
    raise ValueError("in between")


async def leave(receive: Any, send: Any) -> None:
    return


async def start_again(receive: Any, send: Any) -> None:
    await send(STARTED)


async def stop_unasked(receive: Any, send: Any) -> None:
    await send(STOPPED)


@pytest.mark.parametrize(
    ("then", "error"),
    [
        (crash, "ValueError: in between"),
        (start_again, "'lifespan.startup.complete' was sent to the lifespan, which expects nothing more"),
        (stop_unasked, "'lifespan.shutdown.complete' was sent to the lifespan, which expects nothing more"),
    ],
)
def test_a_lifespan_that_crashes_is_logged_once_and_not_stopped(
    then: Callable[[Any, Any], Awaitable[None]], error: str, run: Run[Any], log: Log
) -> None:
    run(life(started(then=then), log))
    (said,) = log.errors
    assert said.startswith(
        "The application's lifespan ended with an exception; the worker keeps serving\n"
        "Traceback (most recent call la"
    )
    assert error in said
    assert "_live" not in said


def test_a_lifespan_that_returns_early_is_no_error(run: Run[Any], log: Log) -> None:
    run(life(started(then=leave), log, "on"))
    assert log.errors == []
    assert log.details == ["The application's lifespan has returned; it will not be told of the shutdown"]


# ------------------------------------------------------------------------------------------------- shutdown


def stopping(then: Callable[[Any, Any], Awaitable[None]]) -> App:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(STARTED)
        await receive()
        await then(receive, send)

    return app


async def fail(receive: Any, send: Any) -> None:
    await send({"type": "lifespan.shutdown.failed", "message": "the queue is not empty"})


async def fail_and_raise(receive: Any, send: Any) -> None:
    await fail(receive, send)
    raise ValueError("again")


async def complete_and_raise(receive: Any, send: Any) -> None:
    await send(STOPPED)
    raise ValueError("after all")


async def complete_and_return(receive: Any, send: Any) -> None:
    await send(STOPPED)


async def hang(receive: Any, send: Any) -> None:
    await asyncio.get_running_loop().create_future()


@pytest.mark.parametrize(
    ("then", "start", "end"),
    [
        (fail, "the application's shutdown failed: the queue is not empty", "not empty"),
        (fail_and_raise, "the application's shutdown failed: the queue is not empty", "not empty"),
        (
            crash,
            "the application raised an exception during its shutdown (lifespan)\nTraceback",
            "ValueError: in between",
        ),
        (
            complete_and_raise,
            "the application raised an exception during its shutdown (lifespan)",
            "ValueError: after all",
        ),
        (
            hang,
            "the application's shutdown (lifespan) took longer than asgi_lifespan_shutdown_timeout (0.02 s)",
            "await asyncio.get_running_loop().create_future()",
        ),
    ],
)
def test_a_shutdown_that_goes_wrong_is_logged_once(
    then: Callable[[Any, Any], Awaitable[None]], start: str, end: str, run: Run[Any], log: Log
) -> None:
    run(life(stopping(then), log, shutdown=SHORT if then is hang else LONG))
    (said,) = log.errors
    assert said.startswith(start)
    assert end in said.splitlines()[-1] or end in said.splitlines()[-2]


@pytest.mark.parametrize("waits_in", ["receive", "future"])
def test_a_task_that_does_not_return_is_cancelled(
    waits_in: str, run: Run[Any], log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, where it waits for what will never come."""
    monkeypatch.setattr(module, "LINGER", 2 * LONG if waits_in == "receive" else SHORT)
    cancelled: list[str] = []

    async def stay(receive: Any, send: Any) -> None:
        await send(STOPPED)
        try:
            await (receive() if waits_in == "receive" else asyncio.get_running_loop().create_future())
        except asyncio.CancelledError:
            cancelled.append("yes")
            raise

    run(life(stopping(stay), log))
    assert cancelled == ["yes"]
    assert log.errors == []


@pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks start eagerly from Python 3.12 on")
def test_tasks_that_start_eagerly(log: Log) -> None:
    """The application may be at its end before create_task() returns."""

    cancelled: list[str] = []

    async def goes_on(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({**FAILED, "message": "no licence"})
        try:
            await receive()
        except asyncio.CancelledError:
            cancelled.append("yes")
            raise

    async def all_of_them() -> None:
        # By name: a type checker for Python 3.11 does not know it.
        asyncio.get_running_loop().set_task_factory(vars(asyncio)["eager_task_factory"])
        assert await refused(goes_on, log) == "the application's start-up failed: no licence"
        assert "no database" in await refused(connects_to_nothing, log)
        await life(stopping(complete_and_return), log, "on")
        await life(refuses_the_scope, log)

    asyncio.run(all_of_them())
    assert cancelled == ["yes"]
    assert log.errors == []


def test_a_shutdown_without_an_answer_is_none_to_speak_of(run: Run[Any], log: Log) -> None:
    """Many hand-written applications just return."""
    run(life(stopping(leave), log))
    assert (log.errors, log.details) == ([], [])


def test_shutdown_happens_once(run: Run[Any], log: Log) -> None:
    async def both() -> None:
        lifespan = Lifespan(stopping(fail), mode="auto", log=log)
        await lifespan.startup()
        await lifespan.shutdown()
        await lifespan.shutdown()

    run(both())
    assert len(log.errors) == 1


# ----------------------------------------------------------------------------------------------- frameworks


@asynccontextmanager
async def database(_: Any) -> AsyncIterator[dict[str, str]]:
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep, 3600)
        yield {"database": "open"}
        group.cancel_scope.cancel()
    EVENTS.append("closed")


@asynccontextmanager
async def broken(_: Any) -> AsyncIterator[None]:
    raise ConnectionRefusedError("no database")
    yield


EVENTS: list[str] = []


def starlette(lifespan: Any) -> App:
    from starlette.applications import Starlette

    return Starlette(lifespan=lifespan)


def fastapi(lifespan: Any) -> App:
    from fastapi import FastAPI

    return FastAPI(lifespan=lifespan)


def litestar(lifespan: Any) -> App:
    from litestar import Litestar

    app: App = Litestar(lifespan=[lifespan], logging_config=None)
    return app


def quart(lifespan: Any) -> App:
    from quart import Quart

    app: Any = Quart(__name__)

    @app.while_serving
    async def serving() -> AsyncIterator[None]:
        async with lifespan(app):
            yield

    made: App = app
    return made


FRAMEWORKS = [starlette, fastapi, litestar, quart]


@pytest.mark.parametrize("make", FRAMEWORKS)
def test_frameworks_start_and_stop(make: Callable[[Any], App], run: Run[Any], log: Log) -> None:
    EVENTS.clear()
    state = run(life(make(database), log, "on"))
    assert EVENTS == ["closed"]
    assert (log.errors, log.details) == ([], [])
    if make in (starlette, fastapi):
        assert state == {"database": "open"}


@pytest.mark.parametrize("make", FRAMEWORKS)
def test_frameworks_that_cannot_start_say_why(make: Callable[[Any], App], run: Run[Any], log: Log) -> None:
    said = run(refused(make(broken), log))
    assert said.startswith("the application's start-up failed:")
    assert "no database" in said
    assert log.errors == []


@pytest.mark.parametrize("make", [starlette, fastapi])
def test_frameworks_that_hang_show_where(make: Callable[[Any], App], run: Run[Any], log: Log) -> None:
    said = run(refused(make(lambda _: resource()), log, startup=SHORT))
    assert "create_future()  # this line waits" in said


def test_django_has_no_lifespan(run: Run[Any], log: Log) -> None:
    from django.core.handlers.asgi import ASGIHandler

    handler: Any = ASGIHandler.__new__(ASGIHandler)  # what it needs beyond is needed for HTTP only
    assert run(life(handler, log)) == {}
    assert "Django can only handle ASGI/HTTP connections" in log.details[0]
    assert "Django can only handle" in run(refused(handler, Log(), "on"))


def test_channels_has_no_lifespan(run: Run[Any], log: Log) -> None:
    from channels.routing import ProtocolTypeRouter

    assert run(life(ProtocolTypeRouter({}), log)) == {}
    assert "No application configured for scope type 'lifespan'" in log.details[0]
