"""What Tricorn wants to reach, as a table, and whether the figures say that it is reached.

Nearly all are ratios within one run, of two servers that were driven in turn. The best peer is the best of
those that were measured."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from bench import probe, scenarios, servers
from bench.probe import Facts
from bench.results import Contestant, Outcome, Outcomes
from bench.servers import Server

TIMES = "\N{MULTIPLICATION SIGN}"
NOTHING = "\N{EN DASH}"
MOST_FAILURES = 0.01  # of the requests; a server with more is not the best peer


class Kind(StrEnum):
    RATIO = "times"
    DIFFERENCE = "more"
    ABSOLUTE = "alone"


@dataclass(frozen=True)
class Target:
    scenario: str
    metric: str
    limit: float
    against: str = ""
    kind: Kind = Kind.RATIO
    at_least: bool = False
    strict: bool = False
    own: str = "tricorn"

    @property
    def words(self) -> str:
        metric, measure = METRICS[self.metric]
        metric = metric.format(unit=scenarios.by_name(self.scenario).unit)
        sign = "≥" if self.at_least else "<" if self.strict else "≤"
        if self.kind is Kind.RATIO:
            factor = "" if self.limit == 1 else f"{self.limit:.2f} {TIMES} "
            return f"{metric} {sign} {factor}{self.against}"
        more = f" more than {self.against}" if self.kind is Kind.DIFFERENCE else ""
        return f"{metric} {sign} {self.limit:g} {measure}{more}"


# What a target may be against, besides a contestant: the best of several of the scenario.
BEST = "the best peer"
CLOSING = "the best peer that calls close()"
LEANEST = "the leanest peer"
FRAMEWORKS = "the best of Uvicorn, Granian and Gunicorn"
GROUPS: dict[str, Callable[[Server, Facts], bool]] = {
    BEST: lambda *_: True,
    LEANEST: lambda *_: True,
    CLOSING: lambda server, facts: facts.get(server.ident, {}).get(probe.CLOSE) == probe.YES,
    FRAMEWORKS: lambda server, _: server.name in ("uvicorn", "granian", "gunicorn"),
}

METRICS = {
    "cpu_us": ("CPU per {unit}", "µs"),
    "p99_ms": ("p99", "ms"),
    "rps": ("{unit}s/s", ""),
    "idle_bytes": ("memory per connection", "bytes"),
}

TARGETS = (
    Target("get-1-header", "cpu_us", 1.30, "floor"),
    Target("get-1-header", "cpu_us", 0.93, BEST),
    Target("browser-get", "cpu_us", 1.45, "floor"),
    Target("browser-get", "cpu_us", 0.90, BEST),
    Target("browser-get", "cpu_us", 0.60, "granian"),
    Target("post-10k-echo", "cpu_us", 0.95, BEST),
    Target("response-1mb", "cpu_us", 1, BEST),
    Target("upload-1mb", "cpu_us", 0.90, BEST),
    Target("new-connection", "cpu_us", 1, "granian", strict=True),
    Target("new-connection", "cpu_us", 1, "fastwsgi", strict=True),
    Target("threads-8-hello", "cpu_us", 1.15, "tricorn (1 thread)"),
    Target("threads-8-hello", "p99_ms", 2, kind=Kind.ABSOLUTE),
    Target("threads-8-cpu-80us", "cpu_us", 1, "granian"),
    Target("threads-8-cpu-80us", "p99_ms", 0.80, "granian"),
    Target("threads-32-sleep-2ms", "rps", 0.98, "granian", at_least=True),
    Target("threads-32-sleep-2ms", "cpu_us", 0.70, "granian"),
    Target("flask-constant", "cpu_us", 0.97, CLOSING),
    Target("django-constant", "cpu_us", 0.97, CLOSING),
    Target("flask-hello", "cpu_us", 1.05, BEST),
    Target("flask-hello", "cpu_us", 0.97, "granian"),
    Target("flask-hello", "cpu_us", 0.33, "gunicorn-gthread"),
    Target("django-hello", "cpu_us", 1.05, BEST),
    Target("access-log", "cpu_us", 2.5, "tricorn (log off)", kind=Kind.DIFFERENCE, own="tricorn (log on)"),
    Target("idle-connections", "idle_bytes", 1024, kind=Kind.ABSOLUTE),
    Target("asgi-get-1-header", "cpu_us", 0.85, BEST),
    Target("asgi-get-1-header", "cpu_us", 0.45, FRAMEWORKS),
    Target("asgi-get-1-header", "cpu_us", 1.25, "uvloop floor"),
    Target("asgi-browser-get", "cpu_us", 0.45, FRAMEWORKS),
    Target("asgi-browser-get", "cpu_us", 1.60, "uvloop floor"),
    Target("asgi-post-10k-echo", "cpu_us", 0.95, BEST),
    Target("asgi-response-1mb", "cpu_us", 1, BEST, strict=True),
    Target("asgi-upload-1mb", "cpu_us", 1, BEST, strict=True),
    Target("asgi-fastapi-constant", "cpu_us", 0.97, BEST),
    Target("asgi-fastapi-hello", "cpu_us", 1, BEST),
    Target("asgi-websocket-32b", "cpu_us", 0.80, BEST),
    Target("asgi-websocket-16k", "cpu_us", 0.80, BEST),
    Target("asgi-idle-connections", "idle_bytes", 1, LEANEST),
    Target("static-10k", "cpu_us", 1.20, "nginx"),
    Target("static-10k", "cpu_us", 1, BEST),
    Target("tls-get-1-header", "cpu_us", 1, BEST),
    Target("tls-handshake-full", "cpu_us", 1, BEST),
    Target("tls-handshake-resumed", "cpu_us", 1, BEST),
    Target("tls-response-1mb", "cpu_us", 1, BEST, strict=True),
    Target("tls-file-1mb", "cpu_us", 1, BEST, strict=True),
    Target("tls-threads-8-hello", "cpu_us", 1.25, "tricorn (1 thread)"),
    Target("tls-threads-8-hello", "p99_ms", 3, kind=Kind.ABSOLUTE),
    Target("asgi-tls-get-1-header", "cpu_us", 0.90, BEST),
    Target("asgi-tls-handshake-full", "cpu_us", 1, BEST),
    Target("asgi-tls-handshake-resumed", "cpu_us", 1, BEST),
    Target("asgi-tls-response-1mb", "cpu_us", 1, BEST, strict=True),
    Target("asgi-tls-file-1mb", "cpu_us", 1, BEST, strict=True),
    Target("h2c-hello", "rps", 2, BEST, at_least=True),
    Target("h2-tls-hello", "rps", 1.8, BEST, at_least=True),
    Target("h2c-100-streams", "rps", 2, BEST, at_least=True),
    Target("h2c-response-1mb", "cpu_us", 1, BEST, strict=True),
    Target("h2c-upload-1mb", "cpu_us", 1, BEST, strict=True),
    Target("h2c-framework", "cpu_us", 1, BEST, strict=True),
    Target("h2c-idle", "idle_bytes", 0.5, LEANEST),
    Target("asgi-h2c-hello", "rps", 3, BEST, at_least=True),
    Target("asgi-h2-tls-hello", "rps", 2.5, BEST, at_least=True),
    Target("asgi-h2c-100-streams", "rps", 2, BEST, at_least=True),
    Target("asgi-h2c-response-1mb", "cpu_us", 1, BEST, strict=True),
    Target("asgi-h2c-upload-1mb", "cpu_us", 1, BEST, strict=True),
    Target("asgi-h2c-framework", "cpu_us", 1, BEST, strict=True),
    Target("asgi-h2c-idle", "idle_bytes", 0.5, LEANEST),
    Target("green-hello", "cpu_us", 0.25, "gunicorn-gevent", own="tricorn-gevent"),
    Target("green-hello", "cpu_us", 1.60, "tricorn", own="tricorn-gevent"),
    Target("green-sleep-2ms", "rps", 1, "gunicorn-gevent", at_least=True, own="tricorn-gevent"),
    Target("green-sleep-2ms", "cpu_us", 0.35, "gunicorn-gevent", own="tricorn-gevent"),
    Target("green-response-1mb", "cpu_us", 1, "gunicorn-gevent", strict=True, own="tricorn-gevent"),
    Target("green-upload-1mb", "cpu_us", 1, "gunicorn-gevent", strict=True, own="tricorn-gevent"),
    Target("green-idle-connections", "idle_bytes", 1024, kind=Kind.ABSOLUTE, own="tricorn-gevent"),
    Target("tornado-hello", "cpu_us", 0.70, "tornado", own="tricorn-tornado"),
)


@dataclass(frozen=True)
class Verdict:
    target: Target
    measured: float | None

    @property
    def reached(self) -> bool:
        value, limit = self.measured, self.target.limit
        if value is None:
            return False
        if self.target.at_least:
            return value >= limit
        return value < limit if self.target.strict else value <= limit

    @property
    def words(self) -> str:
        if self.measured is None:
            return "not measured"
        return "reached" if self.reached else "**missed**"

    @property
    def figure(self) -> str:
        if self.measured is None:
            return NOTHING
        if self.target.kind is Kind.RATIO:
            return f"{self.measured:.2f} {TIMES}"
        return f"{self.measured:,.2f} {METRICS[self.target.metric][1]}"


def judge(outcomes: Outcomes, facts: Facts) -> list[Verdict]:
    return [Verdict(target, measured(target, outcomes, facts)) for target in TARGETS]


def measured(target: Target, outcomes: Outcomes, facts: Facts) -> float | None:
    own = value_of(outcomes, target.scenario, target.own, target.metric)
    if own is None or target.kind is Kind.ABSOLUTE:
        return own
    other = best_of(outcomes, target, rivals(target, facts))
    if not other:
        return None
    return own / other if target.kind is Kind.RATIO else own - other


def rivals(target: Target, facts: Facts) -> tuple[str, ...]:
    """The contestants that the target is against."""
    if target.against not in GROUPS:
        return (target.against,)
    belongs = GROUPS[target.against]
    peers = servers.peers(scenarios.by_name(target.scenario).interface)
    return tuple(server.name for server in peers if not server.own and belongs(server, facts))


def best_of(outcomes: Outcomes, target: Target, keys: tuple[str, ...]) -> float | None:
    """The least of their figures, or the greatest of what there should be much of."""
    outcome = outcomes.get(target.scenario)
    found = [c for c in outcome.contestants if c.key in keys and serves(c, outcome)] if outcome else []
    values = [c.values[target.metric] for c in found if target.metric in c.values]
    return (max if target.at_least else min)(values, default=None)


def serves(contestant: Contestant, outcome: Outcome) -> bool:
    """It was measured, and answered: an error page, or no answer at all, is cheap."""
    values = contestant.values
    requests = values.get("rps", 0.0) * outcome.seconds * outcome.rounds
    return not contestant.problem and values.get("failures", 0.0) <= MOST_FAILURES * requests


def value_of(outcomes: Outcomes, scenario: str, key: str, metric: str) -> float | None:
    outcome = outcomes.get(scenario)
    contestant = outcome.find(key) if outcome else None
    if contestant is None or contestant.problem:
        return None
    return contestant.values.get(metric)
