"""Which pools of heavy workers the settings ask for, as data.

Knows: settings, what a pool consists of. Must not know: processes, sockets, who calls.
"""

from __future__ import annotations

from collections.abc import Sequence

from tricorn.config.settings import Settings
from tricorn.heavy.app import Spec, spec_of
from tricorn.records import dataclass, replace

#: The pool that Gunicorn's settings describe.
HEAVY = "heavy"

#: The one that keeps the stash: a worker of ours, beside each server that has heavy workers.
STASH = "stash"


@dataclass(frozen=True)
class Pool:
    """Processes that are all alike.

    apps: what they load. workers: how many there are at first. workers_min, workers_max: where the second is
        not 0, the bounds of a number that follows the load. threads: how many calls one runs at a time.
    timeout: of a call, and of a worker that shows no sign of life, seconds; 0: none.
    graceful_timeout: how long a worker that ends may take for the calls that it has, seconds; 0: any time.
    max_queue: how many calls may wait for each application.
    """

    name: str
    apps: tuple[Spec, ...] = ()
    workers: int = 1
    threads: int = 1
    timeout: float = 300.0
    graceful_timeout: float = 30.0
    max_queue: int = 100
    workers_min: int = 0
    workers_max: int = 0


def pools_of(settings: Settings) -> Sequence[Pool]:
    """Raises ValueError: an application is named wrongly, or twice."""
    if not (settings.dirty_workers and settings.dirty_apps):
        return ()
    apps = tuple(map(spec_of, settings.dirty_apps))
    paths = [each.path for each in apps]
    for path in paths:
        if paths.count(path) > 1:
            raise ValueError(f"{path} is named twice")
    heavy = Pool(
        HEAVY,
        apps,
        settings.dirty_workers,
        settings.dirty_threads,
        settings.dirty_timeout,
        settings.dirty_graceful_timeout,
        settings.dirty_max_queue,
        settings.dirty_workers_min,
        settings.dirty_workers_max,
    )
    return (heavy,)


def settings_of(settings: Settings, pool: Pool) -> Settings:
    """What the master goes by for workers of this pool: the service's settings, with the pool's time limits.
    What bounds memory and life of web workers does not hold for processes that are large on purpose."""
    return replace(
        settings,
        bind=(),
        workers=pool.workers,
        workers_min=pool.workers_min,
        workers_max=pool.workers_max,
        threads=pool.threads,
        timeout=pool.timeout,
        graceful_timeout=pool.graceful_timeout,
        preload_app=False,
        routes={},
        metrics=False,
        reuse_port=False,
        max_requests=0,
        max_lifetime=0.0,
        max_memory=0,
        max_memory_hard=0,
    )
