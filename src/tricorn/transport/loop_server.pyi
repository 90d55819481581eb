from collections.abc import Callable

from tricorn.transport.loop_context import LoopContext
from tricorn.transport.opening import Entrance
from tricorn.transport.server import Server

class LoopServer(Server):
    """The transport of one worker with an event loop: see aio.pyx."""

    loop_context: LoopContext
    def __init__(
        self,
        loop_context: LoopContext,
        entrances: list[Entrance],
        on_turn: Callable[[], None],
        runner: object = None,
    ) -> None: ...
    def open(self) -> None: ...
    def drain(self, backlog: bool, code: int) -> None: ...
    def close(self) -> None: ...
    def watch(self, ident: int, patience: float) -> None: ...
