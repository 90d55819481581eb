from collections.abc import Callable
from typing import Any

from tricorn.gateway.asgi import HTTPCall
from tricorn.gateway.waiting import Gate
from tricorn.transport.service import Service

class House:
    """What the connections of one event loop share: see house.pyx."""

    service: Service
    gate: Gate
    calls: set[HTTPCall]
    def __init__(
        self, service: Service, gate: Gate, application: Callable[..., Any], grace: float
    ) -> None: ...
