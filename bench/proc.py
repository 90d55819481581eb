"""What the kernel knows of a process tree: processor time and memory. Reads /proc and process clocks only."""

import os
import re
import time
from pathlib import Path
from typing import Self

TICK = os.sysconf("SC_CLK_TCK")
SCHEDULED_TIME = 2  # CPUCLOCK_SCHED of linux/posix-timers.h: what the scheduler counted, in nanoseconds


def tree(pid: int) -> list[int]:
    """The process and its living descendants."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:
            continue  # the thread or the process has ended meanwhile
        for child in children:
            found += tree(int(child))
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of the tree: of the living in nanoseconds (ended threads included), of reaped
    children in clock ticks."""
    total = 0.0
    for member in tree(pid):
        try:
            total += time.clock_gettime(process_clock(member))
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += (int(fields[13]) + int(fields[14])) / TICK  # cutime, cstime
    return total


class Sleepers:
    """The threads of a process tree as it is now, to wait until none of them runs."""

    def __init__(self, pid: int) -> None:
        self._threads = [
            os.open(path, os.O_RDONLY)
            for member in tree(pid)
            for path in Path(f"/proc/{member}/task").glob("*/stat")
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            os.close(thread)

    def wait(self, patience: float) -> None:
        deadline = time.monotonic() + patience
        while any(map(runs, self._threads)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"a thread of the server still runs after {patience:.0f} s")


def runs(thread: int) -> bool:
    """Runs, or would if it had a processor. A thread that has ended does not."""
    try:
        return os.pread(thread, 512, 0).rpartition(b") ")[2][:1] == b"R"
    except ProcessLookupError:
        return False


def process_clock(pid: int) -> int:
    """What clock_getcpuclockid(3) returns, which Python does not offer for other processes."""
    return (~pid << 3) | SCHEDULED_TIME


def pss(pid: int) -> int:
    """Bytes of memory of one process, shared pages divided by the number of their users; 0 if it has gone."""
    try:
        found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def tree_pss(pid: int) -> int:
    return sum(pss(member) for member in tree(pid))


def worker_pss(pid: int) -> int:
    """The largest descendant: with one worker, that is it. A server without a master is its own worker."""
    return max((pss(member) for member in tree(pid)[1:]), default=0) or pss(pid)
