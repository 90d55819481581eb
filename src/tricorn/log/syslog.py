"""Both logs to syslog: what a message looks like there, and a sender that nobody waits for.

Knows: syslog's messages (RFC 3164, RFC 6587 for streams), Gunicorn's names for programs. Must not know:
settings, what is logged.

A message is `<priority>program: [pid] text` in one line, as Gunicorn has it; the server of syslog adds time
and host. Line breaks of a traceback become `#012`, as rsyslog writes them, whatever the transport: over a
stream a line break ends the message, and what follows could pass for another one.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import weakref
from collections import deque
from contextlib import suppress
from typing import Protocol

from tricorn.log.datagrams import Datagrams, Place, place_of, resolved
from tricorn.log.escape import escape_line
from tricorn.log.levels import of_level
from tricorn.records import dataclass

#: Bound here: gevent and Eventlet put in its place what waits instead of raising.
new_socket = socket.socket

#: The facilities of syslog.h (RFC 5424 §6.2.1).
FACILITIES = {
    "kern": 0,
    "user": 1,
    "mail": 2,
    "daemon": 3,
    "auth": 4,
    "syslog": 5,
    "lpr": 6,
    "news": 7,
    "uucp": 8,
    "cron": 9,
    "authpriv": 10,
    "ftp": 11,
    **{f"local{number}": 16 + number for number in range(8)},
}
INFO = 6
#: Levels of logging → severities (RFC 5424 §6.2.1); what is in between is the next lower one.
SEVERITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, INFO))
DEBUG = 7

#: Longer messages are cut. What rsyslog takes by default (maxMessageSize).
LONGEST = 8192
#: How much may wait for a slow receiver of a stream, in bytes.
MOST_WAITING = 1 << 18
#: Between two tries to connect, and between two reports of lost messages, in seconds.
RETRY = 1.0
REPORT_INTERVAL = 60.0


@dataclass(frozen=True)
class SyslogAddress:
    place: Place
    is_stream: bool


def parse_address(text: str) -> SyslogAddress:
    """The forms of Gunicorn's syslog_addr. ValueError says what to write instead."""
    scheme, separator, rest = text.partition("://")
    if scheme == "unix" and separator:
        path, _, kind = rest.partition("#")
        if kind not in ("", "dgram", "stream"):
            raise ValueError(f"{text!r} ends in #{kind}; write #dgram or #stream")
        return SyslogAddress(place_of(f"unix:{path}", 0), kind == "stream")
    if scheme not in ("udp", "tcp") or not separator:
        raise ValueError(
            f"{text!r} is no address of syslog; write udp://HOST:PORT, tcp://HOST:PORT or unix://PATH"
        )
    return SyslogAddress(place_of(rest, 514), scheme == "tcp")


class Carrier(Protocol):
    lost: int
    reason: str

    def send(self, packet: bytes) -> bool: ...
    def close(self) -> None: ...


