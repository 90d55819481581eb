"""An application that has set up OpenTelemetry by itself, at its import."""

from typing import Any

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

provider = TracerProvider(resource=Resource.create({"service.name": "its own"}))
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)


def app(_environ: dict[str, Any], start_response: Any) -> list[bytes]:
    with trace.get_tracer("own").start_as_current_span("work"):
        start_response("200 OK", [])
        return [b"ok"]
