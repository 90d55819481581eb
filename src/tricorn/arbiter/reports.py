"""What the master tells of itself: plain data, for those who ask over the control socket.

Knows: the records of children, their rows, settings. Must not know: who asks, sockets.

Asking costs the master some microseconds for each worker: what has to be looked up in /proc (memory, CPU) the
one who asks can look up himself. Times are seconds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tricorn import __version__
from tricorn.arbiter import silence
from tricorn.arbiter import target as targets
from tricorn.arbiter.children import ChildRecord, Generation
from tricorn.arbiter.decide import State
from tricorn.arbiter.ledger import Ledger
from tricorn.arbiter.pools import Pools
from tricorn.arbiter.target import Target
from tricorn.arbiter.upgrade import Upgrade
from tricorn.config.declaration import Declared
from tricorn.config.settings import SETTINGS, Settings
from tricorn.records import dataclass
from tricorn.scoreboard import Cell

#: Of one worker, the requests that are named.
RUNNING_SHOWN = 10

#: What there is to say of a request, besides for how long it has been there; what is not known is None.
WORDS = ("phase", "method", "target", "client", "id")
NUMBERS = ("http", "sent")

#: What a request does of which no more is known than that a thread is at it: as workers call that.
APPLICATION = "application"


@dataclass(frozen=True)
class Sight:
    """What there is to see of a master. children: workers and molds. started_at: a monotonic instant. heavy:
    heavy workers."""

    settings: Settings
    target: Target
    children: Sequence[ChildRecord]
    generations: Mapping[int, Generation]
    upgrade: Upgrade
    started_at: float
    ledger: Ledger
    pools: Pools
    heavy: Sequence[ChildRecord] = ()

    @property
    def everybody(self) -> Sequence[ChildRecord]:
        """Workers of both sorts, and molds."""
        return (*self.children, *self.heavy)

    @property
    def serving(self) -> Generation | None:
        plan = self.target.serving or self.target.plan
        return self.generations.get(plan.generation)


def status(sight: Sight) -> dict[str, Any]:
    target, plan = sight.target, sight.target.plan
    least, most = targets.bounds(target)
    views = [child.view(0.0) for child in sight.children if not child.is_mold]
    leaving = [view for view in views if view.is_leaving]
    return {
        "tricorn": __version__,
        "pid": os.getpid(),
        "app": sight.settings.wsgi_app,
        "name": sight.settings.proc_name,
        "uptime": _seconds(time.monotonic() - sight.started_at),
        "mode": target.mode.value,
        "generation": plan.generation,
        "is_on_trial": target.fallback is not None,
        "listeners": addresses(sight),
        "workers": {
            "wanted": plan.workers,
            "least": least,
            "most": most,
            "ready": sum(view.state is State.READY and not view.is_leaving for view in views),
            "booting": sum(view.state is State.BOOTING and not view.is_leaving for view in views),
            "leaving": len(leaving),
        },
        "molds": [child.pid for child in sight.children if child.is_mold],
        "older": sight.upgrade.older_pid,
        "newer": sight.upgrade.newer_pid,
        "pools": [{key: value for key, value in pool.items() if key != "workers"} for pool in pools(sight)],
    }


def workers(sight: Sight) -> list[dict[str, Any]]:
    """The oldest first. Molds are among them."""
    now = time.monotonic()
    known = sorted(_known(sight.children), key=lambda child: (child.started_at, child.pid))
    return [_worker(child, now) for child in known]


def workers_of_all(sight: Sight) -> list[dict[str, Any]]:
    """The same, and behind them heavy workers, of which `pool` says so."""
    return [*workers(sight), *(each for pool in pools(sight) for each in pool["workers"])]


def pools(sight: Sight) -> list[dict[str, Any]]:
    """Of heavy workers, with these."""
    now = time.monotonic()
    found = []
    for pool in sight.target.pools:
        mine = [child for child in sight.heavy if targets.pool_number(child.generation.number) == pool.number]
        views = [child.view(0.0) for child in mine]
        found.append(
            {
                "name": pool.name,
                "generation": pool.plan.generation % targets.HEAVY,
                "is_on_trial": pool.fallback is not None,
                "wanted": pool.plan.workers,
                "least": targets.bounds(pool)[0],
                "most": targets.bounds(pool)[1],
                "ready": sum(view.state is State.READY and not view.is_leaving for view in views),
                "booting": sum(view.state is State.BOOTING and not view.is_leaving for view in views),
                "leaving": sum(view.is_leaving for view in views),
                "running": sum(child.row.running for child in mine),
                "waiting": sight.pools.waiting(pool.name),
                "workers": [_worker(child, now) | {"pool": pool.name} for child in mine],
            }
        )
    return found


def requests_told(answer: Mapping[str, Any], now: float) -> dict[str, Any]:
    """What a worker has told of its requests. Its application could have, so the form is made sure of."""
    found = answer.get("requests")
    left_out = answer.get("left_out")
    return {
        "pid": answer["pid"],
        "requests": [_request(each, now) for each in found if isinstance(each, dict)]
        if isinstance(found, list)
        else [],
        "left_out": left_out if isinstance(left_out, int) else 0,
    }


def _request(told: Mapping[str, Any], now: float) -> dict[str, Any]:
    words = {key: told.get(key) for key in WORDS}
    numbers = {key: told.get(key) for key in NUMBERS}
    since = told.get("since")
    return {
        **{key: value if isinstance(value, str) else None for key, value in words.items()},
        **{key: value if isinstance(value, int) else None for key, value in numbers.items()},
        "seconds": _seconds(max(0.0, now - since / 1e9)) if since and isinstance(since, int) else None,
    }


def _labelled(cell: Cell) -> dict[str, Any]:
    """What a row says of a request, in the words of a worker that tells of it."""
    method, _, target = cell.request.partition(" ")
    return {"phase": APPLICATION, "method": method, "target": target, "since": cell.busy_since_ns}


def requests_known(child: ChildRecord, now: float) -> dict[str, Any]:
    """Of a worker that has told nothing: what its row says of what holds it up."""
    busy = [cell for cell in child.row.cells if cell.busy_since_ns]
    return {
        "pid": child.pid,
        "silent": silence.reason(silence.evidence_of(child, now)),
        "requests": [_request(_labelled(cell), now) for cell in busy[:RUNNING_SHOWN]],
        "left_out": max(0, len(busy) - RUNNING_SHOWN),
    }


def everything(sight: Sight) -> dict[str, Any]:
    return {"status": status(sight), "workers": workers(sight), "pools": pools(sight)}


def config(sight: Sight) -> list[dict[str, str]]:
    """Each setting with its value and where that comes from, as --print-config shows it; no secrets."""
    settings = sight.settings
    return [
        {
            "name": name,
            "value": _shown(declared, getattr(settings, name)),
            "origin": settings.origins.get(name, "default"),
        }
        for name, declared in SETTINGS.items()
    ]


def certificates(sight: Sight) -> list[dict[str, Any]]:
    """Of the generation that serves, the one first that is shown by default. None without TLS."""
    generation = sight.serving
    if generation is None or generation.certificates is None:
        return []
    from tricorn.tls.distinguished import OPENSSL, text_of
    from tricorn.tls.server import SOON, names_of  # most servers need no ssl

    now = datetime.now(UTC)
    leaves = [(pair, pair.leaf) for pair in generation.certificates.tls.material.pairs]
    return [
        {
            "file": pair.certfile,
            "names": [*leaf.dns, *leaf.addresses] or [names_of(leaf)],
            "issuer": text_of(leaf.issuer, OPENSSL),
            "not_before": leaf.not_before.isoformat(),
            "not_after": leaf.not_after.isoformat(),
            "days_left": leaf.days_left(now),
            "is_expiring": leaf.days_left(now) < SOON,
        }
        for pair, leaf in leaves
    ]


def addresses(sight: Sight) -> list[str]:
    """Of the generation that serves, as clients call them."""
    generation = sight.serving
    if generation is None:
        return []
    return generation.addresses


def _shown(declared: Declared, value: Any) -> str:
    if declared.name == "raw_env":
        # Passwords reach applications by variables of the environment.
        value = tuple(f"{assignment.partition('=')[0]}=…" for assignment in value)
    try:
        return declared.kind.show(value)
    except Exception:  # noqa: BLE001 - an object of the configuration file is foreign code, also as a text
        return "(cannot be shown)"


def _known(children: Iterable[ChildRecord]) -> list[ChildRecord]:
    """One that was only ordered has no process id yet."""
    return [child for child in children if not child.is_ordered]


def _worker(child: ChildRecord, now: float) -> dict[str, Any]:
    row, view = child.row, child.view(0.0)
    busy = [cell for cell in row.cells if cell.busy_since_ns]
    return {
        "pid": child.pid,
        "is_mold": child.is_mold,
        "state": State.DRAINING.value if view.is_leaving else view.state.value,
        "generation": child.generation.shown,
        "age": _seconds(now - child.started_at),
        "silent": _seconds(max(0.0, now - view.heartbeat)),
        "requests": row.requests,
        "threads": len(row.cells),
        "busy": max(len(busy), row.running),
        "waiting": row.waiting + row.waiting_apart,
        "connections": row.connections,
        "websockets": row.websockets,
        "errors": row.errors,
        "refused": row.refused,
        "running": [
            {"request": cell.request, "seconds": _seconds(now - cell.busy_since_ns / 1e9)}
            for cell in busy[:RUNNING_SHOWN]
        ],
        "mold": child.mold or None,
        "replaced_because": child.why_worn(now),
    }


def _seconds(value: float) -> float:
    return round(value, 3)
