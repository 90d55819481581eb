"""What the master keeps of slow requests."""

from __future__ import annotations

import fcntl
import math
import os
from collections.abc import Iterator
from typing import Any

import pytest

from tricorn import wishes as rooms
from tricorn.arbiter.slow import KEPT, KEPT_OF_CLIENTS, STACK_MAX, SlowRequests, maybe_record
from tricorn.wishes import Wishes


def note(number: int, slow: str = "application", **more: Any) -> dict[str, Any]:
    parts = {"client_sends": 0.0, "waiting": 0.0, "application": 2.5, "client_reads": 0.1}
    told = {"pid": 7, "number": number, "time": 1e9, "method": "GET", "path": "/report", "route": None}
    told |= {"http": 11, "status": 200, "id": None, "is_over": True, "has_left": False, "sent": 10}
    stacks = [{"after": 2.0, "stack": "at the database"}]
    return {**told, **parts, "seconds": 2.6, "slow": slow, "stacks": stacks, **more}


def numbers(slow: SlowRequests, after: int = 0, most: int = KEPT) -> list[int]:
    return [each["number"] for each in slow.after(after, most)]


def test_what_is_new_and_what_went_on() -> None:
    slow = SlowRequests()
    slow.add([note(1, is_over=False, status=None), note(2)])
    assert numbers(slow) == [1, 2]
    slow.add([note(1)])
    assert numbers(slow) == [2, 1]
    assert [each["is_over"] for each in slow.after(2)] == [True]
    slow.add([note(1, pid=8)])
    assert numbers(slow, 2) == [1, 1]
    assert numbers(slow, 0, 2) == [1, 1]
    assert numbers(slow, 0, 0) == []


def test_the_oldest_go() -> None:
    slow = SlowRequests()
    slow.add(note(number) for number in range(KEPT + 5))
    assert numbers(slow) == list(range(5, KEPT + 5))


def test_clients_that_dawdle_do_not_push_out_the_others() -> None:
    slow = SlowRequests()
    slow.add([note(0), note(1, "server")])
    slow.add(note(number, "client") for number in range(2, 1000))
    slow.add(note(number) for number in range(1000, 1050))
    kept = slow.after(0)
    assert len(kept) == KEPT
    assert [each["number"] for each in kept[:2]] == [0, 1]
    slow.add(note(number) for number in range(2000, 2000 + KEPT))
    of_clients = [each for each in slow.after(0) if each["slow"] == "client"]
    assert len(of_clients) <= KEPT_OF_CLIENTS


@pytest.mark.parametrize(
    "change",
    [
        {"pid": "7"},
        {"time": None},
        {"path": 5},
        {"status": "200"},
        {"waiting": []},
        {"route": 1},
        {"is_over": 1},
        {"seconds": math.nan},
        {"waiting": math.inf},
        {"sent": 10**30},
        {"time": 2**40},
        {"client_reads": -1.0},
    ],
    ids=str,
)
def test_what_is_none(change: dict[str, Any]) -> None:
    """The application may write where its worker does."""
    assert maybe_record(note(1)) is not None
    assert maybe_record({**note(1), **change}) is None
    assert maybe_record({}) is None


def test_what_is_too_much() -> None:
    found = maybe_record(
        note(1, path="/" * 10_000, stacks=[{"after": 1, "stack": "x" * 99_999}] * 99, more="x")
    )
    assert found is not None
    assert len(found["path"]) == 1000
    assert {len(each["stack"]) for each in found["stacks"]} == {STACK_MAX}
    assert (len(found["stacks"]), "more" in found) == (8, False)
    for stacks in (
        None,
        7,
        [None],
        [{}],
        [{"after": "1", "stack": ""}],
        [{"after": 1, "stack": 1}],
        [{"after": math.nan, "stack": ""}],
    ):
        found = maybe_record(note(1, stacks=stacks))
        assert found is not None
        assert found["stacks"] == []


# -- how it gets there


@pytest.fixture
def wishes() -> Iterator[Wishes]:
    made = Wishes()
    yield made
    made.close()


def test_notes_come_once_and_in_order(wishes: Wishes) -> None:
    assert wishes.noted() == []
    assert wishes.note([{"number": 1}, {"number": 2}])
    assert wishes.note([{"number": 3}])
    assert wishes.noted() == [{"number": 1}, {"number": 2}, {"number": 3}]
    assert wishes.noted() == []


def test_notes_are_bounded_and_the_room_is_given_back(wishes: Wishes) -> None:
    large = {"text": "x" * (1 << 20)}
    written = 0
    while wishes.note([large]):
        written += 1
    assert written == 4
    assert wishes.has_many_notes
    assert len(wishes.noted()) == written
    assert not wishes.has_many_notes
    assert wishes.note([{"number": 1}])
    assert wishes.noted() == [{"number": 1}]


def test_a_half_line_does_not_stop_what_follows(wishes: Wishes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that was killed, or an application that writes there."""
    monkeypatch.setattr(rooms, "NOTES_MANY", 100)
    os.write(wishes._notes._fd, b'{"number": 1, "te')
    assert wishes.note([{"number": 2}])
    assert wishes.note([{"number": 3}])
    assert wishes.noted() == [{"number": 3}]
    os.write(wishes._notes._fd, b"x" * 200)
    assert wishes.noted() == []
    assert wishes.note([{"number": 4}])
    assert wishes.noted() == [{"number": 4}]


def test_what_a_worker_writes_meanwhile_is_not_lost(wishes: Wishes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that writes has the lock, and so has a master that empties; neither waits for the other."""
    monkeypatch.setattr(rooms, "NOTES_MANY", 10)
    reader, writer = os.pipe()
    gate, opener = os.pipe()
    pid = os.fork()
    if pid == 0:
        fcntl.lockf(wishes._notes._fd, fcntl.LOCK_SH)
        os.write(wishes._notes._fd, b'{"number": 1}\n')
        os.write(writer, b"x")
        os.read(gate, 1)
        os.write(wishes._notes._fd, b'{"number": 2}\n')
        os._exit(0)
    assert os.read(reader, 1) == b"x"
    assert wishes.noted() == [{"number": 1}]  # read, and not thrown away
    size = wishes._notes.size
    assert size > 0
    os.write(opener, b"x")
    assert os.waitpid(pid, 0)[1] == 0
    assert wishes.noted() == [{"number": 2}]
    assert wishes._notes.size == 0
    for each in (reader, writer, gate, opener):
        os.close(each)
