"""The health process: an application of ours that says how the service is, served as any other is.

It shares nothing with the workers but a page of numbers that the master writes, so it answers although all of
their threads and loops are stuck.

Knows: the numbers, what is answered with them. Must not know: how they are counted, the master.
"""

from __future__ import annotations

import faulthandler
import json
from collections.abc import Callable, Iterable
from typing import Any

from tricorn import forks
from tricorn.handover import Assignment
from tricorn.scoreboard import monotonic_ns
from tricorn.sigaction import use_usual_stack
from tricorn.summary import Numbers, Summary
from tricorn.workers.signals import SignalPipe
from tricorn.workers.threaded import serve_threaded

#: The master writes once a second. One that has not for so long does not look after its workers either, ns.
SILENCE = 10_000_000_000


def run_health(summary: Summary, assignment: Assignment) -> int:
    """The life of the process. Returns its exit code."""
    signals = SignalPipe()
    signals.open()
    forks.let_go(signals.let_go)
    faulthandler.enable(2)  # as in a worker, for one that the master aborts
    use_usual_stack()
    return serve_threaded(assignment, application(summary.read), signals)


def application(
    read: Callable[[], Numbers], now_ns: Callable[[], int] = monotonic_ns
) -> Callable[..., Iterable[bytes]]:
    """A WSGI application that answers GET and HEAD for the PATHS."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        judge = PATHS.get(environ["PATH_INFO"])
        if judge is None:
            status, body = "404 Not Found", "not found; there are " + ", ".join(PATHS) + "\n"
        elif environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            status, body = "405 Method Not Allowed", "use GET or HEAD\n"
        else:
            state = state_of(read(), now_ns())
            status = "200 OK" if judge(state) else "503 Service Unavailable"
            body = json.dumps(state) + "\n"
        kind = "application/json" if body.startswith("{") else "text/plain; charset=utf-8"
        fields = [("Content-Type", kind), ("Cache-Control", "no-store")]
        if status.startswith("405"):
            fields.append(("Allow", "GET, HEAD"))
        start_response(status, fields)
        return [body.encode()]

    return app


def state_of(numbers: Numbers, now_ns: int) -> dict[str, Any]:
    """What is answered.

    alive: the master looks after its workers, and not all that have been READY are stuck. A service that
        starts lives; whether it takes too long is the master's to judge.
    ready: as many are READY as promised, but for those that are on their way, and the service was not told to
        stop. So a service that grows, or replaces a worker, stays ready.
    """
    is_watched = now_ns - numbers.beat_ns < SILENCE
    are_there = numbers.ready >= max(1, numbers.wanted - numbers.starting)
    return {
        "alive": is_watched and not (numbers.stuck and not numbers.ready),
        "ready": is_watched and not numbers.stopping and are_there,
        "stopping": bool(numbers.stopping),
        "workers": {
            "wanted": numbers.wanted,
            "ready": numbers.ready,
            "starting": numbers.starting,
            "stuck": numbers.stuck,
        },
    }


def is_alive(state: dict[str, Any]) -> bool:
    return bool(state["alive"])


def is_ready(state: dict[str, Any]) -> bool:
    return bool(state["ready"])


PATHS = {"/livez": is_alive, "/readyz": is_ready, "/healthz": is_alive}
