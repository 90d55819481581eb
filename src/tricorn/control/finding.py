"""Which control sockets there are on this machine.

Knows: what the kernel tells of sockets (proc_pid_net(5), /proc/PID/fd), how files are named. Must not
know: who answers there.

The kernel knows who listens, so files that a killed server has left are not looked at, nor directories.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tricorn.control.place import NAMED, SECOND
from tricorn.records import dataclass

#: In /proc/net/unix: the flag of a listening socket (SO_ACCEPTCON), and the type of a stream.
_LISTENS = 0x10000
_STREAM = "0001"


@dataclass(frozen=True)
class Socket:
    """A listening Unix socket, by the path that it was bound to. That may lead to another one by now."""

    inode: str
    path: str


def all_of_masters() -> list[str]:
    """The paths of those that have the name of a control socket, in their order."""
    return sorted({each.path for each in _listening() if NAMED.fullmatch(os.path.basename(each.path))})


def of_process(pid: int) -> list[str]:
    """Paths at which a process may have its control socket; the likely ones first. Where a path was set, it
    is among all that this process listens at."""
    named = [path for path in all_of_masters() if _number_in(path) == pid]
    open_here = set(_inodes(pid))
    others = [each.path for each in _listening() if each.inode in open_here and each.path not in named]
    # One that was taken over from an older master was renamed since.
    return list(dict.fromkeys([*named, *(path.removesuffix(SECOND) for path in others), *others]))


def _number_in(path: str) -> int:
    found = NAMED.fullmatch(os.path.basename(path))
    return int(found[1]) if found else 0


def _listening() -> Iterator[Socket]:
    with suppress(OSError):
        text = Path("/proc/net/unix").read_text(encoding="utf-8", errors="surrogateescape")
        for line in text.splitlines()[1:]:
            words = line.split(maxsplit=7)
            # An abstract one has no file, and so no mode.
            if len(words) < 8 or not words[7].startswith("/") or words[4] != _STREAM:
                continue
            if int(words[3], 16) & _LISTENS:
                yield Socket(words[6], words[7])


def _inodes(pid: int) -> Iterator[str]:
    """Of the sockets that it has open. None of a process that is another user's."""
    directory = f"/proc/{pid}/fd"
    with suppress(OSError):
        for name in os.listdir(directory):
            with suppress(OSError):
                link = os.readlink(f"{directory}/{name}")
                if link.startswith("socket:["):
                    yield link[len("socket:[") : -1]
