"""Metrics: where they go, and those that records are and carry."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from log.test_setup import Settings

from tricorn.compat.gunicorn import MODULES, found_at
from tricorn.config.errors import ConfigError
from tricorn.log import setup
from tricorn.log.datagrams import Place
from tricorn.log.statsd import Statsd, parse_host, prefix_of, tags_of

LOGGER = logging.getLogger("tricorn.error")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("localhost:8125", Place(host="localhost", port=8125)),
        ("statsd", Place(host="statsd", port=8125)),
        ("[::1]:9125", Place(host="::1", port=9125)),
        ("unix:///run/datadog/dsd.socket", Place(path="/run/datadog/dsd.socket")),
        ("unix:/run/dsd.socket", Place(path="/run/dsd.socket")),
    ],
)
def test_hosts(text: str, place: Place) -> None:
    assert parse_host(text) == place


@pytest.mark.parametrize("text", ["localhost:x", "localhost:70000", "[::1", "unix:"])
def test_wrong_hosts(text: str) -> None:
    with pytest.raises(ValueError, match=r"write|names no socket"):
        parse_host(text)


@pytest.mark.parametrize(
    ("text", "prefix"),
    [("", b""), ("shop", b"shop."), ("shop.", b"shop."), ("a.b..", b"a.b."), ("a b:c", b"a_b_c.")],
)
def test_prefixes(text: str, prefix: bytes) -> None:
    assert prefix_of(text) == prefix


def test_tags() -> None:
    assert tags_of("env:prod,x|y\nz") == b"env:prod,x_y_z"


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.settimeout(10)
        yield made


@pytest.mark.usefixtures("own_log")
def test_records(sock: socket.socket, capfd: pytest.CaptureFixture[str]) -> None:
    host = f"127.0.0.1:{sock.getsockname()[1]}"
    setup.configure(Settings(statsd_host=host, statsd_prefix="p", dogstatsd_tags="t:1"))
    LOGGER.info("no metric")
    LOGGER.warning("a warning")
    LOGGER.error("an error")
    try:
        raise ValueError
    except ValueError:
        LOGGER.exception("an exception")
    LOGGER.critical("critical")
    LOGGER.info("", extra={"metric": "orders", "value": 3, "mtype": "counter"})
    LOGGER.info("said too", extra={"metric": "load", "value": 0.5, "mtype": "gauge"})
    setup.logger().debug("", extra={"metric": "depth", "value": 0, "mtype": "histogram"})
    setup.logger().info("", extra={"metric": "a:b|c\n", "value": 12.0, "mtype": "timer"})
    for wrong in ({"metric": "x", "value": "1|c\ny:1", "mtype": "counter"}, {"metric": "x", "value": 1}):
        LOGGER.info("", extra=wrong)
    setup.metric("gunicorn.workers", 4, "gauge")
    expected = [
        *(b"gunicorn.log.%s:1|c" % level for level in (b"warning", b"error", b"exception", b"critical")),
        *(b"orders:3|c", b"load:0.5|g", b"depth:0|h", b"a_b_c_:12|ms", b"gunicorn.workers:4|g"),
    ]
    assert [sock.recv(1500) for _ in expected] == [b"p.%s|#t:1" % line for line in expected]
    lines = capfd.readouterr().err.splitlines()
    assert sum("]" in line for line in lines) == 6, "a record that is nothing but a metric is no line"
    assert "said too" in lines[-1]


@pytest.mark.usefixtures("own_log")
def test_a_subclass_of_gunicorns_sends_its_own(sock: socket.socket) -> None:
    class Orders(gunicorns_statsd()):  # type: ignore[misc]
        def access(self, *_: object) -> None:
            self.increment("orders", 2)
            self.decrement("stock", 2, sampling_rate=1.0)
            self.gauge("load", 0.5)
            self.timer("packing", 12)
            self.histogram("size", 3)

    setup.configure(Settings(statsd_host=f"127.0.0.1:{sock.getsockname()[1]}", logger_class=Orders))
    setup.logger().access(None, None, {}, None)
    expected = [b"orders:2|c", b"stock:-2|c", b"load:0.5|g", b"packing:12|ms", b"size:3|h"]
    assert [sock.recv(1500) for _ in expected] == expected


def gunicorns_statsd() -> Any:
    return found_at(MODULES["instrument.statsd"]["Statsd"])


@pytest.mark.usefixtures("own_log")
def test_a_host_that_there_is_not() -> None:
    with pytest.raises(ConfigError, match=r"statsd\.invalid:1 cannot be used"):
        setup.configure(Settings(statsd_host="statsd.invalid:1"))


def test_nobody_there_holds_up_nobody(sock: socket.socket, tmp_path: Path) -> None:
    port = sock.getsockname()[1]
    for _ in range(2000):  # more than its queue holds
        Statsd(Place(host="127.0.0.1", port=port)).put("x" * 1000, 1, "counter")
    sock.close()
    for place in (Place(host="127.0.0.1", port=port), Place(path=str(tmp_path / "none"))):
        statsd = Statsd(place)
        for _ in range(3):
            statsd.put("x", 1, "counter")
        statsd.close()
