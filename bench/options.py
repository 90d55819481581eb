"""The command line of `python -m bench`."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from bench import paths, scenarios, servers
from bench.scenarios import Scenario


@dataclass(frozen=True)
class Options:
    rounds: int
    seconds: float
    scenarios: tuple[str, ...]
    group: str
    servers: frozenset[str]
    quick: bool
    show_list: bool
    out: Path
    results: Path
    idle_connections: int

    @property
    def facts(self) -> Path:
        """What the servers do besides, beside the results."""
        return self.results.with_name(paths.FACTS.name)

    @property
    def todo(self) -> list[Scenario]:
        """What was asked for by name and group, in the order of the table."""
        found = [s for s in scenarios.SCENARIOS if not self.scenarios or s.name in self.scenarios]
        return [s for s in found if not self.group or s.interface == self.group]


def bounded(low: int, high: int, text: str) -> int:
    value = int(text)
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{value} is not between {low} and {high}")
    return value


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m bench", description="Tricorn beside its peers, driven by one client."
    )
    p.add_argument(
        "--rounds", type=lambda t: bounded(1, 50, t), help="interleaved rounds of each scenario (4)"
    )
    p.add_argument("--seconds", type=lambda t: bounded(1, 60, t), help="length of one turn of one server (2)")
    known = [s.name for s in scenarios.SCENARIOS]
    p.add_argument(
        "--scenario", action="append", choices=known, metavar="NAME", help="only this one (repeatable)"
    )
    p.add_argument("--group", choices=servers.GROUPS, default="", help="only this interface's scenarios")
    p.add_argument(
        "--server",
        action="append",
        choices=servers.names(),
        metavar="NAME",
        help="only this one (repeatable); the floors run too",
    )
    p.add_argument(
        "--quick", action="store_true", help="one round of 1 s, results to .bench/quick: does it work?"
    )
    p.add_argument("--list", action="store_true", help="list scenarios and servers, and stop")
    p.add_argument("--out", type=Path, help="where the page and the charts go (docs)")
    return p


def parse(arguments: list[str] | None = None) -> Options:
    a = parser().parse_args(arguments)
    quick: bool = a.quick
    return Options(
        rounds=a.rounds or (1 if quick else 4),
        seconds=a.seconds or (1 if quick else 2),
        scenarios=tuple(a.scenario or ()),
        group=a.group,
        servers=frozenset([*a.server, *servers.FLOOR_NAMES] if a.server else ()),
        quick=quick,
        show_list=a.list,
        out=a.out or (paths.WORK / "quick" if quick else paths.DOCS),
        results=paths.WORK / ("quick/results.json" if quick else "results.json"),
        idle_connections=1_000 if quick else 10_000,
    )
