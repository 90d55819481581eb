"""The library is compiled once; a server of each kind has it loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.plan import build
from faults.served import Faulty
from harness.axes import KINDS


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("library"))


@pytest.fixture(scope="session")
def faulty(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Faulty]]:
    """By kind of worker; one that a test has killed fails those behind it."""
    running = {kind: Faulty(kind, library, tmp_path_factory.mktemp(kind)) for kind in KINDS}
    yield running
    for server in running.values():
        server.stop()
