"""Real servers and a real collector: what is told of requests by OTLP is what clients did."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from harness.axes import KINDS, WIRES
from harness.client import Response
from harness.server import wait_for
from harness.websocket import for_websockets
from integration.live import Live, message
from tracing.collector import ERROR, SERVER, Collector, Span
from websockets.sync.client import connect

OVER = ("plain", "h2c")
PHASES = ("head_read", "application", "first_byte", "last_byte")
SECOND = 10**9


def new_trace() -> str:
    return secrets.token_hex(16)


def parent(trace: str, span: str = "00f067aa0ba902b7", flags: str = "01") -> str:
    return f"traceparent: 00-{trace}-{span}-{flags}"


@dataclass
class Traced:
    live: Live
    collector: Collector
    kind: str

    def ask(
        self, path: str, *, wire: str = "plain", method: str = "GET", fields: tuple[str, ...] = ()
    ) -> tuple[Response, str]:
        trace = new_trace()
        live: Live = self.live.over(WIRES[wire])  # type: ignore[assignment]
        return live.request(path, method=method, fields=(parent(trace), *fields)), trace


@pytest.fixture(scope="module", params=["sync", "gthread", "asgi", "gevent"])
def served(request: pytest.FixtureRequest) -> Iterator[Traced]:
    """On one port HTTP/1 and h2c."""
    kind = request.param
    app = "traced:asgi_app" if KINDS[kind].interface == "asgi" else "traced:app"
    options = ("--otel", "--request-timeout=20", "--write-timeout=20")
    with (
        Collector() as collector,
        Live(app, *options, kind=kind, wire="h2c", environ=collector.environ) as live,
    ):
        yield Traced(live, collector, kind)


def phases(span: Span) -> list[str]:
    """In the order of their instants; of those at one instant, as they stand. Without `queued`, which each
    may have whose thread or greenlet is not at once there."""
    return [name for name in all_phases(span) if name != "queued"]


def all_phases(span: Span) -> list[str]:
    known = {name.removeprefix("tricorn."): when for name, when in span.events.items() if name != "exception"}
    assert all(span.start <= when <= span.end for when in known.values()), (span, known)
    return sorted(known, key=known.__getitem__)


@pytest.mark.parametrize("wire", OVER)
def test_a_request(served: Traced, wire: str) -> None:
    before = time.time_ns()
    answer, trace = served.ask(
        "/status/404?q=1&sig=secret", wire=wire, fields=("User-Agent: me/1", "tracestate: vendor=7")
    )
    after = time.time_ns()
    assert answer.status == 404
    span, child = served.collector.wait(trace, 2)
    assert (span.name, span.kind, span.scope) == ("GET", SERVER, "tricorn")
    assert (span.parent, span.state) == ("00f067aa0ba902b7", "vendor=7")
    port = span.attributes.pop("network.peer.port")
    assert port > 0
    assert span.attributes == {
        "http.request.method": "GET",
        "url.path": "/status/404",
        "url.query": "q=1&sig=REDACTED",
        "url.scheme": "http",
        "server.address": "live.example",
        "server.port": 80,
        "client.address": "127.0.0.1",
        "network.peer.address": "127.0.0.1",
        "network.protocol.version": "2" if wire == "h2c" else "1.1",
        "user_agent.original": "me/1",
        "http.response.status_code": 404,
    }
    assert span.status == 0
    assert before <= span.start <= span.end <= after + SECOND
    assert phases(span) == list(PHASES)
    assert span.events["tricorn.head_read"] == span.start
    assert span.events["tricorn.last_byte"] == span.end
    assert (child.name, child.parent) == ("work", span.id)
    assert child.attributes["worker"] == span.resource["process.pid"]
    assert span.start <= child.start <= child.end <= span.end


@pytest.mark.parametrize("wire", OVER)
def test_pieces_are_made_in_the_span(served: Traced, wire: str) -> None:
    """Those that the application makes behind its head, when a thread goes on with the iterator, too."""
    for path in ("/stream", "/large"):
        answer, trace = served.ask(path, wire=wire)
        assert answer.status == 200
        span, *others = served.collector.wait(trace, 5)
        assert {other.name for other in others} == {"work", "piece 0", "piece 1", "piece 2"}
        assert {other.parent for other in others} == {span.id}


def test_requests_do_not_share_a_span(served: Traced) -> None:
    """On one connection, one behind the other, with and without a trace that the client has begun."""
    trace = new_trace()
    with served.live.connect(timeout=10) as client:
        client.send(message("/", fields=(parent(trace),)))
        assert client.response().status == 200
        client.send(message("/status/201"))
        assert client.response().status == 201
    span, child = served.collector.wait(trace, 2)
    assert child.parent == span.id

    def others() -> list[Span]:
        return [s for s in list(served.collector.spans) if s.attributes.get("url.path") == "/status/201"]

    other = wait_for(others, "the span of the second one", deadline=10)[-1]
    assert other.trace != trace
    assert other.parent == ""
    (its_child,) = [s for s in served.collector.wait(other.trace, 2) if s.scope == "traced"]
    assert its_child.parent == other.id


@pytest.mark.parametrize("wire", OVER)
def test_who_reads_the_header_finds_our_span(served: Traced, wire: str) -> None:
    answer, trace = served.ask("/parent", wire=wire)
    span = served.collector.wait_server(trace)
    assert answer.body.decode() == f"00-{trace}-{span.id}-01"


@pytest.mark.parametrize("field", ["traceparent: 00-0-0-01", "x: y"])
def test_what_is_no_parent_begins_a_trace(served: Traced, field: str) -> None:
    path = f"/{secrets.token_hex(4)}"
    served.live.request(path, fields=(field,))

    def found() -> list[Span]:
        return [s for s in list(served.collector.spans) if s.attributes.get("url.path") == path]

    (span,) = wait_for(found, f"the span of {path}", deadline=10)
    assert span.parent == ""


def test_a_parent_that_is_not_sampled_decides(served: Traced) -> None:
    """As the SDK's usual sampler has it: neither we nor the application export anything."""
    trace = new_trace()
    served.live.request("/", fields=(f"traceparent: 00-{trace}-00f067aa0ba902b7-00",))
    _, after = served.ask("/")
    served.collector.wait(after, 2)
    assert not [span for span in served.collector.spans if span.trace == trace]


