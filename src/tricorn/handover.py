"""What the arbiter hands to a worker: the one type that both know.

Knows: the names of the side rooms (settings, listeners, the scoreboard). Must not know: what either
does with them. The arbiter imports no worker, a worker imports nothing of the arbiter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from tricorn.config.settings import Settings
from tricorn.net.listener import Listener
from tricorn.records import dataclass
from tricorn.scoreboard import Row
from tricorn.tls.rules import speaks_tls
from tricorn.wishes import Wishes

if TYPE_CHECKING:
    from tricorn.hooks.worker import WorkerHooks
    from tricorn.tls.renewal import Renewal  # which imports ssl, and most servers need none

EXIT_OK = 0
EXIT_FAILURE = 1
EXIT_CONFIG = 2
#: The worker could not become READY: the application did not import, or was not callable.
EXIT_BOOT = 3

#: Threads whose names begin like this are an event loop's default executor (CPython's own name for it). When
#: the worker ends, their tasks are cancelled: nobody waits for what such a thread still does.
LOOP_EXECUTOR = "asyncio"


@dataclass(frozen=True)
class Assignment:
    """One worker's job.

    settings: of the worker's generation.
    listeners: bound, listening and non-blocking sockets; owned by the master, shared by all workers.
    row: the worker's row of the scoreboard; it writes, the master reads.
    lifeline: a descriptor that becomes readable (end of file) when the master is gone.
    notify: wakes the master; called after each change of `row.state`.
    fail: tells the master why the worker cannot boot (text for the log; logged once per generation).
    leave: ends the process with an exit code, from any thread, also when the main thread does not come back.
    application: what a mold has loaded, when `preload_app` is on, else None.
    certificates: what TLS connections are made with (`tls.context`), made before the fork; None without TLS.
        The worker calls `take()` about once a second. Which listeners it is for: `tls_listeners`.
    retired: called by a worker that returns, if nothing of it is left in the process: neither threads nor an
        event loop, nor what an application has ended. So the process may have another use.
    hooks: what is to be called in the life of this worker; None: nothing.
    wishes: what the master wants of all workers; looked at when USR1 comes. None: nothing.
    """

    settings: Settings
    listeners: Sequence[Listener]
    row: Row
    lifeline: int
    notify: Callable[[], None]
    fail: Callable[[str], None]
    leave: Callable[[int], NoReturn]
    application: Any = None
    certificates: Renewal | None = None
    retired: Callable[[], None] = lambda: None
    hooks: WorkerHooks | None = None
    wishes: Wishes | None = None

    @property
    def tls_listeners(self) -> Sequence[bool]:
        """Of each listener, in their order, whether it is for TLS."""
        pairs = zip(self.settings.bind, self.listeners, strict=True)
        return [speaks_tls(bind, listener.address, self.settings) for bind, listener in pairs]


#: Runs one worker in the process it is called in and returns the process's exit code.
RunWorker = Callable[[Assignment], int]
