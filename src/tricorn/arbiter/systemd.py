"""What the service manager is told (sd_notify(3)): ready, reloading, stopping.

Knows: the protocol, one datagram for each message. Must not know: when what is true.
"""

from __future__ import annotations

import logging
import os
import socket
import time

log = logging.getLogger("tricorn.error")

VARIABLE = "NOTIFY_SOCKET"


class ServiceManager:
    """Tells whoever started this process, if that wants to be told (`address` is the variable's value)."""

    def __init__(self, address: str) -> None:
        self._address = _sockaddr(address)

    def ready(self, status: str) -> None:
        """After the start and after each reload, however that went."""
        self._tell("READY=1", f"MAINPID={os.getpid()}", f"STATUS={status}")

    def reloading(self) -> None:
        # The instant lets systemd tell this reload from one that it knows (Type=notify-reload).
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell("RELOADING=1", f"MONOTONIC_USEC={now}", "STATUS=Reloading")

    def stopping(self, status: str) -> None:
        self._tell("STOPPING=1", f"STATUS={status}")

    def status(self, status: str) -> None:
        self._tell(f"STATUS={status}")

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        # A status is one line, whatever it quotes.
        message = "\n".join(line.replace("\n", " ") for line in lines)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.sendto(message.encode("utf-8", "backslashreplace"), self._address)
        except OSError as error:
            log.warning("%s: cannot tell the service manager %s: %s", VARIABLE, lines[0], error.strerror)


def _sockaddr(address: str) -> bytes:
    """Empty: nobody wants to be told, or at an address of a kind that we do not know (vsock:…)."""
    if address.startswith("@"):
        return b"\0" + os.fsencode(address[1:])
    return os.fsencode(address) if address.startswith("/") else b""
