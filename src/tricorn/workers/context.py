"""From settings to what a transport is given: the same for every kind of worker.

Knows: settings, the classes that they become. Must not know: the master, how a worker lives.
"""

from __future__ import annotations

import contextvars
import gc
import logging
import math
import os
import random
from collections.abc import Callable, Mapping
from select import POLLIN, poll
from time import monotonic
from typing import TYPE_CHECKING, Any

from tricorn import forks, scoreboard
from tricorn.config.declaration import Core
from tricorn.config.routes import wire_form
from tricorn.config.settings import SETTINGS, Settings
from tricorn.handover import Assignment
from tricorn.hooks.requests import Visitors
from tricorn.http.forwarded import HeaderPolicy, TrustedPeers
from tricorn.http.request import Limits
from tricorn.log import setup as log_setup
from tricorn.records import replace
from tricorn.static.files import StaticFiles
from tricorn.transport.worker_context import WorkerContext
from tricorn.workers.suspects import Suspects

if TYPE_CHECKING:
    from tricorn.tracing.sdk import Tracing

log = logging.getLogger("tricorn.error")


def worker_context(
    assignment: Assignment,
    application: Any,
    policy: HeaderPolicy,
    request_timeout: float,
    context: contextvars.Context | None = None,
    visitors: Visitors | None = None,
    tracing: Tracing | None = None,
) -> WorkerContext:
    """request_timeout: where it is not set, it depends on the kind of worker. context: a copy of it is what
    each request runs in; None: an empty one. visitors: of the hooks around requests. tracing: of requests, or
    None."""
    settings = assignment.settings
    jitter = random.randint(0, settings.max_requests_jitter) if settings.max_requests else 0
    settings = replace(settings, request_timeout=request_timeout, max_requests=settings.max_requests + jitter)
    made = WorkerContext(
        filled(settings, Core.TERMS),
        application=application,
        logger=log,
        limits=Limits(**filled(settings, Core.LIMITS)),
        row=assignment.row,
        access_log=log_setup.open_access_log(settings),
        trusted=policy.trusted,
        proxy_peers=TrustedPeers(settings.proxy_allow_ips),
        context=context,
        on_failure=maybe_suspects(assignment),
        visitors=visitors,
        tracer=None if tracing is None else tracing.tracer,
        static_files=maybe_static_files(settings),
        sent_files=maybe_sent_files(settings),
    )
    watch_collections(made)
    return made


def maybe_static_files(settings: Settings) -> StaticFiles | None:
    """None: nothing is answered from directories."""
    if not settings.static:
        return None
    rules = (rule.partition("=") for rule in settings.static_cache_control)
    return StaticFiles(
        directories(settings, settings.static),
        index=settings.static_index,
        falls_through=settings.static_fallthrough,
        dotfiles=settings.static_dotfiles,
        caching=[(os.fsencode(pattern), value.encode()) for pattern, _, value in rules],
        types=settings.static_types,
        logger=log,
    )


def maybe_sent_files(settings: Settings) -> StaticFiles | None:
    """Those that the application may name; None: it may name none."""
    if not settings.x_sendfile:
        return None
    return StaticFiles(
        directories(settings, settings.x_sendfile), types=settings.static_types, dotfiles=True, logger=log
    )


def directories(settings: Settings, named: Mapping[str, str]) -> dict[bytes, str]:
    """Their paths by prefix, as paths come on the wire."""
    return {wire_form(prefix): os.path.join(settings.chdir, path) for prefix, path in named.items()}


def watch_collections(context: WorkerContext) -> None:
    """Have the garbage collector's runs counted, if anything is. What comes from this process counts for
    itself."""
    note = context.maybe_collections()
    if note is not None:
        gc.callbacks.append(note)
        forks.let_go(lambda: gc.callbacks.remove(note))


def filled(settings: Settings, part: Core) -> dict[str, Any]:
    """What the settings say to this part of the core: values by attribute, in its units."""
    return {
        declared.fills[1]: declared.kind.to_core(getattr(settings, declared.name))
        for declared in SETTINGS.values()
        if declared.fills is not None and declared.fills[0] == part
    }


def ask_for_successor(assignment: Assignment, why: int) -> bool:
    """Of the master, which tells this worker to stop when the other one is READY. True: for the first time.

    why: a reason of the scoreboard's. Without a master nobody comes, and the worker ends anyway.
    """
    if assignment.row.worn:
        return False
    assignment.row.worn = why
    assignment.notify()
    return True


def maybe_visitors(
    assignment: Assignment, application: Callable[..., Any], *, is_loop: bool
) -> Visitors | None:
    """For the hooks around requests; None: there are none."""
    hooks = assignment.hooks
    return None if hooks is None else hooks.maybe_visitors(application, is_loop=is_loop)


def maybe_tracing(assignment: Assignment) -> Tracing | None:
    """When the application is there; None: nobody traces requests. To be closed at the worker's end."""
    settings = assignment.settings
    if not settings.otel:
        return None
    from tricorn.tracing.packages import is_disabled  # most servers need none of it, and it is dear

    if is_disabled():
        return None
    from tricorn.tracing import sdk

    return sdk.maybe_tracing(settings.proc_name or settings.wsgi_app or "tricorn")


def tell_interrupted(assignment: Assignment) -> None:
    """It ends at once."""
    if assignment.hooks is not None:
        assignment.hooks.interrupted()


def maybe_suspects(assignment: Assignment) -> Suspects | None:
    """What looks at exceptions of the application; None: nothing does."""
    names = assignment.settings.reload_on_exception
    if not names:
        return None

    def found(name: str) -> None:
        if ask_for_successor(assignment, scoreboard.FAILED):
            log.error("The application raised %s (reload_on_exception); this worker is being replaced", name)

    suspects = Suspects(names, found)
    suspects.listen()
    return suspects


def end_of_drain(settings: Settings) -> float:
    """Until when a worker that stops now may go on with its requests, as time.monotonic() has it."""
    return monotonic() + (settings.graceful_timeout or math.inf)


def header_policy(settings: Settings) -> HeaderPolicy:
    return HeaderPolicy(
        trusted=TrustedPeers(settings.forwarded_allow_ips),
        forwarder_headers=frozenset(name.upper() for name in settings.forwarder_headers),
        header_map=settings.header_map,  # type: ignore[arg-type]  # checked when the settings were read
        secure_scheme_headers=settings.secure_scheme_headers,
    )


def is_readable(fd: int) -> bool:
    waiting = poll()
    waiting.register(fd, POLLIN)
    return bool(waiting.poll(0))
