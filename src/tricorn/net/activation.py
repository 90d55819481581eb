"""Sockets that the service manager has opened for us (sd_listen_fds(3)).

Knows: the variables that tell of them. Must not know: whose variables they are, what else there is to bind.
"""

from __future__ import annotations

from collections.abc import Mapping

#: All that describe the sockets. They mean this process only, so no child may see them.
VARIABLES = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "LISTEN_PIDFDID")

#: The first descriptor; the others follow.
FIRST = 3


def handed_over(variables: Mapping[str, str], pid: int) -> tuple[str, ...]:
    """What to bind in order to use them: fd://3, fd://4, …; empty if none were opened for this process."""
    count, owner = (_number(variables.get(name, "")) for name in ("LISTEN_FDS", "LISTEN_PID"))
    return tuple(f"fd://{fd}" for fd in range(FIRST, FIRST + count)) if owner == pid else ()


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0
