"""What the figures of alarms are made of."""

from __future__ import annotations

from tricorn.alarms.windows import FAILURES_LEAST, Counted, Window
from tricorn.records import replace

BOUNDS = (1.0, 2.0, 4.0)
NOTHING = Counted(0, 0, 0, (0, 0, 0, 0), (0, 0, 0, 0), 0, 0)


def window() -> Window:
    made = Window(60.0, BOUNDS)
    made.values(NOTHING, 0.0)
    return made


def test_nothing_has_happened() -> None:
    assert window().values(NOTHING, 10.0) == {"queue_time": 0.0, "error_share": 0.0, "restarts": 0}


def test_what_there_was_before_the_first_look_does_not_count() -> None:
    old = Counted(50, 50, 50, (0, 0, 0, 50), (0, 0, 0, 50), 0, 9)
    made = Window(60.0, BOUNDS)
    assert made.values(old, 0.0) == {"queue_time": 0.0, "error_share": 0.0, "restarts": 0}


def test_the_share_is_of_the_window() -> None:
    made = window()
    bad = replace(NOTHING, ended=100, failed=20)
    assert made.values(bad, 10.0)["error_share"] == 0.2
    assert made.values(replace(bad, ended=200), 60.0)["error_share"] == 0.1
    # The look at 10 s is the window's beginning now, and what had failed is before it.
    assert made.values(replace(bad, ended=300), 75.0)["error_share"] == 0.0


def test_few_failures_are_no_share() -> None:
    made = window()
    few = replace(NOTHING, ended=FAILURES_LEAST, failed=FAILURES_LEAST - 1)
    assert made.values(few, 10.0)["error_share"] == 0.0
    more = replace(few, failed=FAILURES_LEAST)
    assert made.values(more, 11.0)["error_share"] == 1.0


def test_restarts() -> None:
    made = window()
    assert made.values(replace(NOTHING, restarts=3), 10.0)["restarts"] == 3
    assert made.values(replace(NOTHING, restarts=4), 69.0)["restarts"] == 4
    assert made.values(replace(NOTHING, restarts=4), 71.0)["restarts"] == 1


def test_the_queue_time_is_the_percentile_of_what_is_longer() -> None:
    made = window()
    waited = replace(NOTHING, begun=100, waiting=(100, 0, 0, 0))
    assert 0.9 <= made.values(waited, 10.0)["queue_time"] <= 1.0
    proxy = replace(waited, queue=(0, 0, 100, 0))
    assert 3.8 <= made.values(proxy, 11.0)["queue_time"] <= 4.0


def test_where_nothing_begins_those_wait_that_are_there() -> None:
    made = window()
    stands = replace(NOTHING, begun=5, pending=3)
    assert made.values(stands, 10.0)["queue_time"] == 0.0  # five have begun since the look before
    assert made.values(stands, 15.0)["queue_time"] == 5.0
    assert made.values(stands, 40.0)["queue_time"] == 30.0
    assert made.values(replace(stands, begun=6), 45.0)["queue_time"] == 0.0
    assert made.values(replace(stands, begun=6), 50.0)["queue_time"] == 5.0
    assert made.values(replace(stands, begun=6, pending=0), 55.0)["queue_time"] == 0.0
