"""Running `openload.c`: HTTP requests at a constant rate, with latencies from the planned instants."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from bench import paths, wsload
from bench.process import CLIENT_CORE
from bench.scenarios import Scenario
from bench.wrk import WrkResult


@contextmanager
def connected(scenario: Scenario, port: int) -> Iterator[Callable[[float], WrkResult]]:
    """All connections are open; what it gives drives them for so many seconds."""
    payload = paths.WORK / f"request-{scenario.name}"
    payload.write_bytes(request(scenario))
    mode = "spin" if scenario.spin else "sleep"
    command = ["taskset", "-c", str(CLIENT_CORE), str(paths.OPENLOAD), str(port), str(scenario.connections)]
    command += [str(scenario.rate), mode, str(payload)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            wsload.read_to(process, "ready", wsload.PATIENCE)
            yield partial(wsload.run, process)
        finally:
            process.kill()  # which closes the connections


def request(scenario: Scenario) -> bytes:
    """What wrk would send, with the same Host in each run."""
    method = "POST" if scenario.body_size else "GET"
    fields = list(scenario.headers or ("Host: 127.0.0.1:8000",))
    if scenario.body_size:
        fields += ["Content-Type: application/octet-stream", f"Content-Length: {scenario.body_size}"]
    head = "\r\n".join([f"{method} / HTTP/1.1", *fields])
    return f"{head}\r\n\r\n".encode() + b"x" * scenario.body_size
