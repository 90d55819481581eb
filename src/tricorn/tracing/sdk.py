"""OpenTelemetry in a worker: set up when its application is there, told good-bye at its end.

The plan. The SDK's threads must not be there when somebody forks, so it is set up in each worker, never in
the master or in a mold. It is set up behind the application: one that has set up its own (providers,
exporters) keeps that, and our spans go there too. The SDK is configured by its own variables (OTEL_…).

Knows: OpenTelemetry's SDK, its variables. Must not know: requests, what is served.
"""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Callable
from threading import Thread
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from tricorn import __version__
from tricorn.log.error import ERROR_LOGGER
from tricorn.tracing.packages import METRICS, TRACES, exporters
from tricorn.tracing.spans import Tracer

log = logging.getLogger(ERROR_LOGGER)

#: How long the worker waits at its end for what is still to be exported; where it ends at once. Seconds.
FAREWELL, HASTE = 2.0, 0.5


class Tracing:
    """Of one worker, from here to its end."""

    #: What its end may take, seconds.
    patience = FAREWELL

    def __init__(self, service: str) -> None:
        """service: what it is called unless the environment says so. Raises what OpenTelemetry does, and
        MissingError."""
        self._farewell: list[Callable[[], object]] = []
        self._closing: Thread | None = None
        resource = resource_of(service)
        self._provide_traces(resource)
        self._provide_metrics(resource)
        self.tracer = Tracer(
            trace.get_tracer("tricorn", __version__), metrics.get_meter("tricorn", __version__)
        )
        self.tracer.start()

    def _provide_traces(self, resource: Resource) -> None:
        provider: Any = trace.get_tracer_provider()
        if not isinstance(provider, trace.ProxyTracerProvider):
            self._keep(provider)
            return
        own = TracerProvider(resource=resource, shutdown_on_exit=False)
        for exporter in exporters(TRACES):
            own.add_span_processor(BatchSpanProcessor(exporter.load()()))
        trace.set_tracer_provider(own)
        self._farewell.append(own.shutdown)

    def _provide_metrics(self, resource: Resource) -> None:
        provider: Any = metrics.get_meter_provider()
        # The class of what stands there before anybody has set one is private.
        if hasattr(provider, "force_flush"):
            self._keep(provider)
            return
        readers = [PeriodicExportingMetricReader(exporter.load()()) for exporter in exporters(METRICS)]
        own = MeterProvider(readers, resource, shutdown_on_exit=False)
        metrics.set_meter_provider(own)
        self._farewell.append(own.shutdown)

    def _keep(self, provider: Any) -> None:
        """The application's own, which is its to shut down."""
        flush = getattr(provider, "force_flush", None)
        if flush is not None:
            self._farewell.append(flush)

    def close(self, *, in_haste: bool) -> None:
        """Have exported what is there, but do not wait for long. By whichever threads."""
        if self._closing is None:
            self._closing = Thread(target=self._close, name="tricorn-traces-end", daemon=True)
            self._closing.start()
        self._closing.join(HASTE if in_haste else FAREWELL)
        if self._closing.is_alive():
            log.warning("The last spans and metrics of worker %d could not be exported in time", os.getpid())

    def _close(self) -> None:
        self._part(self.tracer.stop)
        others = [Thread(target=self._part, args=(step,), daemon=True) for step in self._farewell]
        for thread in others:  # side by side: one may wait for an exporter in vain
            thread.start()
        for thread in others:
            thread.join()

    @staticmethod
    def _part(step: Callable[[], object]) -> None:
        try:
            step()
        except Exception:
            log.exception("OpenTelemetry has raised at the worker's end")


def resource_of(service: str) -> Resource:
    """What the environment says of this service, and each worker's own id: its metrics are series of their
    own."""
    given = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    names = {pair.partition("=")[0].strip() for pair in given.split(",")}
    own: dict[str, str | int] = {"process.pid": os.getpid()}
    if "service.instance.id" not in names:
        own["service.instance.id"] = str(uuid.uuid4())
    if "service.name" not in names and not os.environ.get("OTEL_SERVICE_NAME"):
        own["service.name"] = service
    return Resource.create(own)


def maybe_tracing(service: str) -> Tracing | None:
    """None: it cannot be set up, and the log says why; requests are served all the same."""
    try:
        return Tracing(service)
    except Exception:
        log.exception("OpenTelemetry cannot be set up in worker %d, which traces nothing", os.getpid())
        return None
