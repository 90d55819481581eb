"""From a seed to what is to happen to which system call: the page that the server shares with `chaos.c`.

Knows: the library that is loaded into the server. Must not know: HTTP, tests.

A seed does not only choose the moments. It also chooses which faults there are, and how often they come: a
fault that comes all the time hides others behind it, so each seed leaves some out.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import random
from collections import Counter
from pathlib import Path

#: In the order of `enum call`.
CALLS = ("recv", "send", "sendmsg", "sendfile", "accept4", "epoll_wait", "poll", "write", "recvmsg")
#: What is no errno. A part of the work; done late; nothing to report; an event that is none.
WAYS = {"short": -1, "late": -2, "nothing": -3, "spurious": -4}
MOST_FAULTS = 16

#: Class of plans → call → way → how often in a thousand calls it comes at most.
Rates = dict[str, dict[str, int]]
_RECV = {"short": 150, "EAGAIN": 80, "EINTR": 40}
_SEND = {"short": 150, "EAGAIN": 80, "EINTR": 40}
HARMLESS: Rates = {
    "recv": _RECV,
    "send": _SEND,
    "sendmsg": _SEND | {"late": 20},
    "sendfile": _SEND | {"late": 20},
    "accept4": {"EAGAIN": 80, "EINTR": 80, "ECONNABORTED": 80},
    "epoll_wait": {"EINTR": 60, "nothing": 60, "spurious": 150},
    "poll": {"EINTR": 100, "nothing": 60, "spurious": 100},
    "write": {"short": 150, "EINTR": 80, "late": 60},
    "recvmsg": {"EAGAIN": 150, "EINTR": 150},
}
#: On top of those.
BREAKING: Rates = {
    "recv": {"ECONNRESET": 20, "ETIMEDOUT": 10},
    "send": {"EPIPE": 20, "ECONNRESET": 20, "ENOBUFS": 20},
    "sendmsg": {"EPIPE": 20, "ECONNRESET": 20, "ENOBUFS": 20, "ENOMEM": 20},
    "sendfile": {"EPIPE": 20, "ECONNRESET": 20, "EIO": 20},
    "accept4": {"EMFILE": 40, "ENFILE": 20, "ENOBUFS": 20},
    "write": {"ENOSPC": 60, "EIO": 30},
}
CLASSES: dict[str, tuple[Rates, ...]] = {"harmless": (HARMLESS,), "breaking": (HARMLESS, BREAKING)}


class _Fault(ctypes.Structure):
    """`struct fault`."""

    _fields_ = (("way", ctypes.c_int32), ("per_mille", ctypes.c_int32))


class _Page(ctypes.Structure):
    """`struct page`."""

    _fields_ = (
        ("seed", ctypes.c_uint64),
        ("faults", _Fault * MOST_FAULTS * len(CALLS)),
        ("struck", ctypes.c_uint32 * MOST_FAULTS * len(CALLS)),
    )


def rates(seed: str, which: str) -> Rates:
    """What a seed makes of a class of plans."""
    rng = random.Random(f"{which} {seed}")
    return {
        call: {
            way: share
            for table in CLASSES[which]
            for way, most in table.get(call, {}).items()
            if (share := round(most * rng.choice((0, 0.2, 1))))
        }
        for call in CALLS
    }


class Plan:
    """One plan in a file, for all servers that are started with `environ`."""

    def __init__(self, path: Path, seed: str, faults: Rates) -> None:
        self.path = path
        path.write_bytes(bytes(ctypes.sizeof(_Page)))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), ctypes.sizeof(_Page))
        self._page = _Page.from_buffer(self._memory)
        self._page.seed = random.Random(seed).getrandbits(64)
        self.change(faults)

    def change(self, faults: Rates) -> None:
        """From now on these; what has happened is forgotten."""
        self.faults = faults
        self._page.faults = type(self._page.faults)()
        self._page.struck = type(self._page.struck)()
        for number, call in enumerate(CALLS):
            for place, (way, share) in enumerate(faults.get(call, {}).items()):
                self._page.faults[number][place] = _Fault(_code(way), share)

    def environ(self, library: Path) -> dict[str, str]:
        return {"LD_PRELOAD": str(library), "CHAOS_PLAN": str(self.path)}

    @property
    def struck(self) -> Counter[str]:
        """How often what has happened, as "call way"."""
        counts = Counter(
            {
                f"{call} {way}": int(self._page.struck[number][place])
                for number, call in enumerate(CALLS)
                for place, way in enumerate(self.faults.get(call, {}))
            }
        )
        return +counts


def _code(way: str) -> int:
    return WAYS[way] if way in WAYS else int(getattr(errno, way))
