"""When the master was there to hear its workers, and since when their silence counts.

Knows: instants. Must not know: clocks (time is an argument), workers, what follows from silence (decide.py).
"""

from __future__ import annotations

import logging

log = logging.getLogger("tricorn.error")

#: Being so much later than expected means that the whole machine (or container) stood still, or that a
#: reload took its time: either way what the workers said meanwhile could not be read. Seconds.
STALL = 1.0


class Presence:
    """All instants are monotonic seconds.

    turned_at: when the loop last came by. alive_at: before this instant no worker is blamed for silence.
    """

    def __init__(self, now: float) -> None:
        self.turned_at = self.alive_at = now

    def begin(self, now: float) -> None:
        """The loop starts. That the start took its time is no stall."""
        self.turned_at = now

    def note_turn(self, now: float, expected: float, excused_until: float) -> None:
        """Forgive the workers' silence up to now if the master itself comes here much later than expected.

        excused_until: when the last hook that has taken long returned. That is no suspension, and the log
        tells of it elsewhere.
        """
        self.turned_at = now
        self.alive_at = max(self.alive_at, excused_until)
        late = now - max(expected, excused_until)
        if late > STALL:
            log.warning("The master was suspended for %.1f s; this is not held against the workers", late)
            self.alive_at = now
