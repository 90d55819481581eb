from collections.abc import Callable
from typing import Any

from tricorn.gateway.asgi import HTTPCall
from tricorn.gateway.waiting import Gate
from tricorn.http.websocket_handshake import DeflatePolicy
from tricorn.transport.service import Service

class WebSocketTerms:
    """What WebSockets may ask of us, and we of their clients: see house.pyx."""

    def __init__(
        self,
        compression: DeflatePolicy,
        max_message: int = ...,
        max_queue: int = ...,
        ping_interval: float = ...,
        ping_timeout: float = ...,
        close_timeout: float = ...,
    ) -> None: ...

class House:
    """What the connections of one event loop share: see house.pyx."""

    service: Service
    gate: Gate
    calls: set[HTTPCall]
    def __init__(
        self,
        service: Service,
        gate: Gate,
        application: Callable[..., Any],
        grace: float,
        websockets: WebSocketTerms,
    ) -> None: ...
