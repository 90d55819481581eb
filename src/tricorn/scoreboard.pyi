from array import array
from collections.abc import Iterator
from typing import Final

# States of a worker, in the order of its life.
EMPTY: Final[int]
BOOTING: Final[int]
READY: Final[int]
DRAINING: Final[int]
MOLD: Final[int]  # it serves no more: workers are forked from it

# Why a worker asks for a successor.
SERVED_ENOUGH: Final[int]  # its max_requests
STUCK: Final[int]  # a request does not end although it was told to
FAILED: Final[int]  # it has raised what reload_on_exception names
ASKED: Final[int]  # the application or a hook of it has said so

# For `stopping`: it is to become a mold when it has finished.
REFORK: Final[int]
# Of a mold that ends: it waits no longer for what the application has left.
HURRY: Final[int]

def monotonic_ns() -> int: ...

class Cell:
    """One thread of a worker. Its worker writes, anyone reads."""

    @property
    def busy_since_ns(self) -> int: ...  # CLOCK_MONOTONIC; 0 while the thread is not in the application
    @property
    def requests(self) -> int: ...
    @property
    def busy_ns(self) -> int: ...
    @property
    def durations(self) -> tuple[int, ...]: ...  # bucket k: requests below 2**k microseconds
    @property
    def request(self) -> str: ...  # method and path of the running or last request, shortened
    # For workers whose requests compiled code knows nothing of; it does the same by itself.
    def begin(self, method: str, target: str) -> None: ...
    def end(self) -> None: ...

class Row:
    """One worker. Its worker writes, the master reads; the master clears it before it forks."""

    index: int
    pid: int
    state: int
    generation: int
    heartbeat_ns: int  # CLOCK_MONOTONIC of the last sign of life, 0 before the first
    started_ns: int
    connections: int
    accepted: int  # connections accepted since the worker started
    errors: int  # requests refused with ProtocolError
    running: int  # with an event loop: calls whose task has not ended
    websockets: int  # with an event loop: open ones
    stopping: int  # written by the master: 1 when nobody comes after it, REFORK, HURRY
    worn: int  # why it asks for a successor, 0: it does not
    loaded_ns: int  # when the application was loaded, 0: it is not yet
    tick_ns: int  # the last sign of a thread that needs no GIL for it, 0: there is none
    awaits_gil_ns: int  # since when that thread waits for the GIL, 0: it does not
    obstacle: str  # what blocks the event loop; in ASCII, shortened
    farewell_ns: int  # what the worker needs when its last request is over
    waiting: int  # complete requests that wait for a thread, or for fewer to run
    refused: int  # of these, since the worker started, how many were refused with 503
    left: int  # … and how many were given up by their clients
    passed: int  # connections that were passed on to another worker
    queue: int  # written by the master: which one of each address is its own, from 1; 0: there is one for all
    @property
    def waiting_apart(self) -> int: ...  # as `waiting`, on routes with threads or tasks of their own
    waits: int  # how often requests have waited for a thread or a loop
    waited_ns: int  # and for how long, all together
    @property
    def is_loop(self) -> int: ...  # 1: of an event loop, which is marked busy while requests wait in it
    @property
    def requests(self) -> int: ...  # finished requests, the sum over the cells
    @property
    def cells(self) -> tuple[Cell, ...]: ...
    @property
    def shared_cells(self) -> tuple[Cell, ...]: ...  # the first ones: of threads that serve whatever comes
    @property
    def figure_count(self) -> int: ...  # words for what is counted, 0: nothing is
    def add_figures(self, into: array[int]) -> None: ...  # 64-bit words, as many as the board says
    @property
    def exemplar_count(self) -> int: ...  # places for exemplars, 0: there are none
    # Place, trace, span, ns, CLOCK_MONOTONIC.
    def exemplars(self) -> list[tuple[int, str, str, int, int]]: ...
    # As a worker does: for tests.
    def exemplify(self, place: int, trace: int, span: int, value_ns: int, at_ns: int) -> None: ...
    def clear(self) -> None: ...
    def another_is_ready(self) -> bool: ...  # on the same board
    def beat(self) -> None: ...  # heartbeat_ns = now

class Board:
    """The shared page. Survives fork; never grows.

    Of each worker's cells so many are for threads that serve whatever comes, so many for those of routes.
    figures: words for what is counted, exemplars: places for exemplars of it; their meaning is not the
    board's.
    """

    def __init__(
        self, rows: int, shared: int, reserved: int = 0, figures: int = 0, exemplars: int = 0
    ) -> None: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Row: ...
    def __iter__(self) -> Iterator[Row]: ...
    def detach(self) -> None: ...  # what is written from here on, nobody else sees
    @property
    def cells(self) -> int: ...
    @property
    def reserved(self) -> int: ...
    @property
    def figures(self) -> int: ...
    @property
    def exemplars(self) -> int: ...
