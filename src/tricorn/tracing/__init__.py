"""Spans and metrics of requests, for OpenTelemetry.

    the transport ─ Trace (instants) ─→ Tracer ─→ the SDK ─→ OTLP

Knows: OpenTelemetry's interface and its conventions for HTTP, environ and scope. Must not know: how requests
are served, threads that serve, the loop.

What the transport writes down of a request is trace.pyx's; it imports nothing else of this room, and nothing
of OpenTelemetry's is imported unless `otel` is set. spans.py makes spans of traces, facts.py their
attributes, sdk.py sets OpenTelemetry up in a worker, and says good-bye to it.
"""
