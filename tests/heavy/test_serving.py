"""Callers and a worker against each other, in one process: what comes back, and what happens where one of
them gives up."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from harness.server import wait_for

from tricorn.heavy import client as clients
from tricorn.heavy import directory, serving
from tricorn.heavy.app import DirtyApp
from tricorn.heavy.client import DirtyClient, get_dirty_client, get_dirty_client_async
from tricorn.heavy.directory import Place, Standing
from tricorn.heavy.errors import (
    CallCancelledError,
    CallStoppedError,
    CallTimedOutError,
    DirtyAppError,
    DirtyAppNotFoundError,
    DirtyError,
    DirtyNoWorkersAvailableError,
    DirtyProtocolError,
    DirtyQueueFullError,
    DirtyTimeoutError,
    DirtyWorkerError,
)
from tricorn.heavy.queues import CallQueue
from tricorn.heavy.serving import Serving
from tricorn.log.request_id import request_id

APP = "site:App"

#: Enough that one is seen to go too early.
CALLS = 150


class App(DirtyApp):
    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go = threading.Event()
        self.ends: list[type[BaseException]] = []
        self.yielded = 0
        self.threads: set[int] = set()
        self.left: asyncio.Task[None]

    def add(self, a: int, b: int = 1) -> int:
        self.threads.add(threading.get_ident())
        return a + b

    def fail(self, text: str) -> None:
        raise ValueError(text)

    def leave(self) -> None:
        raise SystemExit(3)

    def thing(self) -> object:
        return object()

    def wait(self) -> str:
        """In Python code, where an exception arrives."""
        self.begun.release()
        try:
            while not self.go.is_set():
                time.sleep(0.001)
        except BaseException as error:
            self.ends.append(type(error))
            raise
        return "done"

    def stubborn(self) -> str:
        self.begun.release()
        self.go.wait()
        return "done"

    def count(self, most: int) -> Iterator[int]:
        try:
            for number in range(most):
                self.yielded = number
                yield number
        finally:
            self.ends.append(GeneratorExit)

    def break_off(self) -> Iterator[int]:
        yield 1
        raise KeyError("two")

    async def later(self, value: int) -> int:
        await asyncio.sleep(0)
        return value

    async def forever(self) -> None:
        self.begun.release()
        try:
            await asyncio.sleep(100)
        except BaseException as error:
            self.ends.append(type(error))
            raise

    async def leave_behind(self) -> None:
        self.left = asyncio.create_task(self.forever())
        await asyncio.sleep(0)

    async def tokens(self, most: int) -> AsyncIterator[str]:
        for number in range(most):
            await asyncio.sleep(0)
            yield f"t{number}"

    def big(self, size: int) -> bytes:
        return b"x" * size

    def name(self) -> str:
        return request_id()


class Label:
    def __init__(self) -> None:
        self.said: list[str] = []

    def begin(self, method: str, target: str) -> None:
        self.said.append(f"{method} {target}")

    def end(self) -> None:
        self.said.append("")


class Bench:
    """A worker whose threads are this process's."""

    def __init__(
        self, threads: int = 1, timeout: float = 30.0, length: int = 10, *, is_scarce: bool = False
    ) -> None:
        self.app = App()
        self.queue = CallQueue(APP, length)
        words = ("accepted", "errors", "left", "refused", "running", "waits", "waited_ns")
        self.counts = SimpleNamespace(**dict.fromkeys(words, 0))
        self.labels = [Label() for _ in range(threads)]
        self.stuck = threading.Event()
        self.standing = Standing()
        self.serving = Serving(
            {APP: self.app},
            {APP: self.queue.socket},
            self.labels,
            self.counts,
            timeout,
            self.stuck.set,
            scarce={APP} if is_scarce else (),
        )
        self.is_over = False
        self.first = threading.Thread(target=self.serving.work, daemon=True)
        self.house = threading.Thread(target=self._keep, daemon=True)

    def _keep(self) -> None:
        while not self.is_over:
            self.serving.look_around([])

    def publish(self) -> None:
        directory.publish([Place(APP, self.queue.handle, self.queue.refusals, self.standing)], None)

    def __enter__(self) -> Bench:
        self.publish()
        self.serving.start_others()
        self.first.start()
        self.house.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.app.go.set()
        wait_for(lambda: self.serving.running == 0, "all calls are over")
        self.is_over = True
        self.serving.wake()
        self.serving.finish()
        self.house.join(5)
        self.first.join(5)
        self.queue.close()
        directory.publish((), None)


