"""Running `openload.c`: HTTP requests at a constant rate, with latencies from the planned instants."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from bench import load, paths
from bench.scenarios import Scenario
from bench.wrk import WrkResult


def connected(scenario: Scenario, port: int) -> AbstractContextManager[Callable[[float], WrkResult]]:
    """All connections are open; what it gives drives them for so many seconds."""
    payload = paths.WORK / f"request-{scenario.name}"
    payload.write_bytes(request(scenario))
    mode = "spin" if scenario.spin else "sleep"
    return load.connected(paths.OPENLOAD, port, scenario.connections, scenario.rate, mode, payload)


def request(scenario: Scenario) -> bytes:
    """What wrk would send, with the same Host in each run."""
    method = "POST" if scenario.body_size else "GET"
    fields = list(scenario.headers or ("Host: 127.0.0.1:8000",))
    if scenario.body_size:
        fields += ["Content-Type: application/octet-stream", f"Content-Length: {scenario.body_size}"]
    head = "\r\n".join([f"{method} {scenario.launch.path} HTTP/1.1", *fields])
    return f"{head}\r\n\r\n".encode() + b"x" * scenario.body_size
