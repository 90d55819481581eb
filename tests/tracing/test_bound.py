"""OpenTelemetry that takes spans more slowly than requests come: memory is bounded, what is lost is told."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
from harness.server import wait_for
from integration.answering import write_site
from integration.live import Live
from tracing.test_spans import new_trace, parent

#: Its processor waits for a file. It answers with the span that its own would be parts of.
SITE = """
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from tricorn.tracing import spans

spans.MOST = 4

class Slow(SpanProcessor):
    def on_end(self, span):
        print("telling", flush=True)
        while not os.path.exists("gate"):
            time.sleep(0.005)
        print("told", flush=True)

provider = TracerProvider()
provider.add_span_processor(Slow())
trace.set_tracer_provider(provider)

def answer(path):
    return format(trace.get_current_span().get_span_context().span_id, "016x")
"""
#: One is being told, four wait, and one may have begun before the last of them was put there.
KEPT = 6
ASKED = 12
LOST = "OpenTelemetry takes spans more slowly than requests come"


@pytest.mark.parametrize("kind", ["gthread", pytest.param("asgi", marks=pytest.mark.slow)])
def test_what_waits_to_be_told_is_bounded(kind: str, tmp_path: Path) -> None:
    """A request that has no place is served, and what its application traces is a part of what its client
    has begun."""
    write_site(tmp_path, SITE, kind)
    environ = {"OTEL_METRICS_EXPORTER": "none"}
    with Live("site_app:app", "--otel", kind=kind, chdir=tmp_path, environ=environ) as live:
        begun = "00f067aa0ba902b7"

        def is_inside() -> bool:
            """Whether the span that it was given is the client's own."""
            answer = live.request("/", fields=(parent(new_trace(), begun),))
            assert answer.status == 200
            return answer.body.decode() == begun

        live.wait_log("telling")  # what was asked for at the start
        kept = 1
        while not is_inside():
            kept += 1
            assert kept <= KEPT, live.log()
        for _ in range(ASKED):
            assert is_inside()
        assert live.log().count(LOST) == 1
        (tmp_path / "gate").touch()
        wait_for(lambda: not is_inside(), "there is room again", deadline=10)
        live.signal(signal.SIGTERM)
        assert live.wait_exit() == 0
        log = live.log()
    lost = int(re.findall(r"(\d+) requests of worker \d+ were not traced", log)[0])
    assert lost >= 1 + ASKED
    assert log.count("told") == kept + 1
    assert log.count(LOST) == 1