@pytest.fixture
def bench() -> Iterator[Bench]:
    with Bench() as found:
        yield found


def test_a_call_gives_what_the_action_gives(bench: Bench) -> None:
    client = get_dirty_client()
    assert client.execute(APP, "add", 1) == 2
    assert client.execute(APP, "add", 1, b=5) == 6
    with DirtyClient(timeout=5) as other:
        assert other.execute(APP, "big", 5_000_000) == b"x" * 5_000_000
        assert other.execute(APP, "add", 1, 10**30) == 10**30 + 1
    wait_for(lambda: bench.counts.accepted == 4, "all are counted")
    assert bench.labels[0].said[:2] == [f"{APP} add", ""]


def test_a_caller_that_goes_with_its_answer_has_given_up_nothing(bench: Bench) -> None:
    """It closes at once, and the house sees that before the thread has looked up from its answer."""
    client = DirtyClient()
    for number in range(CALLS):
        assert client.execute(APP, "add", number) == number + 1
        assert list(client.stream(APP, "count", 2)) == [0, 1]
    wait_for(lambda: bench.counts.accepted + bench.counts.left == 2 * CALLS, "all are counted")
    assert bench.counts.left == 0


def test_with_one_thread_all_of_it_is_in_that(bench: Bench) -> None:
    for _ in range(3):
        DirtyClient().execute(APP, "add", 1)
    assert bench.app.threads == {bench.first.ident}


def test_an_exception_arrives_with_its_class_and_traceback(bench: Bench) -> None:
    with pytest.raises(DirtyAppError) as caught:
        DirtyClient().execute(APP, "fail", "no such model")
    error = caught.value
    assert (error.message, error.app_path, error.action) == ("no such model", APP, "fail")
    assert error.error_type == "ValueError"
    assert error.traceback is not None
    assert "in fail" in error.traceback
    assert "tricorn/heavy/serving.py" not in error.traceback
    wait_for(lambda: bench.counts.errors == 1, "it is counted")


@pytest.mark.parametrize(
    ("action", "kind", "said"),
    [
        ("leave", DirtyAppError, "3"),
        ("nothing", DirtyAppError, "unknown action"),
        ("thing", DirtyProtocolError, "object cannot be sent"),
        ("count", DirtyAppError, "missing 1 required"),
        ("tokens", DirtyAppError, "missing 1 required"),
    ],
)
@pytest.mark.usefixtures("bench")
def test_whatever_it_raises_the_worker_goes_on(action: str, kind: type[DirtyError], said: str) -> None:
    with pytest.raises(kind, match=said):
        DirtyClient().execute(APP, action)
    assert DirtyClient().execute(APP, "add", 1) == 2


@pytest.mark.usefixtures("bench")
def test_what_cannot_be_sent_is_the_callers_error() -> None:
    with pytest.raises(DirtyProtocolError):
        DirtyClient().execute(APP, "add", object())
    assert DirtyClient().execute(APP, "add", 1) == 2


@pytest.mark.usefixtures("bench")
def test_a_generator_is_a_stream() -> None:
    assert list(DirtyClient().stream(APP, "count", 5)) == [0, 1, 2, 3, 4]
    assert list(DirtyClient().stream(APP, "tokens", 3)) == ["t0", "t1", "t2"]
    assert list(DirtyClient().stream(APP, "add", 1)) == [2]
    with pytest.raises(DirtyWorkerError, match="stream"):
        DirtyClient().execute(APP, "count", 5)
    broken = DirtyClient().stream(APP, "break_off")
    assert next(broken) == 1
    with pytest.raises(DirtyAppError, match="two"):
        next(broken)


