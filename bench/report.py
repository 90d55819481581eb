"""The results page and the charts, written from the results alone.

Losses are shown like wins: each table is sorted by its figure, whoever comes first."""

from dataclasses import dataclass, field
from pathlib import Path

from bench import probe, scenarios, servers, svg, targets
from bench.instructions import Figures
from bench.probe import Facts
from bench.results import Contestant, Outcome, Outcomes
from bench.scenarios import SCENARIOS, Scenario
from bench.servers import ASGI, GROUPS, OTHER, WSGI
from bench.targets import NOTHING, TIMES

CHARTS = (
    "get-1-header",
    "browser-get",
    "post-10k-echo",
    "new-connection",
    "threads-8-hello",
    "threads-8-cpu-80us",
    "flask-hello",
    "django-hello",
    "flask-constant",
    "django-constant",
    "asgi-get-1-header",
    "asgi-browser-get",
    "asgi-post-10k-echo",
    "asgi-new-connection",
    "asgi-fastapi-hello",
    "asgi-fastapi-constant",
    "asgi-websocket-32b",
    "asgi-websocket-16k",
    "asgi-websocket-deflate",
    "tls-get-1-header",
    "tls-handshake-full",
    "tls-handshake-resumed",
    "asgi-tls-get-1-header",
    "asgi-tls-handshake-full",
    "asgi-tls-handshake-resumed",
)
TITLES = {WSGI: "WSGI", ASGI: "ASGI", OTHER: "Green threads and Tornado"}
FLOOR = {
    WSGI: servers.FLOOR.name,
    ASGI: servers.UVLOOP_FLOOR.name,
    OTHER: servers.FLOOR.name,
}  # what a server is measured by
COLUMNS = {
    "load": "CPU µs per {unit}|of the {floor}|of the best peer|instructions|{unit}s/s|p50 ms|p99 ms|"
    "memory MB|failures",
    "rate": "CPU µs per {unit}|of the best peer|{unit}s/s|p50 ms|p99 ms|p99.9 ms|longest ms|"
    "memory MB|failures",
    "idle": "bytes per connection|connections kept|memory before, MB|memory after, MB",
    "start": "start-up ms|memory of the worker, MB|of all its processes, MB",
}
MAIN_FIGURE = {"load": "cpu_us", "rate": "cpu_us", "idle": "idle_bytes", "start": "start_ms"}
OWN = servers.own_names()
NOT_PEERS = servers.FLOOR_NAMES | OWN

MARKS = {probe.YES: "yes", probe.NO: "**no**"}
DEEDS = """\
`bench/probe.py` asked each server, with an application that tells what it sees. What a server leaves out
costs it nothing: read the figures above with this table."""

METHOD = """\
Every figure comes from one command, `make bench`, which also wrote this page; `bench/README.md` says
how it works. The server runs with one worker process, pinned to core 0.
[wrk](https://github.com/wg/wrk), with one thread and, unless a scenario says otherwise, 32 connections,
drives it over the loopback from core 1, at saturation. The servers of a scenario run at the same time and
are driven in turn, round after round in a changing order, after a warm-up; a figure is the median of the
rounds. An answer is checked before it is timed.

- *CPU µs per request* (or per message) is the processor time, user and system, of all processes of the
  server, divided by the requests that were answered. It is the figure to compare: it says how much machine
  a request costs, and does not depend on how fast wrk is, as requests/s do.
- *The floor* is `bench/floor.c`, a C program that answers each request with the same prepared bytes:
  the kernel's part of the cost on this machine. With bodies of 1 MiB a server can be below it, by
  larger writes or sendfile. *The uvloop floor*, `bench/uvloop_floor.py`, is what the same costs in Python:
  an asyncio protocol on uvloop with a prepared answer. uvloop writes after it has read from all ready
  sockets, which wakes the client less often; so it is not always above the C program.
  *The best peer* is the cheapest of the other servers of which at most one request in a hundred failed.
- *Instructions* are those of one request in user space, counted by callgrind on one connection
  (`bench/instructions.py`). They do not depend on the load of the machine; the kernel's work is not in them.
- *At a constant rate* `bench/openload.c` sends requests at planned instants, whatever the server does, one
  at a time on each connection. A latency counts from the planned instant, so a stall of the server shows.
- *Over TLS* everybody has the same certificate (ECDSA P-256) and speaks TLS 1.3; the floors do not take part,
  nor do servers without TLS or whose command line does not tell it. Handshakes are made by
  `bench/tlsload.c`, one for each request, full ones or with the session of a ticket. It counts the sessions
  that were resumed.
- *WebSockets* are driven by `bench/wsload.c`: one message at a time on each connection. It compares each
  byte of an echo that is not compressed. Handshakes and closing are not in the figures.
- *p50* and *p99* are latencies at saturation, with 32 requests waiting at any time: p99 shows fairness.
- *Memory* is PSS of all processes after the load. *Failures* are socket errors, time-outs and answers
  other than 2xx and 3xx (or a wrong echo), of all rounds. Servers that are far from the others are
  driven in two rounds only.

A dash stands where a server does not take part in a scenario, could not be measured (below the scenario's
own table stands why), or was not asked for in the run that wrote this page, as those whose whole column is
dashes.

One caution: client and server share a machine, and the loopback is not a network."""


