"""The command: prepare, measure scenario by scenario, and write the results after each.

So an interrupted run keeps what it has."""

import platform
import signal
import sys
from types import FrameType

from bench import (
    environment,
    idle,
    instructions,
    machine,
    measure,
    options,
    paths,
    probe,
    report,
    results,
    scenarios,
    servers,
)
from bench.progress import Progress


def main() -> int:
    chosen = options.parse()
    if chosen.show_list:
        return show_tables()
    signal.signal(signal.SIGTERM, interrupt)
    try:
        run(chosen)
    except environment.NotPossibleError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nbench: interrupted; finished scenarios are kept", file=sys.stderr)
        return 130
    return 0


def run(chosen: options.Options) -> None:
    environment.check_tools()
    idle.raise_file_limit()
    todo = chosen.todo
    interfaces = {scenario.interface for scenario in todo}
    peers = [s for s in servers.table() if s.interface in interfaces]
    peers = [s for s in peers if not chosen.servers or s.name in chosen.servers]
    problems = environment.build(peers, say)
    plan = measure.Plan(
        rounds=chosen.rounds,
        seconds=chosen.seconds,
        idle_connections=chosen.idle_connections,
        only_servers=chosen.servers,
        problems=problems,
        versions=environment.versions(),
        loops=environment.cpu_loops(say),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        machine=machine.describe(),
    )
    machine.pin_this_process()
    facts = probe.load(chosen.facts) | probe.probe_all(peers, problems, say)
    probe.save(chosen.facts, facts)
    known = report.Background(facts, instructions.load(paths.INSTRUCTIONS))
    progress = Progress(sum(plan.expected_seconds(s) for s in todo))
    for scenario in todo:
        outcome = measure.measure(scenario, plan, progress)
        outcomes = results.load(chosen.results)
        outcomes[scenario.name] = results.merge(outcomes.get(scenario.name), outcome)
        results.save(chosen.results, outcomes)
        report.write(outcomes, chosen.out, known)
    say(f"results: {chosen.out / 'benchmarks.md'}, raw figures: {chosen.results}")


def show_tables() -> int:
    for scenario in scenarios.SCENARIOS:
        print(f"{scenario.name:24} {scenario.title}")
    print()
    for name in servers.names():
        print(name)
    return 0


def say(text: str) -> None:
    print(f"bench: {text}", flush=True)


def interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
