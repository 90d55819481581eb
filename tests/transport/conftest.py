"""Servers of these tests, shared by the tests of a module, and what an application is held back with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from transport.served import Pool


@pytest.fixture(scope="module")
def serve() -> Iterator[Pool]:
    pool = Pool()
    yield pool
    pool.stop()


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """What an application waits for (see tests/apps/gates.py)."""
    return tmp_path / "gate"
