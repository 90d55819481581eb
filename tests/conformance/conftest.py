"""Fixtures of the conformance tests: servers that are shared by all cases with the same options."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness.server import KINDS, Server, Servers


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    running = Servers()
    yield running
    running.stop()


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    """A worker kind; wire cases bring their own."""
    name: str = request.param
    return name


@pytest.fixture
def server(servers: Servers, kind: str) -> Server:
    """The echo application with default limits."""
    return servers.get(kind=kind)


@pytest.fixture
def misbehaving(servers: Servers, kind: str) -> Server:
    """The application that breaks its contract in every way."""
    return servers.get(kind=kind, app="misbehave:app")
