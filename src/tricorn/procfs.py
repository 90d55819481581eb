"""What the kernel tells of a process (proc_pid_stat(5)).

Knows: /proc. Must not know: whose processes they are, why somebody asks.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def stat_of(pid: int) -> list[str]:
    """The fields of its `stat` from the state on. Empty: it has ended, or there is no looking at it (no
    descriptor is left, say)."""
    try:
        # The name before the last bracket may contain anything.
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def usage_of(pid: int) -> tuple[float, int] | None:
    """The seconds of a processor that it has used, and its bytes in memory. None: it cannot be looked at."""
    stat = stat_of(pid)
    return (seconds_of(stat), memory_of(stat)) if stat else None


def seconds_of(stat: Sequence[str]) -> float:
    """Of a processor that it has used, in user mode and in the kernel."""
    return (int(stat[11]) + int(stat[12])) / TICKS


def memory_of(stat: Sequence[str]) -> int:
    """Bytes of it that are in memory (RSS)."""
    return int(stat[21]) * PAGE
