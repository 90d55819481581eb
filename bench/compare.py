"""Two states of Tricorn side by side: the processor time of one request, driven in turn.

    python -m bench.compare --a DIR --b DIR --scenario asgi-get-1-header

DIR is a checkout with compiled modules, or its `src`. What the machine does meets both of them, and the order
changes from round to round; so a difference of one or two per cent shows after some rounds, where two runs of
the whole benchmark, one after the other, would show the weather. Writes nothing but lines on the terminal."""

import argparse
import statistics
import sys
from contextlib import ExitStack
from pathlib import Path

from bench import environment, idle, machine, measure, options, scenarios
from bench.process import Running, ServerError
from bench.scenarios import Entry, Scenario
from bench.wrk import WrkError

OWN = Entry("tricorn")
SIDES = ("a", "b")
LOOPS = 5_000  # for `apps/burn.py`, if the scenario is one of those: the same for both


def main() -> int:
    chosen = parser().parse_args()
    scenario = scenarios.by_name(chosen.scenario)
    try:
        environment.check_tools()
        idle.raise_file_limit()
        environment.prepare()
        machine.pin_this_process()
        report(compare(scenario, (chosen.a, chosen.b), chosen.rounds, chosen.seconds))
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
    return p


def source(text: str) -> Path:
    path = Path(text).resolve()
    path = path / "src" if (path / "src" / "tricorn").is_dir() else path
    if not (path / "tricorn").is_dir():
        raise argparse.ArgumentTypeError(f"no package tricorn in {path}")
    return path


def compare(
    scenario: Scenario, sources: tuple[Path, Path], rounds: int, seconds: float
) -> list[tuple[float, float]]:
    """CPU µs per request of both, for each round."""
    with ExitStack() as stack:
        running: list[Running] = []
        for side, path in zip(SIDES, sources, strict=True):
            name = f"compare-{scenario.name}-{side}"
            server = stack.enter_context(measure.launch(scenario, OWN, name, LOOPS, str(path)))
            measure.check(scenario, OWN, server)
            measure.drive(scenario, server, measure.WARM_UP)
            running.append(server)
        pairs = []
        for number in range(rounds):
            order = (0, 1) if number % 2 == 0 else (1, 0)
            taken = {i: measure.drive(scenario, running[i], seconds) for i in order}
            pairs.append((taken[0]["cpu_us"], taken[1]["cpu_us"]))
            failures = sum(sample["failures"] for sample in taken.values())
            print(
                line(str(number + 1), *pairs[-1]), f"FAILURES {failures:.0f}" if failures else "", flush=True
            )
        return pairs


def report(pairs: list[tuple[float, float]]) -> None:
    print(line("median", *(statistics.median(column) for column in zip(*pairs, strict=True))))
    print(line("least", *(min(column) for column in zip(*pairs, strict=True))))
    ratio = statistics.median(b / a for a, b in pairs)
    print(f"b/a, median of the rounds: {ratio:.3f}")


def line(name: str, a: float, b: float) -> str:
    return f"{name:>7}  a {a:9.2f} µs  b {b:9.2f} µs  b/a {b / a:.3f}"


if __name__ == "__main__":
    sys.exit(main())
