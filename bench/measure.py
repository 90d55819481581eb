"""The rounds: all servers of a scenario are started and driven one after the other, in a changing order.

Whatever else the machine does meets all of them."""

import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace

from bench import frames, h2load, idle, openload, paths, proc, servers, startup, tls, tlsload, wrk, wsload
from bench.process import Running, ServerError
from bench.progress import Progress
from bench.results import Contestant, Outcome, summarise
from bench.scenarios import Entry, Scenario
from bench.servers import Server

WARM_UP = 1.0
SETTLE = 0.1  # for the requests that are in flight when wrk ends
Client = Callable[[float], wrk.WrkResult]  # drives for so many seconds
PLAIN = str.maketrans(" ", "-", "()")
SLOW_ROUNDS = 2  # of servers that are far from the others: their figure needs no precision


@dataclass(frozen=True)
class Plan:
    """What one call of the command shall do, and what it knows of the machine."""

    rounds: int
    seconds: float
    idle_connections: int
    only_servers: frozenset[str]
    problems: dict[str, str]  # identity of a server -> why it cannot run
    versions: dict[str, str]
    loops: int
    python: str
    machine: str

    def entries(self, scenario: Scenario) -> list[Entry]:
        return [e for e in scenario.entries if not self.only_servers or e.server in self.only_servers]

    def rounds_of(self, server: Server) -> int:
        return min(self.rounds, SLOW_ROUNDS) if server.slow else self.rounds

    def idle_of(self, scenario: Scenario) -> int:
        """How many connections it keeps."""
        return min(self.idle_connections, scenario.connections)

    def expected_seconds(self, scenario: Scenario) -> float:
        chosen = [scenario.server(entry) for entry in self.entries(scenario)]
        runnable = [server for server in chosen if server.ident not in self.problems]
        if scenario.kind == "idle":
            return len(runnable) * 5.0
        if scenario.kind == "start":
            return len(runnable) * startup.SPAWNS * 1.5
        rounds = sum(self.rounds_of(server) for server in runnable)
        return len(runnable) * (1.5 + WARM_UP) + rounds * (self.seconds + SETTLE + 0.1)


def measure(scenario: Scenario, plan: Plan, progress: Progress) -> Outcome:
    today = time.strftime("%Y-%m-%d")
    outcome = Outcome(scenario.name, today, plan.python, plan.machine, plan.rounds, plan.seconds)
    ready: list[tuple[Entry, Contestant]] = []
    for entry in plan.entries(scenario):
        server = scenario.server(entry)
        version = plan.versions.get(server.distribution.lower(), "")
        contestant = Contestant(entry.key, entry.server, version, today)
        contestant.problem = plan.problems.get(server.ident, "")
        outcome.contestants.append(contestant)
        if not contestant.problem:
            ready.append((entry, contestant))
    if scenario.kind == "load":
        load(scenario, plan, ready, progress)
    else:
        alone(scenario, plan, ready, progress)
    return outcome


def start(scenario: Scenario, entry: Entry, plan: Plan) -> Running:
    return launch(scenario, entry, f"{scenario.name}-{entry.key}", plan.loops)


def launch(
    scenario: Scenario,
    entry: Entry,
    name: str,
    loops: int,
    source: str = "",
    *,
    environment: Mapping[str, str] | None = None,
) -> Running:
    log = paths.LOGS / f"{name.translate(PLAIN)}.log"
    log.write_bytes(b"")
    server, launch = scenario.server(entry), scenario.launch_of(entry)
    return Running(server, launch, log, loops, source, environment=environment)


def check(scenario: Scenario, entry: Entry, server: Running) -> None:
    """The answer must be right before it is timed."""
    if scenario.message:
        frame, plain = wsload.frame(scenario.message), wsload.plain(scenario.message)
        server.wait_for(lambda: frames.echo_once(server.port, frame, plain))
        return
    method = "POST" if scenario.body_size else "GET"
    answer = server.wait_ready(method, b"x" * scenario.body_size, scenario.headers)
    launch = scenario.launch_of(entry)
    if len(answer) != launch.body_size:
        raise ServerError(f"answered {len(answer)} bytes instead of {launch.body_size}")
    counts = launch.app.endswith("upload") and entry.server not in servers.FLOOR_NAMES
    if counts and int(answer) != scenario.body_size:
        raise ServerError(f"the application read {int(answer)} of {scenario.body_size} bytes")


