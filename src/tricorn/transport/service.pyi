from contextvars import Context
from logging import Logger
from typing import Any

from tricorn.http.policy import TrustedPeers
from tricorn.http.request import Limits
from tricorn.log.access import AccessLog
from tricorn.scoreboard import Row

class Service:
    """What all connections of one worker share: see service.pyx."""

    connections: int
    requests: int
    draining: bool
    def __init__(
        self,
        *,
        application: Any,
        logger: Logger,
        limits: Limits,
        server_header: str,
        row: Row,
        access_log: AccessLog | None,
        trusted: TrustedPeers,
        proxy_mode: str | None = None,
        proxy_peers: TrustedPeers | None = None,
        header_timeout: float = 10,
        keepalive: float = 5,
        body_timeout: float = 30,
        write_timeout: float = 30,
        request_timeout: float = 0,
        min_body_rate: int = 240,
        body_drain: int = 65536,
        request_buffer: int = 65536,
        request_memory: int = 67108864,
        response_buffer: int = 262144,
        buffering: bool = True,
        sendfile: bool = True,
        max_connections: int = 1000,
        max_requests: int = 0,
        context: Context | None = None,
    ) -> None: ...
