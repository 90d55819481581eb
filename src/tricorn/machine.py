"""What the machine, and the container around this process, let it have: processors, memory, file systems.

Knows: affinity, control groups of both versions (cgroups(7)), /proc. Must not know: who asks, what for.

What cannot be read limits nothing.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

from tricorn.records import dataclass

PROC = Path("/proc")
#: Version 1 has no word for "no limit", but a number beyond any machine.
UNLIMITED = 1 << 60


@dataclass(frozen=True)
class Group:
    """A control group as it is seen here. is_v2: by whose files. path: its directory. top: the highest one
    that is seen; from inside a container that is often the group itself."""

    is_v2: bool
    path: Path
    top: Path

    def levels(self) -> Iterator[Path]:
        """Its directory and those above: each may have a limit, and the lowest one counts."""
        yield self.path
        for above in self.path.parents if self.path != self.top else ():
            yield above
            if above == self.top:
                return


def groups(controller: str, proc: Path = PROC) -> Iterator[Group]:
    """Where this process's group may be seen (cgroups(7), proc_pid_mountinfo(5))."""
    try:
        memberships = (proc / "self/cgroup").read_text().splitlines()
        mounts = (proc / "self/mountinfo").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return
    paths = {}
    for membership in memberships:
        _, controllers, path = membership.split(":", 2)
        if not controllers:
            paths["cgroup2"] = path
        elif controller in controllers.split(","):
            paths["cgroup"] = path
    for mount in mounts:
        place, _, system = mount.partition(" - ")
        kind, _, options = system.split(" ", 2)
        if kind not in paths or (kind == "cgroup" and controller not in options.split(" ")[-1].split(",")):
            continue
        root, point = place.split(" ")[3:5]
        yield Group(kind == "cgroup2", Path(point) / _below(paths[kind], root), Path(point))


def _below(path: str, root: str) -> str:
    """The group's path below that which is mounted. From inside a container it may be none that is seen
    there."""
    prefix = root.rstrip("/") + "/"
    return path.removeprefix(prefix) if path.startswith(prefix) else ""


# ---- processors ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Processors:
    """machine: how many there are. allowed: on how many of them this process may run (affinity, cpusets).
    quota: how much processor time the container has, in processors; None: as much as there is."""

    machine: int
    allowed: int
    quota: float | None

    @property
    def usable(self) -> float:
        return min(self.allowed, self.quota or math.inf)

    @property
    def workers(self) -> int:
        """How many processes can keep them busy: one for each, and for what is left over."""
        return max(1, math.ceil(self.usable))

    def __str__(self) -> str:
        if self.quota is not None and self.quota < self.allowed:
            return f"the container may use {self.quota:g} of {self.machine} processors"
        if self.allowed < self.machine:
            return f"this process may run on {self.allowed} of {self.machine} processors"
        return f"there {'is 1 processor' if self.machine == 1 else f'are {self.machine} processors'}"


def processors(proc: Path = PROC) -> Processors:
    quotas = [
        quota for group in groups("cpu", proc) for level in group.levels() for quota in _quotas(group, level)
    ]
    allowed = len(os.sched_getaffinity(0))
    return Processors(os.cpu_count() or allowed, allowed, min(quotas, default=None))


def _quotas(group: Group, level: Path) -> Iterator[float]:
    """Of one level, in processors. Both versions have microseconds in each period."""
    if group.is_v2:
        words = _words(level / "cpu.max")
    else:
        words = _words(level / "cpu.cfs_quota_us") + _words(level / "cpu.cfs_period_us")
    if len(words) == 2 and all(word.isdigit() and int(word) > 0 for word in words):
        yield int(words[0]) / int(words[1])


# ---- memory ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Memory:
    """Bytes. machine: what there is. limit: what the container may have; None: as much as there is."""

    machine: int
    limit: int | None

    @property
    def usable(self) -> int:
        return self.machine if self.limit is None else min(self.machine, self.limit)


def memory(proc: Path = PROC) -> Memory:
    limits = [
        limit
        for group in groups("memory", proc)
        for level in group.levels()
        for limit in _limits(group, level)
    ]
    return Memory(_of_machine(proc), min(limits, default=None))


def _limits(group: Group, level: Path) -> Iterator[int]:
    for word in _words(level / ("memory.max" if group.is_v2 else "memory.limit_in_bytes")):
        if word.isdigit() and int(word) < UNLIMITED:
            yield int(word)


def _of_machine(proc: Path) -> int:
    words = _words(proc / "meminfo")
    return int(words[words.index("MemTotal:") + 1]) << 10 if "MemTotal:" in words else 0


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


# ---- file systems ----------------------------------------------------------------------------------------


def file_system(path: str, proc: Path = PROC) -> str:
    """The kind of file system that a path is on, as mount(8) calls it; empty: unknown."""
    best, kind = "", ""
    try:
        mounts = (proc / "self/mountinfo").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return ""
    for mount in mounts:
        place, _, system = mount.partition(" - ")
        point = place.split(" ")[4].replace("\\040", " ")
        if f"{path}/".startswith(f"{point.rstrip('/')}/") and len(point) >= len(best):
            best, kind = point, system.split(" ")[0]
    return kind
