"""Datagrams to somebody who may not be there: sent without waiting, and counted where they are lost.

Knows: datagram sockets. Must not know: what is sent, settings.
"""

from __future__ import annotations

import os
import socket
import time
from typing import Any

from tricorn.records import dataclass

#: Bound here: gevent and Eventlet put in its place what waits instead of raising.
new_socket = socket.socket

#: Of a Unix socket whose other end has been made anew: how long until it is tried again, in seconds.
RETRY = 1.0


@dataclass(frozen=True)
class Place:
    """Where something listens: a path, or a host and a port."""

    path: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        if self.path:
            return f"unix://{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def place_of(text: str, default_port: int) -> Place:
    """Of unix://PATH, unix:PATH, HOST, HOST:PORT, [IPV6], [IPV6]:PORT. ValueError says what is wrong."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        path = path[2:] if path.startswith("//") else path
        if not path:
            raise ValueError(f"{text!r} names no socket; write unix:///path/of/the/socket")
        return Place(path=path)
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            raise ValueError(f"{text!r} is no address; write [IPV6]:PORT")
        port = port[1:]
    else:
        host, _, port = text.partition(":")
    if not (port or str(default_port)).isdigit() or not 0 < int(port or default_port) < 65536:
        raise ValueError(f"{text!r} has no valid port; write HOST:PORT, for example localhost:{default_port}")
    return Place(host=host or "localhost", port=int(port or default_port))


def resolved(place: Place, kind: socket.SocketKind) -> tuple[socket.AddressFamily, Any]:
    """Family and address of the socket there. May ask a name server; OSError."""
    if place.path:
        return socket.AF_UNIX, place.path
    family, _, _, _, address = socket.getaddrinfo(place.host, place.port, type=kind)[0]
    return family, address


class Datagrams:
    """Sends to one place. Raises nothing after it is made; `lost` counts. Processes may share one.

    May raise OSError when it is made: the host has no address. A Unix socket need not be there yet.
    """

    def __init__(self, place: Place) -> None:
        family, self._address = resolved(place, socket.SOCK_DGRAM)
        self._is_path = bool(place.path)
        self._socket = new_socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        self._connected = False
        self._tried_at = -RETRY
        self.lost = 0
        self.reason = ""

    def send(self, packet: bytes) -> bool:
        """False: it is lost."""
        try:
            if not self._connected:
                self._connect()
            self._socket.send(packet)
        except OSError as error:
            # Of UDP, ECONNREFUSED tells of an earlier datagram; the socket stays good. A path may name
            # another socket by now.
            if self._is_path and not isinstance(error, BlockingIOError):
                self._connected = False
            self.lost += 1
            self.reason = os.strerror(error.errno) if error.errno else str(error)
            return False
        return True

    def _connect(self) -> None:
        now = time.monotonic()
        if now - self._tried_at < RETRY:
            raise ConnectionError("nobody listens there")
        self._tried_at = now
        self._socket.connect(self._address)
        self._connected = True

    def close(self) -> None:
        self._socket.close()
