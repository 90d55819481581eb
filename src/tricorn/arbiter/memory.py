"""How much memory a process has.

Knows: /proc (proc_pid_smaps(5), proc_pid_statm(5)). Must not know: limits, or what follows from them.
"""

from __future__ import annotations

import errno
import logging
from pathlib import Path

from tricorn.procfs import PAGE

log = logging.getLogger("tricorn.error")

#: The machine, or this process, has nothing left for another open file; soon it may have again.
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR})


class Scale:
    """Weighs as the settings ask for, as far as the kernel lets it."""

    def __init__(self) -> None:
        self._sees_pss = True

    def weigh(self, pid: int, measure: str) -> int:
        """Bytes, by "pss" or "rss". 0: the process has ended, or there is no descriptor left to look with."""
        try:
            return self._weigh(pid, measure)
        except OSError as error:
            if error.errno not in EXHAUSTED:
                raise
            return 0

    def _weigh(self, pid: int, measure: str) -> int:
        size = resident(pid)
        if size and measure == "pss" and self._sees_pss:
            try:
                return proportional(pid)
            except OSError as error:
                if error.errno in EXHAUSTED:
                    raise  # what it has by another measure would be compared with the same limits
                self._sees_pss = False
                log.warning(
                    "memory_measure: the PSS of workers cannot be read (%s); using rss", error.strerror
                )
        return size


def resident(pid: int) -> int:
    """Bytes of all pages that it has (RSS), those that it shares with others too. 0: it has ended."""
    try:
        words = Path(f"/proc/{pid}/statm").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(words[1]) * PAGE


def proportional(pid: int) -> int:
    """Bytes that are its own, and its share of those that it shares (PSS). 0: it has ended.

    Raises OSError where the kernel does not tell: it came with Linux 4.14, and of a process of another user
    it is told only those who may trace it.
    """
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except ProcessLookupError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
