from collections.abc import Callable

from tricorn.transport.loop_context import LoopContext
from tricorn.transport.loop_server import LoopServer
from tricorn.transport.opening import Entrance

def new_tornado_server(
    loop_context: LoopContext, entrances: list[Entrance], on_turn: Callable[[], None]
) -> LoopServer: ...
