"""Sockets that were opened before this process was: by the service manager (sd_listen_fds(3)), or by an older
master.

Knows: the variables that tell of them. Must not know: whose variables they are, what else there is to bind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tricorn.records import dataclass

#: All that describe the sockets. They mean this process only, so no child may see them.
VARIABLES = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "LISTEN_PIDFDID")

#: In which an older master tells the one that it has started what it needs (arbiter/upgrade.py).
PREDECESSOR = "TRICORN_PREDECESSOR"

#: The first descriptor; the others follow.
FIRST = 3

#: In an address, before the name of a socket or the number of a descriptor.
_FD = "fd://"


@dataclass(frozen=True)
class Passed:
    """One socket. name: `FileDescriptorName=` of its unit, else that of the unit; empty if none was told."""

    fd: int
    name: str

    @property
    def address(self) -> str:
        return f"{_FD}{self.fd}"


def handed_over(variables: Mapping[str, str], pid: int) -> tuple[Passed, ...]:
    """Those that were opened for this process, in their order."""
    count, owner = (_number(variables.get(name, "")) for name in ("LISTEN_FDS", "LISTEN_PID"))
    if owner != pid:
        return ()
    names = variables.get("LISTEN_FDNAMES", "").split(":")
    names += [""] * (count - len(names))
    return tuple(Passed(FIRST + place, names[place]) for place in range(count))


def handing_on(sockets: Sequence[Passed], pid: int) -> dict[str, str]:
    """The variables with which another process finds them."""
    if not sockets:
        return {}
    names = ":".join(each.name for each in sockets)
    return {"LISTEN_FDS": str(len(sockets)), "LISTEN_PID": str(pid), "LISTEN_FDNAMES": names}


def by_number(bind: str, sockets: Sequence[Passed]) -> tuple[str, ...]:
    """An address that names a socket (`fd://web`, `https://fd://web`), with the descriptors of that name; any
    other as it is. ValueError: there is no such socket."""
    scheme, is_fd, name = bind.strip().rpartition(_FD)
    if not is_fd or not name or name.isdigit():
        return (bind,)
    found = [each for each in sockets if each.name == name]
    if not found:
        known = ", ".join(sorted({each.name for each in sockets} - {""}))
        there_is = f"there is {known}" if known else "it has passed none with a name"
        raise ValueError(f"{bind!r}: systemd has not passed a socket called {name!r}; {there_is}")
    return tuple(f"{scheme}{each.address}" for each in found)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0
