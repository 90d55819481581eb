"""What has happened lately: what the master has logged, kept for those who ask.

Knows: records of `logging`. Must not know: who logs what, who asks.

Reloads, ends of workers, time limits, renewed certificates: the master logs all of them as it is, so there is
no second list of what may happen. What `loglevel` leaves out of the log is not here either.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import Any

from tricorn.log.setup import witness
from tricorn.records import dataclass

#: Some kilobytes; a service that reloads hourly fills it in a day.
KEPT = 200

#: Of one event, in characters. A traceback is longer; the log has it.
TEXT_MAX = 500
DETAIL_MAX = 4000


@dataclass(frozen=True)
class Event:
    """number: from 1, in their order. time: seconds since 1970. level: as in the log."""

    number: int
    time: float
    level: str
    text: str
    detail: str = ""


class Events:
    """The latest ones."""

    def __init__(self) -> None:
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self.last = 0

    def begin(self) -> None:
        witness(self.note)

    def end(self) -> None:
        """In a child: what it logs is its own affair."""
        witness(None)

    def note(self, record: logging.LogRecord) -> None:
        self.last += 1
        text, _, rest = record.getMessage().partition("\n")
        detail = str(getattr(record, "block", "") or rest)[:DETAIL_MAX]
        level = record.levelname.lower()
        self._kept.append(Event(self.last, round(record.created, 3), level, text[:TEXT_MAX], detail))

    def after(self, number: int) -> list[dict[str, Any]]:
        return [dict(vars(event)) for event in self._kept if event.number > number]
