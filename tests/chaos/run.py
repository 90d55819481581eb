"""`make chaos`: for each seed a part of the suite under a harmless plan, and the driver under a breaking one.

Knows: the order of things, how to repeat a run. Must not know: what a plan does.

Exit codes: 0 if all went well, 1 if a seed found something. What the runs wrote is in build/chaos.
"""

from __future__ import annotations

import argparse
import datetime
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from faults.plan import build

from chaos.plan import Plan, rates
from chaos.plugin import FILES
from chaos.serving import SOURCE

ROOT = Path(__file__).parent.parent.parent
PLACE = ROOT / "build" / "chaos"
#: As many as take two or three minutes on two processors.
TESTS = 700
#: Nothing that hangs may hold up the other seeds.
TIME_LIMIT = 900.0


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    PLACE.mkdir(parents=True, exist_ok=True)
    run = Run(build(PLACE, SOURCE), options.tests, options.jobs)
    found = [seed for seed in options.seed.split() or _fresh(options.seeds) if not run.goes_well(seed)]
    for seed in found:
        print(f"found something: make chaos SEED={seed}")
    return 1 if found else 0


def _fresh(count: int) -> list[str]:
    """Others on each day."""
    return [f"{datetime.date.today():%Y%m%d}.{number}" for number in range(1, count + 1)]


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos")
    parser.add_argument("--seeds", type=int, default=1, help="how many, other ones each day")
    parser.add_argument("--seed", default="", help="these, with spaces between them")
    parser.add_argument("--tests", type=int, default=TESTS, help="tests under each harmless plan; 0: all")
    parser.add_argument("--jobs", type=int, default=2)
    return parser.parse_args(arguments)


class Run:
    """library: what is loaded into the servers. tests: how many under a harmless plan."""

    def __init__(self, library: Path, tests: int, jobs: int) -> None:
        self._library = library
        self._tests = tests
        self._jobs = jobs

    def goes_well(self, seed: str) -> bool:
        return all([self._harmless(seed), self._breaking(seed)])

    def _harmless(self, seed: str) -> bool:
        plan = Plan(PLACE / "plan", seed, rates(seed, "harmless"))
        arguments = (
            *("-p", "chaos.plugin", "-m", "not slow", "--combinations=all", "--dist=worksteal"),
            *("--chaos-seed", seed, "--chaos-tests", str(self._tests), *FILES),
        )
        went_well = self._pytest(seed, "harmless", arguments, plan.environ(self._library))
        print(f"    {sum(plan.struck.values())} faults of {len(plan.struck)} sorts", flush=True)
        return went_well and bool(plan.struck)

    def _breaking(self, seed: str) -> bool:
        return self._pytest(seed, "breaking", ("tests/chaos/test_breaking.py",), {"CHAOS_SEED": seed})

    def _pytest(self, seed: str, which: str, arguments: Sequence[str], environ: dict[str, str]) -> bool:
        log = PLACE / f"{seed}.{which}.log"
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            f"-n{self._jobs}",
            *arguments,
        ]
        begun = time.monotonic()
        with log.open("wb") as file:
            try:
                code = subprocess.run(
                    command, cwd=ROOT, env=os.environ | environ, stdout=file, stderr=file, timeout=TIME_LIMIT
                ).returncode
            except subprocess.TimeoutExpired:
                code = -1
        took = time.monotonic() - begun
        lines = log.read_text(errors="replace").splitlines()
        last = lines[-1] if lines else ""
        print(f"seed {seed}, {which}: {last if code >= 0 else 'it hangs'} ({took:.0f} s)", flush=True)
        for line in lines if code else ():
            if line.startswith(("FAILED", "ERROR")):
                print(f"    {line}")
        if code:
            print(f"    {log.relative_to(ROOT)}; again: make chaos SEED={seed}", flush=True)
        return code == 0


if __name__ == "__main__":
    sys.exit(main())
