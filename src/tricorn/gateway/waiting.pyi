import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

class TaskRunner:
    """The way into application code: see waiting.pyx."""

    loop: asyncio.AbstractEventLoop
    def __init__(self, loop: asyncio.AbstractEventLoop, context: Context) -> None: ...
    def task(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]: ...

def as_coroutine_function(application: Callable[..., Any]) -> Callable[..., Any]: ...
