"""Servers of these tests: shared ones by their options, and a framework's application on each worker kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.server import KINDS, KINDS_OF, Servers

pytest.register_assert_rewrite(
    "integration.asgi_site", "integration.framework", "integration.live", "integration.answering"
)

from integration.live import Live  # noqa: E402 - behind register_assert_rewrite


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    running = Servers()
    yield running
    running.stop()


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """What `/block` of apps/life.py waits for."""
    return tmp_path / "gate"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A framework's application runs on the kinds of its interface."""
    if "site" in metafunc.fixturenames:
        metafunc.parametrize("site", KINDS_OF[metafunc.cls.interface], indirect=True, scope="class")


@pytest.fixture(scope="class")
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """The application that the test class names; at the end it must stop in good order."""
    about = request.cls
    environ = about().environ(tmp_path_factory.mktemp("site"))
    with Live(about.app, *about.options, kind=request.param, chdir=about.chdir, environ=environ) as live:
        yield live
        live.stop()
