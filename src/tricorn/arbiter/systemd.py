"""What the service manager is told (sd_notify(3)): ready, reloading, stopping, who is the main process, that
all is well, that something takes long.

Knows: the protocol, one datagram for each message. Must not know: when what is true.

By default systemd listens to the main process only (`NotifyAccess=main`). So while two masters live, the one
that is the main process speaks, and the other is silent.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping

log = logging.getLogger("tricorn.error")

VARIABLE = "NOTIFY_SOCKET"

#: Every how many microseconds a sign of life is expected, and of whom (sd_watchdog_enabled(3)).
WATCHDOG_INTERVAL = "WATCHDOG_USEC"
WATCHDOG_PID = "WATCHDOG_PID"

#: A sign of life comes so many times in the interval: one that is late does no harm.
SIGNS = 3

#: While a start or a stop takes long, its time is extended every so many seconds, and to how many.
EXTEND_EVERY = 5.0
EXTENSION = 15.0


class ServiceManager:
    """Tells whoever started this process, if that wants to be told: `environ` says so.

    Seconds; `now` is monotonic.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = _sockaddr(environ.get(VARIABLE, ""))
        self._is_silent = False
        self._interval = _interval(environ) if self._address else 0.0
        self._sign_at = 0.0
        self._extend_at = 0.0
        #: What could not be told, and was complained of: signs of life come again and again.
        self._failed: set[str] = set()

    def ready(self, status: str) -> None:
        """After the start and after each reload or upgrade, however that went."""
        self._tell("READY=1", f"MAINPID={os.getpid()}", f"STATUS={status}")

    def reloading(self, status: str = "Reloading") -> None:
        # The instant lets systemd tell this reload from one that it knows (Type=notify-reload).
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell("RELOADING=1", f"MONOTONIC_USEC={now}", f"STATUS={status}")

    def stopping(self, status: str) -> None:
        self._tell("STOPPING=1", f"STATUS={status}")

    def status(self, status: str) -> None:
        self._tell(f"STATUS={status}")

    def hand_over(self, pid: int, status: str) -> None:
        """Another process is the main one from now on, and says all that there is to say."""
        self._tell("READY=1", f"MAINPID={pid}", f"STATUS={status}")
        self.hush()

    def hush(self) -> None:
        self._is_silent = True

    def speak(self) -> None:
        self._is_silent = False

    def attend(self, now: float, *, is_well: bool, takes_long: bool) -> None:
        """To be called in each turn of a loop. is_well: give a sign of life when it is time. takes_long: what
        is under way (a start, a stop) may take longer than systemd would wait, and ends by itself."""
        if self._interval and is_well and now >= self._sign_at:
            self._sign_at = now + self._interval / SIGNS
            self._tell("WATCHDOG=1")
        if not takes_long:
            self._extend_at = 0.0
        elif not self._extend_at:
            self._extend_at = now + EXTEND_EVERY
        elif now >= self._extend_at:
            self._extend_at = now + EXTEND_EVERY
            self._tell(f"EXTEND_TIMEOUT_USEC={EXTENSION * 1e6:.0f}")

    @property
    def patience(self) -> float | None:
        """How long the loop may wait between two calls of `attend`, seconds; None: as long as it likes."""
        return self._interval / SIGNS if self._interval else None

    def _tell(self, *lines: str) -> None:
        if not self._address or self._is_silent:
            return
        # A status is one line, whatever it quotes.
        message = "\n".join(line.replace("\n", " ") for line in lines)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.sendto(message.encode("utf-8", "backslashreplace"), self._address)
        except OSError as error:
            if lines[0] in self._failed:
                return
            self._failed.add(lines[0])
            log.warning("%s: cannot tell the service manager %s: %s", VARIABLE, lines[0], error.strerror)


def handing_on(environ: Mapping[str, str], pid: int) -> dict[str, str]:
    """What another process needs in its environment to give the signs of life in place of this one."""
    return {WATCHDOG_PID: str(pid)} if WATCHDOG_PID in environ else {}


def _interval(environ: Mapping[str, str]) -> float:
    """Seconds; 0: no sign of life is expected of this process."""
    text, owner = environ.get(WATCHDOG_INTERVAL, ""), environ.get(WATCHDOG_PID, str(os.getpid()))
    is_number = text.isascii() and text.isdigit()
    return int(text) / 1e6 if is_number and owner == str(os.getpid()) else 0.0


def _sockaddr(address: str) -> bytes:
    """Empty: nobody wants to be told, or at an address of a kind that we do not know (vsock:…)."""
    if address.startswith("@"):
        return b"\0" + os.fsencode(address[1:])
    return os.fsencode(address) if address.startswith("/") else b""
