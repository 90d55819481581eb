from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from arbiter.service import Service


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    running = Service(tmp_path)
    try:
        yield running
    finally:
        running.end()
