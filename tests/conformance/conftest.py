"""The two servers that most conformance tests talk to."""

from __future__ import annotations

import pytest
from harness.server import Server, Servers


@pytest.fixture
def server(servers: Servers, kind: str) -> Server:
    """The echo application with default limits."""
    return servers.get(kind=kind)


@pytest.fixture
def misbehaving(servers: Servers, kind: str) -> Server:
    """The application that breaks its contract in every way."""
    return servers.get(kind=kind, app="misbehave:app")
