"""A few cells of `make lossless`, and how a cell is judged.

Each kind of server and each wire is among them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from lossless.clients import Tally, Trouble
from lossless.count import Result, count, is_good, weigh
from lossless.events import EVENTS, Event
from lossless.service import QUEUES, TRICORN

ONE_THREAD, THREADS, LOOP = TRICORN
_, _, LOOPS_WITH_QUEUES = QUEUES
NAMED = {event.name: event for event in EVENTS}

CELLS = [
    ("HUP", THREADS, "tls"),
    ("TERM", ONE_THREAD, "plain"),
]
#: More, for those who have time.
MORE = [
    ("max_requests = 100", LOOP, "plain"),
    ("TTIN, then TTOU", LOOP, "tls"),
    ("SEGV of a busy worker", ONE_THREAD, "tls"),
    ("HUP, broken configuration", THREADS, "plain"),
    ("refork", THREADS, "plain"),
    ("autoscale up", LOOP, "plain"),
    ("autoscale down", ONE_THREAD, "plain"),
    ("USR2", LOOPS_WITH_QUEUES, "plain"),
    ("KILL of an idle worker", LOOP, "tls"),
]


@pytest.mark.parametrize(
    ("name", "server", "wire"),
    [*CELLS, *(pytest.param(*cell, marks=pytest.mark.slow) for cell in MORE)],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_nothing_is_lost(name: str, server: Any, wire: str, tmp_path: Path) -> None:
    event = NAMED[name]
    result = count(server, wire, event, tmp_path / "cell", Path(sys.executable).parent)
    assert is_good(result, event), f"{result}\n" + "\n".join(result.what)
    assert result.answered > 20


# -- how a cell is judged

PLAIN = Event("", "", lambda _: None)
KILLS = Event("", "", lambda _: None, kills=2)
ENDS = Event("", "", lambda _: None, ends=True)
TOLD_AT, VICTIM, OTHER = 100.0, 7, 8


def trouble(name: str, sort: str = "failed", *, fresh: bool = True, began: float = TOLD_AT + 1) -> Trouble:
    return Trouble(name, sort, "", fresh, began)


JUDGED = [
    ("lost", PLAIN, [trouble("a")], [], {}, {"failed": 1}),
    ("refused", PLAIN, [trouble("a", "refused")], [], {}, {"refused": 1}),
    ("sent again", PLAIN, [], ["a"], {}, {}),
    ("begun and not answered", PLAIN, [], ["a"], {"a": OTHER}, {"failed": 1}),
    ("in the worker that was killed", KILLS, [trouble("a")], ["b"], {"a": VICTIM, "b": VICTIM}, {}),
    ("in another worker", KILLS, [trouble("a")], [], {"a": OTHER}, {"failed": 1}),
    ("refused while a worker is killed", KILLS, [trouble("a", "refused")], [], {}, {"refused": 1}),
    ("after the end", ENDS, [trouble("a", "refused")], [], {}, {}),
    ("before the end", ENDS, [trouble("a", began=TOLD_AT - 1)], [], {}, {"failed": 1}),
    ("begun after the end", ENDS, [trouble("a")], [], {"a": OTHER}, {"failed": 1}),
    ("cut after the end", ENDS, [trouble("a", "truncated")], [], {}, {"truncated": 1}),
    ("on an old connection, after the end", ENDS, [trouble("a", fresh=False)], [], {}, {"failed": 1}),
]


@pytest.mark.parametrize(
    ("event", "troubles", "resent", "begun", "lost"), [c[1:] for c in JUDGED], ids=[c[0] for c in JUDGED]
)
def test_judged(
    event: Event, troubles: list[Trouble], resent: list[str], begun: dict[str, int], lost: dict[str, int]
) -> None:
    result = Result("", "", "")
    tally = Tally(len(troubles) + len(resent), resent=resent, troubles=troubles)
    weigh(result, {"fresh": tally}, event, begun, {VICTIM}, TOLD_AT)
    assert result.lost == lost
    assert is_good(result, event) == (not lost)


def test_a_request_without_an_end_is_lost() -> None:
    result = Result("", "", "")
    weigh(result, {"fresh": Tally(begun=3, answered=2)}, PLAIN, {}, set(), TOLD_AT)
    assert result.lost == {"failed": 1}


def test_a_worker_can_have_had_so_many_only() -> None:
    result = Result("", "", "")
    names = ["a", "b", "c"]
    tally = Tally(3, troubles=[trouble(name) for name in names])
    weigh(result, {"fresh": tally}, KILLS, dict.fromkeys(names, VICTIM), {VICTIM}, TOLD_AT)
    assert result.own == 3
    assert not is_good(result, KILLS)
