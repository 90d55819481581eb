"""Requests, counted for statsd: what leaves, when, and how much of it in one packet."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from tricorn.log.access import AccessLog
from tricorn.log.meter import Meter

LINE = re.compile(rb"(?P<name>[^:|]+):(?P<value>[0-9.]+)\|(?P<kind>c|ms)(?P<tags>\|#.*)?")


def counted(packets: list[bytes]) -> Counter[bytes]:
    """The counters of all packets; a timer counts its lines."""
    total: Counter[bytes] = Counter()
    for line in b"\n".join(packets).split(b"\n"):
        found = LINE.fullmatch(line)
        assert found, line
        total[found["name"]] += 1 if found["kind"] == b"ms" else int(found["value"])
    return total


def log_of(meter: Meter) -> AccessLog:
    return AccessLog(None, -1, None, meter)


def test_one_request() -> None:
    packets: list[bytes] = []
    log = log_of(Meter(packets.append, 1432, b"shop.", b"env:test,a"))
    log.record({}, "200 OK", None, 0, 1_234_567, 0.0)
    assert packets == [], "it waits for others"
    log.flush()
    log.flush()
    assert packets == [
        b"shop.gunicorn.request.duration:1.234|ms|#env:test,a\n"
        b"shop.gunicorn.requests:1|c|#env:test,a\n"
        b"shop.gunicorn.request.status.200:1|c|#env:test,a"
    ]


@pytest.mark.parametrize(("limit", "tags"), [(1432, b""), (8192, b"x" * 60), (600, b"")])
def test_no_packet_is_too_long_and_nothing_is_lost(limit: int, tags: bytes) -> None:
    packets: list[bytes] = []
    log = log_of(Meter(packets.append, limit, b"", tags))
    statuses = [100 + number % 900 for number in range(3000)]
    for number, status in enumerate(statuses):
        log.record({}, f"{status} X", None, 0, number * 1_000_000, 0.0)
    log.flush()
    assert max(map(len, packets)) <= limit
    assert counted(packets) == Counter(
        {
            b"gunicorn.requests": 3000,
            b"gunicorn.request.duration": 3000,
            **{b"gunicorn.request.status.%d" % status: count for status, count in Counter(statuses).items()},
        }
    )


def test_many_alike_are_few_packets() -> None:
    packets: list[bytes] = []
    log = log_of(Meter(packets.append, 1432))
    for _ in range(1000):
        log.record_scope({}, "/", "HTTP/1.1", "204 No Content", None, 0, 0, 0.0)
    log.flush()
    assert len(packets) < 50
    assert packets[0].startswith(b"gunicorn.request.duration:0.000|ms\n")


def test_without_a_status_it_is_a_request_all_the_same() -> None:
    packets: list[bytes] = []
    log = log_of(Meter(packets.append, 1432))
    for status in (None, "", "x", "2000", "é00 X"):
        log.record_scope({}, "/", "HTTP/1.1", status, None, 0, -5, 0.0)
    log.flush()
    assert counted(packets) == {
        b"gunicorn.requests": 5,
        b"gunicorn.request.duration": 5,
        b"gunicorn.request.status.200": 1,
    }


def test_tags_that_fit_nowhere_cost_nobody_anything() -> None:
    packets: list[bytes] = []
    log = log_of(Meter(packets.append, 1432, b"", b"x" * 5000))
    for _ in range(100):
        log.record({}, "200 OK", None, 0, 0, 0.0)
    log.flush()
    assert packets == []


def test_a_child_does_not_send_what_its_parent_counted() -> None:
    packets: list[bytes] = []
    log = log_of(Meter(packets.append, 1432))
    log.record({}, "200 OK", None, 0, 0, 0.0)
    log.forget()
    log.flush()
    assert packets == []