def test_who_reads_slowly_holds_the_generator_up(bench: Bench) -> None:
    stream = DirtyClient().stream(APP, "count", 10_000_000)
    assert next(stream) == 0
    seen = [-1]

    def stands_still() -> bool:
        seen.append(bench.app.yielded)
        return seen[-1] == seen[-2]

    time.sleep(0.05)
    wait_for(stands_still, "the generator is not resumed")
    assert bench.app.yielded < 100_000
    stream.close()
    wait_for(lambda: bench.counts.left == 1, "it has been closed")
    assert bench.app.ends == [GeneratorExit]


def test_a_caller_that_gives_up_ends_the_call(bench: Bench) -> None:
    tries = 0
    while not bench.app.ends:  # on a slow machine it has given up before the call begins
        tries += 1
        with pytest.raises(DirtyTimeoutError) as caught:
            DirtyClient(timeout=0.05).execute(APP, "wait")
        assert caught.value.timeout == 0.05
        wait_for(lambda count=tries: bench.counts.left == count, "the call is given up")
    assert bench.app.ends == [CallCancelledError]
    assert DirtyClient().execute(APP, "add", 1) == 2


def test_who_left_while_waiting_never_begins(bench: Bench) -> None:
    stream = DirtyClient().stream(APP, "wait")
    first = threading.Thread(target=lambda: list(stream))
    first.start()
    bench.app.begun.acquire(timeout=5)
    with pytest.raises(DirtyTimeoutError):
        DirtyClient(timeout=0.02).execute(APP, "wait")
    bench.app.go.set()
    first.join(5)
    assert DirtyClient().execute(APP, "add", 1) == 2
    assert not bench.app.begun.acquire(blocking=False)


def test_a_full_queue_refuses_at_once() -> None:
    with Bench(length=2) as bench:
        callers = [
            threading.Thread(target=DirtyClient().execute, args=(APP, "wait"), daemon=True) for _ in range(3)
        ]
        callers[0].start()
        bench.app.begun.acquire(timeout=5)
        for caller in callers[1:]:
            caller.start()
        wait_for(lambda: bench.queue.waiting == 2, "two wait")
        begun = time.monotonic()
        with pytest.raises(DirtyQueueFullError) as caught:
            DirtyClient().execute(APP, "add", 1)
        assert time.monotonic() - begun < 1
        assert isinstance(caught.value, DirtyNoWorkersAvailableError)
        assert caught.value.app_path == APP
        assert bench.queue.refused == 1
        bench.app.go.set()
        for caller in callers:
            caller.join(5)
        assert DirtyClient().execute(APP, "add", 1) == 2


@pytest.mark.parametrize("is_scarce", [False, True])
def test_how_long_a_call_waits_is_counted_unless_more_workers_would_not_help(is_scarce: bool) -> None:
    with Bench(is_scarce=is_scarce) as bench:
        callers = [
            threading.Thread(target=DirtyClient().execute, args=(APP, "wait"), daemon=True) for _ in range(2)
        ]
        callers[0].start()
        bench.app.begun.acquire(timeout=5)
        callers[1].start()
        wait_for(lambda: bench.queue.waiting == 1, "one waits")
        begun = time.monotonic_ns()
        time.sleep(0.01)
        waited = time.monotonic_ns() - begun
        bench.app.go.set()
        for caller in callers:
            caller.join(5)
        if is_scarce:
            assert (bench.counts.waits, bench.counts.waited_ns) == (0, 0)
        else:
            assert bench.counts.waits == 2
            assert waited <= bench.counts.waited_ns < 2_000_000_000 + waited


def test_threads_run_beside_each_other() -> None:
    with Bench(threads=3) as bench:
        callers = [
            threading.Thread(target=DirtyClient().execute, args=(APP, "wait"), daemon=True) for _ in range(3)
        ]
        for caller in callers:
            caller.start()
        for _ in callers:
            assert bench.app.begun.acquire(timeout=5)
        assert bench.counts.running == 3
        bench.app.go.set()
        for caller in callers:
            caller.join(5)
        wait_for(lambda: bench.counts.running == 0, "all are done")


