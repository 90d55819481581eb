"""A collector of OTLP over HTTP, in this process: what a server exports is here to be looked at.

Knows: HTTP, OTLP's protobuf messages. Must not know: what is exported.
"""

from __future__ import annotations

import gzip
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from harness.server import wait_for
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

SERVER, INTERNAL = 2, 1
OK, ERROR = 1, 2


@dataclass(frozen=True)
class Span:
    """One of those that came. Instants are ns since the epoch."""

    name: str
    kind: int
    trace: str
    id: str
    parent: str
    state: str
    start: int
    end: int
    attributes: dict[str, Any]
    events: dict[str, int]
    exceptions: list[dict[str, Any]]
    status: int
    scope: str
    resource: dict[str, Any]


@dataclass(frozen=True)
class Point:
    """One of a metric's."""

    name: str
    unit: str
    attributes: dict[str, Any]
    value: float
    count: int
    bounds: tuple[float, ...]
    exemplars: frozenset[str]
    resource: dict[str, Any]


@dataclass
class Collector:
    spans: list[Span] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    changed: int = 0

    def __enter__(self) -> Collector:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                answer = collector.take(self.path, body)
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Not on the terminal."""

        class Listener(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """A worker that was killed has said no good-bye."""

        self.server = Listener(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def environ(self) -> dict[str, str]:
        """Of a server that exports to here, soon."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.server.server_port}",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "OTEL_METRIC_EXPORT_INTERVAL": "100",
        }

    def take(self, path: str, body: bytes) -> bytes:
        if path == "/v1/traces":
            self.spans += spans_of(ExportTraceServiceRequest.FromString(body))
            return bytes(ExportTraceServiceResponse().SerializeToString())
        assert path == "/v1/metrics", path
        self.points = points_of(ExportMetricsServiceRequest.FromString(body))
        return bytes(ExportMetricsServiceResponse().SerializeToString())

    def wait(self, trace: str, count: int = 1) -> list[Span]:
        """So many spans of this trace, in the order in which they began."""

        def found() -> list[Span]:
            mine = [span for span in list(self.spans) if span.trace == trace]
            return mine if len(mine) >= count else []

        mine = wait_for(found, f"{count} spans of the trace {trace}; there are {self.spans}", deadline=10)
        return sorted(mine, key=lambda span: span.start)

    def wait_server(self, trace: str) -> Span:
        """The server's own span of this trace."""

        def found() -> Span | None:
            return next((s for s in list(self.spans) if s.trace == trace and s.scope == "tricorn"), None)

        span: Span = wait_for(found, f"the server's span of {trace}; there are {self.spans}", deadline=10)
        return span


def plain(pairs: Any) -> dict[str, Any]:
    """Attributes, as Python's values."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


def spans_of(request: Any) -> list[Span]:
    return [
        Span(
            name=span.name,
            kind=span.kind,
            trace=span.trace_id.hex(),
            id=span.span_id.hex(),
            parent=span.parent_span_id.hex(),
            state=span.trace_state,
            start=span.start_time_unix_nano,
            end=span.end_time_unix_nano,
            attributes=plain(span.attributes),
            events={each.name: each.time_unix_nano for each in span.events},
            exceptions=[plain(each.attributes) for each in span.events if each.name == "exception"],
            status=span.status.code,
            scope=scope.scope.name,
            resource=plain(resource.resource.attributes),
        )
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def points_of(request: Any) -> list[Point]:
    return [
        Point(
            name=metric.name,
            unit=metric.unit,
            attributes=plain(point.attributes),
            value=point.sum if metric.HasField("histogram") else point.as_int,
            count=point.count if metric.HasField("histogram") else 0,
            bounds=tuple(point.explicit_bounds) if metric.HasField("histogram") else (),
            exemplars=frozenset(each.trace_id.hex() for each in point.exemplars),
            resource=plain(resource.resource.attributes),
        )
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in (metric.histogram if metric.HasField("histogram") else metric.sum).data_points
    ]
