from collections.abc import Callable, Mapping
from contextvars import Context
from logging import Logger
from typing import Any

from tricorn.http.forwarded import TrustedPeers
from tricorn.http.request import Limits
from tricorn.log.access import AccessLog
from tricorn.scoreboard import Row
from tricorn.static.files import StaticFiles
from tricorn.tracing.trace import SlowRequest

class Terms:
    """What the settings say to the transport: see worker_context.pxd, which has the attributes."""

    def __init__(self, terms: Mapping[str, object]) -> None: ...

class WorkerContext(Terms):
    """What all connections of one worker share: see worker_context.pyx."""

    connections: int
    requests: int
    draining: bool
    worn: bool
    shortest_slow: int
    owed: int
    def __init__(
        self,
        terms: Mapping[str, object],
        *,
        application: Any,
        logger: Logger,
        limits: Limits,
        row: Row,
        access_log: AccessLog | None,
        trusted: TrustedPeers,
        proxy_peers: TrustedPeers,
        context: Context | None = None,
        on_failure: Callable[[BaseException], object] | None = None,
        visitors: Any = None,
        tracer: Any = None,
        static_files: StaticFiles | None = None,
        sent_files: StaticFiles | None = None,
    ) -> None: ...
    def take_slow(self) -> list[tuple[SlowRequest, str | None]]: ...
    def told(self, most: int) -> list[dict[str, Any]]: ...
    def maybe_collections(self) -> Callable[[str, dict[str, int]], object] | None: ...
