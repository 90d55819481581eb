import asyncio
from typing import Any

class HTTPCall:
    """One call of an ASGI application: see asgi.pyx."""

    task: asyncio.Task[Any] | None
