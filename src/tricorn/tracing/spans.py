"""Spans of requests, and what is measured of them.

The plan. The transport asks for a `Span` when an application is about to be called, has it `enter` the
request's context, and writes instants into it. When all of the response is out (or its client is gone) the
span is put into a list, which is all that happens then; a thread of the tracer's goes through the list some
times a second, and tells OpenTelemetry. So processors and exporters, which are others' code, run where no
request waits for them, and a response's last byte is in its span although it may leave long after the
application is done.

Others' code may be slow, so the list has an end: a request that comes while it is full has no span. That is
decided when it comes, because nothing may be asked for when it ends. So the list grows beyond its end by the
requests that run meanwhile, and by no more.

Knows: OpenTelemetry's API. Must not know: its SDK, who serves requests.
"""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections import Counter, deque
from collections.abc import Iterable
from threading import Thread
from typing import Any

from opentelemetry.context import Context, attach
from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.propagate import get_global_textmap
from opentelemetry.trace import INVALID_SPAN, SpanKind, StatusCode, set_span_in_context
from opentelemetry.trace import Span as OpenSpan
from opentelemetry.trace import Tracer as OpenTracer

from tricorn.log.error import ERROR_LOGGER
from tricorn.log.exceptions import format_exception
from tricorn.tracing.facts import OTHER, Facts, error_name, known_methods, replace_fields
from tricorn.tracing.trace import Trace

log = logging.getLogger(ERROR_LOGGER)

#: How often spans that are over are told to OpenTelemetry, seconds: while requests come, and while none do.
#: A processor of the SDK's takes 2,048 spans before it drops some, and exports them by 512.
BUSY, IDLE = 0.1, 0.5

#: Spans that wait to be told; four times what a processor of the SDK's takes. Each is some 4.5 KB.
MOST = 8192

#: Of http.server.request.duration, seconds: the conventions' own.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)

#: error.type, where a client has left before it had its response.
LEFT = "client_disconnected"


class Tracer:
    """Of one worker. It begins to tell OpenTelemetry when it is started."""

    def __init__(self, tracer: OpenTracer, meter: Meter) -> None:
        self.opened = tracer
        self.methods = known_methods()
        self.propagator = get_global_textmap()
        self.fields = tuple(name.lower() for name in self.propagator.fields)
        self.live: set[Span] = set()
        self._over: deque[Span] = deque()
        self._seen: set[tuple[str, str]] = set()
        self._stopped = False
        self.has_failed = False
        self._lost = itertools.count()  # threads count at once, and nothing else is one step for them
        self._has_lost = False
        self.duration = meter.create_histogram(
            "http.server.request.duration",
            unit="s",
            description="Duration of HTTP server requests.",
            explicit_bucket_boundaries_advisory=BUCKETS,
        )
        meter.create_observable_up_down_counter(
            "http.server.active_requests",
            callbacks=[self._active],
            unit="{request}",
            description="Number of active HTTP server requests.",
        )
        self.put = self._over.append

    def begin(
        self, method: str, uri: str, version: int, host: str | None, port: int, source: dict[str, Any]
    ) -> Trace:
        """A request that comes, as tricorn.tracing.facts.Facts has it. Gives its span, or what stands in its
        place."""
        facts = Facts(method, uri, version, host, port, source, self.methods, self.fields)
        if len(self._over) >= MOST:
            next(self._lost)
            return Lost(self, facts)
        span = Span(self, facts, source)
        self.live.add(span)
        return span

    def start(self) -> None:
        Thread(target=self._run, name="tricorn-traces", daemon=True).start()

    def stop(self) -> None:
        """What is not over by now is told as cut."""
        self._stopped = True
        if lost := next(self._lost):
            log.warning(
                "%d requests of worker %d were not traced, since OpenTelemetry took spans too slowly",
                lost,
                os.getpid(),
            )
        self._tell()
        for span in list(self.live):
            span.finish()

    def _run(self) -> None:
        while not self._stopped:
            time.sleep(BUSY if self._tell() else IDLE)

    def _tell(self) -> bool:
        """Whether there was something."""
        count = 0
        while True:
            try:
                span = self._over.popleft()
            except IndexError:
                return count > 0
            count += 1
            self.live.discard(span)
            try:
                span.finish()
            except Exception:  # noqa: BLE001 - processors are others' code
                self.note_failure()

    def note_failure(self) -> None:
        """Once: each request would say the same."""
        if not self.has_failed:
            self.has_failed = True
            log.exception("OpenTelemetry has raised; that is not logged again")

    def note_loss(self) -> None:
        """Once for the worker; how many there were is said at its end."""
        if not self._has_lost:
            self._has_lost = True
            log.warning(
                "OpenTelemetry takes spans more slowly than requests come: %d wait, and requests have none "
                "until there is room; that is not logged again",
                len(self._over),
            )

    def _active(self, _options: CallbackOptions) -> Iterable[Observation]:
        now = Counter((span.facts.method, span.facts.scheme) for span in list(self.live))
        self._seen |= now.keys()
        return [
            Observation(now[seen], {"http.request.method": seen[0], "url.scheme": seen[1]})
            for seen in self._seen
        ]


