"""What an ASGI application is given to learn of its worker's drain: `tricorn.drain` of a scope's extensions.

Knows: asyncio's futures, what an extension has to be. Must not know: why a worker drains, connections.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from tricorn.gateway.scope import Fixed


class Drain(Fixed):
    """One for a worker, in all of its scopes.

    A dict without items, as ASGI asks of an extension ("HTTP Connection Scope").
    """

    __slots__ = ("_begun", "_waiting")

    def __init__(self) -> None:
        super().__init__()
        self._begun = False
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def draining(self) -> bool:
        """Whether the worker finishes its requests and then ends."""
        return self._begun

    async def wait(self) -> None:
        """Until it does. In any event loop, of any thread."""
        future = asyncio.get_running_loop().create_future()
        # In this order: begin() may come in another thread, between any two of these lines.
        self._waiting.add(future)
        try:
            if not self._begun:
                await future
        finally:
            self._waiting.discard(future)

    def begin(self) -> None:
        """The worker says so."""
        self._begun = True
        for future in tuple(self._waiting):
            with suppress(RuntimeError):  # that loop is closed
                future.get_loop().call_soon_threadsafe(_resolve, future)

    def __deepcopy__(self, _memo: object) -> Drain:
        """Middleware copies scopes."""
        return self


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
