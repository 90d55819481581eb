"""What a kind of worker is made of has to be installed, and the error says how."""

from __future__ import annotations

import pytest

from tricorn.config import packages
from tricorn.config.errors import ConfigError
from tricorn.config.settings import Settings
from tricorn.kinds import KINDS

NEEDING = [kind for kind in KINDS.values() if kind.needs]


@pytest.mark.parametrize("kind", NEEDING, ids=lambda kind: kind.name)
def test_a_package_that_is_not_there(kind: object, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(worker_class=kind.name, origins={"worker_class": "command line"})  # type: ignore[attr-defined]
    packages.check_package(settings)
    monkeypatch.setattr(packages, "find_spec", lambda _: None)
    with pytest.raises(ConfigError) as caught:
        packages.check_package(settings)
    needs = kind.needs  # type: ignore[attr-defined]
    assert str(caught.value) == (
        f"worker_class: {needs!r} needs the package {needs}, which is not installed (command line); "
        f"pip install 'tricorn[{needs}]'"
    )


def test_most_kinds_need_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda _: None)
    for word in {"auto", *KINDS} - {kind.name for kind in NEEDING}:
        packages.check_package(Settings(worker_class=word))
