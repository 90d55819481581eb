"""Two states of Tricorn side by side: the processor time of one request, driven in turn.

    python -m bench.compare --a DIR --b DIR --scenario asgi-get-1-header

DIR is a checkout with compiled modules, or its `src`. What the machine does meets both of them, and the order
changes from round to round; so a difference of one or two per cent shows after some rounds, where two runs of
the whole benchmark, one after the other, would show the weather. Writes nothing but lines on the terminal.

    python -m bench.compare --a DIR --b DIR --scenario get-1-header --open-loop --rate 6000
    python -m bench.compare --a DIR --b DIR --scenario flask-hello --open-loop --share 30 70 90 --threads 8

With --open-loop the requests come at a constant rate, and p50, p99 and p99.9, from the planned instants,
are printed too. --share takes the rates from what A answers when it is saturated, measured first."""

import argparse
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from bench import environment, idle, machine, measure, options, scenarios
from bench.process import Running, ServerError
from bench.scenarios import Entry, Scenario
from bench.wrk import WrkError

OWN = Entry("tricorn")
SIDES = ("a", "b")
LOOPS = 5_000  # for `apps/burn.py`, if the scenario is one of those: the same for both
CPU = "cpu_us"
LATENCIES = ("p50_ms", "p99_ms", "p999_ms")
UNITS = {CPU: "µs", **dict.fromkeys(LATENCIES, "ms")}
OPEN_LOOP_CONNECTIONS = 64

Sample = dict[str, float]
Pair = tuple[Sample, Sample]


def main() -> int:
    p = parser()
    chosen = p.parse_args()
    if chosen.open_loop != bool(chosen.rate or chosen.share):
        p.error("--open-loop needs --rate or --share, and they need it")
    scenario = with_threads(scenarios.by_name(chosen.scenario), chosen.threads)
    if chosen.open_loop and scenario.message:
        p.error("--open-loop sends HTTP requests, not messages")
    try:
        environment.check_tools()
        idle.raise_file_limit()
        environment.prepare()
        machine.pin_this_process()
        sources = (chosen.a, chosen.b)
        for planned in plan(scenario, chosen) if chosen.open_loop else [scenario]:
            metrics = (CPU, *LATENCIES) if planned.rate else (CPU,)
            report(compare(planned, sources, chosen.rounds, chosen.seconds, metrics), metrics)
    except (environment.NotPossibleError, ServerError, WrkError) as error:
        print(f"compare: {error}", file=sys.stderr)
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m bench.compare", description=__doc__)
    p.formatter_class = argparse.RawDescriptionHelpFormatter
    known = [s.name for s in scenarios.SCENARIOS if s.kind == "load" and OWN in s.entries]
    for side in SIDES:
        p.add_argument(f"--{side}", type=source, required=True, metavar="DIR")
    p.add_argument("--scenario", choices=known, required=True, metavar="NAME", help=", ".join(known))
    p.add_argument("--rounds", type=lambda t: options.bounded(1, 1000, t), default=6)
    p.add_argument("--seconds", type=lambda t: options.bounded(1, 60, t), default=1)
    p.add_argument("--threads", type=lambda t: options.bounded(1, 64, t), help="instead of the scenario's")
    p.add_argument("--open-loop", action="store_true", help="at a constant rate")
    load = p.add_mutually_exclusive_group()
    load.add_argument("--rate", type=lambda t: options.bounded(1, 1_000_000, t), help="requests a second")
    load.add_argument(
        "--share",
        type=lambda t: options.bounded(1, 100, t),
        nargs="+",
        metavar="PERCENT",
        help="of what A answers when it is saturated",
    )
    p.add_argument(
        "--connections", type=lambda t: options.bounded(1, 10_000, t), default=OPEN_LOOP_CONNECTIONS
    )
    p.add_argument("--sleep", action="store_true", help="let the open-loop client sleep, as clients do")
    return p


def with_threads(scenario: Scenario, threads: int | None) -> Scenario:
    return replace(scenario, launch=replace(scenario.launch, threads=threads)) if threads else scenario


def plan(scenario: Scenario, chosen: argparse.Namespace) -> Iterator[Scenario]:
    """The scenario at each rate that is asked for."""
    capacity = saturated(scenario, chosen.a, chosen.seconds) if chosen.share else 0.0
    rates = [round(capacity * share / 100) for share in chosen.share] if chosen.share else [chosen.rate]
    for share, rate in zip(chosen.share or [0], rates, strict=True):
        text = f"{rate:,} requests a second" + (f", {share} % of {capacity:,.0f}" if share else "")
        print(f"{text}; threads: {scenario.launch.threads}")
        yield replace(scenario, rate=rate, spin=not chosen.sleep, connections=chosen.connections)


def saturated(scenario: Scenario, path: Path, seconds: float) -> float:
    """Requests a second, the median of three turns."""
    scenario = replace(scenario, rate=0)
    with measure.launch(scenario, OWN, f"compare-{scenario.name}-capacity", LOOPS, str(path)) as server:
        measure.check(scenario, OWN, server)
        measure.drive(scenario, server, measure.WARM_UP)
        return statistics.median(measure.drive(scenario, server, seconds)["rps"] for _ in range(3))


def source(text: str) -> Path:
    path = Path(text).resolve()
    path = path / "src" if (path / "src" / "tricorn").is_dir() else path
    if not (path / "tricorn").is_dir():
        raise argparse.ArgumentTypeError(f"no package tricorn in {path}")
    return path


def compare(
    scenario: Scenario,
    sources: tuple[Path, Path],
    rounds: int,
    seconds: float,
    metrics: Sequence[str] = (CPU,),
) -> list[Pair]:
    """What was measured of both, for each round."""
    with ExitStack() as stack:
        running: list[Running] = []
        for side, path in zip(SIDES, sources, strict=True):
            name = f"compare-{scenario.name}-{side}"
            server = stack.enter_context(measure.launch(scenario, OWN, name, LOOPS, str(path)))
            measure.check(scenario, OWN, server)
            measure.drive(scenario, server, measure.WARM_UP)
            running.append(server)
        pairs: list[Pair] = []
        for number in range(rounds):
            order = (0, 1) if number % 2 == 0 else (1, 0)
            taken = {i: measure.drive(scenario, running[i], seconds) for i in order}
            pairs.append((taken[0], taken[1]))
            failures = sum(sample["failures"] for sample in taken.values())
            for metric in metrics:
                print(line(str(number + 1), metric, *column(pairs[-1:], metric)[0]), flush=True)
            if failures:
                print(f"FAILURES {failures:.0f}", flush=True)
        return pairs


def column(pairs: list[Pair], metric: str) -> list[tuple[float, float]]:
    return [(a[metric], b[metric]) for a, b in pairs]


def report(pairs: list[Pair], metrics: Sequence[str] = (CPU,)) -> None:
    for metric in metrics:
        values = column(pairs, metric)
        print(line("median", metric, *(statistics.median(side) for side in zip(*values, strict=True))))
        print(line("least", metric, *(min(side) for side in zip(*values, strict=True))))
        ratios = [b / a for a, b in values if a]
        if ratios:
            print(f"{metric} b/a, median of the rounds: {statistics.median(ratios):.3f}")


def line(name: str, metric: str, a: float, b: float) -> str:
    unit = UNITS[metric]
    ratio = f"{b / a:.3f}" if a else "-"
    return f"{name:>7} {metric:8} a {a:9.3f} {unit}  b {b:9.3f} {unit}  b/a {ratio}"


if __name__ == "__main__":
    sys.exit(main())
