"""Real servers: what is counted leads to traces that somebody keeps, and to no others."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from harness.axes import WIRES
from harness.server import wait_for
from integration.live import Live, message
from metrics.scraping import asked, counting
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from tracing.collector import Collector
from tracing.test_spans import new_trace, parent

from tricorn.metrics.exposition import OPEN, rendered

PARTS = ("waiting", "application", "sending", "duration")
SPAN = "00f067aa0ba902b7"


@dataclass(frozen=True)
class Found:
    part: str
    route: str
    span: str
    at: float


def found(home: Path) -> Mapping[str, list[Found]]:
    """Trace → its exemplars, as a parser of OpenMetrics reads them. Each is of its bucket."""
    text = rendered(asked(home / "ctl.sock")["data"], OPEN)[0].decode()
    known: dict[str, list[Found]] = {}
    for family in text_string_to_metric_families(text):
        below: dict[Any, tuple[float, float]] = {}
        for sample in family.samples:
            if not sample.name.endswith("_bucket"):
                continue
            route = sample.labels.get("route", "")
            bound, count = below.get(route, (-1.0, 0.0))
            below[route] = float(sample.labels["le"]), sample.value
            if (exemplar := sample.exemplar) is not None:
                assert bound < exemplar.value <= float(sample.labels["le"])
                assert sample.value > count, "the bucket has counted it"
                part = family.name.removeprefix("tricorn_request_").removesuffix("_seconds")
                one = Found(part, route, exemplar.labels["span_id"], float(exemplar.timestamp))
                known.setdefault(exemplar.labels["trace_id"], []).append(one)
    return known


def wait_trace(home: Path, trace: str) -> list[Found]:
    """All exemplars of it: a client has its response before that is counted."""
    wait_for(lambda: len(found(home).get(trace, ())) == len(PARTS), f"exemplars of {trace}")
    return found(home)[trace]


@dataclass
class Served:
    live: Live
    home: Path

    def over(self, wire: str) -> Live:
        live: Live = self.live.over(WIRES[wire])  # type: ignore[assignment]
        return live


@pytest.fixture(scope="module", params=["gthread", "asgi"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """On one port HTTP/1 and h2c."""
    home = tmp_path_factory.mktemp("traced")
    with counting(home, "--route=/api request_timeout=30", kind=request.param, wire="h2c") as live:
        yield Served(live, home)


@pytest.mark.parametrize("wire", ["plain", "h2c"])
def test_a_trusted_client_tells_of_its_trace(served: Served, wire: str) -> None:
    for path, route in (("/", ""), ("/api/x", "/api")):
        trace = new_trace()
        before = time.time()
        assert served.over(wire).request(path, fields=(parent(trace),)).status == 200
        known = wait_trace(served.home, trace)
        assert sorted(each.part for each in known) == sorted(PARTS)
        assert {(each.route, each.span) for each in known} == {(route, SPAN)}
        assert all(before - 0.01 <= each.at <= time.time() + 0.01 for each in known)


@pytest.mark.parametrize("wire", ["plain", "h2c"])
def test_a_trace_that_is_told_badly_is_none(served: Served, wire: str) -> None:
    """Or that nobody keeps. And those that come next on its connection are no part of a trace that was told
    well."""
    first, last, *bad = [new_trace() for _ in range(5)]
    badly = [(parent(bad[0], flags="00"),), (parent(bad[1]), parent(bad[2])), ("traceparent: 00-x-y-01",), ()]
    with served.over(wire).connect(timeout=10) as client:
        for fields in ((parent(first),), *badly):
            if fields == badly[0]:
                before = wait_trace(served.home, first)
            client.send(message("/", fields=fields))
            assert client.response().status == 200
        client.send(message("/api/last", fields=(parent(last),)))
        assert client.response().status == 200
    wait_trace(served.home, last)  # what came before is counted
    known = found(served.home)
    assert not known.keys() & set(bad)
    assert set(known[first]) == set(before)  # with the instants that they had


def test_strangers_tell_of_no_trace(tmp_path: Path) -> None:
    """Who is at the edge would let its visitors write into what is counted."""
    with counting(tmp_path, "--forwarded-allow-ips=192.0.2.1") as live:
        live.request("/", fields=(parent(new_trace()),))

        def families() -> dict[str, Any]:
            return {each["name"]: each for each in asked(tmp_path / "ctl.sock")["data"]}

        def counts() -> int:
            return sum(sum(sample[1]) for sample in families()["tricorn_request_duration_seconds"]["samples"])

        wait_for(lambda: counts() == 2, "both are counted")
        assert not [name for name, family in families().items() if "exemplars" in family]


def test_those_of_workers_that_are_gone_stay(tmp_path: Path) -> None:
    with counting(tmp_path) as live:
        trace = new_trace()
        live.request("/", fields=(parent(trace),))
        wait_trace(tmp_path, trace)
        (pid,) = live.workers()
        os.kill(pid, signal.SIGKILL)
        live.wait_log("is ready", times=2)
        assert len(found(tmp_path)[trace]) == len(PARTS)
        newer = new_trace()
        live.request("/", fields=(parent(newer),))
        wait_trace(tmp_path, newer)


@pytest.mark.parametrize("kind", ["gthread", pytest.param("asgi", marks=pytest.mark.slow)])
def test_with_opentelemetry_they_are_its_own_spans(kind: str, tmp_path: Path) -> None:
    """Whoever has sent `traceparent`; and one that the sampler leaves out is not there."""
    with Collector() as collector:
        environ = {**collector.environ, "OTEL_METRICS_EXPORTER": "none"}
        options = ("--otel", "--forwarded-allow-ips=192.0.2.1")
        with counting(tmp_path, *options, kind=kind, environ=environ) as live:
            unsampled, trace = new_trace(), new_trace()
            live.request("/", fields=(parent(unsampled, flags="00"),))
            live.request("/", fields=(parent(trace),))
            known = wait_trace(tmp_path, trace)
            assert {each.span for each in known} == {collector.wait_server(trace).id}
            assert unsampled not in found(tmp_path)
