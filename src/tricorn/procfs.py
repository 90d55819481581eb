"""What the kernel tells of a process (proc_pid_stat(5)).

Knows: /proc. Must not know: whose processes they are, why somebody asks.
"""

from __future__ import annotations

from pathlib import Path


def stat_of(pid: int) -> list[str]:
    """The fields of its `stat` from the state on. Empty: it has ended, or there is no looking at it (no
    descriptor is left, say)."""
    try:
        # The name before the last bracket may contain anything.
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []
