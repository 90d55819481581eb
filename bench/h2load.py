"""Running h2load (nghttp2's) and reading what it prints.

It tells the mean of the latencies and the longest, and no percentiles; so those are not on the page."""

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench import paths
from bench.process import CLIENT_CORE
from bench.scenarios import Scenario
from bench.wrk import WrkError, WrkResult


@contextmanager
def connected(scenario: Scenario, port: int) -> Iterator[Callable[[float], WrkResult]]:
    """The same form as for WebSockets; but h2load opens its connections in the run, and closes them there."""
    yield partial(run, scenario, port)


def run(scenario: Scenario, port: int, seconds: float) -> WrkResult:
    command = ["taskset", "-c", str(CLIENT_CORE), *words(scenario, port), "-D", str(max(1, round(seconds)))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=False)
    return parse(done.stdout + done.stderr)


def words(scenario: Scenario, port: int) -> list[str]:
    """Without its core and how long it shall run."""
    command = ["h2load", "-t1", f"-c{scenario.connections}", f"-m{scenario.streams}"]
    # So much may be under way that what is measured is the server, and not the client's windows: 2^30 - 1.
    command += ["-w30", "-W30"]
    for header in scenario.headers:
        command += ["-H", header]
    if scenario.body_size:
        command += ["-d", str(body_of(scenario.body_size))]
    command.append(f"{'https' if scenario.launch.tls else 'http'}://127.0.0.1:{port}/")
    return command


def body_of(size: int) -> Path:
    """A file of that size; h2load sends it with each request."""
    path = paths.WORK / f"body-{size}.bin"
    if not path.exists():
        path.write_bytes(b"x" * size)
    return path


def parse(text: str) -> WrkResult:
    rate = re.search(r"finished in [^,]+, ([\d.]+) req/s", text)
    counts = re.search(r"(\d+) succeeded, (\d+) failed", text)
    if not rate or not counts:
        raise WrkError(text.strip()[-300:])
    return WrkResult(
        requests=int(counts[1]),  # those with 2xx and 3xx
        per_second=float(rate[1]),
        p50_ms=None,
        p99_ms=None,
        failures=int(counts[2]),  # other statuses, resets, connections that were lost
    )