@pytest.mark.parametrize(
    ("action", "end"), [("wait", CallTimedOutError), ("forever", asyncio.CancelledError)]
)
def test_a_call_has_its_time(action: str, end: type[BaseException]) -> None:
    with Bench(timeout=0.5) as bench:
        with pytest.raises(DirtyTimeoutError, match="dirty_timeout"):
            DirtyClient().execute(APP, action)
        wait_for(lambda: bench.app.ends == [end], "it is ended")
        wait_for(lambda: bench.serving.running == 0, "it is over")
        wait_for(lambda: bench.counts.refused == 1, "it is counted")
        assert not bench.stuck.is_set()
        assert DirtyClient().execute(APP, "add", 1) == 2


def test_with_the_worker_ends_what_its_actions_have_left_behind() -> None:
    with Bench() as bench:
        DirtyClient().execute(APP, "leave_behind")
        assert bench.app.ends == []
    assert bench.app.ends == [asyncio.CancelledError]
    assert bench.app.left.get_loop().is_closed()


def test_a_stream_has_its_time_for_each_piece() -> None:
    with Bench(timeout=0.5) as bench:
        stream = DirtyClient().stream(APP, "count", 4)
        for expected in range(4):
            assert next(stream) == expected
            time.sleep(0.15)
        assert list(stream) == []
        assert bench.counts.refused == 0


def test_one_that_does_not_end_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "GRACE", 0.1)
    with Bench(timeout=0.1) as bench:
        with pytest.raises(DirtyTimeoutError):
            DirtyClient().execute(APP, "stubborn")
        assert bench.stuck.wait(5)
        assert bench.serving.is_stuck


def test_a_call_that_has_ended_is_not_ended_again() -> None:
    """Time limits that are over in the instant in which control returns hit nobody else."""
    with Bench(timeout=0.004) as bench:
        ended = 0
        for round_ in range(60):
            bench.app.go.clear()
            timer = threading.Timer(0.003 + round_ % 5 / 1000, bench.app.go.set)
            timer.start()
            try:
                assert DirtyClient().execute(APP, "wait") == "done"
            except DirtyTimeoutError:
                ended += 1
            timer.join()
        assert bench.first.is_alive()
        wait_for(lambda: ended == bench.counts.refused, "all are counted")


def test_a_pool_that_fails_is_said_to(bench: Bench) -> None:
    bench.standing.is_failing = True
    with pytest.raises(DirtyNoWorkersAvailableError):
        DirtyClient().execute(APP, "add", 1)
    bench.standing.is_failing = False
    assert DirtyClient().execute(APP, "add", 1) == 2


@pytest.mark.usefixtures("bench")
def test_an_unknown_application_is_named() -> None:
    with pytest.raises(DirtyAppNotFoundError, match=f"there are {APP}"):
        DirtyClient().execute("site:Other", "add", 1)
    directory.publish((), None)
    with pytest.raises(DirtyError, match="set dirty_apps and dirty_workers"):
        DirtyClient().execute(APP, "add", 1)


def test_a_queue_that_is_gone_refuses() -> None:
    bench = Bench()
    bench.publish()
    bench.queue.leave_taking()
    with pytest.raises(DirtyNoWorkersAvailableError):
        DirtyClient().execute(APP, "add", 1)
    bench.queue.close()


def test_a_worker_that_goes_away_is_an_error_at_once() -> None:
    bench = Bench()
    bench.publish()
    taken = threading.Thread(target=lambda: _accepted(bench).close())
    taken.start()
    with pytest.raises(DirtyWorkerError, match="has ended"):
        DirtyClient().execute(APP, "add", 1)
    taken.join()
    bench.queue.close()


