"""What `make test`, `make test-sample` and `make test-all` run of the product of the axes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest

from harness.axes import AXES, DELIVERIES, HTTP_1, KINDS, NARROW
from harness.costly import LONG, costly, functions_that_are_costly

TESTS = Path(__file__).parent.parent
#: Tests of each sort: along two axes with cases, along two with three sorts of cases, along one, along none
#: of them; slow ones, costly ones.
FILES = (
    "conformance/test_expect.py",
    "integration/test_standard_streams.py",
    "integration/test_memory.py",
    "log/test_files.py",
)
THREE_SORTS_OF_CASES = "tests/conformance/test_expect.py::test_100_comes_before_the_body["
#: It has two sorts of cases.
COSTLY = "tests/integration/test_standard_streams.py::test_it_serves["
ALONG_ALL = "tests/conformance/test_expect.py::test_other_expectations"
SEVERAL = {axis: values for axis, values in AXES.items() if len(values) > 1}
RARE = {name for name, kind in KINDS.items() if kind.rare}
SHARED = RARE.intersection(AXES["kind"])
#: Where `make test` takes them.
OFTEN = "conformance/test_framing.py"


@cache
def collected(*options: str, wire: str = "plain") -> frozenset[str]:
    """The ids of the tests that a run with these options takes, where that wire is the usual one."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *options]
    environ = {**os.environ, "TRICORN_TEST_WIRE": wire}
    environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # of which importing takes a second
    found = subprocess.run(
        [*command, *FILES], cwd=TESTS, env=environ, capture_output=True, text=True, timeout=60, check=True
    )
    return frozenset(line for line in found.stdout.splitlines() if "::" in line)


def quick(*options: str) -> frozenset[str]:
    return collected("-m", "not slow", *options)


def frequent(tests: frozenset[str]) -> frozenset[str]:
    """Without kinds that are rare."""
    return frozenset(test for test in tests if not any(kind in test for kind in RARE))


def rows(tests: frozenset[str]) -> set[frozenset[str]]:
    """Values of the axes that have several, and the case: in whatever order they stand in the name."""
    parts = (test.partition("[") for test in tests)
    return {frozenset(row[:-1].split("-", len(SEVERAL))) for name, _, row in parts if name == ALONG_ALL}


def pairs(rows: set[frozenset[Any]]) -> set[tuple[Any, ...]]:
    return {pair for row in rows for pair in combinations(sorted(row), 2)}


@pytest.mark.slow
def test_the_whole_product_is_there() -> None:
    """An axis with one value is not named."""
    every = rows(collected())
    cases = frozenset().union(*every).difference(*SEVERAL.values())
    assert len(cases) > 2
    assert every == {frozenset(row) for row in product(*SEVERAL.values(), cases)}


def test_each_pair_of_values_appears() -> None:
    """So each case meets each kind and each delivery."""
    every, some = rows(collected()), rows(quick("--combinations=pairwise"))
    assert pairs(some) == pairs({row for row in every if not row & RARE})
    assert len(some) < len(every) / 2


@pytest.mark.slow
def test_kinds_that_are_rare_meet_little() -> None:
    """Not each case, but each value of the other axes."""
    tests = collected("--combinations=pairwise", OFTEN)
    rows = [set(test.partition("[")[2][:-1].split("-")) for test in tests if "::test_content_length[" in test]
    others = {*HTTP_1, *DELIVERIES}  # it is about how HTTP/1 is written
    for kind in SHARED:
        met = [row for row in rows if kind in row]
        assert others <= set().union(*met)
        assert len(met) < len(rows) / 4


@pytest.mark.slow
def test_each_sort_of_cases_is_an_axis() -> None:
    every, some = (
        {
            frozenset(enumerate(test.partition("[")[2].split("-")))
            for test in tests
            if THREE_SORTS_OF_CASES in test
        }
        for tests in (frequent(quick()), quick("--combinations=pairwise"))
    )
    assert pairs(some) == pairs(every)
    assert len(some) < len(every) / 2


def test_what_is_costly_meets_each_case_and_each_interface_once() -> None:
    every, some = (
        [test.removeprefix(COSTLY)[:-1].rsplit("-", 2) for test in tests if COSTLY in test]
        for tests in (frequent(quick()), quick("--combinations=pairwise"))
    )
    assert COSTLY.removeprefix("tests/")[:-1] in costly()
    for column in (1, 2):
        assert {row[column] for row in some} == {row[column] for row in every}
    assert {KINDS[row[0]].interface for row in some} == {KINDS[row[0]].interface for row in every}
    assert len(some) <= max(len({row[column] for row in every}) for column in (1, 2)) + 1


def test_cases_are_costly_by_what_they_take_on_average() -> None:
    durations = {
        "tests/http/test_x.py::test_dear[1]": 2 * LONG,
        "tests/http/test_x.py::test_dear[2]": LONG / 2,
        "tests/http/test_x.py::test_cheap[1]": LONG,
        "tests/http/test_x.py::test_cheap[2]": LONG / 2,
        "tests/http/test_x.py::test_alone": 9.0,
    }
    assert functions_that_are_costly(durations) == ["http/test_x.py::test_dear"]


def test_what_is_costly_is_there() -> None:
    """`make test-all ARGS=--measure-costs` writes them anew. Classes inherit tests of their directory."""
    stale = [name for name in costly() if not _is_there(*name.split("::"))]
    assert not stale


def _is_there(file: str, *names: str) -> bool:
    place = TESTS / file
    words = place.read_text() if len(names) == 1 else _all_of(place.parent)
    return all(re.search(rf"(def|class) {name}\b", words) for name in names)


@cache
def _all_of(directory: Path) -> str:
    return "".join(path.read_text() for path in directory.glob("*.py"))


def test_what_has_one_axis_or_none_is_run_whole() -> None:
    whole = {
        test
        for test in frequent(quick())
        if "conformance" not in test and test.removeprefix("tests/").partition("[")[0] not in costly()
    }
    assert whole <= quick("--combinations=pairwise")


@pytest.mark.slow
def test_a_sample_is_of_what_is_left_out() -> None:
    left_out = collected() - quick("--combinations=pairwise")
    one, other = (collected("--combinations=sample", f"--seed={seed}") for seed in "ab")
    assert one != other
    assert one | other < left_out
    slow = collected() - quick()
    assert slow & (one | other)


@pytest.mark.slow
def test_over_tls_runs_what_starts_servers_and_does_not_ask_for_a_wire() -> None:
    """Of FILES the first asks for one, and the last starts none."""
    assert collected(wire="tls") == {test for test in collected() if "integration/" in test}


@pytest.mark.slow
def test_a_sample_over_tls_is_of_all_that_runs_there() -> None:
    """Nothing of it has run before, unlike over the plain wire."""
    every = collected(wire="tls")
    usual = quick("--combinations=pairwise")
    sample = collected("--combinations=sample", wire="tls")
    assert sample < every
    assert sample & usual
    assert sample - usual


@pytest.mark.parametrize("name", NARROW)
def test_what_runs_over_some_wires_only_is_there(name: str) -> None:
    file, _, test = name.partition("::")
    found = TESTS / file
    assert found.exists()
    assert not test or f"def {test.partition('[')[0]}" in found.read_text()
