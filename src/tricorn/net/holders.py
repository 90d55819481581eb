"""Who listens at an address that we cannot have.

Knows: /proc, as far as it may be read: of other users' processes nothing is seen. Must not know: what is done
about them.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tricorn.net.address import Address, TcpAddress, UnixAddress
from tricorn.procfs import stat_of
from tricorn.records import dataclass

#: In /proc/net/tcp: the state of a listening socket. In /proc/net/unix: the flag of one (SO_ACCEPTCON).
_TCP_LISTENS = "0A"
_UNIX_LISTENS = 0x10000

#: As much of a command line as helps to recognize it.
_COMMAND_MAX = 80


@dataclass(frozen=True)
class Holder:
    """A process that has the socket, and its parent's command."""

    pid: int
    command: str
    parent_command: str

    def __str__(self) -> str:
        return f"process {self.pid} ({self.command})"


def holders_of(address: Address) -> list[Holder]:
    """The processes that listen there, the oldest first; empty if there are none, or none that we may see."""
    inodes = set(_inodes(address))
    return [holder for holder in _processes(inodes) if holder.command] if inodes else []


def _inodes(address: Address) -> Iterator[str]:
    match address:
        case TcpAddress():
            for table in ("tcp", "tcp6"):
                yield from _tcp_inodes(table, address)
        case UnixAddress():
            yield from _unix_inodes(address)


def _tcp_inodes(table: str, address: TcpAddress) -> Iterator[str]:
    for line in _lines(f"/proc/net/{table}"):
        fields = line.split()
        host, _, port = fields[1].partition(":")
        if fields[3] == _TCP_LISTENS and int(port, 16) == address.port and _collide(host, address):
            yield fields[9]


def _collide(found: str, address: TcpAddress) -> bool:
    """Whether a socket there keeps us from ours. /proc shows addresses in words of the machine's order."""
    if address.is_wildcard or not int(found, 16):
        return True
    words = [int(found[start : start + 8], 16) for start in range(0, len(found), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
    with suppress(socket.gaierror):
        return any(
            socket.inet_pton(family, str(entry[4][0])) == packed
            for entry in socket.getaddrinfo(address.host, address.port, family, socket.SOCK_STREAM)
        )
    return False


def _unix_inodes(address: UnixAddress) -> Iterator[str]:
    name = str(address).removeprefix("unix:")
    for line in _lines("/proc/net/unix"):
        fields = line.split(maxsplit=7)
        if len(fields) == 8 and fields[7] == name and int(fields[3], 16) & _UNIX_LISTENS:
            yield fields[6]


def _processes(inodes: set[str]) -> Iterator[Holder]:
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        if any(link in wanted for link in _links(f"/proc/{pid}/fd")):
            yield Holder(pid, _command(pid), _command(_parent(pid)))


def _links(directory: str) -> Iterator[str]:
    # Processes come and go, and other users' do not show what they have open.
    with suppress(OSError):
        for name in os.listdir(directory):
            with suppress(OSError):
                yield os.readlink(f"{directory}/{name}")


def _parent(pid: int) -> int:
    stat = stat_of(pid)
    return int(stat[1]) if stat else 0


def _command(pid: int) -> str:
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        return b" ".join(words).decode("utf-8", "replace").strip()[:_COMMAND_MAX]
    return ""


def _lines(path: str) -> list[str]:
    with suppress(OSError):
        return Path(path).read_text(errors="replace").splitlines()[1:]
    return []
