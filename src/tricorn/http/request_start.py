"""X-Request-Start: when a proxy took a request, as proxies write it.

There is no standard. In use are `t=` or nothing in front, and the time since the epoch in seconds (nginx:
`t=1700000000.123`), milliseconds (Heroku: `1700000000123`) or microseconds (Apache: `t=1700000000123456`).
Which it is the number of digits tells, until the year 2286.

Knows: that field. Must not know: who is believed, clocks, what becomes of the value.
"""

from __future__ import annotations

import re

_FORM = re.compile(rb"(?:t=)?([0-9]{10}|[0-9]{13}|[0-9]{16})(?:\.([0-9]{1,9}))?")

#: Digits before the point → how many nanoseconds is one.
_UNITS = {10: 10**9, 13: 10**6, 16: 10**3}

#: Clocks of two machines differ by a little. A time that lies further ahead, or so far back that nobody can
#: still be waiting, means something else. ns.
SKEW = 10**9
LONGEST = 3600 * 10**9

UNKNOWN = -1


def maybe_start(written: bytes) -> int | None:
    """The time that the field says, ns since the epoch."""
    found = _FORM.fullmatch(written)
    if found is None:
        return None
    whole, fraction = found[1], found[2] or b""
    unit = _UNITS[len(whole)]
    return int(whole) * unit + int(fraction.ljust(9, b"0")) * unit // 10**9


def waited(start: int, now: int) -> int:
    """How long it was from the one to the other, ns; UNKNOWN where that makes no sense."""
    return max(now - start, 0) if -SKEW <= now - start <= LONGEST else UNKNOWN
