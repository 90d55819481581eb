"""What the master has of the control socket: its words, and that it can do without one."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest

from tricorn.arbiter import control, reports, signals
from tricorn.arbiter.arbiter import no_heavy
from tricorn.arbiter.control import Control
from tricorn.arbiter.generations import Generations
from tricorn.arbiter.goals import Problem
from tricorn.arbiter.ledger import Ledger
from tricorn.arbiter.pools import Pools
from tricorn.arbiter.reports import Sight
from tricorn.arbiter.systemd import ServiceManager
from tricorn.arbiter.target import first_target
from tricorn.arbiter.upgrade import Start, Upgrade
from tricorn.commands import ctl
from tricorn.config.settings import Settings
from tricorn.net.listener import ListenError
from tricorn.wishes import Wishes


def test_every_word_has_a_goal_and_every_command_a_word() -> None:
    assert set(signals.COMMANDS) == set(control.GOALS)
    assert set(ctl.VERBS) <= set(control.KNOWN)
    assert len(control.KNOWN) == len(set(control.KNOWN))


def test_each_signal_means_one_thing() -> None:
    numbers = [number for word in signals.WORDS for number in word.signals]
    assert len(numbers) == len(set(numbers))
    assert set(numbers) == set(signals.MEANING)


def test_old_problems_are_forgotten() -> None:
    problems = control.Problems()
    for number in range(control.PROBLEMS_KEPT + 5):
        problems.add(Problem(number, ""))
    assert [each.generation for each in problems.since(problems.count - 2)] == [103, 104]
    assert len(problems.since(0)) == control.PROBLEMS_KEPT
    assert problems.since(problems.count) == []


def never(*_: object) -> Any:
    raise AssertionError("nobody has asked")


def test_without_a_place_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It says so, and serves: nobody has asked for one. Where a path was set, somebody has."""
    (tmp_path / "file").touch()
    monkeypatch.setattr("tricorn.control.place.directories", lambda *_: iter([str(tmp_path / "file")]))
    monkeypatch.setattr(logging.getLogger("tricorn.error"), "propagate", True)
    made = Control(never, never, Wishes(), never)
    with caplog.at_level(logging.INFO, "tricorn.error"):
        made.open(Settings(), on_trial=False)
    assert "No control socket" in caplog.text
    assert list(made.watched(0.0)) == []
    assert made.next_deadline(0.0) is None
    made.attend()
    made.close(was_handed_over=False)
    with pytest.raises(ListenError):
        made.open(Settings(control_socket=str(tmp_path / "file" / "run" / "ctl")), on_trial=False)


def test_none_is_wanted(tmp_path: Path) -> None:
    made = Control(never, never, Wishes(), never)
    path = tmp_path / "ctl"
    made.open(Settings(control_socket=str(path), control_socket_disable=True), on_trial=False)
    assert os.listdir(tmp_path) == []


class Hostile:
    """What a configuration file may give."""

    def __str__(self) -> str:
        raise ZeroDivisionError

    __repr__ = __str__


def test_a_setting_that_cannot_be_shown() -> None:
    settings = Settings(proc_name=Hostile(), keyfile_password="sesame", raw_env=("A=sesame", "B=b=c"))
    shown = {each["name"]: each["value"] for each in reports.config(sight(settings))}
    assert shown["proc_name"] == "(cannot be shown)"
    assert shown["raw_env"] == "A=…,B=…"
    assert "sesame" not in str(shown)


NOTHING = {
    "phase": None,
    "method": None,
    "target": None,
    "client": None,
    "id": None,
    "http": None,
    "sent": None,
}


@pytest.mark.parametrize(
    ("told", "requests", "left_out"),
    [
        ({}, [], 0),
        ({"requests": 7, "left_out": "many"}, [], 0),
        ({"requests": [7, None], "left_out": 3}, [], 3),
        ({"requests": [{}]}, [{**NOTHING, "seconds": None}], 0),
        (
            {
                "requests": [
                    {"phase": 1, "method": ["GET"], "target": {}, "http": "2", "since": "x", "more": 1}
                ]
            },
            [{**NOTHING, "seconds": None}],
            0,
        ),
        (
            {"requests": [{"method": "GET", "client": "::1", "http": 11, "sent": 5, "since": 2_000_000_000}]},
            [{**NOTHING, "method": "GET", "client": "::1", "http": 11, "sent": 5, "seconds": 1.5}],
            0,
        ),
        ({"requests": [{"since": 9_000_000_000}]}, [{**NOTHING, "seconds": 0.0}], 0),
    ],
)
def test_what_a_worker_tells_is_taken_for_no_more_than_it_is(
    told: dict[str, Any], requests: list[dict[str, Any]], left_out: int
) -> None:
    """Its application can write there too."""
    found = reports.requests_told({"pid": 7, **told}, 3.5)
    assert found == {"pid": 7, "requests": requests, "left_out": left_out}


def sight(settings: Settings) -> Sight:
    start = Start()
    upgrade = Upgrade(start, ServiceManager({}), [])
    wishes = Wishes()
    pools = Pools(no_heavy, no_heavy, Generations({}, wishes))
    return Sight(settings, first_target(1, 64), (), {}, upgrade, 0.0, Ledger(), pools)