@dataclass(frozen=True)
class Background:
    """What is known of the servers besides what a run measured."""

    facts: Facts = field(default_factory=dict)
    instructions: Figures = field(default_factory=dict)

    def instructions_of(self, scenario: Scenario, outcome: Outcome, c: Contestant) -> int | None:
        return self.instructions.get(outcome.python, {}).get(c.key, {}).get(scenario.name)


NOTHING_KNOWN = Background()


def write(outcomes: Outcomes, out: Path, known: Background = NOTHING_KNOWN) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for scenario in SCENARIOS:
        if scenario.name in CHARTS and scenario.name in outcomes:
            (out / chart_name(scenario)).write_text(chart(scenario, outcomes[scenario.name]))
    (out / "benchmarks.md").write_text(page(outcomes, known))


def page(outcomes: Outcomes, known: Background = NOTHING_KNOWN) -> str:
    parts = [
        "# Benchmarks",
        "<!-- Written by `make bench`. Do not edit: the next run overwrites it. -->",
        METHOD,
    ]
    present = [group for group in GROUPS if of(group, outcomes)]
    parts.append("## Targets")
    for interface in present:
        parts += [f"### {TITLES[interface]}", targets_table(interface, outcomes, known)]
    for interface in present:
        parts += part(interface, outcomes, known)
    parts += ["## Versions and machine", conditions(outcomes)]
    return "\n\n".join(parts) + "\n"


def of(interface: str, outcomes: Outcomes) -> list[Scenario]:
    """The scenarios of an interface that were measured."""
    return [s for s in SCENARIOS if s.interface == interface and s.name in outcomes]


def part(interface: str, outcomes: Outcomes, known: Background) -> list[str]:
    title = TITLES[interface]
    parts = [f"## {title}", f"### {title}: CPU µs per request or message, all scenarios"]
    parts.append(overview(interface, outcomes))
    for scenario in of(interface, outcomes):
        parts += section(scenario, outcomes[scenario.name], known)
    return parts + what_they_do(interface, known.facts)


def section(scenario: Scenario, outcome: Outcome, known: Background) -> list[str]:
    rounds = f"{outcome.rounds} {TIMES} {outcome.seconds:g} s, " if scenario.kind == "load" else ""
    parts = [
        f"### {TITLES[scenario.interface]}: {scenario.title}",
        f"`{scenario.name}`, {rounds}{outcome.date}. {scenario.about}",
    ]
    if scenario.name in CHARTS:
        parts.append(f"![{scenario.title}: CPU µs per {scenario.unit}]({chart_name(scenario)})")
    parts.append(table(scenario, outcome, known))
    parts += notes(outcome)
    return parts


def layout(scenario: Scenario) -> str:
    return "rate" if scenario.rate else scenario.kind


def table(scenario: Scenario, outcome: Outcome, known: Background) -> str:
    main = MAIN_FIGURE[layout(scenario)]
    measured = [c for c in outcome.contestants if not c.problem]
    measured.sort(key=lambda c: c.values.get(main, float("inf")))
    words = COLUMNS[layout(scenario)].format(unit=scenario.unit, floor=FLOOR[scenario.interface])
    columns = ["server", *words.split("|")]
    head = ["| " + " | ".join(columns) + " |", "|---|" + "--:|" * (len(columns) - 1)]
    return "\n".join(head + [line(scenario, outcome, c, known) for c in measured])


def line(scenario: Scenario, outcome: Outcome, c: Contestant, known: Background) -> str:
    name = f"**{c.key}**" if c.server in OWN else c.key
    v = c.values
    if scenario.kind == "idle":
        cells = [
            number(v.get("idle_bytes"), 0),
            number(v["kept"], 0),
            number(v["base_mb"]),
            number(v["pss_mb"]),
        ]
    elif scenario.kind == "start":
        cells = [number(v["start_ms"], 0), number(v["worker_mb"]), number(v["pss_mb"])]
    else:
        cells = [
            number(v["cpu_us"], 2),
            *([] if scenario.rate else [ratio(c, outcome.find(FLOOR[scenario.interface]))]),
            ratio(c, best_peer(outcome)),
            *([] if scenario.rate else [number(known.instructions_of(scenario, outcome, c), 0)]),
            number(v["rps"], 0),
            number(v.get("p50_ms"), 2),
            number(v.get("p99_ms"), 2),
            *([number(v["p999_ms"], 2), number(v["max_ms"], 2)] if scenario.rate else []),
            number(v["pss_mb"]),
            number(v["failures"], 0),
        ]
    return f"| {name} | " + " | ".join(cells) + " |"