def test_methods_that_nobody_knows(served: Traced) -> None:
    answer, trace = served.ask("/", method="BREW")
    assert answer.status == 200
    span = served.collector.wait_server(trace)
    assert span.name == "HTTP"
    assert span.attributes["http.request.method"] == "_OTHER"
    assert span.attributes["http.request.method_original"] == "BREW"


@pytest.mark.parametrize("wire", OVER)
def test_an_application_that_raises(served: Traced, wire: str) -> None:
    answer, trace = served.ask("/raise", wire=wire)
    assert answer.status == 500
    span = served.collector.wait_server(trace)
    assert span.status == ERROR
    assert span.attributes["error.type"] == "RuntimeError"
    assert span.attributes["http.response.status_code"] == 500
    (said,) = span.exceptions
    assert said["exception.type"] == "RuntimeError"
    assert "as it was wished" in said["exception.stacktrace"]
    assert phases(span) == list(PHASES)


def test_a_status_of_an_error(served: Traced) -> None:
    _, trace = served.ask("/status/503")
    span = served.collector.wait_server(trace)
    assert (span.status, span.attributes["error.type"]) == (ERROR, "503")
    assert not span.exceptions


@pytest.mark.parametrize("wire", OVER)
def test_a_client_that_leaves(served: Traced, wire: str) -> None:
    """Before all of its response is out."""
    trace = new_trace()
    live: Live = served.live.over(WIRES[wire])  # type: ignore[assignment]
    with live.connect(timeout=10) as client:
        client.send(message("/large", fields=(parent(trace),)))
        wait_for(
            lambda: any(s.trace == trace for s in list(served.collector.spans)), "it is inside", deadline=10
        )
    span = served.collector.wait_server(trace)
    assert (span.status, span.attributes["error.type"]) == (ERROR, "client_disconnected")
    assert span.attributes["http.response.status_code"] == 200
    assert "tricorn.last_byte" not in span.events


def test_the_last_byte_is_when_the_client_has_taken_it(served: Traced) -> None:
    """The application was done long before."""
    trace = new_trace()
    with served.live.connect(timeout=10) as client:
        client.send(message("/large", fields=(parent(trace),)))
        wait_for(
            lambda: any(s.trace == trace for s in list(served.collector.spans)), "it is inside", deadline=10
        )
        began = time.time_ns()
        client.response()
    span = served.collector.wait_server(trace)
    assert span.events["tricorn.first_byte"] < began < span.events["tricorn.last_byte"]


def test_what_is_measured(served: Traced, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with served.live.connect(timeout=10) as client:
        client.send(message(f"/hold{gate}", method="PUT"))
        wait_for(Path(f"{gate}.in").exists, "it is inside")

        def active() -> list[float]:
            return [
                point.value
                for point in served.collector.points
                if point.name == "http.server.active_requests"
                and point.attributes == {"http.request.method": "PUT", "url.scheme": "http"}
            ]

        wait_for(lambda: active() == [1], "it is counted as active", deadline=10)
        gate.touch()
        assert client.response("PUT").status == 200
        wait_for(lambda: active() == [0], "it is active no more", deadline=10)
    wanted = {
        "http.request.method": "PUT",
        "url.scheme": "http",
        "network.protocol.version": "1.1" if served.live.wire is WIRES["plain"] else "2",
        "http.response.status_code": 200,
    }
    (point,) = [
        point
        for point in served.collector.points
        if point.name == "http.server.request.duration" and point.attributes == wanted
    ]
    assert (point.unit, point.count) == ("s", 1)
    assert 0 < point.value < 20
    assert point.bounds[0] == 0.005
    assert point.bounds[-1] == 10
    assert point.exemplars


def test_a_websocket_is_one_span(served: Traced) -> None:
    if KINDS[served.kind].interface != "asgi":
        pytest.skip("WSGI has no WebSockets")
    for wire in OVER:
        trace = new_trace()
        live: Live = served.live.over(WIRES[wire])  # type: ignore[assignment]
        with connect(
            **for_websockets(live, "/chat"),
            additional_headers={"traceparent": parent(trace).partition(": ")[2]},
        ) as socket:
            for word in ("one", "two"):
                socket.send(word)
                assert socket.recv() == word
            assert [s.name for s in served.collector.wait(trace, 2)].count("GET") == 0
        span = served.collector.wait_server(trace)
        children = [s for s in served.collector.wait(trace, 4) if s is not span]
        assert [child.name for child in children] == ["work", "message", "message"]
        assert {child.parent for child in children} == {span.id}
        assert span.attributes["url.scheme"] == "ws"
        assert span.attributes["http.response.status_code"] == (200 if wire == "h2c" else 101)
        assert "error.type" not in span.attributes
        assert span.end >= children[-1].end
        with suppress(StopIteration):  # a connection that lasts says nothing of how fast answers are
            point = next(
                p for p in served.collector.points if p.attributes.get("url.scheme") == "ws" and p.count
            )
            pytest.fail(str(point))
