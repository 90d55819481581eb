"""The table of the HTTP/1 server machine: it says all that may happen, and nothing else can.

How the machine reads requests is what every other test of requests shows, through `RequestReader`.
"""

from __future__ import annotations

import re

import pytest

from tricorn.http.machine import EVENTS, STATES, TRANSITIONS
from tricorn.http.reader import RequestReader

#: What ends a connection may come at any time.
ALWAYS = {"INPUT_END", "REFUSED_MESSAGE"}

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"


def test_each_line_is_there_once_and_speaks_of_what_there_is() -> None:
    lines = [(state, event) for state, event, _, _ in TRANSITIONS]
    assert len(set(lines)) == len(lines)
    assert {state for state, *_ in TRANSITIONS} == set(STATES)
    assert {event for _, event, _, _ in TRANSITIONS} == set(EVENTS)
    assert {following for _, _, following, _ in TRANSITIONS} <= set(STATES)


def test_every_connection_can_end() -> None:
    """From each state the last one is reached, and from that there is no way back."""
    following = {state: {after for before, _, after, _ in TRANSITIONS if before == state} for state in STATES}
    for state in STATES:
        found = {state}
        while (more := found.union(*(following[each] for each in found))) != found:
            found = more
        assert "OVER" in found
    assert following["OVER"] == {"OVER"}


@pytest.mark.parametrize("state", STATES)
def test_a_client_may_end_and_break_the_protocol_at_any_time(state: str) -> None:
    assert {event for before, event, _, _ in TRANSITIONS if before == state} >= ALWAYS


def test_the_next_request_begins_only_where_one_has_ended() -> None:
    assert {before for before, _, after, _ in TRANSITIONS if after == "IDLE"} == {"COMPLETE", "SKIP"}


@pytest.mark.parametrize(("state", "event", "_", "why"), TRANSITIONS, ids=lambda value: value[:20])
def test_the_source_is_named(state: str, event: str, _: str, why: str) -> None:
    """What a reader can look up: a section, or the same as in the state before."""
    sections = re.findall(r"RFC 911[02] §\d+(?:\.\d+)*", why)
    assert sections or state in {"HEAD", "SKIP", "OVER"}, f"{state}, {event}"


@pytest.mark.parametrize("cut", range(1, len(HEAD)))
def test_a_head_that_is_cut_is_no_request(cut: int) -> None:
    reader = RequestReader()
    assert reader.feed(HEAD[:cut]) == []
    assert reader.finish() == []
    assert reader.is_closed


def test_nothing_is_read_behind_the_end() -> None:
    reader = RequestReader()
    reader.feed(HEAD + b"abc")
    assert not reader.is_closed
    reader.finish()
    assert reader.feed(HEAD) == []
