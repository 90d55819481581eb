"""Routes that keep threads or tasks to themselves: what of that cannot be, and how many threads it makes.

Knows: the settings that routes may have for that. Must not know: how requests come to run apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tricorn.config.errors import ConfigError
from tricorn.config.parsers import shortened
from tricorn.config.settings import Settings
from tricorn.kinds import Runner, maybe_kind

#: What a route says to have something of its own, by what its requests run on.
APART: Mapping[Runner, str] = MappingProxyType(
    {Runner.THREADS: "threads", Runner.LOOP: "max_concurrency", Runner.GREEN: "max_concurrency"}
)

#: What it may say then, and only then: of those that share their threads or tasks, all wait in one queue.
OF_A_QUEUE = ("max_queue", "max_queue_time")


def reserved_threads(settings: Settings) -> int:
    """How many threads a worker has beyond `threads`, for single routes."""
    return sum(values.get("threads", 0) for values in settings.routes.values())


def check(settings: Settings) -> None:
    """What no route can say on its own. Raises ConfigError."""
    for prefix, values in settings.routes.items():
        limits = [name for name in OF_A_QUEUE if name in values]
        if limits and not any(name in values for name in APART.values()):
            raise ConfigError(
                "routes",
                settings.origins["routes"],
                f"{shortened(prefix)}, {limits[0]}: its requests wait with all others, so they have no limit "
                "of their own",
                "give the route `threads` (WSGI on threads) or `max_concurrency` (ASGI, green threads) too",
            )
    kind = maybe_kind(settings.worker_class)
    if kind is not None and (misfit := maybe_misfit(settings, kind.runner)):
        raise ConfigError("routes", settings.origins["routes"], *misfit)


def maybe_misfit(settings: Settings, runner: Runner) -> tuple[str, str] | None:
    """What a route asks for that workers with this do not have, and what to write instead."""
    for prefix, values in settings.routes.items():
        for name in APART.values():
            if name in values and name != APART[runner]:
                what = f"{shortened(prefix)}, {name}: a worker that has {runner.value} has no such thing"
                return what, f"write {APART[runner]}, the number of its requests that may run at once"
    return None