#: Keeps nothing, and runs nobody's code.
_nowhere = deque[Trace](maxlen=0).append


class Lost(Trace):
    """Of a request without a span: nobody hears of it."""

    __slots__ = ("_fields", "_tracer")

    def __init__(self, tracer: Tracer, facts: Facts) -> None:
        super().__init__(_nowhere)
        self._tracer = tracer
        self._fields = facts.fields

    def enter(self) -> None:
        """As `Span.enter`. What the application traces is a part of what the client has begun."""
        self._tracer.note_loss()
        try:
            attach(self._tracer.propagator.extract(self._fields, Context()))
        except Exception:  # noqa: BLE001 - propagators are others' code
            self._tracer.note_failure()
            attach(Context())

    def failed(self, error: BaseException) -> None:
        """Its application has raised, which the error log says."""


class Span(Trace):
    """Of one request."""

    __slots__ = ("_open", "_raised", "_source", "_tracer", "_wall", "facts")

    def __init__(self, tracer: Tracer, facts: Facts, source: dict[str, Any]) -> None:
        super().__init__(tracer.put)
        self._source: dict[str, Any] | None = source
        self._tracer = tracer
        self.facts = facts
        # Instants are monotonic; the clock of the wall may have been set since another request began.
        self._wall = time.time_ns() - time.monotonic_ns()
        self._open: OpenSpan | None = None
        self._raised: tuple[int, str, str] | None = None

    def enter(self) -> None:
        """In the context of the request, before its application is called: what that does is part of this
        span. Some look for a parent in the header alone (FastAPI does), so that names this one, as behind a
        proxy that traces."""
        source, self._source = self._source, None
        try:
            parent = self._start()
            inside = set_span_in_context(self._open or INVALID_SPAN, parent)
            attach(inside)
            self._name()
            if self.facts.fields and source is not None:
                now: dict[str, str] = {}
                self._tracer.propagator.inject(now, inside)
                came = self.facts.fields
                replace_fields(source, {name: now[name] for name in came if name in now})
        except Exception:  # noqa: BLE001 - samplers and processors are others' code
            self._tracer.note_failure()
            attach(Context())

    def _start(self) -> Context:
        """Returns the context that the request has come with."""
        tracer, facts = self._tracer, self.facts
        parent = tracer.propagator.extract(facts.fields, Context())
        self._open = tracer.opened.start_span(
            "HTTP" if facts.method == OTHER else facts.method,
            parent,
            SpanKind.SERVER,
            facts.attributes,
            start_time=self._wall + self.head_ns,
        )
        return parent

    def _name(self) -> None:
        """What is counted of it may lead to its trace, if that is sampled: others are nowhere to be found."""
        if self._open is not None:
            own = self._open.get_span_context()
            if own.is_valid and own.trace_flags.sampled:
                self.keep(own.trace_id, own.span_id)

    def failed(self, error: BaseException) -> None:
        """Its application has raised."""
        self._raised = time.time_ns(), error_name(error), format_exception(error)

    def finish(self) -> None:
        """It is over: tell OpenTelemetry. Raises what that does."""
        self._source = None
        if self._open is None:
            self._start()
        span = self._open
        assert span is not None
        code = int(self.status[:3]) if self.status is not None else None
        error = self._error(code)
        phases = list(self._phases())
        ended = max(phases[-1][1], self.sent_ns or time.monotonic_ns())
        if span.is_recording():
            for name, instant in phases:
                span.add_event(f"tricorn.{name}", timestamp=self._wall + instant)
            if self._raised is not None:
                when, kind, text = self._raised
                span.add_event(
                    "exception", {"exception.type": kind, "exception.stacktrace": text}, timestamp=when
                )
            if code is not None:
                span.set_attribute("http.response.status_code", code)
            if error is not None:
                span.set_attribute("error.type", error)
                span.set_status(StatusCode.ERROR)
        span.end(self._wall + ended)
        if not self.lasts:
            self._measure(span, (ended - self.head_ns) / 1e9, code, error)

    def _phases(self) -> Iterable[tuple[str, int]]:
        """Those that have come, with their instants. Some of these were read a little earlier than it
        happened; the order is known."""
        latest = 0
        for name, instant in (
            ("head_read", self.head_ns),
            ("queued", self.queued_ns),
            ("application", self.begun_ns),
            ("first_byte", self.first_ns),
            ("last_byte", 0 if self.left else self.sent_ns),
        ):
            if instant:
                latest = max(latest, instant)
                yield name, latest

    def _error(self, code: int | None) -> str | None:
        if self._raised is not None:
            return self._raised[1]
        if code is not None and code >= 500:
            return str(code)
        return LEFT if self.left else None

    def _measure(self, span: OpenSpan, seconds: float, code: int | None, error: str | None) -> None:
        facts = self.facts
        attributes: dict[str, str | int] = {
            "http.request.method": facts.method,
            "url.scheme": facts.scheme,
            "network.protocol.version": facts.version,
        }
        if code is not None:
            attributes["http.response.status_code"] = code
        if error is not None:
            attributes["error.type"] = error
        self._tracer.duration.record(seconds, attributes, set_span_in_context(span, Context()))
