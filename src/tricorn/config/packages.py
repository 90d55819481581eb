"""What not every installation has: the package that a kind of worker is made of, HTTP/2.

Knows: which package that is, by the row of the kind; what is built only where a library is. Must not know:
what is done with them.
"""

from __future__ import annotations

from importlib.util import find_spec

from tricorn.config.errors import ConfigError
from tricorn.config.settings import Settings
from tricorn.kinds import maybe_kind

#: Compiled where libnghttp2 is found.
HTTP2_MODULE = "tricorn.http.h2_session"


def has_http2() -> bool:
    """Whether this build speaks HTTP/2."""
    return find_spec(HTTP2_MODULE) is not None


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
