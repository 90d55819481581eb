"""The library is compiled once; all servers have it loaded."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.plan import build
from faults.served import Faulty, Servers


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("library"))


@pytest.fixture(scope="session")
def faulty(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Each is started once; one that a test has killed fails those behind it."""
    running: list[Faulty] = []

    @functools.cache
    def server(kind: str, wire: str, options: tuple[str, ...]) -> Faulty:
        running.append(Faulty(kind, library, tmp_path_factory.mktemp(kind), wire, options))
        return running[-1]

    yield server
    for each in running:
        each.stop()
