"""When an alarm begins and when it ends: the table of what can raise one, and the state of each.

Knows: the settings of alarms, numbers, time as an argument. Must not know: where a number comes from, clocks,
who is told.

An alarm begins when its figure has been beyond the threshold for `alarm_pending_time` without a break, and
ends when it has been within a lower bound for as long. So a figure that moves around its threshold makes one
alarm and not twenty. Prometheus calls these two `for` and `keep_firing_for`, and their states `firing` and
`resolved`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tricorn.config.settings import Settings
from tricorn.records import dataclass

#: Of the threshold, where an alarm ends. What only touches the threshold again begins no other one.
LOWER = 0.8

#: A certificate that was renewed is good for weeks more; one day is enough to tell that from a clock that was
#: set.
DAY_MORE = 1


def _seconds(value: float) -> str:
    return f"{value:.3g} s"


def _share(value: float) -> str:
    return f"{value * 100:.3g} %"


def _bytes(value: float) -> str:
    return f"{value / (1 << 20):.0f} MiB"


def _days(value: float) -> str:
    return "1 day" if value == 1 else f"{value:.0f} days"


def _count(value: float) -> str:
    return f"{value:.0f}"


@dataclass(frozen=True)
class Rule:
    """What can raise an alarm. name: for programs. setting: has the threshold; 0: there is none. said: what
    is measured, with one place for the value. unit: of the value. is_low: it is too small that is bad.
    pends: it moves from one moment to the next, so that it has to last; else it is believed at once."""

    name: str
    setting: str
    said: str
    unit: str
    show: Callable[[float], str]
    is_low: bool = False
    pends: bool = True

    def ends_at(self, threshold: float) -> float:
        return threshold + DAY_MORE if self.is_low else threshold * LOWER


RULES: Sequence[Rule] = (
    Rule("queue_time", "alarm_queue_time", "requests wait {} before they begin (p95)", "seconds", _seconds),
    Rule("error_share", "alarm_error_share", "{} of the requests fail", "ratio", _share),
    Rule("memory", "alarm_memory", "the workers have {}", "bytes", _bytes),
    Rule(
        "restarts",
        "alarm_restarts",
        "workers that have ended unexpectedly: {}",
        "workers",
        _count,
        pends=False,
    ),
    Rule(
        "certificate",
        "alarm_certificate_days",
        "a certificate is valid for {} more",
        "days",
        _days,
        is_low=True,
        pends=False,
    ),
)

#: Of what is measured over a stretch of time: these need `metrics`.
COUNTED = ("alarm_queue_time", "alarm_error_share")


@dataclass(frozen=True)
class Change:
    """An alarm has begun (is_firing), or has ended. lasted: seconds, of one that has ended."""

    rule: Rule
    is_firing: bool
    value: float
    threshold: float
    lasted: float = 0.0

    @property
    def title(self) -> str:
        return f"Alarm {self.rule.name} {'begins' if self.is_firing else 'ends'}"

    @property
    def said(self) -> str:
        """How it is now, for people."""
        show = self.rule.show
        return f"{self.rule.said.format(show(self.value))} ({self.rule.setting}: {show(self.threshold)})"


class Alarm:
    def __init__(self, rule: Rule, threshold: float, pending_time: float) -> None:
        self.rule = rule
        self.threshold = threshold
        self._pending_time = pending_time
        #: When the alarm has begun, a monotonic instant; None: there is none.
        self.fired_at: float | None = None
        #: Since when the figure is where the alarm would begin, or end.
        self._since: float | None = None

    def judge(self, value: float, now: float) -> Change | None:
        """What becomes of it with this value; None: nothing."""
        if not self._is_across(value):
            self._since = None
            return None
        if self._since is None:
            self._since = now
        waits = self._pending_time if self.rule.pends or self.fired_at is not None else 0.0
        if now - self._since < waits:
            return None
        self._since = None
        if self.fired_at is None:
            self.fired_at = now
            return Change(self.rule, True, value, self.threshold)
        lasted, self.fired_at = now - self.fired_at, None
        return Change(self.rule, False, value, self.threshold, lasted)

    def _is_across(self, value: float) -> bool:
        """Whether it is where the other state would be the right one."""
        low = self.rule.is_low
        if self.fired_at is None:
            return value < self.threshold if low else value >= self.threshold
        end = self.rule.ends_at(self.threshold)
        return value >= end if low else value < end

    def go_on(self, before: Alarm) -> None:
        """Of an alarm of before the settings were read again."""
        self.fired_at = before.fired_at


class Alarms:
    """Those that the settings have thresholds for."""

    def __init__(self, settings: Settings, before: Alarms | None = None) -> None:
        thresholds = {rule.name: float(getattr(settings, rule.setting)) for rule in RULES}
        self._alarms = {
            rule.name: Alarm(rule, thresholds[rule.name], settings.alarm_pending_time)
            for rule in RULES
            if thresholds[rule.name]
        }
        for name, alarm in self._alarms.items():
            if before is not None and name in before._alarms:
                alarm.go_on(before._alarms[name])

    def __bool__(self) -> bool:
        return bool(self._alarms)

    def __contains__(self, name: str) -> bool:
        return name in self._alarms

    def judge(self, values: Mapping[str, float], now: float) -> list[Change]:
        """values: by the names of rules; what is not there is not known, and changes nothing."""
        changes = [alarm.judge(values[name], now) for name, alarm in self._alarms.items() if name in values]
        return [change for change in changes if change is not None]
