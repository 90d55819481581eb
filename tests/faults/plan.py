"""What is to fail in the server under test: the page that it shares with `faults.c`, and the library itself.

Knows: the C library that is loaded into the server. Must not know: HTTP.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

#: In the order of `enum call`.
CALLS = (
    "recv",
    "send",
    "sendmsg",
    "sendfile",
    "accept4",
    "shutdown",
    "setsockopt",
    "epoll_ctl",
    "epoll_wait",
    "dup",
    "open",
    "fstat",
    "lseek",
    "read",
    "write",
)


SOURCE = Path(__file__).with_name("faults.c")
_NUMBERS = ("armed", "peer", "call", "nth", "times", "error", "part", "struck")


class _Page(ctypes.Structure):
    """`struct plan`."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in _NUMBERS),
        ("counts", ctypes.c_int32 * len(CALLS)),
        ("below", ctypes.c_char * 256),
    )


@dataclass(frozen=True)
class Fault:
    """`times` calls from the nth on fail with `error`, or move no more than `part` bytes each."""

    call: str
    nth: int
    error: int = 0
    part: int = 0
    times: int = 1

    def __str__(self) -> str:
        what = errno.errorcode[self.error] if self.error else f"{self.part} bytes"
        return f"{self.call} {self.nth}{f' to {self.nth + self.times - 1}' if self.times > 1 else ''}: {what}"


class Plan:
    """below: the directory of the files whose calls count."""

    def __init__(self, directory: Path, below: Path) -> None:
        self.path = directory / "plan"
        self.path.write_bytes(bytes(mmap.PAGESIZE))
        with self.path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        self._page = _Page.from_buffer(self._memory)
        self._page.below = str(below).encode()

    def arm(self, peer: int, fault: Fault | None) -> None:
        """For the connection of the client that is bound to the port `peer`; None only counts."""
        page = self._page
        page.armed = page.nth = page.struck = 0
        page.counts = type(page.counts)()
        page.peer = peer
        if fault is not None:
            page.call = CALLS.index(fault.call)
            page.times, page.error, page.part = fault.times, fault.error, fault.part
            page.nth = fault.nth
        page.armed = 1

    def disarm(self) -> None:
        self._page.armed = 0

    @property
    def struck(self) -> int:
        return int(self._page.struck)

    @property
    def counts(self) -> dict[str, int]:
        return dict(zip(CALLS, self._page.counts, strict=True))


def preloaded(library: Path) -> dict[str, str]:
    """Of a process that has the library loaded, behind a sanitizer's, which wants to be the first."""
    return {"LD_PRELOAD": " ".join(filter(None, (os.environ.get("LD_PRELOAD"), str(library))))}


def build(directory: Path, source: Path = SOURCE) -> Path:
    """Compile a library that is loaded in front of the C library."""
    library = directory / f"{source.stem}.so"
    command = ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", library, source, "-ldl"]
    subprocess.run(command, check=True, timeout=60)
    return library