def number(value: float | None, digits: int = 1) -> str:
    return NOTHING if value is None else f"{value:,.{digits}f}"


def ratio(c: Contestant, other: Contestant | None) -> str:
    if other is None or other.problem or not other.values.get("cpu_us"):
        return NOTHING
    return f"{c.values['cpu_us'] / other.values['cpu_us']:.2f}"


def best_peer(outcome: Outcome) -> Contestant | None:
    peers = [c for c in outcome.contestants if c.server not in NOT_PEERS and c.values]
    peers = [c for c in peers if targets.serves(c, outcome)]
    return min(peers, key=lambda c: c.values["cpu_us"], default=None)


def notes(outcome: Outcome) -> list[str]:
    found = [f"- {c.key}: not measured ({c.problem})" for c in outcome.contestants if c.problem]
    found += [
        f"- {c.key}: from an earlier run, {c.date}"
        for c in outcome.contestants
        if not c.problem and c.date != outcome.date
    ]
    return ["\n".join(found)] if found else []


def what_they_do(interface: str, facts: Facts) -> list[str]:
    """The answers of `bench/probe.py`, and what peers.toml says of a server besides."""
    rows = [server for server in servers.peers(interface) if server.ident in facts]
    remarks = [f"- {server.name}: {server.note}" for server in servers.peers(interface) if server.note]
    if not rows:
        return ["\n".join(remarks)] if remarks else []
    checks = probe.checks_of(interface)
    lines = [
        "| server | " + " | ".join(check.title for check in checks) + " |",
        "|---|" + "---|" * len(checks),
    ]
    for server in rows:
        cells = [MARKS.get(value := facts[server.ident].get(check.name, ""), value) for check in checks]
        name = f"**{server.name}**" if server.own else server.name
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    parts = [f"### {TITLES[interface]}: what the servers do besides", DEEDS, "\n".join(lines)]
    return [*parts, "\n".join(remarks)] if remarks else parts


def targets_table(interface: str, outcomes: Outcomes, known: Background) -> str:
    rows = ["| scenario | to reach | measured | |", "|---|---|--:|---|"]
    for verdict in targets.judge(outcomes, known.facts):
        target = verdict.target
        if scenarios.by_name(target.scenario).interface == interface:
            rows.append(f"| {target.scenario} | {target.words} | {verdict.figure} | {verdict.words} |")
    return "\n".join(rows)


def overview(interface: str, outcomes: Outcomes) -> str:
    load = [s for s in of(interface, outcomes) if s.kind == "load" and s.name != "access-log"]
    table = [s for s in SCENARIOS if s.interface == interface]
    keys = list(dict.fromkeys(c.server for s in table for c in s.entries))
    rows = ["| scenario | " + " | ".join(keys) + " |", "|---|" + "--:|" * len(keys)]
    for scenario in load:
        values = [targets.value_of(outcomes, scenario.name, key, "cpu_us") for key in keys]
        rivals = [v for v, key in zip(values, keys, strict=True) if key not in servers.FLOOR_NAMES]
        best = min((v for v in rivals if v is not None), default=None)
        cells = [f"**{number(v)}**" if v is not None and v == best else number(v) for v in values]
        rows.append(f"| {scenario.name} | " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n\nThe least of each row, floors aside, is bold."


def conditions(outcomes: Outcomes) -> str:
    versions = {
        c.server: c.version
        for o in sorted(outcomes.values(), key=lambda o: o.date)
        for c in o.contestants
        if c.version
    }
    lines = [f"- {name} {version}" for name, version in versions.items()]
    runs = sorted({(o.date, o.python, o.machine) for o in outcomes.values()})
    return "\n".join(lines + [f"- {date}: {python}; {machine}" for date, python, machine in runs])


def chart_name(scenario: Scenario) -> str:
    return f"benchmarks-{scenario.name}.svg"


def chart(scenario: Scenario, outcome: Outcome) -> str:
    colours = dict.fromkeys(servers.FLOOR_NAMES, "floor") | dict.fromkeys(OWN, "own")
    bars = [
        svg.Bar(c.key, c.values["cpu_us"], colours.get(c.server, "peer"))
        for c in outcome.contestants
        if not c.problem and "cpu_us" in c.values
    ]
    return svg.chart(scenario.title, f"CPU µs per {scenario.unit}, one worker; less is better", bars)
