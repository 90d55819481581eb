"""Who may wait, and what the log says of those who may not: the limits as such, at made-up times."""

from __future__ import annotations

import pytest

from tricorn.scoreboard import Board
from tricorn.transport.admission import Admission

SECOND = 1_000_000_000


def admission(most: int = 0, longest: int = 0) -> Admission:
    return Admission(Board(1, 1)[0], most, longest)


@pytest.mark.parametrize(
    ("most", "waiting", "spare", "full"),
    [
        (0, 0, 0, False),
        (0, 1000, 0, False),  # 0: no limit
        (2, 1, 0, False),
        (2, 2, 0, True),
        (2, 3, 2, False),  # two of them are about to be served
        (2, 4, 2, True),
    ],
)
def test_as_many_may_wait_as_are_not_about_to_be_served(
    most: int, waiting: int, spare: int, full: bool
) -> None:
    queue = admission(most)
    for _ in range(waiting):
        queue.enter()
    assert queue.is_full(spare) is full


@pytest.mark.parametrize(
    ("longest", "waited", "late"),
    [(0, 3600 * SECOND, False), (SECOND, SECOND, False), (SECOND, SECOND + 1, True)],
)
def test_as_long(longest: int, waited: int, late: bool) -> None:
    assert admission(longest=longest).is_late(5 * SECOND, 5 * SECOND + waited) is late


@pytest.mark.parametrize(("longest", "seconds"), [(0, "1"), (1, "1"), (SECOND, "1"), (SECOND + 1, "2")])
def test_come_again_when_those_who_wait_now_are_gone(longest: int, seconds: str) -> None:
    queue = admission(longest=longest)
    assert dict(queue.fields)["Retry-After"] == seconds
    assert dict(queue.octet_fields)[b"retry-after"] == seconds.encode()


def test_what_waits_for_a_route_is_told_apart() -> None:
    row = Board(1, 1)[0]
    queues = [Admission(row, 1, 0, "/a"), Admission(row, 1, 0, "/\r\n\u2028"), Admission(row, 1, 0)]
    for queue in queues:
        queue.enter()
    assert (row.waiting, row.waiting_apart) == (1, 2)
    said = [queue.refuse(False, SECOND) for queue in queues]
    assert said == [
        "Overloaded: requests below '/a' are refused with 503, because max_queue is reached",
        "Overloaded: requests below '/\\r\\n\\u2028' are refused with 503, because max_queue is reached",
        "Overloaded: requests are refused with 503, because max_queue is reached",
    ]
    assert queues[0].look(4 * SECOND) == "No longer overloaded: requests below '/a' refused in 0.0 s: 1"


def test_what_is_counted_stands_on_the_scoreboard() -> None:
    row = Board(1, 1)[0]
    queue = Admission(row, 1, 0)
    queue.enter()
    queue.enter()
    queue.leave()
    queue.refuse(False, SECOND)
    assert (row.waiting, row.refused) == (1, 1)


def test_a_burst_is_a_line_at_each_end_and_one_each_ten_seconds() -> None:
    queue = admission(1)
    said = []
    for tick in range(2500):  # ten a second
        now = (100 + tick // 10) * SECOND + tick % 10 * (SECOND // 10)
        said += [queue.refuse(False, now), queue.look(now)]
    for second in range(350, 360):
        said.append(queue.look(second * SECOND))
    lines = [line for line in said if line is not None]
    assert lines[0] == "Overloaded: requests are refused with 503, because max_queue is reached"
    assert lines[1:-1] == ["Overloaded: 100 more requests were refused in 10 s"] * 24
    assert lines[-1] == "No longer overloaded: requests refused in 249.9 s: 2500"


def test_the_next_burst_begins_anew() -> None:
    queue = admission(1)
    assert queue.look(SECOND) is None
    for start in (10 * SECOND, 20 * SECOND):
        assert queue.refuse(True, start) == (
            "Overloaded: requests are refused with 503, because max_queue_time is over"
        )
        assert queue.refuse(True, start + SECOND) is None
        assert queue.look(start + 2 * SECOND) is None
        assert queue.look(start + 3 * SECOND) == "No longer overloaded: requests refused in 1.0 s: 2"
