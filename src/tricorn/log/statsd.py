"""Metrics for statsd and DogStatsD, under Gunicorn's names.

Knows: names, types and lines of metrics, records that carry one. Must not know: requests (meter.pyx counts
them), who logs what, settings.

    gunicorn.requests                 counter
    gunicorn.request.duration         timer, milliseconds
    gunicorn.request.status.NNN       counter
    gunicorn.workers                  gauge
    gunicorn.backlog                  histogram
    gunicorn.log.{critical,error,warning,exception}   counters
    tricorn.alarm.NAME                gauge: 1 while there is that alarm; and an event when it begins or ends

A record may carry a metric of its own, as in Gunicorn; with an empty message it is nothing else:

    log.info("", extra={"metric": "shop.orders", "value": 1, "mtype": "counter"})
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from typing import Any

from tricorn.log.datagrams import Datagrams, Place, place_of
from tricorn.log.meter import Meter

#: Types by the names that records have for them.
TYPES = {"gauge": b"g", "counter": b"c", "histogram": b"h", "timer": b"ms"}
#: What fits into one packet of Ethernet (1500) behind IP and UDP, IPv6 and options too.
UDP_PACKET = 1432
UNIX_PACKET = 8192
UNSAFE = re.compile(r"[^!-~]|[:|@#]")  # what ends a name, or a line


def parse_host(text: str) -> Place:
    """The forms of Gunicorn's statsd_host. ValueError says what to write instead."""
    return place_of(text, 8125)


def prefix_of(text: str) -> bytes:
    """With one dot behind it."""
    bare = UNSAFE.sub("_", text).rstrip(".")
    return f"{bare}.".encode() if bare else b""


def tags_of(text: str) -> bytes:
    return re.sub(r"[^!-~]|\|", "_", text).encode()


class Statsd:
    """Where metrics go. Nobody waits for it, and what is lost is lost: so it is with statsd.

    May raise OSError when it is made: the host has no address.
    """

    def __init__(self, place: Place, prefix: str = "", tags: str = "") -> None:
        self._datagrams = Datagrams(place)
        self._tags = b"|#" + tags_of(tags) if tags else b""
        self.meter = Meter(
            self._datagrams.send, UNIX_PACKET if place.path else UDP_PACKET, prefix_of(prefix), tags_of(tags)
        )

    def put(self, name: str, value: float, kind: str) -> None:
        """kind: a key of TYPES."""
        number = f"{value:.15g}" if isinstance(value, float) else str(int(value))
        line = self.meter.line(UNSAFE.sub("_", name).encode(), number.encode(), TYPES[kind])
        self._datagrams.send(line)

    def tell(self, title: str, text: str, *, is_bad: bool) -> None:
        """An event, in the form of DogStatsD: plain statsd counts it as a line that it does not know."""
        name, said = [part.replace("\n", "\\n").encode("utf-8", "replace") for part in (title, text)]
        kind = b"|t:error" if is_bad else b"|t:success"
        # Lengths are of bytes.
        self._datagrams.send(b"_e{%d,%d}:%b|%b" % (len(name), len(said), name, said) + kind + self._tags)

    def take(self, extra: Mapping[str, Any]) -> None:
        """The metric that a record carries, if it does, and is one."""
        name, kind = extra.get("metric"), extra.get("mtype")
        value: Any = extra.get("value")
        is_number = type(value) in (int, float) and math.isfinite(value)
        if isinstance(name, str) and isinstance(kind, str) and kind in TYPES and is_number:
            self.put(name, value, kind)

    def count(self, record: logging.LogRecord) -> None:
        """A record of the error log, which may carry a metric too."""
        if record.levelno >= logging.WARNING:
            self.put(f"gunicorn.log.{_level_of(record)}", 1, "counter")
        self.take(vars(record))

    def close(self) -> None:
        self._datagrams.close()


def _level_of(record: logging.LogRecord) -> str:
    if record.levelno >= logging.CRITICAL:
        return "critical"
    if record.levelno >= logging.ERROR:
        return "exception" if record.exc_info else "error"
    return "warning"
