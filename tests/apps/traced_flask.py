"""Flask, with a span of its own in a view."""

from flask import Flask
from opentelemetry import trace

app = Flask(__name__)


@app.get("/users/<name>")
def user(name: str) -> str:
    with trace.get_tracer("flask").start_as_current_span(f"look up {name}"):
        return format(trace.get_current_span().get_span_context().trace_id, "032x")
