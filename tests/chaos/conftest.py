"""The library is compiled once."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.plan import build

from chaos.serving import SOURCE


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("chaos"), SOURCE)