def _accepted(bench: Bench) -> Any:
    def maybe() -> Any:
        with contextlib.suppress(BlockingIOError):
            return bench.queue.socket.accept()[0]
        return None

    return wait_for(maybe, "somebody calls")


def test_a_thread_whose_client_has_left_gives_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "SLICE", 0.01)
    answers = iter([False, False, True])
    monkeypatch.setattr(clients._Caller, "has_left", staticmethod(lambda: next(answers)))
    with pytest.raises(CallStoppedError):
        DirtyClient().execute(APP, "wait")
    wait_for(lambda: bench.counts.left == 1, "the call is given up")


def test_one_that_has_only_said_all_it_had_to_say_is_served(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "SLICE", 0.01)
    monkeypatch.setattr(clients._Caller, "has_left", staticmethod(lambda: True))
    timer = threading.Timer(0.05, bench.app.go.set)
    timer.start()
    assert DirtyClient().execute(APP, "wait") == "done"
    timer.join()


@pytest.mark.usefixtures("bench")
def test_the_log_of_a_call_has_the_id_of_its_request() -> None:
    from tricorn.log.request_id import REQUEST_ID

    token = REQUEST_ID.set("r-17")
    try:
        assert DirtyClient().execute(APP, "name") == "r-17"
    finally:
        REQUEST_ID.reset(token)
    assert DirtyClient().execute(APP, "name") == ""


# -- event loops -------------------------------------------------------------------------------------------


@pytest.fixture(params=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    factory = None
    if request.param == "uvloop":
        factory = pytest.importorskip("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=factory) as found:
        yield found


@pytest.mark.usefixtures("bench")
def test_a_loop_awaits(runner: asyncio.Runner) -> None:
    async def calls() -> None:
        client = await get_dirty_client_async()
        assert await client.execute_async(APP, "add", 1) == 2
        assert await client.execute_async(APP, "later", 3) == 3
        assert await client.execute_async(APP, "big", 3_000_000) == b"x" * 3_000_000
        assert [each async for each in client.stream_async(APP, "tokens", 3)] == ["t0", "t1", "t2"]
        assert [each async for each in client.stream_async(APP, "count", 2)] == [0, 1]
        with pytest.raises(DirtyAppError, match="no"):
            await client.execute_async(APP, "fail", "no")
        async with DirtyClient(0.05) as hurried:
            with pytest.raises(DirtyTimeoutError):
                await hurried.execute_async(APP, "wait")

    runner.run(calls())


def test_a_task_that_is_cancelled_cancels_the_call(bench: Bench, runner: asyncio.Runner) -> None:
    def given_up(count: int) -> None:
        wait_for(lambda: bench.counts.left == count, "the call is given up")

    async def calls() -> None:
        client = DirtyClient()
        for action, count in (("wait", 1), ("forever", 2)):
            task = asyncio.create_task(client.execute_async(APP, action))
            assert await asyncio.to_thread(bench.app.begun.acquire, timeout=5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.to_thread(given_up, count)
        assert await client.execute_async(APP, "add", 1) == 2

    runner.run(calls())


@pytest.mark.usefixtures("bench")
def test_a_task_is_cancelled_at_whichever_step(runner: asyncio.Runner) -> None:
    """wait_for() forgets, before CPython 3.12, that it was cancelled if what it waits for is done."""

    async def call_cancelled(step: int) -> None:
        task = asyncio.create_task(DirtyClient().execute_async(APP, "forever"))
        for _ in range(step):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(asyncio.shield(task), 5)
        assert task.cancelled()

    async def calls() -> None:
        for step in range(20):
            await call_cancelled(step)

    runner.run(calls())


def test_a_stream_that_is_left_is_closed(bench: Bench, runner: asyncio.Runner) -> None:
    async def calls() -> None:
        stream = DirtyClient().stream_async(APP, "count", 10_000_000)
        async for each in stream:
            if each == 3:
                break
        await stream.aclose()
        await asyncio.to_thread(wait_for, lambda: bench.counts.left == 1, "the generator is closed")

    runner.run(calls())
    assert bench.app.ends == [GeneratorExit]
