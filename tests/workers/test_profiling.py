"""What the sampling profiler finds in this process, how much it keeps, and that it ends."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from harness.server import wait_for

from tricorn.wishes import PROFILE_MAX, Wishes
from tricorn.workers import profiling
from tricorn.workers.profiling import Sampler


@pytest.fixture
def wishes() -> Iterator[Wishes]:
    made = Wishes()
    made.want_profile(time.monotonic() + 60)
    yield made
    made.close()


def rests(gate: threading.Event) -> None:
    gate.wait()


def found(sampler: Sampler, name: str) -> list[tuple[str, list[str], float]]:
    """Stacks with a function of this name: kind, names from the outside, seconds."""
    answer = sampler.answer(1.0)
    stacks = [
        (kind, [answer["frames"][number][0].rpartition(".")[2] for number in numbers], seconds)
        for kind, numbers, seconds in answer["stacks"]
    ]
    return [each for each in stacks if name in each[1]]


def test_a_thread_is_where_it_waits(wishes: Wishes) -> None:
    gate = threading.Event()
    thread = threading.Thread(target=rests, args=(gate,), name="pool-12_3")
    thread.start()
    sampler = Sampler(wishes)
    try:
        for _ in range(3):
            sampler.look(0.5, time.monotonic())
    finally:
        gate.set()
        thread.join()
    ((kind, names, seconds),) = found(sampler, "rests")
    assert kind == "pool-N_N"  # one of a pool is like another
    assert names[0] == "rests"  # how threads begin is left out
    assert seconds == 1.5


def test_tasks_are_where_they_wait(wishes: Wishes) -> None:
    async def inner() -> None:
        await asyncio.sleep(60)

    async def outer() -> None:
        await inner()

    async def main() -> Sampler:
        tasks = [asyncio.ensure_future(outer()) for _ in range(3)]
        await asyncio.sleep(0)
        sampler = Sampler(wishes, asyncio.get_running_loop())
        await asyncio.get_running_loop().run_in_executor(None, sampler.look, 0.5, time.monotonic())
        for task in tasks:
            task.cancel()
        return sampler

    ((kind, names, seconds),) = found(asyncio.run(main()), "inner")
    assert (kind, names, seconds) == ("tasks", ["outer", "inner", "sleep"], 1.5)


def test_greenlets_are_where_they_wait(wishes: Wishes) -> None:
    greenlet = pytest.importorskip("greenlet")

    def parked() -> None:
        greenlet.getcurrent().parent.switch()

    one = greenlet.greenlet(parked)
    one.switch()
    sampler = Sampler(wishes)
    sampler.look(0.01, 10.0)
    sampler.look(0.01, 10.01)  # not again at once: all objects are gone through for it
    one.switch()
    ((kind, _, seconds),) = found(sampler, "parked")
    assert (kind, seconds) == ("greenlets", profiling.GREENLETS_INTERVAL)


def test_what_is_kept_and_told_is_bounded(wishes: Wishes) -> None:
    sampler = Sampler(wishes)
    long = "f" * profiling.NAME_MAX
    codes = [compile("pass", f"/{long}{number}", "exec") for number in range(profiling.STACKS_MAX + 50)]
    for number, code in enumerate(codes):
        assert not sampler._ours(code)
        sampler._count("MainThread", (id(code),), 1.0 + number % 2)
    assert len(sampler._seconds) == profiling.STACKS_MAX
    answer = sampler.answer(1.0)
    assert len(json.dumps(answer)) < PROFILE_MAX
    wishes.profiled(answer)
    (read,) = wishes.profiles()
    told = sum(seconds for _, _, seconds in read["stacks"])
    assert told + read["left_out"] == 1.5 * len(codes)
    assert read["stacks"][0][2] == 2.0
    assert len(read["stacks"]) > 500


class Slow(Sampler):
    """Each look is as dear as with very many tasks."""

    looks = 0

    def look(self, seconds: float, now: float) -> None:  # noqa: ARG002 - it looks at nothing
        self.looks += 1
        begin = time.thread_time()
        while time.thread_time() - begin < 0.004:
            pass


def test_it_rests_for_what_a_look_has_cost(wishes: Wishes) -> None:
    wishes.want_profile(time.monotonic() + 1.0)
    sampler = Slow(wishes)
    sampler.run(lambda: None)
    assert 1 <= sampler.looks <= 6  # 4 ms in 400


def ran(wishes: Wishes, told: list[Any]) -> threading.Thread:
    thread = threading.Thread(target=Sampler(wishes).run, args=(lambda: told.append(True),))
    thread.start()
    return thread


def test_it_ends_by_itself_and_tells(wishes: Wishes) -> None:
    wishes.want_profile(time.monotonic() + 0.1)
    told: list[Any] = []
    ran(wishes, told).join(10)
    (answer,) = wishes.profiles()
    assert answer["pid"] == os.getpid()
    assert answer["looks"] >= 1
    assert told == [True]


@pytest.mark.parametrize("how", ["nobody wants it any more", "somebody wants another one"])
def test_it_ends_without_a_word(how: str, wishes: Wishes) -> None:
    told: list[Any] = []
    thread = ran(wishes, told)
    if how.startswith("nobody"):
        wishes.end_profile()
    else:
        wishes.want_profile(time.monotonic() + 60)
    wait_for(lambda: not thread.is_alive(), "it has ended")
    assert wishes.profiles() == told == []
