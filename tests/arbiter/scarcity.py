"""What is scarce for a master under test and for its workers: the page that it shares with `scarce.c`, and
descriptors, of which the kernel gives no more.

Knows: the C library that is loaded into them, limits of processes. Must not know: what they do without.
"""

from __future__ import annotations

import mmap
import os
import resource
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from faults.plan import build
from harness.server import wait_for

#: In the order of `enum call`.
CALLS = ("none", "fork", "pipe", "mmap", "poll", "open", "epoll_create", "exec", "epoll_ctl")

SOURCE = Path(__file__).with_name("scarce.c")
_PLAN = struct.Struct("5i")


class Scarcity:
    def __init__(self, directory: Path) -> None:
        self._path = directory / "scarce"
        self._path.write_bytes(bytes(mmap.PAGESIZE))
        with self._path.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        self._library = build(directory, SOURCE)

    @property
    def environ(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self._library), "SCARCE_PLAN": str(self._path)}

    def begin(self, master: int, call: str, error: int, times: int, *, in_master: bool = True) -> None:
        """The next calls of this kind fail, so many of them."""
        self._page[: _PLAN.size] = _PLAN.pack(master, in_master, CALLS.index(call), error, times)

    def wait_over(self) -> None:
        """Until that has happened."""
        wait_for(lambda: _PLAN.unpack(self._page[: _PLAN.size])[-1] <= 0, "the calls have failed")


@contextmanager
def without_descriptors(*pids: int) -> Iterator[None]:
    """These processes have none left: all numbers below their limit are taken."""
    with ExitStack() as limits:
        for pid in pids:
            _, hard = before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (_lowest_free(pid), hard))
            limits.callback(resource.prlimit, pid, resource.RLIMIT_NOFILE, before)
        yield


def _lowest_free(pid: int) -> int:
    used = _open_in(pid)
    time.sleep(0.02)
    used &= _open_in(pid)  # without what was open for a moment
    return next(number for number in range(len(used) + 1) if number not in used)


def _open_in(pid: int) -> set[int]:
    return {int(number) for number in os.listdir(f"/proc/{pid}/fd")}