class Frames:
    """Messages over a stream: what the receiver does not take waits, up to a limit.

    A message that was sent in part when the connection broke is sent again as a whole.
    """

    def __init__(self, place: Place) -> None:
        self._family, self._address = resolved(place, socket.SOCK_STREAM)
        # RFC 6587 §3.4.2: a line feed, for want of a better one. syslog(3) ends messages on a Unix stream so.
        self._end = b"\0" if place.path else b"\n"
        self._socket: socket.socket | None = None
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._sent = 0  # of the first that waits
        self._tried_at = -RETRY
        self.lost = 0
        self.reason = ""

    def send(self, packet: bytes) -> bool:
        """False: there is no room left for it."""
        fits = self._size + len(packet) < MOST_WAITING
        if fits:
            self._waiting.append(packet + self._end)
            self._size += len(packet) + 1
        else:
            self.lost += 1
        try:
            with suppress(BlockingIOError):  # it waits
                self._push()
        except OSError as error:
            self.reason = os.strerror(error.errno) if error.errno else str(error)
            self.close()
        return fits

    def _push(self) -> None:
        if self._socket is None:
            self._connect()
        assert self._socket is not None
        while self._waiting:
            first = self._waiting[0]
            self._sent += self._socket.send(first[self._sent :], socket.MSG_NOSIGNAL)
            if self._sent == len(first):
                self._waiting.popleft()
                self._size -= len(first)
                self._sent = 0

    def _connect(self) -> None:
        now = time.monotonic()
        if now - self._tried_at < RETRY:
            raise BlockingIOError
        self._tried_at = now
        made = new_socket(self._family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        self._socket = made
        made.connect_ex(self._address)  # what becomes of it, the first send says

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._sent = 0

    def begin_anew(self) -> None:
        """In a child: the connection, and what waits, are the parent's."""
        self.close()
        self._waiting.clear()
        self._size = 0
        self._tried_at = -RETRY


class Syslog:
    """One server of syslog, for all threads of a process. May raise OSError when it is made: no such host."""

    def __init__(self, address: SyslogAddress, facility: str) -> None:
        self._carrier: Carrier = Frames(address.place) if address.is_stream else Datagrams(address.place)
        self._facility = FACILITIES[facility] << 3
        self._lock = threading.Lock()
        self._reported = 0
        self._reported_at = -REPORT_INTERVAL
        _all.add(self)

    def send(self, severity: int, head: bytes, text: bytes) -> None:
        """head: the program's name, and who it is. Waits for nobody, raises nothing."""
        with self._lock:
            self._carrier.send((b"<%d>%s" % (self._facility | severity, head) + text)[:LONGEST])
        if self._carrier.lost != self._reported:
            self._report()

    def _report(self) -> None:
        now = time.monotonic()
        if now - self._reported_at < REPORT_INTERVAL:
            return
        lost = self._carrier.lost - self._reported
        # First: the report itself goes to syslog too, and may be lost.
        self._reported_at = now
        self._reported = self._carrier.lost
        logging.getLogger("tricorn.error").warning(
            "Syslog: %d messages lost: %s", lost, self._carrier.reason or "it takes them too slowly"
        )

    def close(self) -> None:
        _all.discard(self)
        self._carrier.close()

    def enter_child(self) -> None:
        self._lock = threading.Lock()
        if isinstance(self._carrier, Frames):
            self._carrier.begin_anew()


_all: weakref.WeakSet[Syslog] = weakref.WeakSet()


def _enter_child() -> None:
    for each in list(_all):
        each.enter_child()


os.register_at_fork(after_in_child=_enter_child)


def program(prefix: str, log: str) -> bytes:
    """What the server of syslog calls the program: Gunicorn's form, which filters are written for."""
    return f"gunicorn.{escape_line(prefix).replace(' ', '_')}.{log}: ".encode()


class SyslogLines:
    """For the access log: lines that are escaped already."""

    def __init__(self, syslog: Syslog, prefix: str) -> None:
        self._syslog = syslog
        self._head = program(prefix, "access") + b"[%d] " % os.getpid()

    def __call__(self, line: bytes) -> None:
        self._syslog.send(INFO, self._head, line)


class SyslogHandler(logging.Handler):
    """For loggers. Whatever the formatter makes of a record is one message."""

    def __init__(self, syslog: Syslog, prefix: str, log: str) -> None:
        super().__init__()
        self._syslog = syslog
        self._program = program(prefix, log)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception as error:  # noqa: BLE001 - foreign formatters, arguments whose __str__ raises
            text = f"A log message could not be formatted: {type(error).__name__}: {record.msg!r}"
        line = escape_line(text.replace("\n", "#012"))
        head = self._program + b"[%d] " % os.getpid()
        self._syslog.send(severity_of(record.levelno), head, line.encode("utf-8", "backslashreplace"))


def severity_of(level: int) -> int:
    return of_level(SEVERITIES, level, DEBUG)
