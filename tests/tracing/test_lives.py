"""Workers that trace: from their start to their end, through reloads, with applications of all kinds."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.server import wait_for
from integration.live import Live, message
from tracing.collector import ERROR, Collector
from tracing.test_spans import all_phases, new_trace, parent, phases

HUP, TERM = signal.SIGHUP, signal.SIGTERM


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as made:
        yield made


@pytest.mark.parametrize(
    ("kind", "app", "preload"),
    [
        ("gthread", "traced:app", ()),
        ("sync", "traced:app", ("--preload",)),
        ("asgi", "traced:asgi_app", ()),
        pytest.param("eventlet", "traced:app", (), marks=pytest.mark.slow),
    ],
)
def test_a_reload_and_an_end_lose_nothing(
    collector: Collector, kind: str, app: str, preload: tuple[str, ...]
) -> None:
    """Exporters are set up in workers alone, and what they have not exported yet leaves with the worker."""
    environ = collector.environ | {"OTEL_BSP_SCHEDULE_DELAY": "60000", "OTEL_METRIC_EXPORT_INTERVAL": "60000"}
    with Live(app, "--otel", *preload, kind=kind, environ=environ) as live:
        first = new_trace()
        before = live.request("/", fields=(parent(first),)).body
        assert len(list(Path(f"/proc/{live.pid}/task").iterdir())) == 1
        for mold in live.molds():
            assert len(list(Path(f"/proc/{mold}/task").iterdir())) == 1
        live.signal(HUP)
        span, child = collector.wait(first, 2)
        assert child.parent == span.id
        wait_for(lambda: live.request("/").body != before, "another worker serves", deadline=10)
        second = new_trace()
        live.request("/", fields=(parent(second),))
        live.signal(TERM)
        assert live.wait_exit() == 0
        other, _ = collector.wait(second, 2)
    assert other.resource["process.pid"] != span.resource["process.pid"]
    assert other.resource["service.instance.id"] != span.resource["service.instance.id"]
    assert other.resource["service.name"] == app
    assert [point.count for point in collector.points if point.name == "http.server.request.duration"]


@pytest.mark.parametrize(
    ("kind", "app"),
    [pytest.param("sync", "traced:app", marks=pytest.mark.slow), ("asgi", "traced:asgi_app")],
)
def test_a_collector_that_does_not_answer_keeps_no_worker(kind: str, app: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        with Live(app, "--otel", kind=kind, environ=environ) as live:
            began = time.monotonic()
            live.signal(TERM)
            assert live.wait_exit() == 0
            assert time.monotonic() - began < 6
            live.wait_log("could not be exported in time")


def test_an_end_at_once_waits_for_half_a_second() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        with Live("traced:app", "--otel", "--graceful-timeout=30", environ=environ) as live:
            began = time.monotonic()
            live.signal(signal.SIGINT)
            assert live.wait_exit() == 0
            assert time.monotonic() - began < 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "app", "paths"),
    [
        ("gthread", "traced_flask:app", ("/users/me",)),
        ("asgi", "traced_fastapi:app", ("/users/me", "/threads/me")),
    ],
)
def test_frameworks_make_parts_of_our_span(
    collector: Collector, kind: str, app: str, paths: tuple[str, ...]
) -> None:
    with Live(app, "--otel", kind=kind, ready=paths[0], environ=collector.environ) as live:
        for path in paths:
            trace = new_trace()
            answer = live.request(path, fields=(parent(trace),))
            assert trace.encode() in answer.body
            span = collector.wait_server(trace)
            known = {each.id: each for each in collector.wait(trace, 2)}  # FastAPI may make some itself
            (step,) = [each for each in known.values() if each.name == "look up me"]
            while step is not span:
                step = known[step.parent]


@pytest.mark.slow
def test_tornado(collector: Collector, tmp_path: Path) -> None:
    (tmp_path / "traced_site.py").write_text(
        "import tornado.web\n"
        "from opentelemetry import trace\n"
        "class Handler(tornado.web.RequestHandler):\n"
        "    async def get(self, path):\n"
        "        with trace.get_tracer('tornado').start_as_current_span('work'):\n"
        "            self.set_status(404 if path == 'no' else 200)\n"
        "            self.write('ok')\n"
        "app = tornado.web.Application([(r'/(.*)', Handler)])\n"
    )
    with Live("traced_site:app", "--otel", kind="tornado", chdir=tmp_path, environ=collector.environ) as live:
        trace = new_trace()
        assert live.request("/no", fields=(parent(trace),)).status == 404
        span, child = collector.wait(trace, 2)
    assert child.parent == span.id
    assert span.attributes["http.response.status_code"] == 404
    assert phases(span) == ["head_read", "application", "first_byte", "last_byte"]


def test_an_application_that_has_set_up_its_own(collector: Collector) -> None:
    """Keeps it, and our spans go where its own do."""
    environ = collector.environ | {"OTEL_SERVICE_NAME": "ours"}
    with Live("traced_own:app", "--otel", environ=environ) as live:
        trace = new_trace()
        live.request("/", fields=(parent(trace),))
        spans = collector.wait(trace, 2)
        log = live.log()
    assert {span.resource["service.name"] for span in spans} == {"its own"}
    assert {span.scope for span in spans} == {"tricorn", "own"}
    assert "Overriding" not in log


def test_the_sdk_disabled(collector: Collector) -> None:
    with Live("traced:app", "--otel", environ=collector.environ | {"OTEL_SDK_DISABLED": "true"}) as live:
        assert live.request("/").status == 200
        assert live.request("/raise").status == 500
        live.signal(TERM)
        assert live.wait_exit() == 0
    assert not collector.spans


@pytest.mark.slow
def test_hooks_see_the_span(collector: Collector, tmp_path: Path) -> None:
    """They are called in the context of their request."""
    (tmp_path / "hooked.py").write_text(
        "from opentelemetry import trace\n"
        "def current():\n"
        "    return format(trace.get_current_span().get_span_context().span_id, '016x')\n"
        "def pre_request(worker, req):\n"
        "    req.before = current()\n"
        "def post_request(worker, req):\n"
        "    print('pre', req.before, 'post', current(), flush=True)\n"
    )
    for kind, app in (("sync", "traced:app"), ("asgi", "traced:asgi_app")):
        options = ("--otel", "--config", str(tmp_path / "hooked.py"))
        with Live(app, *options, kind=kind, environ=collector.environ) as live:
            trace = new_trace()
            live.request("/", fields=(parent(trace),))
            span, _ = collector.wait(trace, 2)
            live.wait_log(f"pre {span.id} post {span.id}")


@pytest.mark.parametrize(("kind", "app"), [("sync", "traced:app"), ("asgi", "traced:asgi_app")])
def test_who_waits_and_who_is_turned_away(collector: Collector, tmp_path: Path, kind: str, app: str) -> None:
    options = ("--otel", "--max-queue=1", *(("--max-concurrency=1",) if kind == "asgi" else ()))
    gate = tmp_path / "gate"
    inside, waits = new_trace(), new_trace()
    refused = ""
    with Live(app, *options, kind=kind, environ=collector.environ) as live:
        clients = [live.connect(timeout=10) for _ in range(2)]
        clients[0].send(message(f"/hold{gate}", fields=(parent(inside),)))
        wait_for(Path(f"{gate}.in").exists, "it is inside")
        clients[1].send(message("/", fields=(parent(waits),)))

        def turned_away() -> bool:
            """It may come before the one that shall wait. Then it waits itself, until it leaves."""
            nonlocal refused
            refused = new_trace()
            with live.connect(timeout=10) as client:
                client.send(message("/status/201", fields=(parent(refused),)))
                return not client.is_quiet(0.5) and client.response().status == 503

        wait_for(turned_away, "there is no place", deadline=5)
        gate.touch()
        for client in clients:
            assert client.response().status == 200
            client.close()
        (span,) = collector.wait(refused)
        assert span.attributes["http.response.status_code"] == 503
        assert (span.status, span.attributes["error.type"]) == (ERROR, "503")
        assert "tricorn.application" not in span.events
        span, _ = collector.wait(waits, 2)
        assert all_phases(span) == ["head_read", "queued", "application", "first_byte", "last_byte"]
        held, _ = collector.wait(inside, 2)
        assert span.events["tricorn.queued"] < held.events["tricorn.last_byte"]
        assert span.events["tricorn.application"] >= held.events["tricorn.first_byte"]


def test_a_processor_that_raises_costs_no_request(tmp_path: Path) -> None:
    (tmp_path / "traced_site.py").write_text(
        "from opentelemetry import trace\n"
        "from opentelemetry.sdk.trace import SpanProcessor, TracerProvider\n"
        "class Bad(SpanProcessor):\n"
        "    def on_start(self, span, parent_context=None):\n"
        "        raise ZeroDivisionError('start')\n"
        "    def on_end(self, span):\n"
        "        raise ZeroDivisionError('end')\n"
        "provider = TracerProvider()\n"
        "provider.add_span_processor(Bad())\n"
        "trace.set_tracer_provider(provider)\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [b'ok']\n"
    )
    environ = {"OTEL_METRICS_EXPORTER": "none"}
    with Live("traced_site:app", "--otel", chdir=tmp_path, environ=environ) as live:
        for _ in range(5):
            assert live.request("/").status == 200
        assert live.wait_log("OpenTelemetry has raised").count("Traceback") == 1
        live.signal(TERM)
        assert live.wait_exit() == 0


@pytest.mark.slow
def test_many_threads_at_once(collector: Collector) -> None:
    """Each finds its own span, and none is lost."""
    traces = [new_trace() for _ in range(60)]
    with Live("traced:app", "--otel", kind="gthread", environ=collector.environ) as live:

        def some(mine: list[str]) -> None:
            with live.connect(timeout=10) as client:
                for trace in mine:
                    client.send(message("/", fields=(parent(trace),)))
                    client.response()

        threads = [threading.Thread(target=some, args=(traces[n::6],)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for trace in traces:
            span, child = collector.wait(trace, 2)
            assert child.parent == span.id
