from collections.abc import Mapping
from contextvars import Context
from logging import Logger
from typing import Any

from tricorn.http.policy import TrustedPeers
from tricorn.http.request import Limits
from tricorn.log.access import AccessLog
from tricorn.scoreboard import Row

class Terms:
    """What the settings say to the transport: see service.pxd, which has the attributes."""

    def __init__(self, terms: Mapping[str, object]) -> None: ...

class Service(Terms):
    """What all connections of one worker share: see service.pyx."""

    connections: int
    requests: int
    draining: bool
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
    ) -> None: ...
