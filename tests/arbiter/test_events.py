"""What the master has logged is what has happened."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tricorn.arbiter.events import KEPT, TEXT_MAX, Events
from tricorn.log.error import ErrorLogger, take_over

log = logging.getLogger("tricorn.error")


@pytest.fixture
def events() -> Iterator[Events]:
    before = (log.__class__, log.__dict__.copy())
    take_over(2, logging.INFO)
    assert isinstance(log, ErrorLogger)
    log.handlers[:] = [logging.NullHandler()]
    made = Events()
    made.begin()
    yield made
    made.end()
    log.__class__ = before[0]
    log.__dict__.clear()
    log.__dict__.update(before[1])


def test_they_are_counted_and_the_latest_kept(events: Events) -> None:
    for number in range(KEPT + 5):
        log.info("Event %d", number + 1)
    assert events.last == KEPT + 5
    assert [each["number"] for each in events.after(KEPT + 2)] == [KEPT + 3, KEPT + 4, KEPT + 5]
    assert len(events.after(0)) == KEPT
    assert events.after(KEPT + 5) == []


def test_what_an_event_says(events: Events) -> None:
    log.debug("Not told")
    log.warning("One %s", "a\nb", extra={"block": "x\ny"})
    log.error("z" * 1000)
    one, two = events.after(0)
    assert (one["level"], one["text"], one["detail"]) == ("warning", "One a\\x0Ab", "x\ny")
    assert one["time"] > 1e9
    assert len(two["text"]) == TEXT_MAX


def test_after_its_end_it_sees_nothing(events: Events) -> None:
    events.end()
    log.info("In a child")
    assert events.last == 0
