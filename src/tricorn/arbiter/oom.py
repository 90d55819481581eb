"""Whether the kernel has killed a process because memory ran out.

Knows: how Linux counts that, for a control group (cgroup v2's memory.events, v1's memory.oom_control) and
for the machine (/proc/vmstat). Must not know: workers, or what is said of them.

Nobody tells whose end was counted. So a kill that we did not send is put down to memory when the count has
risen shortly before; each rise explains one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

#: A process may take this long from the kill to its end, seconds: its memory has to be taken apart.
REMEMBERED = 10.0

#: In which of a group's files the count stands, by type of file system.
FILES = {"cgroup2": "memory.events", "cgroup": "memory.oom_control"}


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
    for directory, name in _directories(proc):
        yield Counter(directory / name, is_own=True)
    yield Counter(proc / "vmstat", is_own=False)


def _directories(proc: Path) -> Iterable[tuple[Path, str]]:
    """Where our control group may be seen, and the name of the file there (cgroups(7),
    proc_pid_mountinfo(5))."""
    try:
        groups = (proc / "self/cgroup").read_text().splitlines()
        mounts = (proc / "self/mountinfo").read_text().splitlines()
    except OSError:
        return
    paths = {}
    for group in groups:
        _, controllers, path = group.split(":", 2)
        if not controllers:
            paths["cgroup2"] = path
        elif "memory" in controllers.split(","):
            paths["cgroup"] = path
    for mount in mounts:
        place, _, system = mount.partition(" - ")
        kind, _, options = system.split(" ", 2)
        if kind not in paths or (kind == "cgroup" and "memory" not in options.split(" ")[-1].split(",")):
            continue
        root, point = place.split(" ")[3:5]
        yield Path(point) / _below(paths[kind], root), FILES[kind]


def _below(path: str, root: str) -> str:
    """The group's path below that which is mounted. From inside a container it may be none that is seen
    there."""
    prefix = root.rstrip("/") + "/"
    return path.removeprefix(prefix) if path.startswith(prefix) else ""
