"""Which functions of tests have cases that take long: costly.txt, and how it is measured.

Knows: durations as pytest reports them, the file. Must not know: axes, what is chosen because of it.

    make test-all ARGS=--measure-costs      writes the file anew
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

FILE = Path(__file__).with_name("costly.txt")

#: A case of theirs takes so long on average (seconds), beside the other processes of a run.
LONG = 0.1

_HEAD = """\
# Functions whose cases take long, written by `make test-all ARGS=--measure-costs`. Of these `make test` takes
# each case, and each interface, once, on kinds, wires and deliveries by turns.
"""


@cache
def costly() -> frozenset[str]:
    """Names below tests/, as `http/test_cost.py::test_work_is_linear`."""
    return frozenset(line for line in FILE.read_text().splitlines() if line and not line.startswith("#"))


class Costs:
    """A plugin that adds up what each case takes, with its fixtures, and writes the file at the end."""

    def __init__(self) -> None:
        self._durations: dict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._durations[report.nodeid] += report.duration

    def pytest_sessionfinish(self) -> None:
        FILE.write_text(_HEAD + "".join(f"{name}\n" for name in functions_that_are_costly(self._durations)))


def functions_that_are_costly(durations: dict[str, float]) -> list[str]:
    """durations: seconds by the names of cases. What has no cases is left out: there is nothing to choose."""
    cases: dict[str, list[float]] = defaultdict(list)
    for name, seconds in durations.items():
        function, bracket, _ = name.removeprefix("tests/").partition("[")
        if bracket:
            cases[function].append(seconds)
    return sorted(name for name, each in cases.items() if sum(each) / len(each) >= LONG)
