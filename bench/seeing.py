"""What it costs to see inside: all on beside all off; how soon /metrics answers; what `tricorn top` takes.

    .venv/bin/python -m bench.seeing                               all, in three minutes
    .venv/bin/python -m bench.seeing --part cpu --rounds 20
    .venv/bin/python -m bench.seeing --part instructions --part metrics

"On" are the settings of ON: counters and histograms, the record of slow requests, alarms, the probes, and the
admin process. Not among them: logs, `otel`, whose cost is OpenTelemetry's, and `server_timing`, which changes
responses. Both servers are driven in turn, so what the machine does meets both; each of ON has its own line
with `--each`. Fails where a figure is beyond its target; instructions have none, but repeat exactly.

Knows: settings, scenarios, the control socket. Must not know: what any of it does.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import pty
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bench import environment, instructions, machine, measure, options, paths, proc, scenarios
from bench.process import Running, ServerError
from bench.scenarios import Entry
from bench.wrk import WrkError

OWN = Entry("tricorn")
LOOPS = 5_000  # for `apps/burn.py`, which none of these is
COUNTED = ("get-1-header", "asgi-get-1-header", "h2c-hello")
#: callgrind's client speaks HTTP/1.
INSTRUCTED = ("get-1-header", "asgi-get-1-header")

#: {home}: a directory of the server's own.
ON = {
    "TRICORN_METRICS": "true",
    "TRICORN_SLOW_REQUEST_TIME": "1",
    "TRICORN_ALARM_QUEUE_TIME": "0.5",
    "TRICORN_ALARM_ERROR_SHARE": "5%",
    "TRICORN_HEALTH_PATH": "/healthz",
    "TRICORN_READY_PATH": "/readyz",
    "TRICORN_ADMIN_BIND": "unix:{home}/admin.sock",
}
#: What a profile is made of: threads that compute, tasks that wait, greenlets that wait.
PROFILED = (
    ("threads-8-cpu-80us", Entry("tricorn")),
    ("asgi-sleep-10ms", Entry("tricorn")),
    ("green-sleep-2ms", Entry("tricorn-gevent")),
)
PARTS = ("cpu", "instructions", "metrics", "top", "profile")

#: CPU per request, on against off; milliseconds until /metrics of so many workers is there; of a core, twice.
RATIO, SCRAPE_MS, TOP, PROFILE = 1.03, 5.0, 0.01, 0.02
WORKERS, SCRAPES = 16, 100
TOP_SECONDS, TOP_WORKERS = 30.0, 4


@dataclass(frozen=True)
class Figure:
    """One line. most: its target; None: it has none."""

    name: str
    value: float
    unit: str
    most: float | None = None

    @property
    def is_held(self) -> bool:
        return self.most is None or self.value <= self.most

    def __str__(self) -> str:
        target = "" if self.most is None else f"  ≤ {self.most:g}: {'held' if self.is_held else 'MISSED'}"
        return f"{self.name:48} {self.value:10,.3f} {self.unit}{target}"


def main() -> int:
    chosen = parser().parse_args()
    parts = {"cpu": cpu, "instructions": counted, "metrics": metrics, "top": top, "profile": profile}
    figures: list[Figure] = []
    try:
        environment.prepare()
        for part in chosen.part or PARTS:
            for figure in parts[part](chosen):
                print(figure, flush=True)
                figures.append(figure)
    except (environment.NotPossibleError, ServerError, WrkError, OSError) as error:
        print(f"seeing: {error}", file=sys.stderr)
        return 1
    return 0 if all(figure.is_held for figure in figures) else 1


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m bench.seeing", description=__doc__)
    p.formatter_class = argparse.RawDescriptionHelpFormatter
    p.add_argument("--part", action="append", choices=PARTS, metavar="NAME", help=", ".join(PARTS))
    p.add_argument("--scenario", action="append", choices=COUNTED, metavar="NAME", help=", ".join(COUNTED))
    p.add_argument("--each", action="store_true", help="each setting by itself, too")
    p.add_argument("--rounds", type=lambda t: options.bounded(1, 1000, t), default=12)
    p.add_argument("--seconds", type=lambda t: options.bounded(1, 60, t), default=1)
    return p


def ways(chosen: argparse.Namespace) -> Mapping[str, Mapping[str, str]]:
    """Names of what is compared with all off → what is set."""
    if not chosen.each:
        return {"all on": ON}
    return {"all on": ON, **{f"{name} alone": {**needed_by(name), name: ON[name]} for name in ON}}


def needed_by(name: str) -> Mapping[str, str]:
    """Alarms look at what is counted."""
    return {"TRICORN_METRICS": "true"} if name.startswith("TRICORN_ALARM") else {}


@contextlib.contextmanager
def settled(wanted: Mapping[str, str]) -> Iterator[dict[str, str]]:
    with tempfile.TemporaryDirectory(prefix="bench-seeing-") as home:
        yield {name: value.format(home=home) for name, value in wanted.items()}


# ---- processor time, and instructions


def cpu(chosen: argparse.Namespace) -> Iterator[Figure]:
    environment.check_tools()
    machine.pin_this_process()
    for name in chosen.scenario or COUNTED:
        scenario = scenarios.by_name(name)
        for way, wanted in ways(chosen).items():
            with settled(wanted) as variables, contextlib.ExitStack() as stack:
                sides = [
                    stack.enter_context(
                        measure.launch(scenario, OWN, f"seeing-{name}-{side}", LOOPS, environment=on)
                    )
                    for side, on in (("off", {}), ("on", variables))
                ]
                for side in sides:
                    measure.check(scenario, OWN, side)
                    measure.drive(scenario, side, measure.WARM_UP)
                pairs = []
                for number in range(chosen.rounds):
                    order = (0, 1) if number % 2 == 0 else (1, 0)
                    taken = {i: measure.drive(scenario, sides[i], chosen.seconds) for i in order}
                    pairs.append((taken[0]["cpu_us"], taken[1]["cpu_us"]))
            off, on = (statistics.median(side) for side in zip(*pairs, strict=True))
            yield Figure(f"{name}: all off", off, "µs of CPU a request")
            yield Figure(f"{name}: {way}", on, "µs of CPU a request")
            ratio = statistics.median(on / off for off, on in pairs)
            yield Figure(f"{name}: {way} / all off", ratio, "times", RATIO if way == "all on" else None)


def counted(chosen: argparse.Namespace) -> Iterator[Figure]:
    instructions.check_tools()
    if problem := environment.compile_program("slowclock", paths.SLOWCLOCK, "-shared", "-fPIC"):
        raise environment.NotPossibleError(problem)
    for name in (each for each in chosen.scenario or INSTRUCTED if each in INSTRUCTED):
        off = instructions.count_one(name, OWN.server).instructions
        yield Figure(f"{name}: all off", off, "instructions a request")
        for way, wanted in ways(chosen).items():
            with settled(wanted) as variables:
                on = instructions.count_one(name, OWN.server, settings=variables).instructions
            yield Figure(f"{name}: {way}", on - off, "instructions more")


# ---- who looks


def metrics(_chosen: argparse.Namespace) -> Iterator[Figure]:
    """As a program on the same machine asks: one connection, one scrape after the other."""
    with settled(ON) as variables:
        path = Path(variables["TRICORN_ADMIN_BIND"].removeprefix("unix:"))
        with serving(WORKERS, variables) as server:
            server.wait_for(lambda: connected_to(path).close())
            with connected_to(path) as client:
                took = [scraped(client) for _ in range(SCRAPES)]
    yield Figure(f"/metrics of {WORKERS} workers, median", statistics.median(took), "ms", SCRAPE_MS)
    yield Figure(f"/metrics of {WORKERS} workers, the slowest of {SCRAPES}", max(took), "ms")


def connected_to(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    try:
        client.connect(str(path))
    except FileNotFoundError as error:
        client.close()
        raise ConnectionRefusedError from error  # it is not there yet
    except OSError:
        client.close()
        raise
    return client


def scraped(client: socket.socket) -> float:
    """How long it took, ms."""
    begun = time.perf_counter()
    accept = b"application/openmetrics-text; version=1.0.0"
    client.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: " + accept + b"\r\n\r\n")
    body = instructions.read_response(client)
    took = (time.perf_counter() - begun) * 1e3
    if not body.endswith(b"# EOF\n"):
        raise ServerError(f"/metrics ends with {body[-100:]!r}")
    return took


def top(_chosen: argparse.Namespace) -> Iterator[Figure]:
    """On a terminal of 80 by 24, beside workers that have something to do."""
    with settled(ON) as variables, tempfile.TemporaryDirectory(prefix="bench-top-") as home:
        path = f"{home}/ctl.sock"
        with serving(TOP_WORKERS, {**variables, "TRICORN_CONTROL_SOCKET": path}) as server:
            server.wait_ready()
            with busy(server.port), drawn([str(paths.OWN_BIN / "tricorn"), "top", "--socket", path]) as pid:
                time.sleep(2.0)  # what its start takes is not meant
                before, begun = proc.cpu_seconds(pid), time.monotonic()
                time.sleep(TOP_SECONDS)
                share = (proc.cpu_seconds(pid) - before) / (time.monotonic() - begun)
    yield Figure(f"tricorn top beside {TOP_WORKERS} workers", share, "of a core", TOP)


def profile(chosen: argparse.Namespace) -> Iterator[Figure]:
    """The same server with and without somebody who has it profiled, in turn. Of a core, since what the
    profiler takes has nothing to do with how many requests there are."""
    environment.check_tools()
    machine.pin_this_process()
    for name, entry in PROFILED:
        scenario = scenarios.by_name(name)
        with tempfile.TemporaryDirectory(prefix="bench-profile-") as home:
            path = f"{home}/ctl.sock"
            variables = {"TRICORN_CONTROL_SOCKET": path}
            with measure.launch(scenario, entry, f"seeing-{name}", LOOPS, environment=variables) as server:
                measure.check(scenario, entry, server)
                measure.drive(scenario, server, measure.WARM_UP)
                shares = []
                for _ in range(chosen.rounds):
                    off = measure.drive(scenario, server, chosen.seconds)
                    with profiled(path, chosen.seconds, f"{home}/profile"):
                        on = measure.drive(scenario, server, chosen.seconds)
                    shares.append(on["rps"] * (on["cpu_us"] - off["cpu_us"]) / 1e6)
        yield Figure(f"tricorn ctl profile: {name}", statistics.median(shares), "of a core", PROFILE)


@contextlib.contextmanager
def profiled(path: str, seconds: float, output: str) -> Iterator[None]:
    """For as long as this lasts, and a moment longer."""
    words = ["--socket", path, "profile", f"--seconds={seconds + 0.5}", f"--output={output}"]
    process = subprocess.Popen(
        [str(paths.OWN_BIN / "tricorn"), "ctl", *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    time.sleep(0.25)  # what its start takes is not meant
    yield
    _, said = process.communicate(timeout=30)
    if process.returncode:
        raise ServerError(said.decode(errors="replace").strip())


def serving(workers: int, variables: Mapping[str, str]) -> Running:
    scenario = scenarios.by_name("get-1-header")
    server = scenario.server(OWN)
    server = replace(server, command=server.command.replace(" -w 1 ", f" -w {workers} "))
    log = paths.LOGS / "seeing.log"
    log.write_bytes(b"")
    return Running(server, scenario.launch_of(OWN), log, LOOPS, within=(), environment=variables)


@contextlib.contextmanager
def busy(port: int) -> Iterator[None]:
    """A few hundred requests a second."""
    ended = threading.Event()

    def ask() -> None:
        with socket.create_connection(("127.0.0.1", port)) as client:
            while not ended.wait(0.004):
                client.sendall(b"GET / HTTP/1.1\r\nHost: seeing\r\n\r\n")
                instructions.read_response(client)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def drawn(command: list[str]) -> Iterator[int]:
    """A program on a terminal that somebody reads. Its process id."""
    main_end, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    variables = {**os.environ, "TERM": "xterm-256color"}
    process = subprocess.Popen(command, stdin=other, stdout=other, stderr=other, env=variables)
    os.close(other)

    def read() -> None:
        with contextlib.suppress(OSError):  # the end of a terminal
            while os.read(main_end, 65536):
                continue

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield process.pid
        if process.poll() is not None:
            raise ServerError(f"{' '.join(command)} has ended with {process.returncode}")
    finally:
        process.terminate()
        process.wait()
        reader.join()
        os.close(main_end)


if __name__ == "__main__":
    sys.exit(main())
