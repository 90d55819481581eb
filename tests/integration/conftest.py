"""What these tests share: a gate, and a framework's application on each worker kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.axes import KINDS_OF
from integration.live import Live


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """What `/block` of tests/apps/life.py waits for."""
    return tmp_path / "gate"


@pytest.hookimpl(tryfirst=True)  # before pytest takes the values of the fixture `kind`
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A framework's application runs on the kinds of its interface."""
    if "site" in metafunc.fixturenames:
        metafunc.parametrize("kind", KINDS_OF[metafunc.cls.interface], scope="class")


@pytest.fixture(scope="class")
def site(
    request: pytest.FixtureRequest, kind: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Live]:
    """The application that the test class names; at the end it must stop in good order."""
    about = request.cls
    environ = about().environ(tmp_path_factory.mktemp("site"))
    with Live(about.app, *about.options, kind=kind, chdir=about.chdir, environ=environ) as live:
        yield live
        live.stop()
