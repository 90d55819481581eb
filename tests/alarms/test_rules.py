"""When an alarm begins and ends: tables of values over time."""

from __future__ import annotations

from typing import Any

import pytest

from tricorn.alarms.rules import RULES, Alarm, Alarms, Change
from tricorn.config.settings import SETTINGS, Settings
from tricorn.records import replace

BY_NAME = {rule.name: rule for rule in RULES}

#: Of which alarm, its threshold, the values of each second, in which of them it begins (+) or ends (-).
CASES: list[tuple[str, float, list[float], str]] = [
    ("error_share", 0.1, [0, 0.09, 0.09, 0.09, 0.09, 0.09], "......"),
    ("error_share", 0.1, [0.1, 0.2, 0.1, 0.1, 0.1, 0.1], "...+.."),
    ("error_share", 0.1, [0.1, 0.2, 0.05, 0.1, 0.1, 0.1, 0.1], "......+"),
    # Around the threshold there is one alarm, and it goes on.
    ("error_share", 0.1, [0.1] * 4 + [0.09, 0.11, 0.085, 0.1] * 2, "...+........"),
    ("error_share", 0.1, [0.1] * 4 + [0.07] * 4 + [0.0] * 4, "...+...-...."),
    ("error_share", 0.1, [0.1] * 4 + [0.07, 0.07, 0.09, 0.07, 0.07, 0.07, 0.07], "...+......-"),
    ("queue_time", 1.0, [5.0] * 4 + [0.8] * 4 + [0.79] * 4, "...+.......-"),
    # These are not believed more by and by.
    ("restarts", 3, [2, 3, 3, 2, 2, 2, 2, 2], ".+.....-"[:3] + "...-."),
    ("restarts", 1, [0, 1, 0, 0, 0, 0], ".+...-"),
    ("certificate", 14, [20, 14, 13, 14, 14, 14, 14, 14], "..+....."),
    ("certificate", 14, [13, 90, 90, 90, 90], "+...-"),
    ("certificate", 14, [float("inf"), float("inf")], ".."),
]


@pytest.mark.parametrize("number", range(len(CASES)))
def test_over_time(number: int) -> None:
    name, threshold, values, expected = CASES[number]
    alarm = Alarm(BY_NAME[name], threshold, pending_time=3.0)
    changes = [alarm.judge(value, 100.0 + second) for second, value in enumerate(values)]
    marks = "".join("." if change is None else "+" if change.is_firing else "-" for change in changes)
    assert marks == expected


def test_what_a_change_says() -> None:
    alarm = Alarm(BY_NAME["error_share"], 0.05, pending_time=0.0)
    begun = alarm.judge(0.1234, 10.0)
    assert begun is not None
    assert (begun.title, begun.said) == (
        "Alarm error_share begins",
        "12.3 % of the requests fail (alarm_error_share: 5 %)",
    )
    ended = alarm.judge(0.0, 100.0)
    assert ended == Change(BY_NAME["error_share"], False, 0.0, 0.05, 90.0)
    assert ended.title == "Alarm error_share ends"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("queue_time", 1.234, "requests wait 1.23 s before they begin (p95)"),
        ("memory", 3 << 30, "the workers have 3072 MiB"),
        ("restarts", 4, "workers that have ended unexpectedly: 4"),
        ("certificate", 1, "a certificate is valid for 1 day more"),
        ("certificate", 12, "a certificate is valid for 12 days more"),
    ],
)
def test_values_are_shown_with_their_units(name: str, value: float, said: str) -> None:
    assert Change(BY_NAME[name], True, value, value).said.startswith(said)


def settings(**given: Any) -> Settings:
    return replace(Settings(), alarm_pending_time=0.0, **given)


def test_each_rule_has_a_setting_and_none_raises_an_alarm_by_default() -> None:
    assert {rule.setting for rule in RULES} <= set(SETTINGS)
    assert not Alarms(Settings())
    assert all(Alarms(settings(**{rule.setting: 1})) for rule in RULES)


def test_only_what_has_a_threshold_is_judged() -> None:
    alarms = Alarms(settings(alarm_restarts=2))
    assert "restarts" in alarms
    assert "memory" not in alarms
    assert alarms.judge({"memory": 1e12, "error_share": 1.0}, 1.0) == []
    assert [change.rule.name for change in alarms.judge({"restarts": 2, "memory": 1e12}, 2.0)] == ["restarts"]


def test_an_alarm_goes_on_when_settings_are_read_again() -> None:
    before = Alarms(settings(alarm_restarts=2))
    assert before.judge({"restarts": 5}, 10.0)
    after = Alarms(settings(alarm_restarts=4, alarm_memory=1), before)
    assert after.judge({"restarts": 5}, 20.0) == []  # it has begun already
    (ended,) = after.judge({"restarts": 3}, 30.0)
    assert (ended.is_firing, ended.lasted, ended.threshold) == (False, 20.0, 4)
