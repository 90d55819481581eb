from collections.abc import Callable

from tricorn.gateway.scope import ScopeBuilder
from tricorn.transport.house import House

class Hub:
    """The transport of one worker with an event loop: see aio.pyx."""

    house: House
    def __init__(
        self, house: House, listeners: list[tuple[int, ScopeBuilder]], on_change: Callable[[], None]
    ) -> None: ...
    def open(self) -> None: ...
    def drain(self, backlog: bool, code: int) -> None: ...
    def close(self) -> None: ...
