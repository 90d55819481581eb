"""How long responses that go on by themselves may do so while a worker drains.

Knows: the setting, instants, the log. Must not know: what a response is made of, how one is cut, the master.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Sequence

from tricorn.config.settings import Settings

log = logging.getLogger("tricorn.error")

#: Event streams end after so many seconds where nothing is set. Their clients connect again by themselves,
#: by the specification of EventSource, and what such a stream is about to say is not lost to them.
EVENT_STREAM_PATIENCE = 5.0

#: How often it is looked again, seconds: a response whose client was behind then may wait for its application
#: now.
AGAIN = 1.0

#: So many kinds of requests are named in the log.
MOST_NAMED = 5


class StreamLimits:
    """When responses of a worker that drains are cut, because their application goes on producing.

    cut(events_only) does it, and returns what was cut, as "GET /path".
    """

    def __init__(self, settings: Settings, cut: Callable[[bool], Sequence[str]]) -> None:
        set_to = settings.stream_timeout
        self.limit = (set_to or math.inf) if set_to is not None else math.inf
        self.event_limit = EVENT_STREAM_PATIENCE if set_to is None else self.limit
        self.next = math.inf
        #: When something was cut last; infinity: nothing was.
        self.cut_at = math.inf
        self._cut = cut
        self._began = 0.0

    def begin(self, now: float) -> None:
        self._began = now
        self.next = now + min(self.limit, self.event_limit)

    def attend(self, now: float) -> None:
        """Do what is due. `next` says when to come again; infinity: not at all."""
        if now < self.next:
            return
        passed = now - self._began
        cut = self._cut(passed < self.limit)
        if cut:
            self.cut_at = now
            log.info(
                "Cut %d response%s that still went on %.0f s after the drain began (stream_timeout): %s",
                len(cut),
                "" if len(cut) == 1 else "s",
                passed,
                _named(cut),
            )
        self.next = min(at for at in (now + AGAIN, self._began + self.limit) if at > now)


def _named(cut: Sequence[str]) -> str:
    kinds = Counter(label.partition("?")[0] for label in cut).most_common()
    text = ", ".join(f"{label} ({count})" if count > 1 else label for label, count in kinds[:MOST_NAMED])
    return text if len(kinds) <= MOST_NAMED else f"{text}, …"
