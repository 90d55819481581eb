"""A worker looks at what the master wishes for: its stacks, another level of the log."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType, FunctionType
from typing import Any

import pytest

from tricorn.log import setup as log_setup
from tricorn.wishes import ANSWER_MAX, Wishes
from tricorn.workers import looking
from tricorn.workers.looking import Look


class Told:
    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


@pytest.fixture
def wishes() -> Wishes:
    return Wishes()


@pytest.fixture
def waiting() -> Iterator[threading.Thread]:
    gate = threading.Event()

    def wait_for_the_gate() -> None:
        gate.wait()

    thread = threading.Thread(target=wait_for_the_gate, name="waits")
    thread.start()
    yield thread
    gate.set()
    thread.join()


def test_stacks_are_shown_once_for_each_wish(wishes: Wishes, waiting: threading.Thread) -> None:
    told = Told()
    look = Look(wishes, told)
    look.in_handler()
    assert (wishes.answers(), told.times) == ([], 0)
    for number in (1, 2):
        assert wishes.want_stacks() == number
        look.in_handler()
        look.at_house()
        (answer,) = wishes.answers()
        assert (answer["wish"], answer["pid"], told.times) == (number, os.getpid(), number)
        (stack,) = [each["stack"] for each in answer["threads"] if each["name"] == waiting.name]
        assert stack.splitlines()[0].endswith("in wait_for_the_gate")
        assert "MainThread" not in [each["name"] for each in answer["threads"]]


def test_the_thread_that_looks_shows_what_it_was_called_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between frames of ours: those that have called the application, and those of the look."""

    def application() -> dict[str, Any]:
        return looking.stacks()

    def call(function: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        return function()

    server = FunctionType(call.__code__.replace(co_filename="server.py"), {})
    ours = {looking.__file__, "server.py"}
    monkeypatch.setattr(looking, "_is_ours", lambda frame: frame.f_code.co_filename in ours)
    (own,) = [each["stack"] for each in server(application)["threads"] if each["name"] == "MainThread"]
    places = [line for line in own.splitlines() if line.startswith("  File")]
    assert places[-1].endswith("in application")


def test_a_thread_that_a_signal_has_just_brought_to_us_shows_where_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its handler, a function of ours, stands above the application's frames when another thread looks."""
    came, gate = threading.Event(), threading.Event()

    def handler() -> None:
        came.set()
        gate.wait()

    def call(function: Callable[[], None]) -> None:
        function()

    def ours(function: Callable[..., None], **names: Any) -> Callable[..., None]:
        code = function.__code__.replace(co_filename=f"{looking.OURS}server.py")
        return FunctionType(code, names, None, None, function.__closure__)

    def application() -> None:
        ours(handler)()

    thread = threading.Thread(target=ours(call), args=(application,), name="interrupted")
    thread.start()
    came.wait()
    # As a handler of the interpreter's is found there: nothing of the standard library is above it.
    found = sys._current_frames
    monkeypatch.setattr(sys, "_current_frames", lambda: {k: _last_of_ours(f) for k, f in found().items()})
    try:
        (stack,) = [each["stack"] for each in looking.stacks()["threads"] if each["name"] == thread.name]
        places = [line for line in stack.splitlines() if line.startswith("  File")]
        assert [place.rpartition(" ")[2] for place in places] == ["application"]
    finally:
        gate.set()
        thread.join()


def _last_of_ours(frame: FrameType) -> FrameType:
    """Without what threading has above it."""
    while frame.f_code.co_filename == threading.__file__ and frame.f_back is not None:
        frame = frame.f_back
    return frame


def test_a_worker_that_is_young_answers_no_old_wish(wishes: Wishes) -> None:
    wishes.want_stacks()
    Look(wishes, Told()).at_house()
    assert wishes.answers() == []


def test_tasks_of_the_loop_that_runs_here(wishes: Wishes) -> None:
    async def inner(gate: asyncio.Event) -> None:
        await gate.wait()

    async def outer(gate: asyncio.Event) -> None:
        await inner(gate)

    async def main() -> list[dict[str, Any]]:
        gate = asyncio.Event()
        task = asyncio.create_task(outer(gate), name="the one")
        await asyncio.sleep(0)
        wishes.want_stacks()
        look.in_handler()
        gate.set()
        await task
        return wishes.answers()

    look = Look(wishes, Told())
    (answer,) = asyncio.run(main())
    (task,) = answer["tasks"]
    assert task["name"] == "the one"
    assert task["stack"].index("in outer") < task["stack"].index("in inner")


class Nameless(threading.Thread):
    @property
    def name(self) -> str:  # type: ignore[override]
        raise ValueError

    @name.setter
    def name(self, value: str) -> None:
        pass


def test_a_name_that_raises() -> None:
    assert looking._name_of(Nameless()) == "(its name raised ValueError)"
    assert looking._name_of(None) == "without a name"


def test_greenlets_that_wait() -> None:
    greenlet = pytest.importorskip("greenlet")

    def waits_for_ever() -> None:
        main.switch()

    main = greenlet.getcurrent()
    waits = greenlet.greenlet(waits_for_ever)
    waits.switch()
    stacks = [each["stack"] for each in looking.stacks()["greenlets"]]
    assert [stack.splitlines()[0].endswith("in waits_for_ever") for stack in stacks] == [True]


@pytest.mark.usefixtures("waiting")
def test_an_answer_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "TEXT_MAX", 10)
    found = looking.stacks()
    assert (found["threads"], found["tasks"]) == ([], [])
    assert found["left_out"] >= 1
    monkeypatch.undo()
    monkeypatch.setattr(looking, "_text_of", lambda _: "\N{SNOWMAN}" * (looking.TEXT_MAX // 2))
    assert len(json.dumps(looking.stacks())) < ANSWER_MAX


def test_what_is_no_answer(wishes: Wishes) -> None:
    wishes.want_stacks()
    for line in (
        b"no JSON\n",
        b"[]\n",
        b'{"wish": 0}\n',
        b"[" * 100000 + b"\n",
        b'{"wish": 1}\n',
        b'{"wish"',
    ):
        os.write(wishes._stacks._fd, line)
    assert wishes.answers() == [{"wish": 1}]
    os.write(wishes._stacks._fd, b": 1}\n")
    assert wishes.answers() == [{"wish": 1}]


def test_a_level_is_set_at_once_and_at_the_start(wishes: Wishes, monkeypatch: pytest.MonkeyPatch) -> None:
    levels: list[int] = []
    monkeypatch.setattr(log_setup, "set_level", levels.append)
    look = Look(wishes, Told())
    wishes.level = logging.DEBUG
    look.in_handler()
    assert levels == []  # a handler takes no locks
    look.at_house()
    look.at_house()
    Look(wishes, Told())
    assert levels == [logging.DEBUG, logging.DEBUG]


def test_what_goes_on_is_told_once_for_each_wish(wishes: Wishes) -> None:
    asked: list[int] = []

    def goes_on(most: int) -> list[dict[str, Any]]:
        asked.append(most)
        return [
            {"since": 2, "target": "/late"},
            {"since": 0, "target": None},
            {"since": 1, "target": "/early"},
        ]

    told = Told()
    look = Look(wishes, told)
    look.tell(goes_on)
    assert (asked, wishes.told(), told.times) == ([], [], 0)
    for number in (1, 2):
        assert wishes.want_requests() == number
        look.tell(goes_on)
        look.tell(goes_on)
        (answer,) = wishes.told()
        assert (answer["wish"], answer["pid"], told.times) == (number, os.getpid(), 0)
        assert [each["target"] for each in answer["requests"]] == ["/early", "/late", None]
        assert answer["left_out"] == 0
    wishes.want_requests()
    Look(wishes, told).tell(goes_on)  # of a worker that is young
    assert (wishes.told(), wishes.answers()) == ([], [])


def test_what_is_told_has_a_limit() -> None:
    """Of a worker with streams without end."""
    many = [{"since": 10**6 - each, "target": "\N{SNOWMAN}" * 5000, "id": None} for each in range(1000)]
    found = looking.requests(lambda most: many[:most])
    assert (len(found["requests"]), found["left_out"]) == (looking.REQUESTS_MOST, 900)
    assert found["requests"][0]["since"] == 10**6 - 999
    assert len(json.dumps(found)) < 6 * looking.WORD_MAX * looking.REQUESTS_MOST + 20000
