"""Heavy workers: processes beside the web workers, for what must not run in a request's thread.

    from tricorn.heavy import DirtyApp, get_dirty_client

The names are those of gunicorn.dirty: code that was written for that works with the import changed. What an
application is and how it is called: docs/heavy.md. How it is done: README.md in this directory.

Knows: where its names are. Must not know: anything else. They are imported when they are asked for: the
master, which only opens queues, has no use for asyncio.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tricorn.heavy import stash
    from tricorn.heavy.app import DirtyApp
    from tricorn.heavy.client import (
        DirtyClient,
        close_dirty_client,
        close_dirty_client_async,
        get_dirty_client,
        get_dirty_client_async,
    )
    from tricorn.heavy.errors import (
        CallCancelledError,
        CallTimedOutError,
        DirtyAppError,
        DirtyAppNotFoundError,
        DirtyConnectionError,
        DirtyError,
        DirtyNoWorkersAvailableError,
        DirtyProtocolError,
        DirtyQueueFullError,
        DirtyTimeoutError,
        DirtyWorkerError,
        StashError,
        StashKeyNotFoundError,
        StashTableNotFoundError,
    )
    from tricorn.heavy.stash import StashClient, StashTable

__all__ = [
    "CallCancelledError",
    "CallTimedOutError",
    "DirtyApp",
    "DirtyAppError",
    "DirtyAppNotFoundError",
    "DirtyClient",
    "DirtyConnectionError",
    "DirtyError",
    "DirtyNoWorkersAvailableError",
    "DirtyProtocolError",
    "DirtyQueueFullError",
    "DirtyTimeoutError",
    "DirtyWorkerError",
    "StashClient",
    "StashError",
    "StashKeyNotFoundError",
    "StashTable",
    "StashTableNotFoundError",
    "close_dirty_client",
    "close_dirty_client_async",
    "get_dirty_client",
    "get_dirty_client_async",
    "stash",
]

#: Where what is not an error is.
_ELSEWHERE = {
    "DirtyApp": "app",
    "StashClient": "stash",
    "StashTable": "stash",
    **dict.fromkeys(
        (
            *("DirtyClient", "get_dirty_client", "get_dirty_client_async"),
            *("close_dirty_client", "close_dirty_client_async"),
        ),
        "client",
    ),
}


def __getattr__(name: str) -> Any:
    if name == "stash":
        return import_module("tricorn.heavy.stash")
    if name not in __all__:
        raise AttributeError(f"module 'tricorn.heavy' has no attribute {name!r}")
    return getattr(import_module(f"tricorn.heavy.{_ELSEWHERE.get(name, 'errors')}"), name)
