"""Whether the kernel has killed a process because memory ran out.

Knows: how Linux counts that, for a control group (cgroup v2's memory.events, v1's memory.oom_control) and
for the machine (/proc/vmstat). Must not know: workers, or what is said of them.

Nobody tells whose end was counted. So a kill that we did not send is put down to memory when the count has
risen shortly before; each rise explains one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from pathlib import Path

from tricorn.machine import groups
from tricorn.records import dataclass

#: A process may take this long from the kill to its end, seconds: its memory has to be taken apart.
REMEMBERED = 10.0

#: In which of a group's files the count stands: of version 1, of version 2.
FILES = ("memory.oom_control", "memory.events")


@dataclass(frozen=True)
class Counter:
    """Where the kernel counts such kills. is_own: only those of our control group (and of groups below
    it)."""

    path: Path
    is_own: bool

    def read(self) -> int | None:
        """None: it cannot be read (any more), or does not count (kernels before 4.13)."""
        try:
            lines = self.path.read_text().splitlines()
        except OSError:
            return None
        return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)


@dataclass(frozen=True)
class Rise:
    counter: Counter
    before: int
    seen_at: float

    def __str__(self) -> str:
        return f"oom_kill in {self.counter.path} rose from {self.before} to {self.before + 1}"


class Watch:
    """Counts from when it is made. counter: None: the kernel tells nothing here."""

    def __init__(self, counter: Counter | None) -> None:
        self.counter = counter
        self._seen = None if counter is None else counter.read()
        self._rises: deque[Rise] = deque(maxlen=1000)

    @property
    def is_blind(self) -> bool:
        return self._seen is None

    def look(self, now: float) -> None:
        count = None if self.counter is None else self.counter.read()
        if self.counter is None or count is None:
            return
        seen = count if self._seen is None else self._seen
        self._rises += (Rise(self.counter, number, now) for number in range(max(seen, count - 1000), count))
        self._seen = count

    def maybe_rise(self, now: float) -> Rise | None:
        """The one that explains a process which was killed and has ended just now."""
        self.look(now)
        while self._rises and now - self._rises[0].seen_at > REMEMBERED:
            self._rises.popleft()
        return self._rises.popleft() if self._rises else None


def watch(proc: Path = Path("/proc")) -> Watch:
    return Watch(next((counter for counter in _counters(proc) if counter.read() is not None), None))


def _counters(proc: Path) -> Iterable[Counter]:
    """Those that there may be, the best first."""
    for group in groups("memory", proc):
        yield Counter(group.path / FILES[group.is_v2], is_own=True)
    yield Counter(proc / "vmstat", is_own=False)
