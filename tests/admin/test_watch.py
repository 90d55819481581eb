"""What viewers of the dashboard are told: one rhythm for all, nothing while nobody watches, bounded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from admin.looks import BOUNDS, Answering, Master

from tricorn.admin import watch
from tricorn.admin.desk import LateError, UnavailableError
from tricorn.admin.watch import FullError, Slowest, Watch
from tricorn.metrics.frames import RequestFigures

DEADLINE = 5.0


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "INTERVAL", 0.002)


class Viewer:
    """What one of them has been told."""

    def __init__(self) -> None:
        self.texts: list[bytes] = []
        self.may_read = asyncio.Event()
        self.may_read.set()
        self._more = asyncio.Event()

    async def write(self, text: bytes) -> None:
        self.texts.append(text)
        self._more.set()
        await self.may_read.wait()

    @property
    def told(self) -> list[dict[str, Any]]:
        data = [text for text in self.texts if not text.startswith(b":")]
        assert all(text.startswith(b"data: ") and text.endswith(b"\n\n") for text in data)
        assert all(text.count(b"\n") == 2 for text in data)
        return [json.loads(text[6:]) for text in data]

    async def until(self, is_there: Callable[[], Any]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not is_there():
                self._more.clear()
                await self._more.wait()

    async def so_many(self, count: int) -> None:
        await self.until(lambda: len(self.texts) >= count)


@asynccontextmanager
async def viewing(watched: Watch) -> Any:
    viewer = Viewer()
    task = asyncio.ensure_future(watched.show(viewer.write))
    try:
        yield viewer
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def words(desk: Answering) -> list[str]:
    return [question["do"] for question in desk.asked]


def test_first_all_and_then_what_is_new() -> None:
    async def work() -> None:
        master = Master()
        desk = Answering(master.answer)
        async with viewing(Watch(desk)) as viewer:
            await viewer.so_many(4)
        first, second, third, *_ = viewer.told
        assert (first["is_whole"], second["is_whole"]) == (True, False)
        assert [each["text"] for each in first["events"]] == ["Worker 12 is ready "]
        assert (second["events"], third["events"]) == ([], [])
        # The first look is about no stretch of time, and does not wait for what requests do.
        assert (first["points"], first["now"]["rate"], first["now"]["requests"]) == ([], None, [])
        assert words(desk)[:2] == ["status", "metrics"]
        assert len(second["points"]) == len(third["points"]) == 1
        assert third["points"][0]["durations"] == [160, 30, 9, 1]
        assert third["points"][0]["shares"] == {"2xx": 0.95, "4xx": 0.04, "5xx": 0.01}
        assert third["now"]["bounds"] == BOUNDS
        assert third["now"]["requests"][0]["target"] == "/report"
        known, unknown = third["now"]["workers"]
        assert known["memory"] > 1 << 20  # this process's own
        assert (unknown["memory"], unknown["cpu"]) == (0, None)
        assert [each[0] for each in third["points"][0]["workers"]] == [known["pid"], unknown["pid"]]

    run(work())


def test_one_look_for_all_and_none_for_nobody() -> None:
    async def work() -> None:
        desk = Answering(Master().answer)
        watched = Watch(desk)
        async with viewing(watched) as one:
            await one.so_many(3)
            async with viewing(watched) as other:
                await other.so_many(3)
                looks = words(desk).count("status")
                points = sum(len(told["points"]) for told in one.told)
                assert other.told[0]["is_whole"]
                assert len(other.told[0]["points"]) >= 2  # those of before it came
                assert looks - points in (1, 2)  # the first one has no point, the last may not be told yet
            await one.so_many(len(one.texts) + 2)  # goes on for who stays
        asked = len(desk.asked)
        await asyncio.sleep(0.05)
        assert len(desk.asked) == asked
        async with viewing(watched) as again:
            await again.so_many(3)
        assert again.told[0]["now"]["rate"] is None  # a new look: what was last shown is old
        points = [point for told in again.told for point in told["points"]]
        assert len(again.told[0]["points"]) >= 2  # what was seen before is kept, and told once
        assert len({json.dumps(point) for point in points}) >= len(again.told) - 1
        assert all(len(told["points"]) <= 1 for told in again.told[1:])

    run(work())


def test_who_is_slow_holds_nobody_up() -> None:
    async def work() -> None:
        watched = Watch(Answering(Master().answer))
        async with viewing(watched) as slow, viewing(watched) as fast:
            slow.may_read.clear()
            await slow.so_many(1)
            await fast.so_many(6)
            assert len(slow.texts) == 1
            slow.may_read.set()
            await slow.so_many(2)
        assert len(slow.told[1]["points"]) >= 4  # of curves it misses nothing

    run(work())


@pytest.mark.parametrize(
    ("error", "said"),
    [(UnavailableError("it is gone"), "it is gone"), (LateError("late"), "the server does not answer")],
)
def test_a_master_that_does_not_answer_for_a_while(error: Exception, said: str) -> None:
    async def work() -> None:
        master = Master()
        is_gone = False

        def answer(question: dict[str, Any]) -> dict[str, Any]:
            if is_gone:
                raise error
            return master.answer(question)

        async with viewing(Watch(Answering(answer))) as viewer:
            await viewer.so_many(3)
            is_gone = True
            await viewer.until(lambda: viewer.told[-1]["now"] == {"trouble": said})
            is_gone = False
            await viewer.until(lambda: viewer.told[-1]["now"].get("rate"))

    run(work())


def test_a_fault_of_ours_is_told_to_nobody_and_not_kept() -> None:
    async def work() -> None:
        watched = Watch(Answering(lambda _question: {"ok": True, "data": {}}))
        for _ in range(2):
            with pytest.raises(KeyError):
                await asyncio.wait_for(watched.show(Viewer().write), DEADLINE)

    run(work())


def test_another_master_numbers_its_events_anew() -> None:
    async def work() -> None:
        master = Master()
        master.events = [master.event(number, "info", f"old {number}") for number in (8, 9)]
        watched = Watch(Answering(master.answer))
        async with viewing(watched) as viewer:
            await viewer.so_many(2)
            master.pid, master.events = 4712, [master.event(1, "info", "new")]
            await viewer.until(lambda: viewer.told[-1]["now"]["status"]["pid"] == 4712)
            assert [event["text"] for event in viewer.told[-1]["events"]] == ["new"]
            async with viewing(watched) as other:
                await other.so_many(1)
        assert [event["text"] for event in other.told[0]["events"]] == ["new"]

    run(work())


def test_nothing_is_counted() -> None:
    async def work() -> None:
        master = Master()
        master.is_counted = False
        async with viewing(Watch(Answering(master.answer))) as viewer:
            await viewer.so_many(3)
        told = viewer.told[-1]
        assert not told["now"]["is_counted"]
        assert told["points"][0]["rate"] > 0  # the workers' rows know it
        assert told["points"][0]["durations"] == []

    run(work())


def test_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "INTERVAL", 60.0)
    monkeypatch.setattr(watch, "SIGN", 0.01)

    async def work() -> None:
        async with viewing(Watch(Answering(Master().answer))) as viewer:
            await viewer.until(lambda: viewer.texts.count(b": nothing new\n\n") >= 2)

    run(work())
    monkeypatch.undo()
    assert watch.SIGN < 60


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "VIEWERS_MAX", 1)
    monkeypatch.setattr(watch, "POINTS_KEPT", 3)

    async def work() -> None:
        master = Master()
        master.events = [master.event(number, "info", str(number)) for number in range(1, 300)]
        long = "x" * 9000
        master.requests = [master.request(float(number), f"/{number}{long}") for number in range(150)]
        watched = Watch(Answering(master.answer))
        async with viewing(watched) as viewer:
            await viewer.so_many(8)
            with pytest.raises(FullError):
                await watched.show(Viewer().write)
        assert len(viewer.told[0]["events"]) == watch.EVENTS_KEPT
        now = viewer.told[-1]["now"]
        assert (len(now["requests"]), now["left_out"]) == (watch.REQUESTS_TOLD, 50)
        assert now["requests"][0]["seconds"] == 149.0
        assert max(len(each["target"]) for each in now["requests"]) == watch.TARGET_MAX
        assert len(now["slowest"]) == watch.SLOWEST_KEPT
        async with viewing(watched) as other:
            await other.so_many(1)
        assert len(other.told[0]["points"]) == 3

    run(work())


# -- the slowest


def request(seconds: float | None, target: str = "/a", phase: str = "application") -> RequestFigures:
    return RequestFigures(1, phase, "GET", target, "192.0.2.7", seconds, 11, 0, "")


@pytest.mark.parametrize(
    ("looks", "kept"),
    [
        ([[request(1.0)], [request(3.0)], [request(2.0)]], [("/a", 3.0, 2.0)]),
        ([[request(1.0), request(2.0, "/b")]], [("/b", 2.0, 1.0), ("/a", 1.0, 1.0)]),
        (
            [[request(9.0, phase="websocket"), request(9.0, phase="body"), request(None), request(1.0, "")]],
            [],
        ),
        ([[request(9.0, phase="client")]], [("/a", 9.0, 1.0)]),
    ],
)
def test_the_slowest_of_each_path(
    looks: list[list[RequestFigures]], kept: list[tuple[str, float, float]]
) -> None:
    slowest = Slowest()
    for wall, requests in enumerate(looks, 1):
        slowest.note(requests, float(wall))
    assert [(each["target"], each["seconds"], each["seen"]) for each in slowest.told()] == kept


def test_so_many_of_the_slowest() -> None:
    slowest = Slowest()
    slowest.note((request(float(number), f"/{number}") for number in range(50)), 1.0)
    slowest.note([request(0.5, "/quick")], 2.0)
    assert [each["target"] for each in slowest.told()] == [f"/{number}" for number in range(49, 29, -1)]


def test_slow_requests_are_told_once_and_again_when_they_went_on() -> None:
    async def work() -> None:
        master = Master()
        watched = Watch(Answering(master.answer))
        async with viewing(watched) as viewer:
            await viewer.so_many(3)
            master.slow = [master.slow_one(2, 2), master.slow_one(3, 1, status=500)]
            await viewer.until(lambda: any(told["slow"] for told in viewer.told[1:]))
            async with viewing(watched) as later:
                await later.so_many(1)
        first, *rest = viewer.told
        assert [each["number"] for each in first["slow"]] == [1]
        assert first["now"]["is_slow_recorded"]
        (news,) = [told["slow"] for told in rest if told["slow"]]
        assert [(each["number"], each["status"]) for each in news] == [(2, 200), (1, 500)]
        assert [(each["number"], each["status"]) for each in later.told[0]["slow"]] == [(2, 200), (1, 500)]

    run(work())


def test_so_many_slow_requests_and_none_where_none_is_recorded() -> None:
    async def work() -> None:
        master = Master()
        master.slow = [master.slow_one(number, number) for number in range(1, 2 * watch.SLOW_TOLD)]
        async with viewing(Watch(Answering(master.answer))) as viewer:
            await viewer.so_many(2)
        told = [each["number"] for each in viewer.told[0]["slow"]]
        assert told == list(range(watch.SLOW_TOLD, 2 * watch.SLOW_TOLD))
        master.slow = None
        async with viewing(Watch(Answering(master.answer))) as viewer:
            await viewer.so_many(2)
        assert [told["slow"] for told in viewer.told] == [[], []]
        assert not viewer.told[0]["now"]["is_slow_recorded"]

    run(work())
