"""Whether the package is installed that a kind of worker is made of.

Knows: which package that is, by the row of the kind. Must not know: what is done with it.
"""

from __future__ import annotations

from importlib.util import find_spec

from tricorn.config.errors import ConfigError
from tricorn.config.settings import Settings
from tricorn.kinds import maybe_kind


def check_package(settings: Settings) -> None:
    """Raises ConfigError."""
    kind = maybe_kind(settings.worker_class)
    if kind is not None and kind.needs and find_spec(kind.needs) is None:
        raise ConfigError(
            "worker_class",
            settings.origins.get("worker_class", ""),
            f"{kind.name!r} needs the package {kind.needs}, which is not installed",
            f"pip install 'tricorn[{kind.needs}]'",
        )
