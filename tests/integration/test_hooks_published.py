"""Hooks as people publish them, in `gunicorn.conf.py`, with the libraries that they are for.

Agents that need an account or a daemon (New Relic, Datadog, Sentry) are modules of the same form here: what
counts is in which process and at which moment they are started.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from integration.answering import serving, told
from integration.live import Live

CONF = """
import os

os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", {metrics!r})


def on_starting(server):
    server.log.info("Booting %s", server.address)


def when_ready(server):
    from agents import celery_warmed_up

    celery_warmed_up(os.getpid())


def post_fork(server, worker):
    server.log.info("Worker spawned (pid: %s)", worker.pid)

    from opentelemetry import trace
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

    resource = Resource.create(attributes={{"service.name": "shop", "worker": worker.pid}})
    trace.set_tracer_provider(TracerProvider(resource=resource))
    out = open({spans!r}, "a")
    trace.get_tracer_provider().add_span_processor(BatchSpanProcessor(ConsoleSpanExporter(out=out)))


def post_worker_init(worker):
    from agents import initialize

    initialize(worker.pid, worker.wsgi)


def worker_exit(server, worker):
    from opentelemetry import trace

    trace.get_tracer_provider().force_flush()


def child_exit(server, worker):
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)
"""

#: New Relic, Datadog and Sentry begin so: a thread in each worker, and something around the application.
AGENTS = """
import threading

PIDS = []


def initialize(pid, application):
    assert callable(application)
    PIDS.append(pid)
    threading.Thread(target=threading.Event().wait, name="agent", daemon=True).start()


def celery_warmed_up(pid):
    PIDS.append(pid)
"""

APP = """
import agents
from opentelemetry import trace
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest, multiprocess

REQUESTS = Counter("requests", "Requests")
BUSY = Gauge("busy", "Workers", multiprocess_mode="livesum")
BUSY.set(1)


def answer(path):
    if path == "/metrics":
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
        return generate_latest(registry).decode()
    if path == "/agent":
        names = [thread.name for thread in threading.enumerate()]
        return f"{agents.PIDS == [os.getppid(), os.getpid()]} {names.count('agent')}"
    with trace.get_tracer("shop").start_as_current_span("asked"):
        REQUESTS.inc()
    return str(os.getpid())
"""


def figures(live: Live) -> dict[str, float]:
    lines = (line for line in told(live, "/metrics").splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in (line.partition(" ") for line in lines)}


@pytest.mark.parametrize("kind", ["gthread", pytest.param("asgi", marks=pytest.mark.slow)])
def test_monitoring(kind: str, tmp_path: Path) -> None:
    """The figures of a worker that was killed count on, and it itself does not; the spans of each arrive."""
    metrics, spans = tmp_path / "metrics", tmp_path / "spans"
    metrics.mkdir()
    (tmp_path / "agents.py").write_text(AGENTS)
    (tmp_path / "gunicorn.conf.py").write_text(CONF.format(metrics=str(metrics), spans=str(spans)))
    conf = str(tmp_path / "gunicorn.conf.py")
    with serving(tmp_path, APP, "-c", conf, kind=kind, workers=2) as live:
        assert told(live, "/agent") == "True 1"
        before = figures(live)
        assert before["busy"] == 2
        told(live, "/")
        assert figures(live)["requests_total"] == before["requests_total"] + 1

        victim = live.workers()[0]
        live.signal(signal.SIGKILL, victim)
        live.wait_log("is ready", times=3)
        after = figures(live)
        assert after["busy"] == 2
        assert after["requests_total"] == before["requests_total"] + 1
        assert not list(metrics.glob(f"gauge_live*_{victim}.db"))
        asked = told(live, "/")
        live.signal(signal.SIGTERM)
        assert live.wait_exit() == 0
        assert f'"worker": {asked}' in spans.read_text()
        assert "Traceback" not in live.log()
