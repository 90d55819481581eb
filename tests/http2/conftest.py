"""The servers of these tests: the echo on each kind of worker, over HTTP/2 in clear text unless a test says
otherwise."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness.axes import HAS_HTTP_2
from harness.server import Server, Servers

# Where the server does not have it there is nothing to test; `tricorn --version` says so.
collect_ignore_glob = [] if HAS_HTTP_2 else ["test_*.py"]


@pytest.fixture(scope="package")
def running_servers() -> Iterator[Servers]:
    """Shared by all of these tests, most of which want the same few."""
    running = Servers()
    yield running
    running.stop()


@pytest.fixture
def server(running_servers: Servers, kind: str) -> Server:
    """The echo application with default limits."""
    return running_servers.on("h2c").get(kind=kind)