def load(
    scenario: Scenario, plan: Plan, contestants: Iterable[tuple[Entry, Contestant]], progress: Progress
) -> None:
    with ExitStack() as stack:
        running: list[tuple[Contestant, Running]] = []
        for entry, contestant in contestants:
            server = stack.enter_context(start(scenario, entry, plan))
            try:
                check(scenario, entry, server)
                drive(scenario, server, WARM_UP)
                running.append((contestant, server))
            except (ServerError, wrk.WrkError, subprocess.TimeoutExpired) as error:
                server.stop()
                contestant.problem = str(error)
                progress.say(f"{scenario.name}: {contestant.key}: {error}")
            progress.spent(1.5 + WARM_UP)
        run_rounds(scenario, plan, running, progress)


def run_rounds(
    scenario: Scenario, plan: Plan, running: list[tuple[Contestant, Running]], progress: Progress
) -> None:
    samples: dict[str, list[dict[str, float]]] = {contestant.key: [] for contestant, _ in running}
    for number in range(plan.rounds):
        turn = number % len(running) if running else 0
        for contestant, server in running[turn:] + running[:turn]:
            if contestant.problem or number >= plan.rounds_of(server.server):
                continue
            try:
                sample = drive(scenario, server, plan.seconds)
            except (ServerError, wrk.WrkError, subprocess.TimeoutExpired) as error:
                contestant.problem = f"in round {number + 1}: {error}"
                progress.say(f"{scenario.name}: {contestant.key}: {contestant.problem}")
                continue
            samples[contestant.key].append(sample)
            progress.spent(plan.seconds + SETTLE + 0.1)
            progress.say(
                f"{scenario.name} {number + 1}/{plan.rounds}  {contestant.key:24} {sample['rps']:9,.0f}/s "
                f"{sample['cpu_us']:9.2f} µs"
                + (f"  p99 {sample['p99_ms']:.2f} ms" if "p99_ms" in sample else "")
                + (f"  FAILURES {sample['failures']:.0f}" if sample["failures"] else "")
            )
    for contestant, _ in running:
        summarise(contestant, samples[contestant.key])


def drive(scenario: Scenario, server: Running, seconds: float) -> dict[str, float]:
    """One turn of one server."""
    server.empty_log()
    connected = client_of(scenario)
    with connected(scenario, server.port) as run:
        before = server.cpu_seconds()
        result = run(seconds)
        time.sleep(SETTLE)
        used = server.cpu_seconds() - before
    if not server.alive():
        raise ServerError(f"died under load: {server.last_words()}")
    if not result.requests:
        raise ServerError(f"answered no request in {seconds:.0f} s ({result.failures} failures)")
    if objection := tlsload.objection(scenario, result):
        raise ServerError(objection)
    values = {
        "rps": result.per_second,
        "cpu_us": used / result.requests * 1e6,
        "p50_ms": result.p50_ms,
        "p99_ms": result.p99_ms,
        "p999_ms": result.p999_ms,
        "max_ms": result.max_ms,
        "pss_mb": proc.tree_pss(server.pid) / 1e6,
        "failures": result.failures,
    }
    return {name: value for name, value in values.items() if value is not None}


def client_of(scenario: Scenario) -> Callable[[Scenario, int], AbstractContextManager[Client]]:
    if scenario.message:
        return wsload.connected
    if scenario.handshake:
        return tlsload.connected
    if scenario.streams:
        return h2load.connected
    return openload.connected if scenario.rate else wrk.connected


def idle_client(scenario: Scenario) -> idle.Client:
    if scenario.message:
        return idle.websocket(wsload.frame(scenario.message))
    if scenario.streams:
        return idle.HTTP2
    return replace(idle.HTTP, context=tls.client()) if scenario.launch.tls else idle.HTTP


def alone(
    scenario: Scenario, plan: Plan, contestants: Iterable[tuple[Entry, Contestant]], progress: Progress
) -> None:
    """The scenarios in which one server runs at a time."""
    client = idle_client(scenario)
    for entry, contestant in contestants:
        try:
            if scenario.kind == "idle":
                with start(scenario, entry, plan) as server:
                    check(scenario, entry, server)
                    contestant.values = idle.measure(server, plan.idle_of(scenario), client)
            else:
                samples = [startup.measure(start(scenario, entry, plan)) for _ in range(startup.SPAWNS + 1)]
                summarise(contestant, samples[1:])  # the first one filled the file cache
        except (ServerError, OSError) as error:
            contestant.problem = f"{type(error).__name__}: {error}"
        progress.spent(plan.expected_seconds(scenario) / max(1, len(plan.entries(scenario))))
        figures = "  ".join(f"{name} {value:,.1f}" for name, value in contestant.values.items())
        progress.say(f"{scenario.name}  {contestant.key:24} {contestant.problem or figures}")
