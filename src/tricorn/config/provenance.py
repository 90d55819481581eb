"""What a configuration has besides its values: where each came from, and what there is to say about it.

Knows: that settings have names. Must not know: which there are, how they are read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from tricorn.records import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Nothing of this is a setting: configurations with the same values are equal, wherever they are from."""

    #: Where each value came from: "command line", "environment TRICORN_WORKERS", "tricorn.toml", "default".
    origins: Mapping[str, str] = field(
        default_factory=lambda: MappingProxyType({}), compare=False, repr=False
    )
    #: What should be said about the configuration once there is a log.
    warnings: tuple[str, ...] = field(default=(), compare=False, repr=False)
    #: The same, of what has no consequences.
    notes: tuple[str, ...] = field(default=(), compare=False, repr=False)
    #: What gives the application where it is not `wsgi_app` that is imported; that is its name then.
    loader: Callable[[], Any] | None = field(default=None, compare=False, repr=False)
    #: Whether that is an object which the program has given: so it has imported what that is made of.
    is_object: bool = field(default=False, compare=False, repr=False)
