"""Listening sockets of one master that another one in its place goes on with, as text for its environment.

Knows: addresses, socket files, and that descriptors keep their numbers over fork and exec. Must not know: who
hands on what to whom, or when.

The two ends may be of different versions. So keys are only ever added here, and nobody minds those that it
does not know.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tricorn.net.address import Address, FdAddress, TcpAddress, UnixAddress
from tricorn.net.listener import FileIdentity, Listener, ListenError

Table = list[dict[str, Any]]


def described(listeners: Iterable[Listener]) -> Table:
    return [
        {
            "fd": listener.fileno(),
            "more": [sock.fileno() for sock in listener.more],
            "wanted": _words(listener.wanted),
            "address": _words(listener.address),
            "file": listener.file and [os.fsdecode(listener.file.path), listener.file.inode],
        }
        for listener in listeners
    ]


def descriptors(table: Table) -> list[int]:
    """All that the table names."""
    return [fd for entry in table for fd in (entry["fd"], *entry.get("more", ()))]


def inherited(table: Table) -> list[Listener]:
    """The listeners that it describes. Their files stay the predecessor's until they are owned (`own`).

    ListenError: a descriptor is not what the table says.
    """
    return [_inherited(entry) for entry in table]


def _inherited(entry: Mapping[str, Any]) -> Listener:
    wanted, address = _address(entry["wanted"]), _address(entry["address"])
    sock, *more = [_socket(int(fd), address) for fd in descriptors([dict(entry)])]
    listener = Listener(sock, wanted, address, _file(entry.get("file")), more)
    listener.disown()
    return listener


def _socket(fd: int, address: Address) -> socket.socket:
    try:
        sock = socket.socket(fileno=fd)
        is_listening = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise ListenError(
            f"Cannot listen on {address}: inherited descriptor {fd}: {error.strerror}"
        ) from None
    if not is_listening:
        sock.detach()
        raise ListenError(f"Cannot listen on {address}: inherited descriptor {fd} is no listening socket")
    sock.set_inheritable(False)
    sock.setblocking(False)
    return sock


def _file(entry: Any) -> FileIdentity | None:
    if not entry:
        return None
    path, inode = entry
    return FileIdentity(os.fsencode(path), inode and (inode[0], inode[1]))


def _words(address: Address) -> list[Any]:
    match address:
        case TcpAddress():
            return ["tcp", address.host, address.port]
        case UnixAddress():
            return ["unix", address.path, address.abstract]
        case FdAddress():
            return ["fd", address.fd]


def _address(words: list[Any]) -> Address:
    kinds: dict[str, Callable[..., Address]] = {"tcp": TcpAddress, "unix": UnixAddress, "fd": FdAddress}
    kind, *values = words
    return kinds[kind](*values)
