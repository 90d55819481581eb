"""The fuzzer itself: each target takes what it generates, notices what is wrong, and keeps no old crash."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from fuzz import driver
from fuzz.judges import ours


@pytest.mark.parametrize("name", driver.TARGETS)
def test_a_short_run(name: str) -> None:
    generate, check = driver.TARGETS[name]
    for seed in range(100 if name == "http2" else 300):  # a connection for each
        check(generate(random.Random(seed)))


def test_generators_reach_both_ends() -> None:
    """A generator that only makes garbage, or only good messages, would test nothing."""
    good = bad = 0
    for seed in range(1000):
        verdict = ours(driver.any_request(random.Random(seed)))
        good += bool(verdict.messages)
        bad += verdict.refused is not None
    assert good > 200
    assert bad > 200
    headers = [driver._proxy(driver.any_proxy(random.Random(seed)), "auto") for seed in range(1000)]
    assert sum(isinstance(header, tuple) for header in headers) > 100


def test_shrinking() -> None:
    def check(data: bytes) -> None:
        assert not (b"x" in data and b"y" in data)

    assert driver.shrink(check, b"aaaxaaaaaayaaa") == b"xy"


@pytest.mark.parametrize("path", sorted(driver.CRASHES.glob("*-????????")), ids=lambda path: path.name)
def test_old_crashes_stay_away(path: Path) -> None:
    assert not driver.repeat(path)
