"""Running wrk and reading what it prints."""

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from bench import paths
from bench.process import CLIENT_CORE
from bench.scenarios import Scenario

MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


class WrkError(Exception):
    """wrk printed no result."""


@dataclass(frozen=True)
class WrkResult:
    requests: int
    per_second: float
    p50_ms: float | None  # None: the client does not say
    p99_ms: float | None
    failures: int  # socket errors, timeouts and answers other than 2xx or 3xx
    p999_ms: float | None = None  # wrk does not say these two
    max_ms: float | None = None
    resumed: int = 0  # TLS sessions; wrk resumes none


@contextmanager
def connected(scenario: Scenario, port: int) -> Iterator[Callable[[float], WrkResult]]:
    """The same form as for WebSockets; but wrk opens its connections in the run, and closes them there."""
    yield partial(run, scenario, port)


def run(scenario: Scenario, port: int, seconds: float) -> WrkResult:
    command = ["taskset", "-c", str(CLIENT_CORE), "wrk", "-t1", f"-c{scenario.connections}"]
    command += [f"-d{max(1, round(seconds))}s", "--latency"]
    for header in scenario.headers:
        command += ["-H", header]
    if scenario.script:
        command += ["-s", str(paths.BENCH / "wrk" / scenario.script)]
    command.append(f"{'https' if scenario.launch.tls else 'http'}://127.0.0.1:{port}{scenario.launch.path}")
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=False)
    return parse(done.stdout + done.stderr)


def parse(text: str) -> WrkResult:
    total = re.search(r"(\d+) requests in", text)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    if not total or not rate:
        raise WrkError(text.strip()[-300:])
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    resumed = re.search(r"Resumed sessions: (\d+)", text)
    failures = sum(map(int, errors.groups())) if errors else 0
    return WrkResult(
        requests=int(total[1]),
        per_second=float(rate[1]),
        p50_ms=percentile(text, "50"),
        p99_ms=percentile(text, "99"),
        failures=failures + (int(refused[1]) if refused else 0),
        p999_ms=find_percentile(text, "99.9"),
        max_ms=find_percentile(text, "100"),
        resumed=int(resumed[1]) if resumed else 0,
    )


def percentile(text: str, which: str) -> float:
    found = find_percentile(text, which)
    if found is None:
        raise WrkError(f"no {which}% in: {text.strip()[-300:]}")
    return found


def find_percentile(text: str, which: str) -> float | None:
    found = re.search(rf"^\s+{re.escape(which)}%\s+([\d.]+)(us|ms|s|m)\s*$", text, re.M)
    return float(found[1]) * MILLISECONDS[found[2]] if found else None
