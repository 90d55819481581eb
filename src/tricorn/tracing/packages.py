"""Which packages tracing needs, by what the environment asks for.

Knows: OpenTelemetry's variables and the names of its packages. Must not know: what is done with them; it
imports none of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec

#: Of traces and of metrics: the group of entry points; the variables that name exporters, and OTLP's form.
TRACES = ("opentelemetry_traces_exporter", "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
METRICS = ("opentelemetry_metrics_exporter", "OTEL_METRICS_EXPORTER", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL")

INSTALL = "pip install 'tricorn[otel]'"

#: OTEL_EXPORTER_OTLP_PROTOCOL → entry point, and how to get it.
PROTOCOLS = {
    "http/protobuf": ("otlp_proto_http", INSTALL),
    "grpc": ("otlp_proto_grpc", "pip install opentelemetry-exporter-otlp-proto-grpc"),
}


class MissingError(Exception):
    """What is asked for is not installed, or unknown. hint: what to do."""

    def __init__(self, text: str, hint: str) -> None:
        super().__init__(text)
        self.hint = hint


def is_disabled() -> bool:
    return os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def check() -> None:
    """Raises MissingError."""
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        raise MissingError("it needs the package opentelemetry-sdk, which is not installed", INSTALL)
    for signal in (TRACES, METRICS):
        list(exporters(signal))


def exporters(signal: tuple[str, str, str]) -> Iterator[EntryPoint]:
    """Those that the environment names for traces or metrics. Raises MissingError."""
    group, variable, protocol = signal
    for name in (os.environ.get(variable) or "otlp").split(","):
        if name.strip() != "none":
            yield _found(group, variable, name.strip(), protocol)


def _found(group: str, variable: str, name: str, protocol: str) -> EntryPoint:
    hint = f"write otlp, console or none in {variable}, or install the package that brings it"
    if name == "otlp":
        variable = protocol if os.environ.get(protocol) else "OTEL_EXPORTER_OTLP_PROTOCOL"
        form = os.environ.get(variable) or "http/protobuf"
        if form not in PROTOCOLS:
            raise MissingError(f"{variable} is {form!r}", f"write {' or '.join(PROTOCOLS)}")
        name, hint = PROTOCOLS[form]
    for found in entry_points(group=group, name=name):
        return found
    raise MissingError(f"there is no exporter {name!r} installed", hint)
