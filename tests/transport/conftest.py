"""Servers of these tests, shared by the tests of a module, and what an application is held back with."""

from __future__ import annotations

import socket
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


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """For tests that have the transport in their own process."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        made.setblocking(False)
        yield made
