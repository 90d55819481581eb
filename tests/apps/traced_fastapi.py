"""FastAPI, with spans of its own in a coroutine and in a thread."""

from fastapi import FastAPI
from opentelemetry import trace

app = FastAPI()


@app.get("/users/{name}")
async def user(name: str) -> str:
    with trace.get_tracer("fastapi").start_as_current_span(f"look up {name}"):
        return format(trace.get_current_span().get_span_context().trace_id, "032x")


@app.get("/threads/{name}")
def in_a_thread(name: str) -> str:
    with trace.get_tracer("fastapi").start_as_current_span(f"look up {name}"):
        return format(trace.get_current_span().get_span_context().trace_id, "032x")
